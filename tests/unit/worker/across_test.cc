// Two workers: the client is connected to one, the queue lives on the other.
#include "tests/unit/worker/cluster.h"

namespace talaria::worker {
namespace {

struct WorkerAcross : ::testing::Test {
  Cluster cluster{{.workers = 2}};
  const tests::ScriptedControl::Queue& far = cluster.add_queue("far", 1);
};

TEST_F(WorkerAcross, PublishReachesAConsumerAtTheHome) {
  AmqpClient& consumer = cluster.open(1);
  consumer.consume(1, "far", "c", true);
  cluster.await<basic::ConsumeOk>(consumer);
  AmqpClient& publisher = cluster.open(0);
  for (int i = 0; i < 1000; i++) publisher.publish(1, "", "far", "message " + std::to_string(i));
  for (int i = 0; i < 1000; i++) {
    const Received got = cluster.await<basic::Deliver>(consumer);
    ASSERT_EQ(got.body, "message " + std::to_string(i));
  }
  EXPECT_GE(cluster.worker(0).counters().operations_sent.value(), 1000u);
  EXPECT_GE(cluster.worker(1).counters().operations_received.value(), 1000u);
}

TEST_F(WorkerAcross, ConsumerElsewhereIsDeliveredToAndAcknowledges) {
  AmqpClient& consumer = cluster.open(0);
  consumer.send(1, basic::Qos{.prefetch_count = 10});
  consumer.consume(1, "far", "c", false);
  cluster.await<basic::ConsumeOk>(consumer);
  AmqpClient& publisher = cluster.open(1);
  for (int i = 0; i < 500; i++) publisher.publish(1, "", "far", std::to_string(i));
  for (int i = 0; i < 500; i++) {
    const Received got = cluster.await<basic::Deliver>(consumer);
    ASSERT_EQ(got.body, std::to_string(i));
    EXPECT_LE(far.counters->unacknowledged.value(), 10u);
    consumer.send(1, basic::Ack{.delivery_tag = got.as<basic::Deliver>().delivery_tag});
  }
  EXPECT_TRUE(cluster.run_until([&] { return far.counters->unacknowledged.value() == 0; }));
  EXPECT_EQ(far.counters->acknowledged.value(), 500u);
  EXPECT_EQ(far.counters->ready.value(), 0u);
}

TEST_F(WorkerAcross, NobodyIsConfirmedBeforeTheHomeHasIt) {
  AmqpClient& publisher = cluster.open(0);
  publisher.send(1, confirm::Select{});
  cluster.await<confirm::SelectOk>(publisher);
  cluster.hold(1);
  for (int i = 0; i < 100; i++) publisher.publish(1, "", "far", "x");
  cluster.run(20ms);
  EXPECT_EQ(publisher.confirmed, 0u) << "the home has not seen the message yet";
  cluster.hold(1, false);
  EXPECT_TRUE(cluster.run_until([&] { return publisher.confirmed == 100; }));
  EXPECT_EQ(far.counters->ready.value(), 100u);
  EXPECT_EQ(publisher.nacks, 0u);
}

TEST_F(WorkerAcross, GetTakesTheOldestAndSaysHowManyFollow) {
  AmqpClient& client = cluster.open(0);
  client.publish(1, "", "far", "first");
  client.publish(1, "", "far", "second");
  ASSERT_TRUE(cluster.run_until([&] { return far.counters->ready.value() == 2; }));
  client.send(1, basic::Get{.queue = "far"});
  const Received first = cluster.await<basic::GetOk>(client);
  EXPECT_EQ(first.body, "first");
  EXPECT_EQ(first.as<basic::GetOk>().message_count, 1u);
  // Not acknowledged: it goes back when the client leaves.
  client.send(1, basic::Get{.queue = "far", .no_ack = true});
  EXPECT_EQ(cluster.await<basic::GetOk>(client).body, "second");
  client.send(1, basic::Get{.queue = "far"});
  cluster.await<basic::GetEmpty>(client);
  cluster.abort(client);
  EXPECT_TRUE(cluster.run_until([&] { return far.counters->ready.value() == 1; }));
}

TEST_F(WorkerAcross, PurgeCountsAtTheHome) {
  AmqpClient& client = cluster.open(0);
  for (int i = 0; i < 30; i++) client.publish(1, "", "far", "x");
  client.send(1, queue::Purge{.queue = "far"});
  // What was published before on this channel is purged with it: operations keep their order.
  EXPECT_EQ(cluster.await<queue::PurgeOk>(client).as<queue::PurgeOk>().message_count, 30u);
  EXPECT_EQ(far.counters->ready.value(), 0u);
  EXPECT_TRUE(cluster.run_until([&] { return cluster.worker(0).pool().messages() == 0; })) << "memory goes back home";
}

TEST_F(WorkerAcross, AFanoutReachesQueuesOnBothWorkersOnceEach) {
  const auto& near = cluster.add_queue("near", 0);
  cluster.control.bind("amq.fanout", "near", "");
  cluster.control.bind("amq.fanout", "far", "");
  ASSERT_TRUE(cluster.run_until([&] { return cluster.applied_by_all(); }));
  AmqpClient& publisher = cluster.open(0);
  publisher.send(1, confirm::Select{});
  for (int i = 0; i < 10; i++) publisher.publish(1, "amq.fanout", "", "x");
  EXPECT_TRUE(cluster.run_until([&] { return publisher.confirmed == 10; }));
  EXPECT_EQ(near.counters->ready.value(), 10u);
  EXPECT_EQ(far.counters->ready.value(), 10u);
  EXPECT_EQ(cluster.worker(0).pool().messages(), 10u) << "one message, whatever the number of queues";
}

TEST_F(WorkerAcross, RequeuedMessagesComeBackInTheirPlace) {
  AmqpClient& consumer = cluster.open(0);
  AmqpClient& publisher = cluster.open(1);
  for (int i = 0; i < 5; i++) publisher.publish(1, "", "far", std::to_string(i));
  consumer.consume(1, "far", "c", false);
  for (int i = 0; i < 5; i++) ASSERT_EQ(cluster.await<basic::Deliver>(consumer).body, std::to_string(i));
  consumer.send(1, basic::Nack{.delivery_tag = 5, .multiple = true, .requeue = true});
  for (int i = 0; i < 5; i++) {
    const Received again = cluster.await<basic::Deliver>(consumer);
    EXPECT_EQ(again.body, std::to_string(i));
    EXPECT_TRUE(again.as<basic::Deliver>().redelivered);
  }
}

TEST_F(WorkerAcross, ASlowConsumerElsewhereDoesNotDrainTheQueueIntoMemory) {
  AmqpClient& consumer = cluster.open(0);
  consumer.consume(1, "far", "c", true);
  cluster.await<basic::ConsumeOk>(consumer);
  consumer.reads = false;
  AmqpClient& publisher = cluster.open(1);
  const std::string body(1000, 'x');
  for (int i = 0; i < 3000; i++) publisher.publish(1, "", "far", body);
  cluster.run(100ms);
  EXPECT_GT(far.counters->ready.value(), 1500u) << "the queue keeps what the consumer does not take";
  consumer.reads = true;
  EXPECT_TRUE(cluster.run_until([&] { return consumer.deliveries == 3000; }));
}

TEST_F(WorkerAcross, RemovingTheQueueCancelsConsumersElsewhere) {
  AmqpClient& consumer = cluster.open(0);
  consumer.consume(1, "far", "c", false);
  cluster.await<basic::ConsumeOk>(consumer);
  consumer.publish(1, "", "far", "x");
  cluster.await<basic::Deliver>(consumer);
  cluster.control.remove_queue("far");
  EXPECT_TRUE(cluster.run_until([&] { return cluster.worker(0).sessions().counters().consumers.value() == 0; }));
  // Its acknowledgement comes too late and hurts nobody.
  consumer.send(1, basic::Ack{.delivery_tag = 1});
  cluster.run(5ms);
  EXPECT_FALSE(consumer.take<channel::Close>().has_value());
}

}  // namespace
}  // namespace talaria::worker
