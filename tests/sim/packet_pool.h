// Packet memory of a simulated port, as suspicious as a debugger.
//
//   | guard | ..... capacity: the frame ..... | guard |      one slot
//
// A packet that comes back goes to the end of the line (quarantine) and is filled with poison; when it goes out again,
// poison and guards must be as they were. Under AddressSanitizer a packet that is home cannot be touched at all. Giving
// back what is not out, or somebody else's, ends the process. At the end of a run everything must be home.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "core/net/packet.h"

namespace talaria::sim {

class PacketPool {
 public:
  PacketPool(size_t packets, size_t capacity);
  ~PacketPool();
  PacketPool(const PacketPool&) = delete;
  PacketPool& operator=(const PacketPool&) = delete;

  // An empty handle when all are out.
  net::Packet take();
  void give_back(net::Packet& packet);
  bool owns(const net::Packet& packet) const;

  size_t out() const { return slots_ - home_.size(); }

 private:
  static constexpr size_t guard = 64;
  static constexpr uint8_t guard_fill = 0xfd;
  static constexpr uint8_t poison_fill = 0xdb;

  uint8_t* slot(size_t index) { return memory_.data() + index * slot_bytes_; }
  bool filled_with(const uint8_t* from, size_t count, uint8_t fill) const;

  size_t slots_;
  size_t capacity_;
  size_t slot_bytes_;
  std::vector<uint8_t> memory_;
  std::vector<bool> is_out_;
  std::deque<size_t> home_;
};

}  // namespace talaria::sim
