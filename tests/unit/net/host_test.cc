// A host on a port that the test holds in its hands.
#include "core/net/host.h"

#include <gtest/gtest.h>

#include "core/net/icmp.h"
#include "tests/unit/net/host_fixture.h"

namespace talaria::net {
namespace {

using namespace std::chrono_literals;

constexpr MacAddress peer_mac{2, 0, 0, 0, 0, 2};
constexpr Ipv4Address our_address{0xc6120001};   // 198.18.0.1
constexpr Ipv4Address peer_address{0xc6120002};  // 198.18.0.2
constexpr Ipv4Address far_address{0xc6130009};   // 198.19.0.9, behind the gateway
constexpr Ipv4Address gateway{0xc61200fe};

class HostTest : public HostOnFakeDevice {
 protected:
  void start(HostConfig config = {}) {
    if (config.addresses.empty()) config.addresses = {{our_address, 24}};
    start_with(config);
  }

  Frame arp(ArpOperation operation, Ipv4Address sender, MacAddress sender_mac, Ipv4Address target) {
    Frame frame(14 + arp_bytes);
    emit_ethernet({.destination = operation == ArpOperation::request ? broadcast_mac : our_mac,
                   .source = sender_mac,
                   .vlan = {},
                   .type = ethertype_arp},
                  frame.data());
    emit_arp({.operation = operation,
              .sender_mac = sender_mac,
              .sender_address = sender,
              .target_mac = our_mac,
              .target_address = target},
             frame.data() + 14);
    return frame;
  }
  Frame ip(IpProtocol protocol, Frame payload, Ipv4Address source = peer_address,
           Ipv4Address destination = our_address) {
    Frame frame(34);
    emit_ethernet({.destination = our_mac, .source = peer_mac, .vlan = {}, .type = ethertype_ipv4}, frame.data());
    emit_ipv4({.total_bytes = static_cast<uint16_t>(20 + payload.size()),
               .protocol = static_cast<uint8_t>(protocol),
               .source = source,
               .destination = destination},
              frame.data() + 14, true);
    frame.insert(frame.end(), payload.begin(), payload.end());
    return frame;
  }
  Frame echo(size_t data = 8) {
    Frame body(4 + data, 0x5a), icmp(8 + data);
    emit_icmp({.type = icmp_echo_request, .code = 0, .body = body}, icmp.data());
    return icmp;
  }
  void send(Ipv4Address to, uint8_t mark = 0, Ipv4Address from = our_address) {
    Packet packet = host->allocate();
    ASSERT_TRUE(packet);
    packet.data[host->l4_offset()] = mark;
    packet.length = static_cast<uint16_t>(host->l4_offset() + 20);
    host->send(packet, from, to, IpProtocol::tcp, now);
    host->flush();
  }
};

TEST_F(HostTest, AnnouncesItsAddressTwice) {
  start();
  at(0s);
  at(1s);
  EXPECT_EQ(take().size(), 1u);
  EXPECT_EQ(host->next_deadline(), base::Time(2s));
  at(2s);
  auto frames = take();
  ASSERT_EQ(frames.size(), 1u);
  auto message = parse_arp(base::Bytes(frames[0]).subspan(14));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->sender_address, our_address);
  EXPECT_EQ(message->target_address, our_address);
  at(10s);
  EXPECT_TRUE(take().empty());
  EXPECT_EQ(host->next_deadline(), base::never);
}

TEST_F(HostTest, AnnouncesItsAddressAgainWhenTheLinkComesUp) {
  start();
  at(0s);
  at(2s);
  at(10s);
  take();
  link_comes_up(20s);
  EXPECT_EQ(take().size(), 1u);
  at(22s);
  EXPECT_EQ(take().size(), 1u);
  EXPECT_EQ(host->next_deadline(), base::never);
  start({.announce = false});
  link_comes_up(30s);
  EXPECT_TRUE(take().empty()) << "another worker does";
}

TEST_F(HostTest, AnswersArpForItsAddressOnly) {
  start({.announce = false});
  receive(arp(ArpOperation::request, peer_address, peer_mac, our_address));
  auto frames = take();
  ASSERT_EQ(frames.size(), 1u);
  auto answer = parse_arp(base::Bytes(frames[0]).subspan(14));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->operation, ArpOperation::reply);
  EXPECT_EQ(answer->sender_mac, our_mac);
  EXPECT_EQ(answer->target_mac, peer_mac);
  receive(arp(ArpOperation::request, peer_address, peer_mac, gateway));
  EXPECT_TRUE(take().empty());
}

