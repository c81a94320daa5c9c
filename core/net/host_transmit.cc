// The way out: headers, the next hop, and the bounded queue towards the port.
#include "core/base/check.h"
#include "core/net/host.h"

namespace talaria::net {
namespace {

constexpr uint8_t hop_limit = 64;

}  // namespace

Packet Host::allocate() {
  Packet packet = device_.allocate();
  if (!packet) {
    counters_.no_packet.add();
    return packet;
  }
  CHECK(packet.capacity >= capabilities_.mtu + ethernet_header_bytes + vlan_tag_bytes);
  return packet;
}

Packet Host::allocate_long() {
  Packet packet = device_.allocate_long();
  if (!packet) {
    counters_.no_packet.add();
    return packet;
  }
  CHECK(packet.capacity >= capabilities_.transmit_segmentation + ethernet_header_bytes + vlan_tag_bytes);
  return packet;
}

size_t Host::transmit_room() const {
  size_t used = transmit_tail_ - transmit_head_ + transmit_reserve;
  return used < transmit_queue_.size() ? transmit_queue_.size() - used : 0;
}

void Host::send(Packet packet, const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                base::Time now) {
  const bool is_v4 = destination.is_v4();
  CHECK(packet.length > l4_offset_ && packet.length <= packet.capacity);
  if (is_v4) [[likely]]
    write_ipv4(packet, source.v4(), destination.v4(), protocol);
  else
    write_ipv6(packet, source, destination, protocol, hop_limit);
  if (!last_used_ || last_destination_ != destination) {
    last_used_ = neighbor_towards(destination, now);
    last_destination_ = destination;
    if (!last_used_) return device_.release(packet);
  }
  Neighbor* neighbor = last_used_;
  neighbor->used = now;
  if (neighbor->state != NeighborState::known) return wait_for_address(*neighbor, packet);
  write_ethernet(packet, neighbor->mac, is_v4 ? ethertype_ipv4 : ethertype_ipv6);
  enqueue(packet);
}

void Host::write_ipv4(Packet& packet, Ipv4Address source, Ipv4Address destination, IpProtocol protocol) {
  size_t ip_offset = l4_offset_ - ipv4_header_bytes;
  Ipv4Header header{.total_bytes = static_cast<uint16_t>(packet.length - ip_offset),
                    .identification = identification_++,
                    .dont_fragment = protocol == IpProtocol::tcp,
                    .protocol = static_cast<uint8_t>(protocol),
                    .source = source,
                    .destination = destination};
  packet.offload_ip_checksum = capabilities_.transmit_ip_checksum;
  packet.l2_length = static_cast<uint8_t>(ip_offset);
  packet.l3_length = ipv4_header_bytes;
  emit_ipv4(header, packet.data + ip_offset, !packet.offload_ip_checksum);
}

void Host::write_ipv6(Packet& packet, const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                      uint8_t hops) {
  const size_t ip_offset = l4_offset_ - ipv4_header_bytes;
  packet.offload_ip_checksum = false;  // it has none
  packet.l2_length = static_cast<uint8_t>(ip_offset);
  packet.l3_length = ipv6_header_bytes;
  emit_ipv6({.payload_bytes = static_cast<uint16_t>(packet.length - ip_offset - ipv6_header_bytes),
             .next_header = static_cast<uint8_t>(protocol),
             .hop_limit = hops,
             .source = source,
             .destination = destination},
            packet.data + ip_offset);
}

void Host::write_ethernet(Packet& packet, const MacAddress& to, uint16_t type) {
  EthernetHeader header{.destination = to, .source = capabilities_.mac, .vlan = config_.vlan, .type = type};
  emit_ethernet(header, packet.data);
}

// The neighbour of the next hop, asked for if it is new; nullptr, counted, if there is none or the table has no room.
Neighbor* Host::neighbor_towards(const IpAddress& destination, base::Time now) {
  const auto next_hop = routing_.next_hop(destination);
  if (!next_hop) {
    counters_.drop_no_route.add();
    return nullptr;
  }
  Neighbor* neighbor = neighbors_.find(*next_hop);
  if (neighbor) return neighbor;
  neighbor = add_neighbor(*next_hop, now);
  if (neighbor) ask(*neighbor, now);
  return neighbor;
}

Neighbor* Host::add_neighbor(const IpAddress& address, base::Time now) {
  last_used_ = nullptr;  // may be the one that makes room
  Neighbor* neighbor = neighbors_.create(address, now);
  if (!neighbor) counters_.neighbor_table_full.add();
  return neighbor;
}

// RFC 1122 2.3.2.2: the latest packets are kept; who is pushed out is the oldest.
void Host::wait_for_address(Neighbor& neighbor, Packet& packet) {
  if (neighbor.waiting_count >= config_.unresolved_packets_per_neighbor || !neighbors_.push_waiting(neighbor, packet)) {
    auto oldest = neighbors_.pop_waiting(neighbor);
    if (!oldest) return drop(packet, counters_.drop_unresolved_overflow);
    drop(*oldest, counters_.drop_unresolved_overflow);
    CHECK(neighbors_.push_waiting(neighbor, packet));
  }
}

void Host::enqueue(Packet& packet) {
  if (transmit_tail_ - transmit_head_ == transmit_queue_.size())
    return drop(packet, counters_.drop_transmit_queue_full);
  if (watcher_) [[unlikely]]
    watcher_->see(watched_port_, FrameWay::out, packet, turn_);
  transmit_queue_[transmit_tail_++ & (transmit_queue_.size() - 1)] = packet;
}

void Host::flush() {
  uint64_t frames = 0, bytes = 0;
  while (transmit_head_ != transmit_tail_) {
    size_t place = transmit_head_ & (transmit_queue_.size() - 1);
    size_t count = std::min({transmit_tail_ - transmit_head_, transmit_queue_.size() - place, burst_max});
    std::array<uint16_t, burst_max> lengths;
    for (size_t i = 0; i < count; i++) lengths[i] = transmit_queue_[place + i].length;
    size_t taken = device_.transmit({&transmit_queue_[place], count});
    CHECK(taken <= count);
    for (size_t i = 0; i < taken; i++) bytes += lengths[i];
    frames += taken;
    transmit_head_ += taken;
    if (taken < count) {
      counters_.transmit_refused.add();
      break;
    }
  }
  if (frames == 0) return;
  counters_.frames_sent.add(frames);
  counters_.bytes_sent.add(bytes);
}

}  // namespace talaria::net
