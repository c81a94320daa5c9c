// Queues that keep groups together: of a group what is unacknowledged is with one consumer.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "tests/unit/broker/one_queue.h"

namespace talaria::broker {
namespace {

// The routing key stands for the headers: "header=value".
std::optional<std::string> read_from_key(const Message& message, std::string_view header) {
  const std::string_view key = message.routing_key();
  if (!key.starts_with(header) || key.size() <= header.size() || key[header.size()] != '=') return std::nullopt;
  return std::string(key.substr(header.size() + 1));
}

struct Groups : OneQueueTest {
  Groups() { worker.engine->read_headers_with(&read_from_key); }
  // The group is the body's first letter; capitals are in none.
  bool put(const std::string& body, uint64_t expiration_ms = Message::never_expires) {
    const bool grouped = body[0] >= 'a' && body[0] <= 'z';
    return publish(worker.message(body, grouped ? "g=" + body.substr(0, 1) : "", expiration_ms));
  }
  void put_all(std::initializer_list<const char*> some) {
    for (const char* body : some) put(body);
  }
  // What went to whom, as "consumer:body"; kept until it is settled.
  Bodies handed() {
    Bodies out;
    for (const Deliver& delivery : dispatch()) {
      out.push_back(std::to_string(delivery.consumer.consumer) + ":" + bodies[out.size()]);
      std::string body = bodies[out.size() - 1];
      if (body.ends_with('*')) body.pop_back();
      if (delivery.entry) held[body] = delivery;
    }
    worker.engine->check_invariants();
    return out;
  }
  void settle_body(const std::string& body, Outcome outcome) {
    ASSERT_TRUE(held.contains(body)) << body;
    settle(held[body], outcome);
    held.erase(body);
    worker.engine->check_invariants();
  }
  void ack(const std::string& body) { settle_body(body, Outcome::acknowledged); }

