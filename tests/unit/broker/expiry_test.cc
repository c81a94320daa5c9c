// Messages and queues whose time is over.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/unit/broker/one_queue.h"

namespace talaria::broker {
namespace {

using namespace base;  // literals

class ExpiryTest : public OneQueueTest {
 protected:
  ExpiryTest() {
    now = Time{3600s};
    worker.engine->on_time(now);
  }

  void publish(std::string_view body, uint64_t expiration_ms = Message::never_expires) {
    ASSERT_TRUE(OneQueueTest::publish(worker.message(body, "", expiration_ms)));
  }
  void pass(Duration time) {
    now += time;
    worker.engine->on_time(now);
    worker.engine->check_invariants();
  }
  uint64_t expired() const { return worker.engine->counters().expired.value(); }
};

using MessageExpiry = ExpiryTest;
using QueueExpiry = ExpiryTest;

TEST_F(MessageExpiry, AfterTheQueuesTimeAndNotBefore) {
  declare({.message_ttl_ms = 100});
  publish("a");
  pass(50ms);
  publish("b");
  pass(49ms);
  EXPECT_EQ(counters->ready.value(), 2u);
  pass(1ms);
  EXPECT_EQ(counters->ready.value(), 1u);
  EXPECT_EQ(counters->bytes_ready.value(), 1u);
  EXPECT_EQ(get(), "b");
  EXPECT_EQ(expired(), 1u);
}

TEST_F(MessageExpiry, OfWhatComesAfterTheQueueWasGivenATime) {
  declare();
  publish("before");
  worker.engine->apply(topology.change_queue("q", QueueSettings{.message_ttl_ms = 10}), now);
  publish("after");
  worker.engine->apply(topology.change_queue("q", QueueSettings{.message_ttl_ms = 30}), now);
  publish("later");
  pass(10ms);
  EXPECT_EQ(counters->ready.value(), 2u) << "each keeps the time it was given";
  worker.engine->apply(topology.change_queue("q", std::nullopt), now);
  publish("at last");
  pass(20ms);
  EXPECT_EQ(get(), "before");
  EXPECT_EQ(get(), "at last");
  EXPECT_EQ(expired(), 2u);
}

TEST_F(QueueExpiry, MayBeginAndEndWhileTheQueueLives) {
  worker.engine->apply(topology.add_queue("q"), now);
  pass(1000ms);
  worker.engine->apply(topology.change_queue("q", QueueSettings{.expires_ms = 100}), now);
  pass(99ms);
  EXPECT_TRUE(worker.outbox.unused_queues.empty());
  pass(1ms);
  EXPECT_EQ(worker.outbox.unused_queues.size(), 1u);
  worker.outbox.unused_queues.clear();
  worker.engine->apply(topology.change_queue("q", QueueSettings{.expires_ms = 1000}), now);
  pass(500ms);
  EXPECT_TRUE(worker.outbox.unused_queues.empty());
  worker.engine->apply(topology.change_queue("q", QueueSettings{.max_length = 7}), now);
  pass(5000ms);
  EXPECT_TRUE(worker.outbox.unused_queues.empty());
  EXPECT_EQ(worker.engine->next_deadline(), base::never);
}

TEST_F(MessageExpiry, InTheMiddleOfAPlainQueue) {
  declare({});
  publish("a");
  publish("b", 10);
  publish("c", 5);
  publish("d");
  pass(5ms);
  EXPECT_EQ(counters->ready.value(), 3u);
  pass(5ms);
  EXPECT_EQ(get(), "a");
  EXPECT_EQ(get(), "d");
  EXPECT_EQ(get(), std::nullopt);
}

TEST_F(MessageExpiry, AtTheEndOfTheQueueAndThenMoreComes) {
  declare({});
  publish("a");
  publish("b", 1);
  pass(1ms);
  publish("c");
  EXPECT_EQ(get(), "a");
  EXPECT_EQ(get(), "c");
}

TEST_F(MessageExpiry, TheLesserOfQueueAndMessageCounts) {
  declare({.message_ttl_ms = 20});
  publish("a", 10);
  publish("b", 1000);
  pass(10ms);
  EXPECT_EQ(counters->ready.value(), 1u);
  pass(10ms);
  EXPECT_EQ(counters->ready.value(), 0u);
}

TEST_F(MessageExpiry, NoTimeAtAllMeansNowOrNever) {
  declare({.message_ttl_ms = 0});
  publish("a");
  EXPECT_EQ(counters->ready.value(), 0u);
  EXPECT_EQ(expired(), 1u);
  subscribe(1, 1);
  publish("b");
  publish("c");
  dispatch();
  EXPECT_EQ(bodies, std::vector<std::string>{"b"});
  pass(1ms);
  EXPECT_EQ(counters->ready.value(), 0u);
  EXPECT_EQ(expired(), 2u);
}

TEST_F(MessageExpiry, NotWhileSomebodyHoldsIt) {
  declare({.message_ttl_ms = 10});
  subscribe(1);
  publish("a");
  publish("b");
  const auto held = dispatch();
  ASSERT_EQ(held.size(), 2u);
  pass(5ms);
  worker.engine->settle({id, held[0].entry, Outcome::requeued});
  EXPECT_EQ(counters->ready.value(), 1u) << "its time went on, and is not over";
  worker.engine->unsubscribe({id, consumer(1)});
  pass(5ms);
  EXPECT_EQ(expired(), 1u);
  EXPECT_EQ(counters->unacknowledged.value(), 1u);
  worker.engine->settle({id, held[1].entry, Outcome::requeued});
  EXPECT_EQ(expired(), 2u) << "over when it comes back";
  EXPECT_EQ(counters->ready.value(), 0u);
  EXPECT_EQ(counters->unacknowledged.value(), 0u);
}

TEST_F(MessageExpiry, OutOfTheMiddleOfWhatCameBack) {
  declare({});
  subscribe(1);
  for (int i = 0; i < 40; i++)
    publish(std::to_string(i), i % 3 == 0 ? 10 + static_cast<uint64_t>(i) : Message::never_expires);
  const auto held = dispatch();
  worker.engine->unsubscribe({id, consumer(1)});
  for (size_t i : {7u, 39u, 3u, 21u, 0u, 12u, 38u, 6u, 1u, 33u, 9u, 2u, 30u, 15u, 36u})
    worker.engine->settle({id, held[i].entry, Outcome::requeued});
  for (int step = 0; step < 60; step++) pass(1ms);
  for (const char* left : {"1", "2", "7", "38"}) EXPECT_EQ(get(), left);
  EXPECT_EQ(get(), std::nullopt);
}

TEST_F(MessageExpiry, NotAfterThePurge) {
  declare({.message_ttl_ms = 10});
  for (int i = 0; i < 3000; i++) publish("x");
  worker.engine->purge({id, channel()});
  publish("after");
  pass(9ms);
  EXPECT_EQ(counters->ready.value(), 1u);
  pass(1ms);
  pass(1ms);
  pass(1ms);
  pass(1ms);
  EXPECT_EQ(expired(), 1u);
  while (!worker.engine->idle()) worker.engine->dispatch(now, 10);
  EXPECT_EQ(worker.engine->counters().dropped_with_queue.value(), 3000u);
}

TEST_F(MessageExpiry, NotAfterTheQueueIsGone) {
  declare({.message_ttl_ms = 10});
  for (int i = 0; i < 5; i++) publish("x");
  worker.engine->apply(topology.remove_queue("q"), now);
  pass(20ms);
  EXPECT_EQ(expired(), 0u);
}

TEST_F(MessageExpiry, ABoundedNumberATurn) {
  declare({.message_ttl_ms = 10});
  for (int i = 0; i < 3000; i++) publish("x");
  pass(10ms);
  EXPECT_EQ(expired(), 1024u);
  EXPECT_LE(worker.engine->next_deadline(), now);
  pass(0ms);
  pass(0ms);
  EXPECT_EQ(expired(), 3000u);
  EXPECT_EQ(worker.engine->next_deadline(), base::never);
}

TEST_F(MessageExpiry, OfAMessageInSeveralParts) {
  declare({});
  const std::string large(200'000, 'x');
  publish(large, 10);
  publish("small");
  EXPECT_EQ(counters->bytes_ready.value(), large.size() + 5);
  Message* message = worker.message(large, "key", 77);
  EXPECT_EQ(message->expiration_ms(), 77u);
  EXPECT_EQ(body_of(message), large);
  worker.pool.release(message);
  pass(10ms);
  EXPECT_EQ(get(), "small");
}

TEST_F(MessageExpiry, AtRandomAgreesWithAList) {
  for (unsigned seed = 1; seed <= 30; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const std::string name = "q";
    TestTopology here;
    TestWorker one;
    one.apply(here.add_vhost());
    std::optional<uint64_t> ttl;
    if (seed % 2) ttl = 1 + seed;
    one.apply(here.add_queue(name, 0, false, QueueSettings{.message_ttl_ms = ttl}));
    const QueueId queue = here.queues[name];
    Engine& engine = *one.engine;
    Time time{};
    struct Expected {
      std::string body;
      Time deadline;
    };
    std::map<uint64_t, Expected> ready, held;
    std::map<uint64_t, EntryId> names;
    uint64_t next = 0;
    const auto rounded = [](Time at) { return std::chrono::ceil<std::chrono::milliseconds>(at); };
    const auto drop_due = [&] {
      std::erase_if(ready, [&](const auto& item) { return rounded(item.second.deadline) <= time; });
    };
    for (int step = 0; step < 3000; step++) {
      switch (random() % 6) {
        case 0:
        case 1: {
          uint64_t most = random() % 3 ? Message::never_expires : 1 + random() % 40;
          QueueRecord* target = engine.find_queue(queue);
          const std::string body = std::to_string(next);
          engine.publish({&target, 1}, one.message(body, "", most), channel(), 0);
          if (ttl) most = std::min(most, *ttl);
          const Time deadline =
              most == Message::never_expires ? base::never - 1s : time + std::chrono::milliseconds(most);
          ready[next++] = {body, deadline};
          break;
        }
        case 2: {
          engine.get({queue, channel(), false});
          const auto got = one.take_event<Got>();
          ASSERT_EQ(got->message != nullptr, !ready.empty());
          if (!got->message) break;
          ASSERT_EQ(body_of(got->message), ready.begin()->second.body);
          one.pool.release(got->message);
          names[ready.begin()->first] = got->entry;
          held.insert(ready.extract(ready.begin()));
          break;
        }
        case 3: {
          if (held.empty()) break;
          auto which = std::next(held.begin(), static_cast<std::ptrdiff_t>(random() % held.size()));
          const bool back = random() % 3;
          engine.settle({queue, names[which->first], back ? Outcome::requeued : Outcome::acknowledged});
          if (back) ready.insert(*which);
          held.erase(which);
          drop_due();
          break;
        }
        default:
          time += std::chrono::microseconds(random() % 3000);
          engine.on_time(time);
          drop_due();
      }
      ASSERT_EQ(here.counters_of[name]->ready.value(), ready.size());
      if (step % 50 == 0) engine.check_invariants();
    }
    one.engine.reset();
    one.expect_all_home();
  }
}

// ---- queues ---------------------------------------------------------------------------------------------------------

TEST_F(QueueExpiry, WhenNobodyUsesIt) {
  declare({.expires_ms = 100});
  pass(99ms);
  EXPECT_TRUE(worker.outbox.unused_queues.empty());
  pass(1ms);
  EXPECT_EQ(worker.outbox.unused_queues, std::vector<QueueId>{id});
  worker.outbox.unused_queues.clear();
  pass(100ms);
  EXPECT_EQ(worker.outbox.unused_queues.size(), 1u) << "said again, nothing came of it";
}

TEST_F(QueueExpiry, NotWhileSomebodyConsumes) {
  declare({.expires_ms = 100});
  subscribe(1);
  pass(1000ms);
  EXPECT_TRUE(worker.outbox.unused_queues.empty());
  worker.engine->unsubscribe({id, consumer(1)});
  pass(99ms);
  EXPECT_TRUE(worker.outbox.unused_queues.empty());
  pass(1ms);
  EXPECT_EQ(worker.outbox.unused_queues.size(), 1u);
}

TEST_F(QueueExpiry, GetsAndDeclarationsAreUsePublishesAndPurgesAreNot) {
  declare({.expires_ms = 100});
  pass(60ms);
  get();
  pass(60ms);
  worker.engine->count({id, channel()});
  pass(60ms);
  publish("a");
  pass(20ms);
  worker.engine->purge({id, channel()});
  EXPECT_TRUE(worker.outbox.unused_queues.empty());
  pass(20ms);
  EXPECT_EQ(worker.outbox.unused_queues.size(), 1u);
}

TEST_F(QueueExpiry, GoesWithTheQueue) {
  declare({.expires_ms = 100});
  worker.engine->apply(topology.remove_queue("q"), now);
  pass(200ms);
  EXPECT_TRUE(worker.outbox.unused_queues.empty());
}

}  // namespace
}  // namespace talaria::broker
