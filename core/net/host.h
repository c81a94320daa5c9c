// One worker's IP host on one port: Ethernet, ARP and Neighbour Discovery, IPv4 and IPv6, ICMP; its addresses and
// routes.
//
// Owned and called by one worker thread. Frames come in from the Device in bursts; ARP, Neighbour Discovery and ICMP
// are answered here, datagrams in pieces put together, bad packets are dropped here and counted by reason, and TCP
// comes up as values (`Datagram`). Packets go out through `send`, which finds the next hop's MAC address; what the port
// refuses waits in a bounded queue and is never mistaken for loss.
//
// Bounds: burst_max frames a call; HostConfig::neighbors_max neighbours; unresolved_packets_max packets waiting for an
// address (the oldest of a neighbour goes first); transmit_queue_max packets waiting for the port; fragmented_max
// datagrams that came in pieces (core/net/fragments.h).
//
// With several workers each has its own Host with the same addresses, and an answer about a neighbour may arrive at
// any one of them: each turn a worker passes `take_learned_neighbors()` to the others, who call `learn`. One of them,
// the one that announces, asks on the link whether an IPv6 address may be used and hears the routers; what comes of it
// it tells with `take_changes()`, and the others `apply` it.
//
// TCP's packets are not to be fragmented: what routers say to that comes up as values too (`IcmpError`).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/hash.h"
#include "core/base/rate_limit.h"
#include "core/base/time.h"
#include "core/net/arp.h"
#include "core/net/autoconfiguration.h"
#include "core/net/device.h"
#include "core/net/dhcp.h"
#include "core/net/ethernet.h"
#include "core/net/fragments.h"
#include "core/net/frame_watcher.h"
#include "core/net/host_counters.h"
#include "core/net/icmp.h"
#include "core/net/icmpv6.h"
#include "core/net/ip_address.h"
#include "core/net/ipv4.h"
#include "core/net/ipv6.h"
#include "core/net/mld.h"
#include "core/net/neighbors.h"
#include "core/net/packet.h"
#include "core/net/routing.h"

namespace talaria::net {

using base::operator""s;

struct HostConfig {
  std::vector<IpPrefix> addresses{};    // ours, each with its network; addresses_max at most
  std::vector<Route> routes{};          // routes_max at most; what no network and no route leads to is not reached
  std::optional<uint16_t> vlan{};       // 1..4094: frames carry this tag both ways, and no other frame is taken
  bool announce = true;                 // our addresses at start; one of the workers that share them does it
  bool addresses_from_routers = false;  // IPv6 addresses and routes as routers advertise them (RFC 4862)
  bool address_from_dhcp = false;       // an IPv4 address and a default route (RFC 2131)
  base::HashKey interface_secret{};     // of the addresses made so (RFC 7217): the same at every start

  size_t neighbors_max = 1024;
  size_t unresolved_packets_max = 256;  // of the whole host
  size_t unresolved_packets_per_neighbor = 8;
  size_t transmit_queue_max = 1024;        // packets; a power of two
  base::Duration neighbor_lifetime = 60s;  // without a confirmation; an address in use is asked for again before
  base::Duration resolve_interval = 1s;    // between ARP requests for one address (RFC 1122 2.3.2.1)
  uint32_t resolve_attempts = 3;
  uint32_t unreachables_per_second = 100;  // ICMP port unreachable (RFC 1812 4.3.2.8)

  size_t fragmented_max = 32;              // datagrams in pieces; 0: pieces are dropped
  base::Duration fragment_lifetime = 15s;  // of the first piece of a datagram, until all are there (RFC 791 3.2)
};

// Of the link, for the worker that announces: whichever worker received it tells.
struct Heard {
  enum class Kind : uint8_t { dhcp, router, duplicate, membership };
  Kind kind = Kind::dhcp;
  IpAddress address{};  // the router's, or the one that somebody has
  RouterAdvertisement router{};
  DhcpMessage dhcp{};
  MldQuery query{};
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

class Host {
 public:
  // Places of the transmit queue that transmit_room() never gives away: an ARP or ICMP answer finds room even when TCP
  // has filled the rest.
  static constexpr size_t transmit_reserve = 32;
  static constexpr size_t icmp_errors_max = 32;

