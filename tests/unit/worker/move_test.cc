// A queue moves from worker to worker under the feet of its clients.
#include "tests/unit/worker/cluster.h"

namespace talaria::worker {
namespace {

struct WorkerMove : ::testing::Test {
  bool moved(size_t moves) {
    return cluster.run_until([&] { return cluster.control.moves.size() == moves && !cluster.control.moving(); });
  }
  const broker::QueueRecord* record(WorkerIndex at) { return cluster.worker(at).engine().find_queue(queue.id); }

  Cluster cluster{{.workers = 3}};
  const tests::ScriptedControl::Queue& queue = cluster.add_queue("q", 0);
};

TEST_F(WorkerMove, ItFollowsItsTraffic) {
  AmqpClient& consumer = cluster.open(1);
  consumer.consume(1, "q", "c", true);
  cluster.await<basic::ConsumeOk>(consumer);
  AmqpClient& publisher = cluster.open(1);
  publisher.send(1, confirm::Select{});
  uint64_t published = 0;
  const auto publish_some = [&] {
    for (int i = 0; i < 50; i++) publisher.publish(1, "", "q", std::to_string(published++));
    EXPECT_TRUE(cluster.run_until([&] { return publisher.confirmed == published; }));
  };
  while (cluster.control.wishes.empty() && published < 10000) publish_some();
  ASSERT_FALSE(cluster.control.wishes.empty());
  EXPECT_EQ(published, 4100u) << "the 4096th";
  EXPECT_EQ(cluster.control.wishes[0].queue, queue.id);
  EXPECT_EQ(cluster.control.wishes[0].to, 1);
  ASSERT_TRUE(cluster.control.move_queue("q", 1));
  publish_some();
  ASSERT_TRUE(moved(1));
  const uint64_t sent = cluster.worker(1).counters().operations_sent.value();
  publish_some();
  EXPECT_EQ(cluster.worker(1).counters().operations_sent.value(), sent) << "nothing crosses any more";
  for (uint64_t i = 0; i < published; i++)
    ASSERT_EQ(cluster.await<basic::Deliver>(consumer).body, std::to_string(i)) << "in their order";
  EXPECT_EQ(queue.counters->ready.value(), 0u);
}

// Publishers and consumers on all workers, who settle late and in any order, while the queue goes round.
TEST_F(WorkerMove, NothingIsLostDoubledOrReordered) {
  constexpr int rounds = 40;
  struct Side {
    AmqpClient* client;
    uint64_t published = 0;
  };
  std::vector<Side> publishers;
  for (WorkerIndex at = 0; at < 3; at++) {
    AmqpClient& client = cluster.open(at);
    client.send(1, confirm::Select{});
    publishers.push_back({&client});
  }
  AmqpClient& consumer = cluster.open(2);
  consumer.send(1, basic::Qos{.prefetch_count = 20});
  consumer.consume(1, "q", "c", false);
  cluster.await<basic::ConsumeOk>(consumer);
  std::map<char, uint64_t> next;
  uint64_t all = 0, settled = 0, last_tag = 0;
  const auto consume = [&] {
    while (auto delivery = consumer.take<basic::Deliver>()) {
      const auto& method = delivery->as<basic::Deliver>();
      last_tag = method.delivery_tag;
      if (!method.redelivered) {
        EXPECT_EQ(std::stoull(delivery->body.substr(1)), next[delivery->body[0]]++);
      }
      // Now and then some go back.
      if (last_tag % 7 == 0) {
        const bool back = last_tag % 3 == 0 && !method.redelivered;
        consumer.send(1, basic::Nack{.delivery_tag = last_tag, .multiple = false, .requeue = back});
        settled += back ? 0 : 1;
      } else {
        consumer.send(1, basic::Ack{.delivery_tag = last_tag});
        settled++;
      }
    }
  };
  for (int round = 0; round < rounds; round++) {
    for (Side& side : publishers)
      for (int i = 0; i < 20; i++) {
        side.client->publish(
            1, "", "q",
            std::string(1, static_cast<char>('a' + (&side - publishers.data()))) + std::to_string(side.published++));
        all++;
      }
    if (!cluster.control.moving()) cluster.control.move_queue("q", static_cast<WorkerIndex>(round % 3));
    for (int turn = 0; turn < 7 + round % 5; turn++) {
      cluster.turn();
      consume();
    }
  }
  EXPECT_TRUE(cluster.run_until([&] {
    consume();
    return settled == all && !cluster.control.moving();
  }));
  EXPECT_EQ(settled, all);
  for (Side& side : publishers) {
    EXPECT_TRUE(cluster.run_until([&] { return side.client->confirmed == side.published; }));
    EXPECT_EQ(side.client->nacks, 0u);
  }
  EXPECT_GT(cluster.control.moves.size(), 10u);
  EXPECT_TRUE(cluster.run_until([&] { return queue.counters->unacknowledged.value() == 0; }));
}

TEST_F(WorkerMove, AClientThatVanishesMeanwhileGivesEverythingBack) {
  for (const WorkerIndex at : {WorkerIndex{0}, WorkerIndex{1}, WorkerIndex{2}}) {
    AmqpClient& consumer = cluster.open(at);
    AmqpClient& publisher = cluster.open(at);
    for (int i = 0; i < 10; i++) publisher.publish(1, "", "q", "x");
    consumer.consume(1, "q", "c", false);
    ASSERT_TRUE(cluster.run_until([&] { return consumer.deliveries == 10; }));
    const WorkerIndex home = queue.home;
    ASSERT_TRUE(cluster.control.move_queue("q", static_cast<WorkerIndex>((home + 1) % 3)));
    cluster.turn();
    cluster.abort(consumer);
    cluster.abort(publisher);
    const size_t moves = size_t{at} + 1;
    ASSERT_TRUE(moved(moves));
    EXPECT_TRUE(cluster.run_until([&] { return queue.counters->ready.value() == 10; })) << "they came back";
    EXPECT_EQ(queue.counters->unacknowledged.value(), 0u);
    EXPECT_EQ(queue.counters->consumers.value(), 0u);
    AmqpClient& purger = cluster.open(at);
    purger.send(1, amqp091::wire::queue::Purge{.queue = "q"});
    cluster.await<amqp091::wire::queue::PurgeOk>(purger);
  }
}

TEST_F(WorkerMove, CancelGetAndDeclareMeanwhileAreAnswered) {
  AmqpClient& consumer = cluster.open(0);
  consumer.consume(1, "q", "c", true);
  cluster.await<basic::ConsumeOk>(consumer);
  AmqpClient& getter = cluster.open(1);
  AmqpClient& counter = cluster.open(2);
  cluster.hold(2);  // the move begins, and does not end
  ASSERT_TRUE(cluster.control.move_queue("q", 1));
  cluster.run(1ms);
  EXPECT_EQ(record(0)->home, broker::nowhere);
  consumer.send(1, basic::Cancel{.consumer_tag = "c"});
  getter.send(1, basic::Get{.queue = "q"});
  cluster.run(1ms);
  EXPECT_FALSE(consumer.take<basic::CancelOk>());
  cluster.hold(2, false);
  counter.send(1, amqp091::wire::queue::Declare{.queue = "q"});
  cluster.await<basic::CancelOk>(consumer);
  cluster.await<basic::GetEmpty>(getter);
  cluster.await<amqp091::wire::queue::DeclareOk>(counter);
  ASSERT_TRUE(moved(1));
  EXPECT_EQ(queue.counters->consumers.value(), 0u);
}

// A publisher waits, and is told why when it takes long.
TEST_F(WorkerMove, APublisherWaitsForTheMove) {
  AmqpClient& publisher = cluster.open(1, true);
  publisher.publish(1, "", "q", "first");
  ASSERT_TRUE(cluster.run_until([&] { return queue.counters->ready.value() == 1; }));
  cluster.hold(2);
  ASSERT_TRUE(cluster.control.move_queue("q", 1));
  cluster.run(1ms);
  publisher.publish(1, "", "q", "second");
  EXPECT_TRUE(cluster.run_until([&] { return publisher.blocked; }));
  EXPECT_EQ(queue.counters->enqueued.value(), 1u);
  cluster.hold(2, false);
  EXPECT_TRUE(cluster.run_until([&] { return !publisher.blocked; }));
  EXPECT_TRUE(cluster.run_until([&] { return queue.counters->ready.value() == 2; }));
  EXPECT_TRUE(moved(1));
}

TEST_F(WorkerMove, RemovedMeanwhile) {
  AmqpClient& consumer = cluster.open(2);
  consumer.consume(1, "q", "c", false);
  cluster.await<basic::ConsumeOk>(consumer);
  for (int i = 0; i < 50; i++) consumer.publish(1, "", "q", "x");
  ASSERT_TRUE(cluster.run_until([&] { return consumer.deliveries == 50; }));
  ASSERT_TRUE(cluster.control.move_queue("q", 1));
  cluster.control.remove_queue("q");
  EXPECT_TRUE(cluster.run_until([&] { return cluster.worker(2).sessions().counters().consumers.value() == 0; }));
  EXPECT_TRUE(moved(1));
  consumer.send(1, basic::Ack{.delivery_tag = 50, .multiple = true});
  cluster.run(5ms);
  EXPECT_FALSE(consumer.take<channel::Close>().has_value());
}

// Deliveries beyond the channel-wide prefetch lie in the channel, under the names that the old home gave them.
TEST_F(WorkerMove, WhatAChannelHasParkedKeepsItsPlace) {
  AmqpClient& consumer = cluster.open(2);
  consumer.send(1, basic::Qos{.prefetch_count = 5, .global = true});
  cluster.await<basic::QosOk>(consumer);
  for (const char* tag : {"c1", "c2"}) {
    consumer.consume(1, "q", tag, false);
    cluster.await<basic::ConsumeOk>(consumer);
  }
  AmqpClient& publisher = cluster.open(1);
  uint64_t published = 0, taken = 0;
  std::vector<uint64_t> tags;
  const auto publish_some = [&] {
    for (int i = 0; i < 20; i++) publisher.publish(1, "", "q", std::to_string(published++));
  };
  const auto take_some = [&](uint64_t until) {
    return cluster.run_until([&] {
      while (taken < until) {
        const auto delivery = consumer.take<basic::Deliver>();
        if (!delivery) break;
        EXPECT_EQ(delivery->body, std::to_string(taken)) << "in their order";
        EXPECT_FALSE(delivery->as<basic::Deliver>().redelivered);
        taken++;
        consumer.send(1, basic::Ack{.delivery_tag = delivery->as<basic::Deliver>().delivery_tag});
      }
      return taken == until;
    });
  };
  publish_some();
  ASSERT_TRUE(cluster.run_until([&] { return queue.counters->unacknowledged.value() == 10; })) << "five of them parked";
  ASSERT_TRUE(cluster.control.move_queue("q", 1));
  publish_some();
  ASSERT_TRUE(take_some(13));
  ASSERT_TRUE(moved(1));
  ASSERT_TRUE(cluster.control.move_queue("q", 2));
  ASSERT_TRUE(take_some(27));
  ASSERT_TRUE(moved(2));
  ASSERT_TRUE(cluster.control.move_queue("q", 0));
  cluster.turn();
  cluster.abort(consumer);
  ASSERT_TRUE(moved(3));
  EXPECT_TRUE(cluster.run_until([&] { return queue.counters->ready.value() == 13; })) << "the others came back";
  EXPECT_EQ(queue.counters->unacknowledged.value(), 0u);
  AmqpClient& last = cluster.open(1);
  last.consume(1, "q", "c", true);
  for (uint64_t i = 27; i < 40; i++)
    ASSERT_EQ(cluster.await<basic::Deliver>(last).body, std::to_string(i)) << "in their order";
}

// Once all are told, a move needs the control plane no more; and what it could not say for a while it says later.
TEST_F(WorkerMove, AControlPlaneThatIsLateHoldsUpNobody) {
  AmqpClient& publisher = cluster.open(1);
  publisher.publish(1, "", "q", "first");
  ASSERT_TRUE(cluster.run_until([&] { return queue.counters->ready.value() == 1; }));
  ASSERT_TRUE(cluster.control.move_queue("q", 1));
  cluster.turn();  // says so
  cluster.control_held = true;
  publisher.publish(1, "", "q", "second");
  EXPECT_TRUE(cluster.run_until([&] { return queue.counters->ready.value() == 2; }));
  cluster.run(1ms);
  for (WorkerIndex at = 0; at < 3; at++) EXPECT_EQ(record(at)->home, 1);
  EXPECT_TRUE(cluster.control.moving()) << "it has heard of nothing";
  cluster.control_held = false;
  EXPECT_TRUE(moved(1));
}

// ---- the process ends in the middle of it ---------------------------------------------------------------------------

struct WorkerMoveEnd : ::testing::TestWithParam<std::tuple<WorkerIndex, int>> {};

TEST_P(WorkerMoveEnd, WithAMoveUnderWay) {
  Cluster cluster{{.workers = 3}};
  cluster.add_queue("q", 0);
  AmqpClient& consumer = cluster.open(2);
  consumer.send(1, basic::Qos{.prefetch_count = 100});
  consumer.consume(1, "q", "c", false);
  AmqpClient& publisher = cluster.open(0);
  for (int i = 0; i < 5000; i++) publisher.publish(1, "", "q", "x");
  ASSERT_TRUE(cluster.run_until([&] { return cluster.control.queue("q").counters->ready.value() == 4900; }));
  ASSERT_TRUE(cluster.control.move_queue("q", 1));
  const auto [first, turns] = GetParam();
  for (int turn = 0; turn < turns; turn++) {
    if (turn == 2) consumer.send(1, basic::Ack{.delivery_tag = 100, .multiple = true});
    cluster.turn();
  }
  cluster.end(first);
}

INSTANTIATE_TEST_SUITE_P(First, WorkerMoveEnd,
                         ::testing::Combine(::testing::Values(WorkerIndex{0}, WorkerIndex{1}, WorkerIndex{2}),
                                            ::testing::Range(1, 12)));

// ---- what the broker tells ------------------------------------------------------------------------------------------

TEST_F(WorkerMove, EventsWaitForItAndAnswersElsewhereDoNot) {
  cluster.add_queue("r", 0);
  cluster.control.bind("amq.topic", "q", "#");
  ASSERT_TRUE(cluster.run_until([&] { return cluster.applied_by_all(); }));
  const auto tell = [&](std::string exchange, std::string key, std::string body) {
    cluster.control.send(0, Announce{new broker::Announcement{
                                cluster.control.vhost, std::move(exchange), std::move(key), {0, 0}, std::move(body)}});
  };
  cluster.hold(1);
  ASSERT_TRUE(cluster.control.move_queue("q", 1));
  cluster.run(1ms);
  for (const char* body : {"1", "2", "3"}) tell("amq.topic", "queue.created", body);
  tell("", "r", "an answer");
  cluster.run(1ms);
  EXPECT_EQ(cluster.control.queue("r").counters->ready.value(), 1u) << "answers do not wait for events";
  cluster.hold(1, false);
  AmqpClient& reader = cluster.open(1);
  reader.consume(1, "q", "c", true);
  for (const char* body : {"1", "2", "3"}) EXPECT_EQ(cluster.await<basic::Deliver>(reader).body, body);
  EXPECT_EQ(cluster.worker(0).sessions().counters().announcements_published.value(), 4u);
  EXPECT_EQ(cluster.worker(0).sessions().counters().announcements_lost.value(), 0u);
}

}  // namespace
}  // namespace talaria::worker
