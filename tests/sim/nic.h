// A simulated network card: one port on the network, with one net::Device per worker.
//
//   network --> verdicts --> RSS --> receive ring of a queue --> Device::receive
//   Device::transmit --> transmit ring --> offloads --> network     (the packet is home when its last bit is out)
//
// RSS hashes addresses and ports of TCP; everything else, ARP above all, arrives at queue 0. Pools and rings are
// bounded and small where a scenario wants it: a frame that finds no packet or no room in its ring is lost and counted,
// a transmit ring that is full refuses.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "core/net/device.h"
#include "tests/sim/network.h"
#include "tests/sim/packet_pool.h"
#include "tests/sim/world.h"

namespace talaria::sim {

struct NicConfig {
  net::MacAddress mac{};
  uint16_t mtu = 1500;
  size_t queues = 1;
  size_t receive_packets = 512;  // per queue
  size_t transmit_packets = 512;
  size_t receive_ring = 256;
  size_t transmit_ring = 128;
  bool checksum_offload = false;  // both directions: verdicts on the way in, checksums filled in on the way out
  uint16_t segmentation = 0;  // the longest packet that the card cuts itself; needs checksum_offload; 0: it cuts none
  double refuse_chance = 0;   // per transmit call: only a part is taken, for no reason
};

// What an evil harness does between the card and the worker; see plant.h. Called for every frame that arrives, before
// RSS; may change it.
using FrameTamper = std::function<void(std::vector<uint8_t>& frame)>;

class Nic final : public Port {
 public:
  Nic(World& world, Network& network, const NicConfig& config, const Link& up, const Link& down);
  ~Nic() override;

  net::Device& device(size_t queue);
  void on_frame(base::Bytes frame) override;

  void tamper_with(FrameTamper tamper) { tamper_ = std::move(tamper); }
  // Frames that went through any queue, both ways: an actor that moved none has done nothing.
  uint64_t moved() const { return moved_; }
  uint64_t lost_for_want_of_room() const { return lost_; }
  // Packets that are neither home nor in a ring: held by a worker.
  size_t packets_out() const;

 private:
  class Queue;
  friend class Queue;

  size_t queue_of(base::Bytes frame) const;

  World& world_;
  Network& network_;
  NicConfig config_;
  Network::PortIndex port_;
  Random random_;
  std::vector<std::unique_ptr<Queue>> queues_;
  FrameTamper tamper_;
  uint64_t moved_ = 0;
  uint64_t lost_ = 0;
};

}  // namespace talaria::sim