  // `key` is secret and random: the neighbour table is hashed with it. The device outlives the host.
  Host(const HostConfig& config, Device& device, base::HashKey key);
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  const HostConfig& config() const { return config_; }
  const Routing& routing() const { return routing_; }
  // It has an IPv6 address, or may get one.
  bool speaks_ipv6() const { return speaks_ipv6_; }
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

  // What routers say about segments of ours, since the last call; unchecked. At most icmp_errors_max between two calls,
  // the rest is dropped and counted as other ICMP. Valid until the next `receive`.
  std::span<const IcmpError> take_icmp_errors() { return {icmp_errors_.data(), std::exchange(icmp_error_count_, 0)}; }
  // The same, and they stay.
  std::span<const IcmpError> icmp_errors() const { return {icmp_errors_.data(), icmp_error_count_}; }

  // ---- out ----------------------------------------------------------------------------------------------------------
  // Where the L4 header stands in a packet from `allocate`, counted from packet.data: behind Ethernet, VLAN tag and IP.
  size_t l4_offset(IpFamily family = IpFamily::v4) const {
    return l4_offset_ + (family == IpFamily::v4 ? 0 : ipv6_header_bytes - ipv4_header_bytes);
  }
  // An empty packet with room for mtu() bytes of IP; empty handle if the device has none (counted).
  Packet allocate();
  // The same with room for capabilities().transmit_segmentation bytes, to be sent with segment_bytes set.
  Packet allocate_long();
  // Takes the packet. The caller has written the L4 part at its l4_offset and set packet.length (and
  // offload_l4_checksum, if the capabilities allow it). Ethernet and IP headers are written here. `source` is one of
  // our addresses.
  void send(Packet packet, const IpAddress& source, const IpAddress& destination, IpProtocol protocol, base::Time now);
  // Packets that may still be sent before the queue towards the port is full. TCP produces no more than that; a few
  // places are kept for ARP and ICMP.
  size_t transmit_room() const;
  // Hands everything queued to the device, as far as it takes it.
  void flush();
  // Behind the last packet queued so far. Places are counted up, and never anew.
  size_t transmit_place() const { return transmit_tail_; }
  // The port has taken all that was queued before that place.
  bool has_left(size_t place) const { return transmit_head_ >= place; }
  // The device took not all: flush() has to be called again.
  bool transmit_waiting() const { return transmit_head_ != transmit_tail_; }
  // Gives back a packet that was allocated or received.
  void release(Packet& packet);

  // ---- time and colleagues ------------------------------------------------------------------------------------------
  // Asks for neighbours again, expires what is old, announces our addresses. Bounded; cheap when nothing is due.
  void on_time(base::Time now);
  // The link is there again, or at last: says again where our addresses are, and asks again what nobody may have heard.
  // Does nothing where another one announces.
  void on_link_up(base::Time now);
  // When on_time has something to do next; base::never if nothing is pending.
  base::Time next_deadline() const;
  // Neighbours this host heard of since the last call, for the other workers. Bounded; valid until the next receive.
  std::span<const LearnedNeighbor> take_learned_neighbors();
  // A colleague heard it: updates an address this host asked for or knows; others are not taken in.
  void learn(const LearnedNeighbor& learned, base::Time now);
  // The worker's other hosts, each on a port of its own. An address of theirs is not taken here, whoever gives it: a
  // connection is known by its local address (core/tcp/stack.h). They outlive this one's last turn.
  void set_siblings(std::vector<const Host*> siblings) { siblings_ = std::move(siblings); }
  // What changed of our addresses and routes since the last call; a colleague applies it.
  std::vector<NetworkChange> take_changes() { return std::exchange(changes_, {}); }
  bool has_changes() const { return !changes_.empty(); }
  void apply(const NetworkChange& change);
  // What the one that announces must hear; `on_heard` is its ear. Bounded.
  std::vector<Heard> take_heard() { return std::exchange(heard_, {}); }
  bool has_heard() const { return !heard_.empty(); }
  void on_heard(const Heard& heard, base::Time now);