TEST_F(HostTest, WhoAsksForUsIsKnown) {
  start({.announce = false});
  receive(arp(ArpOperation::request, peer_address, peer_mac, our_address));
  take();
  send(peer_address);
  auto frames = take();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(parse_ethernet(frames[0])->destination, peer_mac);
}

TEST_F(HostTest, PacketsWaitForTheAddressAndTheOldestGoes) {
  start({.announce = false, .unresolved_packets_per_neighbor = 3});
  for (uint8_t mark = 0; mark < 5; mark++) send(peer_address, mark);
  EXPECT_EQ(take().size(), 1u) << "one request, not five";
  EXPECT_EQ(host->packets_held(), 3u);
  EXPECT_EQ(host->counters().drop_unresolved_overflow.value(), 2u);
  receive(arp(ArpOperation::reply, peer_address, peer_mac, our_address));
  auto frames = take();
  ASSERT_EQ(frames.size(), 3u);
  for (uint8_t i = 0; i < 3; i++) {
    EXPECT_EQ(parse_ethernet(frames[i])->destination, peer_mac);
    EXPECT_EQ(frames[i][34], i + 2) << "in the order they were sent";
  }
}

TEST_F(HostTest, AsksAgainThenGivesUp) {
  start({.announce = false});
  send(peer_address);
  at(999ms);
  EXPECT_EQ(take().size(), 1u);
  at(1s);
  at(2s);
  EXPECT_EQ(take().size(), 2u);
  at(3s);
  EXPECT_TRUE(take().empty());
  EXPECT_EQ(host->counters().drop_unresolved_timeout.value(), 1u);
  EXPECT_EQ(host->packets_held(), 0u);
  EXPECT_EQ(host->next_deadline(), base::never);
}

// A line that loses every answer: what the neighbour sends otherwise tells as well that it is there.
TEST_F(HostTest, NeighborThatIsHeardOfStaysKnown) {
  start({.announce = false});
  receive(arp(ArpOperation::request, peer_address, peer_mac, our_address));
  take();
  for (int second = 1; second < 300; second++) {
    at(second * 1s);
    if (second % 10 == 5) receive(ip(IpProtocol::tcp, Frame(20, 7)));
    take();
    send(peer_address);
    for (const Frame& frame : take()) EXPECT_EQ(parse_ethernet(frame)->destination, peer_mac) << second;
    host->receive(now);  // what was received is given back
  }
  EXPECT_EQ(host->counters().neighbor_unresolved.value(), 0u);
  EXPECT_EQ(host->counters().drop_unresolved_overflow.value(), 0u);
}

// From another MAC address it is no sign.
TEST_F(HostTest, NeighborIsNotHeardOfFromElsewhere) {
  start({.announce = false});
  receive(arp(ArpOperation::request, peer_address, peer_mac, our_address));
  for (int second = 1; second <= 61; second++) {
    at(second * 1s);
    Frame frame = ip(IpProtocol::tcp, Frame(20, 7));
    frame[11]++;
    receive(frame);
    host->receive(now);
    take();
    if (second < 60) send(peer_address);
  }
  take();
  send(peer_address);
  const auto frames = take();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(parse_ethernet(frames[0])->type, ethertype_arp) << "forgotten: asked for anew";
}

