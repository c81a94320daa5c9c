// The DHCP client, as a state machine and in a host, against a server in the test's hands.
#include "core/net/dhcp.h"

#include <gtest/gtest.h>

#include "core/net/host.h"
#include "tests/unit/net/host_fixture.h"

namespace talaria::net {
namespace {

using namespace std::chrono_literals;

constexpr MacAddress server_mac{2, 0, 0, 0, 0, 2};
constexpr Ipv4Address server{0xc6120001}, offered{0xc6120032}, other{0xc6120033};

DhcpMessage answer(const DhcpMessage& to, DhcpType type, Ipv4Address yours = offered) {
  DhcpMessage message = to;
  message.type = type;
  message.from_server = true;
  message.yours = yours;
  message.server = server;
  message.requested = {};
  message.lease = 3600;
  message.prefix_bits = uint8_t{24};
  message.router = server;
  return message;
}

class DhcpClientTest : public testing::Test {
 protected:
  using Action = DhcpClient::Action;
  using State = DhcpClient::State;

  std::vector<DhcpClient::Step> at(base::Duration time) {
    now = base::Time(time);
    client.on_time(now);
    return client.take_steps();
  }
  std::vector<DhcpClient::Step> hear(const DhcpMessage& message) {
    client.on_message(message, now);
    return client.take_steps();
  }
  // Through discover, offer, request, ack.
  void bind() {
    auto discover = at(0s);
    ASSERT_EQ(discover.size(), 1u);
    auto request = hear(answer(discover[0].message, DhcpType::offer));
    ASSERT_EQ(request.size(), 1u);
    last = request[0].message;
    auto got = hear(answer(last, DhcpType::ack));
    ASSERT_EQ(got.size(), 1u);
    ASSERT_EQ(got[0].action, Action::got);
    ASSERT_EQ(client.state(), State::bound);
  }

  base::Time now{};
  DhcpClient client{our_mac, {1, 2}, now};
  DhcpMessage last;
};

TEST_F(DhcpClientTest, DiscoverOfferRequestAck) {
  auto steps = at(0s);
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].action, Action::send_to_all);
  EXPECT_EQ(steps[0].message.type, DhcpType::discover);
  EXPECT_TRUE(steps[0].message.client.is_unspecified());
  steps = hear(answer(steps[0].message, DhcpType::offer));
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].message.type, DhcpType::request);
  EXPECT_EQ(steps[0].message.requested, offered);
  EXPECT_EQ(steps[0].message.server, server);
  steps = hear(answer(steps[0].message, DhcpType::ack));
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].action, Action::got);
  EXPECT_EQ(steps[0].lease.address, (IpPrefix{offered, 24}));
  EXPECT_EQ(steps[0].lease.router, server);
  EXPECT_EQ(client.next_deadline(), base::Time(1800s));
}

TEST_F(DhcpClientTest, AsksAgainWithLongerPauses) {
  at(0s);
  base::Duration before = 0s;
  for (int i = 0; i < 8; i++) {
    const base::Duration due = client.next_deadline().time_since_epoch();
    const base::Duration pause = due - before;
    EXPECT_GE(pause, std::min<base::Duration>(4s * (1 << i), 64s) - 1s);
    EXPECT_LE(pause, std::min<base::Duration>(4s * (1 << i), 64s) + 1s);
    EXPECT_TRUE(at(due - 1ns).empty());
    EXPECT_EQ(at(due).size(), 1u);
    before = due;
  }
}

