// Queues that tell their messages apart by a header: the last of each value, or none that came lately. And queues that
// stop their publishers.
#include <gtest/gtest.h>

#include "tests/unit/broker/one_queue.h"

namespace talaria::broker {
namespace {

// The routing key stands for the headers: "header=value;header=value".
std::optional<std::string> read_from_key(const Message& message, std::string_view header) {
  std::string_view left = message.routing_key();
  while (!left.empty()) {
    const std::string_view entry = left.substr(0, left.find(';'));
    if (entry.starts_with(header) && entry.substr(header.size()).starts_with('='))
      return std::string(entry.substr(header.size() + 1));
    left.remove_prefix(std::min(left.size(), entry.size() + 1));
  }
  return std::nullopt;
}

struct KeyedTest : OneQueueTest {
  KeyedTest() { worker.engine->read_headers_with(&read_from_key); }
  bool put(const std::string& body, const std::string& key, uint64_t expiration_ms = Message::never_expires,
           uint8_t priority = 0) {
    return publish(worker.message(body, key, expiration_ms, priority));
  }
  uint64_t replaced() { return worker.engine->counters().replaced.value(); }
  uint64_t duplicates() { return worker.engine->counters().duplicates.value(); }
  void wait(base::Duration time) {
    now += time;
    worker.engine->on_time(now);
  }
};

// ---- last values ----------------------------------------------------------------------------------------------------

using LastValue = KeyedTest;

TEST_F(LastValue, TakesTheOldOnesPlace) {
  declare({.last_value_key = "k"});
  put("a1", "k=a");
  put("b1", "k=b");
  put("other", "none");
  put("a2 is longer", "k=a");
  put("a3", "k=a");
  put("other", "none");
  EXPECT_EQ(counters->ready.value(), 4u);
  EXPECT_EQ(counters->bytes_ready.value(), 2u + 2u + 5u + 5u);
  EXPECT_EQ(replaced(), 2u);
  worker.engine->check_invariants();
  EXPECT_EQ(rest(), (Bodies{"a3", "b1", "other", "other"}));
  put("a4", "k=a");
  EXPECT_EQ(rest(), (Bodies{"a4"})) << "it is remembered no longer than it is there";
}

TEST_F(LastValue, WhatIsHeldIsNotReplacedAndComesBackIfItIsStillTheLast) {
  declare({.last_value_key = "k"});
  subscribe(1, 1);
  put("a1", "k=a");
  const auto first = dispatch();
  ASSERT_EQ(first.size(), 1u);
  settle(first[0], Outcome::requeued);
  const auto again = dispatch();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(bodies, (Bodies{"a1*"}));
  put("a2", "k=a");
  EXPECT_EQ(counters->ready.value(), 1u);
  worker.engine->pause({id, consumer(1), true});
  settle(again[0], Outcome::requeued);
  EXPECT_EQ(replaced(), 1u) << "a newer one is there";
  EXPECT_EQ(rest(), (Bodies{"a2"}));
}

TEST_F(LastValue, AnOlderOneThatIsReadyGoesWhenANewerComesBack) {
  declare({.last_value_key = "k"});
  subscribe(1, 2);
  put("a1", "k=a");
  const auto first = dispatch();
  put("a2", "k=a");
  const auto second = dispatch();
  ASSERT_EQ(second.size(), 1u);
  worker.engine->pause({id, consumer(1), true});
  settle(first[0], Outcome::requeued);
  EXPECT_EQ(counters->ready.value(), 1u);
  settle(second[0], Outcome::requeued);
  EXPECT_EQ(counters->ready.value(), 1u);
  EXPECT_EQ(replaced(), 1u);
  EXPECT_EQ(rest(), (Bodies{"a2"}));
}

TEST_F(LastValue, OneThatReplacesWhatCameBackStaysTheNewest) {
  declare({.last_value_key = "k"});
  subscribe(1, 2);
  put("a1", "k=a");
  const auto first = dispatch();
  put("a2", "k=a");
  const auto second = dispatch();
  ASSERT_EQ(second.size(), 1u);
  worker.engine->pause({id, consumer(1), true});
  settle(first[0], Outcome::requeued);
  put("a3", "k=a");
  EXPECT_EQ(counters->ready.value(), 1u);
  settle(second[0], Outcome::requeued);
  EXPECT_EQ(replaced(), 2u);
  EXPECT_EQ(rest(), (Bodies{"a3"})) << "a2 is older than that, whatever came back before";
}

TEST_F(LastValue, ALimitCountsWhatIsThere) {
  declare({.max_length = 2, .overflow = Overflow::reject_publish, .last_value_key = "k"});
  EXPECT_TRUE(put("a1", "k=a"));
  EXPECT_TRUE(put("b1", "k=b"));
  EXPECT_TRUE(put("a2", "k=a")) << "it takes no more room";
  EXPECT_FALSE(put("c1", "k=c"));
  EXPECT_EQ(rest(), (Bodies{"a2", "b1"}));
}

TEST_F(LastValue, WithATimeToLiveTheNewOneComesLast) {
  declare({.message_ttl_ms = 100, .last_value_key = "k"});
  put("a1", "k=a");
  wait(std::chrono::milliseconds(60));
  put("b1", "k=b");
  put("a2", "k=a");
  wait(std::chrono::milliseconds(60));
  EXPECT_EQ(rest(), (Bodies{"b1", "a2"})) << "its time is its own";
  put("a3", "k=a");
  wait(std::chrono::milliseconds(200));
  EXPECT_EQ(counters->ready.value(), 0u);
  put("a4", "k=a");
  EXPECT_EQ(rest(), (Bodies{"a4"}));
}

TEST_F(LastValue, WithPrioritiesToo) {
  declare({.max_priority = 5, .last_value_key = "k"});
  put("a1", "k=a", Message::never_expires, 5);
  put("b1", "k=b", Message::never_expires, 3);
  put("a2", "k=a", Message::never_expires, 1);
  EXPECT_EQ(rest(), (Bodies{"b1", "a2"}));
}

TEST_F(LastValue, IsForgottenWhenItsQueueIsPurged) {
  declare({.last_value_key = "k"});
  put("a1", "k=a");
  worker.engine->purge({id, channel()});
  put("a2", "k=a");
  dispatch();
  EXPECT_EQ(rest(), (Bodies{"a2"}));
}

// ---- duplicates -----------------------------------------------------------------------------------------------------

using Duplicates = KeyedTest;

TEST_F(Duplicates, AreDroppedAndConfirmed) {
  declare({.deduplication = Deduplication{"id", 10}});
  EXPECT_TRUE(put("1", "id=1"));
  EXPECT_TRUE(put("1 again", "id=1"));
  EXPECT_TRUE(put("2", "id=2"));
  EXPECT_TRUE(put("no id", "x"));
  EXPECT_TRUE(put("no id", "x"));
  EXPECT_EQ(rest(), (Bodies{"1", "2", "no id", "no id"}));
  put("1 when it is gone", "id=1");
  EXPECT_EQ(rest(), (Bodies{})) << "it is remembered though it has left";
  EXPECT_EQ(duplicates(), 2u);
}

TEST_F(Duplicates, AreRememberedByNumberAndTime) {
  declare({.deduplication = Deduplication{"id", 2, 100}});
  for (const char* key : {"id=1", "id=2", "id=3"}) put(key, key);
  put("1 was forgotten", "id=1");
  put("3", "id=3");
  EXPECT_EQ(rest(), (Bodies{"id=1", "id=2", "id=3", "1 was forgotten"}));
  wait(std::chrono::milliseconds(99));
  put("too early", "id=1");
  EXPECT_EQ(rest(), (Bodies{}));
  wait(std::chrono::milliseconds(1));
  put("late enough", "id=1");
  put("and seen again", "id=1");
  EXPECT_EQ(rest(), (Bodies{"late enough"}));
}

TEST_F(Duplicates, OfWhatReplacedAnotherOrExpiredAtOnceAreDroppedToo) {
  declare({.last_value_key = "k", .deduplication = Deduplication{"d", 10}});
  put("a1", "k=a;d=1");
  put("a2", "k=a;d=2");
  EXPECT_EQ(replaced(), 1u);
  put("duplicate of what took its place", "k=b;d=2");
  put("over at once", "d=3", 0);
  put("duplicate of what expired", "d=3");
  EXPECT_EQ(duplicates(), 2u);
  EXPECT_EQ(rest(), (Bodies{"a2"}));
}

TEST_F(Duplicates, WhatWasRefusedWasNotSeen) {
  declare({.max_length = 1, .overflow = Overflow::reject_publish, .deduplication = Deduplication{"id", 10}});
  EXPECT_TRUE(put("1", "id=1"));
  EXPECT_FALSE(put("2", "id=2"));
  EXPECT_EQ(rest(), (Bodies{"1"}));
  EXPECT_TRUE(put("2", "id=2"));
  EXPECT_EQ(rest(), (Bodies{"2"}));
}

TEST(SeenValues, ForgetTheOldest) {
  SeenTotal total;
  SeenValues seen(100, std::nullopt, total);
  const base::Time now{};
  for (int i = 0; i < 1000; i++) {
    seen.insert(std::to_string(i), now);
    seen.insert(std::to_string(i), now);  // as when its time was over
    EXPECT_LE(seen.size(), 100u);
  }
  EXPECT_TRUE(seen.contains("999", now));
  EXPECT_TRUE(seen.contains("950", now));
  EXPECT_FALSE(seen.contains("800", now));
}

// Whoever remembers one more forgets, not the others.
TEST(SeenValues, OfAWorkerHaveABoundTogether) {
  SeenTotal total{.most = 50};
  const base::Time now{};
  {
    SeenValues few(100, std::nullopt, total), many(100, std::nullopt, total);
    for (int i = 0; i < 20; i++) few.insert(std::to_string(i), now);
    for (int i = 0; i < 100; i++) many.insert(std::to_string(i), now);
    EXPECT_EQ(total.values, 50u);
    EXPECT_EQ(few.size(), 20u);
    EXPECT_EQ(many.size(), 30u);
    EXPECT_TRUE(many.contains("99", now));
    EXPECT_FALSE(many.contains("69", now));
    few.insert("one more", now);
    EXPECT_TRUE(few.contains("one more", now));
    EXPECT_FALSE(few.contains("0", now));
  }
  EXPECT_EQ(total.values, 0u);
}

// ---- flow -----------------------------------------------------------------------------------------------------------

struct Flow : OneQueueTest {
  Room room() {
    QueueRecord* target = worker.engine->find_queue(id);
    return worker.engine->room_for({&target, 1});
  }
};

TEST_F(Flow, PublishersWaitBetweenStopAndResume) {
  declare({.flow = FlowLimit{3, 1}});
  for (const char* body : {"a", "b"}) publish(body);
  EXPECT_TRUE(room());
  publish("c");
  EXPECT_EQ(room().shortage, Shortage::flow);
  EXPECT_EQ(room().queue, id);
  get();
  EXPECT_EQ(room().shortage, Shortage::flow) << "not until there are no more than one";
  get();
  EXPECT_TRUE(room());
  publish("d");
  EXPECT_TRUE(room()) << "stopped again only at three";
  publish("e");
  EXPECT_FALSE(room());
}

TEST_F(Flow, CountsBytesToo) {
  declare({.flow_bytes = FlowLimit{10, 4}});
  publish("12345");
  EXPECT_TRUE(room());
  publish("12345");
  EXPECT_FALSE(room());
  get();
  EXPECT_FALSE(room());
  get();
  EXPECT_TRUE(room());
}

TEST_F(Flow, APolicyMayEndIt) {
  declare({.flow = FlowLimit{1, 0}});
  publish("a");
  EXPECT_FALSE(room());
  worker.apply(topology.change_queue("q", std::nullopt));
  EXPECT_TRUE(room());
}

TEST_F(Flow, WhatWasAcceptedGoesIn) {
  declare({.flow = FlowLimit{1, 0}});
  publish("a");
  QueueRecord* target = worker.engine->find_queue(id);
  EXPECT_TRUE(worker.engine->room_for_accepted({&target, 1})) << "a dead letter, part of a transaction";
}

}  // namespace
}  // namespace talaria::broker
