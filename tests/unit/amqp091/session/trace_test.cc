// The firehose: what is told of messages in a vhost that is traced, and that nothing is told otherwise.
#include "core/amqp091/session/trace.h"

#include "core/amqp091/wire/table.h"
#include "tests/unit/amqp091/session/client.h"

namespace talaria::amqp091::session {
namespace {

using base::Field;
using base::FieldTable;

constexpr char tracer[] = "amq.talaria.trace";

struct SessionTrace : testing::Test {
  void SetUp() override {
    client.open();
    client.open_channel(1);
    client.declare(1, "q");
    client.declare(1, "traces");
    world.control.add_exchange(tracer, broker::ExchangeType::topic, true);
    world.control.bind(tracer, "traces", "#");
    world.control.trace(tracer);
  }
  uint64_t told() {
    world.settle();
    return world.control.counters("traces").ready.value();
  }
  struct Told {
    std::string key;
    FieldTable headers;
    std::string body;
    // As text; "none": there is no such header.
    std::string header(const char* name) const {
      const Field* found = base::find(headers, name);
      return found ? base::to_text(*found) : "none";
    }
  };
  Told next() {
    client.send(1, wire::basic::Get{.queue = "traces", .no_ack = true});
    const auto method = client.expect<wire::basic::GetOk>(1);
    EXPECT_EQ(method.exchange, tracer);
    const Content content = client.expect_content(1);
    const auto properties = wire::parse_properties(base::as_bytes(content.properties));
    return {std::string(method.routing_key), *wire::decode_table(properties->headers), content.body};
  }
  uint64_t lost() { return world.sessions.counters().traces_lost.value(); }

