#include "core/net/arp.h"

#include <algorithm>

#include "core/net/ethernet.h"

namespace talaria::net {

std::optional<ArpMessage> parse_arp(base::Bytes bytes) {
  if (bytes.size() < arp_bytes) return {};
  const uint8_t* at = bytes.data();
  constexpr uint8_t ethernet_ipv4[] = {0, 1, 0x08, 0x00, 6, 4};
  if (!std::equal(std::begin(ethernet_ipv4), std::end(ethernet_ipv4), at)) return {};
  uint16_t operation = base::load_be16(at + 6);
  if (operation != static_cast<uint16_t>(ArpOperation::request) &&
      operation != static_cast<uint16_t>(ArpOperation::reply))
    return {};
  ArpMessage message;
  message.operation = ArpOperation{operation};
  std::copy_n(at + 8, 6, message.sender_mac.begin());
  message.sender_address.value = base::load_be32(at + 14);
  std::copy_n(at + 18, 6, message.target_mac.begin());
  message.target_address.value = base::load_be32(at + 24);
  if (is_group(message.sender_mac)) return {};
  return message;
}

void emit_arp(const ArpMessage& message, uint8_t* to) {
  constexpr uint8_t ethernet_ipv4[] = {0, 1, 0x08, 0x00, 6, 4};
  std::copy(std::begin(ethernet_ipv4), std::end(ethernet_ipv4), to);
  base::store_be16(to + 6, static_cast<uint16_t>(message.operation));
  std::copy_n(message.sender_mac.begin(), 6, to + 8);
  base::store_be32(to + 14, message.sender_address.value);
  std::copy_n(message.target_mac.begin(), 6, to + 18);
  base::store_be32(to + 24, message.target_address.value);
}

}  // namespace talaria::net
