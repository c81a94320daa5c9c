#include <gtest/gtest.h>

#include "tests/unit/broker/one_queue.h"

namespace talaria::broker {
namespace {

class QueueTest : public OneQueueTest {
 protected:
  QueueTest() { declare(); }

  void publish(std::string_view body, uint64_t sequence = 0) {
    QueueRecord* target = worker.engine->find_queue(id);
    ASSERT_TRUE(worker.engine->room_for({&target, 1}));
    worker.engine->publish({&target, 1}, worker.message(body), channel(), sequence);
  }
  void publish_numbers(int count) {
    for (int i = 0; i < count; i++) publish(std::to_string(i));
  }
  std::optional<Got> get(bool no_ack = false) {
    worker.engine->get({id, channel(), no_ack});
    return worker.take_event<Got>();
  }
};

TEST_F(QueueTest, DeliversInOrderOfPublishing) {
  publish_numbers(5);
  EXPECT_EQ(counters->ready.value(), 5u);
  EXPECT_EQ(counters->bytes_ready.value(), 5u);
  EXPECT_EQ(subscribe(1), SubscribeResult::subscribed);
  auto deliveries = dispatch();
  EXPECT_EQ(bodies, (Bodies{"0", "1", "2", "3", "4"}));
  EXPECT_EQ(counters->ready.value(), 0u);
  EXPECT_EQ(counters->bytes_ready.value(), 0u);
  EXPECT_EQ(counters->unacknowledged.value(), 5u);
  EXPECT_EQ(counters->delivered.value(), 5u);
  for (const Deliver& delivery : deliveries) settle(delivery, Outcome::acknowledged);
  EXPECT_EQ(counters->unacknowledged.value(), 0u);
  EXPECT_EQ(counters->acknowledged.value(), 5u);
  EXPECT_EQ(worker.pool.messages(), 0u);
}

TEST_F(QueueTest, StoredAnswersWhoeverNumbersItsPublishes) {
  publish("unconfirmed");
  EXPECT_FALSE(worker.take_event<Stored>());
  publish("confirmed", 17);
  auto stored = worker.take_event<Stored>();
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->sequence, 17u);
  EXPECT_EQ(stored->publisher, channel());
  EXPECT_FALSE(stored->refused);
}

TEST_F(QueueTest, APublishToSeveralQueuesSharesTheMessage) {
  worker.apply(topology.add_queue("q2"));
  QueueRecord* targets[] = {worker.engine->find_queue(id), worker.engine->find_queue(topology.queues["q2"])};
  worker.engine->publish(targets, worker.message("both"), channel(), 3);
  EXPECT_EQ(worker.pool.messages(), 1u);
  EXPECT_TRUE(worker.take_event<Stored>());
  EXPECT_TRUE(worker.take_event<Stored>()) << "each target answers";
  EXPECT_FALSE(worker.take_event<Stored>());
  EXPECT_EQ(counters->ready.value(), 1u);
  EXPECT_EQ(topology.counters_of["q2"]->ready.value(), 1u);
}

TEST_F(QueueTest, APublishToNobodyIsDropped) {
  worker.engine->publish({}, worker.message("lost"), channel(), 3);
  EXPECT_EQ(worker.pool.messages(), 0u);
  EXPECT_FALSE(worker.take_event<Stored>());
}

TEST_F(QueueTest, CreditBoundsWhatIsUnacknowledged) {
  publish_numbers(6);
  subscribe(1, 2);
  auto first = dispatch();
  EXPECT_EQ(bodies, (Bodies{"0", "1"}));
  EXPECT_TRUE(dispatch().empty());
  settle(first[1], Outcome::acknowledged);
  auto second = dispatch();
  EXPECT_EQ(bodies, (Bodies{"2"}));
  settle(first[0], Outcome::rejected);
  settle(second[0], Outcome::acknowledged);
  dispatch();
  EXPECT_EQ(bodies, (Bodies{"3", "4"}));
  EXPECT_EQ(counters->ready.value(), 1u);
}

TEST_F(QueueTest, NoAckNeedsNoCreditAndLeavesNothingBehind) {
  publish_numbers(4);
  subscribe(1, 1, 0, true);
  auto deliveries = dispatch();
  ASSERT_EQ(deliveries.size(), 4u);
  EXPECT_FALSE(deliveries[0].entry);
  EXPECT_EQ(counters->unacknowledged.value(), 0u);
  EXPECT_EQ(worker.pool.messages(), 0u);
  EXPECT_EQ(worker.arena.used_bytes(), 0u);
}

TEST_F(QueueTest, RequeuedMessagesReturnToTheirPositionAndAreMarked) {
  publish_numbers(6);
  subscribe(1, 4);
  auto deliveries = dispatch();
  settle(deliveries[3], Outcome::requeued);
  settle(deliveries[0], Outcome::requeued);
  settle(deliveries[2], Outcome::acknowledged);
  dispatch();
  EXPECT_EQ(bodies, (Bodies{"0*", "3*", "4"}));
  EXPECT_EQ(counters->redelivered.value(), 2u);
}

TEST_F(QueueTest, CreditMayChangeAndWhatIsHeldCounts) {
  publish_numbers(10);
  subscribe(1, 2);
  auto deliveries = dispatch();
  EXPECT_EQ(deliveries.size(), 2u);
  worker.engine->credit({id, consumer(1), 3});
  EXPECT_EQ(dispatch().size(), 1u);
  worker.engine->credit({id, consumer(1), 1});
  settle(deliveries[0], Outcome::acknowledged);
  settle(deliveries[1], Outcome::acknowledged);
  EXPECT_EQ(dispatch().size(), 0u) << "it holds one still";
  worker.engine->credit({id, consumer(1), 0});
  EXPECT_EQ(dispatch().size(), 7u);
  const uint64_t late = worker.engine->counters().late_operations.value();
  worker.engine->credit({id, consumer(2), 1});
  EXPECT_EQ(worker.engine->counters().late_operations.value(), late + 1);
}

TEST_F(QueueTest, ALongUnackedTailComesBackInAnyOrder) {
  publish_numbers(3000);
  subscribe(1);
  auto deliveries = dispatch(3000);
  ASSERT_EQ(deliveries.size(), 3000u);
  worker.engine->pause({id, consumer(1), true});
  for (size_t i = 0; i < 3000; i++) settle(deliveries[i * 1709 % 3000], Outcome::requeued);
  worker.engine->check_invariants();
  worker.engine->pause({id, consumer(1), false});
  dispatch(3000);
  ASSERT_EQ(bodies.size(), 3000u);
  for (size_t i = 0; i < 3000; i++) ASSERT_EQ(bodies[i], std::to_string(i) + "*");
}

TEST_F(QueueTest, ConsumersTakeTurns) {
  for (uint32_t number : {1u, 2u, 3u}) subscribe(number);
  publish_numbers(7);
  dispatch();
  EXPECT_EQ(consumers, (Consumers{1, 2, 3, 1, 2, 3, 1}));
  publish_numbers(2);
  dispatch();
  EXPECT_EQ(consumers, (Consumers{2, 3}));
}

TEST_F(QueueTest, HigherPrioritiesFirstWhileTheyHaveCredit) {
  subscribe(1, 0, 0);
  subscribe(2, 2, 10);
  subscribe(3, 1, 10);
  subscribe(4, 1, -5);
  publish_numbers(6);
  auto deliveries = dispatch();
  EXPECT_EQ(consumers, (Consumers{2, 3, 2, 1, 1, 1}));
  settle(deliveries[0], Outcome::acknowledged);
  publish_numbers(2);
  dispatch();
  EXPECT_EQ(consumers, (Consumers{2, 1}));
  unsubscribe(1);
  publish_numbers(1);
  dispatch();
  EXPECT_EQ(consumers, (Consumers{4}));
}

TEST_F(QueueTest, APausedConsumerGetsNothing) {
  publish_numbers(2);
  subscribe(1);
  worker.engine->pause({id, consumer(1), true});
  EXPECT_TRUE(dispatch().empty());
  EXPECT_TRUE(worker.engine->idle());
  worker.engine->pause({id, consumer(1), false});
  EXPECT_EQ(dispatch().size(), 2u);
}

TEST_F(QueueTest, ExclusiveConsumersAreAlone) {
  EXPECT_EQ(subscribe(1, 0, 0, false, true), SubscribeResult::subscribed);
  EXPECT_EQ(subscribe(2), SubscribeResult::exclusive_conflict);
  unsubscribe(1);
  EXPECT_EQ(subscribe(2), SubscribeResult::subscribed);
  EXPECT_EQ(subscribe(3, 0, 0, false, true), SubscribeResult::exclusive_conflict);
  EXPECT_EQ(counters->consumers.value(), 1u);
}

TEST_F(QueueTest, WhatACancelledConsumerHoldsStaysUnacknowledged) {
  publish_numbers(3);
  subscribe(1, 2);
  auto deliveries = dispatch();
  unsubscribe(1);
  EXPECT_EQ(counters->unacknowledged.value(), 2u);
  EXPECT_TRUE(dispatch().empty());
  worker.engine->check_invariants();
  // The same name again is another subscription with credit of its own.
  subscribe(1, 2);
  settle(deliveries[0], Outcome::acknowledged);
  settle(deliveries[1], Outcome::requeued);
  dispatch();
  EXPECT_EQ(bodies, (Bodies{"1*", "2"}));
}

TEST_F(QueueTest, CancelOfAnUnknownConsumerIsAnsweredToo) {
  EXPECT_FALSE(unsubscribe(9).unused_auto_delete);
  EXPECT_EQ(worker.engine->counters().late_operations.value(), 1u);
}

TEST_F(QueueTest, LastConsumerOfAnAutoDeleteQueueIsTold) {
  worker.apply(topology.add_queue("temporary", 0, true));
  id = topology.queues["temporary"];
  subscribe(1);
  subscribe(2);
  EXPECT_FALSE(unsubscribe(1).unused_auto_delete);
  EXPECT_FALSE(unsubscribe(1).unused_auto_delete) << "it was not subscribed any more";
  EXPECT_TRUE(unsubscribe(2).unused_auto_delete);
}

TEST_F(QueueTest, GetTakesTheHeadAndCountsTheRest) {
  publish_numbers(3);
  auto got = get();
  ASSERT_TRUE(got && got->message);
  EXPECT_EQ(body_of(got->message), "0");
  EXPECT_EQ(got->remaining, 2u);
  EXPECT_TRUE(got->entry);
  EXPECT_FALSE(got->redelivered);
  worker.pool.release(got->message);
  worker.engine->settle({id, got->entry, Outcome::requeued});
  auto again = get(true);
  EXPECT_EQ(body_of(again->message), "0");
  EXPECT_TRUE(again->redelivered);
  EXPECT_FALSE(again->entry);
  worker.pool.release(again->message);
  EXPECT_EQ(counters->unacknowledged.value(), 0u);
  for (int i = 0; i < 2; i++) worker.pool.release(get(true)->message);
  auto empty = get();
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->message, nullptr);
  EXPECT_EQ(empty->remaining, 0u);
}

