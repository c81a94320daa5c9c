#include "core/net/icmpv6.h"

#include <algorithm>

#include "core/net/ethernet.h"
#include "core/net/ipv6.h"

namespace talaria::net {
namespace {

enum Option : uint8_t { source_mac_option = 1, target_mac_option = 2, prefix_option = 3 };

constexpr uint8_t flag_router = 0x80, flag_solicited = 0x40, flag_override = 0x20;
constexpr uint8_t flag_on_link = 0x80, flag_autonomous = 0x40;
constexpr size_t mac_option_bytes = 8;

// Calls visit(type, option) for each option, header included; false if one is malformed (RFC 4861 4.6: that makes the
// message none).
template <class Visit>
bool for_each_option(base::Bytes options, Visit visit) {
  while (!options.empty()) {
    if (options.size() < 2) return false;
    const size_t length = size_t{options[1]} * 8;
    if (length == 0 || length > options.size()) return false;
    visit(options[0], options.first(length));
    options = options.subspan(length);
  }
  return true;
}

// A link-layer address, if the option is of Ethernet's length and names one host.
void take_mac(base::Bytes option, std::optional<MacAddress>& mac) {
  if (option.size() != mac_option_bytes) return;
  MacAddress address;
  std::copy_n(option.data() + 2, address.size(), address.begin());
  if (!is_group(address)) mac = address;
}

size_t emit_mac(Option type, const MacAddress& mac, uint8_t* to) {
  to[0] = type;
  to[1] = 1;
  std::copy(mac.begin(), mac.end(), to + 2);
  return mac_option_bytes;
}

}  // namespace

std::optional<IcmpError> parse_icmpv6_error(const Icmpv6Message& message) {
  const bool too_big = message.type == icmpv6_packet_too_big;
  if ((!too_big && message.type != icmpv6_unreachable) ||
      message.body.size() < 4 + ipv6_header_bytes + quoted_tcp_bytes)
    return {};
  const uint8_t* ip = message.body.data() + 4;
  const IpAddress source = load_ipv6_address(ip + 8), destination = load_ipv6_address(ip + 24);
  if (ip[0] >> 4 != 6 || ip[6] != static_cast<uint8_t>(IpProtocol::tcp) || source.is_v4() || destination.is_v4())
    return {};
  const uint8_t* tcp = ip + ipv6_header_bytes;
  return IcmpError{.too_big = too_big,
                   .next_hop_mtu = too_big ? base::load_be32(message.body.data()) : 0,
                   .source = source,
                   .destination = destination,
                   .source_port = base::load_be16(tcp),
                   .destination_port = base::load_be16(tcp + 2),
                   .sequence = base::load_be32(tcp + 4)};
}

std::optional<Icmpv6Message> parse_icmpv6(base::Bytes bytes, const IpAddress& source, const IpAddress& destination) {
  if (bytes.size() < 4) return {};
  const uint64_t sum = pseudo_header_sum(source, destination, IpProtocol::icmpv6, bytes.size());
  if (checksum_fold(checksum_add(sum, bytes)) != 0xffff) return {};
  return Icmpv6Message{.type = bytes[0], .code = bytes[1], .body = bytes.subspan(4)};
}

size_t emit_icmpv6(const Icmpv6Message& message, const IpAddress& source, const IpAddress& destination, uint8_t* to) {
  const size_t total = 4 + message.body.size();
  to[0] = message.type;
  to[1] = message.code;
  base::store_be16(to + 2, 0);
  std::copy(message.body.begin(), message.body.end(), to + 4);
  const uint64_t sum = pseudo_header_sum(source, destination, IpProtocol::icmpv6, total);
  base::store_be16(to + 2, static_cast<uint16_t>(~checksum_fold(checksum_add(sum, {to, total}))));
  return total;
}

std::optional<NeighborSolicitation> parse_neighbor_solicitation(base::Bytes body) {
  if (body.size() < 20) return {};
  NeighborSolicitation message{.target = load_ipv6_address(body.data() + 4), .source_mac = {}};
  const bool whole = for_each_option(body.subspan(20), [&](uint8_t type, base::Bytes option) {
    if (type == source_mac_option) take_mac(option, message.source_mac);
  });
  if (!whole || message.target.is_multicast()) return {};
  return message;
}

std::optional<NeighborAdvertisement> parse_neighbor_advertisement(base::Bytes body) {
  if (body.size() < 20) return {};
  NeighborAdvertisement message{.target = load_ipv6_address(body.data() + 4),
                                .router = (body[0] & flag_router) != 0,
                                .solicited = (body[0] & flag_solicited) != 0,
                                .override = (body[0] & flag_override) != 0,
                                .target_mac = {}};
  const bool whole = for_each_option(body.subspan(20), [&](uint8_t type, base::Bytes option) {
    if (type == target_mac_option) take_mac(option, message.target_mac);
  });
  if (!whole || message.target.is_multicast()) return {};
  return message;
}

std::optional<RouterAdvertisement> parse_router_advertisement(base::Bytes body) {
  if (body.size() < 12) return {};
  RouterAdvertisement message;
  message.lifetime_seconds = base::load_be16(body.data() + 2);
  const bool whole = for_each_option(body.subspan(12), [&](uint8_t type, base::Bytes option) {
    if (type == source_mac_option) take_mac(option, message.source_mac);
    if (type != prefix_option || option.size() != 32 || message.prefix_count == message.prefixes.size()) return;
    if (option[2] > 128) return;
    message.prefixes[message.prefix_count++] = {.prefix = {load_ipv6_address(option.data() + 16), option[2]},
                                                .on_link = (option[3] & flag_on_link) != 0,
                                                .autonomous = (option[3] & flag_autonomous) != 0,
                                                .valid_seconds = base::load_be32(option.data() + 4),
                                                .preferred_seconds = base::load_be32(option.data() + 8)};
  });
  if (!whole) return {};
  return message;
}

size_t emit_neighbor_solicitation(const NeighborSolicitation& message, uint8_t* to) {
  base::store_be32(to, 0);
  store_ipv6_address(to + 4, message.target);
  return 20 + (message.source_mac ? emit_mac(source_mac_option, *message.source_mac, to + 20) : 0);
}

size_t emit_neighbor_advertisement(const NeighborAdvertisement& message, uint8_t* to) {
  base::store_be32(to, 0);
  to[0] = static_cast<uint8_t>((message.router ? flag_router : 0) | (message.solicited ? flag_solicited : 0) |
                               (message.override ? flag_override : 0));
  store_ipv6_address(to + 4, message.target);
  return 20 + (message.target_mac ? emit_mac(target_mac_option, *message.target_mac, to + 20) : 0);
}

size_t emit_router_solicitation(const MacAddress& source_mac, bool with_mac, uint8_t* to) {
  base::store_be32(to, 0);
  return 4 + (with_mac ? emit_mac(source_mac_option, source_mac, to + 4) : 0);
}

}  // namespace talaria::net
