// A host that speaks IPv6, on a port that the test holds in its hands.
#include <gtest/gtest.h>

#include "core/net/host.h"
#include "core/net/icmpv6.h"
#include "tests/unit/net/host_fixture.h"

namespace talaria::net {
namespace {

using namespace std::chrono_literals;

constexpr MacAddress peer_mac{2, 0, 0, 0, 0, 2}, other_mac{2, 0, 0, 0, 0, 3};
const IpAddress our_address = *parse_ip_address("2001:db8::1");
const IpAddress peer_address = *parse_ip_address("2001:db8::2");
const IpAddress router = *parse_ip_address("fe80::99");

// What the host sent.
struct Sent {
  EthernetHeader ethernet;
  Ipv6Header ip;
  Icmpv6Message icmp;
  Frame frame;  // what the message points into
};

class HostIpv6Test : public HostOnFakeDevice {
 protected:
  void start(HostConfig config = {.announce = false}) {
    if (config.addresses.empty() && !config.addresses_from_routers) config.addresses = {{our_address, 64}};
    config.interface_secret = {5, 6};
    start_with(config);
  }

  Frame frame(uint8_t next_header, base::Bytes payload, IpAddress from = peer_address, IpAddress to = our_address,
              uint8_t hops = 64, MacAddress mac = peer_mac) {
    Frame bytes(14 + ipv6_header_bytes);
    emit_ethernet(
        {.destination = to.is_multicast() ? group_mac(to) : our_mac, .source = mac, .vlan = {}, .type = ethertype_ipv6},
        bytes.data());
    emit_ipv6({.payload_bytes = static_cast<uint16_t>(payload.size()),
               .next_header = next_header,
               .hop_limit = hops,
               .source = from,
               .destination = to},
              bytes.data() + 14);
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    return bytes;
  }
  Frame icmp(uint8_t type, base::Bytes body, IpAddress from, IpAddress to) {
    Frame bytes(4 + body.size());
    emit_icmpv6({.type = type, .code = 0, .body = body}, from, to, bytes.data());
    return bytes;
  }
  void hear(uint8_t type, base::Bytes body, IpAddress from, IpAddress to, uint8_t hops = 255,
            MacAddress mac = peer_mac) {
    receive(frame(58, icmp(type, body, from, to), from, to, hops, mac));
  }
  void hear_solicitation(IpAddress target, IpAddress from = peer_address, std::optional<MacAddress> mac = peer_mac,
                         std::optional<IpAddress> to = {}, uint8_t hops = 255) {
    uint8_t body[neighbor_message_bytes_max];
    const size_t bytes = emit_neighbor_solicitation({.target = target, .source_mac = mac}, body);
    hear(icmpv6_neighbor_solicitation, {body, bytes}, from, to.value_or(solicited_node_group(target)), hops);
  }
  void hear_advertisement(NeighborAdvertisement message, IpAddress to = our_address, uint8_t hops = 255) {
    uint8_t body[neighbor_message_bytes_max];
    const size_t bytes = emit_neighbor_advertisement(message, body);
    hear(icmpv6_neighbor_advertisement, {body, bytes}, message.target, to, hops);
  }
  void hear_router(uint16_t lifetime, std::vector<AdvertisedPrefix> prefixes, uint8_t hops = 255,
                   IpAddress from = router) {
    Frame body(12);
    base::store_be16(body.data() + 2, lifetime);
    for (int byte : {1, 1, 2, 0, 0, 0, 0, 9}) body.push_back(static_cast<uint8_t>(byte));  // its MAC address
    for (const AdvertisedPrefix& each : prefixes) {
      Frame option(32);
      option[0] = 3;
      option[1] = 4;
      option[2] = each.prefix.bits;
      option[3] = static_cast<uint8_t>((each.on_link ? 0x80 : 0) | (each.autonomous ? 0x40 : 0));
      base::store_be32(option.data() + 4, each.valid_seconds);
      base::store_be32(option.data() + 8, each.preferred_seconds);
      store_ipv6_address(option.data() + 16, each.prefix.address);
      body.insert(body.end(), option.begin(), option.end());
    }
    hear(icmpv6_router_advertisement, body, from, all_nodes_group, hops);
  }
  void send(IpAddress to, IpAddress from = our_address) {
    Packet packet = host->allocate();
    ASSERT_TRUE(packet);
    packet.length = static_cast<uint16_t>(host->l4_offset(IpFamily::v6) + 20);
    host->send(packet, from, to, IpProtocol::tcp, now);
    host->flush();
  }
  std::vector<Sent> take_icmp() {
    std::vector<Sent> all;
    for (Frame& bytes : take()) {
      Sent& sent = all.emplace_back();
      sent.frame = std::move(bytes);
      sent.ethernet = *parse_ethernet(sent.frame);
      if (sent.ethernet.type != ethertype_ipv6) {
        ADD_FAILURE() << "no IPv6";
        continue;
      }
      const base::Bytes datagram = base::Bytes(sent.frame).subspan(14);
      sent.ip = *parse_ipv6(datagram);
      EXPECT_EQ(datagram.size(), ipv6_header_bytes + sent.ip.payload_bytes);
      const bool report = sent.ip.next_header == 0;  // what comes behind a hop-by-hop header
      auto message = parse_icmpv6(datagram.subspan(report ? 48 : 40), sent.ip.source, sent.ip.destination);
      EXPECT_TRUE(message) << "bad checksum";
      if (message) sent.icmp = *message;
      if (!report) continue;
      EXPECT_TRUE(std::equal(std::begin(mld_hop_by_hop), std::end(mld_hop_by_hop), datagram.data() + 40));
      EXPECT_EQ(sent.ip.hop_limit, 1);
      reports.push_back(std::move(sent));
      all.pop_back();
    }
    return all;
  }
  // The groups of the reports among what was sent, each with its record's type, or 1 in a report of version 1.
  std::vector<std::pair<int, IpAddress>> take_reported() {
    take_icmp();
    std::vector<std::pair<int, IpAddress>> groups;
    for (const Sent& report : std::exchange(reports, {})) {
      const base::Bytes body = report.icmp.body;
      if (report.icmp.type == mld_report_v1) {
        EXPECT_EQ(report.ip.destination, load_ipv6_address(body.data() + 4));
        groups.push_back({1, report.ip.destination});
        continue;
      }
      EXPECT_EQ(report.icmp.type, mld_report_v2);
      EXPECT_EQ(report.ip.destination, mld_reports_group);
      EXPECT_EQ(body.size(), 4 + size_t{base::load_be16(body.data() + 2)} * mld_record_bytes);
      for (size_t at = 4; at < body.size(); at += mld_record_bytes)
        groups.push_back({body[at], load_ipv6_address(body.data() + at + 4)});
    }
    return groups;
  }
  void hear_query(uint16_t delay, size_t bytes, IpAddress from = *parse_ip_address("fe80::99"), uint8_t hops = 1) {
    Frame body(bytes);
    base::store_be16(body.data(), delay);
    hear(mld_query, body, from, all_nodes_group, hops);
  }
  Frame segment() { return Frame(20, 7); }