TEST_F(DhcpClientTest, WhatIsNotForItIsIgnored) {
  const DhcpMessage discover = at(0s)[0].message;
  DhcpMessage offer = answer(discover, DhcpType::offer);
  offer.transaction++;
  EXPECT_TRUE(hear(offer).empty());
  offer = answer(discover, DhcpType::offer);
  offer.mac = server_mac;
  EXPECT_TRUE(hear(offer).empty());
  offer = answer(discover, DhcpType::offer);
  offer.from_server = false;
  EXPECT_TRUE(hear(offer).empty());
  offer = answer(discover, DhcpType::offer, Ipv4Address{0xe0000001});
  EXPECT_TRUE(hear(offer).empty()) << "a group is nobody's address";
  offer = answer(discover, DhcpType::offer);
  offer.server = {};
  EXPECT_TRUE(hear(offer).empty());
  EXPECT_TRUE(hear(answer(discover, DhcpType::ack)).empty()) << "nothing was asked for";
  const DhcpMessage request = hear(answer(discover, DhcpType::offer))[0].message;
  EXPECT_TRUE(hear(answer(request, DhcpType::ack, other)).empty()) << "another address than the one asked for";
  EXPECT_EQ(client.state(), State::requesting);
}

TEST_F(DhcpClientTest, ARefusedRequestBeginsAnew) {
  const DhcpMessage discover = at(0s)[0].message;
  const DhcpMessage request = hear(answer(discover, DhcpType::offer))[0].message;
  EXPECT_TRUE(hear(answer(request, DhcpType::nak)).empty());
  auto steps = at(1s);
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].message.type, DhcpType::discover);
  EXPECT_NE(steps[0].message.transaction, discover.transaction);
}

TEST_F(DhcpClientTest, ARequestWithoutAnAnswerIsGivenUp) {
  const DhcpMessage discover = at(0s)[0].message;
  hear(answer(discover, DhcpType::offer));
  int requests = 0;
  while (client.state() == State::requesting && requests < 10)
    requests += static_cast<int>(at(client.next_deadline().time_since_epoch()).size());
  EXPECT_EQ(requests, 3) << "and the first";
  EXPECT_EQ(client.state(), State::selecting);
}

TEST_F(DhcpClientTest, RenewsWithItsServerAndThenWithAnyone) {
  bind();
  auto steps = at(1800s);
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].action, Action::send_to_server);
  EXPECT_EQ(steps[0].server, server);
  EXPECT_EQ(steps[0].message.client, offered);
  EXPECT_FALSE(steps[0].message.requested) << "RFC 2131, table 5";
  EXPECT_FALSE(steps[0].message.server);
  EXPECT_EQ(client.next_deadline(), base::Time(2475s)) << "half of what is left";
  // The answer makes the lease new, from when it was asked for.
  now = base::Time(1801s);
  EXPECT_TRUE(hear(answer(steps[0].message, DhcpType::ack)).empty()) << "nothing changed";
  EXPECT_EQ(client.next_deadline(), base::Time(3600s));
  // Nobody answers.
  base::Time last_deadline{};
  bool to_all = false;
  std::vector<DhcpClient::Step> lost;
  for (int i = 0; i < 50 && client.state() != State::selecting; i++) {
    last_deadline = client.next_deadline();
    for (const auto& step : at(last_deadline.time_since_epoch())) {
      to_all |= step.action == Action::send_to_all;
      if (step.action == Action::lost) lost.push_back(step);
    }
  }
  EXPECT_TRUE(to_all) << "rebinding";
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(last_deadline, base::Time(5400s)) << "an hour after it was asked for";
}

TEST_F(DhcpClientTest, AsksAtOnceWhenTheLinkComesUp) {
  ASSERT_EQ(at(0s).size(), 1u);
  ASSERT_GT(client.next_deadline(), base::Time(1s));
  now = base::Time(1s);
  client.on_link_up(now);
  auto steps = at(1s);
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].message.type, DhcpType::discover);
  hear(answer(hear(answer(steps[0].message, DhcpType::offer))[0].message, DhcpType::ack));
  ASSERT_EQ(client.state(), State::bound);
  // Another network may be behind it now: whoever serves it says whether the lease holds.
  now = base::Time(100s);
  client.on_link_up(now);
  steps = at(100s);
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].action, Action::send_to_all);
  EXPECT_EQ(steps[0].message.type, DhcpType::request);
  EXPECT_EQ(steps[0].message.client, offered);
  EXPECT_TRUE(hear(answer(steps[0].message, DhcpType::ack)).empty());
  EXPECT_EQ(client.state(), State::bound);
  client.on_link_up(now);
  steps = hear(answer(at(100s)[0].message, DhcpType::nak));
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].action, Action::lost);
}

