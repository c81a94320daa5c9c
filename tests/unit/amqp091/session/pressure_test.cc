// Back-pressure: who does not read, who publishes faster than there is room, and everybody else meanwhile.
#include <array>

#include "tests/unit/amqp091/session/client.h"

namespace talaria::amqp091::session {
namespace {

TEST(SessionPressure, AClientThatDoesNotReadLosesNothing) {
  WorldOptions options;
  options.server_tcp.send_high_watermark = 64 * 1024;
  options.server_tcp.send_low_watermark = 32 * 1024;
  World world(options);
  Client slow(world), fast(world), publisher(world);
  for (Client* client : {&slow, &fast, &publisher}) {
    client->open();
    client->open_channel(1);
  }
  publisher.declare(1, "q");
  publisher.declare(1, "r");
  slow.consume(1, "q", "c", true);
  slow.stream().reads = false;
  std::string body(1000, 'x');
  for (unsigned i = 0; i < 2000; i++) publisher.publish(1, "", "q", body);
  for (unsigned i = 0; i < 50; i++) world.settle();
  EXPECT_GT(world.control.counters("q").ready.value(), 500u);
  // Nobody else is stalled.
  fast.consume(1, "r", "d", true);
  publisher.publish(1, "", "r", "quick");
  EXPECT_EQ(fast.expect_delivery(1, "d", 1), "quick");
  slow.stream().reads = true;
  for (unsigned i = 0; i < 2000; i++) ASSERT_EQ(slow.expect_delivery(1, "c", i + 1), body);
}

TEST(SessionPressure, WithoutSendMemoryAnswersAndDeliveriesWait) {
  WorldOptions options;
  options.server_tcp.send_chunks = 12;
  options.server_tcp.shared_slices = 12;
  World world(options);
  Client slow(world), publisher(world);
  for (Client* client : {&slow, &publisher}) {
    client->open();
    client->open_channel(1);
  }
  publisher.declare(1, "q");
  slow.consume(1, "q", "c");
  slow.stream().reads = false;
  std::string large(20000, 'L');
  for (unsigned i = 0; i < 200; i++) publisher.publish(1, "", "q", i % 3 == 0 ? large : std::string(500, 's'));
  for (unsigned i = 0; i < 20; i++) world.settle();
  EXPECT_GT(world.sessions.counters().output_stalled.value(), 0u);
  slow.stream().reads = true;
  for (unsigned i = 0; i < 200; i++) {
    std::string body = slow.expect_delivery(1, "c", i + 1);
    ASSERT_TRUE(body == (i % 3 == 0 ? large : std::string(500, 's'))) << i;
  }
  slow.send(1, wire::basic::Ack{.delivery_tag = 0, .multiple = true});
  world.settle();
  EXPECT_EQ(world.control.counters("q").acknowledged.value(), 200u);
  EXPECT_EQ(world.here.pool.messages(), 0u);
}

TEST(SessionPressure, PublishersWaitForMessageMemoryAndNothingIsLost) {
  WorldOptions options;
  options.blocks = 32;  // 4 MiB
  World world(options);
  Client publisher(world), consumer(world), old(world);
  publisher.open();
  consumer.open();
  old.open(131072, 0, {});
  publisher.open_channel(1);
  consumer.open_channel(1);
  old.open_channel(1);
  publisher.declare(1, "q");
  std::string body(10000, 'x');
  for (unsigned i = 0; i < 500; i++) publisher.publish(1, "", "q", body);
  for (unsigned i = 0; i < 20; i++) world.settle();
  EXPECT_LT(world.control.counters("q").ready.value(), 400u);
  EXPECT_EQ(world.sessions.infos()[0].blocked.value(), 1u);
  EXPECT_EQ(publisher.expect<wire::connection::Blocked>(0).reason, "low on memory (worker 0)");
  // One that does not understand it, and one that did not publish, are not told.
  old.publish(1, "", "q", "y");
  for (unsigned i = 0; i < 10; i++) world.settle();
  old.expect_nothing();
  consumer.expect_nothing();
  consumer.consume(1, "q", "c");
  for (unsigned i = 0; i < 501; i++) {
    auto method = consumer.expect<wire::basic::Deliver>(1);
    consumer.expect_content(1);
    consumer.send(1, wire::basic::Ack{.delivery_tag = method.delivery_tag});
  }
  publisher.expect<wire::connection::Unblocked>(0);
  publisher.expect_nothing();
  EXPECT_EQ(world.control.counters("q").acknowledged.value(), 501u);
  EXPECT_EQ(world.sessions.counters().connections_blocked.value(), 1u);
}

// A publisher that closed its half of TCP while it waited for message memory, and consumes what it publishes.
struct SessionLeft : testing::Test {
  static WorldOptions little_memory() {
    WorldOptions options;
    options.blocks = 32;  // 4 MiB
    return options;
  }
  void leave(uint16_t heartbeat) {
    stays.open(131072, 0);
    left.open(131072, heartbeat);
    for (Client* client : {&stays, &left}) client->open_channel(1);
    left.declare(1, "q");
    left.send(1, wire::basic::Qos{.prefetch_count = 1});
    left.expect<wire::basic::QosOk>(1);
    left.consume(1, "q", "held");
    const std::string body(10000, 'x');
    for (unsigned i = 0; i < 500; i++) stays.publish(1, "", "q", body);
    for (unsigned i = 0; i < 20; i++) world.settle();
    for (unsigned i = 0; i < 10; i++) left.publish(1, "", "q", body);
    left.close_transport();
    world.settle();
    EXPECT_EQ(counters.publishers_stalled.value(), 2u);
    EXPECT_EQ(counters.connections_open.value(), 2u);
  }
  World world{little_memory()};
  Client stays{world}, left{world};
  const SessionCounters& counters = world.sessions.counters();
};

TEST_F(SessionLeft, WhatItSentIsTakenAsSoonAsThereIsRoom) {
  leave(0);
  world.wait(20s);
  Client consumer(world);
  consumer.open();
  consumer.open_channel(1);
  consumer.consume(1, "q", "c");
  while (auto frame = consumer.next()) {
    if (frame->method() != wire::basic::Deliver::id) continue;
    const uint64_t tag = wire::parse<wire::basic::Deliver>(frame->payload)->delivery_tag;
    consumer.send(1, wire::basic::Ack{.delivery_tag = tag});
  }
  EXPECT_EQ(world.control.counters("q").acknowledged.value(), 510u) << "what it held, too";
  EXPECT_EQ(counters.connections_cut.value(), 1u);
  EXPECT_EQ(counters.finished_abandoned.value(), 0u);
}

TEST_F(SessionLeft, WhatItHoldsGoesBackInTime) {
  leave(0);
  const uint64_t ready = world.control.counters("q").ready.value();
  world.wait(20s);
  EXPECT_EQ(counters.connections_open.value(), 2u);
  world.wait(20s);
  EXPECT_EQ(counters.connections_open.value(), 1u) << "who stays may wait";
  EXPECT_EQ(counters.consumers.value(), 0u);
  EXPECT_EQ(counters.finished_abandoned.value(), 1u);
  EXPECT_EQ(world.control.counters("q").ready.value(), ready + 1);
}

TEST_F(SessionLeft, HeartbeatsKnowIt) {
  leave(2);
  world.wait(6s);
  EXPECT_EQ(counters.connections_open.value(), 1u);
  EXPECT_EQ(counters.heartbeats_missed.value(), 1u);
}

TEST(SessionPressure, APublisherFarAheadOfItsConfirmsIsNotRead) {
  WorldOptions options;
  options.session.confirms_outstanding = 10;
  World world(options);
  Client client(world);
  client.open();
  client.open_channel(1);
  client.declare(1, "far");
  client.send(1, wire::confirm::Select{.no_wait = true});
  for (unsigned i = 0; i < 100; i++) client.publish(1, "", "far", "x");
  uint64_t confirmed = 0;
  while (confirmed < 100) {
    auto ack = client.expect<wire::basic::Ack>(1);
    ASSERT_GT(ack.delivery_tag, confirmed);
    confirmed = ack.delivery_tag;
  }
  EXPECT_GT(world.sessions.counters().publishers_stalled.value(), 0u);
}

TEST(SessionPressure, BlockedNamesWhatIsShort) {
  WorldOptions options;
  options.session.confirms_outstanding = 10;
  World world(options);
  Client unconfirmed(world), far(world);
  for (Client* client : {&unconfirmed, &far}) {
    client->open();
    client->open_channel(3);
  }
  far.declare(3, "far");
  far.send(3, wire::confirm::Select{.no_wait = true});
  world.there_is_held = true;
  unconfirmed.send(3, wire::confirm::Select{.no_wait = true});
  for (unsigned i = 0; i < 20; i++) unconfirmed.publish(3, "", "far", "x");
  for (unsigned i = 0; i < 10; i++) world.settle();
  EXPECT_EQ(unconfirmed.expect<wire::connection::Blocked>(0).reason, "too many unconfirmed messages on channel 3");
  world.board_.workers[1].pressed.set(1);  // it takes no turn that would say otherwise
  far.publish(3, "", "far", "x");
  for (unsigned i = 0; i < 10; i++) world.settle();
  EXPECT_EQ(far.expect<wire::connection::Blocked>(0).reason, "low on memory (worker 1)");
  world.there_is_held = false;
  for (Client* client : {&unconfirmed, &far}) {
    uint64_t confirmed = 0;
    bool unblocked = false;
    while (auto frame = client->next()) {
      unblocked |= frame->method() == wire::connection::Unblocked::id;
      if (frame->method() == wire::basic::Ack::id)
        confirmed = wire::parse<wire::basic::Ack>(frame->payload)->delivery_tag;
    }
    EXPECT_TRUE(unblocked);
    EXPECT_EQ(confirmed, client == &far ? 1u : 20u);
  }
}

TEST(SessionPressure, BlockedSaysWhoIsBehind) {
  World world;
  Client client(world);
  client.open();
  client.open_channel(1);
  client.declare(1, "far");
  world.there_is_held = true;
  for (unsigned i = 0; i < 5000; i++) client.publish(1, "", "far", "x");
  for (unsigned i = 0; i < 20; i++) world.settle();
  EXPECT_EQ(client.expect<wire::connection::Blocked>(0).reason, "worker 1 is behind");
  world.there_is_held = false;
  client.expect<wire::connection::Unblocked>(0);
  world.settle();
  EXPECT_EQ(world.control.counters("far").ready.value(), 5000u);
}

// Notices need no answer: nothing but this bound keeps a client from making them faster than they are taken.
TEST(SessionPressure, WhoMakesMoreNoticesThanAreTakenIsNotRead) {
  World world;
  Client busy(world), other(world);
  for (Client* client : {&busy, &other}) {
    client->open();
    client->open_channel(1);
    client->declare(1, "q");
  }
  other.consume(1, "q", "c", true);
  other.publish(1, "", "q", "allowed");
  EXPECT_EQ(other.expect_delivery(1, "c", 1), "allowed");
  world.control_silent = true;
  for (unsigned i = 0; i < 1000; i++) {
    busy.send(1, wire::basic::Qos{.prefetch_count = static_cast<uint16_t>(i)});
    busy.send(static_cast<uint16_t>(2 + i), wire::channel::Open{});
  }
  world.settle();
  std::vector<broker::Request*> waiting = world.sessions.take_requests();
  EXPECT_EQ(waiting.size(), 64u);
  for (broker::Request* request : waiting) {
    EXPECT_EQ(request->token, 0u);
    delete request;
  }
  world.settle();
  waiting = world.sessions.take_requests(10);
  EXPECT_EQ(waiting.size(), 10u) << "it went on when they were taken";
  for (broker::Request* request : waiting) delete request;
  other.publish(1, "", "q", "x");
  EXPECT_EQ(other.expect_delivery(1, "c", 2), "x");
  world.control_silent = false;
  for (unsigned i = 0; i < 1000; i++) {
    busy.expect<wire::basic::QosOk>(1);
    busy.expect<wire::channel::OpenOk>(static_cast<uint16_t>(2 + i));
  }
  EXPECT_EQ(world.control.count_asked<broker::ChannelChanged>() + world.control.count_asked<broker::ChannelOpened>(),
            2u + 2000 - 74);
}

// The control plane would take the removal for that of the next channel's consumer.
TEST(SessionPressure, AChannelThatEndsTakesItsConsumersAlongWithoutAWord) {
  World world;
  Client client(world);
  client.open();
  client.open_channel(1);
  client.declare(1, "q");
  client.declare(1, "far");
  client.consume(1, "q", "c");
  client.consume(1, "far", "d");
  client.send(1, wire::channel::Close{});
  client.expect<wire::channel::CloseOk>(1);
  EXPECT_EQ(world.control.count_asked<broker::ChannelClosed>(), 1u);
  EXPECT_EQ(world.control.count_asked<broker::ConsumerRemoved>(), 0u);
  client.open_channel(1);
  client.consume(1, "q", "c");
  client.send(1, wire::basic::Cancel{.consumer_tag = "c"});
  client.expect<wire::basic::CancelOk>(1);
  EXPECT_EQ(world.control.count_asked<broker::ConsumerRemoved>(), 1u);
  client.send(0, wire::connection::Close{});
  client.expect<wire::connection::CloseOk>(0);
  EXPECT_EQ(world.control.count_asked<broker::ChannelClosed>(), 1u) << "the connection takes its channels along";
}

// ---- a client that does not read ------------------------------------------------------------------------------------

// A small server: what one client may pile up, and what there is in all.
WorldOptions small_queues() {
  WorldOptions options;
  options.server_tcp.send_chunks = 512;  // 2 MiB
  options.server_tcp.shared_slices = 64;
  options.server_tcp.send_high_watermark = 64 * 1024;
  options.server_tcp.send_low_watermark = 32 * 1024;
  options.client_tcp.receive_window = 16 * 1024;
  return options;
}

struct SessionDeaf : testing::Test {
  explicit SessionDeaf(WorldOptions options = small_queues()) : world(options) {
    for (Client* client : {&deaf, &other}) {
      client->open();
      client->open_channel(1);
    }
    other.declare(1, "q");
    other.declare(1, "r");
    other.consume(1, "r", "c", true);
    watermark = options.server_tcp.send_high_watermark;
  }
  size_t longest_queue() {
    size_t most = 0;
    world.server.stack.for_each_connection(
        [&](tcp::ConnectionId id) { most = std::max(most, world.server.stack.queued(id)); });
    return most;
  }
  // It has been quiet for a while: what was not read yet will not be read.
  void settle() {
    for (unsigned i = 0; i < 20; i++) world.settle();
  }
  void expect_others_are_served() {
    other.publish(1, "", "r", "quick");
    EXPECT_EQ(other.expect_delivery(1, "c", ++served), "quick");
  }