  std::vector<Sent> reports;  // of groups, as take_icmp found them
};

TEST_F(HostIpv6Test, AnswersWhoAsksForIt) {
  start();
  hear_solicitation(our_address);
  auto sent = take_icmp();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].ethernet.destination, peer_mac);
  EXPECT_EQ(sent[0].ip.destination, peer_address);
  EXPECT_EQ(sent[0].ip.source, our_address);
  EXPECT_EQ(sent[0].ip.hop_limit, 255);
  auto answer = parse_neighbor_advertisement(sent[0].icmp.body);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->target, our_address);
  EXPECT_EQ(answer->target_mac, our_mac);
  EXPECT_TRUE(answer->solicited && answer->override);
  // Who asks for us is known.
  send(peer_address);
  auto frames = take();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(parse_ethernet(frames[0])->destination, peer_mac);
  EXPECT_EQ(parse_ethernet(frames[0])->type, ethertype_ipv6);
  // Others are not.
  hear_solicitation(*parse_ip_address("2001:db8::5"));
  hear_solicitation(peer_address, our_address);
  EXPECT_TRUE(take().empty());
}

// The address came to the worker that announces; the port gives the question to this one.
TEST_F(HostIpv6Test, AnswersForAnAddressThatAColleagueWasGiven) {
  start({.announce = false, .addresses_from_routers = true});
  hear_solicitation(our_address);
  EXPECT_TRUE(take().empty());
  host->apply({NetworkChange::Kind::address_added, {our_address, 64}, {}});
  hear_solicitation(our_address);
  EXPECT_EQ(take_icmp().size(), 1u);
  host->apply({NetworkChange::Kind::address_removed, {our_address, 64}, {}});
  hear_solicitation(our_address);
  EXPECT_TRUE(take().empty());
}

