// Handshakes that strangers began: a SYN was answered with a SYN-ACK and its acknowledgement is awaited. 48 bytes each
// (and, where the host speaks IPv6, 32 beside it for whole addresses), so that a flood of SYNs is cheap to hold; a
// connection block is taken only when the handshake is complete.
//
//   SYN --> entry, SYN-ACK --(1 s)--> SYN-ACK --(2 s)--> SYN-ACK --(4 s)--> SYN-ACK --(8 s)--> forgotten
//
// Each step has its own list, in the order of expiry because every entry of a step waits equally long; so no timer is
// needed for any of them. Owned by the stack.
#pragma once

#include <array>
#include <cstdint>
#include <memory_resource>
#include <vector>

#include "core/base/slab.h"
#include "core/base/time.h"
#include "core/tcp/sequence.h"
#include "core/tcp/tuple.h"

namespace talaria::tcp {

struct HalfOpen {
  base::Time deadline{};
  Tuple key;
  Sequence initial_receive = 0;
  Sequence initial_send = 0;
  uint32_t recent_timestamp = 0;
  uint32_t next_in_bucket = base::none;
  uint32_t newer = base::none;  // in its step's list
  uint32_t older = base::none;
  uint16_t peer_mss = 0;
  uint8_t step : 4 = 0;       // SYN-ACKs sent again
  uint8_t interface : 4 = 0;  // which the SYN came to
  uint8_t window_scale : 4 = 0;
  uint8_t has_window_scale : 1 = 0;
  uint8_t has_timestamp : 1 = 0;
  uint8_t sack_permitted : 1 = 0;

  const Tuple& tuple() const { return key; }
};
static_assert(sizeof(HalfOpen) == 48 && interfaces_max <= 16);

class HalfOpenTable {
 public:
  static constexpr size_t steps_max = 8;  // four bits

  // `steps` SYN-ACKs are sent again, `first` after the SYN and then twice as long each time.
  HalfOpenTable(size_t entries, bool ipv6, size_t steps, base::Duration first, std::pmr::memory_resource* memory);

  // nullptr if there is none.
  HalfOpen* find(const Tuple& tuple, uint64_t hash);
  // A new entry in the first step; nullptr if the table is full.
  HalfOpen* add(const Tuple& tuple, uint64_t hash, base::Time now);
  void remove(HalfOpen& entry, uint64_t hash);
  // An entry whose step is over; nullptr if there is none. The caller moves it on or removes it.
  HalfOpen* expired(base::Time now);
  // Into the next step; false if that was the last.
  bool move_on(HalfOpen& entry, base::Time now);

  // Of an entry for IPv6; its SYN-ACK is sent again to them.
  AddressPair& addresses(const HalfOpen& entry) { return addresses_[entries_.index_of(entry)]; }

  base::Time next_deadline() const;
  size_t size() const { return entries_.used(); }

 private:
  struct List {
    uint32_t oldest = base::none;
    uint32_t newest = base::none;
  };
  void append(HalfOpen& entry, base::Time now);
  void unlink(HalfOpen& entry);

  base::Slab<HalfOpen> entries_;
  TupleIndex<HalfOpen> index_;
  std::pmr::vector<AddressPair> addresses_;
  std::array<List, steps_max + 1> lists_;
  size_t steps_;
  base::Duration first_;
};

}  // namespace talaria::tcp
