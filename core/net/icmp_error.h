// What a router, or a host, says about a TCP segment of ours (ICMP, ICMPv6). Anybody can send one: what it quotes has
// to be checked against what is in flight (RFC 5927).
#pragma once

#include <cstdint>

#include "core/net/ip_address.h"

namespace talaria::net {

struct IcmpError {
  bool too_big = false;       // for the next link; else something that may pass: no route, nobody there
  uint32_t next_hop_mtu = 0;  // of too big; 0: the router is older than RFC 1191
  IpAddress source;           // of the segment: ours
  IpAddress destination;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint32_t sequence = 0;
};

inline constexpr size_t quoted_tcp_bytes = 8;  // of the segment, at least: ports and sequence number

}  // namespace talaria::net