TEST_F(QueueTest, CountCountsReadyAndConsumers) {
  publish_numbers(3);
  subscribe(1, 1);
  dispatch();
  worker.engine->count({id, channel()});
  auto counted = worker.take_event<Counted>();
  EXPECT_EQ(counted->ready, 2u);
  EXPECT_EQ(counted->consumers, 1u);
}

TEST_F(QueueTest, PurgeDropsReadyMessagesOnly) {
  publish_numbers(5);
  subscribe(1, 2);
  auto deliveries = dispatch();
  settle(deliveries[0], Outcome::requeued);
  worker.engine->pause({id, consumer(1), true});
  worker.engine->purge({id, channel()});
  EXPECT_EQ(worker.take_event<Purged>()->count, 4u);
  EXPECT_EQ(counters->ready.value(), 0u);
  EXPECT_EQ(counters->bytes_ready.value(), 0u);
  EXPECT_EQ(counters->unacknowledged.value(), 1u);
  worker.engine->check_invariants();
  publish("after");
  settle(deliveries[1], Outcome::requeued);
  worker.engine->pause({id, consumer(1), false});
  dispatch();
  EXPECT_EQ(bodies, (Bodies{"1*", "after"}));
  EXPECT_EQ(worker.pool.messages(), 2u) << "purged messages are gone after a dispatch";
}

