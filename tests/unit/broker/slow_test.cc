// Consumers that do not keep up with what their queue demands.
#include <gtest/gtest.h>

#include "tests/unit/broker/one_queue.h"

namespace talaria::broker {
namespace {

using namespace base;  // literals

struct SlowConsumer : OneQueueTest {
  // Ten messages a second, looked at every second.
  void declare_demanding(bool cancels = false) {
    declare({.slow_consumers = SlowConsumers{.threshold = 10, .check_period_ms = 1000, .cancels = cancels}});
  }
  void fill(int count) {
    for (int i = 0; i < count; i++) publish("x");
  }
  // A second in which that many of what is held are acknowledged, evenly.
  void work_for_a_second(uint32_t acknowledged) {
    for (uint32_t tenth = 0; tenth < 10; tenth++) {
      for (uint32_t i = 0; i < (acknowledged + 9 - tenth) / 10 && !held.empty(); i++) {
        settle(held.front(), Outcome::acknowledged);
        held.erase(held.begin());
        take();
      }
      now += 100ms;
      worker.engine->on_time(now);
      take();
    }
  }
  void take() {
    for (const Deliver& delivery : dispatch())
      if (delivery.entry) held.push_back(delivery);
  }
  std::vector<uint32_t> found_slow() {
    std::vector<uint32_t> out;
    while (const auto slow = worker.take_event<ConsumerSlow>()) {
      EXPECT_EQ(slow->queue, id);
      out.push_back(slow->consumer.consumer);
    }
    return out;
  }
  std::vector<Deliver> held;
};
using Slow = std::vector<uint32_t>;

TEST_F(SlowConsumer, IsWhoSettlesLessThanIsWantedThoughMessagesWait) {
  declare_demanding();
  subscribe(1, 5);
  fill(100);
  take();
  work_for_a_second(9);
  EXPECT_EQ(found_slow(), Slow{}) << "that was the first look";
  work_for_a_second(9);
  EXPECT_EQ(found_slow(), Slow{1});
  work_for_a_second(9);
  EXPECT_EQ(found_slow(), Slow{}) << "once";
  work_for_a_second(10);
  EXPECT_EQ(found_slow(), Slow{});
  work_for_a_second(3);
  EXPECT_EQ(found_slow(), Slow{1}) << "and again after it had kept up";
  EXPECT_EQ(worker.engine->counters().consumers_slow.value(), 2u);
  EXPECT_EQ(counters->consumers.value(), 1u);
}

TEST_F(SlowConsumer, IsNobodyWhoKeepsUp) {
  declare_demanding(true);
  subscribe(1, 5);
  fill(100);
  take();
  for (int second = 0; second < 8; second++) work_for_a_second(10);
  EXPECT_EQ(found_slow(), Slow{});
}

TEST_F(SlowConsumer, IsNobodyWhoLacksWork) {
  declare_demanding(true);
  subscribe(1, 2);
  for (int second = 0; second < 5; second++) {
    fill(4);
    take();
    work_for_a_second(0);
    EXPECT_EQ(found_slow(), Slow{}) << "there were not always messages that waited";
    while (!held.empty()) {
      settle(held.front(), Outcome::acknowledged);
      held.erase(held.begin());
      take();
    }
    fill(4);
    take();
  }
}

TEST_F(SlowConsumer, IsWhoHoldsAWholePeriodsWork) {
  declare_demanding();
  subscribe(1);
  fill(9);
  take();
  work_for_a_second(0);
  work_for_a_second(0);
  EXPECT_EQ(found_slow(), Slow{}) << "nine are not ten";
  fill(1);
  take();
  work_for_a_second(0);
  work_for_a_second(0);
  EXPECT_EQ(found_slow(), Slow{1});
}

// Looked at in parts, and those who leave in between move others to places that were looked at, or were not.
TEST_F(SlowConsumer, AreFoundOnceEachAmongVeryMany) {
  constexpr uint32_t many = 5000;
  declare_demanding();
  for (uint32_t number = 1; number <= many; number++) subscribe(number, 1);
  fill(2 * many);
  while (held.size() < many) take();
  now += 1s;
  for (int step = 0; step < 10; step++, now += 10ms) worker.engine->on_time(now);
  EXPECT_EQ(found_slow(), Slow{}) << "that was the first look";
  now += 1s;
  std::vector<uint32_t> slow;
  for (uint32_t step = 0; step < 10; step++, now += 10ms) {
    worker.engine->on_time(now);
    const Slow some = found_slow();
    EXPECT_LE(some.size(), 1024u) << "in one turn";
    slow.insert(slow.end(), some.begin(), some.end());
    unsubscribe(1 + step);
    take();
  }
  std::sort(slow.begin(), slow.end());
  EXPECT_EQ(std::adjacent_find(slow.begin(), slow.end()), slow.end());
  EXPECT_GE(slow.size(), many - 10);
}

TEST_F(SlowConsumer, WithoutAcknowledgementsIsWhoDoesNotRead) {
  declare_demanding();
  subscribe(1, 0, 0, true);
  worker.engine->pause({id, consumer(1), true});
  fill(100);
  work_for_a_second(0);
  work_for_a_second(0);
  EXPECT_EQ(found_slow(), Slow{1});
  worker.engine->pause({id, consumer(1), false});
  work_for_a_second(0);
  EXPECT_EQ(found_slow(), Slow{});
}

TEST_F(SlowConsumer, IsFoundAmongOthersAndCancelledIfThatIsWanted) {
  declare_demanding(true);
  subscribe(1, 5);
  subscribe(2, 50);
  fill(1000);
  take();
  for (int second = 0; second < 2; second++) {
    std::erase_if(held, [&](const Deliver& delivery) {
      if (delivery.consumer.consumer != 2) return false;
      settle(delivery, Outcome::acknowledged);
      return true;
    });
    take();
    work_for_a_second(0);
  }
  EXPECT_EQ(found_slow(), Slow{1});
  EXPECT_EQ(counters->consumers.value(), 1u);
  EXPECT_EQ(counters->unacknowledged.value(), held.size()) << "what it holds stays its own";
  worker.engine->unsubscribe({id, consumer(1)});
  EXPECT_TRUE(worker.take_event<Unsubscribed>()) << "who leaves at the same time is answered";
}

TEST_F(SlowConsumer, TheActiveOneGivesWayToTheNext) {
  declare({.single_active_consumer = true,
           .slow_consumers = SlowConsumers{.threshold = 10, .check_period_ms = 1000, .cancels = true}});
  subscribe(1, 5);
  subscribe(2, 5);
  fill(100);
  take();
  work_for_a_second(0);
  work_for_a_second(0);
  EXPECT_EQ(found_slow(), Slow{1}) << "the other one had nothing to do";
  take();
  EXPECT_EQ(held.back().consumer.consumer, 2u);
}

TEST_F(SlowConsumer, AQueueThatOnlyTheyUsedGoesIfItIsAutoDelete) {
  QueueSettings settings{.slow_consumers = SlowConsumers{.threshold = 10, .check_period_ms = 1000, .cancels = true}};
  settings.queue = "q";
  worker.apply(topology.add_queue("q", 0, true, settings));
  id = topology.queues["q"];
  counters = topology.counters_of["q"];
  subscribe(1, 5);
  fill(100);
  take();
  work_for_a_second(0);
  EXPECT_TRUE(worker.outbox.unused_queues.empty());
  work_for_a_second(0);
  EXPECT_EQ(worker.outbox.unused_queues, std::vector<QueueId>{id});
}

TEST_F(SlowConsumer, APolicyMayDemandItAndNoLongerDoSo) {
  declare();
  subscribe(1, 5);
  fill(100);
  take();
  work_for_a_second(0);
  const SlowConsumers demand{.threshold = 10, .check_period_ms = 1000};
  worker.engine->apply(topology.change_queue("q", QueueSettings{.slow_consumers = demand}), now);
  work_for_a_second(0);
  work_for_a_second(0);
  EXPECT_EQ(found_slow(), Slow{1});
  worker.engine->apply(topology.change_queue("q", std::nullopt), now);
  EXPECT_EQ(worker.engine->next_deadline(), base::never);
}

}  // namespace
}  // namespace talaria::broker
