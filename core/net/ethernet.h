// Ethernet II frames with at most one 802.1Q tag.
//
//  untagged:  destination 6 | source 6 | type 2 | payload
//  tagged:    destination 6 | source 6 | 0x8100 | priority 3, dei 1, VLAN id 12 | type 2 | payload
//
// Pure functions over bytes; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/bytes.h"
#include "core/net/device.h"

namespace talaria::net {

inline constexpr MacAddress broadcast_mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
inline constexpr size_t ethernet_header_bytes = 14;
inline constexpr size_t vlan_tag_bytes = 4;

inline constexpr uint16_t ethertype_ipv4 = 0x0800;
inline constexpr uint16_t ethertype_arp = 0x0806;
inline constexpr uint16_t ethertype_vlan = 0x8100;
inline constexpr uint16_t ethertype_ipv6 = 0x86dd;

struct EthernetHeader {
  MacAddress destination{};
  MacAddress source{};
  std::optional<uint16_t> vlan{};  // the 12-bit id; 0 (priority tag only) reads as none
  uint16_t type = 0;               // of the payload, behind the tag
  size_t bytes = ethernet_header_bytes;
};

inline bool is_group(const MacAddress& mac) { return (mac[0] & 1) != 0; }  // multicast or broadcast
std::string to_text(const MacAddress& mac);

// Empty if there are fewer bytes than a header (and its tag) has.
std::optional<EthernetHeader> parse_ethernet(base::Bytes frame);
// Writes 14 or, with a VLAN, 18 bytes; returns how many.
size_t emit_ethernet(const EthernetHeader& header, uint8_t* to);

}  // namespace talaria::net
