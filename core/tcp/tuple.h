// Whose segment: the endpoints, and the index that finds by them.
#pragma once

#include <bit>
#include <cstdint>
#include <memory_resource>
#include <vector>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/slab.h"
#include "core/tcp/types.h"

namespace talaria::tcp {

// Of IPv6 addresses, which do not fit, it has a keyed hash: 60 bits of both together, above what can be an IPv4 address
// of ours. Nobody can find two pairs that collide without the key; the whole addresses stand where segments are made of
// them.
struct Tuple {
  static constexpr uint32_t ipv6_mark = 0xf0000000;

  uint32_t remote_address = 0;
  uint32_t local_address = 0;
  uint16_t remote_port = 0;
  uint16_t local_port = 0;

  bool operator==(const Tuple&) const = default;
  bool is_ipv6() const { return local_address >= ipv6_mark; }
  net::IpFamily family() const { return is_ipv6() ? net::IpFamily::v6 : net::IpFamily::v4; }
};

// The whole addresses of a tuple.
struct AddressPair {
  net::IpAddress local;
  net::IpAddress remote;

  bool operator==(const AddressPair&) const = default;
};

// `key` is of no other use.
inline Tuple tuple_of(const AddressPair& pair, uint16_t local_port, uint16_t remote_port, base::HashKey key) {
  if (pair.remote.is_v4()) return {pair.remote.v4().value, pair.local.v4().value, remote_port, local_port};
  uint8_t bytes[2 * net::ipv6_address_bytes];
  net::store_ipv6_address(bytes, pair.remote);
  net::store_ipv6_address(bytes + net::ipv6_address_bytes, pair.local);
  const uint64_t hash = base::siphash24(key, bytes);
  return {static_cast<uint32_t>(hash), Tuple::ipv6_mark | static_cast<uint32_t>(hash >> 36), remote_port, local_port};
}

// Keyed: nobody can choose tuples that fall into one bucket.
inline uint64_t hash_of(const Tuple& tuple, base::HashKey key) {
  uint8_t bytes[12];
  base::store_be32(bytes, tuple.remote_address);
  base::store_be16(bytes + 4, tuple.remote_port);
  base::store_be16(bytes + 6, tuple.local_port);
  base::store_be32(bytes + 8, tuple.local_address);
  return base::siphash24(key, bytes);
}

// Finds entries of a slab by their tuple. An entry has `Tuple tuple()` const and `uint32_t next_in_bucket`. Chains are
// short: twice as many buckets as entries.
template <class Entry>
class TupleIndex {
 public:
  TupleIndex(base::Slab<Entry>& entries, std::pmr::memory_resource* memory)
      : entries_(entries), buckets_(std::bit_ceil(entries.size() * 2 + 1), base::none, memory) {}

  void prefetch(uint64_t hash) const { __builtin_prefetch(&buckets_[slot_of(hash)]); }

  // `none` if there is no such entry.
  uint32_t find(const Tuple& tuple, uint64_t hash) const {
    uint32_t at = buckets_[slot_of(hash)];
    while (at != base::none && entries_[at].tuple() != tuple) at = entries_[at].next_in_bucket;
    return at;
  }
  void insert(uint32_t index, uint64_t hash) {
    uint32_t& bucket = buckets_[slot_of(hash)];
    entries_[index].next_in_bucket = bucket;
    bucket = index;
  }
  void remove(uint32_t index, uint64_t hash) {
    uint32_t* link = &buckets_[slot_of(hash)];
    while (*link != index) {
      CHECK(*link != base::none);
      link = &entries_[*link].next_in_bucket;
    }
    *link = entries_[index].next_in_bucket;
  }

 private:
  size_t slot_of(uint64_t hash) const { return hash & (buckets_.size() - 1); }

  base::Slab<Entry>& entries_;
  std::pmr::vector<uint32_t> buckets_;
};

}  // namespace talaria::tcp
