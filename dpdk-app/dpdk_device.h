// A port's queue pair as the core sees it: net::Device over DPDK's bursts. Owned and called by one worker thread; any
// thread reads the counters.
//
// A Packet's owner is its mbuf, which always holds the whole frame in one buffer. What the port says about checksums is
// passed on only where that was agreed (driver_facts.h); what the core leaves to the port is asked for in the mbuf.
#pragma once

#include <cstdint>
#include <span>

#include "core/base/cache_line.h"
#include "core/net/device.h"
#include "dpdk-app/device_counters.h"

struct rte_mbuf;
struct rte_mempool;

namespace talaria::app {

// What a device needs to know of its port; made by the main thread.
struct DeviceConfig {
  uint16_t port = 0;
  uint16_t queue = 0;
  rte_mempool* transmit_pool = nullptr;
  bool trust_receive_ip_checksum = false;
  bool trust_receive_tcp_checksum = false;
  bool prepare_transmit = false;  // the driver must see packets with offloads first
  net::Capabilities capabilities;
};

// On cache lines of its own: the main thread makes them one after the other, each for another worker to write to.
class alignas(base::cache_line) DpdkDevice final : public net::Device {
 public:
  explicit DpdkDevice(const DeviceConfig& config) : config_(config) {}

  const net::Capabilities& capabilities() const override { return config_.capabilities; }
  size_t receive(std::span<net::Packet> burst) override;
  net::Packet allocate() override;
  size_t transmit(std::span<net::Packet> burst) override;
  void release(net::Packet& packet) override;

  const DeviceCounters& counters() const { return counters_; }
  DeviceCounters& counters() { return counters_; }

  // ---- in pieces, for devices that share a queue (spread.h)
  // Fills the front of `mbufs`, at most net::burst_max, with frames in one buffer each.
  size_t receive_mbufs(std::span<rte_mbuf*> mbufs);
  // Takes the first n and returns n.
  size_t transmit_mbufs(std::span<rte_mbuf*> mbufs);
  net::Packet to_packet(rte_mbuf* mbuf) const;
  // Writes what the packet says into its mbuf.
  static rte_mbuf* to_mbuf(const net::Packet& packet);

 private:
  bool linearize(rte_mbuf* mbuf);

  DeviceConfig config_;
  DeviceCounters counters_;
};

}  // namespace talaria::app
