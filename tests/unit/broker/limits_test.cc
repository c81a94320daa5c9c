// Queues that are full, and what dies in a queue.
#include <gtest/gtest.h>

#include "tests/unit/broker/one_queue.h"

namespace talaria::broker {
namespace {

using LengthLimit = OneQueueTest;
using Death = OneQueueTest;

TEST_F(LengthLimit, TheOldestReadyMessagesGo) {
  declare({.max_length = 2, .dead_lettering = DeadLettering{"dlx"}});
  for (const char* body : {"a", "b", "c", "d"}) EXPECT_TRUE(publish(body)) << "dropping is no refusal";
  EXPECT_EQ(counters->ready.value(), 2u);
  EXPECT_EQ(take_dead(), (Bodies{"a", "b"}));
  EXPECT_EQ(reasons[0], DeathReason::over_limit);
  EXPECT_EQ(rest(), (Bodies{"c", "d"}));
  EXPECT_EQ(worker.engine->counters().dropped_over_limit.value(), 2u);
}

TEST_F(LengthLimit, OfBytesCountsBodiesOnlyAndTheFirstLimitCounts) {
  declare({.max_length = 4, .max_length_bytes = 10});
  publish("aaaa");
  publish("bbbb");
  EXPECT_EQ(counters->ready.value(), 2u);
  publish("cc");
  EXPECT_EQ(counters->ready.value(), 3u);
  publish("dddddddd");
  EXPECT_EQ(counters->bytes_ready.value(), 10u);
  EXPECT_EQ(rest(), (Bodies{"cc", "dddddddd"}));
  publish("larger than all");
  EXPECT_EQ(rest(), (Bodies{}));
}

TEST_F(LengthLimit, WhoeverCanTakeAMessageGetsItFirst) {
  declare({.max_length = 1});
  subscribe(1, 3);
  for (const char* body : {"a", "b", "c", "d", "e"}) publish(body);
  dispatch();
  EXPECT_EQ(bodies, (Bodies{"a", "b", "c"}));
  EXPECT_EQ(rest(), (Bodies{"e"})) << "unacknowledged ones are not counted";
  EXPECT_EQ(worker.engine->counters().delivered.value(), 3u);
}

TEST_F(LengthLimit, OfNothingIsForDirectHandOff) {
  declare({.max_length = 0});
  publish("a");
  EXPECT_EQ(counters->ready.value(), 0u);
  subscribe(1);
  publish("b");
  dispatch();
  EXPECT_EQ(bodies, (Bodies{"b"}));
}

TEST_F(LengthLimit, AMessageThatComesBackMayBeTheOneToGo) {
  declare({.max_length = 1});
  subscribe(1, 1);
  publish("a");
  const auto held = dispatch();
  publish("b");
  worker.engine->pause({id, consumer(1), true});
  worker.engine->settle({id, held[0].entry, Outcome::requeued});
  EXPECT_EQ(rest(), (Bodies{"b"}));
}

TEST_F(LengthLimit, RejectsPublishes) {
  declare({.max_length = 2, .overflow = Overflow::reject_publish, .dead_lettering = DeadLettering{"dlx"}});
  EXPECT_TRUE(publish("a"));
  EXPECT_TRUE(publish("b"));
  EXPECT_FALSE(publish("c"));
  EXPECT_EQ(take_dead(), (Bodies{}));
  EXPECT_EQ(worker.engine->counters().refused_over_limit.value(), 1u);
  worker.engine->get({id, channel(), true});
  worker.pool.release(worker.take_event<Got>()->message);
  EXPECT_TRUE(publish("d"));
  EXPECT_EQ(rest(), (Bodies{"b", "d"}));
}

TEST_F(LengthLimit, RejectsPublishesAndDeadLettersThem) {
  declare({.max_length_bytes = 3, .overflow = Overflow::reject_publish_dlx, .dead_lettering = DeadLettering{"dlx"}});
  EXPECT_TRUE(publish("aa"));
  EXPECT_FALSE(publish("bb"));
  EXPECT_EQ(take_dead(), (Bodies{"bb"}));
  EXPECT_EQ(reasons[0], DeathReason::over_limit);
}

TEST_F(LengthLimit, DropsABoundedNumberAtOnce) {
  declare({.max_length_bytes = 4000});
  for (int i = 0; i < 4000; i++) publish("x");
  publish(std::string(4000, 'y'));
  EXPECT_EQ(counters->ready.value(), 4001u - 1024u);
  publish("z");
  publish("z");
  publish("z");
  EXPECT_LE(counters->bytes_ready.value(), 4000u);
}

TEST_F(LengthLimit, ThatIsNewIsKeptOverSeveralTurns) {
  declare();
  for (int i = 0; i < 3000; i++) publish("x");
  worker.apply(topology.change_queue("q", QueueSettings{.max_length = 5}));
  EXPECT_EQ(counters->ready.value(), 3000u - 1024u);
  for (uint64_t ready : {3000u - 2 * 1024u, 5u, 5u}) {
    worker.engine->on_time(now += std::chrono::milliseconds(2));
    EXPECT_EQ(counters->ready.value(), ready);
    worker.engine->check_invariants();
  }
  EXPECT_EQ(worker.engine->next_deadline(), base::never);
  worker.apply(topology.change_queue("q", QueueSettings{.max_length = 5, .overflow = Overflow::reject_publish}));
  EXPECT_FALSE(publish("refused"));
  worker.apply(topology.change_queue("q", std::nullopt));
  EXPECT_TRUE(publish("taken"));
  EXPECT_EQ(counters->ready.value(), 6u);
}

TEST_F(Death, IsWhatTheQueuesSettingsOfThatMomentSay) {
  declare();
  subscribe(1);
  publish("a");
  publish("b");
  publish("c");
  const auto held = dispatch();
  const auto reject = [&](size_t which) { worker.engine->settle({id, held[which].entry, Outcome::rejected}); };
  reject(0);
  worker.apply(topology.change_queue("q", QueueSettings{.dead_lettering = DeadLettering{"dlx"}}));
  reject(1);
  EXPECT_EQ(take_dead(), (Bodies{"b"}));
  worker.apply(topology.change_queue("q", std::nullopt));
  reject(2);
  EXPECT_EQ(take_dead(), (Bodies{}));
}

// ---- the dead -------------------------------------------------------------------------------------------------------

TEST_F(Death, ByRejectionAndNotByAcknowledgement) {
  declare({.dead_lettering = DeadLettering{"dlx"}});
  subscribe(1);
  for (const char* body : {"a", "b", "c"}) publish(body);
  const auto held = dispatch();
  worker.engine->settle({id, held[0].entry, Outcome::acknowledged});
  worker.engine->settle({id, held[1].entry, Outcome::rejected});
  worker.engine->settle({id, held[2].entry, Outcome::rejected});
  EXPECT_EQ(take_dead(), (Bodies{"b", "c"}));
  EXPECT_EQ(reasons[0], DeathReason::rejected);
  EXPECT_EQ(counters->unacknowledged.value(), 0u);
}

TEST_F(Death, ByTime) {
  declare({.message_ttl_ms = 5, .dead_lettering = DeadLettering{"dlx"}});
  publish("a");
  worker.engine->on_time(base::Time(std::chrono::milliseconds(5)));
  EXPECT_EQ(take_dead(), (Bodies{"a"}));
  EXPECT_EQ(reasons[0], DeathReason::expired);
}

TEST_F(Death, NotByPurgeOrDeletion) {
  declare({.dead_lettering = DeadLettering{"dlx"}});
  publish("a");
  worker.engine->purge({id, channel()});
  worker.take_event<Purged>();
  publish("b");
  worker.apply(topology.remove_queue("q"));
  dispatch();
  EXPECT_EQ(take_dead(), (Bodies{}));
}

TEST_F(Death, ByComingBackTooOften) {
  declare({.dead_lettering = DeadLettering{"dlx"}, .delivery_limit = 2});
  subscribe(1);
  publish("a");
  for (uint8_t returns = 0; returns < 3; returns++) {
    const auto held = dispatch();
    ASSERT_EQ(held.size(), 1u);
    EXPECT_EQ(held[0].returns, returns);
    EXPECT_EQ(held[0].redelivered, returns != 0);
    worker.engine->settle({id, held[0].entry, Outcome::requeued});
  }
  EXPECT_EQ(counters->ready.value(), 0u);
  EXPECT_EQ(take_dead(), (Bodies{"a"}));
  EXPECT_EQ(reasons[0], DeathReason::over_deliveries);
  EXPECT_EQ(worker.engine->counters().over_deliveries.value(), 1u);
}

TEST_F(Death, OfAQueueWithoutAnywhereToGoIsTheEnd) {
  declare({.max_length = 1, .delivery_limit = 0});
  subscribe(1);
  publish("a");
  worker.engine->settle({id, dispatch()[0].entry, Outcome::requeued});
  EXPECT_EQ(take_dead(), (Bodies{}));
  EXPECT_EQ(worker.pool.messages(), 0u);
}

}  // namespace
}  // namespace talaria::broker
