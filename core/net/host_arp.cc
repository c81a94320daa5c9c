// Who is where: ARP (RFC 826, RFC 1122 2.3.2), announcements and address conflicts (RFC 5227).
#include "core/base/check.h"
#include "core/net/host.h"

namespace talaria::net {
namespace {

constexpr base::Duration announce_interval = 2s;  // RFC 5227 1.1: ANNOUNCE_INTERVAL

}  // namespace

void Host::on_arp(base::Bytes payload, base::Time now) {
  counters_.arp_received.add();
  auto message = parse_arp(payload);
  if (!message) return counters_.drop_bad_arp.add();
  Ipv4Address sender = message->sender_address;
  if (message->sender_mac == capabilities_.mac) return;  // our own, come back
  if (routing_.is_ours(sender)) {
    // RFC 5227 2.4 (b): somebody else uses our address. Say once more whose it is, then leave it at that.
    counters_.address_conflicts.add();
    if (dhcp_ && dhcp_->holds(sender)) {
      dhcp_->on_conflict(now);
      return take_dhcp_steps(now);
    }
    if (defences_.allow(now)) announce(sender);
    return;
  }
  bool for_us = routing_.is_ours(message->target_address);
  bool request = message->operation == ArpOperation::request;
  if (routing_.on_link(sender) && !sender.is_unspecified() && !routing_.is_subnet_broadcast(sender)) {
    Neighbor* neighbor = neighbors_.find(sender);
    // Who asks for us will talk to us. Who is not known and did not ask for us is not taken in, so that a flood of
    // unasked answers cannot fill the table.
    if (!neighbor && for_us && request) neighbor = add_neighbor(sender, now);
    if (neighbor) confirm(*neighbor, message->sender_mac, now);
    if (neighbor || for_us) report_learned({sender, message->sender_mac});
  }
  if (!for_us || !request) return;
  counters_.arp_replies_sent.add();
  send_arp({.operation = ArpOperation::reply,
            .sender_mac = capabilities_.mac,
            .sender_address = message->target_address,
            .target_mac = message->sender_mac,
            .target_address = sender},
           message->sender_mac);
}

void Host::learn(const LearnedNeighbor& learned, base::Time now) {
  Neighbor* neighbor = neighbors_.find(learned.address);
  if (!neighbor) return;
  const bool moves = neighbor->state == NeighborState::known && neighbor->mac != learned.mac;
  if (!moves || learned.overrides) confirm(*neighbor, learned.mac, now);
}

void Host::report_learned(const LearnedNeighbor& learned) {
  if (learned_count_ < learned_.size()) learned_[learned_count_++] = learned;
}

std::span<const LearnedNeighbor> Host::take_learned_neighbors() {
  return {learned_.data(), std::exchange(learned_count_, 0)};
}

// The address is known (again): what waited for it may go.
void Host::confirm(Neighbor& neighbor, const MacAddress& mac, base::Time now) {
  if (neighbor.state == NeighborState::known && neighbor.mac != mac) counters_.neighbors_moved.add();
  neighbor.state = NeighborState::known;
  neighbor.mac = mac;
  neighbor.confirmed = now;
  neighbor.requests = 0;
  neighbor.due = now + config_.neighbor_lifetime / 2;
  look_again_at(neighbor.due);
  while (auto packet = neighbors_.pop_waiting(neighbor)) {
    write_ethernet(*packet, mac, neighbor.address.is_v4() ? ethertype_ipv4 : ethertype_ipv6);
    enqueue(*packet);
  }
}

// One request: to everybody while nothing is known, to the neighbour itself to refresh.
void Host::ask(Neighbor& neighbor, base::Time now) {
  neighbor.requests++;
  neighbor.due = now + config_.resolve_interval;
  look_again_at(neighbor.due);
  bool refresh = neighbor.state == NeighborState::known;
  if (refresh) {
    refreshing_ = true;
    admitted_ = none_admitted;  // the next packet is looked at closely: it may be from that neighbour
  }
  const IpAddress source = routing_.source_for(neighbor.address);
  if (source.is_unspecified()) return;  // our address of that network is gone
  if (!neighbor.address.is_v4())
    return solicit(neighbor.address, source, refresh ? std::optional(neighbor.mac) : std::nullopt);
  counters_.arp_requests_sent.add();
  send_arp({.operation = ArpOperation::request,
            .sender_mac = capabilities_.mac,
            .sender_address = source.v4(),
            .target_mac = {},
            .target_address = neighbor.address.v4()},
           refresh ? neighbor.mac : broadcast_mac);
}

// Cold. What comes from a neighbour that is being asked whether it is still there says that it is: the answer may be
// what the line loses. An address that nobody asks for is not confirmed so, and none is moved.
void Host::hear(const IpAddress& source, const MacAddress& mac, base::Time now) {
  const auto hop = routing_.next_hop(source);
  Neighbor* neighbor = hop ? neighbors_.find(*hop) : nullptr;
  if (neighbor && neighbor->state == NeighborState::known && neighbor->requests > 0 && neighbor->mac == mac)
    confirm(*neighbor, mac, now);
}

void Host::forget(Neighbor& neighbor) {
  while (auto packet = neighbors_.pop_waiting(neighbor)) drop(*packet, counters_.drop_unresolved_timeout);
  if (last_used_ == &neighbor) last_used_ = nullptr;
  neighbors_.remove(neighbor);
}

void Host::on_neighbor_due(Neighbor& neighbor, base::Time now) {
  if (neighbor.state == NeighborState::asking) {
    if (neighbor.requests < config_.resolve_attempts) return ask(neighbor, now);
    counters_.neighbor_unresolved.add();
    return forget(neighbor);
  }
  // Known for half its lifetime. One that is in use is asked for again until it answers, and used on meanwhile: on a
  // line that loses, a few questions may all get lost. One that is not, or never answers, is forgotten when its time is
  // over.
  base::Time end = neighbor.confirmed + config_.neighbor_lifetime;
  if (now >= end) return forget(neighbor);
  if (neighbor.used > neighbor.confirmed) {
    ask(neighbor, now);
    neighbor.due = std::min(neighbor.due, end);
  } else {
    neighbor.due = end;
  }
  look_again_at(neighbor.due);
}

void Host::announce(Ipv4Address address) {
  send_arp({.operation = ArpOperation::request,
            .sender_mac = capabilities_.mac,
            .sender_address = address,
            .target_mac = {},
            .target_address = address},
           broadcast_mac);
}

void Host::announce_all() {
  for (const IpPrefix& own : routing_.addresses())
    if (own.address.is_v4()) announce(own.address.v4());
}

void Host::announce_soon(base::Time now) {
  announcements_left_ = 2;  // RFC 5227 2.3: ANNOUNCE_NUM
  announce_due_ = now;
  look_again_at(now);
}

void Host::on_link_up(base::Time now) {
  if (!config_.announce) return;
  announce_soon(now);
  if (autoconfiguration_) {
    for (const IpPrefix& own : routing_.addresses())
      if (!own.address.is_v4()) advertise(own.address, all_nodes_group, group_mac(all_nodes_group), false);
    mld_.on_join(now);
    autoconfiguration_->on_link_up(now);
    take_autoconfiguration_steps(now);
  }
  if (dhcp_) dhcp_->on_link_up(now);
}

void Host::send_arp(const ArpMessage& message, const MacAddress& to) {
  Packet packet = allocate();
  if (!packet) return;
  EthernetHeader header{.destination = to, .source = capabilities_.mac, .vlan = config_.vlan, .type = ethertype_arp};
  size_t offset = emit_ethernet(header, packet.data);
  emit_arp(message, packet.data + offset);
  packet.length = static_cast<uint16_t>(offset + arp_bytes);
  enqueue(packet);
}

void Host::on_time(base::Time now) {
  if (now < next_look_) return;
  next_look_ = base::never;
  if (speaks_ipv6_ && !autoconfiguration_) begin_autoconfiguration(now);
  if (autoconfiguration_) {
    autoconfiguration_->on_time(now);
    take_autoconfiguration_steps(now);  // and says what groups are to be reported
  }
  if (config_.address_from_dhcp && config_.announce) {
    if (!dhcp_) dhcp_.emplace(capabilities_.mac, key_, now);
    dhcp_->on_time(now);
    take_dhcp_steps(now);
  }
  if (fragments_) {
    counters_.drop_fragment_timeout.add(fragments_->expire(now));
    look_again_at(fragments_->next_deadline());
  }
  if (announcements_left_ > 0) {
    if (announce_due_ <= now) {
      announce_all();
      announcements_left_--;
      announce_due_ = now + announce_interval;
    }
    if (announcements_left_ > 0) look_again_at(announce_due_);
  }
  refreshing_ = false;
  for (Neighbor& neighbor : neighbors_.all()) {
    if (neighbor.state == NeighborState::unused) continue;
    if (neighbor.due <= now)
      on_neighbor_due(neighbor, now);
    else
      look_again_at(neighbor.due);
    refreshing_ |= neighbor.state == NeighborState::known && neighbor.requests > 0;
  }
}

base::Time Host::next_deadline() const { return next_look_; }

}  // namespace talaria::net