  // Sees every frame from now on, and that it is of this port; null: nobody does. Outlives the next call of this.
  void watch_frames(FrameWatcher* watcher, size_t port = 0) {
    watcher_ = watcher;
    watched_port_ = port;
  }

  const HostCounters& counters() const { return counters_; }
  // Packets held by this host (waiting for an address or for the port): 0 when everything is home.
  size_t packets_held() const;

 private:
  // From 0.0.0.0 to itself: never good.
  static constexpr uint64_t none_admitted = 0;

  // What an IP header leads to.
  struct L4 {
    uint8_t protocol = 0;
    base::Bytes bytes;
    MacAddress from{};  // who sent the frame
    bool from_pieces = false;
  };

  // host.cc: the way in.
  void on_frame(Packet& packet, base::Time now);
  void on_arp(base::Bytes payload, base::Time now);
  void on_ipv4(Packet& packet, const EthernetHeader& ethernet, base::Time now);
  bool admit(Packet& packet, const EthernetHeader& ethernet, const Ipv4Header& ip, base::Time now);
  void on_ipv4_payload(Packet& packet, const Ipv4Header& ip, base::Bytes datagram, base::Time now);
  void take_segment(const Packet& packet, const IpAddress& source, const IpAddress& destination, base::Bytes l4);
  bool is_group_of_ours(const EthernetHeader& ethernet) const;
  void take_icmp_error(const IcmpError& error);
  void on_icmp(base::Bytes l4, const Ipv4Header& ip, base::Time now);
  void on_udp(base::Bytes datagram, const Ipv4Header& ip, ChecksumVerdict checksum, base::Time now);
  void drop(Packet& packet, base::Counter& reason);
  size_t datagrams_held() const;

  // host_fragments.cc
  void on_fragment(Packet& packet, const EthernetHeader& ethernet, const Fragment& fragment, uint8_t hops,
                   base::Time now);
  void on_reassembled(FragmentTable::Outcome& whole, const FragmentKey& key, const EthernetHeader& from, uint8_t hops,
                      base::Time now);

  // host_ipv6.cc
  void on_ipv6(Packet& packet, const EthernetHeader& ethernet, base::Time now);
  void on_ipv6_payload(Packet& packet, const Ipv6Header& ip, const L4& l4, base::Time now);
  void on_icmpv6(const Ipv6Header& ip, const L4& l4, base::Time now);
  void answer_echo(const Ipv6Header& ip, const Icmpv6Message& request, base::Time now);
  void on_ipv6_udp(const Packet& packet, const Ipv6Header& ip, base::Time now);
  void send_icmpv6(const Icmpv6Message& message, const IpAddress& source, const IpAddress& destination, base::Time now);
  bool in_group(const IpAddress& group) const;

  // host_mld.cc
  void on_mld_query(const Ipv6Header& ip, const Icmpv6Message& message, base::Time now);
  void report_groups(base::Time now);
  void send_mld(const Icmpv6Message& message, const IpAddress& destination);

  // host_dhcp.cc
  std::optional<DhcpMessage> dhcp_answer(const Ipv4Header& ip, base::Bytes bytes, ChecksumVerdict checksum) const;
  void on_dhcp(const DhcpMessage& message, base::Time now);
  void listen_to_dhcp(const DhcpMessage& message, base::Time now);
  void take_dhcp_steps(base::Time now);
  void send_dhcp(const DhcpMessage& message, Ipv4Address to, base::Time now);
  void hear_for_another(const Heard& heard);

  // host_transmit.cc: the way out.
  void write_ipv4(Packet& packet, Ipv4Address source, Ipv4Address destination, IpProtocol protocol);
  void write_ipv6(Packet& packet, const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                  uint8_t hop_limit);
  void write_ethernet(Packet& packet, const MacAddress& to, uint16_t type);
  void enqueue(Packet& packet);
  Neighbor* neighbor_towards(const IpAddress& destination, base::Time now);
  void wait_for_address(Neighbor& neighbor, Packet& packet);

