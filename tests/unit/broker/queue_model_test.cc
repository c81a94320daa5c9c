// One queue against a slow, obvious model: messages in a map by position, consumers in a map by number. Random
// publishes, dispatches, settlements of every kind, cancels, pauses, gets and purges; after each step the two must
// agree.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/unit/broker/fixture.h"

namespace talaria::broker {
namespace {

struct ModelMessage {
  std::string body;
  bool redelivered = false;
};
struct ModelConsumer {
  uint32_t credit = 0;
  int32_t priority = 0;
  bool no_ack = false;
  bool exclusive = false;
  bool paused = false;
  uint32_t holds = 0;
  bool able() const { return !paused && (no_ack || credit == 0 || holds < credit); }
};
struct ModelUnacked {
  EntryId entry;
  uint64_t position;
  ModelMessage message;
  uint32_t holder;  // 0: a get, or a consumer that is gone
};

class QueueModel {
 public:
  explicit QueueModel(unsigned seed) : random_(seed) {
    worker_.apply(topology_.add_vhost());
    worker_.apply(topology_.add_queue("q"));
    id_ = topology_.queues["q"];
  }

  void run(int steps) {
    for (int step = 0; step < steps && !::testing::Test::HasFatalFailure(); step++) {
      one_step();
      agree();
      if (step % 50 == 0) worker_.engine->check_invariants();
    }
    worker_.engine.reset();
    worker_.expect_all_home();
  }

 private:
  Engine& engine() { return *worker_.engine; }
  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(random_() % bound); }

  void one_step() {
    switch (below(12)) {
      case 0:
      case 1:
      case 2: return publish();
      case 3:
      case 4: return dispatch();
      case 5:
      case 6:
      case 7: return settle();
      case 8: return below(3) ? subscribe() : get();
      case 9: return below(2) ? unsubscribe() : below(2) ? pause() : change_credit();
      case 10: return get();
      default: return below(20) == 0 ? purge() : requeue_all_of_one();
    }
  }

  void publish() {
    for (uint32_t count = 1 + below(6); count > 0; count--) {
      ModelMessage message{std::string(below(40), 'x') + std::to_string(next_position_), false};
      QueueRecord* target = engine().find_queue(id_);
      engine().publish({&target, 1}, worker_.message(message.body), channel(), 0);
      ready_[next_position_++] = message;
    }
  }

  void dispatch() {
    engine().dispatch({}, 1 + below(12));
    for (const Deliver& delivery : worker_.outbox.deliveries) {
      ASSERT_FALSE(ready_.empty());
      auto [position, message] = *ready_.begin();
      ASSERT_EQ(body_of(delivery.message), message.body) << "the oldest ready message goes first";
      ASSERT_EQ(delivery.redelivered, message.redelivered);
      uint32_t number = delivery.consumer.consumer;
      ASSERT_TRUE(consumers_.count(number));
      ModelConsumer& to = consumers_[number];
      ASSERT_TRUE(to.able());
      for (const auto& [other_number, other] : consumers_) {
        ASSERT_TRUE(!other.able() || other.priority <= to.priority);
      }
      ready_.erase(ready_.begin());
      ASSERT_EQ(bool{delivery.entry}, !to.no_ack);
      if (!to.no_ack) {
        to.holds++;
        unacked_.push_back({delivery.entry, position, message, number});
      }
      worker_.pool.release(delivery.message);
    }
    worker_.outbox.deliveries.clear();
    // Fewer than asked for means that nobody can take any more.
    if (engine().idle() && !ready_.empty()) {
      for (const auto& [number, one] : consumers_) ASSERT_FALSE(one.able());
    }
  }

  void settle() {
    for (uint32_t count = 1 + below(4); count > 0 && !unacked_.empty(); count--) {
      const Outcome outcomes[] = {Outcome::acknowledged, Outcome::acknowledged, Outcome::requeued, Outcome::rejected};
      settle(below(static_cast<uint32_t>(unacked_.size())), outcomes[below(4)]);
    }
  }
  void settle(size_t which, Outcome outcome) {
    ModelUnacked one = unacked_[which];
    unacked_.erase(unacked_.begin() + static_cast<std::ptrdiff_t>(which));
    engine().settle({id_, one.entry, outcome});
    if (one.holder) consumers_[one.holder].holds--;
    if (outcome != Outcome::requeued) return;
    one.message.redelivered = true;
    ready_[one.position] = one.message;
  }
  // As when a channel dies.
  void requeue_all_of_one() {
    if (consumers_.empty()) return;
    uint32_t number = std::next(consumers_.begin(), below(static_cast<uint32_t>(consumers_.size())))->first;
    for (size_t i = unacked_.size(); i-- > 0;)
      if (unacked_[i].holder == number) settle(i, Outcome::requeued);
  }

