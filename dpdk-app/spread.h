// Several workers on a port with one queue: the first worker receives and sends for all.
//
//                   +-- ring --> branch 1 = worker 1's Device      a TCP segment goes to the worker that the keyed hash
//   port <--> trunk +-- ring --> branch 2 = worker 2's Device      of its addresses and ports names, always the same;
//        (worker 0) <-- ring --- branch 1                          everything else goes to worker 0
//                   <-- ring --- branch 2
//
// Each turn of worker 0 begins with what the branches want sent, then receives one burst and shares it out. A full ring
// towards a branch drops the packet, counted (as a port's full receive queue would); a full ring towards the trunk
// makes transmit() take less. So a worker that stalls stops itself, and worker 0 only as long as its burst lasts. What
// the port refuses stays in the trunk, at most one burst a branch, and is offered first next turn.
//
// ARP answers reach worker 0 alone; workers tell one another the addresses they hear of (core/worker/mesh.h).
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/hash.h"
#include "dpdk-app/dpdk_device.h"
#include "dpdk-app/exit_status.h"

struct rte_ring;

namespace talaria::app {

// Packets on their way between workers that share a queue, each way.
inline constexpr uint32_t spread_ring_packets = 1024;

// Pure: which of `workers` a frame belongs to. Frames without the ports of a TCP header in an unfragmented IP packet
// belong to worker 0: it puts pieces together and passes the whole on.
size_t spread_to(base::Bytes frame, base::HashKey key, size_t workers);

// The two rings between the trunk and one branch. Each has one producer and one consumer.
class SpreadLane {
 public:
  static std::unique_ptr<SpreadLane> make(size_t worker, int numa_node);  // empty: no memory
  ~SpreadLane();
  SpreadLane(const SpreadLane&) = delete;

  rte_ring* to_branch = nullptr;
  rte_ring* to_trunk = nullptr;

 private:
  SpreadLane() = default;
};

// Worker k's device, k > 0.
class SpreadBranch final : public net::Device {
 public:
  // Of `config` the pool, the checksum verdicts and the capabilities are used; the queue is the trunk's.
  SpreadBranch(const DeviceConfig& config, SpreadLane& lane) : buffers_(config), lane_(lane) {}

  const net::Capabilities& capabilities() const override { return buffers_.capabilities(); }
  size_t receive(std::span<net::Packet> burst) override;
  net::Packet allocate() override { return buffers_.allocate(); }
  size_t transmit(std::span<net::Packet> burst) override;
  void release(net::Packet& packet) override { buffers_.release(packet); }

  const DeviceCounters& counters() const { return buffers_.counters(); }

 private:
  DpdkDevice buffers_;
  SpreadLane& lane_;
};

// Worker 0's device.
class SpreadTrunk final : public net::Device {
 public:
  // lanes[k] leads to worker k + 1. `key` is secret.
  SpreadTrunk(const DeviceConfig& config, std::vector<SpreadLane*> lanes, base::HashKey key);
  ~SpreadTrunk() override;

  const net::Capabilities& capabilities() const override { return port_.capabilities(); }
  size_t receive(std::span<net::Packet> burst) override;
  net::Packet allocate() override { return port_.allocate(); }
  size_t transmit(std::span<net::Packet> burst) override { return port_.transmit(burst); }
  void release(net::Packet& packet) override { port_.release(packet); }
  bool pass_on(net::Packet& packet) override;

  const DeviceCounters& counters() const { return port_.counters(); }
  // Packets carried for other workers, both ways: work of this core that its own worker does not see.
  uint64_t carried() const { return port_.counters().carried.value(); }
  // The port refused what a branch wants sent: it is offered again next turn.
  bool has_unsent() const;

 private:
  struct Branch {
    SpreadLane* lane = nullptr;
    std::array<rte_mbuf*, net::burst_max> unsent;
    size_t unsent_first = 0;
    size_t unsent_count = 0;
    std::array<rte_mbuf*, net::burst_max> arrived;
    size_t arrived_count = 0;
  };
  void send_for(Branch& branch);
  void hand_over(Branch& branch);

  DpdkDevice port_;
  base::HashKey key_;
  std::vector<Branch> branches_;
};

}  // namespace talaria::app