  // host_ndp.cc: who is where in IPv6, and who we are.
  void on_neighbor_solicitation(const Ipv6Header& ip, const Icmpv6Message& message, const MacAddress& from,
                                base::Time now);
  void on_neighbor_advertisement(const Ipv6Header& ip, const Icmpv6Message& message, base::Time now);
  void on_router_advertisement(const Ipv6Header& ip, const Icmpv6Message& message, base::Time now);
  void advertise(const IpAddress& target, const IpAddress& to, const MacAddress& mac, bool solicited);
  void solicit(const IpAddress& target, const IpAddress& source, std::optional<MacAddress> only);
  void ask_routers();
  void send_ndp(const Icmpv6Message& message, const IpAddress& source, const IpAddress& destination,
                const MacAddress& mac);
  void begin_autoconfiguration(base::Time now);
  void take_autoconfiguration_steps(base::Time now);
  bool is_a_siblings(const IpAddress& address) const;
  void change(const NetworkChange& news);

  // host_arp.cc: who is where.
  void ask(Neighbor& neighbor, base::Time now);
  void confirm(Neighbor& neighbor, const MacAddress& mac, base::Time now);
  void hear(const IpAddress& source, const MacAddress& mac, base::Time now);
  void forget(Neighbor& neighbor);
  void on_neighbor_due(Neighbor& neighbor, base::Time now);
  void announce(Ipv4Address address);
  void announce_all();
  void announce_soon(base::Time now);
  Neighbor* add_neighbor(const IpAddress& address, base::Time now);
  void send_arp(const ArpMessage& message, const MacAddress& to);
  void report_learned(const LearnedNeighbor& learned);
  void look_again_at(base::Time due) { next_look_ = std::min(next_look_, due); }

  HostConfig config_;
  Device& device_;
  Capabilities capabilities_;
  size_t l4_offset_;  // of IPv4
  bool speaks_ipv6_;
  HostCounters counters_;
  base::RateLimit unreachables_;

  FrameWatcher* watcher_ = nullptr;
  size_t watched_port_ = 0;
  base::Time turn_{};  // the last receive's

  std::array<Packet, burst_max> burst_{};
  std::array<Datagram, burst_max> datagrams_{};
  size_t datagram_count_ = 0;
  std::array<IcmpError, icmp_errors_max> icmp_errors_{};
  size_t icmp_error_count_ = 0;

  std::vector<const Host*> siblings_;
  Routing routing_;
  uint64_t admitted_ = none_admitted;  // the IPv4 addresses, source before destination, that were last found good
  base::HashKey key_;
  NeighborTable neighbors_;
  // Where the last packet went, and by way of whom: bursts go to few.
  IpAddress last_destination_;
  Neighbor* last_used_ = nullptr;
  bool refreshing_ = false;             // a neighbour that is known and in use is asked again
  base::Time next_look_ = base::never;  // the earliest of all neighbours' due times and of announce_due_
  base::Time announce_due_{};
  uint8_t announcements_left_ = 0;
  base::RateLimit defences_;
  std::optional<FragmentTable> fragments_;
  std::optional<Autoconfiguration> autoconfiguration_;  // where IPv6 is spoken, from the first on_time on
  MldReports mld_{key_};
  std::optional<DhcpClient> dhcp_;  // of the one that announces, from the first on_time on
  std::vector<NetworkChange> changes_;
  std::vector<Heard> heard_;
  std::array<LearnedNeighbor, 64> learned_{};
  size_t learned_count_ = 0;

  // Towards the port: a ring; head and tail only grow, the place is the low bits.
  std::vector<Packet> transmit_queue_;
  size_t transmit_head_ = 0;
  size_t transmit_tail_ = 0;
  uint16_t identification_;
};

}  // namespace talaria::net
