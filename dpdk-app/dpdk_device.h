// A port's queue pair as the core sees it: net::Device over DPDK's bursts. Owned and called by one worker thread; any
// thread reads the counters.
//
// A Packet's owner is its mbuf, which always holds the whole frame in one buffer. What the port says about checksums is
// passed on only where that was agreed (driver_facts.h); what the core leaves to the port is asked for in the mbuf.
#pragma once

#include <cstdint>
#include <span>

#include "core/base/cache_line.h"
#include "core/base/counters.h"
#include "core/net/device.h"

struct rte_mbuf;
struct rte_mempool;

namespace talaria::app {

struct DeviceCounters {
  base::Counter packets_in, bytes_in, packets_out, bytes_out;
  base::Counter carried;             // for other workers, both ways (spread.h)
  base::Counter drop_long_frame;     // in: does not fit one buffer
  base::Counter drop_unpreparable;   // out: the driver refuses the packet itself
  base::Counter drop_spread_full;    // in: the worker it belongs to does not keep up (spread.h)
  base::Counter no_transmit_packet;  // allocate() found the pool empty (not a drop)
  base::Counter transmit_full;       // bursts that the port took only a part of (not a drop)

  // Calls `visit(name, value)` for each, in the order above.
  template <class Visitor>
  void for_each(Visitor&& visit) const;
};

template <class Visitor>
void DeviceCounters::for_each(Visitor&& visit) const {
  static_assert(sizeof(DeviceCounters) == 10 * sizeof(base::Counter), "a counter is missing below");
  visit("packets_in", packets_in.value());
  visit("bytes_in", bytes_in.value());
  visit("packets_out", packets_out.value());
  visit("bytes_out", bytes_out.value());
  visit("carried", carried.value());
  visit("drop_long_frame", drop_long_frame.value());
  visit("drop_unpreparable", drop_unpreparable.value());
  visit("drop_spread_full", drop_spread_full.value());
  visit("no_transmit_packet", no_transmit_packet.value());
  visit("transmit_full", transmit_full.value());
}

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