TEST_F(HostIpv6Test, ForgedNeighborMessagesAreRefused) {
  start();
  hear_solicitation(our_address, peer_address, peer_mac, {}, 254);
  hear_solicitation(our_address, IpAddress(), peer_mac);                   // nobody has a MAC address
  hear_solicitation(our_address, IpAddress(), std::nullopt, our_address);  // nobody asks one alone
  hear_advertisement({.target = peer_address, .target_mac = peer_mac}, our_address, 64);
  hear_advertisement({.target = peer_address, .solicited = true, .target_mac = peer_mac}, all_nodes_group);
  hear_router(1800, {}, 64);
  hear_router(1800, {}, 255, *parse_ip_address("2001:db8::99"));
  Frame short_option(28);
  store_ipv6_address(short_option.data() + 4, our_address);
  short_option[20] = 1;  // of length 0
  hear(icmpv6_neighbor_solicitation, short_option, peer_address, our_address);
  EXPECT_EQ(host->counters().drop_bad_ndp.value(), 8u);
  Frame damaged = frame(58, icmp(icmpv6_echo_request, Frame(8), peer_address, our_address));
  damaged.back() ^= 1;
  receive(damaged);
  EXPECT_EQ(host->counters().drop_bad_icmp.value(), 1u);
  EXPECT_TRUE(take().empty());
}

TEST_F(HostIpv6Test, AsksForANeighborByItsGroup) {
  start();
  send(peer_address);
  send(peer_address);
  auto sent = take_icmp();
  ASSERT_EQ(sent.size(), 1u) << "one question, two packets wait";
  EXPECT_EQ(sent[0].icmp.type, icmpv6_neighbor_solicitation);
  EXPECT_EQ(sent[0].ip.destination, solicited_node_group(peer_address));
  EXPECT_EQ(sent[0].ethernet.destination, (MacAddress{0x33, 0x33, 0xff, 0, 0, 2}));
  hear_advertisement({.target = peer_address, .solicited = true, .override = true, .target_mac = peer_mac});
  EXPECT_EQ(take().size(), 2u);
  at(31s);
  EXPECT_TRUE(take().empty()) << "not in use";
}

TEST_F(HostIpv6Test, AKnownNeighborMovesOnlyIfTheMessageSaysSo) {
  start();
  hear_solicitation(our_address);
  now += 1s;
  send(peer_address);
  take();
  hear_advertisement({.target = peer_address, .solicited = true, .override = false, .target_mac = other_mac});
  send(peer_address);
  auto frames = take();
  ASSERT_GE(frames.size(), 1u);
  EXPECT_EQ(parse_ethernet(frames.back())->destination, peer_mac) << "RFC 4861 7.2.5: not without the flag";
  at(2s);
  auto asked = take_icmp();
  ASSERT_EQ(asked.size(), 1u) << "but the known one is asked whether it is there";
  EXPECT_EQ(asked[0].ethernet.destination, peer_mac);
  hear_advertisement({.target = peer_address, .solicited = true, .override = true, .target_mac = other_mac});
  send(peer_address);
  frames = take();
  EXPECT_EQ(parse_ethernet(frames.back())->destination, other_mac);
}

TEST_F(HostIpv6Test, UnaskedAdvertisementsAreNotTakenIn) {
  start();
  hear_advertisement({.target = peer_address, .override = true, .target_mac = peer_mac}, all_nodes_group);
  send(peer_address);
  auto sent = take_icmp();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].icmp.type, icmpv6_neighbor_solicitation);
}

