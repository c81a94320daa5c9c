// Two workers, each on a thread of its own as in the process, and a queue that moves back and forth between them: what
// the thread sanitizer is to look at.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "core/worker/worker.h"
#include "tests/support/amqp_client.h"
#include "tests/support/pipe_device.h"
#include "tests/support/scripted_control.h"

namespace talaria::worker {
namespace {

namespace wire = amqp091::wire;
using tests::AmqpClient;

constexpr net::Ipv4Address broker_address{0xc6120001};
constexpr net::Ipv4Address client_address{0xc6120002};

// A worker and its clients: a publisher who numbers messages, and a consumer who acknowledges them.
struct Node {
  Node(WorkerIndex index, Mesh& mesh)
      : memory(65 * base::Arena::block_bytes),
        host(pipe.left, client_address),
        worker(config(index, memory), pipe.right, mesh),
        name(1, static_cast<char>('a' + index)) {}
  static WorkerConfig config(WorkerIndex index, std::vector<uint8_t>& memory) {
    WorkerConfig config;
    config.index = index;
    config.hosts = {{.addresses = {{broker_address, 24}}, .announce = false}};
    config.message_memory = memory;
    config.key = {7, 8};
    return config;
  }

  void turn() {
    const base::Time now{std::chrono::steady_clock::now().time_since_epoch()};
    if (!publisher) begin(now);
    host.receive(now);
    if (!stops_publishing.load() && publisher->take<wire::confirm::SelectOk>()) publishes = true;
    if (stops_publishing.load()) publishes = false;
    for (; publishes && published.load() < publisher->confirmed + 100; published++)
      publisher->publish(1, "", "q", name + std::to_string(published.load()));
    confirmed.store(publisher->confirmed);
    while (auto delivery = consumer->take<wire::basic::Deliver>()) {
      uint64_t& next = expected[static_cast<size_t>(delivery->body[0] - 'a')];
      const uint64_t number = std::stoull(delivery->body.substr(1));
      in_order &= number >= next;
      next = number + 1;
      consumer->send(1, wire::basic::Ack{.delivery_tag = delivery->as<wire::basic::Deliver>().delivery_tag});
      consumed++;
    }
    host.transmit(now);
    worker.poll(now);
  }
  void begin(base::Time now) {
    publisher = &host.connect({broker_address, 5672}, now);
    publisher->write_when_open = [](AmqpClient& client) {
      client.open_channel(1);
      client.send(1, wire::confirm::Select{});
    };
    consumer = &host.connect({broker_address, 5672}, now);
    consumer->write_when_open = [](AmqpClient& client) {
      client.open_channel(1);
      client.send(1, wire::basic::Qos{.prefetch_count = 50});
      client.consume(1, "q", "c", false);
    };
  }

  std::vector<uint8_t> memory;
  tests::Pipe pipe{true};
  tests::ClientHost host;
  Worker worker;
  const std::string name;
  // The thread's own until it has ended.
  AmqpClient* publisher = nullptr;
  AmqpClient* consumer = nullptr;
  bool publishes = false;
  std::array<uint64_t, 2> expected{};
  bool in_order = true;
  // Looked at by the test.
  std::atomic<bool> stops_publishing = false;
  std::atomic<uint64_t> published = 0, confirmed = 0, consumed = 0;
};

TEST(WorkersInThreads, AQueueMovesUnderTheirFeet) {
  constexpr size_t moves = 50;
  constexpr auto patience = std::chrono::seconds(120);
  Mesh mesh(2);
  auto control = std::make_unique<tests::ScriptedControl>(mesh);
  std::array<std::unique_ptr<Node>, 2> nodes;
  for (WorkerIndex index = 0; index < 2; index++) nodes[index] = std::make_unique<Node>(index, mesh);
  control->add_queue("q", 0);
  std::atomic<bool> stop = false;
  std::array<std::thread, 2> threads;
  for (size_t i = 0; i < 2; i++)
    threads[i] = std::thread([&stop, &node = *nodes[i]] {
      while (!stop.load()) {
        node.turn();
        std::this_thread::yield();
      }
    });
  const auto sum = [&](std::atomic<uint64_t> Node::*what) {
    return ((*nodes[0]).*what).load() + ((*nodes[1]).*what).load();
  };
  const auto start = std::chrono::steady_clock::now();
  const auto in_time = [&] { return std::chrono::steady_clock::now() - start < patience; };
  uint64_t seen = 0;
  while (control->moves.size() < moves && in_time()) {
    if (!control->turn()) std::this_thread::yield();
    // Each move has to do with new messages.
    if (control->moving() || sum(&Node::consumed) < seen + 100) continue;
    seen = sum(&Node::consumed);
    control->move_queue("q", control->queue("q").home == 0 ? 1 : 0);
  }
  for (auto& node : nodes) node->stops_publishing = true;
  // What was published before the stop was seen comes through.
  uint64_t before = UINT64_MAX;
  while (in_time() && (before != sum(&Node::published) || sum(&Node::confirmed) != before ||
                       sum(&Node::consumed) != before || control->moving())) {
    before = sum(&Node::published);
    control->turn();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(control->moves.size(), moves);
  for (const broker::MoveOutcome outcome : control->moves) EXPECT_EQ(outcome, broker::MoveOutcome::moved);
  EXPECT_EQ(sum(&Node::confirmed), sum(&Node::published));
  EXPECT_EQ(sum(&Node::consumed), sum(&Node::published)) << "each once";
  EXPECT_GT(sum(&Node::consumed), moves * 100);
  for (auto& node : nodes) {
    EXPECT_TRUE(node->in_order);
    EXPECT_EQ(node->publisher->nacks, 0u);
  }
  for (auto& node : nodes) node->worker.check_invariants();
  // Workers before the mailboxes and counters they write to, and their memory after both.
  std::array<std::vector<uint8_t>, 2> memories;
  for (size_t i = 0; i < 2; i++) memories[i] = std::move(nodes[i]->memory);
  for (auto& node : nodes) node.reset();
}

}  // namespace
}  // namespace talaria::worker
