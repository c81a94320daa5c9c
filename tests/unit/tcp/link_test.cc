// Two stacks over a bad link: streams are byte-exact in both directions, connections end, everything comes home.
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
};

Config small() {
  Config config;
  config.connections = 4;
  config.half_open = 4;
  config.time_wait = 8;
  config.send_chunks = 256;
  config.shared_slices = 256;
  config.receive_chunks = 256;
  config.linger_timeout = config.fin_wait_2_timeout = 30min;  // at 20 % loss nothing may get through for minutes
  return config;
}

struct Outcome {
  base::Duration took{};
  size_t frames = 0;
};

// Both sides write `bytes` and read what the other wrote; the client closes first, or the server, by the seed.
Outcome converse(const Scenario& run) {
  SCOPED_TRACE("seed " + std::to_string(run.seed));
  World world(run.seed, run.link, run.client, run.server, run.mtu);
  world.lose = run.lose;
  Talker client(world, world.client, run.bytes, 1, 2);
  Talker server(world, world.server, run.bytes, 2, 1);
  (world.chance(0.5) ? client : server).reads_to_end = false;
  client.pause_share = server.pause_share = run.pause_share;
  world.server.stack.listen(5672);
  client.id = *world.client.stack.connect({net::Ipv4Address{0xc6120002}, 5672}, {}, world.now);
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

// Each single frame of a short conversation lost once: handshake, data, acknowledgements, both FINs.
TEST(TcpLink, EverySingleLossIsRecovered) {
  Scenario run{.bytes = 6000, .client = small(), .server = small()};
  size_t frames = converse(run).frames;
  ASSERT_GT(frames, 10u);
  for (size_t lost = 0; lost < frames; lost++) {
    SCOPED_TRACE("frame " + std::to_string(lost));
    run.lose = {lost};
    converse(run);
    run.lose = {lost, lost + 1};
    converse(run);
  }
}

}  // namespace
}  // namespace talaria::tcp
