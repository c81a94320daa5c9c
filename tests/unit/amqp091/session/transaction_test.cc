// tx.select, commit, rollback: all of it or nothing, on all queues.
#include "tests/unit/amqp091/session/client.h"

namespace talaria::amqp091::session {
namespace {

using wire::ReplyCode;

struct SessionTransaction : testing::Test {
  explicit SessionTransaction(WorldOptions options = {}) : world(options) {}
  void SetUp() override {
    client.open();
    client.open_channel(1);
    // Full with two messages.
    for (const char* name : {"small", "far small"}) {
      broker::QueueSettings settings;
      settings.max_length = 2;
      settings.overflow = broker::Overflow::reject_publish;
      world.control.settings[name] = settings;
    }
    for (const char* name : {"q", "far", "small", "far small"}) client.declare(1, name);
    select(1);
  }
  void select(uint16_t channel) {
    client.send(channel, wire::tx::Select{});
    client.expect<wire::tx::SelectOk>(channel);
  }
  void commit() {
    client.send(1, wire::tx::Commit{});
    client.expect<wire::tx::CommitOk>(1);
  }
  void roll_back() {
    client.send(1, wire::tx::Rollback{});
    client.expect<wire::tx::RollbackOk>(1);
  }
  uint64_t ready(const std::string& queue) { return world.control.counters(queue).ready.value(); }
  uint64_t unacknowledged(const std::string& queue) { return world.control.counters(queue).unacknowledged.value(); }
  const SessionCounters& counters() { return world.sessions.counters(); }