TEST_F(HostTest, NeighborInUseIsRefreshedAndAnIdleOneForgotten) {
  start({.announce = false});
  receive(arp(ArpOperation::request, peer_address, peer_mac, our_address));
  take();
  at(10s);
  send(peer_address);
  take();
  at(30s);
  auto frames = take();
  ASSERT_EQ(frames.size(), 1u) << "asked before its time is over";
  EXPECT_EQ(parse_ethernet(frames[0])->destination, peer_mac) << "of the neighbour itself";
  receive(arp(ArpOperation::reply, peer_address, peer_mac, our_address));
  at(89s);
  EXPECT_TRUE(take().empty()) << "not used since";
  at(90s);
  send(peer_address);
  frames = take();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(parse_ethernet(frames[0])->type, ethertype_arp) << "forgotten: asked for again";
}

TEST_F(HostTest, UnaskedAnswersAreNotTakenIn) {
  start({.announce = false});
  receive(arp(ArpOperation::reply, peer_address, peer_mac, our_address));
  send(peer_address);
  auto frames = take();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(parse_ethernet(frames[0])->type, ethertype_arp);
}

TEST_F(HostTest, AColleagueHearsTheAnswer) {
  start({.announce = false});
  receive(arp(ArpOperation::reply, peer_address, peer_mac, our_address));
  auto learned = host->take_learned_neighbors();
  ASSERT_EQ(learned.size(), 1u) << "told to the others: one of them may have asked";
  EXPECT_EQ(learned[0].address, peer_address);
  EXPECT_TRUE(host->take_learned_neighbors().empty());

  send(peer_address);
  take();
  host->learn({peer_address, peer_mac}, now);
  host->flush();
  auto frames = take();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(parse_ethernet(frames[0])->destination, peer_mac);
}

TEST_F(HostTest, ConflictIsNoticedAndDefendedOnce) {
  start({.announce = false});
  receive(arp(ArpOperation::request, our_address, peer_mac, our_address));
  receive(arp(ArpOperation::request, our_address, peer_mac, our_address));
  EXPECT_EQ(host->counters().address_conflicts.value(), 2u);
  EXPECT_EQ(take().size(), 1u);
}

TEST_F(HostTest, FullTableForgetsWhoWasUnusedLongest) {
  start({.announce = false, .neighbors_max = 2});
  receive(arp(ArpOperation::request, Ipv4Address{0xc6120003}, peer_mac, our_address));
  at(1s);
  receive(arp(ArpOperation::request, Ipv4Address{0xc6120004}, peer_mac, our_address));
  at(2s);
  send(Ipv4Address{0xc6120003});
  receive(arp(ArpOperation::request, Ipv4Address{0xc6120005}, peer_mac, our_address));
  take();
  send(Ipv4Address{0xc6120003});
  send(Ipv4Address{0xc6120005});
  for (const Frame& frame : take()) EXPECT_EQ(parse_ethernet(frame)->type, ethertype_ipv4);
}

TEST_F(HostTest, OutsideThePrefixGoesToTheGateway) {
  start({.routes = {default_route(gateway)}, .announce = false});
  receive(arp(ArpOperation::request, gateway, peer_mac, our_address));
  take();
  send(far_address);
  auto frames = take();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(parse_ethernet(frames[0])->destination, peer_mac);
  EXPECT_EQ(parse_ipv4(base::Bytes(frames[0]).subspan(14))->destination, far_address);
}

TEST_F(HostTest, WithoutAGatewayThereIsNoRoute) {
  start({.announce = false});
  send(far_address);
  EXPECT_TRUE(take().empty());
  EXPECT_EQ(host->counters().drop_no_route.value(), 1u);
}

TEST_F(HostTest, TheLongestPrefixShowsTheWay) {
  const Ipv4Address other_router{0xc61200fd}, other_mac_host{0xc6130042};
  start({.routes = {default_route(gateway), {{Ipv4Address{0xc6130000}, 24}, other_router}}, .announce = false});
  const MacAddress other_mac{2, 0, 0, 0, 0, 9};
  receive(arp(ArpOperation::request, gateway, peer_mac, our_address));
  receive(arp(ArpOperation::request, other_router, other_mac, our_address));
  take();
  send(other_mac_host);           // 198.19.0.66: by the route
  send(Ipv4Address{0xc6130109});  // 198.19.1.9: by the gateway
  send(other_mac_host);
  auto frames = take();
  ASSERT_EQ(frames.size(), 3u);
  EXPECT_EQ(parse_ethernet(frames[0])->destination, other_mac);
  EXPECT_EQ(parse_ethernet(frames[1])->destination, peer_mac);
  EXPECT_EQ(parse_ethernet(frames[2])->destination, other_mac);
}