TEST_F(QueueTest, DispatchGoesRoundTheActiveQueuesWithinItsBudget) {
  worker.apply(topology.add_queue("q2"));
  QueueId second = topology.queues["q2"];
  subscribe(1);
  worker.engine->subscribe({second, consumer(2), 0, 0, false, false});
  publish_numbers(100);
  QueueRecord* target = worker.engine->find_queue(second);
  for (int i = 0; i < 100; i++) worker.engine->publish({&target, 1}, worker.message("x"), channel(), 0);
  EXPECT_EQ(dispatch(80).size(), 80u);
  Consumers expected;
  expected.insert(expected.end(), 32, 1);
  expected.insert(expected.end(), 32, 2);
  expected.insert(expected.end(), 16, 1);
  EXPECT_EQ(consumers, expected);
  EXPECT_EQ(dispatch(1000).size(), 120u);
  EXPECT_TRUE(worker.engine->idle());
}

TEST_F(QueueTest, DeletingCancelsConsumersAndFreesInSteps) {
  publish_numbers(5000);
  subscribe(1, 10);
  subscribe(2, 10);
  auto deliveries = dispatch();
  unsubscribe(2);
  settle(deliveries[0], Outcome::requeued);
  EXPECT_EQ(worker.engine->prepare_delete(id, false, false).ready, 4981u);
  worker.engine->pause({id, consumer(1), true});
  worker.apply(topology.remove_queue("q"));
  auto cancelled = worker.take_event<Cancelled>();
  ASSERT_TRUE(cancelled);
  EXPECT_EQ(cancelled->consumer, consumer(1));
  EXPECT_FALSE(worker.take_event<Cancelled>());
  EXPECT_EQ(worker.pool.messages(), 5000u);
  worker.engine->check_invariants();
  worker.engine->dispatch({}, 100);
  EXPECT_GT(worker.pool.messages(), 3900u) << "a turn frees a bounded number";
  int turns = 1;
  while (!worker.engine->idle()) {
    worker.engine->check_invariants();
    worker.engine->dispatch({}, 100);
    ASSERT_LT(++turns, 10);
  }
  EXPECT_EQ(worker.pool.messages(), 0u);
  EXPECT_EQ(worker.arena.used_bytes(), 0u);
  EXPECT_EQ(worker.engine->counters().dropped_with_queue.value(), 5000u);
}

