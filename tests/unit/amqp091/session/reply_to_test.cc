// Direct reply-to: requests with an address instead of a queue, and their answers.
#include "core/amqp091/wire/table.h"
#include "tests/unit/amqp091/session/client.h"

namespace talaria::amqp091::session {
namespace {

using wire::ReplyCode;

constexpr std::string_view reply_to = "amq.rabbitmq.reply-to";

struct SessionReplyTo : testing::Test {
  void SetUp() override {
    client.open();
    client.open_channel(1);
    server.open();
    server.open_channel(1);
    server.declare(1, "q");
  }
  static std::vector<uint8_t> replying_to(std::string_view address) {
    wire::Properties properties;
    properties.correlation_id = "7";
    properties.reply_to = address;
    properties.app_id = "test";
    for (auto property : {wire::Property::correlation_id, wire::Property::reply_to, wire::Property::app_id})
      properties.set(property);
    return encoded(properties);
  }
  // Sends a request and says under which address it arrived.
  std::string ask() {
    client.publish(1, "", "q", "request", false, replying_to(reply_to));
    server.send(1, wire::basic::Get{.queue = "q", .no_ack = true});
    server.expect<wire::basic::GetOk>(1);
    const Content content = server.expect_content(1);
    EXPECT_EQ(content.body, "request");
    const auto properties = *wire::parse_properties(base::as_bytes(content.properties));
    EXPECT_EQ(properties.correlation_id, "7");
    EXPECT_EQ(properties.app_id, "test");
    return std::string(properties.reply_to);
  }