TEST_F(HostTest, EachOfItsAddressesAnswersAndIsAnnounced) {
  const Ipv4Address second{0x0a010002}, neighbor{0x0a010001};  // 10.1.0.2/16
  start({.addresses = {{our_address, 24}, {second, 16}}});
  at(0s);
  EXPECT_EQ(take().size(), 2u) << "one announcement each";
  receive(arp(ArpOperation::request, neighbor, peer_mac, second));
  auto frames = take();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(parse_arp(base::Bytes(frames[0]).subspan(14))->sender_address, second);
  receive(ip(IpProtocol::icmp, echo(), neighbor, second));
  frames = take();
  ASSERT_EQ(frames.size(), 1u);
  auto reply = parse_ipv4(base::Bytes(frames[0]).subspan(14));
  EXPECT_EQ(reply->source, second) << "from the address that was asked";
  EXPECT_EQ(reply->destination, neighbor);
  receive(ip(IpProtocol::tcp, Frame(20), neighbor, Ipv4Address{0x0a010003}));
  EXPECT_EQ(host->counters().drop_other_address.value(), 1u);
  // Whom it asks for, it asks from the address of that network.
  send(Ipv4Address{0x0a010009}, 0, second);
  frames = take();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(parse_arp(base::Bytes(frames[0]).subspan(14))->sender_address, second);
}

TEST_F(HostTest, ANeighborThatMadeRoomIsNotSentToAnyMore) {
  start({.announce = false, .neighbors_max = 1});
  receive(arp(ArpOperation::request, peer_address, peer_mac, our_address));
  send(peer_address);
  take();
  receive(arp(ArpOperation::request, gateway, MacAddress{2, 0, 0, 0, 0, 9}, our_address));
  take();
  send(peer_address);
  auto frames = take();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(parse_ethernet(frames[0])->type, ethertype_arp) << "asked for again";
}

TEST_F(HostTest, AnswersEcho) {
  start({.announce = false});
  receive(arp(ArpOperation::request, peer_address, peer_mac, our_address));
  take();
  receive(ip(IpProtocol::icmp, echo()));
  auto frames = take();
  ASSERT_EQ(frames.size(), 1u);
  base::Bytes datagram = base::Bytes(frames[0]).subspan(14);
  EXPECT_TRUE(verify_ipv4_checksum(datagram.first(20)));
  auto reply = parse_icmp(datagram.subspan(20));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->type, icmp_echo_reply);
  EXPECT_EQ(reply->body.size(), 12u);
}

TEST_F(HostTest, NothingIsAnsweredToBroadcast) {
  start({.announce = false});
  Frame frame = ip(IpProtocol::icmp, echo(), peer_address, Ipv4Address{0xc61200ff});
  emit_ethernet({.destination = broadcast_mac, .source = peer_mac, .vlan = {}, .type = ethertype_ipv4}, frame.data());
  receive(frame);
  EXPECT_TRUE(take().empty());
  EXPECT_EQ(host->counters().drop_other_address.value(), 1u);
}

TEST_F(HostTest, UdpIsToldThatNobodyIsThereAtABoundedRate) {
  start({.announce = false, .unreachables_per_second = 2});
  receive(arp(ArpOperation::request, peer_address, peer_mac, our_address));
  take();
  for (int i = 0; i < 5; i++) receive(ip(IpProtocol::udp, Frame(8, 1)));
  auto frames = take();
  ASSERT_EQ(frames.size(), 2u);
  auto unreachable = parse_icmp(base::Bytes(frames[0]).subspan(34));
  ASSERT_TRUE(unreachable);
  EXPECT_EQ(unreachable->type, icmp_unreachable);
  EXPECT_EQ(unreachable->code, icmp_code_port_unreachable);
  EXPECT_EQ(unreachable->body.size(), 4u + 28u);
  EXPECT_EQ(host->counters().port_unreachables_limited.value(), 3u);
}