TEST_F(QueueTest, OperationsOnAQueueThatIsGoneAreAnswered) {
  publish_numbers(1);
  subscribe(1);
  auto deliveries = dispatch();
  worker.apply(topology.remove_queue("q"));
  worker.outbox.events.clear();
  Engine& engine = *worker.engine;
  engine.perform(Publish{id, worker.message("late"), channel(), 4});
  auto stored = worker.take_event<Stored>();
  ASSERT_TRUE(stored);
  EXPECT_FALSE(stored->refused) << "a publish into a deleted queue is confirmed";
  EXPECT_EQ(engine.counters().stored_nowhere.value(), 1u);
  EXPECT_EQ(subscribe(2), SubscribeResult::no_such_queue);
  EXPECT_FALSE(unsubscribe(1).unused_auto_delete);
  settle(deliveries[0], Outcome::requeued);
  engine.pause({id, consumer(1), true});
  engine.passed({id, consumer(1), 1});
  EXPECT_EQ(get()->message, nullptr);
  engine.count({id, channel()});
  EXPECT_EQ(worker.take_event<Counted>()->ready, 0u);
  engine.purge({id, channel()});
  EXPECT_EQ(worker.take_event<Purged>()->count, 0u);
  EXPECT_EQ(engine.prepare_delete(id, false, false).check, DeleteCheck::no_such_queue);
  EXPECT_EQ(engine.purge_now(id), 0u);
}