TEST_F(HostIpv6Test, AnAddressIsAskedForBeforeItIsUsed) {
  start({.announce = true});
  at(0s);
  auto sent = take_icmp();
  ASSERT_EQ(sent.size(), 2u) << "for the link-local and the given one";
  for (const Sent& each : sent) {
    EXPECT_EQ(each.icmp.type, icmpv6_neighbor_solicitation);
    EXPECT_TRUE(each.ip.source.is_unspecified());
  }
  hear_solicitation(our_address);
  EXPECT_TRUE(take().empty()) << "not ours yet";
  at(1s);
  for (const Sent& each : take_icmp()) EXPECT_EQ(each.icmp.type, icmpv6_neighbor_advertisement);
  hear_solicitation(our_address);
  EXPECT_EQ(take().size(), 1u);
  ASSERT_EQ(host->routing().addresses().size(), 2u);
  EXPECT_TRUE(host->routing().addresses()[0].address.is_link_local());
  EXPECT_EQ(host->take_changes().size(), 2u) << "for the other workers";
}

TEST_F(HostIpv6Test, WhatNobodyHeardIsAskedAgainWhenTheLinkComesUp) {
  start({.announce = true, .addresses_from_routers = true});
  at(0s);
  EXPECT_EQ(take_icmp().size(), 1u) << "whether the link-local address may be used";
  link_comes_up(900ms);
  auto sent = take_icmp();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].icmp.type, icmpv6_neighbor_solicitation);
  at(1s);
  take();
  EXPECT_TRUE(host->routing().addresses().empty()) << "it was asked only now";
  at(1900ms);
  EXPECT_EQ(host->routing().addresses().size(), 1u);
  at(20s);
  at(30s);
  take_icmp();
  reports.clear();
  // Later, too: where its addresses are, and who routes.
  link_comes_up(40s);
  sent = take_icmp();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].icmp.type, icmpv6_neighbor_advertisement);
  EXPECT_EQ(reports.size(), 1u) << "its groups";
  at(41s);
  bool asked = false;
  for (const Sent& each : take_icmp()) asked |= each.icmp.type == icmpv6_router_solicitation;
  EXPECT_TRUE(asked);
}

TEST_F(HostIpv6Test, AnAddressThatSomebodyHasIsNotUsed) {
  start({.announce = true});
  at(0s);
  hear_advertisement({.target = our_address, .override = true, .target_mac = other_mac}, all_nodes_group);
  at(1s);
  take();
  hear_solicitation(our_address);
  EXPECT_TRUE(take().empty());
  EXPECT_EQ(host->counters().address_conflicts.value(), 1u);
  EXPECT_EQ(host->routing().addresses().size(), 1u) << "the link-local one";
}

TEST_F(HostIpv6Test, WhoWantsOurAddressIsToldThatItIsTaken) {
  start();
  hear_solicitation(our_address, IpAddress(), std::nullopt);
  auto sent = take_icmp();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].ip.destination, all_nodes_group);
  EXPECT_FALSE(parse_neighbor_advertisement(sent[0].icmp.body)->solicited);
}

TEST_F(HostIpv6Test, MakesAnAddressOfWhatARouterAdvertises) {
  start({.announce = true, .addresses_from_routers = true});
  const IpPrefix prefix{*parse_ip_address("2001:db8:7::"), 64};
  at(0s);
  at(1s);
  bool asked = false;
  for (const Sent& each : take_icmp()) asked |= each.icmp.type == icmpv6_router_solicitation;
  EXPECT_TRUE(asked);
  hear_router(1800, {{prefix, true, true, 86400, 3600}});
  at(2s);
  auto addresses = host->routing().addresses();
  ASSERT_EQ(addresses.size(), 2u);
  const IpAddress made = addresses[1].address;
  EXPECT_TRUE(prefix.contains(made));
  EXPECT_NE(made.low & 0xffffffffff000000, 0x000000fffe000000u) << "not the MAC address (RFC 7217)";
  EXPECT_EQ(host->routing().next_hop(*parse_ip_address("2600::1")), router);
  EXPECT_EQ(host->routing().source_for(*parse_ip_address("2600::1")), made);
  take();
  // The router is gone.
  hear_router(0, {});
  EXPECT_FALSE(host->routing().next_hop(*parse_ip_address("2600::1")));
  // The same network gives the same address, at the next start.
  start({.announce = true, .addresses_from_routers = true});
  now = {};
  at(0s);
  hear_router(1800, {{prefix, true, true, 86400, 3600}});
  at(1s);
  EXPECT_EQ(host->routing().addresses()[1].address, made);
}

