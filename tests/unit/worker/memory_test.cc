// Exchanges that remember, whose home is another worker than their publishers'.
#include "tests/unit/worker/cluster.h"

namespace talaria::worker {
namespace {

namespace wire = amqp091::wire;
using Bodies = std::vector<std::string>;

struct WorkerMemory : ::testing::Test {
  void SetUp() override {
    broker::ExchangeSettings history;
    history.history_length = 100;
    add("chat", history);
    broker::ExchangeSettings once;
    once.deduplication = broker::Deduplication{"id", 1000};
    add("once", once);
    cluster.run_until([&] { return cluster.applied_by_all(); });
    client.send(1, confirm::Select{});
    cluster.await<confirm::SelectOk>(client);
  }
  void TearDown() override {
    for (const char* name : {"chat", "once"})
      if (cluster.control.has_exchange(name)) cluster.control.remove_exchange(name);
    cluster.run_until([&] { return cluster.applied_by_all(); });
    cluster.run(1ms);
  }
  void add(const char* name, const broker::ExchangeSettings& settings) {
    cluster.control.add_exchange(name, broker::ExchangeType::fanout,
                                 std::make_shared<const broker::ExchangeSettings>(settings), 1);
  }
  void bind(const char* exchange, const char* queue) {
    cluster.control.bind(exchange, queue, "");
    cluster.run_until([&] { return cluster.applied_by_all(); });
    cluster.run(1ms);
  }
  void publish(std::string_view exchange, std::string_view body, std::string_view id = "", bool mandatory = false) {
    std::array<uint8_t, 100> space;
    base::Writer out(space);
    wire::Properties properties;
    std::vector<uint8_t> table;
    if (!id.empty()) {
      const base::FieldTable headers{{"id", {std::string(id)}}};
      table.resize(wire::table_size(headers));
      base::Writer writer(table);
      wire::emit_table(writer, headers);
      properties.headers.bytes = base::Bytes(table).subspan(4);
      properties.set(wire::Property::headers);
    }
    wire::emit_properties(out, properties);
    std::vector<uint8_t> frames = AmqpClient::publish_frames(1, exchange, "key", base::as_bytes(body),
                                                             base::Bytes(space).first(out.size()), mandatory);
    client.write(frames);
  }
  uint64_t ready(const char* queue) { return cluster.control.queue(queue).counters->ready.value(); }
  Bodies all(const char* queue, size_t count) {
    Bodies bodies;
    AmqpClient& reader = cluster.open(2);
    reader.consume(1, queue, "c", true);
    cluster.await<basic::ConsumeOk>(reader);
    for (size_t i = 0; i < count; i++) bodies.push_back(cluster.await<basic::Deliver>(reader).body);
    cluster.run(1ms);
    EXPECT_FALSE(reader.take<basic::Deliver>()) << "there is more";
    cluster.abort(reader);
    cluster.run(1ms);
    return bodies;
  }
  bool confirmed(uint64_t count) {
    return cluster.run_until([&] { return client.confirmed == count; });
  }

