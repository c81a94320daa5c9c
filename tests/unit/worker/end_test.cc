// A worker may be destroyed with everything under way: the process ends without a drain. Nothing is used after it has
// gone and nothing leaks, whichever worker goes first (an address sanitizer sees both).
#include "tests/unit/worker/cluster.h"

namespace talaria::worker {
namespace {

struct WorkerEnd : ::testing::TestWithParam<WorkerIndex> {
  // What every part of a worker may hold when it ends.
  void SetUp() override {
    cluster.add_queue("near", 0);
    cluster.add_queue("far", 1);
    cluster.control.bind("amq.fanout", "near", "");
    cluster.control.bind("amq.fanout", "far", "");
    cluster.run_until([&] { return cluster.applied_by_all(); });

    // A consumer with deliveries unsettled, one that does not read, and one with some parked.
    for (const char* name : {"near", "far"}) {
      for (const bool reads : {true, false}) {
        AmqpClient& client = cluster.open(0);
        client.reads = reads;
        client.consume(1, name, "c", false);
      }
      AmqpClient& parked = cluster.open(0);
      parked.send(1, basic::Qos{.prefetch_count = 1, .global = true});
      parked.consume(1, name, "c", false);
      parked.consume(1, name, "d", false);
    }
    AmqpClient& publisher = cluster.open(0);
    publisher.send(1, confirm::Select{});
    for (int i = 0; i < 300; i++) publisher.publish(1, "amq.fanout", "", std::string(i % 3 == 0 ? 20000 : 500, 'x'));
    cluster.run(20ms);
    EXPECT_GT(cluster.worker(0).sessions().counters().output_stalled.value(), 0u);

    // A message that is half here, a channel that is half closed, and one that was got.
    AmqpClient& half = cluster.open(0);
    std::vector<uint8_t> frames = AmqpClient::publish_frames(1, "", "near", std::vector<uint8_t>(50000, 'h'));
    frames.resize(30000);
    half.write(frames);
    AmqpClient& leaving = cluster.open(1);
    leaving.send(1, basic::Get{.queue = "near"});
    leaving.send(1, basic::Get{.queue = "far"});
    cluster.run(5ms);

    std::vector<AmqpClient*> tellers;
    for (int i = 0; i < 25; i++) tellers.push_back(&cluster.open(0));
    // From here on nobody takes what is sent: it lies in the mailboxes, in front of them, and with the sessions.
    cluster.control_held = true;
    cluster.hold(1);
    leaving.send(1, channel::Close{});
    for (int i = 0; i < 300; i++) publisher.publish(1, "amq.fanout", "", "under way");
    for (int i = 0; i < 30; i++) {
      AmqpClient& teller = cluster.connect(0);
      teller.write_when_open = [](AmqpClient& opened) { opened.open_channel(1); };
    }
    for (AmqpClient* one : tellers)  // more than the mailbox takes, and than may wait in front of it
      for (int i = 0; i < 100; i++) one->send(1, basic::Qos{.prefetch_count = 1});
    half.send(0, connection::Close{});
    cluster.run(5ms);
    // What the control plane has answered and ordered, and nobody has taken.
    for (WorkerIndex index : {WorkerIndex{0}, WorkerIndex{1}}) {
      auto& commands = cluster.mesh.control(index).commands;
      EXPECT_TRUE(commands.push(PassAnswer{new broker::Answer{{{0, 1}, index}, 1, broker::Done{}}}));
      EXPECT_TRUE(commands.push(CloseSession{
          {{0, 1}, index}, broker::CloseCause::forced, new std::string("an operator's wish, in many words")}));
    }
    EXPECT_EQ(cluster.mesh.control(0).reports.waiting(), 1024u);
    EXPECT_GT(cluster.worker(0).pool().messages(), 100u);
    EXPECT_GT(cluster.worker(0).sessions().session_count(), 8u);
  }
  Cluster cluster{{.workers = 2}};
};

TEST_P(WorkerEnd, WithEverythingUnderWay) { cluster.end(GetParam()); }

INSTANTIATE_TEST_SUITE_P(First, WorkerEnd, ::testing::Values(WorkerIndex{0}, WorkerIndex{1}),
                         [](const auto& one) { return "worker" + std::to_string(one.param); });

}  // namespace
}  // namespace talaria::worker
