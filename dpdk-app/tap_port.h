// A tap interface of the kernel with one queue a worker: the kernel keeps a connection's packets in the queue where its
// answers come from. The interface is made here, or is one that `ip tuntap add mode tap` made (with `multi_queue` for
// several workers), and goes with the broker unless it is persistent. Its address and whether it is up are its owner's
// business.
#pragma once

#include "dpdk-app/memory.h"
#include "dpdk-app/port.h"
#include "dpdk-app/tap_device.h"

namespace talaria::app {

class TapPort final : public Port {
 public:
  static std::expected<std::unique_ptr<TapPort>, Failure> open(const Settings& settings, const PortSettings& port,
                                                               const PacketNeeds& needs);
  ~TapPort() override;

  std::expected<void, Failure> start() override { return {}; }
  void stop() override {}
  std::vector<PortEnd> make_ends(size_t workers, base::HashKey spread_key) override;
  PacketSignal signal(uint16_t queue) const override;
  Link link() const override;
  Statistics statistics() const override;

  // Pure: of one worker's packets.
  static size_t memory_bytes(const PortSettings& port, const PacketNeeds& needs);

 private:
  TapPort(const Settings& settings, const PortSettings& port, const PacketNeeds& needs);
  std::expected<void, Failure> attach(uint16_t queues);
  std::expected<void, Failure> configure(uint16_t mtu);

  uint32_t packets_to_write_;
  PageMemory memory_;
  std::vector<int> descriptors_;  // one a queue
  std::vector<std::unique_ptr<Pages>> pages_;
  std::vector<const DeviceCounters*> counters_;  // of the ends
};

}  // namespace talaria::app
