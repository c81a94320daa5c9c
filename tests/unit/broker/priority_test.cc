// Queues whose messages have priorities, and queues with a single active consumer.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/unit/broker/one_queue.h"

namespace talaria::broker {
namespace {

class PriorityTest : public OneQueueTest {
 protected:
  void publish(std::string_view body, uint8_t priority = 0, uint64_t expiration = Message::never_expires) {
    OneQueueTest::publish(worker.message(body, "", expiration, priority), 0);
  }
};

using Priorities = PriorityTest;
using SingleActiveConsumer = PriorityTest;

TEST_F(Priorities, HigherFirstAndOldestFirstAmongEquals) {
  declare({.max_priority = 5});
  publish("a", 0);
  publish("b", 5);
  publish("c", 200);
  publish("d", 3);
  publish("e", 5);
  publish("f", 0);
  EXPECT_EQ(rest(), (Bodies{"b", "c", "e", "d", "a", "f"})) << "200 is taken for 5";
}

TEST_F(Priorities, UpTo255AndDownToNone) {
  declare({.max_priority = 255});
  for (unsigned priority = 0; priority < 256; priority += 5)
    publish(std::to_string(priority), static_cast<uint8_t>(priority));
  const Bodies all = rest();
  ASSERT_EQ(all.size(), 52u);
  for (size_t i = 0; i < all.size(); i++) EXPECT_EQ(all[i], std::to_string(255 - 5 * i));
}

TEST_F(Priorities, OfNoneAreAPlainQueue) {
  declare({.max_priority = 0});
  publish("a", 1);
  publish("b", 9);
  EXPECT_EQ(rest(), (Bodies{"a", "b"}));
}

TEST_F(Priorities, WhatComesBackGoesBeforeItsEquals) {
  declare({.max_priority = 9});
  subscribe(1, 3);
  publish("a", 1);
  publish("b", 7);
  publish("c", 1);
  const auto held = dispatch();
  EXPECT_EQ(bodies, (Bodies{"b", "a", "c"}));
  publish("d", 1);
  publish("e", 7);
  unsubscribe(1);
  for (const Deliver& delivery : held) worker.engine->settle({id, delivery.entry, Outcome::requeued});
  EXPECT_EQ(rest(), (Bodies{"b", "e", "a", "c", "d"}));
}

TEST_F(Priorities, WithTimesAndLimits) {
  declare({.message_ttl_ms = 10, .max_length = 2, .max_priority = 2});
  publish("a", 0);
  publish("b", 2, 5);
  publish("c", 1);
  EXPECT_EQ(counters->ready.value(), 2u) << "the head goes, which is the highest";
  worker.engine->on_time(base::Time(std::chrono::milliseconds(5)));
  EXPECT_EQ(rest(), (Bodies{"c", "a"}));
}

TEST_F(Priorities, PurgedAndDeletedWhole) {
  declare({.max_priority = 3});
  for (uint8_t i = 0; i < 40; i++) publish("x", i % 4);
  worker.engine->purge({id, channel()});
  EXPECT_EQ(worker.take_event<Purged>()->count, 40u);
  for (uint8_t i = 0; i < 40; i++) publish("x", i % 4);
  worker.apply(topology.remove_queue("q"));
  while (!worker.engine->idle()) worker.engine->dispatch({}, 10);
  EXPECT_EQ(worker.pool.messages(), 0u);
}

TEST_F(Priorities, AtRandomAgreeWithAMap) {
  for (unsigned seed = 1; seed <= 20; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto most = static_cast<uint8_t>(seed % 2 ? 255 : seed);
    TestTopology here;
    TestWorker one;
    one.apply(here.add_vhost());
    one.apply(here.add_queue("q", 0, false, QueueSettings{.max_priority = most}));
    const QueueId queue = here.queues["q"];
    std::map<std::pair<int, uint64_t>, std::string> ready;
    std::map<std::pair<int, uint64_t>, std::pair<EntryId, std::string>> held;
    uint64_t next = 0;
    for (int step = 0; step < 2000; step++) {
      switch (random() % 4) {
        case 0:
        case 1: {
          const auto priority = static_cast<uint8_t>(random());
          QueueRecord* target = one.engine->find_queue(queue);
          const std::string body = std::to_string(next);
          one.engine->publish({&target, 1}, one.message(body, "", Message::never_expires, priority), channel(), 0);
          ready[{-std::min(priority, most), next++}] = body;
          break;
        }
        case 2: {
          one.engine->get({queue, channel(), false});
          const auto got = one.take_event<Got>();
          ASSERT_EQ(got->message != nullptr, !ready.empty());
          if (!got->message) break;
          ASSERT_EQ(body_of(got->message), ready.begin()->second);
          one.pool.release(got->message);
          held[ready.begin()->first] = {got->entry, ready.begin()->second};
          ready.erase(ready.begin());
          break;
        }
        default: {
          if (held.empty()) break;
          const auto which = std::next(held.begin(), static_cast<std::ptrdiff_t>(random() % held.size()));
          const bool back = random() % 2;
          one.engine->settle({queue, which->second.first, back ? Outcome::requeued : Outcome::acknowledged});
          if (back) ready[which->first] = which->second.second;
          held.erase(which);
        }
      }
      if (step % 50 == 0) one.engine->check_invariants();
    }
    one.engine.reset();
    one.expect_all_home();
  }
}

// ---- a single active consumer ---------------------------------------------------------------------------------------

TEST_F(SingleActiveConsumer, TheOthersWaitUntilItLeaves) {
  declare({.single_active_consumer = true});
  EXPECT_EQ(subscribe(1, 1), SubscribeResult::subscribed);
  EXPECT_EQ(subscribe(2), SubscribeResult::subscribed);
  EXPECT_EQ(subscribe(3), SubscribeResult::subscribed);
  for (const char* body : {"a", "b", "c"}) publish(body);
  const auto held = dispatch();
  EXPECT_EQ(consumers, (std::vector<uint32_t>{1})) << "though its credit is used up";
  unsubscribe(3);
  dispatch();
  EXPECT_EQ(consumers, (std::vector<uint32_t>{}));
  unsubscribe(1);
  dispatch();
  EXPECT_EQ(consumers, (std::vector<uint32_t>{2, 2}));
  worker.engine->settle({id, held[0].entry, Outcome::requeued});
  dispatch();
  EXPECT_EQ(consumers, (std::vector<uint32_t>{2}));
}

TEST_F(SingleActiveConsumer, TheNextIsTheHighestThatCameFirst) {
  declare({.single_active_consumer = true});
  subscribe(1);
  subscribe(2, 0, -1);
  subscribe(3, 0, 5);
  subscribe(4, 0, 5);
  publish("a");
  dispatch();
  EXPECT_EQ(consumers, (std::vector<uint32_t>{1})) << "one that is active stays so";
  for (const uint32_t next : {3u, 4u, 2u}) {
    unsubscribe(next == 3 ? 1 : next == 4 ? 3 : 4);
    publish("x");
    dispatch();
    EXPECT_EQ(consumers, (std::vector<uint32_t>{next}));
  }
}

TEST_F(SingleActiveConsumer, IsNotForExclusiveOnes) {
  declare({.single_active_consumer = true});
  EXPECT_EQ(subscribe(1, 0, 0, false, true), SubscribeResult::exclusive_conflict);
  EXPECT_EQ(subscribe(2), SubscribeResult::subscribed);
}

TEST_F(SingleActiveConsumer, MayPause) {
  declare({.single_active_consumer = true});
  subscribe(1);
  subscribe(2);
  worker.engine->pause({id, consumer(1), true});
  publish("a");
  dispatch();
  EXPECT_EQ(consumers, (std::vector<uint32_t>{}));
  worker.engine->pause({id, consumer(1), false});
  dispatch();
  EXPECT_EQ(consumers, (std::vector<uint32_t>{1}));
}

}  // namespace
}  // namespace talaria::broker