  World world;
  Client client{world}, server{world};
};

TEST_F(SessionReplyTo, BringsTheAnswerToTheOneWhoAsked) {
  client.consume(1, reply_to, "replies", true);
  for (int round = 0; round < 3; round++) {
    const std::string address = ask();
    EXPECT_TRUE(address.starts_with("amq.rabbitmq.reply-to.")) << address;
    server.publish(1, "", address, "answer");
    EXPECT_EQ(client.expect_delivery(1, "replies", static_cast<uint64_t>(round) + 1), "answer");
  }
  EXPECT_EQ(world.here.pool.messages(), 0u);
  EXPECT_EQ(world.control.count_asked<broker::ConsumerAdded>(), 0u) << "no queue, nothing to list";
}

TEST_F(SessionReplyTo, GoesToTheQueuesOfItsCopiesToo) {
  client.consume(1, reply_to, "replies", true);
  const std::string address = ask();
  server.open_channel(2);
  server.send(2, wire::tx::Select{});
  server.expect<wire::tx::SelectOk>(2);
  const auto copied = with_headers({{"CC", {base::FieldArray{{std::string("q")}}}}});
  server.publish(1, "", address, "answer", true, copied);
  EXPECT_EQ(client.expect_delivery(1, "replies", 1), "answer");
  server.publish(2, "", address, "decided later", true, copied);
  client.expect_nothing();
  server.send(2, wire::tx::Commit{});
  server.expect<wire::tx::CommitOk>(2);
  EXPECT_EQ(client.expect_delivery(1, "replies", 2), "decided later");
  for (std::string_view body : {"answer", "decided later"}) {
    server.send(1, wire::basic::Get{.queue = "q", .no_ack = true});
    server.expect<wire::basic::GetOk>(1);
    EXPECT_EQ(server.expect_content(1).body, body);
  }
  EXPECT_EQ(world.here.pool.messages(), 0u);
}

TEST_F(SessionReplyTo, IsConfirmedAndRoutable) {
  client.consume(1, reply_to, "replies", true);
  const std::string address = ask();
  server.send(1, wire::confirm::Select{});
  server.expect<wire::confirm::SelectOk>(1);
  server.publish(1, "", address, "answer", true);
  EXPECT_EQ(server.expect<wire::basic::Ack>(1).delivery_tag, 1u);
  client.expect_delivery(1, "replies", 1);
  client.send(1, wire::basic::Cancel{.consumer_tag = "replies"});
  client.expect<wire::basic::CancelOk>(1);
  server.publish(1, "", address, "too late", true);
  EXPECT_EQ(server.expect<wire::basic::Return>(1).reply_code, 312);
  server.expect_content(1);
  EXPECT_EQ(server.expect<wire::basic::Ack>(1).delivery_tag, 2u);
  client.consume(1, reply_to, "again", true);
  server.publish(1, "", address, "not for this one", true);
  EXPECT_EQ(server.expect<wire::basic::Return>(1).reply_code, 312);
}

TEST_F(SessionReplyTo, DeclaringAnAddressAsksWhetherItIsAlive) {
  client.consume(1, reply_to, "replies", true);
  const std::string address = ask();
  server.send(1, wire::queue::Declare{.queue = address, .passive = true});
  const auto alive = server.expect<wire::queue::DeclareOk>(1);
  EXPECT_EQ(alive.queue, address);
  EXPECT_EQ(alive.consumer_count, 1u);
  client.send(1, wire::channel::Close{});
  client.expect<wire::channel::CloseOk>(1);
  server.send(1, wire::queue::Declare{.queue = address, .passive = true});
  server.expect_channel_close(1, ReplyCode::not_found, "no queue '" + address.substr(0, 30));
}

TEST_F(SessionReplyTo, OneAChannelWithoutAcknowledgements) {
  client.send(1, wire::basic::Consume{.queue = reply_to, .consumer_tag = "c"});
  client.expect_channel_close(1, ReplyCode::precondition_failed, "reply consumer cannot acknowledge");
  client.open_channel(2);
  client.consume(2, reply_to, "c", true);
  client.send(2, wire::basic::Consume{.queue = reply_to, .consumer_tag = "d", .no_ack = true});
  client.expect_channel_close(2, ReplyCode::precondition_failed, "reply consumer already set");
  client.open_channel(3);
  client.publish(3, "", "q", "request", false, replying_to(reply_to));
  client.expect_channel_close(3, ReplyCode::precondition_failed, "fast reply consumer does not exist");
  client.open_channel(4);
  client.consume(4, reply_to, "c", true);
  client.send(4, wire::basic::Consume{.queue = reply_to, .consumer_tag = "c", .no_ack = true});
  client.expect_connection_close(ReplyCode::not_allowed, "attempt to reuse consumer tag 'c'");
}

TEST_F(SessionReplyTo, TakesNoAddressThatItDidNotGive) {
  client.consume(1, reply_to, "replies", true);
  std::string address = ask();
  address.back() = address.back() == '0' ? '1' : '0';
  for (const std::string& forged : {address, address.substr(0, 40), std::string("amq.rabbitmq.reply-to."),
                                    std::string("amq.rabbitmq.reply-to.") + std::string(56, 'f'),
                                    std::string("amq.rabbitmq.reply-to.") + std::string(56, 'x')}) {
    server.publish(1, "", forged, "answer", true);
    EXPECT_EQ(server.expect<wire::basic::Return>(1).reply_code, 312) << forged;
    server.expect_content(1);
  }
  client.expect_nothing();
  client.publish(1, "", "q", "request", false, replying_to(address));
  server.send(1, wire::basic::Get{.queue = "q", .no_ack = true});
  server.expect<wire::basic::GetOk>(1);
  const Content content = server.expect_content(1);
  EXPECT_EQ(wire::parse_properties(base::as_bytes(content.properties))->reply_to, address) << "passed on as it is";
}

TEST_F(SessionReplyTo, HasNoBindings) {
  client.send(1, wire::queue::Bind{.queue = reply_to, .exchange = "amq.direct", .routing_key = "k"});
  client.expect_channel_close(1, ReplyCode::access_refused, "operation not permitted");
  EXPECT_EQ(world.control.count_asked<broker::Bind>(), 0u);
}

// There is no queue where they could wait.
TEST_F(SessionReplyTo, AreKeptForWhoDoesNotReadAsLongAsThereIsMemory) {
  client.consume(1, reply_to, "replies", true);
  const std::string address = ask();
  client.stream().reads = false;
  const std::string large(60'000, 'x');
  for (unsigned i = 0; i < 30; i++) {
    server.publish(1, "", address, large);
    world.run(1ms);
  }
  EXPECT_EQ(world.sessions.counters().replies_dropped.value(), 0u) << "there is room for them";
  for (unsigned i = 0; i < 100; i++) {
    server.publish(1, "", address, large);
    world.run(1ms);
  }
  const uint64_t dropped = world.sessions.counters().replies_dropped.value();
  EXPECT_GT(dropped, 10u);
  client.stream().reads = true;
  world.wait(1s);
  server.publish(1, "", address, "afterwards");
  world.run(5ms);
  EXPECT_EQ(world.sessions.counters().replies_dropped.value(), dropped);
  EXPECT_EQ(world.here.pool.messages(), 0u);
}

}  // namespace
}  // namespace talaria::amqp091::session