TEST_F(QueueTest, PrepareDeleteLooksAtConsumersAndMessages) {
  EXPECT_EQ(worker.engine->prepare_delete(id, true, true).check, DeleteCheck::may_go);
  publish_numbers(2);
  EXPECT_EQ(worker.engine->prepare_delete(id, true, false).check, DeleteCheck::may_go);
  EXPECT_EQ(worker.engine->prepare_delete(id, false, true).check, DeleteCheck::not_empty);
  subscribe(1, 1);
  EXPECT_EQ(worker.engine->prepare_delete(id, true, true).check, DeleteCheck::in_use);
  EXPECT_EQ(worker.engine->prepare_delete(id, false, false).ready, 2u);
}

TEST_F(QueueTest, TopologyEpochRisesWithEveryChange) {
  uint64_t before = worker.engine->topology_epoch();
  worker.apply(PermissionsChanged{});
  EXPECT_GT(worker.engine->topology_epoch(), before);
}

TEST_F(QueueTest, PublishersOfAServedQueueWaitWhenTheWorkerIsLate) {
  QueueRecord* target = worker.engine->find_queue(id);
  const uint32_t served = EngineLimits{}.ready_while_served;
  const auto publish_while_allowed = [&] {
    uint32_t count = 0;
    while (count < 3 * served && worker.engine->room_for({&target, 1})) {
      worker.engine->publish({&target, 1}, worker.message("x"), channel(), 0);
      count++;
    }
    return count;
  };
  EXPECT_EQ(publish_while_allowed(), 3 * served) << "nobody consumes: it grows as it likes";
  subscribe(1, 0, 0, true);
  dispatch(32);
  EXPECT_EQ(publish_while_allowed(), 16u) << "half of what was delivered";
  EXPECT_EQ(worker.engine->room_for({&target, 1}).shortage, Shortage::queue);
  uint32_t rounds = 0;
  for (; counters->ready.value() > served; rounds++) {
    dispatch(32);
    publish_while_allowed();
  }
  EXPECT_LE(rounds, 2 * 2 * served / 32);
  dispatch(32);
  EXPECT_EQ(publish_while_allowed(), 32u) << "as many as were delivered, once it is short";
  // Consumers that take nothing hold nobody up.
  worker.engine->pause({id, consumer(1), true});
  EXPECT_EQ(publish_while_allowed(), 3 * served);
  worker.engine->pause({id, consumer(1), false});
  dispatch(32);
  EXPECT_EQ(publish_while_allowed(), 16u);
  unsubscribe(1);
  EXPECT_EQ(publish_while_allowed(), 3 * served);
}

TEST_F(QueueTest, ExhaustionIsBackPressureAndNothingAcceptedIsLost) {
  QueueRecord* target = worker.engine->find_queue(id);
  const std::string body(300, 'x');
  uint64_t accepted = 0;
  // Publishes until the engine says no; whatever it said yes to is stored.
  for (;;) {
    if (!worker.engine->room_for({&target, 1})) break;
    Message* message = worker.message(body);
    if (!message) break;
    worker.engine->publish({&target, 1}, message, channel(), 1);
    accepted++;
    ASSERT_FALSE(worker.take_event<Stored>()->refused);
  }
  EXPECT_GT(accepted, 5000u);
  EXPECT_EQ(counters->ready.value(), accepted);
  worker.engine->dispatch({}, 1);
  EXPECT_EQ(worker.board.workers[0].pressed.value(), 1u) << "peers are told";
  EXPECT_EQ(worker.message("x"), nullptr) << "no message is begun";
  subscribe(1, 0, 0, true);
  while (!dispatch(1000).empty())
    ;
  EXPECT_EQ(worker.board.workers[0].pressed.value(), 0u);
  EXPECT_TRUE(worker.engine->room_for({&target, 1}));
}

}  // namespace
}  // namespace talaria::broker