TEST_F(HostIpv6Test, EchoesToOneAndNotToMany) {
  start();
  hear_solicitation(our_address);
  take();
  const Frame body(12, 0x5a);
  hear(icmpv6_echo_request, body, peer_address, our_address, 64);
  auto sent = take_icmp();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].icmp.type, icmpv6_echo_reply);
  EXPECT_EQ(sent[0].icmp.body.size(), 12u);
  EXPECT_EQ(sent[0].ip.source, our_address);
  hear(icmpv6_echo_request, body, peer_address, all_nodes_group, 64);
  EXPECT_TRUE(take().empty());
}

TEST_F(HostIpv6Test, ExtensionsAreSteppedOverWithABound) {
  start();
  auto with = [&](size_t count, uint8_t first = 60) {
    Frame payload;
    for (size_t i = 0; i < count; i++)
      for (int byte : {i + 1 < count ? 60 : 6, 0, 1, 4, 0, 0, 0, 0}) payload.push_back(static_cast<uint8_t>(byte));
    const Frame tcp = segment();
    payload.insert(payload.end(), tcp.begin(), tcp.end());
    device.arriving.push_back(frame(count == 0 ? 6 : first, payload));
    host->receive(now);
    return host->datagrams().size();
  };
  EXPECT_EQ(with(0), 1u);
  EXPECT_EQ(host->datagrams()[0].source, peer_address);
  EXPECT_EQ(host->datagrams()[0].destination, our_address);
  EXPECT_EQ(with(1), 1u);
  EXPECT_EQ(host->datagrams()[0].l4().size(), 20u);
  EXPECT_EQ(host->datagrams()[0].l4()[0], 7);
  EXPECT_EQ(with(1, 0), 1u) << "hop-by-hop";
  EXPECT_EQ(with(ipv6_extensions_max), 1u);
  EXPECT_EQ(with(ipv6_extensions_max + 1), 0u);
  EXPECT_EQ(host->counters().drop_ip_extension.value(), 1u);
}

TEST_F(HostIpv6Test, ExtensionsThatAskForTroubleAreRefused) {
  start();
  auto refused = [&](uint8_t first, Frame header) {
    const uint64_t before = host->counters().drop_ip_extension.value();
    const Frame tcp = segment();
    header.insert(header.end(), tcp.begin(), tcp.end());
    device.arriving.push_back(frame(first, header));
    host->receive(now);
    return host->datagrams().empty() && host->counters().drop_ip_extension.value() == before + 1;
  };
  EXPECT_FALSE(refused(43, {6, 0, 0, 0, 0, 0, 0, 0})) << "a source route at its end";
  EXPECT_TRUE(refused(43, {6, 0, 0, 1, 0, 0, 0, 0})) << "one that goes on (RFC 5095)";
  EXPECT_TRUE(refused(60, {6, 0, 0x80, 0, 0, 0, 0, 0})) << "an option that must be known";
  EXPECT_FALSE(refused(60, {6, 0, 0x1e, 0, 0, 0, 0, 0})) << "one that may be skipped";
  EXPECT_TRUE(refused(60, {6, 200, 1, 4, 0, 0, 0, 0})) << "longer than the packet";
  EXPECT_TRUE(refused(60, {6, 0, 1, 9, 0, 0, 0, 0})) << "an option longer than the header";
  EXPECT_TRUE(refused(60, {0, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0})) << "hop-by-hop not in front";
  EXPECT_TRUE(refused(59, {})) << "nothing behind it";
}

TEST_F(HostIpv6Test, BadAddressesAreRefused) {
  start();
  const auto& counters = host->counters();
  receive(frame(6, segment(), peer_address, *parse_ip_address("2001:db8::9")));
  receive(frame(6, segment(), peer_address, all_nodes_group));
  receive(frame(6, segment(), peer_address, *parse_ip_address("::ffff:c612:1")));
  EXPECT_EQ(counters.drop_other_address.value(), 3u);
  for (const char* source : {"ff02::1", "::1", "::ffff:c612:2", "2001:db8::1"})
    receive(frame(6, segment(), *parse_ip_address(source)));
  EXPECT_EQ(counters.drop_bad_source.value(), 4u);
  receive(frame(6, segment(), IpAddress()));
  EXPECT_EQ(counters.drop_other_address.value(), 4u) << "nobody opens no connection";
  Frame cut = frame(6, segment());
  cut.resize(cut.size() - 1);
  receive(cut);
  EXPECT_EQ(counters.drop_bad_ip_header.value(), 1u);
  EXPECT_TRUE(take().empty());
}