TEST_F(HostTest, TcpComesUpAsDatagrams) {
  start({.announce = false});
  Frame frame = ip(IpProtocol::tcp, Frame(20, 7));
  frame.resize(60);  // Ethernet pads short frames
  device.arriving.push_back(frame);
  EXPECT_EQ(host->receive(now), 1u);
  ASSERT_EQ(host->datagrams().size(), 1u);
  Datagram& datagram = host->datagrams()[0];
  EXPECT_EQ(datagram.source, peer_address);
  EXPECT_EQ(datagram.destination, our_address);
  EXPECT_EQ(datagram.l4().size(), 20u);
  EXPECT_EQ(datagram.l4()[0], 7);
}

TEST_F(HostTest, EveryBadFrameHasItsReason) {
  start({.announce = false, .fragmented_max = 0});
  auto& counters = host->counters();
  receive(Frame(13));
  EXPECT_EQ(counters.drop_short_frame.value(), 1u);
  Frame other = ip(IpProtocol::tcp, Frame(20));
  other[0] = 6;
  receive(other);
  EXPECT_EQ(counters.drop_other_mac.value(), 1u);
  Frame type = ip(IpProtocol::tcp, Frame(20));
  type[12] = 0x86;
  receive(type);
  EXPECT_EQ(counters.drop_unknown_ethertype.value(), 1u);
  Frame sum = ip(IpProtocol::tcp, Frame(20));
  sum[24] ^= 1;
  receive(sum);
  EXPECT_EQ(counters.drop_bad_ip_checksum.value(), 1u);
  receive(ip(IpProtocol::tcp, Frame(20), peer_address, gateway));
  EXPECT_EQ(counters.drop_other_address.value(), 1u);
  for (uint32_t source : {0xe0000001u, 0xffffffffu, 0x7f000001u, 0u, our_address.value, 0xc61200ffu})
    receive(ip(IpProtocol::tcp, Frame(20), Ipv4Address{source}));
  EXPECT_EQ(counters.drop_bad_source.value(), 6u);
  receive(ip(IpProtocol{99}, Frame(20)));
  EXPECT_EQ(counters.drop_unknown_protocol.value(), 1u);
  Frame arp_frame = arp(ArpOperation::request, peer_address, peer_mac, our_address);
  arp_frame.resize(30);
  receive(arp_frame);
  EXPECT_EQ(counters.drop_bad_arp.value(), 1u);
  Frame fragment = ip(IpProtocol::tcp, Frame(20));
  base::store_be16(fragment.data() + 20, 0x2000);
  base::store_be16(fragment.data() + 24, 0);
  base::store_be16(fragment.data() + 24,
                   static_cast<uint16_t>(~checksum_fold(checksum_add(0, {fragment.data() + 14, 20}))));
  receive(fragment);
  EXPECT_EQ(counters.drop_fragment.value(), 1u);
  Frame bad_icmp = ip(IpProtocol::icmp, echo());
  bad_icmp.back() ^= 1;
  receive(bad_icmp);
  EXPECT_EQ(counters.drop_bad_icmp.value(), 1u);
  EXPECT_TRUE(take().empty());
}