  World world;
  Client client{world};
};

TEST_F(SessionTransaction, PublishesAreSeenAfterTheCommitAndInOrder) {
  for (const char* body : {"1", "2", "3"}) {
    client.publish(1, "", "q", body);
    client.publish(1, "", "far", body);
  }
  client.expect_nothing();
  EXPECT_EQ(ready("q") + ready("far"), 0u);
  commit();
  EXPECT_EQ(ready("q"), 3u);
  EXPECT_EQ(ready("far"), 3u);  // commit-ok says that it is there, too
  client.open_channel(2);
  client.consume(2, "far", "c");
  for (uint64_t i = 1; i <= 3; i++) EXPECT_EQ(client.expect_delivery(2, "c", i), std::to_string(i));
  // The next transaction has begun.
  client.publish(1, "", "q", "4");
  client.expect_nothing();
  EXPECT_EQ(ready("q"), 3u);
  commit();
  EXPECT_EQ(ready("q"), 4u);
  EXPECT_EQ(counters().transactions_committed.value(), 2u);
}

TEST_F(SessionTransaction, AnEmptyOneIsCommitted) {
  commit();
  roll_back();
  commit();
}

TEST_F(SessionTransaction, RollbackForgetsPublishes) {
  for (int i = 0; i < 10; i++) client.publish(1, "", i % 2 ? "q" : "far", "x");
  roll_back();
  commit();
  EXPECT_EQ(ready("q") + ready("far"), 0u);
  EXPECT_EQ(world.here.pool.messages(), 0u);
  EXPECT_EQ(counters().transactions_rolled_back.value(), 1u);
}

TEST_F(SessionTransaction, SettlementsHappenAtTheCommit) {
  client.open_channel(2);
  for (int i = 1; i <= 5; i++) client.publish(2, "", i < 3 ? "q" : "far", std::to_string(i));
  client.consume(1, "q", "near");
  for (uint64_t i = 1; i <= 2; i++) client.expect_delivery(1, "near", i);
  client.consume(1, "far", "far");
  for (uint64_t i = 3; i <= 5; i++) client.expect_delivery(1, "far", i);
  client.send(1, wire::basic::Ack{.delivery_tag = 2, .multiple = true});
  client.send(1, wire::basic::Reject{.delivery_tag = 3});
  client.send(1, wire::basic::Nack{.delivery_tag = 4, .requeue = true});
  client.expect_nothing();
  EXPECT_EQ(unacknowledged("q") + unacknowledged("far"), 5u);
  client.send(1, wire::tx::Commit{});
  // What comes back in it is delivered again; it may be quicker than commit-ok, which waits for the queues.
  bool committed = false, again = false;
  for (int i = 0; i < 2; i++) {
    auto frame = client.next();
    ASSERT_TRUE(frame.has_value());
    committed |= frame->method() == wire::tx::CommitOk::id;
    again |= frame->method() == wire::basic::Deliver::id;
    if (frame->method() == wire::basic::Deliver::id) client.expect_content(1);
  }
  EXPECT_TRUE(committed && again);
  EXPECT_EQ(unacknowledged("q"), 0u);
  EXPECT_EQ(unacknowledged("far"), 2u);
}

TEST_F(SessionTransaction, RollbackUnsettlesWithoutDeliveringAgain) {
  client.open_channel(2);
  for (int i = 1; i <= 4; i++) client.publish(2, "", "q", std::to_string(i));
  client.consume(1, "q", "c");
  for (uint64_t i = 1; i <= 4; i++) client.expect_delivery(1, "c", i);
  client.send(1, wire::basic::Ack{.delivery_tag = 3});
  client.send(1, wire::basic::Ack{.delivery_tag = 1});
  client.send(1, wire::basic::Nack{.delivery_tag = 4, .requeue = true});
  roll_back();
  client.expect_nothing();
  EXPECT_EQ(unacknowledged("q"), 4u);
  // All four can be settled now, oldest first.
  client.send(1, wire::basic::Ack{.delivery_tag = 2, .multiple = true});
  client.send(1, wire::basic::Ack{.delivery_tag = 4});
  commit();
  EXPECT_EQ(unacknowledged("q"), 1u);
  client.send(1, wire::basic::Ack{.delivery_tag = 3});
  commit();
  EXPECT_EQ(unacknowledged("q"), 0u);
}

TEST_F(SessionTransaction, ATagIsSettledOnceInATransaction) {
  client.open_channel(2);
  client.publish(2, "", "q", "x");
  client.consume(1, "q", "c");
  client.expect_delivery(1, "c", 1);
  client.send(1, wire::basic::Ack{.delivery_tag = 1});
  client.send(1, wire::basic::Ack{.delivery_tag = 1});
  client.expect_channel_close(1, ReplyCode::precondition_failed, "unknown delivery tag 1");
  world.settle();
  // The channel's end has rolled it back.
  EXPECT_EQ(ready("q"), 1u);
  EXPECT_EQ(unacknowledged("q"), 0u);
}

TEST_F(SessionTransaction, RecoverIsNoPartOfIt) {
  client.open_channel(2);
  client.publish(2, "", "q", "1");
  client.publish(2, "", "q", "2");
  client.consume(1, "q", "c");
  client.expect_delivery(1, "c", 1);
  client.expect_delivery(1, "c", 2);
  client.send(1, wire::basic::Ack{.delivery_tag = 1});
  client.send(1, wire::basic::Recover{.requeue = true});
  client.expect<wire::basic::RecoverOk>(1);
  EXPECT_EQ(client.expect_delivery(1, "c", 3, true), "2");
  commit();
  EXPECT_EQ(unacknowledged("q"), 1u);
}

TEST_F(SessionTransaction, MandatoryMessagesAreReturnedBeforeCommitOk) {
  client.publish(1, "", "nowhere", "x", true);
  client.publish(1, "", "nowhere", "y", false);
  client.publish(1, "", "q", "z", true);
  client.expect_nothing();
  client.send(1, wire::tx::Commit{});
  EXPECT_EQ(client.expect<wire::basic::Return>(1).reply_code, 312);
  EXPECT_EQ(client.expect_content(1).body, "x");
  client.expect<wire::tx::CommitOk>(1);
  EXPECT_EQ(ready("q"), 1u);
}

TEST_F(SessionTransaction, IsRoutedWhenItIsPublished) {
  client.publish(1, "amq.fanout", "", "early");
  client.send(1, wire::queue::Bind{.queue = "q", .exchange = "amq.fanout"});
  client.expect<wire::queue::BindOk>(1);
  client.publish(1, "amq.fanout", "", "late");
  client.publish(1, "", "far", "x");
  client.send(1, wire::queue::Delete{.queue = "far"});
  client.expect<wire::queue::DeleteOk>(1);
  commit();
  EXPECT_EQ(ready("q"), 1u);
}

// ---- all or nothing -------------------------------------------------------------------------------------------------

TEST_F(SessionTransaction, NothingHappensWhenOneQueueIsFull) {
  for (const char* full : {"small", "far small"}) {
    client.open_channel(2);
    client.publish(2, "", full, "there");
    client.publish(2, "", "q", "to acknowledge");
    client.consume(2, "q", "c", true);
    client.expect_delivery(2, "c", 1);
    client.publish(1, "", "q", "1");
    client.publish(1, "", "far", "1");
    client.publish(1, "", "small", "1");
    client.publish(1, "", "far small", "1");
    client.publish(1, "", full, "2");
    client.send(1, wire::tx::Commit{});
    client.expect_channel_close(1, ReplyCode::precondition_failed,
                                "transaction refused: queue '" + std::string(full) + "' in vhost '/' is full");
    client.expect_nothing();
    EXPECT_EQ(ready("q") + ready("far"), 0u);
    EXPECT_EQ(ready(full), 1u);
    // No place is kept any more.
    client.send(2, wire::confirm::Select{});
    client.expect<wire::confirm::SelectOk>(2);
    client.publish(2, "", full, "fits");
    EXPECT_EQ(client.expect<wire::basic::Ack>(2).delivery_tag, 1u);
    client.publish(2, "", full, "does not");
    EXPECT_EQ(client.expect<wire::basic::Nack>(2).delivery_tag, 2u);
    client.send(2, wire::queue::Purge{.queue = full});
    client.expect<wire::queue::PurgeOk>(2);
    client.send(2, wire::channel::Close{});
    client.expect<wire::channel::CloseOk>(2);
    client.open_channel(1);
    select(1);
  }
  EXPECT_EQ(counters().transactions_refused.value(), 2u);
}

TEST_F(SessionTransaction, FitsExactly) {
  for (int i = 0; i < 2; i++)
    for (const char* queue : {"small", "far small"}) client.publish(1, "", queue, "x");
  commit();
  EXPECT_EQ(ready("small") + ready("far small"), 4u);
  client.publish(1, "", "far small", "x");
  client.send(1, wire::tx::Commit{});
  client.expect_channel_close(1, ReplyCode::precondition_failed, "'far small' in vhost '/' is full");
}

TEST_F(SessionTransaction, KeptPlacesAreNobodyElses) {
  Client other{world};
  other.open();
  other.open_channel(1);
  other.send(1, wire::confirm::Select{});
  other.expect<wire::confirm::SelectOk>(1);
  client.publish(1, "", "small", "1");
  client.publish(1, "", "small", "2");
  client.publish(1, "", "far small", "1");
  world.there_is_held = true;
  client.send(1, wire::tx::Commit{});
  client.expect_nothing();  // the other worker has not answered
  EXPECT_EQ(ready("small"), 0u);
  other.publish(1, "", "small", "in between");
  EXPECT_EQ(other.expect<wire::basic::Nack>(1).delivery_tag, 1u);
  world.there_is_held = false;
  client.expect<wire::tx::CommitOk>(1);
  EXPECT_EQ(ready("small"), 2u);
  EXPECT_EQ(ready("far small"), 1u);
}

TEST_F(SessionTransaction, AConnectionThatDiesBeforeTheCommitLeavesNothing) {
  client.open_channel(2);
  client.publish(2, "", "q", "unsettled");
  client.consume(1, "q", "c");
  client.expect_delivery(1, "c", 1);
  client.send(1, wire::basic::Ack{.delivery_tag = 1});
  client.publish(1, "", "far", "x");
  world.settle();
  client.abort_transport();
  world.run(20ms);
  EXPECT_EQ(ready("far"), 0u);
  EXPECT_EQ(ready("q"), 1u);
  EXPECT_EQ(counters().transactions_rolled_back.value(), 1u);
}

TEST_F(SessionTransaction, AConnectionThatDiesWhileQueuesAreAskedLeavesNothing) {
  client.publish(1, "", "small", "1");
  client.publish(1, "", "far small", "1");
  world.there_is_held = true;
  client.send(1, wire::tx::Commit{});
  world.settle();
  client.abort_transport();
  world.run(5ms);
  world.there_is_held = false;
  world.run(20ms);
  EXPECT_EQ(ready("small") + ready("far small"), 0u);
  Client next{world};
  next.open();
  next.open_channel(1);
  next.send(1, wire::confirm::Select{});
  next.expect<wire::confirm::SelectOk>(1);
  for (uint64_t i = 1; i <= 2; i++) {
    next.publish(1, "", "far small", "fits");
    EXPECT_EQ(next.expect<wire::basic::Ack>(1).delivery_tag, i);
  }
}

struct SessionLongTransaction : SessionTransaction {
  static WorldOptions options() {
    WorldOptions options;
    options.session.transaction_steps_per_turn = 3;
    options.session.transaction_messages = 100;
    options.session.transaction_settlements = 20;
    return options;
  }
  SessionLongTransaction() : SessionTransaction(options()) {}
};

TEST_F(SessionLongTransaction, IsDoneInStepsAndAnsweredAtTheEnd) {
  for (int i = 0; i < 100; i++) client.publish(1, "", i % 2 ? "q" : "far", std::to_string(i));
  commit();
  EXPECT_EQ(ready("q") + ready("far"), 100u);
  for (int i = 0; i < 100; i++) client.publish(1, "", "q", "x");
  roll_back();
  EXPECT_EQ(ready("q"), 50u);
}

TEST_F(SessionLongTransaction, WhatIsDecidedIsDoneThoughTheClientHasGone) {
  client.open_channel(2);
  for (uint64_t i = 1; i <= 10; i++) client.publish(2, "", "small", "x");
  client.consume(1, "small", "c");
  for (uint64_t i = 1; i <= 2; i++) client.expect_delivery(1, "c", i);
  for (int i = 0; i < 90; i++) client.publish(1, "", i % 2 ? "q" : "far", "x");
  client.send(1, wire::basic::Ack{.delivery_tag = 2, .multiple = true});
  world.settle();
  client.send(1, wire::tx::Commit{});
  while (ready("q") == 0) world.turn();
  EXPECT_LT(ready("q"), 45u);
  client.abort_transport();
  world.run(20ms);
  EXPECT_EQ(ready("q"), 45u);
  EXPECT_EQ(ready("far"), 45u);
  EXPECT_EQ(ready("small") + unacknowledged("small"), 0u);
  EXPECT_EQ(counters().transactions_committed.value(), 1u);
}

TEST_F(SessionLongTransaction, TooManyMessages) {
  for (int i = 0; i < 101; i++) client.publish(1, "", "q", "x");
  client.expect_channel_close(1, ReplyCode::precondition_failed,
                              "transaction on channel 1 is too large: more than 100 messages");
  world.settle();
  EXPECT_EQ(ready("q"), 0u);
  EXPECT_EQ(world.here.pool.messages(), 0u);
  EXPECT_EQ(counters().transactions_too_large.value(), 1u);
}

TEST_F(SessionLongTransaction, TooManySettlements) {
  client.open_channel(2);
  for (int i = 1; i <= 21; i++) client.publish(2, "", "q", "x");
  client.consume(1, "q", "c");
  for (uint64_t i = 1; i <= 21; i++) client.expect_delivery(1, "c", i);
  client.send(1, wire::basic::Ack{.delivery_tag = 0, .multiple = true});
  client.expect_channel_close(1, ReplyCode::precondition_failed, "more than 20 settlements");
  world.settle();
  EXPECT_EQ(ready("q"), 21u);
}

TEST_F(SessionTransaction, KeepsAnEighthOfTheMemory) {
  const std::string body(100'000, 'x');
  for (int i = 0; i < 10; i++) client.publish(1, "", "q", body);
  commit();
  for (int i = 0; i < 11; i++) client.publish(1, "", "q", body);
  client.expect_channel_close(1, ReplyCode::precondition_failed, "all transactions of worker 0 keep more than");
}

// ---- modes ----------------------------------------------------------------------------------------------------------

TEST_F(SessionTransaction, IsNotForChannelsWithConfirms) {
  client.send(1, wire::confirm::Select{});
  client.expect_channel_close(1, ReplyCode::precondition_failed, "cannot switch from tx to confirm mode");
  client.open_channel(2);
  client.send(2, wire::confirm::Select{});
  client.expect<wire::confirm::SelectOk>(2);
  client.send(2, wire::tx::Select{});
  client.expect_channel_close(2, ReplyCode::precondition_failed, "cannot switch from confirm to tx mode");
}

TEST_F(SessionTransaction, MustBeSelectedFirst) {
  select(1);  // again is no matter
  client.open_channel(2);
  client.send(2, wire::tx::Commit{});
  client.expect_channel_close(2, ReplyCode::precondition_failed, "PRECONDITION_FAILED - channel is not transactional");
  client.open_channel(2);
  client.send(2, wire::tx::Rollback{});
  client.expect_channel_close(2, ReplyCode::precondition_failed, "channel is not transactional");
}

TEST_F(SessionTransaction, RepliesGoAtTheCommit) {
  Client asker{world};
  asker.open();
  asker.open_channel(1);
  asker.consume(1, "amq.rabbitmq.reply-to", "replies", true);
  wire::Properties properties;
  properties.reply_to = "amq.rabbitmq.reply-to";
  properties.set(wire::Property::reply_to);
  asker.publish(1, "", "q", "question", false, encoded(properties));
  client.consume(1, "q", "c", true);
  client.expect<wire::basic::Deliver>(1);
  const Content question = client.expect_content(1);
  const auto asked = wire::parse_properties(base::as_bytes(question.properties));
  client.publish(1, "", asked->reply_to, "answer");
  asker.expect_nothing();
  commit();
  EXPECT_EQ(asker.expect_delivery(1, "replies", 1), "answer");
}

}  // namespace
}  // namespace talaria::amqp091::session