  static WorldOptions options() {
    WorldOptions options;
    options.blocks = 256;
    return options;
  }
  World world{options()};
  Client client{world};
};

TEST_F(SessionTrace, TellsOfPublishesAndDeliveries) {
  wire::Properties properties;
  properties.content_type = "text/plain";
  properties.set(wire::Property::content_type);
  properties.priority = 3;
  properties.set(wire::Property::priority);
  const FieldTable table{{"mine", Field{int32_t{7}}}};
  const std::vector<uint8_t> fields = encoded(table);
  properties.headers.bytes = fields;
  properties.set(wire::Property::headers);
  world.control.bind("amq.direct", "q", "k");
  client.publish(1, "amq.direct", "k", "hello", false, encoded(properties));
  ASSERT_EQ(told(), 1u);
  Told published = next();
  EXPECT_EQ(published.key, "publish.amq.direct");
  EXPECT_EQ(published.body, "hello");
  EXPECT_EQ(published.header("exchange_name"), "\"amq.direct\"");
  EXPECT_EQ(published.header("routing_keys"), "[\"k\"]");
  EXPECT_EQ(published.header("properties"), R"({"content_type":"text/plain","headers":{"mine":7},"priority":3})");
  EXPECT_EQ(published.header("routed_queues"), "[\"q\"]");
  EXPECT_EQ(published.header("node"), "\"talaria\"");
  EXPECT_EQ(published.header("vhost"), "\"/\"");
  EXPECT_EQ(published.header("user"), "\"guest\"");
  EXPECT_EQ(published.header("channel"), "1");
  EXPECT_EQ(published.header("redelivered"), "none");

  client.send(1, wire::basic::Get{.queue = "q"});
  const uint64_t tag = client.expect<wire::basic::GetOk>(1).delivery_tag;
  client.expect_content(1);
  client.send(1, wire::basic::Nack{.delivery_tag = tag, .requeue = true});
  ASSERT_EQ(told(), 1u);
  EXPECT_EQ(next().header("redelivered"), "0");
  client.consume(1, "q", "c", true);
  EXPECT_EQ(client.expect<wire::basic::Deliver>(1).redelivered, true);
  client.expect_content(1);
  ASSERT_EQ(told(), 1u);
  Told delivered = next();
  EXPECT_EQ(delivered.key, "deliver.q");
  EXPECT_EQ(delivered.body, "hello");
  EXPECT_EQ(delivered.header("redelivered"), "1");
  EXPECT_EQ(delivered.header("exchange_name"), "\"amq.direct\"");
  EXPECT_EQ(delivered.header("routing_keys"), "[\"k\"]");
  EXPECT_EQ(delivered.header("routed_queues"), "none");
}

TEST_F(SessionTrace, TellsOfEachMessageInOrderAndOfNoneAfterwards) {
  for (int i = 0; i < 20; i++) client.publish(1, "", "q", std::to_string(i));
  ASSERT_EQ(told(), 20u);
  for (int i = 0; i < 20; i++) EXPECT_EQ(next().body, std::to_string(i));
  world.control.trace("");
  for (int i = 0; i < 3; i++) client.publish(1, "", "q", "not told");
  EXPECT_EQ(told(), 0u);
  EXPECT_EQ(world.control.counters("q").ready.value(), 23u);
  world.control.trace(tracer);
  client.publish(1, "", "q", "told");
  ASSERT_EQ(told(), 1u);
  EXPECT_EQ(next().key, "publish.");
}

TEST_F(SessionTrace, OfItsOwnMessagesTellsNothing) {
  client.publish(1, "", "q", "x");
  ASSERT_EQ(told(), 1u);
  client.consume(1, "traces", "t", true);
  client.expect<wire::basic::Deliver>(1);
  client.expect_content(1);
  world.settle();
  EXPECT_EQ(world.sessions.counters().traces_published.value(), 1u);
}

TEST_F(SessionTrace, TellsOfWhatGoesNowhereAndOfAllItsKeys) {
  const FieldTable table{{"CC", Field{base::FieldArray{Field{std::string("q")}}}}};
  const std::vector<uint8_t> fields = encoded(table);
  wire::Properties properties;
  properties.headers.bytes = fields;
  properties.set(wire::Property::headers);
  client.publish(1, "", "nobody", "a", false, encoded(properties));
  client.publish(1, "amq.fanout", "k", "b", true);
  EXPECT_EQ(client.expect<wire::basic::Return>(1).reply_code, 312);
  client.expect_content(1);
  ASSERT_EQ(told(), 2u);
  Told copied = next();
  EXPECT_EQ(copied.header("routing_keys"), "[\"nobody\",\"q\"]");
  EXPECT_EQ(copied.header("routed_queues"), "[\"q\"]");
  Told unroutable = next();
  EXPECT_EQ(unroutable.key, "publish.amq.fanout");
  EXPECT_EQ(unroutable.header("routed_queues"), "[]");
}

// A queue that it was routed to is deleted before the commit; and one message is to wait.
TEST_F(SessionTrace, TellsOfAllThatATransactionCommits) {
  auto settings = std::make_shared<broker::ExchangeSettings>();
  settings->delays = true;
  world.control.add_exchange("later", broker::ExchangeType::direct, false, settings);
  client.open_channel(2);
  client.declare(2, "short-lived");
  client.send(2, wire::tx::Select{});
  client.expect<wire::tx::SelectOk>(2);
  client.publish(2, "", "short-lived", "one");
  client.publish(2, "later", "q", "two", false, with_headers({{"x-delay", {int32_t{20}}}}));
  client.publish(2, "", "q", "three");
  EXPECT_EQ(told(), 0u);
  client.send(1, wire::queue::Delete{.queue = "short-lived"});
  client.expect<wire::queue::DeleteOk>(1);
  client.send(2, wire::tx::Commit{});
  client.expect<wire::tx::CommitOk>(2);
  ASSERT_EQ(told(), 3u);
  for (const char* body : {"one", "two"}) {
    const Told published = next();
    EXPECT_EQ(published.body, body);
    EXPECT_EQ(published.header("routed_queues"), "[]");
  }
  EXPECT_EQ(next().body, "three");
  world.wait(25ms);
}

TEST_F(SessionTrace, CopiesLongBodiesOverManyTurns) {
  std::string body(5 << 20, 'x');
  for (size_t i = 0; i < body.size(); i += 1000) body[i] = static_cast<char>('a' + i / 1000 % 26);
  client.publish(1, "", "q", body);
  client.publish(1, "", "q", "behind");
  for (int i = 0; i < 200 && told() != 2; i++) world.run(5ms);
  ASSERT_EQ(told(), 2u);
  EXPECT_EQ(next().body, body);
  EXPECT_EQ(next().body, "behind");
  EXPECT_EQ(lost(), 0u);
}

TEST_F(SessionTrace, OfQueuesOfOtherWorkersToo) {
  client.declare(1, "far");
  client.publish(1, "", "far", "x");
  client.consume(1, "far", "c", true);
  client.expect<wire::basic::Deliver>(1);
  client.expect_content(1);
  ASSERT_EQ(told(), 2u);
  EXPECT_EQ(next().key, "publish.");
  EXPECT_EQ(next().key, "deliver.far");
}

TEST_F(SessionTrace, LeavesOutWhatIsLongerThanAFrame) {
  const FieldTable table{{"long", Field{std::string(131000, 'x')}}};
  const std::vector<uint8_t> fields = encoded(table);
  wire::Properties properties;
  properties.headers.bytes = fields;
  properties.set(wire::Property::headers);
  client.publish(1, "", "q", "body", false, encoded(properties));
  ASSERT_EQ(told(), 1u);
  Told published = next();
  EXPECT_EQ(published.header("truncated"), "true");
  EXPECT_EQ(published.header("properties"), "none");
  EXPECT_EQ(published.header("exchange_name"), "\"\"");
  EXPECT_EQ(published.body, "body");
}

TEST_F(SessionTrace, LosesCopiesThatTheirQueuesWorkerDoesNotTakeAndSaysSo) {
  client.declare(1, "far");
  world.control.bind(tracer, "far", "#");
  world.there_is_held = true;
  constexpr uint64_t all = 4200;
  for (uint64_t i = 0; i < all; i++) {
    client.publish(1, "", "q", "x");
    if (i % 100 == 99) world.run(2ms);
  }
  world.settle();
  EXPECT_EQ(world.sessions.counters().messages_published.value(), all) << "what is traced does not wait";
  EXPECT_GT(lost(), 0u);
  EXPECT_EQ(world.sessions.counters().traces_published.value() + lost(), all);
  world.there_is_held = false;
  client.publish(1, "", "q", "x");
  world.settle();
  EXPECT_EQ(world.sessions.counters().traces_published.value() + lost(), all + 1);
  EXPECT_EQ(world.control.counters("far").ready.value(), world.sessions.counters().traces_published.value());
}

}  // namespace
}  // namespace talaria::amqp091::session
