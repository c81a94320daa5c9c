// One worker's IP host on one port: Ethernet, ARP, IPv4 and ICMP; its addresses and routes.
//
// Owned and called by one worker thread. Frames come in from the Device in bursts; ARP and ICMP are answered here, bad
// packets are dropped here and counted by reason, and TCP comes up as values (`Datagram`). Packets go out through
// `send`, which finds the next hop's MAC address; what the port refuses waits in a bounded queue and is never mistaken
// for loss.
//
// Bounds: burst_max frames a call; HostConfig::neighbors_max neighbours; unresolved_packets_max packets waiting for an
// address (the oldest of a neighbour goes first); transmit_queue_max packets waiting for the port.
//
// With several workers each has its own Host with the same addresses, and an ARP answer may arrive at any one of them:
// each turn a worker passes `take_learned_neighbors()` to the others, who call `learn`.
//
// Not set: "don't fragment". Path MTU discovery comes with ICMP errors to TCP; until then a router on the way may
// fragment.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/counters.h"
#include "core/base/hash.h"
#include "core/base/rate_limit.h"
#include "core/base/time.h"
#include "core/net/arp.h"
#include "core/net/device.h"
#include "core/net/ethernet.h"
#include "core/net/frame_watcher.h"
#include "core/net/ip_address.h"
#include "core/net/ipv4.h"
#include "core/net/neighbors.h"
#include "core/net/packet.h"
#include "core/net/routing.h"

namespace talaria::net {

using base::operator""s;

struct HostConfig {
  std::vector<IpPrefix> addresses{};  // ours, each with its network; one at least, addresses_max at most
  std::vector<Route> routes{};        // routes_max at most; what no network and no route leads to is not reached
  std::optional<uint16_t> vlan{};     // 1..4094: frames carry this tag both ways, and no other frame is taken
  bool announce = true;               // gratuitous ARP at start; one of the workers that share an address does it

  size_t neighbors_max = 1024;
  size_t unresolved_packets_max = 256;  // of the whole host
  size_t unresolved_packets_per_neighbor = 8;
  size_t transmit_queue_max = 1024;        // packets; a power of two
  base::Duration neighbor_lifetime = 60s;  // without a confirmation; an address in use is asked for again before
  base::Duration resolve_interval = 1s;    // between ARP requests for one address (RFC 1122 2.3.2.1)
  uint32_t resolve_attempts = 3;
  uint32_t unreachables_per_second = 100;  // ICMP port unreachable (RFC 1812 4.3.2.8)
};

// A TCP segment inside a frame whose Ethernet and IP headers are valid and whose IP datagram is for us. Whoever gets it
// owns the packet: it goes back through Host::release.
struct Datagram {
  Packet packet;
  IpAddress source{};
  IpAddress destination{};  // one of ours
  uint16_t l4_offset = 0;   // of the TCP header in the frame
  uint16_t l4_bytes = 0;    // TCP header and payload, as the IP header says (Ethernet padding excluded)

  base::Bytes l4() const { return {packet.data + l4_offset, l4_bytes}; }
};

// Every frame that is not taken has its reason here. Written by the worker, read by anybody.
struct HostCounters {
  base::Counter frames_received, bytes_received, frames_sent, bytes_sent;
  base::Counter tcp_received, arp_received, icmp_received, udp_received;

  base::Counter drop_short_frame, drop_other_mac, drop_other_vlan, drop_unknown_ethertype;
  base::Counter drop_bad_arp, drop_bad_ip_header, drop_bad_ip_checksum, drop_other_address, drop_bad_source;
  base::Counter drop_fragment, drop_unknown_protocol, drop_bad_icmp, drop_icmp_other;

  base::Counter echo_replies, port_unreachables, port_unreachables_limited;
  base::Counter arp_requests_sent, arp_replies_sent, address_conflicts;
  base::Counter neighbors_moved;  // a known address was heard of from another MAC address
  base::Counter neighbor_table_full, neighbor_unresolved;
  base::Counter drop_unresolved_overflow;  // waited for an address, pushed out by a later packet
  base::Counter drop_unresolved_timeout;   // nobody answered
  base::Counter drop_no_route;             // outside our networks, and no route leads there
  base::Counter drop_transmit_queue_full;  // sent although transmit_room() was 0: only answers of this layer and resets
  base::Counter transmit_refused;          // times the port took less than it was offered (not a drop)
  base::Counter no_packet;                 // the device had no packet to write into (not a drop)

