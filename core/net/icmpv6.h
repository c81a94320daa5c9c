// ICMPv6 (RFC 4443) and Neighbour Discovery (RFC 4861): messages as bytes and as values.
//
//  type 1 | code 1 | checksum 2 | body
//
//  errors                   unused 4 (packet too big: MTU), as much of the packet as fits
//  echo                     identifier 2, sequence 2, data
//  neighbour solicitation   reserved 4, target 16, options
//  neighbour advertisement  R S O and reserved 4, target 16, options
//  router solicitation      reserved 4, options
//  router advertisement     hop limit 1, M O 1, router lifetime 2, reachable 4, retransmit 4, options
//  option                   type 1, length in 8 bytes 1, ...
//
// Pure functions over bytes; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "core/base/bytes.h"
#include "core/net/device.h"
#include "core/net/icmp_error.h"
#include "core/net/ip_address.h"

namespace talaria::net {

enum Icmpv6Type : uint8_t {
  icmpv6_unreachable = 1,
  icmpv6_packet_too_big = 2,
  icmpv6_time_exceeded = 3,
  icmpv6_parameter_problem = 4,
  icmpv6_echo_request = 128,
  icmpv6_echo_reply = 129,
  icmpv6_router_solicitation = 133,
  icmpv6_router_advertisement = 134,
  icmpv6_neighbor_solicitation = 135,
  icmpv6_neighbor_advertisement = 136,
  icmpv6_redirect = 137,
};
inline constexpr uint8_t icmpv6_code_port_unreachable = 4;
inline constexpr uint8_t neighbor_discovery_hop_limit = 255;  // nobody beyond a router can send it (RFC 4861 3.1)

// The Ethernet group of an IPv6 group (RFC 2464 7).
inline MacAddress group_mac(const IpAddress& group) {
  MacAddress mac{0x33, 0x33, 0, 0, 0, 0};
  base::store_be32(mac.data() + 2, static_cast<uint32_t>(group.low));
  return mac;
}

struct Icmpv6Message {
  uint8_t type = 0;
  uint8_t code = 0;
  base::Bytes body;  // behind the first 4 bytes
};

// Empty if short or the checksum over pseudo header and `bytes` is wrong.
std::optional<Icmpv6Message> parse_icmpv6(base::Bytes bytes, const IpAddress& source, const IpAddress& destination);
// Of destination unreachable and packet too big (RFC 4443 3.1, 3.2). Empty if the message is neither, or does not quote
// the beginning of a TCP segment as we send them, without extension headers.
std::optional<IcmpError> parse_icmpv6_error(const Icmpv6Message& message);
// Writes 4 + body bytes with the checksum; returns how many. `to` may not overlap `body`.
size_t emit_icmpv6(const Icmpv6Message& message, const IpAddress& source, const IpAddress& destination, uint8_t* to);

struct NeighborSolicitation {
  IpAddress target;
  std::optional<MacAddress> source_mac;  // whose the message is
};

struct NeighborAdvertisement {
  IpAddress target;
  bool router = false;
  bool solicited = false;
  bool override = false;
  std::optional<MacAddress> target_mac;
};

struct AdvertisedPrefix {
  IpPrefix prefix;
  bool on_link = false;
  bool autonomous = false;  // hosts make addresses of it
  uint32_t valid_seconds = 0;
  uint32_t preferred_seconds = 0;
};

struct RouterAdvertisement {
  static constexpr size_t prefixes_max = 4;  // of one message; those behind are not looked at

  uint16_t lifetime_seconds = 0;  // as a default router; 0: it is none
  std::optional<MacAddress> source_mac;
  size_t prefix_count = 0;
  std::array<AdvertisedPrefix, prefixes_max> prefixes;
};

// Of a body, behind the first 4 bytes of the message. Empty if short, or if an option has no length or reaches beyond.
std::optional<NeighborSolicitation> parse_neighbor_solicitation(base::Bytes body);
std::optional<NeighborAdvertisement> parse_neighbor_advertisement(base::Bytes body);
std::optional<RouterAdvertisement> parse_router_advertisement(base::Bytes body);

inline constexpr size_t neighbor_message_bytes_max = 28;  // of a body that we write
// Write a body; return how many bytes.
size_t emit_neighbor_solicitation(const NeighborSolicitation& message, uint8_t* to);
size_t emit_neighbor_advertisement(const NeighborAdvertisement& message, uint8_t* to);
size_t emit_router_solicitation(const MacAddress& source_mac, bool with_mac, uint8_t* to);

}  // namespace talaria::net
