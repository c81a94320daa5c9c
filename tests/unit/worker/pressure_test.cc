// Message memory runs out: back-pressure, never loss.
#include "tests/unit/worker/cluster.h"

namespace talaria::worker {
namespace {

constexpr size_t body_size = 1000;

std::string numbered(uint64_t number) {
  std::string body = std::to_string(number);
  body.resize(body_size, '.');
  return body;
}

struct WorkerPressure : ::testing::TestWithParam<WorkerIndex> {
  // The publisher is on worker 0, the queue on the last one.
  const WorkerIndex home = static_cast<WorkerIndex>(GetParam() - 1);
  Cluster cluster{{.workers = GetParam(), .message_blocks = 32}};
  const tests::ScriptedControl::Queue& q = cluster.add_queue("q", home);

  // Publishes as TCP takes it until nothing has moved for a while. Returns how many were written.
  uint64_t fill(AmqpClient& publisher) {
    uint64_t written = 0, seen = UINT64_MAX;
    base::Time moved = cluster.now;
    while (cluster.now - moved < 300ms) {
      while (publisher.send_room() > 4 * body_size) publisher.publish(1, "", "q", numbered(written++));
      cluster.turn();
      const uint64_t published = cluster.worker(0).sessions().counters().messages_published.value();
      if (published != seen) moved = cluster.now;
      seen = published;
    }
    return written;
  }
};

TEST_P(WorkerPressure, PublisherStallsIsToldAndLosesNothing) {
  AmqpClient& publisher = cluster.open(0, true);
  AmqpClient& deaf = cluster.open(0, false);
  publisher.send(1, confirm::Select{});
  cluster.await<confirm::SelectOk>(publisher);

  const uint64_t written = fill(publisher);
  const uint64_t accepted = cluster.worker(0).sessions().counters().messages_published.value();
  EXPECT_LT(accepted, written) << "it was never stopped";
  EXPECT_GT(accepted, 1000u);
  EXPECT_TRUE(publisher.blocked);
  EXPECT_GE(cluster.worker(0).sessions().counters().publishers_stalled.value(), 1u);
  // Confirmed is exactly what the queue has.
  EXPECT_EQ(publisher.confirmed, q.counters->ready.value());
  EXPECT_EQ(publisher.nacks, 0u);
  // Who publishes nothing is not told, and not stopped: its channel can still be closed.
  EXPECT_FALSE(deaf.blocked);
  deaf.send(1, channel::Close{});
  cluster.await<channel::CloseOk>(deaf);

  AmqpClient& consumer = cluster.open(home);
  consumer.send(1, basic::Qos{.prefetch_count = 100});
  consumer.consume(1, "q", "c", false);
  for (uint64_t i = 0; i < written; i++) {
    const Received got = cluster.await<basic::Deliver>(consumer);
    ASSERT_EQ(got.body, numbered(i));
    consumer.send(1, basic::Ack{.delivery_tag = got.as<basic::Deliver>().delivery_tag});
  }
  EXPECT_TRUE(cluster.run_until([&] { return publisher.confirmed == written; }));
  EXPECT_EQ(publisher.nacks, 0u);
  EXPECT_FALSE(publisher.blocked) << "it was not told that it may go on";
  EXPECT_TRUE(cluster.run_until([&] { return cluster.worker(0).pool().messages() == 0; }));
  EXPECT_EQ(cluster.worker(home).engine().counters().refused_no_memory.value(), 0u);
}

// Clients that do not know connection.blocked are stopped by their TCP window alone.
TEST_P(WorkerPressure, WhoDoesNotKnowBlockedIsNotTold) {
  AmqpClient& publisher = cluster.open(0, false);
  const uint64_t written = fill(publisher);
  EXPECT_LT(cluster.worker(0).sessions().counters().messages_published.value(), written);
  EXPECT_EQ(publisher.blocked_times, 0u);
  cluster.control.send(home, PurgeQueue{1, q.id});
  // Room again: the rest of what was written arrives.
  EXPECT_TRUE(
      cluster.run_until([&] { return cluster.worker(0).sessions().counters().messages_published.value() == written; }));
  EXPECT_TRUE(cluster.run_until([&] { return q.counters->enqueued.value() == written; }));
}

// The control plane takes nothing for a while: who asks it, or tells it much, waits; who needs it not goes on.
TEST(WorkerReports, AControlPlaneThatIsBehindHoldsUpOnlyThoseWhoNeedIt) {
  Cluster cluster;
  constexpr size_t crowd = 40, each = 200;
  std::vector<AmqpClient*> busy;
  for (size_t i = 0; i < crowd; i++) busy.push_back(&cluster.open());
  AmqpClient& client = cluster.open();
  client.send(1, queue::Declare{.queue = "q"});
  cluster.await<queue::DeclareOk>(client);
  client.consume(1, "q", "c", true);
  cluster.await<basic::ConsumeOk>(client);
  client.publish(1, "", "q", "allowed");
  EXPECT_EQ(cluster.await<basic::Deliver>(client).body, "allowed");

  cluster.control_held = true;
  const uint64_t before = cluster.worker().sessions().counters().frames_in.value();
  for (AmqpClient* one : busy)
    for (size_t i = 0; i < each; i++) one->send(1, basic::Qos{.prefetch_count = static_cast<uint16_t>(i)});
  cluster.run(10ms);
  // The mailbox, what stands before it, and what each of them may have waiting.
  const uint64_t taken = cluster.worker().sessions().counters().frames_in.value() - before;
  EXPECT_GE(taken, 1024u + 256);
  EXPECT_LE(taken, 1024u + 256 + crowd * 64);
  client.publish(1, "", "q", "quick");
  EXPECT_EQ(cluster.await<basic::Deliver>(client).body, "quick");
  // Commands wait as well when reports do.
  for (uint64_t token = 1; token <= 500; token++) cluster.control.send(0, PurgeQueue{token, {}});

  cluster.control_held = false;
  for (AmqpClient* one : busy)
    for (size_t i = 0; i < each; i++) cluster.await<basic::QosOk>(*one);
  EXPECT_TRUE(cluster.run_until([&] { return cluster.control.purged.size() == 500; }));
}

INSTANTIATE_TEST_SUITE_P(Workers, WorkerPressure, ::testing::Values(WorkerIndex{1}, WorkerIndex{2}),
                         [](const auto& one) { return "of" + std::to_string(one.param); });

}  // namespace
}  // namespace talaria::worker
