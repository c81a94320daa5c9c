// The way in: one burst from the device, each frame to where it belongs.
#include "core/net/host.h"

#include <bit>

#include "core/base/check.h"
#include "core/net/icmp.h"

namespace talaria::net {
namespace {

constexpr uint32_t defences_per_second = 1;

void prefetch_headers(const Packet& packet) {
  __builtin_prefetch(packet.data);
  __builtin_prefetch(packet.data + 64);
}

}  // namespace

Host::Host(const HostConfig& config, Device& device, base::HashKey key)
    : config_(config),
      device_(device),
      capabilities_(device.capabilities()),
      l4_offset_(ethernet_header_bytes + (config.vlan ? vlan_tag_bytes : 0) + ipv4_header_bytes),
      speaks_ipv6_(config.addresses_from_routers),
      unreachables_(config.unreachables_per_second),
      key_(key),
      neighbors_(config.neighbors_max, config.unresolved_packets_max, key),
      defences_(defences_per_second),
      transmit_queue_(config.transmit_queue_max),
      identification_(static_cast<uint16_t>(base::siphash24(key, base::as_bytes("identification")))) {
  CHECK(std::has_single_bit(config.transmit_queue_max) && config.transmit_queue_max > transmit_reserve);
  for (const IpPrefix& address : config.addresses)
    CHECK(address.bits <= address_bits(address.address.family()) && config.addresses.size() <= addresses_max);
  for (const IpPrefix& address : config.addresses) {
    if (address.address.is_v4())
      CHECK(routing_.add_address(address));
    else
      speaks_ipv6_ = true;
  }
  for (const Route& route : config.routes) CHECK(routing_.add_route(route));
  CHECK(!config.vlan || (*config.vlan >= 1 && *config.vlan <= 4094));
  CHECK(config.unresolved_packets_per_neighbor >= 1);
  if (config.fragmented_max > 0) fragments_.emplace(device, config.fragmented_max, config.fragment_lifetime);
  // Who does not announce does not ask whether an address may be used either: it is ours at once.
  if (speaks_ipv6_ && !config.announce) begin_autoconfiguration({});
  if (config.announce) announce_soon(base::Time::min());
}

Host::~Host() {
  for (Datagram& datagram : datagrams()) release(datagram.packet);
  for (Neighbor& neighbor : neighbors_.all())
    while (auto packet = neighbors_.pop_waiting(neighbor)) device_.release(*packet);
  for (; transmit_head_ != transmit_tail_; transmit_head_++)
    device_.release(transmit_queue_[transmit_head_ & (transmit_queue_.size() - 1)]);
}

size_t Host::receive(base::Time now) {
  for (Datagram& datagram : datagrams()) release(datagram.packet);
  datagram_count_ = 0;

  size_t frames = device_.receive(burst_);
  CHECK(frames <= burst_max);
  for (size_t i = 0; i < frames; i++) prefetch_headers(burst_[i]);
  turn_ = now;
  if (watcher_) [[unlikely]]
    for (size_t i = 0; i < frames; i++) watcher_->see(watched_port_, FrameWay::in, burst_[i], now);
  uint64_t bytes = 0;
  for (size_t i = 0; i < frames; i++) {
    bytes += burst_[i].length;
    on_frame(burst_[i], now);
  }
  if (frames > 0) {
    counters_.frames_received.add(frames);
    counters_.bytes_received.add(bytes);
  }
  return frames;
}

// Owns the packet: it becomes a datagram or is released.
void Host::on_frame(Packet& packet, base::Time now) {
  auto ethernet = parse_ethernet(packet.bytes());
  if (!ethernet) return drop(packet, counters_.drop_short_frame);
  if (ethernet->destination != capabilities_.mac && ethernet->destination != broadcast_mac &&
      !is_group_of_ours(*ethernet))
    return drop(packet, counters_.drop_other_mac);
  if (ethernet->vlan != config_.vlan) return drop(packet, counters_.drop_other_vlan);
  switch (ethernet->type) {
    case ethertype_ipv4: return on_ipv4(packet, *ethernet, now);
    case ethertype_arp:
      on_arp(packet.bytes().subspan(ethernet->bytes), now);
      device_.release(packet);
      return;
    case ethertype_ipv6:
      if (speaks_ipv6_) return on_ipv6(packet, *ethernet, now);
      [[fallthrough]];
    default: return drop(packet, counters_.drop_unknown_ethertype);
  }
}

// Neighbour Discovery is multicast; which groups are ours says the IPv6 header.
bool Host::is_group_of_ours(const EthernetHeader& ethernet) const {
  return speaks_ipv6_ && ethernet.type == ethertype_ipv6 && ethernet.destination[0] == 0x33 &&
         ethernet.destination[1] == 0x33;
}

void Host::on_ipv4(Packet& packet, const EthernetHeader& ethernet, base::Time now) {
  base::Bytes bytes = packet.bytes().subspan(ethernet.bytes);
  auto ip = parse_ipv4(bytes);
  if (!ip) return drop(packet, counters_.drop_bad_ip_header);
  if (packet.ip_checksum == ChecksumVerdict::bad ||
      (packet.ip_checksum == ChecksumVerdict::unknown && !verify_ipv4_checksum(bytes.first(ip->header_bytes))))
    return drop(packet, counters_.drop_bad_ip_checksum);
  // A burst is mostly from few: the two addresses that were good a packet ago are.
  const uint64_t between = uint64_t{ip->source.value} << 32 | ip->destination.value;
  if (between != admitted_ || between == none_admitted || ethernet.destination != capabilities_.mac) {
    if (!admit(packet, ethernet, *ip, now)) return;
    admitted_ = between;
  }
  base::Bytes datagram = bytes.first(ip->total_bytes);
  if (ip->is_fragment()) [[unlikely]] {
    return on_fragment(packet, ethernet,
                       {.key = {ip->source, ip->destination, ip->identification, ip->protocol},
                        .protocol = ip->protocol,
                        .offset = ip->fragment_offset * 8u,
                        .more = ip->more_fragments,
                        .payload = datagram.subspan(ip->header_bytes)},
                       ip->time_to_live, now);
  }
  on_ipv4_payload(packet, *ip, datagram, now);
}

// True if both addresses are as they have to be; else the packet is gone.
bool Host::admit(Packet& packet, const EthernetHeader& ethernet, const Ipv4Header& ip, base::Time now) {
  const auto refuse = [&](base::Counter& reason) {
    drop(packet, reason);
    return false;
  };
  // Broadcasts are not ours to answer: no echo, no error, no connection (RFC 1122 3.2.2, 4.2.3.10).
  if (!routing_.is_ours(ip.destination) || ethernet.destination != capabilities_.mac) {
    auto answer = dhcp_answer(ip, packet.bytes().subspan(ethernet.bytes), packet.l4_checksum);
    if (!answer) return refuse(counters_.drop_other_address);
    device_.release(packet);
    on_dhcp(*answer, now);
    return false;
  }
  if (ip.source.is_multicast() || ip.source.is_broadcast() || ip.source.is_loopback() || ip.source.is_unspecified() ||
      routing_.is_ours(ip.source) || routing_.is_subnet_broadcast(ip.source))
    return refuse(counters_.drop_bad_source);
  if (refreshing_) [[unlikely]]
    hear(ip.source, ethernet.source, now);
  return true;
}

// Owns the packet.
void Host::on_ipv4_payload(Packet& packet, const Ipv4Header& ip, base::Bytes datagram, base::Time now) {
  base::Bytes l4 = datagram.subspan(ip.header_bytes);
  switch (IpProtocol{ip.protocol}) {
    case IpProtocol::tcp: return take_segment(packet, ip.source, ip.destination, l4);
    case IpProtocol::icmp: on_icmp(l4, ip, now); break;
    case IpProtocol::udp: on_udp(datagram, ip, packet.l4_checksum, now); break;
    default: counters_.drop_unknown_protocol.add();
  }
  device_.release(packet);
}

// At most one a frame: there is always room.
void Host::take_segment(const Packet& packet, const IpAddress& source, const IpAddress& destination, base::Bytes l4) {
  counters_.tcp_received.add();
  datagrams_[datagram_count_++] = {.packet = packet,
                                   .source = source,
                                   .destination = destination,
                                   .l4_offset = static_cast<uint16_t>(l4.data() - packet.data),
                                   .l4_bytes = static_cast<uint16_t>(l4.size())};
}

// For TCP. Those of one turn that there is no room for are only hints: the next full segment causes another.
void Host::take_icmp_error(const IcmpError& error) {
  if (icmp_error_count_ == icmp_errors_.size()) return counters_.drop_icmp_other.add();
  icmp_errors_[icmp_error_count_++] = error;
  counters_.icmp_errors.add();
}

void Host::on_icmp(base::Bytes l4, const Ipv4Header& ip, base::Time now) {
  counters_.icmp_received.add();
  auto message = parse_icmp(l4);
  if (!message) return counters_.drop_bad_icmp.add();
  if (auto error = parse_icmp_error(*message)) return take_icmp_error(*error);
  if (message->type != icmp_echo_request || message->code != 0) return counters_.drop_icmp_other.add();
  if (l4.size() + ipv4_header_bytes > mtu()) return counters_.drop_bad_icmp.add();
  Packet reply = allocate();
  if (!reply) return;
  IcmpMessage echo{.type = icmp_echo_reply, .code = 0, .body = message->body};
  reply.length = static_cast<uint16_t>(l4_offset_ + emit_icmp(echo, reply.data + l4_offset_));
  counters_.echo_replies.add();
  send(reply, ip.destination, ip.source, IpProtocol::icmp, now);
}

// Nobody here speaks UDP: the sender is told so (RFC 1122 4.1.3.1), at a bounded rate.
void Host::on_udp(base::Bytes datagram, const Ipv4Header& ip, ChecksumVerdict checksum, base::Time now) {
  if (auto answer = dhcp_answer(ip, datagram, checksum)) return on_dhcp(*answer, now);
  counters_.udp_received.add();
  if (!unreachables_.allow(now)) return counters_.port_unreachables_limited.add();
  Packet answer = allocate();
  if (!answer) return;
  uint8_t body[4 + 60 + 8] = {};  // unused word, the datagram's header, its first 8 bytes
  size_t quoted = std::min<size_t>(datagram.size(), ip.header_bytes + 8u);
  std::memcpy(body + 4, datagram.data(), quoted);
  IcmpMessage unreachable{.type = icmp_unreachable, .code = icmp_code_port_unreachable, .body = {body, 4 + quoted}};
  answer.length = static_cast<uint16_t>(l4_offset_ + emit_icmp(unreachable, answer.data + l4_offset_));
  counters_.port_unreachables.add();
  send(answer, ip.destination, ip.source, IpProtocol::icmp, now);
}

void Host::drop(Packet& packet, base::Counter& reason) {
  reason.add();
  device_.release(packet);
}

void Host::release(Packet& packet) {
  if (!packet) return;
  device_.release(packet);
  packet = {};
}

size_t Host::packets_held() const {
  return neighbors_.waiting_total() + (transmit_tail_ - transmit_head_) + datagrams_held() +
         (fragments_ ? fragments_->packets_held() : 0);
}

size_t Host::datagrams_held() const {
  size_t held = 0;
  for (size_t i = 0; i < datagram_count_; i++) held += datagrams_[i].packet ? 1 : 0;
  return held;
}

}  // namespace talaria::net
