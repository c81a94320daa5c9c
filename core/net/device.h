// A network port as one worker sees it: bursts of packets in, bursts out. The DPDK one is in dpdk-app, the simulated
// one in tests/sim. Owned and called by one worker thread only. No call blocks.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "core/net/packet.h"

namespace talaria::net {

inline constexpr size_t burst_max = 32;

using MacAddress = std::array<uint8_t, 6>;

// What was negotiated with the port; false or zero always means that software does it.
struct Capabilities {
  MacAddress mac{};
  uint16_t mtu = 1500;  // bytes of an IP packet, Ethernet header and VLAN tag excluded
  bool transmit_ip_checksum = false;
  bool transmit_l4_checksum = false;
  // Bytes of the longest IP packet with a TCP segment that the port cuts into those of its MTU itself (TSO); its
  // checksums are then the port's, too.
  uint16_t transmit_segmentation = 0;
};

class Device {
 public:
  virtual ~Device() = default;

  virtual const Capabilities& capabilities() const = 0;

  // Fills the front of `burst` (at most burst_max are used) and returns how many. The caller owns them.
  virtual size_t receive(std::span<Packet> burst) = 0;

  // A packet to write into, with `capacity` >= mtu + 18 and length 0; empty when the pool has none (counted by the
  // device; the caller waits, nothing is lost).
  virtual Packet allocate() = 0;

  // The same for a packet that the port is to cut, with `capacity` >= transmit_segmentation + 18. Only where there is
  // such.
  virtual Packet allocate_long() { return {}; }

  // Hands over the first n packets and returns n; the rest stay the caller's (a full transmit ring, never loss).
  virtual size_t transmit(std::span<Packet> burst) = 0;

  // A frame whose datagram the caller put together of pieces; these carry no ports, so all of them come to one worker.
  // True if it is another one's, and the device has taken it there.
  virtual bool pass_on(Packet&) { return false; }

  // Gives a packet back unsent.
  virtual void release(Packet& packet) = 0;
};

}  // namespace talaria::net