  World world;
  Client deaf{world}, other{world};
  size_t watermark = 0;
  uint64_t served = 0;
};

TEST_F(SessionDeaf, ReturnsStopItsInput) {
  deaf.send(1, wire::confirm::Select{.no_wait = true});
  deaf.stream().reads = false;
  const std::string body(1000, 'x');
  for (unsigned i = 0; i < 3000; i++) deaf.publish(1, "", "nobody", std::to_string(i) + body, true);
  settle();
  EXPECT_LT(world.sessions.counters().messages_returned.value(), 200u);
  EXPECT_LE(longest_queue(), watermark + 2048);
  EXPECT_LE(world.here.pool.messages(), 2u) << "the one that goes out, and the one that comes in";
  expect_others_are_served();
  deaf.stream().reads = true;
  unsigned returned = 0;
  uint64_t confirmed = 0;
  while (auto frame = deaf.next()) {
    if (frame->type == 3) {
      EXPECT_EQ(base::as_text(frame->payload), std::to_string(returned++) + body);
    }
    if (frame->method() == wire::basic::Ack::id) {
      confirmed = wire::parse<wire::basic::Ack>(frame->payload)->delivery_tag;
      EXPECT_LE(confirmed, returned) << "a confirm overtook its return";
    }
  }
  EXPECT_EQ(returned, 3000u);
  EXPECT_EQ(confirmed, 3000u);
}

TEST_F(SessionDeaf, LargeReturnsHoldOneMessage) {
  deaf.stream().reads = false;
  const std::string body(300000, 'x');
  for (unsigned i = 0; i < 10; i++) deaf.publish(1, "", "nobody", body, true);
  settle();
  EXPECT_EQ(world.sessions.counters().messages_returned.value(), 1u);
  EXPECT_LE(longest_queue(), watermark + base::Arena::allocation_max);
  EXPECT_LE(world.here.pool.messages(), 2u) << "the one that goes out, and the one that comes in";
  expect_others_are_served();
  deaf.stream().reads = true;
  for (unsigned i = 0; i < 10; i++) {
    deaf.expect<wire::basic::Return>(1);
    ASSERT_TRUE(deaf.expect_content(1).body == body) << i;
  }
  world.settle();
  EXPECT_EQ(world.here.pool.messages(), 0u);
}

TEST_F(SessionDeaf, GetsStopItsInput) {
  const std::string body(1000, 'x');
  for (unsigned i = 0; i < 1000; i++) other.publish(1, "", "q", body);
  world.settle();
  deaf.stream().reads = false;
  for (unsigned i = 0; i < 1001; i++) deaf.send(1, wire::basic::Get{.queue = "q", .no_ack = true});
  settle();
  EXPECT_GT(world.control.counters("q").ready.value(), 900u) << "what it cannot take stays in the queue";
  EXPECT_LE(longest_queue(), watermark + 2048);
  expect_others_are_served();
  deaf.stream().reads = true;
  for (unsigned i = 0; i < 1000; i++) {
    ASSERT_EQ(deaf.expect<wire::basic::GetOk>(1).message_count, 999 - i);
    ASSERT_EQ(deaf.expect_content(1).body, body);
  }
  deaf.expect<wire::basic::GetEmpty>(1);
}

TEST_F(SessionDeaf, AnswersStopItsInput) {
  deaf.stream().reads = false;
  constexpr unsigned count = 30000;
  for (unsigned i = 0; i < count; i++) deaf.send(1, wire::channel::Flow{.active = true});
  settle();
  EXPECT_LE(longest_queue(), watermark + 2048);
  EXPECT_LT(world.sessions.counters().frames_in.value(), count);
  expect_others_are_served();
  deaf.stream().reads = true;
  for (unsigned i = 0; i < count; i++) deaf.expect<wire::channel::FlowOk>(1);
  deaf.expect_nothing();
}

struct SessionDeafPublisher : SessionDeaf {
  static WorldOptions tiny() {
    WorldOptions options = small_queues();
    options.server_tcp.send_high_watermark = 1024;
    options.server_tcp.send_low_watermark = 512;
    options.client_tcp.receive_window = 2048;
    options.session.confirms_outstanding = 1000;
    return options;
  }
  SessionDeafPublisher() : SessionDeaf(tiny()) {}
};

TEST_F(SessionDeafPublisher, ConfirmsWaitAndMerge) {
  deaf.send(1, wire::confirm::Select{.no_wait = true});
  deaf.open_channel(2);
  world.settle();
  deaf.stream().reads = false;
  constexpr uint64_t count = 2000;
  for (unsigned i = 0; i < count; i++) {
    deaf.publish(1, "", "q", "x");  // in a turn of its own: each would have a frame
    world.turn();
    world.turn();
  }
  settle();
  EXPECT_LE(longest_queue(), watermark + watermark / 2);
  const uint64_t taken = world.control.counters("q").ready.value();
  EXPECT_LT(taken, count) << "its input was not stopped";
  EXPECT_GT(taken, 1000u) << "but not before its confirms were too many";
  EXPECT_EQ(world.sessions.counters().messages_published.value(), taken);
  expect_others_are_served();
  deaf.stream().reads = true;
  uint64_t confirmed = 0;
  unsigned frames = 0;
  while (auto frame = deaf.next()) {
    if (frame->channel == 0) continue;  // it was blocked meanwhile
    ASSERT_EQ(frame->method(), wire::basic::Ack::id);
    const uint64_t tag = wire::parse<wire::basic::Ack>(frame->payload)->delivery_tag;
    ASSERT_GT(tag, confirmed);
    confirmed = tag;
    frames++;
  }
  EXPECT_EQ(confirmed, count);
  EXPECT_LT(frames, 500u);
  EXPECT_EQ(world.control.counters("q").ready.value(), count);
}

// One that writes much for each message it gets, and reads on when it has written, must not wait for itself.
TEST_F(SessionDeaf, PublishesAndAcknowledgementsAreTakenAllTheSame) {
  const std::string body(1000, 'x');
  for (unsigned i = 0; i < 300; i++) other.publish(1, "", "q", body);
  deaf.stream().reads = false;
  deaf.send(1, wire::basic::Consume{.queue = "q", .consumer_tag = "d"});
  settle();
  EXPECT_GT(world.sessions.counters().output_stalled.value(), 0u);
  EXPECT_GT(world.control.counters("q").ready.value(), 100u);
  other.declare(1, "big");
  for (unsigned i = 0; i < 20; i++) {
    deaf.publish(1, "", "big", std::string(100000, 'y'));
    deaf.send(1, wire::basic::Ack{.delivery_tag = i + 1});
  }
  deaf.send(1, wire::basic::Qos{.prefetch_count = 1});  // this one has to be answered
  deaf.publish(1, "", "big", "behind it");
  settle();
  EXPECT_EQ(world.control.counters("big").ready.value(), 20u);
  EXPECT_EQ(world.control.counters("q").acknowledged.value(), 20u);
  deaf.stream().reads = true;
  settle();
  EXPECT_EQ(world.control.counters("big").ready.value(), 21u);
  EXPECT_EQ(world.control.counters("q").ready.value(), 0u);
}

// Its consumers live on another worker: what that handed out waits, the rest stays in the queue.
TEST_F(SessionDeaf, DeliveriesFromElsewhereAreBoundedByTheHandover) {
  other.declare(1, "far");
  deaf.consume(1, "far", "d", true);
  deaf.stream().reads = false;
  const std::string body(3000, 'x');
  for (unsigned i = 0; i < 1000; i++) other.publish(1, "", "far", body);
  settle();
  EXPECT_GE(world.control.counters("far").ready.value(), 1000u - 256 - 64);
  EXPECT_LE(longest_queue(), watermark + watermark / 2);
  expect_others_are_served();
  const uint64_t written = world.latency.total() - served;
  EXPECT_LT(written, 100u) << "what waits to be written is not measured yet";
  deaf.stream().reads = true;
  for (unsigned i = 0; i < 1000; i++) ASSERT_TRUE(deaf.expect_delivery(1, "d", i + 1) == body) << i;
  EXPECT_EQ(world.latency.total() - served, 1000u);
}

// The body goes out as the peer takes it: TCP holds no more of it than of anything else.
TEST_F(SessionDeaf, AGreatBodyTakesNoMoreThanItsShare) {
  deaf.consume(1, "q", "d");
  deaf.stream().reads = false;
  std::string body;
  for (unsigned i = 0; i < 2000000; i++) body += static_cast<char>('a' + i % 23);
  other.publish(1, "", "q", body);
  settle();
  EXPECT_LE(longest_queue(), watermark + base::Arena::allocation_max);
  expect_others_are_served();
  // The client closes the channel in the middle of it: the frames are completed all the same.
  deaf.send(1, wire::channel::Close{});
  deaf.stream().reads = true;
  deaf.expect<wire::basic::Deliver>(1);
  EXPECT_TRUE(deaf.expect_content(1).body == body);
  deaf.expect<wire::channel::CloseOk>(1);
  EXPECT_EQ(world.control.counters("q").ready.value(), 1u);
}

// Peers that do not read leave memory to the others, however many they are and whatever the size of what they get.
TEST(SessionDeafCrowd, LeavesSendMemoryToTheOthers) {
  for (const size_t size : {size_t{100}, size_t{3900}, size_t{9000}}) {
    WorldOptions options = small_queues();
    options.server_tcp.send_chunks = 256;  // 1 MiB
    options.blocks = 128;
    options.tick = 100us;
    World world(options);
    std::vector<std::unique_ptr<Client>> crowd;
    Client other(world);
    other.open();
    other.open_channel(1);
    other.declare(1, "q");
    other.declare(1, "r");
    const std::string body(size, 'x');
    for (unsigned i = 0; i < 40; i++) {
      crowd.push_back(std::make_unique<Client>(world));
      crowd.back()->open();
      crowd.back()->open_channel(1);
      crowd.back()->consume(1, "q", "d", true);
      crowd.back()->stream().reads = false;
    }
    unsigned published = 0;
    for (unsigned round = 0; round < 20; round++) {
      for (size_t octets = 0; octets < 200000; octets += size + 100, published++) other.publish(1, "", "q", body);
      world.settle();
    }
    for (unsigned i = 0; i < 20; i++) world.settle();
    EXPECT_GT(world.control.counters("q").ready.value(), published / 4) << size;
    // Small and large.
    other.consume(1, "r", "c", true);
    const std::array<std::string, 2> wanted = {std::string(50, 's'), std::string(100000, 'l')};
    for (unsigned i = 0; i < 20; i++) {
      other.publish(1, "", "r", wanted[i % 2]);
      ASSERT_TRUE(other.expect_delivery(1, "c", i + 1) == wanted[i % 2]) << size;
    }
    for (auto& client : crowd) client->abort_transport();
    world.settle();
  }
}

TEST_F(SessionDeaf, CloseIsAnsweredOnceHoweverOftenItIsSaid) {
  deaf.send(1, wire::basic::Qos{.prefetch_size = 1});  // 540: we close
  for (unsigned i = 0; i < 1000; i++) deaf.send(0, wire::connection::Close{});
  deaf.expect<wire::connection::Close>(0);
  deaf.expect<wire::connection::CloseOk>(0);
  deaf.expect_nothing();
}

}  // namespace
}  // namespace talaria::amqp091::session
