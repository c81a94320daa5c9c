// IPv6 headers (RFC 8200): the fixed one and the extensions behind it.
//
//   0               1               2               3
//  +-------+---------------+---------------------------------------+
//  |version| traffic class |              flow label               |
//  |        payload length         |  next header  |   hop limit   |
//  |                        source address 16                      |
//  |                     destination address 16                    |
//
// Pure functions over bytes; any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>

#include "core/base/bytes.h"
#include "core/net/ip_address.h"

namespace talaria::net {

inline constexpr size_t ipv6_header_bytes = 40;
inline constexpr uint16_t ipv6_mtu_min = 1280;
// A datagram with more extension headers is nobody's but an attacker's (RFC 8504 5.3 lets a host have such a bound).
inline constexpr size_t ipv6_extensions_max = 8;

constexpr size_t ip_header_bytes(IpFamily family) {
  return family == IpFamily::v4 ? ipv4_header_bytes : ipv6_header_bytes;
}

struct Ipv6Header {
  uint16_t payload_bytes = 0;  // behind this header; never more than the view that was parsed
  uint8_t next_header = 0;
  uint8_t hop_limit = 64;
  IpAddress source;
  IpAddress destination;
};

enum class Ipv6Error : uint8_t {
  too_short,
  bad_version,
  bad_length,
  bad_extension,      // does not end where it says, or one too many, or hop-by-hop options that do not come first
  refused_extension,  // a source route that goes on (RFC 5095, RFC 8200 4.4), or an option that asks to be refused
  nothing_behind_it,  // no next header
};

// Checks lengths and version. `bytes` may be longer than the datagram: Ethernet pads short frames.
std::expected<Ipv6Header, Ipv6Error> parse_ipv6(base::Bytes bytes);
// Writes 40 bytes.
void emit_ipv6(const Ipv6Header& header, uint8_t* to);

struct Ipv6Fragment {
  uint8_t next_header = 0;  // of the payload, in the first piece
  uint32_t offset = 0;      // in bytes
  bool more = false;
  uint32_t identification = 0;

  // A datagram in one piece (RFC 6946): no matter of others with the same identification.
  bool is_atomic() const { return offset == 0 && !more; }
};

// What the extension headers lead to.
struct Ipv6Payload {
  uint8_t protocol = 0;
  base::Bytes bytes;                       // from the protocol's header, or behind the fragment header, to the end
  std::optional<Ipv6Fragment> fragment{};  // a piece: what `bytes` begin with is known when the others are there
};
// `datagram` is exactly the header and its payload. Hop-by-hop and destination options, routing headers that ended and
// atomic fragments are stepped over.
std::expected<Ipv6Payload, Ipv6Error> skip_extensions(const Ipv6Header& header, base::Bytes datagram);

// The group on which who has `address` is asked for it (RFC 4291 2.7.1).
constexpr IpAddress solicited_node_group(const IpAddress& address) {
  return {0xff02ull << 48, 0x1ff000000ull | (address.low & 0xffffff)};
}
inline constexpr IpAddress all_nodes_group{0xff02ull << 48, 1};
inline constexpr IpAddress all_routers_group{0xff02ull << 48, 2};
inline constexpr IpAddress link_local_prefix{0xfe80ull << 48, 0};

}  // namespace talaria::net
