// One network port, whatever drives it: opened, started, stopped. Main thread only; what the datapath needs of it (its
// numbers, and an end for each worker) it hands out.
//
//   DpdkPort   a card, or a virtual port of DPDK's (dpdk_port.h)
//   TapPort    a tap interface of the kernel, whole segments at a time (tap_port.h)
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/hash.h"
#include "core/net/device.h"
#include "dpdk-app/exit_status.h"
#include "dpdk-app/packet_signal.h"
#include "dpdk-app/settings.h"
#include "dpdk-app/spread.h"

namespace talaria::app {

// How many packets one worker may hold, beside the rings of the port.
struct PacketNeeds {
  uint32_t received = 0;  // kept for reading, or to be answered in place
  uint32_t to_send = 0;   // waiting for the port or for a neighbour's address
};

// Pure: MiB that EAL has to have for the packets of ports that are not known yet (--no-huge only).
size_t packet_memory_mib(const Settings& settings, const PacketNeeds& needs);

struct Link {
  bool up = false;
  uint32_t speed_mbps = 0;  // 0: unknown
};

// One worker's end of the port. The lane outlives the device.
struct PortEnd {
  std::unique_ptr<SpreadLane> lane;  // to worker 0, which has the port's only queue
  std::unique_ptr<net::Device> device;
  const DeviceCounters* counters = nullptr;
  SpreadTrunk* trunk = nullptr;  // the device, if it carries packets for the others
};

class Port;
using Ports = std::vector<std::unique_ptr<Port>>;  // in the settings' order

class Port {
 public:
  // `port` is one of the settings' ports.
  static std::expected<std::unique_ptr<Port>, Failure> open(const Settings& settings, const PortSettings& port,
                                                            const PacketNeeds& needs);
  // Stops the port if it runs and closes it. Its ends are gone by then.
  virtual ~Port() = default;
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  virtual std::expected<void, Failure> start() = 0;
  virtual void stop() = 0;

  const std::string& name() const { return name_; }
  const std::string& driver() const { return driver_; }
  int numa_node() const { return numa_node_; }  // -1: none
  uint16_t queues() const { return queues_; }   // of each direction; 1 or one a worker
  bool does_checksums() const { return does_checksums_; }
  const net::Capabilities& capabilities() const { return capabilities_; }

  // One for each worker, in their order, when those of an earlier call are gone. `spread_key` is secret.
  virtual std::vector<PortEnd> make_ends(size_t workers, base::HashKey spread_key) = 0;
  // By what a sleeping worker hears of packets in its queue; the port has started.
  virtual PacketSignal signal(uint16_t queue) const = 0;

  // Never waits.
  virtual Link link() const = 0;
  // The port's own statistics: (name, value), of what it received, sent and dropped.
  struct Statistics {
    uint64_t packets_in = 0, bytes_in = 0, packets_out = 0, bytes_out = 0;
    std::vector<std::pair<std::string, uint64_t>> drops;
  };
  virtual Statistics statistics() const = 0;

 protected:
  Port() = default;

  std::string name_;
  std::string driver_;
  int numa_node_ = -1;
  uint16_t queues_ = 1;
  bool does_checksums_ = false;
  net::Capabilities capabilities_;
};

}  // namespace talaria::app
