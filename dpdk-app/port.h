// One network port: found, checked, configured, started, stopped. Main thread only; what the datapath needs of it
// (numbers and pools) it hands out as values.
//
//   attach   a virtual port is probed here; a PCI port was probed by EAL
//   find     there is exactly one port then: it carries the broker's address
//   agree    offloads and queues, from what the port reports and what is known of its driver (driver_facts.h)
//   pools    a receive pool a queue, a transmit pool a worker, on the port's NUMA node; a buffer holds a whole frame
//   start    queues set up, link asked for
//
// Never negotiated: MBUF_FAST_FREE (buffers of several pools pass through one queue), segmentation and coalescing,
// frames in several buffers (a buffer takes the largest frame the MTU allows).
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/net/device.h"
#include "dpdk-app/driver_facts.h"
#include "dpdk-app/exit_status.h"
#include "dpdk-app/settings.h"

struct rte_mempool;

namespace talaria::app {

// How many packets one worker may hold, beside the rings of the port.
struct PacketNeeds {
  uint32_t received = 0;  // kept for reading, or to be answered in place
  uint32_t to_send = 0;   // waiting for the port or for a neighbour's address
};

// Packets on their way between workers that share a queue, each way (spread.h).
inline constexpr uint32_t spread_ring_packets = 1024;

// Pure: what EAL has to have for the pools of a port that is not known yet (--no-huge only).
size_t packet_memory_mib(const Settings& settings, const PacketNeeds& needs);

// Pure: adds to a virtual port's arguments what the driver needs for this MTU and nobody said.
std::string complete_vdev(const std::string& vdev, uint16_t mtu);

struct Link {
  bool up = false;
  uint32_t speed_mbps = 0;  // 0: unknown
};

class Port {
 public:
  static std::expected<std::unique_ptr<Port>, Failure> open(const Settings& settings, const PacketNeeds& needs);
  // Stops the port if it runs and closes it. No worker may use it any more.
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  std::expected<void, Failure> start();
  void stop();

  uint16_t id() const { return id_; }
  const std::string& name() const { return name_; }
  const std::string& driver() const { return driver_; }
  int numa_node() const { return numa_node_; }  // -1: none
  uint32_t interface_index() const { return interface_index_; }
  const Agreement& agreement() const { return agreement_; }
  const net::Capabilities& capabilities() const { return capabilities_; }
  rte_mempool* transmit_pool(size_t worker) const { return transmit_pools_[worker]; }
  // Never waits.
  Link link() const;
  // The port's own statistics: (name, value), of what it received, sent and dropped.
  struct Statistics {
    uint64_t packets_in = 0, bytes_in = 0, packets_out = 0, bytes_out = 0;
    std::vector<std::pair<std::string, uint64_t>> drops;
  };
  Statistics statistics() const;

 private:
  Port() = default;
  std::expected<void, Failure> configure(const Settings& settings);
  std::expected<void, Failure> make_pools(const Settings& settings, const PacketNeeds& needs);
  std::expected<void, Failure> set_up_queues();
  std::expected<void, Failure> set_mtu(uint16_t mtu);

  uint16_t id_ = 0;
  std::string name_;
  std::string driver_;
  int numa_node_ = -1;
  uint32_t interface_index_ = 0;  // of the kernel's interface behind it; 0: none
  uint16_t receive_descriptors_ = 0;
  uint16_t transmit_descriptors_ = 0;
  Agreement agreement_;
  net::Capabilities capabilities_;
  std::vector<rte_mempool*> receive_pools_;
  std::vector<rte_mempool*> transmit_pools_;
  bool running_ = false;
};

}  // namespace talaria::app
