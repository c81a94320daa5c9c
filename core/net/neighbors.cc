#include "core/net/neighbors.h"

#include <bit>

#include "core/base/check.h"

namespace talaria::net {

NeighborTable::NeighborTable(size_t neighbors_max, size_t waiting_max, base::HashKey key)
    : key_(key), neighbors_(neighbors_max), buckets_(std::bit_ceil(neighbors_max * 2)), waiting_(waiting_max) {
  CHECK(neighbors_max > 0 && neighbors_max < (1u << 24));
  for (size_t i = neighbors_max; i > 0; i--) free_.push_back(static_cast<uint32_t>(i - 1));
  for (size_t i = waiting_max; i > 0; i--) waiting_free_.push_back(static_cast<uint32_t>(i - 1));
}

size_t NeighborTable::bucket_of(const IpAddress& address) const {
  uint8_t bytes[ipv6_address_bytes];
  store_ipv6_address(bytes, address);
  return base::siphash24(key_, bytes) & (buckets_.size() - 1);
}

Neighbor* NeighborTable::find(const IpAddress& address) {
  for (uint32_t at = buckets_[bucket_of(address)]; at != 0; at = neighbors_[at - 1].next_in_bucket)
    if (neighbors_[at - 1].address == address) return &neighbors_[at - 1];
  return nullptr;
}

Neighbor* NeighborTable::create(const IpAddress& address, base::Time now) {
  if (free_.empty()) {
    Neighbor* oldest = nullptr;
    for (Neighbor& neighbor : neighbors_)
      if (neighbor.state == NeighborState::known && (!oldest || neighbor.used < oldest->used)) oldest = &neighbor;
    if (!oldest) return nullptr;
    remove(*oldest);
  }
  uint32_t index = free_.back();
  free_.pop_back();
  uint32_t& bucket = buckets_[bucket_of(address)];
  neighbors_[index] =
      Neighbor{.address = address, .state = NeighborState::asking, .used = now, .next_in_bucket = bucket};
  bucket = index + 1;
  return &neighbors_[index];
}

void NeighborTable::remove(Neighbor& neighbor) {
  CHECK(neighbor.state != NeighborState::unused && neighbor.waiting_count == 0);
  auto index = static_cast<uint32_t>(&neighbor - neighbors_.data());
  uint32_t* link = &buckets_[bucket_of(neighbor.address)];
  while (*link != index + 1) link = &neighbors_[*link - 1].next_in_bucket;
  *link = neighbor.next_in_bucket;
  neighbor = Neighbor{};
  free_.push_back(index);
}

bool NeighborTable::push_waiting(Neighbor& neighbor, const Packet& packet) {
  if (waiting_free_.empty()) return false;
  uint32_t index = waiting_free_.back();
  waiting_free_.pop_back();
  waiting_[index] = {packet, 0};
  if (neighbor.waiting_last != 0)
    waiting_[neighbor.waiting_last - 1].next = index + 1;
  else
    neighbor.waiting_first = index + 1;
  neighbor.waiting_last = index + 1;
  neighbor.waiting_count++;
  waiting_total_++;
  return true;
}

std::optional<Packet> NeighborTable::pop_waiting(Neighbor& neighbor) {
  if (neighbor.waiting_first == 0) return {};
  uint32_t index = neighbor.waiting_first - 1;
  neighbor.waiting_first = waiting_[index].next;
  if (neighbor.waiting_first == 0) neighbor.waiting_last = 0;
  neighbor.waiting_count--;
  waiting_total_--;
  waiting_free_.push_back(index);
  return waiting_[index].packet;
}

}  // namespace talaria::net