  // Calls `visit(name, value)` for each, in the order above.
  template <class Visitor>
  void for_each(Visitor&& visit) const;
};

template <class Visitor>
void HostCounters::for_each(Visitor&& visit) const {
  static_assert(sizeof(HostCounters) == 36 * sizeof(base::Counter), "a counter is missing below");
  visit("frames_received", frames_received.value());
  visit("bytes_received", bytes_received.value());
  visit("frames_sent", frames_sent.value());
  visit("bytes_sent", bytes_sent.value());
  visit("tcp_received", tcp_received.value());
  visit("arp_received", arp_received.value());
  visit("icmp_received", icmp_received.value());
  visit("udp_received", udp_received.value());
  visit("drop_short_frame", drop_short_frame.value());
  visit("drop_other_mac", drop_other_mac.value());
  visit("drop_other_vlan", drop_other_vlan.value());
  visit("drop_unknown_ethertype", drop_unknown_ethertype.value());
  visit("drop_bad_arp", drop_bad_arp.value());
  visit("drop_bad_ip_header", drop_bad_ip_header.value());
  visit("drop_bad_ip_checksum", drop_bad_ip_checksum.value());
  visit("drop_other_address", drop_other_address.value());
  visit("drop_bad_source", drop_bad_source.value());
  visit("drop_fragment", drop_fragment.value());
  visit("drop_unknown_protocol", drop_unknown_protocol.value());
  visit("drop_bad_icmp", drop_bad_icmp.value());
  visit("drop_icmp_other", drop_icmp_other.value());
  visit("echo_replies", echo_replies.value());
  visit("port_unreachables", port_unreachables.value());
  visit("port_unreachables_limited", port_unreachables_limited.value());
  visit("arp_requests_sent", arp_requests_sent.value());
  visit("arp_replies_sent", arp_replies_sent.value());
  visit("address_conflicts", address_conflicts.value());
  visit("neighbors_moved", neighbors_moved.value());
  visit("neighbor_table_full", neighbor_table_full.value());
  visit("neighbor_unresolved", neighbor_unresolved.value());
  visit("drop_unresolved_overflow", drop_unresolved_overflow.value());
  visit("drop_unresolved_timeout", drop_unresolved_timeout.value());
  visit("drop_no_route", drop_no_route.value());
  visit("drop_transmit_queue_full", drop_transmit_queue_full.value());
  visit("transmit_refused", transmit_refused.value());
  visit("no_packet", no_packet.value());
}

class Host {
 public:
  // Places of the transmit queue that transmit_room() never gives away: an ARP or ICMP answer finds room even when TCP
  // has filled the rest.
  static constexpr size_t transmit_reserve = 32;

  // `key` is secret and random: the neighbour table is hashed with it. The device outlives the host.
  Host(const HostConfig& config, Device& device, base::HashKey key);
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  const HostConfig& config() const { return config_; }
  const Routing& routing() const { return routing_; }
  const Capabilities& capabilities() const { return capabilities_; }
  // Bytes of an IP datagram that fit a frame.
  uint16_t mtu() const { return capabilities_.mtu; }

  // ---- in -----------------------------------------------------------------------------------------------------------
  // Takes one burst from the device and handles all of it but TCP. Returns how many frames there were: 0 is an idle
  // turn.
  size_t receive(base::Time now);
  // The TCP segments of the last `receive`, in the order of arrival. The caller takes their packets before the next one
  // (what it leaves is released then).
  std::span<Datagram> datagrams() { return {datagrams_.data(), datagram_count_}; }

  // ---- out ----------------------------------------------------------------------------------------------------------
  // Where the L4 header stands in a packet from `allocate`, counted from packet.data: behind Ethernet, VLAN tag and
  // IPv4.
  size_t l4_offset() const { return l4_offset_; }
  // An empty packet with room for mtu() bytes of IP; empty handle if the device has none (counted).
  Packet allocate();
  // The same with room for capabilities().transmit_segmentation bytes, to be sent with segment_bytes set.
  Packet allocate_long();
  // Takes the packet. The caller has written the L4 part at l4_offset() and set packet.length (and offload_l4_checksum,
  // if the capabilities allow it). Ethernet and IP headers are written here.
  // `source` is one of our addresses.
  void send(Packet packet, const IpAddress& source, const IpAddress& destination, IpProtocol protocol, base::Time now);
  // Packets that may still be sent before the queue towards the port is full. TCP produces no more than that; a few
  // places are kept for ARP and ICMP.
  size_t transmit_room() const;
  // Hands everything queued to the device, as far as it takes it.
  void flush();
  // The device took not all: flush() has to be called again.
  bool transmit_waiting() const { return transmit_head_ != transmit_tail_; }
  // Gives back a packet that was allocated or received.
  void release(Packet& packet);

