// What the control plane tells a worker, and what it reports back.
#include "tests/unit/worker/cluster.h"

namespace talaria::worker {
namespace {

TEST(WorkerCommands, ChangesAreAppliedInOrderAndReported) {
  Cluster cluster({.workers = 2});
  cluster.hold(1);
  for (int i = 0; i < 200; i++) cluster.control.add_queue("q" + std::to_string(i), 0);
  cluster.run(2ms);
  EXPECT_EQ(cluster.control.applied(0), cluster.control.changes());
  EXPECT_LT(cluster.control.applied(1), cluster.control.changes());
  cluster.hold(1, false);
  EXPECT_TRUE(cluster.run_until([&] { return cluster.applied_by_all(); }));
  EXPECT_EQ(cluster.worker(1).counters().changes_applied.value(), cluster.control.changes());
  broker::Vhost* vhost = cluster.worker(1).engine().find_vhost(cluster.control.vhost);
  ASSERT_NE(vhost, nullptr);
  EXPECT_EQ(vhost->queues(), 200u);
}

// More than a turn's bound of commands: the rest is not forgotten, and the worker asks to be polled again.
TEST(WorkerCommands, AreTakenUpWithABound) {
  Cluster cluster;
  for (int i = 0; i < 500; i++) cluster.control.add_queue("q" + std::to_string(i), 0);
  cluster.control.turn();
  const uint64_t before = cluster.worker().counters().changes_applied.value();
  cluster.worker().poll(cluster.now);
  EXPECT_EQ(cluster.worker().counters().changes_applied.value() - before, WorkerConfig{}.commands_per_turn);
  EXPECT_LE(cluster.worker().next_deadline(), cluster.now);
  EXPECT_TRUE(cluster.run_until([&] { return cluster.applied_by_all(); }));
}

TEST(WorkerCommands, AWatcherSeesFramesUntilItsEndIsReported) {
  struct Watcher : net::FrameWatcher {
    void see(size_t, net::FrameWay way, const net::Packet&, base::Time) override { seen[way == net::FrameWay::in]++; }
    size_t seen[2] = {};
  } watcher;
  Cluster cluster;
  cluster.control.send(0, WatchFrames{&watcher});
  EXPECT_TRUE(cluster.run_until([&] { return cluster.control.frames_watched == 1; }));
  cluster.open();
  EXPECT_GT(watcher.seen[0], 3u);
  EXPECT_GT(watcher.seen[1], 3u);
  cluster.control.send(0, WatchFrames{nullptr});
  EXPECT_TRUE(cluster.run_until([&] { return cluster.control.frames_watched == 2; }));
  const size_t seen = watcher.seen[0];
  cluster.open();
  EXPECT_EQ(watcher.seen[0], seen);
}

// After declare-ok every connection on every worker sees the queue: the answer waits for the slowest.
TEST(WorkerCommands, ADeclareIsAnsweredWhenAllHaveAppliedIt) {
  Cluster cluster({.workers = 2});
  cluster.control.homes["q"] = 1;
  AmqpClient& client = cluster.open(0);
  cluster.hold(1);
  client.send(1, queue::Declare{.queue = "q"});
  cluster.run(5ms);
  EXPECT_FALSE(client.take<queue::DeclareOk>().has_value());
  cluster.hold(1, false);
  cluster.await<queue::DeclareOk>(client);
  AmqpClient& other = cluster.open(1);
  other.publish(1, "", "q", "x");
  EXPECT_TRUE(cluster.run_until([&] { return cluster.control.queue("q").counters->ready.value() == 1; }));
}

// While one connection's declare is under way, another one's messages flow.
TEST(WorkerCommands, NobodyElseWaitsForADeclare) {
  Cluster cluster({.workers = 2});
  cluster.add_queue("near", 0);
  AmqpClient& declaring = cluster.open(0);
  AmqpClient& other = cluster.open(0);
  other.consume(1, "near", "c", true);
  cluster.await<basic::ConsumeOk>(other);
  cluster.hold(1);
  declaring.send(1, queue::Declare{.queue = "q"});
  cluster.run(1ms);
  other.publish(1, "", "near", "x");
  EXPECT_EQ(cluster.await<basic::Deliver>(other).body, "x");
  EXPECT_FALSE(declaring.take<queue::DeclareOk>().has_value());
  cluster.hold(1, false);
  cluster.await<queue::DeclareOk>(declaring);
}

TEST(WorkerCommands, CheckDeleteSaysWhetherTheQueueMayGo) {
  Cluster cluster;
  const broker::QueueId id = cluster.add_queue("q", 0).id;
  AmqpClient& client = cluster.open();
  for (int i = 0; i < 3; i++) client.publish(1, "", "q", "x");
  ASSERT_TRUE(cluster.run_until([&] { return cluster.control.queue("q").counters->ready.value() == 3; }));
  auto check = [&](uint64_t token, bool if_unused, bool if_empty, broker::QueueId queue) {
    cluster.control.send(0, CheckDelete{token, queue, if_unused, if_empty});
    EXPECT_TRUE(cluster.run_until([&] { return cluster.control.delete_checked.contains(token); }));
    return cluster.control.delete_checked[token];
  };
  EXPECT_EQ(check(1, false, false, id).verdict, DeleteVerdict::may_go);
  EXPECT_EQ(check(2, false, false, id).ready, 3u);
  EXPECT_EQ(check(3, true, false, id).verdict, DeleteVerdict::may_go);
  EXPECT_EQ(check(4, false, true, id).verdict, DeleteVerdict::not_empty);
  client.send(1, basic::Qos{.prefetch_count = 1});
  client.consume(1, "q", "c", false);
  cluster.await<basic::ConsumeOk>(client);
  EXPECT_EQ(check(5, true, false, id).verdict, DeleteVerdict::in_use);
  EXPECT_EQ(check(6, false, false, {id.slot, id.generation + 1}).verdict, DeleteVerdict::no_such_queue);
}

TEST(WorkerCommands, PurgeQueueDropsWhatIsReadyAndKeepsWhatIsUnacknowledged) {
  Cluster cluster;
  const auto& q = cluster.add_queue("q", 0);
  AmqpClient& client = cluster.open();
  client.send(1, basic::Qos{.prefetch_count = 2});
  client.consume(1, "q", "c", false);
  for (int i = 0; i < 10; i++) client.publish(1, "", "q", "x");
  ASSERT_TRUE(cluster.run_until([&] { return client.deliveries == 2; }));
  cluster.control.send(0, PurgeQueue{1, q.id});
  cluster.control.send(0, PurgeQueue{2, q.id});
  cluster.control.send(0, PurgeQueue{3, {q.id.slot, q.id.generation + 1}});
  ASSERT_TRUE(cluster.run_until([&] { return cluster.control.purged.size() == 3; }));
  EXPECT_EQ(cluster.control.purged[1], 8u);
  EXPECT_EQ(cluster.control.purged[2], 0u);
  EXPECT_EQ(cluster.control.purged[3], 0u) << "a queue that is gone";
  EXPECT_EQ(q.counters->unacknowledged.value(), 2u);
  EXPECT_EQ(q.counters->ready.value(), 0u);
}

TEST(WorkerCommands, CloseSessionEndsOneConnection) {
  Cluster cluster;
  AmqpClient& one = cluster.open();
  ASSERT_EQ(cluster.control.opened.size(), 1u);
  const broker::SessionAddress address = cluster.control.opened.begin()->first;
  AmqpClient& other = cluster.open();
  cluster.control.send(
      0, CloseSession{address, broker::CloseCause::forced, new std::string("CONNECTION_FORCED - an operator's wish")});
  const Received close = cluster.await<connection::Close>(one);
  EXPECT_EQ(close.as<connection::Close>().reply_code, 320u);
  EXPECT_NE(close.as<connection::Close>().reply_text.find("an operator's wish"), std::string_view::npos);
  one.send(0, connection::CloseOk{});
  EXPECT_TRUE(cluster.run_until([&] { return cluster.control.opened.size() == 1; }));
  EXPECT_FALSE(other.take<connection::Close>().has_value());
  // It is gone: nothing happens, and the text is not leaked.
  cluster.control.send(0, CloseSession{address, broker::CloseCause::forced,
                                       new std::string("again, and long enough to need memory of its own")});
  cluster.run(2ms);
  EXPECT_EQ(cluster.control.opened.size(), 1u);
}

TEST(WorkerCommands, ASessionThatHasTooMuchIsToldSo) {
  Cluster cluster;
  AmqpClient& client = cluster.open();
  const broker::SessionAddress address = cluster.control.opened.begin()->first;
  cluster.control.send(0, CloseSession{address, broker::CloseCause::limit, new std::string("a limit is reached")});
  const Received close = cluster.await<connection::Close>(client);
  EXPECT_EQ(close.as<connection::Close>().reply_code, 530u);
  EXPECT_EQ(close.as<connection::Close>().reply_text, "NOT_ALLOWED - a limit is reached");
}

TEST(WorkerCommands, RevokeConsumerEndsOne) {
  Cluster cluster;
  const auto& q = cluster.add_queue("q", 0);
  AmqpClient& client = cluster.open();
  const broker::SessionAddress address = cluster.control.opened.begin()->first;
  client.consume(1, "q", "c", true);
  cluster.await<basic::ConsumeOk>(client);
  cluster.control.send(0, RevokeConsumer{address, new broker::RevokedConsumer{1, q.id, "c", "not yours"}});
  // This client did not say that it understands basic.cancel.
  const Received close = cluster.await<channel::Close>(client);
  EXPECT_EQ(close.as<channel::Close>().reply_code, 403u);
  EXPECT_EQ(close.as<channel::Close>().reply_text, "ACCESS_REFUSED - not yours");
  EXPECT_EQ(q.counters->consumers.value(), 0u);
  // It is gone, and so may the session be: nothing happens.
  cluster.control.send(0, RevokeConsumer{address, new broker::RevokedConsumer{1, q.id, "c", "not yours"}});
  cluster.control.send(0, RevokeConsumer{{{77, 1}, 0}, new broker::RevokedConsumer{1, q.id, "c", "not yours"}});
  cluster.run(2ms);
  EXPECT_FALSE(client.take<channel::Close>().has_value());
}

TEST(WorkerCommands, DrainClosesEverybodyAndReportsOnce) {
  Cluster cluster;
  AmqpClient& client = cluster.open();
  cluster.control.send(0, Drain{});
  const Received close = cluster.await<connection::Close>(client);
  EXPECT_EQ(close.as<connection::Close>().reply_code, 320u);
  EXPECT_EQ(cluster.control.drained, 0u) << "the client has not said close-ok";
  AmqpClient& late = cluster.connect();
  cluster.run(5ms);
  EXPECT_TRUE(late.closed) << "nobody listens any more";
  client.send(0, connection::CloseOk{});
  EXPECT_TRUE(cluster.run_until([&] { return cluster.control.drained == 1; }));
  EXPECT_TRUE(cluster.worker().drained());
  cluster.run(5ms);
  EXPECT_EQ(cluster.control.drained, 1u);
}

TEST(WorkerCommands, StopIsTheLast) {
  Cluster cluster;
  EXPECT_FALSE(cluster.worker().stopped());
  cluster.control.send(0, Stop{});
  cluster.run(100us);
  EXPECT_TRUE(cluster.worker().stopped());
}

}  // namespace
}  // namespace talaria::worker
