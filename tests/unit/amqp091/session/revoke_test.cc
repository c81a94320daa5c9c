// Consumers whose user may not read their queue any more.
#include "tests/unit/amqp091/session/client.h"

namespace talaria::amqp091::session {
namespace {

using wire::ReplyCode;

struct SessionRevoke : testing::Test {
  void begin(const char* queue, bool auto_delete = false, const base::FieldTable& properties = Client::capabilities()) {
    client.open(131072, 0, properties);
    client.open_channel(1);
    client.declare(1, queue, false, auto_delete);
    client.consume(1, queue, "c");
  }
  // The control plane's word about a consumer of that tag.
  void revoke(std::string_view tag) {
    for (auto asked = world.control.asked.rbegin(); asked != world.control.asked.rend(); asked++) {
      const auto* added = std::get_if<broker::ConsumerAdded>(&asked->body);
      if (added == nullptr || added->tag != tag) continue;
      world.sessions.revoke_consumer(asked->from.session, {added->channel, added->queue, added->tag, "not yours"},
                                     world.now);
      return;
    }
    ADD_FAILURE() << "there never was a consumer " << tag;
  }
  size_t removed() { return world.control.count_asked<broker::ConsumerRemoved>(); }

  World world;
  Client client{world};
};

TEST_F(SessionRevoke, IsCancelledAndKeepsWhatItHolds) {
  begin("q");
  client.publish(1, "", "q", "one");
  EXPECT_EQ(client.expect_delivery(1, "c", 1), "one");
  revoke("c");
  revoke("c");
  EXPECT_EQ(client.expect<wire::basic::Cancel>(1).consumer_tag, "c");
  EXPECT_EQ(removed(), 1u);
  client.publish(1, "", "q", "two");
  client.expect_nothing();
  EXPECT_EQ(world.control.counters("q").unacknowledged.value(), 1u);
  client.send(1, wire::basic::Ack{.delivery_tag = 1});
  client.expect_nothing();
  EXPECT_EQ(world.control.counters("q").unacknowledged.value(), 0u);
  EXPECT_EQ(world.control.counters("q").ready.value(), 1u);
  client.consume(1, "q", "c");
  EXPECT_EQ(client.expect_delivery(1, "c", 2), "two") << "the tag is free";
}

TEST_F(SessionRevoke, OfAQueueElsewhereItHearsSoBehindTheLastDelivery) {
  begin("far");
  client.publish(1, "", "far", "x");
  world.run(1ms);
  revoke("c");
  client.expect_delivery(1, "c", 1);
  EXPECT_EQ(client.expect<wire::basic::Cancel>(1).consumer_tag, "c");
  client.expect_nothing();
}

TEST_F(SessionRevoke, WhoCancelsMeanwhileHearsCancelOkAlone) {
  begin("far");
  client.consume(1, "far", "other");
  world.there_is_held = true;
  revoke("c");
  revoke("other");
  client.send(1, wire::basic::Cancel{.consumer_tag = "other"});
  client.send(1, wire::basic::Qos{.prefetch_count = 1});
  client.expect_nothing();
  world.there_is_held = false;
  EXPECT_EQ(client.expect<wire::basic::Cancel>(1).consumer_tag, "c") << "not taken for the answer to the other's";
  EXPECT_EQ(client.expect<wire::basic::CancelOk>(1).consumer_tag, "other");
  client.expect<wire::basic::QosOk>(1);
  client.expect_nothing();
  EXPECT_EQ(removed(), 2u);
}

TEST_F(SessionRevoke, WhoIsNotSubscribedYetHearsThatFirst) {
  begin("far");
  world.there_is_held = true;
  client.send(1, wire::basic::Consume{.queue = "far", .consumer_tag = "late"});
  client.expect_nothing();
  revoke("late");
  world.there_is_held = false;
  EXPECT_EQ(client.expect<wire::basic::ConsumeOk>(1).consumer_tag, "late");
  EXPECT_EQ(client.expect<wire::basic::Cancel>(1).consumer_tag, "late");
  client.expect_nothing();
}

TEST_F(SessionRevoke, AnotherConsumerOfThatTagIsLeftAlone) {
  begin("q");
  client.send(1, wire::basic::Cancel{.consumer_tag = "c"});
  client.expect<wire::basic::CancelOk>(1);
  revoke("c");
  client.expect_nothing();
  client.declare(1, "r");
  const broker::Request first = *std::find_if(
      world.control.asked.begin(), world.control.asked.end(),
      [](const broker::Request& request) { return std::holds_alternative<broker::ConsumerAdded>(request.body); });
  const auto& of_q = std::get<broker::ConsumerAdded>(first.body);
  client.consume(1, "r", "c");
  world.sessions.revoke_consumer(first.from.session, {1, of_q.queue, "c", ""}, world.now);
  world.sessions.revoke_consumer(first.from.session, {7, of_q.queue, "c", ""}, world.now);
  client.publish(1, "", "r", "x");
  client.expect_delivery(1, "c", 1);
}

TEST_F(SessionRevoke, AnAutoDeleteQueueThatItLeavesUnusedGoes) {
  begin("q", true);
  world.control_silent = true;
  revoke("c");
  EXPECT_EQ(client.expect<wire::basic::Cancel>(1).consumer_tag, "c");
  client.send(1, wire::basic::Qos{.prefetch_count = 1});
  client.expect<wire::basic::QosOk>(1);
  EXPECT_TRUE(world.control.has_queue("q"));
  world.control_silent = false;
  world.settle();
  EXPECT_FALSE(world.control.has_queue("q"));
  client.send(1, wire::channel::Close{});
  client.expect<wire::channel::CloseOk>(1);
}

TEST_F(SessionRevoke, AChannelThatEndsMeanwhileWaitsForItsQueueToGo) {
  begin("q", true);
  world.control_silent = true;
  revoke("c");
  client.expect<wire::basic::Cancel>(1);
  client.send(1, wire::channel::Close{});
  client.expect_nothing();
  world.control_silent = false;
  client.expect<wire::channel::CloseOk>(1);
  EXPECT_FALSE(world.control.has_queue("q"));
}

TEST_F(SessionRevoke, OfAClientThatCannotBeToldCostsTheChannel) {
  begin("q", false, {});
  client.publish(1, "", "q", "x");
  client.expect_delivery(1, "c", 1);
  revoke("c");
  client.expect_channel_close(1, ReplyCode::access_refused, "not yours");
  world.settle();
  EXPECT_EQ(world.control.counters("q").ready.value(), 1u);
  EXPECT_EQ(removed(), 0u) << "the channel took it along";
}

// The answer that its input waited for finds nobody.
TEST_F(SessionRevoke, AChannelThatIsClosedUnasksWhatItAskedAQueue) {
  begin("far", false, {});
  client.open_channel(2);
  client.declare(2, "q", false, true);
  client.consume(2, "q", "d");
  world.there_is_held = true;
  world.control_silent = true;
  // A request to the control plane is under way besides.
  client.send(2, wire::channel::Close{});
  client.send(1, wire::basic::Get{.queue = "far"});
  client.send(3, wire::channel::Open{});
  client.expect_nothing();
  revoke("c");
  client.expect_channel_close(1, ReplyCode::access_refused, "not yours");
  client.expect<wire::channel::OpenOk>(3);
  world.there_is_held = false;
  world.control_silent = false;
  client.expect<wire::channel::CloseOk>(2);
  client.expect_nothing();
}

}  // namespace
}  // namespace talaria::amqp091::session
