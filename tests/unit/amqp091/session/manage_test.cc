// Commands in messages, as the session sees them: what is passed on, what waits for it, and how answers come back.
#include "core/amqp091/session/manage.h"

#include "tests/unit/amqp091/session/client.h"

namespace talaria::amqp091::session {
namespace {

using wire::ReplyCode;

struct SessionManage : testing::Test {
  void SetUp() override {
    client.open();
    client.open_channel(1);
    client.declare(1, "q");
    world.control.add_exchange(std::string(broker::management_exchange), broker::ExchangeType::topic);
  }
  static std::vector<uint8_t> replying_to(std::string_view reply_to) {
    wire::Properties properties;
    properties.reply_to = reply_to;
    properties.set(wire::Property::reply_to);
    properties.correlation_id = "c-1";
    properties.set(wire::Property::correlation_id);
    return encoded(properties);
  }
  void give(std::string_view command, std::string_view arguments, std::string_view reply_to = "q") {
    client.publish(1, broker::management_exchange, command, arguments, true, replying_to(reply_to));
  }
  broker::Manage passed_on() {
    world.settle();
    for (auto request = world.control.asked.rbegin(); request != world.control.asked.rend(); request++)
      if (const auto* command = std::get_if<broker::Manage>(&request->body)) return *command;
    ADD_FAILURE() << "no command was passed on";
    return {};
  }

  World world{WorldOptions{}};
  Client client{world};
};

TEST_F(SessionManage, PassesCommandsOnAndConfirmsWhenTheyAreDone) {
  client.send(1, wire::confirm::Select{});
  client.expect<wire::confirm::SelectOk>(1);
  client.publish(1, "", "q", "before");
  EXPECT_EQ(client.expect<wire::basic::Ack>(1).delivery_tag, 1u);
  give("status", "");  // from here on it is known that the user may
  EXPECT_EQ(client.expect<wire::basic::Ack>(1).delivery_tag, 2u);
  world.control_silent = true;
  give("list_queues", "{\"columns\":[]}");
  client.publish(1, "", "q", "behind");
  client.expect_nothing();
  EXPECT_EQ(world.control.counters("q").ready.value(), 1u) << "what is behind the command waits for it";
  world.control_silent = false;
  const broker::Manage command = passed_on();
  EXPECT_EQ(command.command, "list_queues");
  EXPECT_EQ(command.arguments, "{\"columns\":[]}");
  EXPECT_EQ(command.reply_to, "q");
  EXPECT_EQ(command.correlation_id, "c-1");
  EXPECT_FALSE(command.reply_is_direct);
  for (uint64_t confirmed = 2; confirmed < 4;) confirmed = client.expect<wire::basic::Ack>(1).delivery_tag;
  EXPECT_EQ(world.control.counters("q").ready.value(), 2u);
}

TEST_F(SessionManage, WithoutAnAddressForTheAnswerTheyAreRefused) {
  client.publish(1, broker::management_exchange, "status", "");
  client.expect_channel_close(1, ReplyCode::precondition_failed, "a command needs the property reply-to");
  EXPECT_EQ(world.control.count_asked<broker::Manage>(), 0u);
}

TEST_F(SessionManage, HaveABoundedLength) {
  give("import_definitions", std::string(broker::Manage::arguments_max, 'x'));
  EXPECT_EQ(passed_on().arguments.size(), broker::Manage::arguments_max);
  give("import_definitions", std::string(broker::Manage::arguments_max + 1, 'x'));
  client.expect_channel_close(1, ReplyCode::precondition_failed, "a command is longer than 1048576 octets");
}

TEST_F(SessionManage, RefusedByTheControlPlaneAreTheClientsError) {
  give("refused", "");
  client.expect_connection_close(ReplyCode::not_implemented, "no");
}

TEST_F(SessionManage, AChannelThatEndsMeanwhileHearsNothing) {
  world.control_silent = true;
  give("status", "");
  world.settle();
  client.abort_transport();
  world.settle();
  world.control_silent = false;
  world.settle();
}

TEST_F(SessionManage, AnswersGoToAQueueOrStraightToWhoAsked) {
  client.send(1, wire::basic::Consume{.queue = "amq.rabbitmq.reply-to", .consumer_tag = "r", .no_ack = true});
  client.expect<wire::basic::ConsumeOk>(1);
  give("status", "", "amq.rabbitmq.reply-to");
  const broker::Manage command = passed_on();
  EXPECT_TRUE(command.reply_is_direct);
  wire::Properties properties;
  properties.correlation_id = "c-1";
  properties.set(wire::Property::correlation_id);
  broker::Announcement answer{broker::VhostId{0, 1}, "", command.reply_to, encoded(properties), "{}", false};
  world.sessions.announce(answer, world.now);
  const auto delivered = client.expect<wire::basic::Deliver>(1);
  EXPECT_EQ(delivered.consumer_tag, "r");
  EXPECT_EQ(client.expect_content(1).body, "{}");
  answer.routing_key = "q";
  world.sessions.announce(answer, world.now);
  world.settle();
  EXPECT_EQ(world.control.counters("q").ready.value(), 1u);
  answer.routing_key = "nobody";
  world.sessions.announce(answer, world.now);
  client.send(1, wire::basic::Cancel{.consumer_tag = "r"});
  client.expect<wire::basic::CancelOk>(1);
  answer.routing_key = command.reply_to;
  world.sessions.announce(answer, world.now);
  client.expect_nothing();
  EXPECT_EQ(world.sessions.counters().announcements_published.value(), 2u);
  EXPECT_EQ(world.sessions.counters().announcements_lost.value(), 0u);
}

TEST_F(SessionManage, AreNoPartOfATransaction) {
  client.send(1, wire::tx::Select{});
  client.expect<wire::tx::SelectOk>(1);
  give("status", "");
  client.expect_channel_close(1, ReplyCode::precondition_failed, "a command cannot be part of a transaction");
}

}  // namespace
}  // namespace talaria::amqp091::session
