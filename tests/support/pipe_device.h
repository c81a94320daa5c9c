// Two devices joined back to back in memory: what one transmits, the other receives. No thread, no copy: the packet
// itself changes hands. For benchmarks and unit tests that want a whole stack, or two, without a port.
//
// Bounded like a port: each direction holds `ring` packets (what does not fit is refused, not lost), and all packets of
// both ends come from one pool.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "core/base/check.h"
#include "core/net/device.h"

namespace talaria::tests {

class PacketPool {
 public:
  PacketPool(size_t packets, size_t packet_bytes) : packet_bytes_(packet_bytes), memory_(packets * packet_bytes) {
    for (size_t i = 0; i < packets; i++) free_.push_back(memory_.data() + i * packet_bytes);
    packets_ = packets;
  }

  net::Packet take() {
    if (free_.empty()) return {};
    net::Packet packet;
    packet.data = free_.back();
    packet.owner = packet.data;
    packet.capacity = static_cast<uint16_t>(packet_bytes_);
    free_.pop_back();
    return packet;
  }
  void give_back(net::Packet& packet) {
    CHECK(packet.owner);
    free_.push_back(static_cast<uint8_t*>(packet.owner));
    packet = {};
  }
  bool all_home() const { return free_.size() == packets_; }

 private:
  size_t packet_bytes_;
  size_t packets_;
  std::vector<uint8_t> memory_;
  std::vector<uint8_t*> free_;
};

// A ring of packets in one direction.
struct PacketRing {
  explicit PacketRing(size_t capacity) : packets(capacity) {}

  size_t push(std::span<const net::Packet> burst) {
    size_t count = std::min(burst.size(), packets.size() - (tail - head));
    for (size_t i = 0; i < count; i++) packets[tail++ % packets.size()] = burst[i];
    return count;
  }
  size_t pop(std::span<net::Packet> burst) {
    size_t count = std::min(burst.size(), tail - head);
    for (size_t i = 0; i < count; i++) burst[i] = packets[head++ % packets.size()];
    return count;
  }
  bool empty() const { return head == tail; }

  std::vector<net::Packet> packets;
  size_t head = 0, tail = 0;
};

class PipeDevice : public net::Device {
 public:
  PipeDevice(PacketPool& pool, PacketRing& in, PacketRing& out, net::MacAddress mac, uint16_t mtu, bool trusted)
      : pool_(pool), in_(in), out_(out), trusted_(trusted) {
    capabilities_.mac = mac;
    capabilities_.mtu = mtu;
    // As with a port that computes and checks them: nobody does it in memory.
    capabilities_.transmit_ip_checksum = trusted;
    capabilities_.transmit_l4_checksum = trusted;
  }

  const net::Capabilities& capabilities() const override { return capabilities_; }
  size_t receive(std::span<net::Packet> burst) override {
    size_t count = in_.pop(burst.first(std::min(burst.size(), net::burst_max)));
    for (net::Packet& packet : burst.first(count))
      packet.ip_checksum = packet.l4_checksum = trusted_ ? net::ChecksumVerdict::good : net::ChecksumVerdict::unknown;
    return count;
  }
  net::Packet allocate() override { return pool_.take(); }
  size_t transmit(std::span<net::Packet> burst) override { return out_.push(burst); }
  void release(net::Packet& packet) override { pool_.give_back(packet); }

 private:
  PacketPool& pool_;
  PacketRing& in_;
  PacketRing& out_;
  bool trusted_;
  net::Capabilities capabilities_;
};

// Both ends. `trusted_checksums`: as a port that does checksums in hardware; otherwise both stacks compute them.
class Pipe {
 public:
  explicit Pipe(bool trusted_checksums, uint16_t mtu = 1500, size_t ring = 1024, size_t packets = 8192)
      : pool_(packets, size_t{mtu} + 64),
        left_to_right_(ring),
        right_to_left_(ring),
        left(pool_, right_to_left_, left_to_right_, {2, 0, 0, 0, 0, 1}, mtu, trusted_checksums),
        right(pool_, left_to_right_, right_to_left_, {2, 0, 0, 0, 0, 2}, mtu, trusted_checksums) {}

  bool quiet() const { return left_to_right_.empty() && right_to_left_.empty(); }
  bool all_home() const { return pool_.all_home(); }

 private:
  PacketPool pool_;
  PacketRing left_to_right_, right_to_left_;

 public:
  PipeDevice left, right;
};

}  // namespace talaria::tests