TEST_F(DhcpClientTest, AnotherAddressReplacesTheFirst) {
  bind();
  const DhcpMessage request = at(1800s)[0].message;
  auto steps = hear(answer(request, DhcpType::ack, other));
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[0].action, Action::lost);
  EXPECT_EQ(steps[0].lease.address.address, IpAddress(offered));
  EXPECT_EQ(steps[1].action, Action::got);
  EXPECT_EQ(steps[1].lease.address.address, IpAddress(other));
}

TEST_F(DhcpClientTest, AnAddressThatSomebodyHasIsDeclined) {
  bind();
  client.on_conflict(now);
  auto steps = client.take_steps();
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[0].message.type, DhcpType::decline);
  EXPECT_EQ(steps[0].message.requested, offered);
  EXPECT_EQ(steps[1].action, Action::lost);
  EXPECT_EQ(client.next_deadline(), base::Time(10s));
}

TEST(Dhcp, EmitsWhatItParses) {
  DhcpMessage message = answer({}, DhcpType::ack);
  message.transaction = 0x12345678;
  message.mac = our_mac;
  message.renewal = 100;
  uint8_t bytes[dhcp_bytes_max];
  ASSERT_EQ(emit_dhcp(message, bytes), dhcp_bytes_max);
  auto parsed = parse_dhcp(bytes);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->type, DhcpType::ack);
  EXPECT_TRUE(parsed->from_server);
  EXPECT_EQ(parsed->transaction, 0x12345678u);
  EXPECT_EQ(parsed->yours, offered);
  EXPECT_EQ(parsed->mac, our_mac);
  EXPECT_EQ(parsed->server, server);
  EXPECT_EQ(parsed->prefix_bits, 24);
  EXPECT_EQ(parsed->router, server);
  EXPECT_EQ(parsed->lease, 3600u);
  EXPECT_EQ(parsed->renewal, 100u);
  for (size_t length = 0; length < 243; length++) EXPECT_FALSE(parse_dhcp({bytes, length})) << length;
  bytes[241] = 255;  // an option that reaches beyond the message
  EXPECT_FALSE(parse_dhcp(bytes));
  bytes[241] = 1;
  bytes[236] ^= 1;
  EXPECT_FALSE(parse_dhcp(bytes)) << "not the magic cookie";
}

class HostDhcpTest : public HostOnFakeDevice {
 protected:
  void start() { start_with({.address_from_dhcp = true}); }
  // The DHCP messages among what was sent.
  std::vector<DhcpMessage> take_messages() {
    std::vector<DhcpMessage> messages;
    for (const Frame& frame : take()) {
      if (parse_ethernet(frame)->type != ethertype_ipv4) continue;
      const base::Bytes datagram = base::Bytes(frame).subspan(14);
      const auto ip = parse_ipv4(datagram);
      const base::Bytes udp = datagram.subspan(20);
      const uint64_t sum = pseudo_header_sum(ip->source, ip->destination, IpProtocol::udp, udp.size());
      EXPECT_EQ(checksum_fold(checksum_add(sum, udp)), 0xffff);
      EXPECT_EQ(base::load_be16(udp.data() + 2), dhcp_server_port);
      messages.push_back(*parse_dhcp(udp.subspan(8)));
    }
    return messages;
  }
  void hear(const DhcpMessage& message, Ipv4Address to = {0xffffffff}) { hear_at(*host, message, to); }
  void hear_at(Host& one, const DhcpMessage& message, Ipv4Address to = {0xffffffff}) {
    Frame frame(14 + 20 + 8 + dhcp_bytes_max);
    emit_ethernet({.destination = to.is_broadcast() ? broadcast_mac : our_mac,
                   .source = server_mac,
                   .vlan = {},
                   .type = ethertype_ipv4},
                  frame.data());
    emit_ipv4(
        {.total_bytes = static_cast<uint16_t>(frame.size() - 14), .protocol = 17, .source = server, .destination = to},
        frame.data() + 14, true);
    base::store_be16(frame.data() + 34, dhcp_server_port);
    base::store_be16(frame.data() + 36, dhcp_client_port);
    base::store_be16(frame.data() + 38, 8 + dhcp_bytes_max);
    emit_dhcp(message, frame.data() + 42);
    device.arriving.push_back(frame);
    one.receive(now);
    one.flush();
  }
};