Frame piece(uint8_t next, uint16_t offset, bool more, uint32_t identification, base::Bytes payload) {
  Frame bytes(8);
  bytes[0] = next;
  base::store_be16(bytes.data() + 2, static_cast<uint16_t>(offset | (more ? 1 : 0)));
  base::store_be32(bytes.data() + 4, identification);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

TEST_F(HostIpv6Test, PiecesArePutTogether) {
  start();
  Frame whole(100);
  for (size_t i = 0; i < whole.size(); i++) whole[i] = static_cast<uint8_t>(i);
  receive(frame(44, piece(6, 48, false, 9, base::Bytes(whole).subspan(48))));
  device.arriving.push_back(frame(44, piece(6, 0, true, 9, base::Bytes(whole).first(48))));
  host->receive(now);
  ASSERT_EQ(host->datagrams().size(), 1u);
  const base::Bytes l4 = host->datagrams()[0].l4();
  EXPECT_TRUE(std::equal(l4.begin(), l4.end(), whole.begin(), whole.end()));
  EXPECT_EQ(host->datagrams()[0].source, peer_address);
  EXPECT_EQ(host->counters().datagrams_reassembled.value(), 1u);
}

TEST_F(HostIpv6Test, AnAtomicPieceIsAWhole) {
  start();
  receive(frame(44, piece(6, 0, true, 9, Frame(48))));
  device.arriving.push_back(frame(44, piece(6, 0, false, 9, segment())));
  host->receive(now);
  EXPECT_EQ(host->datagrams().size(), 1u) << "RFC 6946: whatever else has its identification";
}

TEST_F(HostIpv6Test, PiecesThatHideWhatTheyAreAreRefused) {
  start();
  receive(frame(44, piece(6, 0, true, 1, Frame(16))));   // not the whole TCP header
  receive(frame(44, piece(6, 8, false, 1, Frame(16))));  // begins within it
  receive(frame(44, piece(58, 0, true, 2, Frame(4))));   // no multiple of eight
  EXPECT_EQ(host->counters().drop_fragment_malformed.value(), 3u);
  // A neighbour message in pieces (RFC 6980).
  uint8_t body[neighbor_message_bytes_max];
  emit_neighbor_solicitation({.target = our_address, .source_mac = peer_mac}, body);
  const Frame message = icmp(icmpv6_neighbor_solicitation, body, peer_address, our_address);
  receive(frame(44, piece(58, 0, true, 3, base::Bytes(message).first(24)), peer_address, our_address, 255));
  receive(frame(44, piece(58, 24, false, 3, base::Bytes(message).subspan(24)), peer_address, our_address, 255));
  EXPECT_EQ(host->counters().datagrams_reassembled.value(), 1u);
  EXPECT_EQ(host->counters().drop_bad_ndp.value(), 1u);
  EXPECT_TRUE(take().empty());
}

TEST_F(HostIpv6Test, ADeviceTakesTheWholeToItsWorker) {
  device.takes_wholes = true;
  start();
  receive(frame(44, piece(6, 0, true, 9, Frame(48))));
  receive(frame(44, piece(6, 48, false, 9, Frame(8))));
  EXPECT_TRUE(host->datagrams().empty());
  ASSERT_EQ(device.wholes.size(), 1u);
  const auto ip = parse_ipv6(base::Bytes(device.wholes[0]).subspan(14));
  ASSERT_TRUE(ip);
  EXPECT_EQ(ip->payload_bytes, 56);
  EXPECT_EQ(ip->next_header, 6);
}

TEST_F(HostIpv6Test, UdpIsToldThatNobodyIsThere) {
  start();
  hear_solicitation(our_address);
  take();
  receive(frame(17, Frame(8, 1)));
  auto sent = take_icmp();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].icmp.type, icmpv6_unreachable);
  EXPECT_EQ(sent[0].icmp.code, icmpv6_code_port_unreachable);
  EXPECT_EQ(sent[0].icmp.body.size(), 4u + 48u);
}

