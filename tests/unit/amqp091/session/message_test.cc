// The way of a message: publish, confirm, deliver, get, acknowledge, return.
#include "tests/unit/amqp091/session/client.h"

namespace talaria::amqp091::session {
namespace {

using wire::ReplyCode;

struct SessionMessage : testing::Test {
  void SetUp() override {
    client.open();
    client.open_channel(1);
    client.declare(1, "q");
  }
  World world;
  Client client{world};
};

// Properties as a client might set them: content-type, headers, delivery-mode, expiration.
std::vector<uint8_t> some_properties() {
  base::FieldTable headers{{"a", {int32_t{1}}}, {"b", {std::string("two")}}};
  const std::vector<uint8_t> fields = encoded(headers);
  wire::Properties properties;
  properties.content_type = "text/plain";
  properties.headers.bytes = fields;
  properties.delivery_mode = 2;
  properties.expiration = "60000";
  for (auto property : {wire::Property::content_type, wire::Property::headers, wire::Property::delivery_mode,
                        wire::Property::expiration})
    properties.set(property);
  return encoded(properties);
}

TEST_F(SessionMessage, GoesRoundWithItsPropertiesUntouched) {
  client.consume(1, "q", "c");
  std::vector<uint8_t> raw = some_properties();
  client.publish(1, "", "q", "hello", false, raw);
  auto method = client.expect<wire::basic::Deliver>(1);
  EXPECT_EQ(method.consumer_tag, "c");
  EXPECT_EQ(method.delivery_tag, 1u);
  EXPECT_EQ(method.exchange, "");
  EXPECT_EQ(method.routing_key, "q");
  Content content = client.expect_content(1);
  EXPECT_EQ(content.properties, base::as_text(raw));
  EXPECT_EQ(content.body, "hello");
  client.send(1, wire::basic::Ack{.delivery_tag = 1});
  world.settle();
  EXPECT_EQ(world.control.counters("q").unacknowledged.value(), 0u);
  EXPECT_EQ(world.control.counters("q").acknowledged.value(), 1u);
  EXPECT_EQ(world.here.pool.messages(), 0u);
  EXPECT_EQ(world.sessions.infos()[0].messages_in.value(), 1u);
  EXPECT_EQ(world.sessions.infos()[0].messages_out.value(), 1u);
}

TEST_F(SessionMessage, FramesAreCountedOnce) {
  size_t written = 3 + 2 + 1;  // start-ok, tune-ok, open; channel.open and queue.declare; the consume below
  client.consume(1, "q", "c", true);
  client.send(1, wire::confirm::Select{});
  client.expect<wire::confirm::SelectOk>(1);
  for (const char* key : {"q", "nobody"}) client.publish(1, "", key, std::string(300'000, 'x'), true);
  client.send(1, wire::basic::Get{.queue = "q"});
  written += 1 + 2 * (2 + 3) + 1;
  while (client.next()) continue;
  const SessionCounters& counters = world.sessions.counters();
  EXPECT_EQ(counters.messages_delivered.value(), 1u);
  EXPECT_EQ(counters.messages_returned.value(), 1u);
  EXPECT_EQ(counters.frames_out.value(), client.frames_read);
  EXPECT_EQ(counters.frames_in.value(), written);
}

TEST_F(SessionMessage, EmptyBodyHasNoBodyFrame) {
  client.consume(1, "q", "c", true);
  client.publish(1, "", "q", "");
  client.publish(1, "", "q", "x");
  EXPECT_EQ(client.expect_delivery(1, "c", 1), "");
  EXPECT_EQ(client.expect_delivery(1, "c", 2), "x");
}

TEST_F(SessionMessage, ConfirmsComeOncePerTurn) {
  client.send(1, wire::confirm::Select{});
  client.expect<wire::confirm::SelectOk>(1);
  client.send(1, wire::confirm::Select{});
  client.expect<wire::confirm::SelectOk>(1);
  for (unsigned i = 0; i < 50; i++) client.publish(1, "", "q", "x");
  uint64_t confirmed = 0;
  unsigned frames = 0;
  while (confirmed < 50) {
    auto ack = client.expect<wire::basic::Ack>(1);
    ASSERT_GT(ack.delivery_tag, confirmed);
    confirmed = ack.delivery_tag;
    frames++;
  }
  EXPECT_LT(frames, 10u);
  EXPECT_EQ(world.sessions.counters().messages_confirmed.value(), 50u);
  EXPECT_EQ(world.control.counters("q").ready.value(), 50u);
}

TEST_F(SessionMessage, UnroutableIsReturnedThenConfirmed) {
  client.send(1, wire::confirm::Select{.no_wait = true});
  client.publish(1, "", "nobody", "lost", true);
  auto returned = client.expect<wire::basic::Return>(1);
  EXPECT_EQ(returned.reply_code, 312);
  EXPECT_EQ(returned.reply_text, "NO_ROUTE");
  EXPECT_EQ(returned.routing_key, "nobody");
  EXPECT_EQ(client.expect_content(1).body, "lost");
  auto ack = client.expect<wire::basic::Ack>(1);
  EXPECT_EQ(ack.delivery_tag, 1u);
  client.publish(1, "", "nobody", "lost", false);
  EXPECT_EQ(client.expect<wire::basic::Ack>(1).delivery_tag, 2u);
  EXPECT_EQ(world.here.pool.messages(), 0u);
}

TEST_F(SessionMessage, LargeBodiesComeInFramesOfTheNegotiatedSize) {
  Client small(world);
  small.open(4096);
  small.open_channel(1);
  small.consume(1, "q", "c");
  std::string body;
  for (unsigned i = 0; i < 300000; i++) body += static_cast<char>('a' + i % 23);
  client.publish(1, "", "q", body);
  small.expect<wire::basic::Deliver>(1);
  Content content = small.expect_content(1);
  EXPECT_TRUE(content.body == body);
  EXPECT_EQ(content.body_frames, (body.size() + 4087) / 4088);
  // Back the other way, in many small frames.
  small.publish(1, "", "q", body);
  small.expect<wire::basic::Deliver>(1);
  EXPECT_TRUE(small.expect_content(1).body == body);
  small.send(1, wire::basic::Ack{.delivery_tag = 0, .multiple = true});
  world.settle();
  EXPECT_EQ(world.here.pool.messages(), 0u);
}

TEST_F(SessionMessage, BodiesOfEverySizeAroundTheBordersArrive) {
  client.consume(1, "q", "c", true);
  uint64_t tag = 0;
  for (size_t size : {1u, 3900u, 3990u, 4000u, 4060u, 4095u, 4096u, 4097u, 8191u, 32000u, 32752u, 33000u, 65535u,
                      65536u, 131063u, 131064u, 131065u, 262144u}) {
    std::string body(size, static_cast<char>('a' + size % 26));
    client.publish(1, "", "q", body);
    EXPECT_TRUE(client.expect_delivery(1, "c", ++tag) == body) << size;
  }
}

TEST_F(SessionMessage, LargePropertiesArrive) {
  client.consume(1, "q", "c", true);
  base::FieldTable headers;
  for (unsigned i = 0; i < 1000; i++)
    headers.push_back({"name" + std::to_string(i), {std::string(60, static_cast<char>('a' + i % 26))}});
  const std::vector<uint8_t> fields = encoded(headers);
  wire::Properties properties;
  properties.headers.bytes = fields;
  properties.set(wire::Property::headers);
  const std::vector<uint8_t> raw = encoded(properties);
  client.publish(1, "", "q", "x", false, raw);
  client.expect<wire::basic::Deliver>(1);
  Content content = client.expect_content(1);
  EXPECT_TRUE(content.properties == base::as_text(raw));
  EXPECT_EQ(content.body, "x");
}

TEST_F(SessionMessage, ChannelsMayInterleaveTheirContent) {
  client.open_channel(2);
  client.consume(1, "q", "c", true);
  client.send(1, wire::basic::Publish{.exchange = "", .routing_key = "q"});
  client.send(2, wire::basic::Publish{.exchange = "", .routing_key = "q"});
  client.send_header(2, 6);
  client.send_header(1, 4);
  client.send_body(2, "abc");
  client.send_body(1, "12");
  client.send_body(2, "def");
  client.send_body(1, "34");
  EXPECT_EQ(client.expect_delivery(1, "c", 1), "abcdef");
  EXPECT_EQ(client.expect_delivery(1, "c", 2), "1234");
}

TEST_F(SessionMessage, HeadersExchangeSeesTheHeaders) {
  world.control.bind("amq.headers", "q", "", {{"x-match", {std::string("all")}}, {"b", {std::string("two")}}});
  client.consume(1, "q", "c", true);
  client.publish(1, "amq.headers", "", "matches", false, some_properties());
  EXPECT_EQ(client.expect_delivery(1, "c", 1), "matches");
  client.publish(1, "amq.headers", "", "does not", true);
  client.expect<wire::basic::Return>(1);
}

TEST_F(SessionMessage, FanoutToHereAndElsewhereIsConfirmedByAll) {
  client.declare(1, "r");
  client.declare(1, "far");
  for (const char* queue : {"q", "r", "far"}) world.control.bind("amq.fanout", queue, "");
  client.send(1, wire::confirm::Select{.no_wait = true});
  for (unsigned i = 0; i < 10; i++) client.publish(1, "amq.fanout", "", "x");
  uint64_t confirmed = 0;
  while (confirmed < 10) confirmed = client.expect<wire::basic::Ack>(1).delivery_tag;
  for (const char* queue : {"q", "r", "far"}) EXPECT_EQ(world.control.counters(queue).ready.value(), 10u) << queue;
}

// ---- latency ---

TEST_F(SessionMessage, LatencyIsMeasuredWithinATurn) {
  client.consume(1, "q", "c", true);
  world.reading = 1us;
  const uint64_t before = world.readings;
  client.publish(1, "", "q", "x");
  client.expect_delivery(1, "c", 1);
  EXPECT_EQ(world.readings - before, 2u) << "one as it came, one as it went";
  EXPECT_EQ(world.latency.total(), 1u);
  EXPECT_EQ(world.latency.max(), 1000u);
  // Many share a reading.
  for (unsigned i = 0; i < 160; i++) client.publish(1, "", "q", "x");
  for (unsigned i = 0; i < 160; i++) client.expect_delivery(1, "c", 2 + i);
  EXPECT_EQ(world.latency.total(), 161u);
  EXPECT_GE(world.readings - before, 2u + 2 * 160 / Latency::messages_a_reading);
  EXPECT_LT(world.readings - before, 100u);
}

TEST_F(SessionMessage, LatencyIsThatOfTheWaitInAQueue) {
  client.publish(1, "", "q", "x");
  world.run(40ms);
  client.consume(1, "q", "c", true);
  client.expect_delivery(1, "c", 1);
  EXPECT_GE(world.latency.max(), 40'000'000u);
  EXPECT_LE(world.latency.max(), 60'000'000u);
}

// ---- get ------------------------------------------------------------------------------------------------------------

TEST_F(SessionMessage, GetTakesOneAndTellsHowManyAreLeft) {
  client.send(1, wire::basic::Get{.queue = "q"});
  client.expect<wire::basic::GetEmpty>(1);
  client.publish(1, "", "q", "one");
  client.publish(1, "", "q", "two");
  client.send(1, wire::basic::Get{.queue = "q"});
  auto got = client.expect<wire::basic::GetOk>(1);
  EXPECT_EQ(got.delivery_tag, 1u);
  EXPECT_EQ(got.message_count, 1u);
  EXPECT_FALSE(got.redelivered);
  EXPECT_EQ(client.expect_content(1).body, "one");
  client.send(1, wire::basic::Get{.queue = "q", .no_ack = true});
  EXPECT_EQ(client.expect<wire::basic::GetOk>(1).delivery_tag, 2u);
  EXPECT_EQ(client.expect_content(1).body, "two");
  client.send(1, wire::basic::Ack{.delivery_tag = 2});
  client.expect_channel_close(1, ReplyCode::precondition_failed, "unknown delivery tag 2");
  world.settle();
  // What was not acknowledged is back.
  EXPECT_EQ(world.control.counters("q").ready.value(), 1u);
}

TEST_F(SessionMessage, PipelinedGetsAreAnsweredInOrder) {
  for (unsigned i = 0; i < 20; i++) client.publish(1, "", "q", std::to_string(i));
  for (unsigned i = 0; i < 20; i++) client.send(1, wire::basic::Get{.queue = "q", .no_ack = true});
  for (unsigned i = 0; i < 20; i++) {
    EXPECT_EQ(client.expect<wire::basic::GetOk>(1).message_count, 19 - i);
    EXPECT_EQ(client.expect_content(1).body, std::to_string(i));
  }
}

// ---- acknowledge ----------------------------------------------------------------------------------------------------

TEST_F(SessionMessage, UnknownTagClosesTheChannel) {
  for (uint64_t tag : {1u, 77u}) {
    client.open_channel(2);
    client.send(2, wire::basic::Ack{.delivery_tag = tag});
    client.expect_channel_close(2, ReplyCode::precondition_failed,
                                "PRECONDITION_FAILED - unknown delivery tag " + std::to_string(tag));
    world.settle();
  }
  // The number is free again, the other channel was not touched.
  client.open_channel(2);
  client.publish(1, "", "q", "x");
  world.settle();
  EXPECT_EQ(world.control.counters("q").ready.value(), 1u);
  EXPECT_EQ(world.sessions.counters().channel_errors.value(ReplyCode::precondition_failed), 2u);
}

TEST_F(SessionMessage, RepeatedTagClosesTheChannel) {
  client.consume(1, "q", "c");
  client.publish(1, "", "q", "x");
  client.expect_delivery(1, "c", 1);
  client.send(1, wire::basic::Ack{.delivery_tag = 1});
  client.send(1, wire::basic::Ack{.delivery_tag = 1});
  client.expect_channel_close(1, ReplyCode::precondition_failed, "unknown delivery tag 1");
}

TEST_F(SessionMessage, MultipleAcknowledgesUpToATagOrAll) {
  client.consume(1, "q", "c");
  for (unsigned i = 1; i <= 6; i++) client.publish(1, "", "q", "x");
  for (unsigned i = 1; i <= 6; i++) client.expect_delivery(1, "c", i);
  client.send(1, wire::basic::Ack{.delivery_tag = 2});
  client.send(1, wire::basic::Ack{.delivery_tag = 4, .multiple = true});
  world.settle();
  EXPECT_EQ(world.control.counters("q").acknowledged.value(), 4u);
  client.send(1, wire::basic::Ack{.delivery_tag = 0, .multiple = true});
  client.send(1, wire::basic::Ack{.delivery_tag = 0, .multiple = true});  // nothing is outstanding: all right
  world.settle();
  EXPECT_EQ(world.control.counters("q").acknowledged.value(), 6u);
  EXPECT_EQ(world.sessions.infos()[0].unacknowledged.value(), 0u);
  client.expect_nothing();
}

TEST_F(SessionMessage, RejectedGoesBackOrAway) {
  client.consume(1, "q", "c");
  client.publish(1, "", "q", "one");
  client.expect_delivery(1, "c", 1);
  client.send(1, wire::basic::Reject{.delivery_tag = 1, .requeue = true});
  EXPECT_EQ(client.expect_delivery(1, "c", 2, true), "one");
  client.send(1, wire::basic::Nack{.delivery_tag = 2, .multiple = false, .requeue = true});
  EXPECT_EQ(client.expect_delivery(1, "c", 3, true), "one");
  client.send(1, wire::basic::Reject{.delivery_tag = 3, .requeue = false});
  world.settle();
  EXPECT_EQ(world.here.pool.messages(), 0u);
  EXPECT_EQ(world.sessions.counters().messages_requeued.value(), 2u);
  EXPECT_EQ(world.sessions.counters().messages_rejected.value(), 1u);
}

TEST_F(SessionMessage, ChannelCloseRequeuesInOrder) {
  client.open_channel(2);
  client.consume(2, "q", "c");
  for (unsigned i = 0; i < 5; i++) client.publish(1, "", "q", std::to_string(i));
  for (unsigned i = 0; i < 5; i++) client.expect_delivery(2, "c", i + 1);
  client.send(2, wire::channel::Close{.reply_code = 200, .reply_text = ""});
  client.expect<wire::channel::CloseOk>(2);
  client.consume(1, "q", "d", true);
  for (unsigned i = 0; i < 5; i++) EXPECT_EQ(client.expect_delivery(1, "d", i + 1, true), std::to_string(i));
}

TEST_F(SessionMessage, LostConnectionRequeues) {
  Client other(world);
  other.open();
  other.open_channel(1);
  other.consume(1, "q", "c");
  client.publish(1, "", "q", "precious");
  other.expect_delivery(1, "c", 1);
  other.abort_transport();
  world.settle();
  EXPECT_EQ(world.control.counters("q").ready.value(), 1u);
  client.send(1, wire::basic::Get{.queue = "q", .no_ack = true});
  EXPECT_TRUE(client.expect<wire::basic::GetOk>(1).redelivered);
  EXPECT_EQ(client.expect_content(1).body, "precious");
  EXPECT_EQ(world.sessions.counters().connections_cut.value(), 1u);
  EXPECT_EQ(world.control.count_asked<broker::CloseConnection>(), 1u);
}

TEST_F(SessionMessage, RecoverRequeuesAll) {
  client.consume(1, "q", "c");
  client.publish(1, "", "q", "x");
  client.expect_delivery(1, "c", 1);
  client.send(1, wire::basic::Recover{.requeue = true});
  client.expect<wire::basic::RecoverOk>(1);
  client.expect_delivery(1, "c", 2, true);
  client.send(1, wire::basic::Recover{.requeue = false});
  client.expect_connection_close(ReplyCode::not_implemented, "NOT_IMPLEMENTED");
}

TEST(SessionMessageBounded, AGreatMultipleIsSettledOverTurns) {
  WorldOptions options;
  options.session.settle_per_turn = 10;
  World world(options);
  Client client(world);
  client.open();
  client.open_channel(1);
  client.declare(1, "q");
  client.consume(1, "q", "c");
  for (unsigned i = 0; i < 105; i++) client.publish(1, "", "q", "x");
  for (unsigned i = 0; i < 105; i++) client.expect_delivery(1, "c", i + 1);
  client.send(1, wire::basic::Nack{.delivery_tag = 50, .multiple = true, .requeue = false});
  client.send(1, wire::basic::Recover{.requeue = true});
  // The queue gives them out again while recover still returns the later ones; the answer may come among deliveries.
  unsigned deliveries = 0, answers = 0;
  while (auto frame = client.next()) {
    deliveries += frame->method() == wire::basic::Deliver::id;
    answers += frame->method() == wire::basic::RecoverOk::id;
  }
  EXPECT_EQ(answers, 1u);
  EXPECT_EQ(deliveries, 55u);
  client.send(1, wire::channel::Close{});
  client.expect<wire::channel::CloseOk>(1);
  EXPECT_EQ(world.control.counters("q").ready.value(), 55u);
}

// ---- qos ------------------------------------------------------------------------------------------------------------

TEST_F(SessionMessage, PrefetchHoldsBackPerConsumer) {
  client.send(1, wire::basic::Qos{.prefetch_count = 2});
  client.expect<wire::basic::QosOk>(1);
  client.consume(1, "q", "c");
  for (unsigned i = 0; i < 5; i++) client.publish(1, "", "q", std::to_string(i));
  EXPECT_EQ(client.expect_delivery(1, "c", 1), "0");
  EXPECT_EQ(client.expect_delivery(1, "c", 2), "1");
  client.expect_nothing();
  client.send(1, wire::basic::Ack{.delivery_tag = 1});
  EXPECT_EQ(client.expect_delivery(1, "c", 3), "2");
  client.expect_nothing();
}

TEST_F(SessionMessage, ChannelWidePrefetchIsSharedAndFair) {
  client.declare(1, "far");
  client.send(1, wire::basic::Qos{.prefetch_count = 3, .global = true});
  client.expect<wire::basic::QosOk>(1);
  client.consume(1, "q", "c");
  client.consume(1, "far", "d");
  for (unsigned i = 0; i < 20; i++) {
    client.publish(1, "", "q", "here");
    client.publish(1, "", "far", "there");
  }
  // Never more than three at a time, and both get their share.
  std::map<std::string, unsigned> delivered;
  uint64_t outstanding = 0, last = 0;
  while (auto frame = client.next()) {
    if (frame->method() == wire::basic::Deliver::id) {
      auto method = wire::parse<wire::basic::Deliver>(frame->payload);
      delivered[std::string(method->consumer_tag)]++;
      EXPECT_EQ(method->delivery_tag, ++last);
      EXPECT_FALSE(method->redelivered);
      EXPECT_LE(++outstanding, 3u);
    }
    if (frame->type != 3) continue;
    client.send(1, wire::basic::Ack{.delivery_tag = last, .multiple = true});
    outstanding = 0;
  }
  EXPECT_EQ(delivered["c"], 20u);
  EXPECT_EQ(delivered["d"], 20u);
  EXPECT_EQ(world.control.counters("far").acknowledged.value(), 20u);
}

// What a full channel cannot take must not come to another consumer behind younger messages.
TEST_F(SessionMessage, ChannelWidePrefetchKeepsTheOrderForOthers) {
  client.declare(1, "r");
  client.send(1, wire::basic::Qos{.prefetch_count = 1, .global = true});
  client.expect<wire::basic::QosOk>(1);
  client.consume(1, "q", "c");
  client.consume(1, "r", "d");
  client.publish(1, "", "r", "fills the channel");
  EXPECT_EQ(client.expect_delivery(1, "d", 1), "fills the channel");
  Client other(world);
  other.open();
  other.open_channel(1);
  other.consume(1, "q", "e", true);
  for (unsigned i = 0; i < 10; i++) client.publish(1, "", "q", std::to_string(i));
  int last = -1;
  for (uint64_t tag = 1; tag <= 9; tag++) {
    int number = std::stoi(other.expect_delivery(1, "e", tag));
    EXPECT_GT(number, last);
    last = number;
  }
  client.expect_nothing();
  client.send(1, wire::basic::Ack{.delivery_tag = 1});
  EXPECT_FALSE(client.expect_delivery(1, "c", 2).empty());
  // Cancelled with something parked: the other gets it.
  client.publish(1, "", "q", "10");
  client.publish(1, "", "q", "11");
  other.expect_delivery(1, "e", 10);
  client.send(1, wire::basic::Cancel{.consumer_tag = "c"});
  client.expect<wire::basic::CancelOk>(1);
  other.expect_delivery(1, "e", 11);
}

TEST_F(SessionMessage, ChannelWidePrefetchMayChangeUnderWay) {
  client.consume(1, "q", "c");
  client.send(1, wire::basic::Qos{.prefetch_count = 1, .global = true});
  client.expect<wire::basic::QosOk>(1);
  for (unsigned i = 0; i < 10; i++) client.publish(1, "", "q", std::to_string(i));
  client.expect_delivery(1, "c", 1);
  client.expect_nothing();
  client.send(1, wire::basic::Qos{.prefetch_count = 4, .global = true});
  client.expect<wire::basic::QosOk>(1);
  for (unsigned i = 2; i <= 4; i++) EXPECT_EQ(client.expect_delivery(1, "c", i), std::to_string(i - 1));
  client.expect_nothing();
  client.send(1, wire::basic::Qos{.prefetch_count = 0, .global = true});
  client.expect<wire::basic::QosOk>(1);
  for (unsigned i = 5; i <= 10; i++) EXPECT_EQ(client.expect_delivery(1, "c", i), std::to_string(i - 1));
}

// A few octets ask for it, and a channel may have 65535 consumers.
TEST(SessionMessageBounded, ManyConsumersHearOfAPrefetchOverTurns) {
  WorldOptions options;
  options.session.credits_per_turn = 10;
  World world(options);
  Client client(world);
  client.open();
  client.open_channel(1);
  client.open_channel(2);
  client.declare(1, "q");
  client.declare(1, "far");
  for (unsigned i = 0; i < 105; i++) client.consume(1, i % 2 ? "q" : "far", "c" + std::to_string(i));
  const auto turns_until_answered = [&] {
    const size_t before = client.stream().received.size();
    unsigned turns = 0;
    for (; client.stream().received.size() == before && turns < 1000; turns++) world.turn();
    client.expect<wire::basic::QosOk>(1);
    return turns;
  };
  client.send(1, wire::basic::Qos{.prefetch_count = 3, .global = true});
  EXPECT_GE(turns_until_answered(), 11u);
  client.send(1, wire::basic::Qos{.prefetch_count = 3, .global = true});
  EXPECT_LT(turns_until_answered(), 8u) << "nothing changes";
  for (unsigned i = 0; i < 10; i++) client.publish(1, "", "q", "x");
  unsigned delivered = 0;
  while (const auto frame = client.next()) delivered += frame->method() == wire::basic::Deliver::id;
  EXPECT_EQ(delivered, 3u);
  // The connection ends under way.
  client.send(1, wire::basic::Qos{.prefetch_count = 100, .global = true});
  for (unsigned i = 0; i < 8; i++) world.turn();
  world.sessions.close_session({0, 1}, broker::CloseCause::forced, "enough", world.now);
  bool answered = false, closed = false;
  while (const auto frame = client.next()) {
    answered |= frame->method() == wire::basic::QosOk::id;
    closed |= frame->method() == wire::connection::Close::id;
  }
  EXPECT_TRUE(closed && !answered);
}

TEST_F(SessionMessage, PrefetchSizeIsNotImplemented) {
  client.send(1, wire::basic::Qos{.prefetch_size = 5});
  client.expect_connection_close(ReplyCode::not_implemented, "prefetch_size!=0 (5)");
}

// ---- elsewhere ------------------------------------------------------------------------------------------------------

TEST_F(SessionMessage, QueuesElsewhereBehaveTheSame) {
  client.declare(1, "far");
  client.consume(1, "far", "c");
  // More than the hand-over window: the queue must hear of what went out.
  for (unsigned i = 0; i < 1000; i++) client.publish(1, "", "far", std::to_string(i));
  for (unsigned i = 0; i < 1000; i++) ASSERT_EQ(client.expect_delivery(1, "c", i + 1), std::to_string(i));
  client.send(1, wire::basic::Ack{.delivery_tag = 1000, .multiple = true});
  client.publish(1, "", "far", "last");
  EXPECT_EQ(client.expect_delivery(1, "c", 1001), "last");
  client.send(1, wire::basic::Cancel{.consumer_tag = "c"});
  EXPECT_EQ(client.expect<wire::basic::CancelOk>(1).consumer_tag, "c");
  client.send(1, wire::basic::Reject{.delivery_tag = 1001, .requeue = true});
  client.send(1, wire::basic::Get{.queue = "far"});
  EXPECT_TRUE(client.expect<wire::basic::GetOk>(1).redelivered);
  EXPECT_EQ(client.expect_content(1).body, "last");
  EXPECT_EQ(world.control.counters("far").acknowledged.value(), 1000u);
}

TEST_F(SessionMessage, CancelledConsumerElsewhereGetsItsLastMessagesBeforeCancelOk) {
  client.declare(1, "far");
  client.consume(1, "far", "c", true);
  for (unsigned i = 0; i < 100; i++) client.publish(1, "", "far", "x");
  client.send(1, wire::basic::Cancel{.consumer_tag = "c"});
  unsigned delivered = 0;
  bool cancelled = false;
  while (auto frame = client.next()) {
    EXPECT_FALSE(cancelled);
    delivered += frame->method() == wire::basic::Deliver::id;
    cancelled = frame->method() == wire::basic::CancelOk::id;
  }
  EXPECT_TRUE(cancelled);
  EXPECT_EQ(delivered + world.control.counters("far").ready.value(), 100u);
}

// Each change is a new subscription in the old one's place, with deliveries of the old one still under way.
TEST_F(SessionMessage, PrefetchMayChangeWhileDeliveriesFromElsewhereAreUnderWay) {
  client.declare(1, "far");
  client.consume(1, "far", "c");
  for (unsigned i = 0; i < 700; i++) {
    client.publish(1, "", "far", std::to_string(i));
    if (i % 50 == 0) client.send(1, wire::basic::Qos{.prefetch_count = static_cast<uint16_t>(i), .global = true});
  }
  client.send(1, wire::basic::Qos{.prefetch_count = 0, .global = true});
  unsigned delivered = 0;
  while (auto frame = client.next()) {
    if (frame->method() != wire::basic::Deliver::id) continue;
    EXPECT_EQ(wire::parse<wire::basic::Deliver>(frame->payload)->delivery_tag, ++delivered);
    if (delivered % 10 == 0) client.send(1, wire::basic::Ack{.delivery_tag = delivered, .multiple = true});
  }
  EXPECT_EQ(delivered, 700u);
  world.there.engine.check_invariants();
}

}  // namespace
}  // namespace talaria::amqp091::session
