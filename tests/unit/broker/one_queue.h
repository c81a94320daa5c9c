// One worker with one queue "q", for the tests of what a queue does with its messages.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/unit/broker/fixture.h"

namespace talaria::broker {

class OneQueueTest : public ::testing::Test {
 protected:
  using Bodies = std::vector<std::string>;
  using Consumers = std::vector<uint32_t>;

  OneQueueTest() { worker.apply(topology.add_vhost()); }
  ~OneQueueTest() override {
    worker.engine->check_invariants();
    take_deliveries();
    take_dead();
    for (const Event& event : worker.outbox.events)
      if (const Got* got = std::get_if<Got>(&event); got && got->message) worker.pool.release(got->message);
    worker.outbox.events.clear();
    worker.engine.reset();
    worker.expect_all_home();
  }

  // With settings, and without any.
  void declare(QueueSettings settings) {
    settings.queue = "q";
    add(settings);
  }
  void declare() { add(std::nullopt); }
  // Whether it was stored.
  bool publish(Message* message, uint64_t sequence = 1) {
    QueueRecord* target = worker.engine->find_queue(id);
    worker.engine->publish({&target, 1}, message, channel(), sequence);
    const auto stored = worker.take_event<Stored>();
    EXPECT_EQ(stored.has_value(), sequence != 0) << "a publish with a sequence number is answered, and no other";
    return !stored || !stored->refused;
  }
  bool publish(std::string_view body) { return publish(worker.message(body)); }
  SubscribeResult subscribe(uint32_t number, uint32_t credit = 0, int32_t priority = 0, bool no_ack = false,
                            bool exclusive = false) {
    worker.engine->subscribe({id, consumer(number), credit, priority, no_ack, exclusive});
    const auto answer = worker.take_event<Subscribed>();
    EXPECT_TRUE(answer && answer->consumer == consumer(number));
    return answer->result;
  }
  Unsubscribed unsubscribe(uint32_t number) {
    worker.engine->unsubscribe({id, consumer(number)});
    const auto answer = worker.take_event<Unsubscribed>();
    EXPECT_TRUE(answer && answer->consumer == consumer(number));
    return *answer;
  }
  void settle(const Deliver& delivery, Outcome outcome) { worker.engine->settle({id, delivery.entry, outcome}); }

  // What dispatch hands out, references given back.
  std::vector<Deliver> dispatch(uint32_t budget = 1000) {
    worker.engine->dispatch(now, budget);
    return take_deliveries();
  }
  std::vector<Deliver> take_deliveries() {
    std::vector<Deliver> out(worker.outbox.deliveries.begin(), worker.outbox.deliveries.end());
    worker.outbox.deliveries.clear();
    bodies.clear();
    consumers.clear();
    for (const Deliver& delivery : out) {
      bodies.push_back(body_of(delivery.message) + (delivery.redelivered ? "*" : ""));
      consumers.push_back(delivery.consumer.consumer);
      worker.pool.release(delivery.message);
    }
    return out;
  }
  // The message a basic.get takes for good, or nullopt from an empty queue.
  std::optional<std::string> get() {
    worker.engine->get({id, channel(), true});
    const auto got = worker.take_event<Got>();
    if (!got->message) return std::nullopt;
    std::string body = body_of(got->message);
    worker.pool.release(got->message);
    return body;
  }
  // All that is ready.
  Bodies rest() {
    Bodies out;
    while (auto body = get()) out.push_back(*std::move(body));
    return out;
  }
  // What died, references given back.
  Bodies take_dead() {
    Bodies out;
    reasons.clear();
    for (const DeadMessage& dead : worker.outbox.dead) {
      out.push_back(body_of(dead.message));
      reasons.push_back(dead.reason);
      EXPECT_EQ(dead.settings->queue, "q");
      EXPECT_EQ(dead.vhost, topology.vhost);
      worker.pool.release(dead.message);
    }
    worker.outbox.dead.clear();
    return out;
  }

  TestTopology topology;
  TestWorker worker;
  base::Time now{};
  QueueId id;
  QueueCounters* counters = nullptr;
  Bodies bodies;                     // of the last take_deliveries; "*" marks a redelivered one
  Consumers consumers;               // and to whom they went
  std::vector<DeathReason> reasons;  // of the last take_dead

 private:
  void add(const std::optional<QueueSettings>& settings) {
    worker.engine->apply(topology.add_queue("q", 0, false, settings), now);
    id = topology.queues["q"];
    counters = topology.counters_of["q"];
  }
};

}  // namespace talaria::broker
