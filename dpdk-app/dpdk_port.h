// A port that DPDK drives: found, checked, configured.
//
//   attach   a virtual port is probed here; a PCI port was probed by EAL
//   find     a PCI port by its address, a virtual one as the one that is new
//   agree    offloads and queues, from what the port reports and what is known of its driver (driver_facts.h)
//   pools    a receive pool a queue, a transmit pool a worker, on the port's NUMA node; a buffer holds a whole frame
//   start    queues set up, link asked for
//
// Never negotiated: MBUF_FAST_FREE (buffers of several pools pass through one queue), segmentation and coalescing,
// frames in several buffers (a buffer takes the largest frame the MTU allows).
#pragma once

#include "dpdk-app/driver_facts.h"
#include "dpdk-app/port.h"

struct rte_mempool;

namespace talaria::app {

// Pure: adds to a virtual port's arguments what the driver needs for this MTU and nobody said.
std::string complete_vdev(const std::string& vdev, uint16_t mtu);

class DpdkPort final : public Port {
 public:
  static std::expected<std::unique_ptr<DpdkPort>, Failure> open(const Settings& settings, const PortSettings& port,
                                                                const PacketNeeds& needs);
  ~DpdkPort() override;
  // Pure: MiB for the packets of any such port.
  static size_t memory_mib(const Settings& settings, const PortSettings& port, const PacketNeeds& needs);

  std::expected<void, Failure> start() override;
  void stop() override;
  std::vector<PortEnd> make_ends(size_t workers, base::HashKey spread_key) override;
  PacketSignal signal(uint16_t queue) const override;
  Link link() const override;
  Statistics statistics() const override;

  uint16_t id() const { return id_; }
  uint32_t interface_index() const { return interface_index_; }
  rte_mempool* transmit_pool(size_t worker) const { return transmit_pools_[worker]; }

 private:
  DpdkPort() = default;
  std::expected<void, Failure> configure(const Settings& settings, const PortSettings& port);
  std::expected<void, Failure> make_pools(const Settings& settings, const PortSettings& port, const PacketNeeds& needs);
  std::expected<void, Failure> set_up_queues();
  std::expected<void, Failure> set_mtu(uint16_t mtu);
  DeviceConfig device_config(size_t worker, uint16_t queue) const;

  uint16_t id_ = 0;
  uint32_t interface_index_ = 0;  // of the kernel's interface behind it; 0: none
  uint16_t receive_descriptors_ = 0;
  uint16_t transmit_descriptors_ = 0;
  Agreement agreement_;
  std::vector<rte_mempool*> receive_pools_;
  std::vector<rte_mempool*> transmit_pools_;
  bool receives_multicast_ = false;
  bool running_ = false;
};

}  // namespace talaria::app
