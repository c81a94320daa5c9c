// ARP for IPv4 over Ethernet (RFC 826).
//
//  hardware type 2 (1) | protocol type 2 (0x0800) | 6 | 4 | operation 2
//  sender MAC 6 | sender address 4 | target MAC 6 | target address 4
//
// Pure functions over bytes; any thread.
#pragma once

#include <cstdint>
#include <optional>

#include "core/base/bytes.h"
#include "core/net/device.h"
#include "core/net/ipv4.h"

namespace talaria::net {

inline constexpr size_t arp_bytes = 28;

enum class ArpOperation : uint16_t { request = 1, reply = 2 };

struct ArpMessage {
  ArpOperation operation = ArpOperation::request;
  MacAddress sender_mac{};
  Ipv4Address sender_address{};
  MacAddress target_mac{};
  Ipv4Address target_address{};
};

// Empty if short, of other types or lengths, of another operation, or with a group MAC as the sender.
std::optional<ArpMessage> parse_arp(base::Bytes bytes);
// Writes arp_bytes.
void emit_arp(const ArpMessage& message, uint8_t* to);

}  // namespace talaria::net
