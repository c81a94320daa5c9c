// Direct replies between workers: who asks is connected to one, who answers to the other.
#include "tests/unit/worker/cluster.h"

namespace talaria::worker {
namespace {

namespace wire = amqp091::wire;

constexpr std::string_view reply_to = "amq.rabbitmq.reply-to";

struct WorkerReplies : ::testing::Test {
  void SetUp() override {
    client.consume(1, reply_to, "replies", true);
    cluster.await<basic::ConsumeOk>(client);
    server.consume(1, "requests", "requests", true);
    cluster.await<basic::ConsumeOk>(server);
  }
  // The address under which a request arrived.
  std::string ask() {
    wire::Properties properties;
    properties.reply_to = reply_to;
    properties.set(wire::Property::reply_to);
    std::array<uint8_t, 100> space;
    base::Writer out(space);
    wire::emit_properties(out, properties);
    client.write(
        AmqpClient::publish_frames(1, "", "requests", base::as_bytes("ask"), base::Bytes(space).first(out.size())));
    const Received got = cluster.await<basic::Deliver>(server);
    return std::string(wire::parse_properties(got.properties)->reply_to);
  }
  void declare(std::string_view name) { server.send(1, wire::queue::Declare{.queue = name, .passive = true}); }

  Cluster cluster{{.workers = 2}};
  const tests::ScriptedControl::Queue& requests = cluster.add_queue("requests", 1);
  AmqpClient& client = cluster.open(0);
  AmqpClient& server = cluster.open(1);
};

TEST_F(WorkerReplies, FindTheirWay) {
  const std::string address = ask();
  for (int i = 0; i < 1000; i++) server.publish(1, "", address, std::to_string(i));
  for (int i = 0; i < 1000; i++) ASSERT_EQ(cluster.await<basic::Deliver>(client).body, std::to_string(i));
}

TEST_F(WorkerReplies, DeclaringAnAddressAsksTheOtherWorker) {
  const std::string address = ask();
  declare(address);
  const Received alive = cluster.await<wire::queue::DeclareOk>(server);
  EXPECT_EQ(alive.as<wire::queue::DeclareOk>().queue, address);
  EXPECT_EQ(alive.as<wire::queue::DeclareOk>().consumer_count, 1u);
  client.send(1, basic::Cancel{.consumer_tag = "replies"});
  cluster.await<basic::CancelOk>(client);
  declare(address);
  EXPECT_EQ(cluster.await<wire::channel::Close>(server).as<wire::channel::Close>().reply_code, 404);
}

TEST_F(WorkerReplies, ToOneWhoIsGoneAreDropped) {
  const std::string address = ask();
  cluster.abort(client);
  cluster.run(1ms);
  server.send(1, confirm::Select{});
  cluster.await<confirm::SelectOk>(server);
  server.publish(1, "", address, "too late");
  EXPECT_TRUE(cluster.run_until([&] { return server.confirmed == 1; }));
  cluster.run(1ms);
  EXPECT_EQ(cluster.worker(1).pool().messages(), 0u);
}

TEST_F(WorkerReplies, MandatoryOnesComeBackFromOneWhoIsGoneAndElseDoNot) {
  const std::string address = ask();
  server.send(1, confirm::Select{});
  cluster.await<confirm::SelectOk>(server);
  server.publish(1, "", address, "in time", true);
  server.publish(1, "", address, "likewise", true);
  EXPECT_EQ(cluster.await<basic::Deliver>(client).body, "in time");
  EXPECT_EQ(cluster.await<basic::Deliver>(client).body, "likewise");
  EXPECT_TRUE(cluster.run_until([&] { return server.confirmed == 2; }));
  EXPECT_FALSE(server.take<basic::Return>().has_value());
  client.send(1, basic::Cancel{.consumer_tag = "replies"});
  cluster.await<basic::CancelOk>(client);
  server.publish(1, "", address, "too late", true);
  server.publish(1, "", address, "nobody asked for it back");
  server.publish(1, "", address, "later still", true);
  for (const char* body : {"too late", "later still"}) {
    const Received returned = cluster.await<basic::Return>(server);
    EXPECT_EQ(returned.as<basic::Return>().reply_code, 312u);
    EXPECT_EQ(returned.as<basic::Return>().reply_text, "NO_ROUTE");
    EXPECT_EQ(returned.as<basic::Return>().routing_key, address);
    EXPECT_EQ(returned.body, body);
  }
  EXPECT_TRUE(cluster.run_until([&] { return server.confirmed == 5; }));
  cluster.run(1ms);
  EXPECT_EQ(cluster.worker(1).pool().messages(), 0u);
}

// Neither the channel that answered nor the one that asked is there any more.
TEST_F(WorkerReplies, AMandatoryOneWhoseSenderIsGoneIsForgotten) {
  const std::string address = ask();
  client.send(1, basic::Cancel{.consumer_tag = "replies"});
  cluster.await<basic::CancelOk>(client);
  cluster.hold(0);
  server.publish(1, "", address, "x", true);
  cluster.run(1ms);
  cluster.abort(server);
  cluster.run(1ms);
  EXPECT_EQ(cluster.worker(1).pool().messages(), 1u);
  cluster.hold(0, false);
  cluster.run(1ms);
  EXPECT_EQ(cluster.worker(1).pool().messages(), 0u);
}

TEST_F(WorkerReplies, MandatoryOnesOfATransactionComeBackBeforeTheCommitIsAnswered) {
  const std::string address = ask();
  server.send(1, wire::tx::Select{});
  cluster.await<wire::tx::SelectOk>(server);
  server.publish(1, "", address, "in time", true);
  server.send(1, wire::tx::Commit{});
  cluster.await<wire::tx::CommitOk>(server);
  EXPECT_EQ(cluster.await<basic::Deliver>(client).body, "in time");
  cluster.abort(client);
  cluster.run(1ms);
  for (int i = 0; i < 3; i++) server.publish(1, "", address, std::to_string(i), true);
  server.send(1, wire::tx::Commit{});
  cluster.await<wire::tx::CommitOk>(server);
  for (int i = 0; i < 3; i++) {
    const auto returned = server.take<basic::Return>();
    ASSERT_TRUE(returned.has_value());
    EXPECT_EQ(returned->body, std::to_string(i));
  }
  cluster.run(1ms);
  EXPECT_EQ(cluster.worker(1).pool().messages(), 0u);
}

// What one worker does not take in makes the other's publishers wait.
TEST_F(WorkerReplies, AreNotPiledUp) {
  const std::string address = ask();
  cluster.hold(0);
  std::vector<uint8_t> burst;
  for (int i = 0; i < 200'000; i++) {
    const auto frames = AmqpClient::publish_frames(1, "", address, base::as_bytes("x"));
    burst.insert(burst.end(), frames.begin(), frames.end());
  }
  server.write(burst);
  cluster.run(100ms);
  EXPECT_FALSE(server.wrote_all());
  EXPECT_LT(cluster.worker(1).pool().messages(), 60'000u);
  cluster.hold(0, false);
  EXPECT_TRUE(cluster.run_until([&] { return client.deliveries == 200'000; }, 20s)) << client.deliveries;
}

}  // namespace
}  // namespace talaria::worker
