// x-slow-consumer-threshold: what a client hears of it.
#include "tests/unit/amqp091/session/client.h"

namespace talaria::amqp091::session {
namespace {

using wire::ReplyCode;

struct SessionSlowConsumer : testing::Test {
  void begin(bool cancels, const base::FieldTable& properties = Client::capabilities(), const char* queue = "q") {
    broker::QueueSettings settings;
    settings.queue = queue;
    settings.slow_consumers = broker::SlowConsumers{.threshold = 1, .check_period_ms = 1000, .cancels = cancels};
    world.control.settings[queue] = settings;
    client.open(131072, 0, properties);
    client.open_channel(1);
    client.declare(1, queue);
    client.send(1, wire::basic::Qos{.prefetch_count = 2});
    client.expect<wire::basic::QosOk>(1);
    client.consume(1, queue, "c");
    for (int i = 0; i < 5; i++) client.publish(1, "", queue, "body");
    client.expect_delivery(1, "c", 1);
    client.expect_delivery(1, "c", 2);
    world.wait(2100ms);
  }
  size_t told() { return world.control.count_asked<broker::ConsumerFoundSlow>(); }

  World world;
  Client client{world};
};

TEST_F(SessionSlowConsumer, IsToldOfAndGoesOn) {
  begin(false);
  EXPECT_EQ(told(), 1u);
  client.expect_nothing();
  client.send(1, wire::basic::Ack{.delivery_tag = 1});
  client.expect_delivery(1, "c", 3);
}

TEST_F(SessionSlowConsumer, IsCancelledAndKeepsWhatItHolds) {
  begin(true);
  EXPECT_EQ(client.expect<wire::basic::Cancel>(1).consumer_tag, "c");
  EXPECT_EQ(told(), 1u);
  EXPECT_EQ(world.control.count_asked<broker::ConsumerRemoved>(), 1u);
  EXPECT_EQ(world.control.counters("q").unacknowledged.value(), 2u);
  client.send(1, wire::basic::Ack{.delivery_tag = 2, .multiple = true});
  client.expect_nothing();
  EXPECT_EQ(world.control.counters("q").ready.value(), 3u);
  client.consume(1, "q", "c");
  client.expect_delivery(1, "c", 3);
}

TEST_F(SessionSlowConsumer, OfAQueueElsewhereToo) {
  begin(true, Client::capabilities(), "far");
  EXPECT_EQ(client.expect<wire::basic::Cancel>(1).consumer_tag, "c");
}

TEST_F(SessionSlowConsumer, OfAClientThatCannotBeToldCostsTheChannel) {
  begin(true, {});
  client.expect_channel_close(1, ReplyCode::precondition_failed,
                              "consumer 'c' on queue 'q' in vhost '/' is slower than x-slow-consumer-threshold allows");
  world.settle();
  EXPECT_EQ(world.control.counters("q").ready.value(), 5u);
  client.open_channel(1);
  client.consume(1, "q", "c");
  client.expect_delivery(1, "c", 1, true);
}

}  // namespace
}  // namespace talaria::amqp091::session
