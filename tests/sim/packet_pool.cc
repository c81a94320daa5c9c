#include "tests/sim/packet_pool.h"

#include <algorithm>
#include <cstring>

#include "core/base/check.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TALARIA_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(TALARIA_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#endif

namespace talaria::sim {

PacketPool::PacketPool(size_t packets, size_t capacity)
    : slots_(packets),
      capacity_(capacity),
      slot_bytes_(guard + capacity + guard),
      memory_(packets * slot_bytes_, poison_fill),
      is_out_(packets, false) {
  for (size_t index = 0; index < packets; index++) {
    std::memset(slot(index), guard_fill, guard);
    std::memset(slot(index) + guard + capacity, guard_fill, guard);
    home_.push_back(index);
  }
  ASAN_POISON_MEMORY_REGION(memory_.data(), memory_.size());
}

PacketPool::~PacketPool() { ASAN_UNPOISON_MEMORY_REGION(memory_.data(), memory_.size()); }

net::Packet PacketPool::take() {
  if (home_.empty()) return {};
  const size_t index = home_.front();
  home_.pop_front();
  is_out_[index] = true;
  uint8_t* at = slot(index);
  ASAN_UNPOISON_MEMORY_REGION(at, slot_bytes_);
  CHECK(filled_with(at + guard, capacity_, poison_fill));  // somebody wrote to a packet after giving it back
  ASAN_POISON_MEMORY_REGION(at, guard);
  ASAN_POISON_MEMORY_REGION(at + guard + capacity_, guard);
  net::Packet packet;
  packet.data = at + guard;
  packet.capacity = static_cast<uint16_t>(capacity_);
  packet.owner = at;
  return packet;
}

void PacketPool::give_back(net::Packet& packet) {
  CHECK(owns(packet));
  auto* at = static_cast<uint8_t*>(packet.owner);
  const auto index = static_cast<size_t>(at - memory_.data()) / slot_bytes_;
  CHECK(is_out_[index]);  // given back twice
  ASAN_UNPOISON_MEMORY_REGION(at, slot_bytes_);
  CHECK(filled_with(at, guard, guard_fill));
  CHECK(filled_with(at + guard + capacity_, guard, guard_fill));
  std::memset(at + guard, poison_fill, capacity_);
  ASAN_POISON_MEMORY_REGION(at, slot_bytes_);
  is_out_[index] = false;
  home_.push_back(index);
  packet = {};
}

bool PacketPool::owns(const net::Packet& packet) const {
  const auto* at = static_cast<const uint8_t*>(packet.owner);
  return at >= memory_.data() && at < memory_.data() + memory_.size() &&
         static_cast<size_t>(at - memory_.data()) % slot_bytes_ == 0;
}

bool PacketPool::filled_with(const uint8_t* from, size_t count, uint8_t fill) const {
  return count == 0 || (from[0] == fill && std::memcmp(from, from + 1, count - 1) == 0);
}

}  // namespace talaria::sim