// Cuts an IPv4 datagram into pieces of so many bytes.
std::vector<Frame> cut(const Frame& frame, size_t piece_bytes, uint16_t identification = 77) {
  std::vector<Frame> pieces;
  for (size_t at = 34; at < frame.size(); at += piece_bytes) {
    const size_t bytes = std::min(piece_bytes, frame.size() - at);
    Frame piece(frame.begin(), frame.begin() + 34);
    piece.insert(piece.end(), frame.begin() + static_cast<std::ptrdiff_t>(at),
                 frame.begin() + static_cast<std::ptrdiff_t>(at + bytes));
    uint8_t* header = piece.data() + 14;
    base::store_be16(header + 2, static_cast<uint16_t>(20 + bytes));
    base::store_be16(header + 4, identification);
    base::store_be16(header + 6, static_cast<uint16_t>((at - 34) / 8 | (at + bytes < frame.size() ? 0x2000 : 0)));
    base::store_be16(header + 10, 0);
    base::store_be16(header + 10, static_cast<uint16_t>(~checksum_fold(checksum_add(0, {header, 20}))));
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

TEST_F(HostTest, PiecesBecomeTheDatagram) {
  start({.announce = false});
  Frame payload(1000);
  for (size_t i = 0; i < payload.size(); i++) payload[i] = static_cast<uint8_t>(i * 7);
  auto pieces = cut(ip(IpProtocol::tcp, payload), 256);
  std::reverse(pieces.begin(), pieces.end());
  for (const Frame& piece : pieces) device.arriving.push_back(piece);
  host->receive(now);
  ASSERT_EQ(host->datagrams().size(), 1u);
  const base::Bytes l4 = host->datagrams()[0].l4();
  EXPECT_TRUE(std::equal(l4.begin(), l4.end(), payload.begin(), payload.end()));
  EXPECT_EQ(host->datagrams()[0].source, IpAddress(peer_address));
  EXPECT_EQ(host->counters().fragments_received.value(), 4u);
  EXPECT_EQ(host->counters().datagrams_reassembled.value(), 1u);
  EXPECT_EQ(host->packets_held(), 1u) << "the datagram alone";
  // An echo in pieces is answered as any.
  receive(arp(ArpOperation::request, peer_address, peer_mac, our_address));
  take();
  for (const Frame& piece : cut(ip(IpProtocol::icmp, echo(600)), 400)) receive(piece);
  EXPECT_EQ(take().size(), 1u);
}

TEST_F(HostTest, PiecesThatHideTheHeaderAreRefused) {
  start({.announce = false});
  for (const Frame& piece : cut(ip(IpProtocol::tcp, Frame(40)), 16)) receive(piece);
  EXPECT_EQ(host->counters().drop_fragment_malformed.value(), 2u) << "RFC 1858: the first two";
  EXPECT_EQ(host->packets_held(), 1u);
  at(15s);
  EXPECT_EQ(host->counters().drop_fragment_timeout.value(), 1u);
  EXPECT_EQ(host->packets_held(), 0u);
}

// What was looked at a packet ago is looked at again when anything differs.
TEST_F(HostTest, GoodAddressesDoNotCoverBadOnes) {
  start({.announce = false});
  const auto takes = [&](Ipv4Address source, Ipv4Address destination) {
    device.arriving.push_back(ip(IpProtocol::tcp, Frame(20), source, destination));
    host->receive(now);
    return host->datagrams().size();
  };
  EXPECT_EQ(takes({}, {}), 0u) << "0.0.0.0 to itself, before anything was good";
  EXPECT_EQ(takes(peer_address, our_address), 1u);
  EXPECT_EQ(takes(peer_address, our_address), 1u);
  EXPECT_EQ(takes(our_address, our_address), 0u);
  EXPECT_EQ(takes(peer_address, gateway), 0u);
  EXPECT_EQ(takes({}, {}), 0u);
  EXPECT_EQ(takes(peer_address, our_address), 1u);
  Frame broadcast = ip(IpProtocol::tcp, Frame(20));
  std::copy(broadcast_mac.begin(), broadcast_mac.end(), broadcast.begin());
  device.arriving.push_back(broadcast);
  host->receive(now);
  EXPECT_TRUE(host->datagrams().empty());
  host->apply({NetworkChange::Kind::address_removed, {our_address, 24}, {}});
  EXPECT_EQ(takes(peer_address, our_address), 0u) << "no longer ours";
}

TEST_F(HostTest, ThePortsVerdictIsTrusted) {
  start({.announce = false});
  Frame sum = ip(IpProtocol::tcp, Frame(20));
  sum[24] ^= 1;
  device.verdict = ChecksumVerdict::good;
  device.arriving.push_back(sum);
  host->receive(now);
  EXPECT_EQ(host->datagrams().size(), 1u);
  device.verdict = ChecksumVerdict::bad;
  receive(ip(IpProtocol::tcp, Frame(20)));
  EXPECT_EQ(host->counters().drop_bad_ip_checksum.value(), 1u);
}

TEST_F(HostTest, VlanTagInAndOut) {
  start({.vlan = 7, .announce = false});
  Frame untagged = arp(ArpOperation::request, peer_address, peer_mac, our_address);
  receive(untagged);
  EXPECT_EQ(host->counters().drop_other_vlan.value(), 1u);
  Frame tagged(18);
  emit_ethernet({.destination = broadcast_mac, .source = peer_mac, .vlan = 7, .type = ethertype_arp}, tagged.data());
  tagged.insert(tagged.end(), untagged.begin() + 14, untagged.end());
  receive(tagged);
  send(peer_address);
  auto frames = take();
  ASSERT_EQ(frames.size(), 2u);
  for (const Frame& frame : frames) EXPECT_EQ(parse_ethernet(frame)->vlan, 7);
  EXPECT_EQ(frames[1].size(), 18u + 20u + 20u);
}

TEST_F(HostTest, WhatThePortRefusesWaitsInOrder) {
  start({.announce = false, .transmit_queue_max = 64});
  receive(arp(ArpOperation::request, peer_address, peer_mac, our_address));
  take();
  device.transmit_room = 0;
  EXPECT_EQ(host->transmit_room(), 32u);
  for (uint8_t mark = 0; mark < 64; mark++) send(peer_address, mark);
  EXPECT_EQ(host->transmit_room(), 0u);
  EXPECT_EQ(host->packets_held(), 64u);
  send(peer_address, 64);
  EXPECT_EQ(host->counters().drop_transmit_queue_full.value(), 1u);
  device.transmit_room = 10;
  host->flush();
  EXPECT_EQ(take().size(), 10u);
  device.transmit_room = SIZE_MAX;
  host->flush();
  auto frames = take();
  ASSERT_EQ(frames.size(), 54u);
  for (uint8_t i = 0; i < 54; i++) EXPECT_EQ(frames[i][34], i + 10);
}

TEST_F(HostTest, AnEmptyPoolIsCountedNotFatal) {
  start({.announce = false});
  device.packets_max = 0;
  receive(arp(ArpOperation::request, peer_address, peer_mac, our_address));
  EXPECT_FALSE(host->allocate());
  EXPECT_EQ(host->counters().no_packet.value(), 2u);
}

TEST_F(HostTest, AWatcherSeesEveryFrameBothWaysUntilItIsTakenAway) {
  struct Watcher : FrameWatcher {
    void see(size_t, FrameWay way, const Packet& packet, base::Time now) override {
      seen.emplace_back(way, Frame(packet.data, packet.data + packet.length), now);
    }
    std::vector<std::tuple<FrameWay, Frame, base::Time>> seen;
  } watcher;
  start({.announce = false});
  host->watch_frames(&watcher);
  now = base::Time{7s};
  const Frame request = arp(ArpOperation::request, peer_address, peer_mac, our_address);
  const Frame garbage(20, 9);
  device.arriving = {request, garbage};
  host->receive(now);
  host->flush();
  ASSERT_EQ(watcher.seen.size(), 3u);
  EXPECT_EQ(watcher.seen[0], std::tuple(FrameWay::in, request, now));
  EXPECT_EQ(watcher.seen[1], std::tuple(FrameWay::in, garbage, now)) << "before any check";
  ASSERT_EQ(device.sent.size(), 1u);
  EXPECT_EQ(watcher.seen[2], std::tuple(FrameWay::out, device.sent[0], now));
  host->watch_frames(nullptr);
  device.arriving = {request};
  host->receive(now);
  EXPECT_EQ(watcher.seen.size(), 3u);
}

}  // namespace
}  // namespace talaria::net
