// What only some queues have moves along with them.
#include "tests/unit/broker/engine_move.h"

namespace talaria::broker {
namespace {

using namespace base;  // literals

class FeaturesMove : public EngineMove {
 protected:
  void declare(QueueSettings settings) {
    settings.queue = "special";
    apply(topology.add_queue("special", 0, false, settings));
    q = topology.queues["special"];
  }
  uint64_t ready() { return topology.counters_of["special"]->ready.value(); }
  void publish_to(WorkerIndex at, std::string_view body, uint64_t expiration_ms = Message::never_expires) {
    QueueRecord* target = engine(at).find_queue(q);
    engine(at).publish({&target, 1}, node(at).message(body, "", expiration_ms), channel(1, at), 0);
  }
  void pass_time(Duration time) {
    now += time;
    for (auto& one : nodes) one->engine->on_time(now);
  }
  void move_to_other() {
    apply(move(0, 1));
    pass_all();
    ASSERT_TRUE(is_home(1));
  }
  std::string get(WorkerIndex at) {
    engine(at).get({q, channel(1, at), true});
    const auto got = node(at).take_event<Got>();
    if (!got->message) return "";
    std::string body = body_of(got->message);
    node(at).pool.release(got->message);
    pass_all(1);
    return body;
  }

  Time now{};
};

TEST_F(FeaturesMove, Deadlines) {
  declare({.message_ttl_ms = 100});
  publish_to(0, "a");
  publish_to(0, "b", 30);
  pass_time(20ms);
  publish_to(0, "c");
  engine(0).get({q, channel(), false});
  const auto got_one = node(0).take_event<Got>();
  node(0).pool.release(got_one->message);
  move_to_other();
  EXPECT_EQ(engine(0).next_deadline(), base::never) << "nothing is left to fire at the old home";
  EXPECT_EQ(ready(), 2u);
  pass_time(10ms);
  EXPECT_EQ(ready(), 1u) << "b";
  pass_time(70ms);
  engine(0).settle({q, got_one->entry, Outcome::requeued});
  pass_all();
  EXPECT_EQ(ready(), 1u) << "a came back too late";
  EXPECT_EQ(engine(1).counters().expired.value(), 2u);
  pass_time(19ms);
  EXPECT_EQ(ready(), 1u);
  pass_time(1ms);
  EXPECT_EQ(ready(), 0u);
}

TEST_F(FeaturesMove, DeadlinesThatPassOnTheWay) {
  declare({.message_ttl_ms = 10});
  for (int i = 0; i < 20; i++) publish_to(0, "x");
  apply(move(0, 1));
  for (WorkerIndex from = 1; from < workers; from++) pass_operations(from, 0);
  engine(0).dispatch(now, 0);  // some of it
  pass_time(10ms);
  pass_operations(0, 1);
  pass_time(1ms);
  pass_all();
  ASSERT_TRUE(is_home(1));
  pass_time(1ms);
  pass_time(1ms);
  EXPECT_EQ(ready(), 0u);
  EXPECT_EQ(engine(0).counters().expired.value(), 0u);
  EXPECT_EQ(engine(1).counters().expired.value(), 20u);
  pass_all();
}

TEST_F(FeaturesMove, LimitsAndWhereTheDeadGo) {
  declare({.max_length = 2, .dead_lettering = DeadLettering{"dlx"}, .delivery_limit = 0});
  publish_to(0, "a");
  publish_to(0, "b");
  engine(0).get({q, channel(), false});
  const auto got_one = node(0).take_event<Got>();
  node(0).pool.release(got_one->message);
  move_to_other();
  publish_to(1, "c");
  publish_to(1, "d");
  engine(0).settle({q, got_one->entry, Outcome::requeued});
  pass_all();
  ASSERT_EQ(node(1).outbox.dead.size(), 2u);
  EXPECT_EQ(body_of(node(1).outbox.dead[0].message), "b");
  EXPECT_EQ(node(1).outbox.dead[0].reason, DeathReason::over_limit);
  EXPECT_EQ(body_of(node(1).outbox.dead[1].message), "a");
  EXPECT_EQ(node(1).outbox.dead[1].reason, DeathReason::over_deliveries);
  for (const DeadMessage& dead : std::exchange(node(1).outbox.dead, {})) node(1).pool.release(dead.message);
  EXPECT_EQ(get(1), "c");
  EXPECT_EQ(get(1), "d");
}

TEST_F(FeaturesMove, Priorities) {
  declare({.max_priority = 9});
  for (uint8_t i = 0; i < 10; i++) {
    QueueRecord* target = engine(0).find_queue(q);
    Message* message = node(0).message(std::to_string(i), "", Message::never_expires, i % 5);
    engine(0).publish({&target, 1}, message, channel(), 0);
  }
  engine(0).get({q, channel(), false});
  const auto got_one = node(0).take_event<Got>();
  EXPECT_EQ(body_of(got_one->message), "4");
  node(0).pool.release(got_one->message);
  engine(0).settle({q, got_one->entry, Outcome::requeued});
  move_to_other();
  for (const char* body : {"4", "9", "3", "8", "2", "7", "1", "6", "0", "5", ""}) EXPECT_EQ(get(1), body);
}

TEST_F(FeaturesMove, WhoIsTheSingleActiveConsumer) {
  declare({.single_active_consumer = true});
  for (const WorkerIndex at : {WorkerIndex{0}, WorkerIndex{1}, WorkerIndex{2}}) {
    subscribe(at, at + 1u);
    pass_all();
  }
  for (auto& one : nodes) one->take_event<Subscribed>();
  move_to_other();
  publish_to(1, "a");
  deliver(1);
  pass_all();
  EXPECT_EQ(read(0), Bodies{"a"});
  engine(0).unsubscribe({q, consumer(1, 0)});
  pass_all();
  node(0).take_event<Unsubscribed>();
  publish_to(1, "b");
  deliver(1);
  pass_all();
  EXPECT_EQ(read(1), Bodies{"b"}) << "the next in order";
  settle("a", Outcome::acknowledged);
  settle("b", Outcome::acknowledged);
  pass_all();
}

TEST_F(FeaturesMove, HowItsConsumersKeepUp) {
  declare({.slow_consumers = SlowConsumers{.threshold = 10, .check_period_ms = 1000}});
  engine(2).subscribe({q, consumer(1, 2), 5, 0, false, false});
  pass_all();
  node(2).take_event<Subscribed>();
  for (int i = 0; i < 100; i++) publish_to(0, "x");
  deliver(0);
  pass_all();
  EXPECT_EQ(read(2).size(), 5u);
  pass_time(1000ms);
  move_to_other();
  EXPECT_EQ(engine(0).next_deadline(), base::never);
  pass_time(1000ms);
  pass_all();
  EXPECT_FALSE(node(2).take_event<ConsumerSlow>()) << "the first look here";
  pass_time(1000ms);
  pass_all();
  const auto slow = node(2).take_event<ConsumerSlow>();
  ASSERT_TRUE(slow);
  EXPECT_EQ(slow->consumer, consumer(1, 2));
}

TEST_F(FeaturesMove, TheEndOfAnUnusedQueue) {
  declare({.expires_ms = 100});
  pass_time(50ms);
  move_to_other();
  pass_time(99ms);
  EXPECT_TRUE(node(1).outbox.unused_queues.empty());
  pass_time(1ms);
  EXPECT_EQ(node(1).outbox.unused_queues.size(), 1u);
  EXPECT_TRUE(node(0).outbox.unused_queues.empty());
}

}  // namespace
}  // namespace talaria::broker
