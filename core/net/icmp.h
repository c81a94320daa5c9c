// ICMP for IPv4 (RFC 792): echo, and destination unreachable.
//
//  type 1 | code 1 | checksum 2 | rest of header 4 (echo: identifier 2, sequence 2) | data
//
// Pure functions over bytes; any thread.
#pragma once

#include <cstdint>
#include <optional>

#include "core/base/bytes.h"
#include "core/net/icmp_error.h"
#include "core/net/ipv4.h"

namespace talaria::net {

inline constexpr size_t icmp_header_bytes = 8;
inline constexpr uint8_t icmp_echo_reply = 0;
inline constexpr uint8_t icmp_unreachable = 3;
inline constexpr uint8_t icmp_echo_request = 8;
inline constexpr uint8_t icmp_code_port_unreachable = 3;
inline constexpr uint8_t icmp_code_fragmentation_needed = 4;

struct IcmpMessage {
  uint8_t type = 0;
  uint8_t code = 0;
  base::Bytes body;  // behind the first 4 bytes: rest of header and data
};

// Of destination unreachable (RFC 792, RFC 1191). Empty if the message is none, or does not quote the beginning of a
// TCP segment.
std::optional<IcmpError> parse_icmp_error(const IcmpMessage& message);

// Empty if short or the checksum over all of `bytes` is wrong.
std::optional<IcmpMessage> parse_icmp(base::Bytes bytes);
// Writes 4 + body bytes with the checksum; returns how many. `to` may not overlap `body`.
size_t emit_icmp(const IcmpMessage& message, uint8_t* to);

}  // namespace talaria::net
