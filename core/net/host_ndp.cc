// Who is where, in IPv6: Neighbour Discovery (RFC 4861) and the addresses of this host (RFC 4862).
#include "core/base/check.h"
#include "core/net/host.h"
#include "core/net/icmpv6.h"
#include "core/net/ipv6.h"

namespace talaria::net {
// ---- what is heard --------------------------------------------------------------------------------------------------

void Host::on_neighbor_solicitation(const Ipv6Header& ip, const Icmpv6Message& message, const MacAddress& from,
                                    base::Time now) {
  auto solicitation = parse_neighbor_solicitation(message.body);
  const bool nobody = ip.source.is_unspecified();
  if (!solicitation ||
      (nobody && (ip.destination != solicited_node_group(solicitation->target) || solicitation->source_mac)))
    return counters_.drop_bad_ndp.add();
  if (from == capabilities_.mac) return;  // our own, come back
  const IpAddress& target = solicitation->target;
  if (autoconfiguration_ && autoconfiguration_->is_tentative(target)) {
    // Somebody else wants the address that we want: nobody gets it (RFC 4862 5.4.3).
    if (nobody) {
      autoconfiguration_->on_duplicate(target, now);
      take_autoconfiguration_steps(now);
    }
    return;
  }
  if (!routing_.is_ours(target)) return;
  if (nobody) return advertise(target, all_nodes_group, group_mac(all_nodes_group), false);
  // Who asks for us will talk to us.
  if (solicitation->source_mac && routing_.on_link(ip.source)) {
    Neighbor* neighbor = neighbors_.find(ip.source);
    if (!neighbor) neighbor = add_neighbor(ip.source, now);
    if (neighbor) confirm(*neighbor, *solicitation->source_mac, now);
    report_learned({ip.source, *solicitation->source_mac, true});
  }
  advertise(target, ip.source, solicitation->source_mac.value_or(from), true);
}

// RFC 4861 7.2.5. Who was not asked for is not taken in; a known neighbour moves only if the message says that it does.
void Host::on_neighbor_advertisement(const Ipv6Header& ip, const Icmpv6Message& message, base::Time now) {
  auto advertisement = parse_neighbor_advertisement(message.body);
  if (!advertisement || (ip.destination.is_multicast() && advertisement->solicited))
    return counters_.drop_bad_ndp.add();
  const IpAddress& target = advertisement->target;
  if (advertisement->target_mac == capabilities_.mac) return;  // our own, come back
  if (autoconfiguration_ && autoconfiguration_->is_tentative(target)) {
    autoconfiguration_->on_duplicate(target, now);
    return take_autoconfiguration_steps(now);
  }
  if (routing_.is_ours(target)) {
    hear_for_another({.kind = Heard::Kind::duplicate, .address = target});
    return counters_.address_conflicts.add();
  }
  // A colleague may have asked.
  if (advertisement->solicited && advertisement->target_mac)
    report_learned({target, *advertisement->target_mac, advertisement->override});
  Neighbor* neighbor = neighbors_.find(target);
  if (!neighbor) return;
  if (neighbor->state == NeighborState::asking) {
    if (advertisement->target_mac) confirm(*neighbor, *advertisement->target_mac, now);
    return;
  }
  const MacAddress mac = advertisement->target_mac.value_or(neighbor->mac);
  if (mac != neighbor->mac) {
    // Whether it really moved is asked of the one that is known, or of the new one.
    if (advertisement->override) neighbor->mac = mac;
    if (!advertisement->override || !advertisement->solicited) {
      neighbor->due = now;
      return look_again_at(now);
    }
  }
  if (advertisement->solicited) confirm(*neighbor, mac, now);
}

void Host::on_router_advertisement(const Ipv6Header& ip, const Icmpv6Message& message, base::Time now) {
  auto advertisement = parse_router_advertisement(message.body);
  if (!advertisement || !ip.source.is_link_local()) return counters_.drop_bad_ndp.add();
  if (!config_.addresses_from_routers || !autoconfiguration_) return;
  hear_for_another({.kind = Heard::Kind::router, .address = ip.source, .router = *advertisement});
  if (advertisement->source_mac) {
    Neighbor* router = neighbors_.find(ip.source);
    if (!router) router = add_neighbor(ip.source, now);
    if (router) confirm(*router, *advertisement->source_mac, now);
    report_learned({ip.source, *advertisement->source_mac, true});
  }
  autoconfiguration_->on_router_advertisement(ip.source, *advertisement, now);
  take_autoconfiguration_steps(now);
}

// ---- what is said ---------------------------------------------------------------------------------------------------

void Host::advertise(const IpAddress& target, const IpAddress& to, const MacAddress& mac, bool solicited) {
  uint8_t body[neighbor_message_bytes_max];
  const size_t bytes = emit_neighbor_advertisement(
      {.target = target, .solicited = solicited, .override = true, .target_mac = capabilities_.mac}, body);
  counters_.neighbor_advertisements_sent.add();
  send_ndp({.type = icmpv6_neighbor_advertisement, .code = 0, .body = {body, bytes}}, target, to, mac);
}

// A question for `target`: of nobody while it may not be ours yet, to one host to refresh what is known of it.
void Host::solicit(const IpAddress& target, const IpAddress& source, std::optional<MacAddress> only) {
  uint8_t body[neighbor_message_bytes_max];
  NeighborSolicitation solicitation{.target = target, .source_mac = {}};
  if (!source.is_unspecified()) solicitation.source_mac = capabilities_.mac;
  const size_t bytes = emit_neighbor_solicitation(solicitation, body);
  const IpAddress group = solicited_node_group(target);
  counters_.neighbor_solicitations_sent.add();
  send_ndp({.type = icmpv6_neighbor_solicitation, .code = 0, .body = {body, bytes}}, source, only ? target : group,
           only.value_or(group_mac(group)));
}

void Host::ask_routers() {
  uint8_t body[neighbor_message_bytes_max];
  const IpAddress own = autoconfiguration_->link_local().address;
  const bool has_address = routing_.is_ours(own);
  const size_t bytes = emit_router_solicitation(capabilities_.mac, has_address, body);
  send_ndp({.type = icmpv6_router_solicitation, .code = 0, .body = {body, bytes}}, has_address ? own : IpAddress(),
           all_routers_group, group_mac(all_routers_group));
}

void Host::send_ndp(const Icmpv6Message& message, const IpAddress& source, const IpAddress& destination,
                    const MacAddress& mac) {
  Packet packet = allocate();
  if (!packet) return;
  const size_t l4_at = l4_offset(IpFamily::v6);
  packet.length = static_cast<uint16_t>(l4_at + emit_icmpv6(message, source, destination, packet.data + l4_at));
  write_ipv6(packet, source, destination, IpProtocol::icmpv6, neighbor_discovery_hop_limit);
  write_ethernet(packet, mac, ethertype_ipv6);
  enqueue(packet);
}

// ---- our addresses --------------------------------------------------------------------------------------------------

void Host::begin_autoconfiguration(base::Time now) {
  autoconfiguration_.emplace(
      Autoconfiguration::Config{.from_routers = config_.addresses_from_routers && config_.announce,
                                .detect = config_.announce,
                                .mac = capabilities_.mac,
                                .secret = config_.interface_secret},
      now);
  autoconfiguration_->assign(autoconfiguration_->link_local(), now);
  for (const IpPrefix& address : config_.addresses)
    if (!address.address.is_v4()) autoconfiguration_->assign(address, now);
  take_autoconfiguration_steps(now);
}

// Who asks whether an address may be used listens for the answer from then on, and says so.
void Host::take_autoconfiguration_steps(base::Time now) {
  using Action = Autoconfiguration::Action;
  for (const Autoconfiguration::Step& step : autoconfiguration_->take_steps()) {
    switch (step.action) {
      case Action::solicit:
        mld_.on_join(now);
        solicit(step.prefix.address, {}, {});
        break;
      case Action::ask_routers: ask_routers(); break;
      case Action::add_address:
        change({NetworkChange::Kind::address_added, step.prefix, {}});
        if (!config_.announce) break;
        mld_.on_join(now);
        advertise(step.prefix.address, all_nodes_group, group_mac(all_nodes_group), false);
        break;
      case Action::remove_address: change({NetworkChange::Kind::address_removed, step.prefix, {}}); break;
      case Action::refuse_address: counters_.address_conflicts.add(); break;
      case Action::add_router: change({NetworkChange::Kind::route_added, {}, default_route(step.router)}); break;
      case Action::remove_router: change({NetworkChange::Kind::route_removed, {}, default_route(step.router)}); break;
    }
  }
  look_again_at(autoconfiguration_->next_deadline());
  report_groups(now);
}

bool Host::is_a_siblings(const IpAddress& address) const {
  return std::any_of(siblings_.begin(), siblings_.end(),
                     [&](const Host* sibling) { return sibling->routing().is_ours(address); });
}

// Of ours, for us and for the other workers.
void Host::change(const NetworkChange& news) {
  using Kind = NetworkChange::Kind;
  if (news.kind == Kind::address_added && is_a_siblings(news.address.address)) return counters_.address_conflicts.add();
  if (news.kind == Kind::address_removed && !routing_.is_ours(news.address.address)) return;  // it was refused
  apply(news);
  if (config_.announce) changes_.push_back(news);  // the others have the configuration themselves
}

void Host::apply(const NetworkChange& news) {
  last_used_ = nullptr;
  admitted_ = none_admitted;
  routing_.apply(news);
}

}  // namespace talaria::net