TEST_F(HostIpv6Test, WithoutAnAddressIpv6IsNotSpoken) {
  start({.addresses = {{Ipv4Address{0xc6120001}, 24}}, .announce = false});
  receive(frame(6, segment()));
  EXPECT_EQ(host->counters().drop_unknown_ethertype.value(), 1u);
  receive(frame(6, segment(), peer_address, all_nodes_group));
  EXPECT_EQ(host->counters().drop_other_mac.value(), 1u);
}

// ---- Multicast Listener Discovery -----------------------------------------------------------------------------------

class HostMldTest : public HostIpv6Test {
 protected:
  using Reported = std::vector<std::pair<int, IpAddress>>;
  // To where the addresses are ours and everything was said.
  void settle() {
    start({.announce = true});
    for (base::Duration time = 0s; time < 10s; time += 100ms) at(time);
    take_icmp();
    reports.clear();
  }
  // Reports by then.
  Reported until(base::Duration time) {
    while (host->next_deadline() <= base::Time(time)) at(host->next_deadline().time_since_epoch());
    return take_reported();
  }
  static constexpr int answered = 2, joined = 4;
};

TEST_F(HostMldTest, GroupsAreReportedWhenTheyAreJoined) {
  start({.announce = true});
  at(0s);
  const IpAddress group = solicited_node_group(our_address);
  take_icmp();
  ASSERT_FALSE(reports.empty());
  EXPECT_TRUE(reports[0].ip.source.is_unspecified()) << "no address is ours yet";
  const Reported first = take_reported();
  EXPECT_EQ(first.size(), 2u) << "of the address and of the link-local one";
  EXPECT_NE(std::find(first.begin(), first.end(), std::pair(joined, group)), first.end());
  at(1s);
  at(2s);
  take_icmp();
  ASSERT_FALSE(reports.empty());
  EXPECT_TRUE(reports.back().ip.source.is_link_local()) << "and again when one is";
  reports.clear();
  EXPECT_TRUE(until(100s).empty());
}

TEST_F(HostMldTest, QueriesAreAnsweredWithinTheirTime) {
  settle();
  hear_query(1000, 24);
  EXPECT_TRUE(take_reported().empty()) << "all at once would be a flood";
  const Reported answer = until(11s);
  ASSERT_EQ(answer.size(), 2u);
  EXPECT_EQ(answer[0].first, answered);
  EXPECT_TRUE(until(100s).empty());
  EXPECT_EQ(host->counters().mld_queries_received.value(), 1u);
}

TEST_F(HostMldTest, RoutersOfTheFirstVersionAreUnderstood) {
  settle();
  hear_query(1000, 20);
  const Reported answer = until(11s);
  ASSERT_EQ(answer.size(), 2u);
  EXPECT_EQ(answer[0].first, 1);
  at(300s);
  hear_query(0, 24);
  EXPECT_EQ(until(301s)[0].first, answered) << "that router has gone";
}

TEST_F(HostMldTest, ForgersAreNotAnswered) {
  settle();
  hear_query(0, 24, peer_address);
  hear_query(0, 24, *parse_ip_address("fe80::99"), 64);
  hear_query(0, 22);
  hear_query(0, 3);
  EXPECT_TRUE(until(100s).empty());
  EXPECT_EQ(host->counters().drop_bad_mld.value() + host->counters().drop_bad_icmp.value(), 4u);
}

TEST_F(HostMldTest, WhoDoesNotAnnouncePassesQueriesOn) {
  start();
  hear_query(0, 24);
  const auto heard = host->take_heard();
  ASSERT_EQ(heard.size(), 1u);
  FakeDevice other_device{our_mac};
  Host announcer({.addresses = {{our_address, 64}}, .announce = true}, other_device, base::HashKey{1, 2});
  announcer.on_time(base::Time(0s));
  announcer.flush();
  for (int second = 1; second < 10; second++) announcer.on_time(base::Time(std::chrono::seconds(second)));
  announcer.flush();
  other_device.sent.clear();
  announcer.on_heard(heard[0], base::Time(10s));
  announcer.on_time(base::Time(11s));
  announcer.flush();
  EXPECT_EQ(other_device.sent.size(), 1u);
}

}  // namespace
}  // namespace talaria::net
