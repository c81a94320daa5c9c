// IPv6 in (RFC 8200) and ICMPv6 (RFC 4443), as far as it is not about neighbours.
#include "core/base/check.h"
#include "core/net/host.h"
#include "core/net/icmpv6.h"
#include "core/net/ipv6.h"

namespace talaria::net {

void Host::on_ipv6(Packet& packet, const EthernetHeader& ethernet, base::Time now) {
  base::Bytes bytes = packet.bytes().subspan(ethernet.bytes);
  auto ip = parse_ipv6(bytes);
  if (!ip) return drop(packet, counters_.drop_bad_ip_header);
  // A mapped IPv4 address looks like one of ours, and is none (RFC 4942 2.2).
  const IpAddress& to = ip->destination;
  const bool for_us = !to.is_v4() && (to.is_multicast() ? in_group(to) : routing_.is_ours(to));
  if (!for_us || (!to.is_multicast() && ethernet.destination != capabilities_.mac))
    return drop(packet, counters_.drop_other_address);
  // Nobody's address is that of who does not have one yet and asks whether he may.
  const bool nobody = ip->source == IpAddress();
  if (ip->source.is_v4() || (!nobody && !ip->source.is_unicast()) || routing_.is_ours(ip->source))
    return drop(packet, counters_.drop_bad_source);
  if (refreshing_ && !nobody) [[unlikely]]
    hear(ip->source, ethernet.source, now);

  auto payload = skip_extensions(*ip, bytes.first(ipv6_header_bytes + ip->payload_bytes));
  if (!payload) return drop(packet, counters_.drop_ip_extension);
  if (payload->fragment) {
    const Ipv6Fragment& piece = *payload->fragment;
    return on_fragment(packet, ethernet,
                       {.key = {ip->source, ip->destination, piece.identification},
                        .protocol = piece.next_header,
                        .offset = piece.offset,
                        .more = piece.more,
                        .payload = payload->bytes},
                       ip->hop_limit, now);
  }
  on_ipv6_payload(packet, *ip, {.protocol = payload->protocol, .bytes = payload->bytes, .from = ethernet.source}, now);
}

// Owns the packet.
void Host::on_ipv6_payload(Packet& packet, const Ipv6Header& ip, const L4& l4, base::Time now) {
  const bool between_two = !ip.destination.is_multicast() && !ip.source.is_unspecified();
  const auto protocol = IpProtocol{l4.protocol};
  if (!between_two && protocol != IpProtocol::icmpv6) return drop(packet, counters_.drop_other_address);
  switch (protocol) {
    case IpProtocol::tcp: return take_segment(packet, ip.source, ip.destination, l4.bytes);
    case IpProtocol::icmpv6: on_icmpv6(ip, l4, now); break;
    case IpProtocol::udp: on_ipv6_udp(packet, ip, now); break;
    default: counters_.drop_unknown_protocol.add();
  }
  device_.release(packet);
}

void Host::on_icmpv6(const Ipv6Header& ip, const L4& l4, base::Time now) {
  counters_.icmp_received.add();
  auto message = parse_icmpv6(l4.bytes, ip.source, ip.destination);
  if (!message) return counters_.drop_bad_icmp.add();
  switch (message->type) {
    case icmpv6_echo_request: return answer_echo(ip, *message, now);
    case icmpv6_router_advertisement:
    case icmpv6_neighbor_solicitation:
    case icmpv6_neighbor_advertisement:
      counters_.ndp_received.add();
      // From beyond a router, or in pieces that hide what they are (RFC 6980): a forgery.
      if (ip.hop_limit != neighbor_discovery_hop_limit || message->code != 0 || l4.from_pieces)
        return counters_.drop_bad_ndp.add();
      if (message->type == icmpv6_router_advertisement) return on_router_advertisement(ip, *message, now);
      if (message->type == icmpv6_neighbor_advertisement) return on_neighbor_advertisement(ip, *message, now);
      return on_neighbor_solicitation(ip, *message, l4.from, now);
    case mld_query: return on_mld_query(ip, *message, now);
    case icmpv6_unreachable:
    case icmpv6_packet_too_big:
      if (auto error = parse_icmpv6_error(*message); error && !ip.destination.is_multicast())
        return take_icmp_error(*error);
      return counters_.drop_icmp_other.add();
    default: counters_.drop_icmp_other.add();
  }
}

// To one of our addresses; what was sent to a group is nobody's in particular.
void Host::answer_echo(const Ipv6Header& ip, const Icmpv6Message& request, base::Time now) {
  if (ip.destination.is_multicast() || ip.source.is_unspecified() || request.code != 0 || request.body.size() < 4 ||
      request.body.size() + 4 + ipv6_header_bytes > mtu())
    return counters_.drop_bad_icmp.add();
  counters_.echo_replies.add();
  send_icmpv6({.type = icmpv6_echo_reply, .code = 0, .body = request.body}, ip.destination, ip.source, now);
}

// Nobody here speaks UDP. As much of the datagram as fits goes back with the answer (RFC 4443 3.1, 2.4 c).
void Host::on_ipv6_udp(const Packet& packet, const Ipv6Header& ip, base::Time now) {
  counters_.udp_received.add();
  if (!unreachables_.allow(now)) return counters_.port_unreachables_limited.add();
  constexpr size_t quote_max = 128;
  uint8_t body[4 + quote_max] = {};
  const base::Bytes frame = packet.bytes();
  const size_t at = parse_ethernet(frame)->bytes;
  const size_t quoted = std::min<size_t>(quote_max, ipv6_header_bytes + ip.payload_bytes);
  std::copy_n(frame.data() + at, quoted, body + 4);
  counters_.port_unreachables.add();
  send_icmpv6({.type = icmpv6_unreachable, .code = icmpv6_code_port_unreachable, .body = {body, 4 + quoted}},
              ip.destination, ip.source, now);
}

// To one host, by way of its neighbour entry.
void Host::send_icmpv6(const Icmpv6Message& message, const IpAddress& source, const IpAddress& destination,
                       base::Time now) {
  Packet packet = allocate();
  if (!packet) return;
  uint8_t* l4 = packet.data + l4_offset(IpFamily::v6);
  packet.length = static_cast<uint16_t>(l4_offset(IpFamily::v6) + emit_icmpv6(message, source, destination, l4));
  send(packet, source, destination, IpProtocol::icmpv6, now);
}

// Of an address we have, wherever it was learned, and of one that we ask for.
bool Host::in_group(const IpAddress& group) const {
  if (group == all_nodes_group) return true;
  bool found = false;
  for (const IpPrefix& own : routing_.addresses())
    found = found || (!own.address.is_v4() && group == solicited_node_group(own.address));
  if (autoconfiguration_)
    autoconfiguration_->for_each_address(
        [&](const IpAddress& address) { found = found || group == solicited_node_group(address); });
  return found;
}

}  // namespace talaria::net