  std::map<std::string, Deliver> held;
};

TEST_F(Groups, GoToOneConsumerAtATime) {
  declare({.group_key = "g"});
  subscribe(1, 2);
  subscribe(2, 2);
  put_all({"a1", "a2", "a3", "b1", "b2"});
  EXPECT_EQ(handed(), (Bodies{"1:a1", "1:a2", "2:b1", "2:b2"}));
  ack("b1");
  EXPECT_EQ(handed(), Bodies{}) << "a3 is the first one's";
  ack("a1");
  EXPECT_EQ(handed(), Bodies{"1:a3"});
}

TEST_F(Groups, AreSpreadOverConsumersThatCome) {
  declare({.group_key = "g"});
  subscribe(1, 10);
  subscribe(2, 10);
  put_all({"a1", "b1", "a2", "b2", "a3", "b3"});
  const Bodies got = handed();
  for (const char* body : {"1:a1", "1:a2", "1:a3", "2:b1", "2:b2", "2:b3"})
    EXPECT_EQ(std::count(got.begin(), got.end(), body), 1) << body;
}

TEST_F(Groups, OfOneConsumerAloneComeAsTheyStand) {
  declare({.group_key = "g"});
  subscribe(1, 10);
  put_all({"a1", "b1", "X", "a2", "b2"});
  EXPECT_EQ(handed(), (Bodies{"1:a1", "1:b1", "1:X", "1:a2", "1:b2"}));
}

TEST_F(Groups, AreFreeWhenNothingOfThemIsUnacknowledged) {
  declare({.group_key = "g"});
  subscribe(1, 1);
  subscribe(2, 1);
  put_all({"a1", "a2"});
  EXPECT_EQ(handed(), Bodies{"1:a1"});
  ack("a1");
  EXPECT_EQ(handed(), Bodies{"2:a2"}) << "whose turn it is";
  put("a3");
  settle_body("a2", Outcome::rejected);
  EXPECT_EQ(handed(), Bodies{"1:a3"});
}

TEST_F(Groups, KeepTheirOrderWhenMessagesComeBack) {
  declare({.group_key = "g"});
  subscribe(1, 3);
  put_all({"a1", "a2", "a3", "a4"});
  EXPECT_EQ(handed(), (Bodies{"1:a1", "1:a2", "1:a3"}));
  subscribe(2, 3);
  settle_body("a1", Outcome::requeued);
  EXPECT_EQ(handed(), Bodies{"1:a1*"}) << "it comes back to who has the rest";
  for (const char* body : {"a3", "a1", "a2"}) settle_body(body, Outcome::requeued);
  worker.engine->pause({id, consumer(1), true});
  EXPECT_EQ(handed(), (Bodies{"2:a1*", "2:a2*", "2:a3*"}));
  ack("a2");
  ack("a1");
  EXPECT_EQ(handed(), Bodies{"2:a4"});
}

TEST_F(Groups, StayWithWhoHasLeftUntilItHasSettled) {
  declare({.group_key = "g"});
  subscribe(1, 2);
  put_all({"a1", "a2", "a3"});
  EXPECT_EQ(handed(), (Bodies{"1:a1", "1:a2"}));
  unsubscribe(1);
  subscribe(2, 5);
  EXPECT_EQ(handed(), Bodies{});
  settle_body("a1", Outcome::requeued);
  EXPECT_EQ(handed(), Bodies{});
  settle_body("a2", Outcome::requeued);
  EXPECT_EQ(handed(), (Bodies{"2:a1*", "2:a2*", "2:a3"}));
}

TEST_F(Groups, LetMessagesInNonePass) {
  declare({.group_key = "g"});
  subscribe(1, 1);
  subscribe(2, 3);
  put_all({"a1", "a2", "X1", "X2", "b1"});
  EXPECT_EQ(handed(), (Bodies{"1:a1", "2:X1", "2:X2", "2:b1"}));
}

TEST_F(Groups, DoNotKeepABusyQueueAwake) {
  declare({.group_key = "g"});
  subscribe(1, 1);
  subscribe(2, 1);
  put_all({"a1", "a2"});
  handed();
  EXPECT_TRUE(worker.engine->idle()) << "what is ready is for nobody who can take it";
  for (int i = 0; i < 5000; i++) put("a3");
  handed();
  QueueRecord* target = worker.engine->find_queue(id);
  EXPECT_TRUE(worker.engine->room_for({&target, 1})) << "the consumers are slow, not the broker";
}

TEST_F(Groups, OfWhoNeedNotAcknowledgeAreFreeAtOnce) {
  declare({.group_key = "g"});
  subscribe(1, 0, 0, true);
  subscribe(2, 0, 0, true);
  put_all({"a1", "a2", "a3"});
  EXPECT_EQ(handed(), (Bodies{"1:a1", "2:a2", "1:a3"}));
}

TEST_F(Groups, AreGotOneMessageAtATime) {
  declare({.group_key = "g"});
  put_all({"a1", "a2", "b1"});
  const auto get_one = [&]() -> std::string {
    worker.engine->get({id, channel(), false});
    const auto got = worker.take_event<Got>();
    worker.engine->check_invariants();
    if (!got->message) return "";
    std::string body = body_of(got->message);
    worker.pool.release(got->message);
    Deliver delivery;
    delivery.entry = got->entry;
    held[body] = delivery;
    return body;
  };
  EXPECT_EQ(get_one(), "a1");
  EXPECT_EQ(get_one(), "b1");
  EXPECT_EQ(get_one(), "");
  subscribe(1, 5);
  EXPECT_EQ(handed(), Bodies{});
  ack("a1");
  EXPECT_EQ(handed(), Bodies{"1:a2"});
  ack("b1");
  EXPECT_EQ(get(), std::nullopt);
}

TEST_F(Groups, PrioritiesAreOfConsumersForWhatIsFree) {
  declare({.group_key = "g"});
  subscribe(1, 2, 0);
  put_all({"a1"});
  EXPECT_EQ(handed(), Bodies{"1:a1"});
  subscribe(2, 3, 10);
  put_all({"b1", "a2", "c1"});
  EXPECT_EQ(handed(), (Bodies{"1:a2", "2:b1", "2:c1"}));
}

TEST_F(Groups, ExpireAndAreDroppedFromAnywhere) {
  declare({.max_length = 4, .dead_lettering = DeadLettering{"dlx"}, .group_key = "g"});
  subscribe(1, 1);
  put_all({"a1"});
  EXPECT_EQ(handed(), Bodies{"1:a1"});
  put("b1", 10);
  handed();
  put_all({"a2", "c1", "a3"});
  now += std::chrono::milliseconds(10);
  worker.engine->on_time(now);
  EXPECT_EQ(take_dead(), Bodies{"b1"});
  put_all({"d1", "e1"});
  EXPECT_EQ(take_dead(), Bodies{"a2"}) << "the oldest, whoever may have it";
  ack("a1");
  EXPECT_EQ(handed(), Bodies{"1:c1"});
  worker.engine->purge({id, channel()});
  worker.engine->check_invariants();
  put_all({"c2", "a4"});
  EXPECT_EQ(handed(), Bodies{});
  ack("c1");
  EXPECT_EQ(handed(), Bodies{"1:c2"});
}

TEST_F(Groups, AreGoneWithTheirQueue) {
  declare({.group_key = "g"});
  subscribe(1, 2);
  put_all({"a1", "a2", "a3", "b1", "X"});
  handed();
  held.clear();
  worker.apply(topology.remove_queue("q"));
  dispatch();
}

// ---- at random ------------------------------------------------------------------------------------------------------

struct RandomGroups : Groups, ::testing::WithParamInterface<int> {};

// Whatever happens, a group is with one consumer, its messages are first handed out in their order, and nobody who
// could have a message goes without.
TEST_P(RandomGroups, KeepTheirPromises) {
  std::mt19937 random(static_cast<uint32_t>(GetParam()));
  const auto below = [&](uint32_t count) { return static_cast<uint32_t>(random() % count); };
  declare({.max_length = 40, .delivery_limit = 5, .group_key = "g"});
  struct Held {
    Deliver delivery;
    std::string body;
  };
  std::vector<Held> all_held;
  std::map<uint32_t, uint32_t> credit_of;    // of consumers that are there
  std::map<char, int> last_first_delivered;  // of each group
  int published = 0;
  uint32_t next_consumer = 1;
  const auto check_deliveries = [&] {
    const auto deliveries = dispatch();
    for (size_t i = 0; i < deliveries.size(); i++) {
      const Deliver& one = deliveries[i];
      std::string body = bodies[i];
      const bool again = body.ends_with('*');
      if (again) body.pop_back();
      const char group = body[0];
      const int number = std::stoi(body.substr(1));
      if (group >= 'a') {
        for (const Held& other : all_held) {
          if (other.body[0] != group) continue;
          ASSERT_EQ(other.delivery.consumer.consumer, one.consumer.consumer) << body << " " << other.body;
        }
        if (!again) {
          ASSERT_GT(number, last_first_delivered[group]);
          last_first_delivered[group] = number;
        }
      }
      all_held.push_back({one, body});
      uint32_t mine = 0;
      for (const Held& other : all_held) mine += other.delivery.consumer.consumer == one.consumer.consumer;
      ASSERT_TRUE(credit_of.contains(one.consumer.consumer));
      ASSERT_LE(mine, credit_of[one.consumer.consumer]);
    }
    take_dead();
    worker.engine->check_invariants();
  };
  for (int step = 0; step < 400; step++) {
    switch (below(8)) {
      case 0:
      case 1:
      case 2: {
        const char groups[] = {'a', 'b', 'c', 'X'};
        put(std::string(1, groups[below(4)]) + std::to_string(++published));
        break;
      }
      case 3:
        if (credit_of.size() < 4) {
          const uint32_t credit = 1 + below(4);
          subscribe(next_consumer, credit, static_cast<int32_t>(below(2)));
          credit_of[next_consumer++] = credit;
        }
        break;
      case 4:
        if (!credit_of.empty() && below(3) == 0) {
          const uint32_t number = credit_of.begin()->first;
          unsubscribe(number);
          credit_of.erase(number);
        }
        break;
      case 5:
        if (below(20) == 0) worker.engine->purge({id, channel()});
        break;
      default:
        if (!all_held.empty()) {
          const size_t which = below(static_cast<uint32_t>(all_held.size()));
          const Outcome outcomes[] = {Outcome::acknowledged, Outcome::acknowledged, Outcome::requeued,
                                      Outcome::rejected};
          settle(all_held[which].delivery, outcomes[below(4)]);
          all_held.erase(all_held.begin() + static_cast<std::ptrdiff_t>(which));
        }
    }
    check_deliveries();
    if (HasFatalFailure()) return;
  }
  for (const Held& one : all_held) settle(one.delivery, Outcome::acknowledged);
  take_dead();
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomGroups, ::testing::Range(0, 40));

}  // namespace
}  // namespace talaria::broker
