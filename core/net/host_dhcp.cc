// IPv4 addresses from a DHCP server (RFC 2131): what the client says is put into frames, what it hears comes out of
// them.
#include "core/base/check.h"
#include "core/net/dhcp.h"
#include "core/net/host.h"

namespace talaria::net {
namespace {

constexpr size_t udp_header_bytes = 8;
constexpr Ipv4Address everybody{0xffffffff};

bool udp_checksum_is_good(base::Bytes udp, Ipv4Address source, Ipv4Address destination) {
  if (base::load_be16(udp.data() + 6) == 0) return true;  // none was computed
  const uint64_t sum = pseudo_header_sum(source, destination, IpProtocol::udp, udp.size());
  return checksum_fold(checksum_add(sum, udp)) == 0xffff;
}

}  // namespace

// A datagram to the client's port, sent to everybody or to the address that is being offered: the one thing that is
// taken at an address which is not ours. Empty if `bytes`, an IPv4 datagram, is none.
std::optional<DhcpMessage> Host::dhcp_answer(const Ipv4Header& ip, base::Bytes bytes, ChecksumVerdict checksum) const {
  if (!config_.address_from_dhcp || ip.protocol != static_cast<uint8_t>(IpProtocol::udp) || ip.is_fragment()) return {};
  base::Bytes udp = bytes.first(ip.total_bytes).subspan(ip.header_bytes);
  if (udp.size() < udp_header_bytes || base::load_be16(udp.data()) != dhcp_server_port ||
      base::load_be16(udp.data() + 2) != dhcp_client_port)
    return {};
  const size_t length = base::load_be16(udp.data() + 4);
  if (length < udp_header_bytes || length > udp.size()) return {};
  udp = udp.first(length);
  // A tap hands over datagrams whose checksum is not computed yet, and says that they are good.
  if (checksum != ChecksumVerdict::good && !udp_checksum_is_good(udp, ip.source, ip.destination)) return {};
  return parse_dhcp(udp.subspan(udp_header_bytes));
}

void Host::on_dhcp(const DhcpMessage& message, base::Time now) {
  counters_.dhcp_received.add();
  if (!dhcp_) return hear_for_another({.kind = Heard::Kind::dhcp, .dhcp = message});
  listen_to_dhcp(message, now);
}

// An offer of what another port has is none (two networks behind address translators that number alike, say).
void Host::listen_to_dhcp(const DhcpMessage& message, base::Time now) {
  if (is_a_siblings(message.yours)) return counters_.address_conflicts.add();
  dhcp_->on_message(message, now);
  take_dhcp_steps(now);
}

void Host::take_dhcp_steps(base::Time now) {
  using Action = DhcpClient::Action;
  using Kind = NetworkChange::Kind;
  for (const DhcpClient::Step& step : dhcp_->take_steps()) {
    const DhcpClient::Lease& lease = step.lease;
    switch (step.action) {
      case Action::send_to_all: send_dhcp(step.message, everybody, now); break;
      case Action::send_to_server: send_dhcp(step.message, step.server, now); break;
      case Action::got:
        change({Kind::address_added, lease.address, {}});
        if (lease.router) change({Kind::route_added, {}, default_route(*lease.router)});
        announce_soon(now);
        break;
      case Action::lost:
        if (lease.router) change({Kind::route_removed, {}, default_route(*lease.router)});
        change({Kind::address_removed, lease.address, {}});
        break;
    }
  }
  look_again_at(dhcp_->next_deadline());
}

void Host::send_dhcp(const DhcpMessage& message, Ipv4Address to, base::Time now) {
  Packet packet = allocate();
  if (!packet) return;
  uint8_t* udp = packet.data + l4_offset();
  const size_t length = udp_header_bytes + emit_dhcp(message, udp + udp_header_bytes);
  base::store_be16(udp, dhcp_client_port);
  base::store_be16(udp + 2, dhcp_server_port);
  base::store_be16(udp + 4, static_cast<uint16_t>(length));
  base::store_be16(udp + 6, 0);
  const uint64_t sum = pseudo_header_sum(message.client, to, IpProtocol::udp, length);
  const auto checksum = static_cast<uint16_t>(~checksum_fold(checksum_add(sum, {udp, length})));
  base::store_be16(udp + 6, checksum == 0 ? uint16_t{0xffff} : checksum);
  packet.length = static_cast<uint16_t>(l4_offset() + length);
  if (to != everybody) return send(packet, message.client, to, IpProtocol::udp, now);
  write_ipv4(packet, message.client, to, IpProtocol::udp);
  write_ethernet(packet, broadcast_mac, ethertype_ipv4);
  enqueue(packet);
}

// What the worker that announces must know, and another one received.
void Host::hear_for_another(const Heard& heard) {
  constexpr size_t heard_max = 16;  // of a turn; all of it is said again
  if (!config_.announce && heard_.size() < heard_max) heard_.push_back(heard);
}

void Host::on_heard(const Heard& heard, base::Time now) {
  switch (heard.kind) {
    case Heard::Kind::dhcp:
      if (!dhcp_) break;
      listen_to_dhcp(heard.dhcp, now);
      break;
    case Heard::Kind::router:
      if (!autoconfiguration_) break;
      autoconfiguration_->on_router_advertisement(heard.address, heard.router, now);
      take_autoconfiguration_steps(now);
      break;
    case Heard::Kind::duplicate:
      if (!autoconfiguration_) break;
      autoconfiguration_->on_duplicate(heard.address, now);
      take_autoconfiguration_steps(now);
      break;
    case Heard::Kind::membership:
      mld_.on_query(heard.query, now);
      look_again_at(mld_.next_deadline());
      break;
  }
}

}  // namespace talaria::net
