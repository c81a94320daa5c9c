// Two stacks over a bad link: streams are byte-exact in both directions, connections end, everything comes home.
#include "core/net/icmpv6.h"
#include "tests/unit/tcp/world.h"

namespace talaria::tcp {
namespace {

struct Scenario {
  uint64_t seed = 1;
  LinkConfig link{};
  uint64_t bytes = 300'000;
  Config client{};
  Config server{};
  double pause_share = 0;
  uint16_t mtu = 1500;
  base::Duration time_max = 30min;
  std::set<size_t> lose{};
  net::IpFamily family = net::IpFamily::v4;
};

Config small() {
  Config config;
  config.connections = 4;
  config.half_open = 4;
  config.time_wait = 8;
  config.send_chunks = 256;
  config.shared_slices = 256;
  config.receive_chunks = 256;
  // At 20 % loss nothing may get through for minutes.
  config.linger_timeout = config.fin_wait_2_timeout = config.time_wait_duration = 30min;
  return config;
}

struct Outcome {
  base::Duration took{};
  size_t frames = 0;
};

// Both sides write `bytes` and read what the other wrote; the client closes first, or the server, by the seed.
Outcome converse(const Scenario& run) {
  SCOPED_TRACE("seed " + std::to_string(run.seed));
  World world(run.seed, run.link, run.client, run.server, run.mtu, run.family);
  world.lose = run.lose;
  Talker client(world, world.client, run.bytes, 1, 2);
  Talker server(world, world.server, run.bytes, 2, 1);
  (world.chance(0.5) ? client : server).reads_to_end = false;
  client.pause_share = server.pause_share = run.pause_share;
  world.server.stack.listen(5672);
  client.id = *world.client.stack.connect({World::address(run.family, 2), 5672}, {}, world.now);
  base::Time start = world.now;

  auto turn = [&](Node& node, Talker& talker) {
    node.begin_turn(world.now);
    for (const Event& event : node.stack.events()) talker.on_event(event);
    talker.act();
    node.end_turn(world.now);
  };
  // A paused reader needs turns even when nothing arrives.
  for (;;) {
    turn(world.client, client);
    turn(world.server, server);
    world.carry();
    bool busy = !world.client.device.arriving.empty() || !world.server.device.arriving.empty() ||
                world.client.stack.has_output() || world.server.stack.has_output();
    if (busy) continue;
    if (client.closed && server.closed) break;
    if (client.paused || server.paused) {
      world.now += 1ms;
      world.carry();
    } else if (!world.advance()) {
      ADD_FAILURE() << "nothing will ever happen: client at " << client.received << ", server at " << server.received;
      break;
    }
    world.carry();
    if (world.now - start > run.time_max) {
      ADD_FAILURE() << "no progress: client has read " << client.received << " and written " << client.written
                    << ", server " << server.received << " and " << server.written;
      break;
    }
    if (testing::Test::HasFatalFailure()) break;
  }
  Outcome outcome{world.now - start, world.frames};

  EXPECT_EQ(client.received, run.bytes);
  EXPECT_EQ(server.received, run.bytes);
  EXPECT_EQ(client.reason, CloseReason::finished);
  EXPECT_EQ(server.reason, CloseReason::finished);
  // TIME_WAIT runs out, and everything is home.
  for (int i = 0; i < 1000 && world.advance(); i++) {
    world.carry();
    turn(world.client, client);
    turn(world.server, server);
    world.carry();
  }
  turn(world.client, client);
  turn(world.server, server);
  EXPECT_EQ(client.bodies_out(), 0u);
  EXPECT_EQ(server.bodies_out(), 0u);
  for (Node* node : {&world.client, &world.server}) {
    const StackCounters& counters = node->stack.counters();
    EXPECT_EQ(counters.connections_open.value(), 0u);
    EXPECT_EQ(counters.time_wait_entries.value(), 0u);
    EXPECT_EQ(counters.send_chunks_used.value(), 0u);
    EXPECT_EQ(counters.receive_chunks_used.value(), 0u);
    EXPECT_EQ(counters.shared_slices_used.value(), 0u);
    EXPECT_EQ(node->host.packets_held(), 0u);
    EXPECT_EQ(node->device.outstanding, 0u);
  }
  return outcome;
}

// The conversation again and again, each frame of it lost once; then each run of two frames, up to `in_a_row_max`.
void lose_each_frame(Scenario run, size_t in_a_row_max) {
  size_t frames = converse(run).frames;
  ASSERT_GT(frames, 10u);
  for (size_t first = 0; first < frames; first++) {
    SCOPED_TRACE("frame " + std::to_string(first));
    run.lose.clear();
    for (size_t in_a_row = 0; in_a_row < in_a_row_max; in_a_row++) {
      run.lose.insert(first + in_a_row);
      converse(run);
    }
  }
}

TEST(TcpLink, CleanLinkIsFast) {
  Outcome outcome = converse({.link = {.delay = 1ms}, .bytes = 2'000'000, .client = small(), .server = small()});
  // 2 MB each way in windows of 256 KiB over a round trip of 2 ms.
  EXPECT_LT(outcome.took, 200ms);
  EXPECT_LT(outcome.frames, 2 * 2'000'000 / 1448 * 3 / 2);
}

TEST(TcpLink, LossOnly) {
  for (uint64_t seed = 1; seed <= 10; seed++)
    for (double loss : {0.001, 0.01, 0.05, 0.2})
      converse({.seed = seed, .link = {.loss = loss}, .client = small(), .server = small()});
}

TEST(TcpLink, LossWithoutOptions) {
  Config plain = small();
  plain.timestamps = plain.selective_acknowledgement = false;
  for (uint64_t seed = 1; seed <= 10; seed++)
    for (double loss : {0.01, 0.05, 0.2})
      converse({.seed = seed, .link = {.loss = loss}, .client = small(), .server = plain});
}

TEST(TcpLink, ReorderingAndDuplication) {
  for (uint64_t seed = 1; seed <= 10; seed++)
    converse({.seed = seed,
              .link = {.duplication = 0.1, .reordering = 0.3, .jitter = 10ms},
              .client = small(),
              .server = small()});
}

TEST(TcpLink, EverythingAtOnce) {
  for (uint64_t seed = 1; seed <= 20; seed++)
    converse({.seed = seed,
              .link = {.loss = 0.05, .duplication = 0.05, .reordering = 0.2, .corruption = 0.02, .jitter = 20ms},
              .client = small(),
              .server = small(),
              .pause_share = 0.05});
}

TEST(TcpLink, TinyBuffers) {
  for (uint64_t seed = 1; seed <= 10; seed++) {
    Config tiny = small();
    tiny.receive_window = 2048;
    tiny.send_high_watermark = 4096;
    tiny.send_low_watermark = 2048;
    converse(
        {.seed = seed, .link = {.loss = 0.02}, .bytes = 50'000, .client = tiny, .server = small(), .pause_share = 0.2});
  }
}

TEST(TcpLink, ReadersThatPause) {
  for (uint64_t seed = 1; seed <= 10; seed++)
    converse({.seed = seed,
              .link = {.loss = 0.01, .reordering = 0.1},
              .client = small(),
              .server = small(),
              .pause_share = 0.9});
}

TEST(TcpLink, MemoryShortOnBothSides) {
  for (uint64_t seed = 1; seed <= 10; seed++) {
    Config scarce = small();
    scarce.receive_chunks = 8;
    scarce.send_chunks = 4;
    scarce.shared_slices = 4;
    scarce.held_packets = 4;
    converse({.seed = seed,
              .link = {.loss = 0.02, .reordering = 0.1},
              .bytes = 100'000,
              .client = scarce,
              .server = scarce,
              .pause_share = 0.3});
  }
}

TEST(TcpLink, SmallMtuAndLongDelay) {
  for (uint64_t seed = 1; seed <= 5; seed++)
    converse({.seed = seed,
              .link = {.loss = 0.01, .delay = 100ms},
              .bytes = 200'000,
              .client = small(),
              .server = small(),
              .mtu = 576});
}

TEST(TcpLink, OverIpv6) {
  converse(
      {.link = {.delay = 1ms}, .bytes = 1'000'000, .client = small(), .server = small(), .family = net::IpFamily::v6});
  for (uint64_t seed = 1; seed <= 10; seed++)
    converse({.seed = seed,
              .link = {.loss = 0.05, .duplication = 0.05, .reordering = 0.2, .corruption = 0.02, .jitter = 20ms},
              .client = small(),
              .server = small(),
              .pause_share = 0.05,
              .mtu = 1280,
              .family = net::IpFamily::v6});
}

// The half-open table has no room at all: the SYN-ACK's number and timestamp carry everything.
TEST(TcpLink, OverIpv6WithCookies) {
  Config full = small();
  full.half_open = 0;
  converse({.bytes = 20'000, .client = small(), .server = full, .family = net::IpFamily::v6});
}

TEST(TcpLink, EverySingleLossIsRecoveredOverIpv6) {
  lose_each_frame({.bytes = 3000, .client = small(), .server = small(), .family = net::IpFamily::v6}, 1);
}

TEST(TcpLink, Ipv6ConnectionsKnowTheirAddresses) {
  World world(1, {}, small(), small(), 1500, net::IpFamily::v6);
  const Endpoint server{World::address(net::IpFamily::v6, 2), 5672};
  auto turns = [&] {
    for (int i = 0; i < 50 && world.advance(); i++) {
      world.carry();
      world.client.begin_turn(world.now);
      world.client.stack.events();
      world.client.end_turn(world.now);
      world.server.begin_turn(world.now);
      world.server.stack.events();
      world.server.end_turn(world.now);
    }
  };
  // Nobody listens: the reset comes from the address that was asked.
  auto refused = world.client.stack.connect(server, {}, world.now);
  ASSERT_TRUE(refused);
  world.client.end_turn(world.now);
  turns();
  EXPECT_FALSE(world.client.stack.alive(*refused));
  EXPECT_EQ(world.client.stack.counters().closed_refused.value(), 1u);

  world.server.stack.listen(5672);
  auto id = world.client.stack.connect(server, {}, world.now);
  ASSERT_TRUE(id);
  world.client.end_turn(world.now);
  turns();
  ASSERT_TRUE(world.client.stack.alive(*id));
  EXPECT_EQ(to_text(world.client.stack.info(*id, world.now)->remote), "[2001:db8::2]:5672");
  EXPECT_EQ(world.client.stack.info(*id, world.now)->send_mss, 1440) << "RFC 6691: twenty bytes less";
  int seen = 0;
  world.server.stack.for_each_connection([&](ConnectionId each) {
    seen++;
    EXPECT_EQ(world.server.stack.info(each, world.now)->remote, world.client.stack.info(*id, world.now)->local);
  });
  EXPECT_EQ(seen, 1);
  // The address goes, and what was opened to it with it.
  world.server.stack.close_all_from(World::address(net::IpFamily::v6, 7), world.now);
  EXPECT_EQ(world.server.stack.connection_count(), 1u);
  world.server.stack.close_all_from(server.address, world.now);
  world.server.stack.events();
  world.server.end_turn(world.now);
  EXPECT_EQ(world.server.stack.connection_count(), 0u);
}

// Two hosts, each a router to the other, and a link between that takes no IPv6 packet longer than 1300 bytes.
class TcpIpv6Path : public testing::Test {
 protected:
  static constexpr uint32_t link_mtu = 1300;
  static constexpr net::MacAddress near_mac{2, 0, 0, 0, 0, 1}, far_mac{2, 0, 0, 0, 0, 2};
  static inline const net::IpAddress near_address{0x20010db800010000, 1}, far_address{0x20010db800020000, 2};

  static net::Route router(const net::MacAddress& mac) {
    return net::default_route(net::Autoconfiguration({.mac = mac, .secret = {}}, {}).link_local().address);
  }
  void connect() {
    far.stack.listen(5672);
    id = *near.stack.connect({far_address, 5672}, {}, now);
    pass(10);
    ASSERT_EQ(info().state, State::established);
    ASSERT_EQ(info().send_mss, 1440);
  }
  ConnectionInfo info() { return *near.stack.info(id, now); }
  // There and back so many times.
  void pass(int times) {
    for (int i = 0; i < times; i++) {
      carry(near, far);
      carry(far, near);
      now += 1ms;
    }
  }
  // What is too long comes back, if routers say so, as an error with the beginning of what they did not pass on.
  void carry(Node& from, Node& to) {
    from.stack.events();
    from.end_turn(now);
    for (net::Frame& frame : std::exchange(from.device.sent, {})) {
      if (frame.size() <= 14 + link_mtu)
        to.device.arriving.push_back(std::move(frame));
      else if (routers_tell)
        tell_too_big(from, link_mtu, base::Bytes(frame).subspan(14, 100));
    }
    to.begin_turn(now);
    from.begin_turn(now);
  }
  void tell_too_big(Node& node, uint32_t mtu, base::Bytes quoted) {
    std::vector<uint8_t> body(4);
    base::store_be32(body.data(), mtu);
    body.insert(body.end(), quoted.begin(), quoted.end());
    const net::IpAddress router_address{0x20010db800030000, 3}, to = net::load_ipv6_address(quoted.data() + 8);
    net::Frame frame(14 + net::ipv6_header_bytes + 4 + body.size());
    net::emit_ethernet(
        {.destination = node.device.capabilities().mac, .source = far_mac, .vlan = {}, .type = net::ethertype_ipv6},
        frame.data());
    net::emit_ipv6({.payload_bytes = static_cast<uint16_t>(4 + body.size()),
                    .next_header = 58,
                    .hop_limit = 60,
                    .source = router_address,
                    .destination = to},
                   frame.data() + 14);
    net::emit_icmpv6({.type = net::icmpv6_packet_too_big, .code = 0, .body = body}, router_address, to,
                     frame.data() + 14 + net::ipv6_header_bytes);
    node.device.arriving.push_back(std::move(frame));
  }
  void write(size_t bytes) {
    const std::vector<uint8_t> zeros(bytes);
    ASSERT_TRUE(near.stack.send(id, zeros));
  }

  Node near{near_address, near_mac, small(), 1500, {router(far_mac)}};
  Node far{far_address, far_mac, small(), 1500, {router(near_mac)}};
  base::Time now{1s};
  ConnectionId id;
  bool routers_tell = true;
};

TEST_F(TcpIpv6Path, IsWhatARouterSays) {
  connect();
  write(20'000);
  pass(20);
  EXPECT_EQ(info().send_mss, link_mtu - 60);
  EXPECT_EQ(info().queued, 0u);
  EXPECT_EQ(near.stack.counters().timeouts.value(), 0u);
  EXPECT_EQ(near.stack.counters().path_mtu_cuts.value(), 1u);
}

TEST_F(TcpIpv6Path, IsFoundWhenNobodySays) {
  routers_tell = false;
  connect();
  write(20'000);
  for (int i = 0; i < 1000 && info().queued > 0; i++) {
    now = std::max(now, near.stack.next_deadline());
    pass(5);
  }
  EXPECT_EQ(info().send_mss, 1220);
  EXPECT_EQ(info().queued, 0u);
}

TEST_F(TcpIpv6Path, IsNotWhatAForgerSays) {
  connect();
  write(1000);
  near.end_turn(now);
  ASSERT_EQ(near.device.sent.size(), 1u);
  const net::Frame segment = near.device.sent[0];
  const auto ignored = [&] { return near.stack.counters().icmp_ignored.value(); };
  tell_too_big(near, 1279, base::Bytes(segment).subspan(14));
  near.begin_turn(now);
  EXPECT_EQ(ignored(), 1u) << "every link takes 1280";
  net::Frame not_in_flight = segment;
  base::store_be32(not_in_flight.data() + 14 + net::ipv6_header_bytes + 4, 0x12345678);
  tell_too_big(near, 1300, base::Bytes(not_in_flight).subspan(14));
  near.begin_turn(now);
  EXPECT_EQ(ignored(), 2u);
  tell_too_big(near, 1300, base::Bytes(segment).subspan(14, net::ipv6_header_bytes + 7));
  near.begin_turn(now);
  EXPECT_EQ(near.host.counters().drop_icmp_other.value(), 1u) << "it does not quote the sequence number";
  EXPECT_EQ(info().send_mss, 1440);
  pass(5);
  EXPECT_EQ(info().queued, 0u);
}

// Whoever has one address of an IPv6 network has all of them: limits are for the network.
TEST(TcpIpv6Source, IsANetwork) {
  auto mac = [](uint32_t number) { return net::MacAddress{2, 0, 0, 0, 0, static_cast<uint8_t>(number)}; };
  auto default_route_to = [](const net::MacAddress& router) {
    return net::default_route(net::Autoconfiguration({.mac = router, .secret = {}}, {}).link_local().address);
  };
  Config config = small();
  config.connections_per_source = 2;
  config.handshakes_per_source = 1;
  constexpr uint64_t here = 0x20010db800000000, elsewhere = 0x20010db800000001;
  std::deque<Node> nodes;
  nodes.emplace_back(net::IpAddress{here, 1}, mac(1), config, uint16_t{1500},
                     std::vector<net::Route>{default_route_to(mac(5))});
  for (uint32_t number : {2u, 3u, 4u})
    nodes.emplace_back(net::IpAddress{here, number}, mac(number), small(), uint16_t{1500});
  nodes.emplace_back(net::IpAddress{elsewhere, 5}, mac(5), small(), uint16_t{1500},
                     std::vector<net::Route>{default_route_to(mac(1))});
  Node& server = nodes[0];
  server.stack.listen(5672);
  base::Time now{1s};
  // Every frame comes to everybody else.
  auto pass = [&](int times) {
    for (int i = 0; i < times; i++) {
      for (Node& node : nodes) {
        node.begin_turn(now);
        node.stack.events();
        node.end_turn(now);
        for (const net::Frame& frame : std::exchange(node.device.sent, {}))
          for (Node& other : nodes)
            if (&other != &node) other.device.arriving.push_back(frame);
      }
      now += 10ms;
    }
  };
  std::vector<ConnectionId> ids;
  for (size_t client = 1; client < nodes.size(); client++) {
    ids.push_back(*nodes[client].stack.connect({{here, 1}, 5672}, {}, now));
    pass(10);
  }
  auto established = [&](size_t client) {
    const auto info = nodes[client].stack.info(ids[client - 1], now);
    return info && info->state == State::established;
  };
  EXPECT_TRUE(established(1));
  EXPECT_TRUE(established(2));
  EXPECT_FALSE(established(3)) << "the third of its network";
  EXPECT_TRUE(established(4)) << "of another network";
  EXPECT_GT(server.stack.counters().syn_dropped_source.value(), 0u);
  nodes[1].stack.abort(ids[0]);
  for (int i = 0; i < 8 && !established(3); i++) {
    now = std::max(now, nodes[3].stack.next_deadline());
    pass(10);
  }
  EXPECT_TRUE(established(3)) << "a place came free";
}

TEST(TcpLink, TwoFamiliesDoNotMeet) {
  World world(1, {}, small(), small(), 1500, net::IpFamily::v6);
  EXPECT_FALSE(world.client.stack.connect({World::address(net::IpFamily::v4, 2), 5672}, {}, world.now));
  EXPECT_FALSE(world.client.stack.connect({World::address(net::IpFamily::v6, 1), 5672}, {}, world.now)) << "ourselves";
}

// Each single frame of a short conversation lost once: handshake, data, acknowledgements, both FINs.
TEST(TcpLink, EverySingleLossIsRecovered) { lose_each_frame({.bytes = 6000, .client = small(), .server = small()}, 2); }

}  // namespace
}  // namespace talaria::tcp
