// IPv4 addresses and headers (RFC 791), and the Internet checksum (RFC 1071).
//
//   0               1               2               3
//  +-------+-------+---------------+-------------------------------+
//  |version|  IHL  |      TOS      |         total length          |
//  +-------+-------+---------------+-----+-------------------------+
//  |        identification         |flags|     fragment offset     |
//  +---------------+---------------+-----+-------------------------+
//  |      TTL      |   protocol    |        header checksum        |
//  +---------------+---------------+-------------------------------+
//  |                         source address                        |
//  |                      destination address                      |
//  |                     options (IHL - 5 words)                   |
//
// Pure functions over bytes; any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/bytes.h"

namespace talaria::net {

struct Ipv4Address {
  uint32_t value = 0;  // host byte order: 198.18.0.1 is 0xc6120001

  auto operator<=>(const Ipv4Address&) const = default;
  bool is_multicast() const { return (value >> 28) == 0xe; }
  bool is_loopback() const { return (value >> 24) == 127; }
  bool is_unspecified() const { return value == 0; }
  bool is_broadcast() const { return value == 0xffffffff; }
};

// "198.18.0.1"; empty if it is none. Four decimal parts, no other form.
std::optional<Ipv4Address> parse_ipv4_address(std::string_view text);
std::string to_text(Ipv4Address address);

// The mask of a prefix of 0..32 bits.
constexpr uint32_t prefix_mask(uint8_t length) { return length == 0 ? 0 : ~uint32_t{0} << (32 - length); }

enum class IpProtocol : uint8_t { hop_by_hop = 0, icmp = 1, tcp = 6, udp = 17, icmpv6 = 58 };

inline constexpr size_t ipv4_header_bytes = 20;  // ours carry no options

struct Ipv4Header {
  uint8_t header_bytes = ipv4_header_bytes;  // 20..60, options included
  uint16_t total_bytes = 0;                  // header and payload; never more than the view that was parsed
  uint16_t identification = 0;
  bool dont_fragment = false;  // emit only
  bool more_fragments = false;
  uint16_t fragment_offset = 0;  // in 8-byte units
  uint8_t time_to_live = 64;
  uint8_t protocol = 0;
  Ipv4Address source{};
  Ipv4Address destination{};

  bool is_fragment() const { return more_fragments || fragment_offset != 0; }
};

enum class Ipv4Error : uint8_t { too_short, bad_version, bad_header_length, bad_total_length };

// Checks lengths and version, not the checksum (the port may have done that: see verify_ipv4_checksum). `bytes` may be
// longer than the datagram: Ethernet pads short frames.
std::expected<Ipv4Header, Ipv4Error> parse_ipv4(base::Bytes bytes);
// True if the header's checksum is right. `header` is exactly the header, options included.
bool verify_ipv4_checksum(base::Bytes header);
// Writes 20 bytes. With `checksum` false the field is left 0 for the port to fill.
void emit_ipv4(const Ipv4Header& header, uint8_t* to, bool checksum);

// ---- the Internet checksum ------------------------------------------------------------------------------------------
// A ones' complement sum that is not folded yet; add up parts (each part but the last of even length), then fold.
uint64_t checksum_add(uint64_t sum, base::Bytes bytes);
// The 16-bit ones' complement sum, in host byte order, not inverted.
uint16_t checksum_fold(uint64_t sum);
// The sum of the pseudo-header of TCP, UDP (RFC 9293 3.1): addresses, protocol, length of the L4 part.
uint64_t pseudo_header_sum(Ipv4Address source, Ipv4Address destination, IpProtocol protocol, size_t l4_bytes);

}  // namespace talaria::net