TEST_F(HostDhcpTest, GetsAnAddressUsesItAndLosesIt) {
  start();
  at(0s);
  auto said = take_messages();
  ASSERT_EQ(said.size(), 1u);
  hear(answer(said[0], DhcpType::offer));
  said = take_messages();
  ASSERT_EQ(said.size(), 1u);
  hear(answer(said[0], DhcpType::ack), offered);  // a server that does not mind that the address is not ours yet
  EXPECT_TRUE(host->routing().is_ours(offered));
  EXPECT_EQ(host->routing().next_hop(Ipv4Address{0x08080808}), IpAddress(server));
  auto changes = host->take_changes();
  ASSERT_EQ(changes.size(), 2u) << "for the other workers";
  at(0s);
  bool announced = false;
  for (const Frame& frame : device.sent) announced |= parse_ethernet(frame)->type == ethertype_arp;
  EXPECT_TRUE(announced);
  take_messages();
  at(1800s);
  Frame asked = device.sent.empty() ? Frame() : device.sent.back();
  ASSERT_FALSE(asked.empty());
  EXPECT_EQ(parse_ethernet(asked)->type, ethertype_arp) << "for the server, to which the renewal goes";
  for (int i = 0; i < 60 && host->routing().is_ours(offered); i++) at(host->next_deadline().time_since_epoch());
  EXPECT_EQ(now, base::Time(3600s));
  EXPECT_FALSE(host->routing().is_ours(offered));
  EXPECT_FALSE(host->routing().next_hop(Ipv4Address{0x08080808}));
}

// A connection is known by its local address: no two ports have the same one.
TEST_F(HostDhcpTest, AnAddressOfAnotherPortIsNotTaken) {
  start();
  FakeDevice other_device{{2, 0, 0, 0, 0, 9}};
  const Host sibling({.addresses = {{offered, 24}}, .announce = false}, other_device, {1, 2});
  host->set_siblings({&sibling});
  at(0s);
  const DhcpMessage discover = take_messages()[0];
  hear(answer(discover, DhcpType::offer));
  EXPECT_TRUE(take_messages().empty()) << "it is not asked for";
  hear(answer(discover, DhcpType::ack), offered);
  EXPECT_FALSE(host->routing().is_ours(offered));
  EXPECT_TRUE(host->take_changes().empty());
  EXPECT_EQ(host->counters().address_conflicts.value(), 2u) << "each offer of it is counted";
}

TEST_F(HostDhcpTest, OthersPassOnWhatTheyHear) {
  start();
  at(0s);
  const DhcpMessage discover = take_messages()[0];
  Host colleague({.announce = false, .address_from_dhcp = true}, device, {1, 2});
  hear_at(colleague, answer(discover, DhcpType::offer));
  const auto heard = colleague.take_heard();
  ASSERT_EQ(heard.size(), 1u);
  host->on_heard(heard[0], now);
  host->flush();
  auto said = take_messages();
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0].type, DhcpType::request);
}

TEST_F(HostDhcpTest, WithoutAClientItsPortIsClosed) {
  host.emplace(HostConfig{.addresses = {{other, 24}}, .announce = false}, device, base::HashKey{1, 2});
  hear(answer({}, DhcpType::offer));
  EXPECT_EQ(host->counters().drop_other_address.value(), 1u);
}

}  // namespace
}  // namespace talaria::net
