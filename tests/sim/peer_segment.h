// Ethernet, ARP, IPv4 and TCP headers for the independent peer, read and written by hand: nothing of core/net or
// core/tcp is used, so that a misreading of the RFCs there is not repeated here.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/bytes.h"
#include "core/net/device.h"

namespace talaria::sim {

struct PeerSegment {
  uint32_t source = 0, destination = 0;  // addresses
  uint16_t source_port = 0, destination_port = 0;
  uint32_t sequence = 0, acknowledgement = 0;
  bool fin = false, syn = false, rst = false, psh = false, ack = false;
  uint16_t window = 0;  // as it stands in the header
  // Options; on the way out the ones that are set are written.
  std::optional<uint16_t> mss;
  std::optional<uint8_t> window_scale;
  bool sack_permitted = false;
  std::optional<uint32_t> timestamp, timestamp_echo;
  std::vector<uint8_t> payload;

  uint32_t length() const { return static_cast<uint32_t>(payload.size()) + syn + fin; }
};

// Empty if it is no TCP over IPv4, or broken: lengths and both checksums are verified.
std::optional<PeerSegment> read_segment(base::Bytes frame);
std::vector<uint8_t> write_segment(const PeerSegment& segment, const net::MacAddress& from, const net::MacAddress& to);

struct PeerArp {
  bool request = false;
  net::MacAddress sender_mac{};
  uint32_t sender = 0, target = 0;  // addresses
};
std::optional<PeerArp> read_arp(base::Bytes frame);
std::vector<uint8_t> write_arp(bool request, const net::MacAddress& sender_mac, uint32_t sender,
                               const net::MacAddress& target_mac, uint32_t target);

}  // namespace talaria::sim