  void subscribe() {
    uint32_t number = below(6) == 0 && !consumers_.empty() ? 0 : next_consumer_++;
    if (number == 0 || consumers_.size() > 8) return;
    ModelConsumer one;
    one.credit = below(3) == 0 ? 0 : 1 + below(5);
    one.priority = static_cast<int32_t>(below(3)) - 1;
    one.no_ack = below(6) == 0;
    one.exclusive = below(8) == 0;
    bool conflict = one.exclusive && !consumers_.empty();
    for (const auto& [other_number, other] : consumers_) conflict |= other.exclusive;
    engine().subscribe({id_, consumer(number), one.credit, one.priority, one.no_ack, one.exclusive});
    auto answer = worker_.take_event<Subscribed>();
    ASSERT_TRUE(answer);
    ASSERT_EQ(answer->result, conflict ? SubscribeResult::exclusive_conflict : SubscribeResult::subscribed);
    if (!conflict) consumers_[number] = one;
  }
  void unsubscribe() {
    if (consumers_.empty()) return;
    auto gone = std::next(consumers_.begin(), below(static_cast<uint32_t>(consumers_.size())));
    engine().unsubscribe({id_, consumer(gone->first)});
    ASSERT_TRUE(worker_.take_event<Unsubscribed>());
    for (ModelUnacked& one : unacked_)
      if (one.holder == gone->first) one.holder = 0;
    consumers_.erase(gone);
  }
  void pause() {
    if (consumers_.empty()) return;
    auto which = std::next(consumers_.begin(), below(static_cast<uint32_t>(consumers_.size())));
    which->second.paused = below(3) == 0;
    engine().pause({id_, consumer(which->first), which->second.paused});
  }

  void change_credit() {
    if (consumers_.empty()) return;
    auto which = std::next(consumers_.begin(), below(static_cast<uint32_t>(consumers_.size())));
    which->second.credit = below(5);
    engine().credit({id_, consumer(which->first), which->second.credit});
  }

  void get() {
    bool no_ack = below(2);
    engine().get({id_, channel(), no_ack});
    auto got = worker_.take_event<Got>();
    ASSERT_TRUE(got);
    ASSERT_EQ(got->message != nullptr, !ready_.empty());
    if (!got->message) return;
    auto [position, message] = *ready_.begin();
    ready_.erase(ready_.begin());
    ASSERT_EQ(body_of(got->message), message.body);
    ASSERT_EQ(got->redelivered, message.redelivered);
    ASSERT_EQ(got->remaining, ready_.size());
    worker_.pool.release(got->message);
    if (!no_ack) unacked_.push_back({got->entry, position, message, 0});
  }
  void purge() {
    engine().purge({id_, channel()});
    ASSERT_EQ(worker_.take_event<Purged>()->count, ready_.size());
    ready_.clear();
  }

  void agree() {
    const QueueCounters& counters = *topology_.counters_of["q"];
    size_t bytes = 0;
    for (const auto& [position, message] : ready_) bytes += message.body.size();
    ASSERT_EQ(counters.ready.value(), ready_.size());
    ASSERT_EQ(counters.bytes_ready.value(), bytes);
    ASSERT_EQ(counters.unacknowledged.value(), unacked_.size());
    ASSERT_EQ(counters.consumers.value(), consumers_.size());
    ASSERT_TRUE(worker_.outbox.events.empty());
  }

  std::mt19937 random_;
  TestTopology topology_;
  TestWorker worker_;
  QueueId id_;
  uint64_t next_position_ = 0;
  uint32_t next_consumer_ = 1;
  std::map<uint64_t, ModelMessage> ready_;
  std::map<uint32_t, ModelConsumer> consumers_;
  std::vector<ModelUnacked> unacked_;
};

TEST(QueueModel, RandomConversationsAgree) {
  for (unsigned seed = 1; seed <= 40; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    QueueModel(seed).run(1500);
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace talaria::broker