  Cluster cluster{{.workers = 3}};
  const tests::ScriptedControl::Queue& q = cluster.add_queue("q", 0);
  const tests::ScriptedControl::Queue& r = cluster.add_queue("r", 2);
  AmqpClient& client = cluster.open(0);
};

TEST_F(WorkerMemory, EachMessageGoesToEachQueueOnceByHistoryOrWhenItIsPublished) {
  bind("chat", "q");
  for (int i = 0; i < 50; i++) publish("chat", std::to_string(i));
  bind("chat", "r");  // somewhere among them
  EXPECT_TRUE(confirmed(50));
  Bodies expected;
  for (int i = 0; i < 50; i++) expected.push_back(std::to_string(i));
  EXPECT_EQ(all("q", 50), expected);
  EXPECT_EQ(all("r", 50), expected);
}

TEST_F(WorkerMemory, KeepsTheOrderOfWhatTheConnectionPublishesElsewhere) {
  bind("chat", "q");
  Bodies expected;
  for (int i = 0; i < 40; i++) {
    expected.push_back(std::to_string(i));
    if (i % 2)
      publish("chat", expected.back());
    else
      client.publish(1, "", "q", expected.back());
  }
  EXPECT_TRUE(confirmed(40));
  EXPECT_EQ(all("q", 40), expected);
}

TEST_F(WorkerMemory, DuplicatesOfPublishersAnywhereAreDropped) {
  bind("once", "q");
  bind("once", "r");
  AmqpClient& other = cluster.open(2);
  for (const char* id : {"a", "b", "a"}) publish("once", id, id);
  EXPECT_TRUE(confirmed(3));
  const auto frames = [](const char* id) {
    const base::FieldTable headers{{"id", {std::string(id)}}};
    std::vector<uint8_t> table(wire::table_size(headers));
    base::Writer writer(table);
    wire::emit_table(writer, headers);
    wire::Properties properties;
    properties.headers.bytes = base::Bytes(table).subspan(4);
    properties.set(wire::Property::headers);
    std::array<uint8_t, 100> space;
    base::Writer out(space);
    wire::emit_properties(out, properties);
    return AmqpClient::publish_frames(1, "once", "", base::as_bytes(id), base::Bytes(space).first(out.size()));
  };
  for (const char* id : {"b", "c"}) other.write(frames(id));
  cluster.run(2ms);
  EXPECT_EQ(all("q", 3), (Bodies{"a", "b", "c"}));
  EXPECT_EQ(ready("r"), 3u);
  EXPECT_EQ(cluster.worker(1).sessions().counters().exchange_duplicates.value(), 2u);
}

TEST_F(WorkerMemory, WhatIsUnroutableComesBackBeforeItsConfirm) {
  publish("chat", "nobody is bound", "", true);
  const Received back = cluster.await<basic::Return>(client);
  EXPECT_EQ(back.as<basic::Return>().reply_code, 312);
  EXPECT_EQ(back.body, "nobody is bound");
  EXPECT_TRUE(confirmed(1));
  bind("chat", "q");
  EXPECT_EQ(all("q", 1), Bodies{"nobody is bound"}) << "and is remembered";
  publish("chat", "bound", "", true);
  EXPECT_TRUE(confirmed(2));
  EXPECT_FALSE(client.take<basic::Return>());
}

TEST_F(WorkerMemory, AClientThatDiesLeavesWhatItPublished) {
  bind("once", "q");
  for (int i = 0; i < 10; i++) publish("once", std::to_string(i), std::to_string(i));
  cluster.run(50us);
  cluster.abort(client);
  cluster.run(5ms);
  const uint64_t there = ready("q");
  AmqpClient& again = cluster.open(0);
  again.send(1, confirm::Select{});
  cluster.await<confirm::SelectOk>(again);
  EXPECT_EQ(all("q", there).size(), there);
  EXPECT_EQ(cluster.worker(1).sessions().counters().exchange_duplicates.value(), 0u)
      << "what was seen has come to its queues";
}

TEST_F(WorkerMemory, AnExchangeThatGoesMeanwhileHasTakenWhatCame) {
  bind("chat", "q");
  cluster.hold(1);
  publish("chat", "1");
  cluster.run(1ms);
  cluster.control.remove_exchange("chat");
  cluster.run(1ms);
  cluster.hold(1, false);
  EXPECT_TRUE(confirmed(1));
  cluster.run(1ms);
  EXPECT_EQ(cluster.worker(0).pool().messages(), ready("q"));
}

// Worker 0 looks into worker 1's mailbox before it looks into worker 2's.
TEST_F(WorkerMemory, NothingOvertakesWhatWasPublishedPastIt) {
  bind("chat", "q");
  AmqpClient& publisher = cluster.open(2);
  publisher.send(1, confirm::Select{});
  cluster.await<confirm::SelectOk>(publisher);
  cluster.hold(0);
  publisher.publish(1, "", "q", "1");
  publisher.publish(1, "chat", "", "2");
  publisher.publish(1, "chat", "", "3");
  cluster.run(1ms);
  cluster.hold(0, false);
  EXPECT_TRUE(cluster.run_until([&] { return publisher.confirmed == 3; }));
  EXPECT_EQ(all("q", 3), (Bodies{"1", "2", "3"}));
}

TEST_F(WorkerMemory, NobodyWaitsForWhatOthersPublishedOrWhatHasBeenTaken) {
  bind("chat", "r");
  AmqpClient& publisher = cluster.open(2);
  publisher.send(1, confirm::Select{});
  cluster.await<confirm::SelectOk>(publisher);
  publisher.publish(1, "", "q", "x");
  publisher.publish(1, "chat", "", "1");
  EXPECT_TRUE(cluster.run_until([&] { return publisher.confirmed == 2; }));
  AmqpClient& other = cluster.open(2);
  cluster.hold(0);
  other.publish(1, "", "q", "x");
  for (const char* body : {"2", "3"}) {
    publisher.publish(1, "chat", "", body);
    cluster.run(1ms);
  }
  EXPECT_EQ(publisher.confirmed, 4u);
  cluster.hold(0, false);
  EXPECT_EQ(all("r", 3), (Bodies{"1", "2", "3"}));
}

TEST_F(WorkerMemory, AClientMayDieWhileItsMessageWaitsForOneBefore) {
  bind("chat", "q");
  AmqpClient& publisher = cluster.open(2, true);
  cluster.hold(0);
  publisher.publish(1, "", "q", "1");
  publisher.publish(1, "chat", "", "2");
  cluster.run(20ms);
  EXPECT_TRUE(publisher.blocked);
  cluster.abort(publisher);
  cluster.run(1ms);
  cluster.hold(0, false);
  cluster.run(1ms);
  EXPECT_EQ(all("q", 1), Bodies{"1"});
}

TEST_F(WorkerMemory, ItsPublishersWaitForRoomInItsQueues) {
  bind("chat", "q");
  cluster.hold(1);
  for (int i = 0; i < 100; i++) publish("chat", "x");
  cluster.run(5ms);
  EXPECT_EQ(cluster.worker(0).pool().messages(), 65u) << "64 are under way, one waits, the others are not read";
  cluster.hold(1, false);
  EXPECT_TRUE(confirmed(100));
}

}  // namespace
}  // namespace talaria::worker