  // ---- time and colleagues ------------------------------------------------------------------------------------------
  // Repeats ARP requests, expires neighbours, announces the address. Bounded; cheap when nothing is due.
  void on_time(base::Time now);
  // When on_time has something to do next; base::never if nothing is pending.
  base::Time next_deadline() const;
  // Neighbours this host heard of since the last call, for the other workers. Bounded; valid until the next receive.
  std::span<const LearnedNeighbor> take_learned_neighbors();
  // A colleague heard it: updates an address this host asked for or knows; others are not taken in.
  void learn(const IpAddress& address, const MacAddress& mac, base::Time now);

  // Sees every frame from now on; null: nobody does. Outlives the next call of this.
  void watch_frames(FrameWatcher* watcher) { watcher_ = watcher; }

  const HostCounters& counters() const { return counters_; }
  // Packets held by this host (waiting for an address or for the port): 0 when everything is home.
  size_t packets_held() const;

 private:
  // host.cc: the way in.
  void on_frame(Packet& packet, base::Time now);
  void on_arp(base::Bytes payload, base::Time now);
  void on_ipv4(Packet& packet, const EthernetHeader& ethernet, base::Time now);
  void on_icmp(base::Bytes l4, const Ipv4Header& ip, base::Time now);
  void on_udp(base::Bytes datagram, const Ipv4Header& ip, base::Time now);
  void drop(Packet& packet, base::Counter& reason);
  size_t datagrams_held() const;

  // host_transmit.cc: the way out.
  void write_ipv4(Packet& packet, Ipv4Address source, Ipv4Address destination, IpProtocol protocol);
  void write_ethernet(Packet& packet, const MacAddress& to);
  void enqueue(Packet& packet);
  Neighbor* neighbor_towards(const IpAddress& destination, base::Time now);
  void wait_for_address(Neighbor& neighbor, Packet& packet);

  // host_arp.cc: who is where.
  void ask(Neighbor& neighbor, base::Time now);
  void confirm(Neighbor& neighbor, const MacAddress& mac, base::Time now);
  void forget(Neighbor& neighbor);
  void on_neighbor_due(Neighbor& neighbor, base::Time now);
  void announce(Ipv4Address address);
  void announce_all();
  Neighbor* add_neighbor(const IpAddress& address, base::Time now);
  void send_arp(const ArpMessage& message, const MacAddress& to);
  void report_learned(const IpAddress& address, const MacAddress& mac);
  void look_again_at(base::Time due) { next_look_ = std::min(next_look_, due); }

  HostConfig config_;
  Device& device_;
  Capabilities capabilities_;
  size_t l4_offset_;
  HostCounters counters_;
  base::RateLimit unreachables_;

  FrameWatcher* watcher_ = nullptr;
  base::Time turn_{};  // the last receive's

  std::array<Packet, burst_max> burst_{};
  std::array<Datagram, burst_max> datagrams_{};
  size_t datagram_count_ = 0;

  Routing routing_;
  NeighborTable neighbors_;
  // Where the last packet went, and by way of whom: bursts go to few.
  IpAddress last_destination_;
  Neighbor* last_used_ = nullptr;
  base::Time next_look_ = base::never;  // the earliest of all neighbours' due times and of announce_due_
  base::Time announce_due_{};
  uint8_t announcements_left_ = 0;
  base::RateLimit defences_;
  std::array<LearnedNeighbor, 64> learned_{};
  size_t learned_count_ = 0;

  // Towards the port: a ring; head and tail only grow, the place is the low bits.
  std::vector<Packet> transmit_queue_;
  size_t transmit_head_ = 0;
  size_t transmit_tail_ = 0;
  uint16_t identification_;
};

}  // namespace talaria::net
