// The exchange type x-delayed-message.
#include "core/amqp091/session/delayed.h"

#include "core/amqp091/wire/table.h"
#include "tests/unit/amqp091/session/client.h"

namespace talaria::amqp091::session {
namespace {

using wire::ReplyCode;

std::vector<uint8_t> delayed(base::Field delay) { return with_headers({{"x-delay", std::move(delay)}}); }

struct SessionDelayed : testing::Test {
  explicit SessionDelayed(WorldOptions options = {}) : world(options) {}
  void SetUp() override {
    auto settings = std::make_shared<broker::ExchangeSettings>();
    settings->delays = true;
    world.control.add_exchange("later", broker::ExchangeType::direct, false, settings);
    client.open();
    client.open_channel(1);
    for (const char* name : {"q", "far"}) {
      client.declare(1, name);
      client.send(1, wire::queue::Bind{.queue = name, .exchange = "later", .routing_key = name});
      client.expect<wire::queue::BindOk>(1);
    }
  }
  uint64_t ready(const std::string& queue) { return world.control.counters(queue).ready.value(); }
  const SessionCounters& counters() { return world.sessions.counters(); }
  World world;
  Client client{world};
};

TEST_F(SessionDelayed, WaitsAsLongAsItSays) {
  client.publish(1, "later", "q", "second", false, delayed({int32_t{80}}));
  client.publish(1, "later", "q", "first", false, delayed({int64_t{40}}));
  client.publish(1, "later", "far", "elsewhere", false, delayed({int8_t{40}}));
  client.publish(1, "later", "q", "at once");
  world.wait(20ms);
  EXPECT_EQ(ready("q"), 1u);
  EXPECT_EQ(counters().delayed_waiting.value(), 3u);
  world.wait(30ms);
  EXPECT_EQ(ready("q"), 2u);
  EXPECT_EQ(ready("far"), 1u);
  world.wait(50ms);
  EXPECT_EQ(ready("q"), 3u);
  client.consume(1, "q", "c", true);
  EXPECT_EQ(client.expect_delivery(1, "c", 1), "at once");
  EXPECT_EQ(client.expect_delivery(1, "c", 2), "first");
  EXPECT_EQ(client.expect_delivery(1, "c", 3), "second");
  EXPECT_EQ(counters().delayed_waiting.value(), 0u);
  EXPECT_EQ(counters().delayed_published.value(), 3u);
}

TEST_F(SessionDelayed, TellsThatItWasAndIsNotAgain) {
  client.consume(1, "q", "c", true);
  client.publish(1, "later", "q", "x", false, with_headers({{"a", {std::string("b")}}, {"x-delay", {int32_t{20}}}}));
  world.wait(25ms);
  client.expect<wire::basic::Deliver>(1);
  const Content content = client.expect_content(1);
  const auto properties = wire::parse_properties(base::as_bytes(content.properties));
  const auto headers = wire::decode_table(properties->headers);
  ASSERT_TRUE(headers.has_value());
  EXPECT_EQ(*base::find(*headers, "a")->text(), "b");
  EXPECT_EQ(base::find(*headers, "x-delay")->integer(), -20);
  client.publish(1, "later", "q", "again", false, base::as_bytes(content.properties));
  EXPECT_EQ(client.expect_delivery(1, "c", 2), "again");
}

TEST_F(SessionDelayed, IsRoutedWhenItsTimeIsOver) {
  client.declare(1, "r");
  client.publish(1, "later", "new", "x", true, delayed({int32_t{20}}));
  client.publish(1, "later", "q", "y", true, delayed({int32_t{20}}));
  client.send(1, wire::queue::Bind{.queue = "r", .exchange = "later", .routing_key = "new"});
  client.expect<wire::queue::BindOk>(1);
  client.send(1, wire::queue::Delete{.queue = "q"});
  client.expect<wire::queue::DeleteOk>(1);
  world.wait(25ms);
  EXPECT_EQ(ready("r"), 1u);
  client.expect_nothing();  // what is delayed is never returned
  EXPECT_EQ(counters().messages_unroutable.value(), 1u);
}

TEST_F(SessionDelayed, WaitsAlsoWhenTopologyChangesWhileItComes) {
  client.send(1, wire::basic::Publish{.exchange = "later", .routing_key = "q"});
  world.settle();
  world.control.add_exchange("another", broker::ExchangeType::fanout);
  client.send_header(1, 1, delayed({int32_t{20}}));
  client.send_body(1, "x");
  world.settle();
  EXPECT_EQ(ready("q"), 0u);
  world.wait(25ms);
  EXPECT_EQ(ready("q"), 1u);
}

TEST_F(SessionDelayed, IsConfirmedAtOnce) {
  client.send(1, wire::confirm::Select{});
  client.expect<wire::confirm::SelectOk>(1);
  client.publish(1, "later", "q", "x", false, delayed({int32_t{100}}));
  EXPECT_EQ(client.expect<wire::basic::Ack>(1).delivery_tag, 1u);
  client.publish(1, "", "q", "y");
  EXPECT_EQ(client.expect<wire::basic::Ack>(1).delivery_tag, 2u);
  EXPECT_EQ(ready("q"), 1u);
  world.wait(110ms);
  EXPECT_EQ(ready("q"), 2u);
}

TEST_F(SessionDelayed, ItsExchangeMayGo) {
  client.publish(1, "later", "q", "x", false, delayed({int32_t{20}}));
  world.settle();
  client.close_transport();
  world.control.remove_queue("q");
  world.control.remove_queue("far");
  world.control.remove_exchange("later");
  world.wait(25ms);
  EXPECT_EQ(counters().delayed_no_exchange.value(), 1u);
  EXPECT_EQ(world.here.pool.messages(), 0u);
}

TEST_F(SessionDelayed, InATransactionItWaitsFromTheCommitOn) {
  client.send(1, wire::tx::Select{});
  client.expect<wire::tx::SelectOk>(1);
  client.publish(1, "later", "q", "x", false, delayed({int32_t{20}}));
  world.wait(40ms);
  EXPECT_EQ(counters().delayed_waiting.value(), 0u);
  client.send(1, wire::tx::Commit{});
  client.expect<wire::tx::CommitOk>(1);
  EXPECT_EQ(ready("q"), 0u);
  world.wait(25ms);
  EXPECT_EQ(ready("q"), 1u);
}

TEST_F(SessionDelayed, FurtherKeysWaitWithIt) {
  base::FieldArray keys{{std::string("far")}};
  client.publish(1, "later", "q", "x", false, with_headers({{"CC", {keys}}, {"x-delay", {int32_t{20}}}}));
  world.wait(10ms);
  EXPECT_EQ(ready("q") + ready("far"), 0u);
  world.wait(15ms);
  EXPECT_EQ(ready("q"), 1u);
  EXPECT_EQ(ready("far"), 1u);
}

struct SessionManyDelayed : SessionDelayed {
  static WorldOptions options() {
    WorldOptions options;
    options.session.delayed_messages = 3;
    options.session.delayed_per_turn = 2;
    return options;
  }
  SessionManyDelayed() : SessionDelayed(options()) {}
};

TEST_F(SessionManyDelayed, TooManyAreRefused) {
  client.open_channel(2);
  client.send(2, wire::confirm::Select{});
  client.expect<wire::confirm::SelectOk>(2);
  for (uint64_t i = 1; i <= 3; i++) {
    client.publish(2, "later", "q", "x", false, delayed({int32_t{50}}));
    EXPECT_EQ(client.expect<wire::basic::Ack>(2).delivery_tag, i);
  }
  client.publish(2, "later", "q", "x", false, delayed({int32_t{50}}));
  EXPECT_EQ(client.expect<wire::basic::Nack>(2).delivery_tag, 4u);
  client.publish(1, "later", "q", "x", false, delayed({int32_t{50}}));
  client.expect_channel_close(1, ReplyCode::precondition_failed, "too many messages are delayed on worker 0");
  EXPECT_EQ(counters().delayed_refused.value(), 2u);
  world.wait(60ms);
  EXPECT_EQ(ready("q"), 3u);
}

// 90 KiB of keys that are no part of the message any more.
base::FieldTable with_many_keys() {
  base::FieldArray keys;
  for (int i = 0; i < 400; i++) keys.push_back({std::string(200, 'k')});
  return {{"x-delay", {int32_t{50}}}, {"BCC", {std::move(keys)}}};
}

// Of 8 MiB of message memory the delayed may have a quarter, and transactions an eighth.
TEST_F(SessionDelayed, FurtherKeysCount) {
  client.open_channel(2);
  client.send(2, wire::confirm::Select{});
  client.expect<wire::confirm::SelectOk>(2);
  for (int i = 0; i < 40; i++) client.publish(2, "later", "q", "x", false, with_headers(with_many_keys()));
  world.run(5ms);
  const uint64_t refused = counters().delayed_refused.value();
  EXPECT_GT(refused, 15u);
  EXPECT_LT(refused, 25u);
  world.wait(60ms);
  EXPECT_EQ(ready("q"), 40 - refused);
  EXPECT_EQ(counters().delayed_waiting.value(), 0u);
  // What they counted for is free again.
  client.publish(2, "later", "q", "x", false, with_headers(with_many_keys()));
  world.wait(60ms);
  EXPECT_EQ(ready("q"), 41 - refused);
}

TEST_F(SessionDelayed, FurtherKeysCountInTransactions) {
  client.send(1, wire::tx::Select{});
  client.expect<wire::tx::SelectOk>(1);
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 10; i++) client.publish(1, "later", "q", "x", false, with_headers(with_many_keys()));
    client.send(1, wire::tx::Rollback{});
    client.expect<wire::tx::RollbackOk>(1);
  }
  for (int i = 0; i < 13; i++) client.publish(1, "later", "q", "x", false, with_headers(with_many_keys()));
  client.expect_channel_close(1, ReplyCode::precondition_failed, "transaction on channel 1 is too large");
}

TEST(Delay, IsAPositiveNumberOfMilliseconds) {
  EXPECT_EQ(delay_of({int8_t{5}}), 5u);
  EXPECT_EQ(delay_of({uint64_t{4294967295}}), 4294967295u);
  EXPECT_EQ(delay_of({std::string("70")}), 70u);
  EXPECT_EQ(delay_of({70.9}), 70u);
  for (const base::Field& none : {base::Field{int32_t{0}}, base::Field{int32_t{-5}}, base::Field{uint64_t{4294967296}},
                                  base::Field{std::string("soon")}, base::Field{true}, base::Field{}})
    EXPECT_EQ(delay_of(none), 0u);
}

}  // namespace
}  // namespace talaria::amqp091::session
