// x-consumer-timeout: a delivery that is not acknowledged in time costs its channel.
#include "core/amqp091/wire/table.h"
#include "tests/unit/amqp091/session/client.h"

namespace talaria::amqp091::session {
namespace {

using wire::ReplyCode;

constexpr std::string_view late =
    "delivery acknowledgement on channel 1 timed out. Timeout value used: 20000 ms. This timeout value can be "
    "configured, see consumers doc guide to learn more";

struct SessionAckTimeouts : testing::Test {
  void SetUp() override {
    client.open();
    client.open_channel(1);
  }
  void declare(const std::string& name, broker::QueueSettings settings) {
    settings.queue = name;
    world.control.settings[name] = settings;
    client.declare(1, name);
  }
  void ack(uint64_t tag) { client.send(1, wire::basic::Ack{.delivery_tag = tag}); }
  void expect_open() {
    client.send(1, wire::basic::Qos{});
    client.expect<wire::basic::QosOk>(1);
  }

  World world;
  Client client{world};
};

TEST_F(SessionAckTimeouts, CloseTheChannelAndTheMessageGoesBack) {
  declare("q", {.consumer_timeout_ms = 20'000});
  client.consume(1, "q", "c");
  for (uint64_t tag = 1; tag <= 3; tag++) {
    client.publish(1, "", "q", "body");
    client.expect_delivery(1, "c", tag);
  }
  ack(1);
  ack(3);
  world.wait(19s);
  expect_open();
  world.wait(13s);
  client.expect_channel_close(1, ReplyCode::precondition_failed, late);
  world.settle();
  EXPECT_EQ(world.control.counters("q").ready.value(), 1u);
  EXPECT_EQ(world.sessions.counters().acknowledgements_late.value(), 1u);
}

TEST_F(SessionAckTimeouts, AreNotForWhoAcknowledgesHoweverLongItConsumes) {
  declare("q", {.consumer_timeout_ms = 20'000});
  client.declare(1, "r");
  client.consume(1, "q", "c");
  client.consume(1, "r", "d");
  client.publish(1, "", "r", "never acknowledged");
  client.expect_delivery(1, "d", 1);
  for (uint64_t tag = 2; tag <= 8; tag++) {
    client.publish(1, "", "q", "body");
    client.expect_delivery(1, "c", tag);
    world.wait(10s);
    ack(tag);
  }
  expect_open();
}

TEST_F(SessionAckTimeouts, OfAConsumerAreItsOwn) {
  client.declare(1, "q");
  const base::FieldTable arguments{{"x-consumer-timeout", {int32_t{20'000}}}};
  const std::vector<uint8_t> fields = encoded(arguments);
  client.publish(1, "", "q", "got");
  client.send(1, wire::basic::Get{.queue = "q"});
  client.expect<wire::basic::GetOk>(1);
  client.expect_content(1);
  wire::basic::Consume consume;
  consume.queue = "q";
  consume.consumer_tag = "c";
  consume.arguments.bytes = fields;
  client.send(1, consume);
  client.expect<wire::basic::ConsumeOk>(1);
  world.wait(40s);
  expect_open();  // what was got is not the consumer's
  client.publish(1, "", "q", "body");
  client.expect_delivery(1, "c", 2);
  client.send(1, wire::basic::Cancel{.consumer_tag = "c"});
  client.expect<wire::basic::CancelOk>(1);
  world.wait(32s);
  client.expect_channel_close(1, ReplyCode::precondition_failed, late);
}

TEST_F(SessionAckTimeouts, AConsumersStandsInThePlaceOfItsQueues) {
  declare("q", {.consumer_timeout_ms = 20'000});
  const base::FieldTable arguments{{"x-consumer-timeout", {int32_t{80'000}}}};
  const std::vector<uint8_t> fields = encoded(arguments);
  wire::basic::Consume consume;
  consume.queue = "q";
  consume.consumer_tag = "c";
  consume.arguments.bytes = fields;
  client.send(1, consume);
  client.expect<wire::basic::ConsumeOk>(1);
  client.publish(1, "", "q", "body");
  client.expect_delivery(1, "c", 1);
  world.wait(60s);
  expect_open();
  world.wait(36s);
  client.expect_channel_close(1, ReplyCode::precondition_failed,
                              "delivery acknowledgement on channel 1 timed out. Timeout value used: 80000 ms");
}

TEST_F(SessionAckTimeouts, HoldForWhatIsGotToo) {
  declare("q", {.consumer_timeout_ms = 20'000});
  client.publish(1, "", "q", "body");
  client.send(1, wire::basic::Get{.queue = "q"});
  client.expect<wire::basic::GetOk>(1);
  client.expect_content(1);
  world.wait(32s);
  client.expect_channel_close(1, ReplyCode::precondition_failed, late);
}

TEST_F(SessionAckTimeouts, AreIntegersWithinBounds) {
  client.declare(1, "q");
  uint16_t channel = 1;
  for (const base::Field& wrong : {base::Field{std::string("5")}, base::Field{int32_t{-1}}, base::Field{INT64_MAX}}) {
    const base::FieldTable arguments{{"x-consumer-timeout", wrong}};
    const std::vector<uint8_t> fields = encoded(arguments);
    wire::basic::Consume consume;
    consume.queue = "q";
    consume.arguments.bytes = fields;
    client.send(channel, consume);
    client.expect_channel_close(channel, ReplyCode::precondition_failed, "invalid arg 'x-consumer-timeout'");
    client.open_channel(++channel);
  }
}

}  // namespace
}  // namespace talaria::amqp091::session
