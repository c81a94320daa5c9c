// One frame on its way in or out: a handle on linear memory that a Device owns.
//
// A Packet is a value of two words and some numbers; copying it does not copy the frame. Exactly one holder is
// responsible for it: whoever received or allocated it passes it to Device::transmit (taken), or to Device::release.
// A packet handed to a device is never handed again: retransmission builds a new one (reference: DPDK drivers write
// headers in front of the data and change reference counts).
#pragma once

#include <cstdint>

#include "core/base/bytes.h"

namespace talaria::net {

// What the receiving port says about a packet's checksums. `unknown` is checked in software.
enum class ChecksumVerdict : uint8_t { unknown, good, bad };

struct Packet {
  uint8_t* data = nullptr;  // the frame's first byte (Ethernet header)
  uint16_t length = 0;      // bytes of the frame
  uint16_t capacity = 0;    // bytes that may be written from `data` on (transmit side)
  ChecksumVerdict ip_checksum = ChecksumVerdict::unknown;
  ChecksumVerdict l4_checksum = ChecksumVerdict::unknown;
  // Transmit: the stack left these to the port (only where Device::capabilities allows it). The pseudo-header sum is
  // already in the checksum field, as DPDK wants it.
  bool offload_ip_checksum = false;
  bool offload_l4_checksum = false;
  // Transmit: a TCP segment for the port to cut into ones with so much payload; 0: it goes as it is.
  uint16_t segment_bytes = 0;
  uint8_t l2_length = 0;  // for offloads: bytes of the Ethernet header, VLAN tag included
  uint8_t l3_length = 0;  // for offloads: bytes of the IP header
  void* owner = nullptr;  // the device's own handle; nobody else looks at it

  base::Bytes bytes() const { return {data, length}; }
  explicit operator bool() const { return data != nullptr; }
};

}  // namespace talaria::net
