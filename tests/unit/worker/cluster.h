// Workers on one mesh, each with a port and a host of clients at its other end, under a scripted control plane, all in
// one thread and in virtual time: a turn of everybody is ten microseconds.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/worker/worker.h"
#include "tests/support/amqp_client.h"
#include "tests/support/pipe_device.h"
#include "tests/support/scripted_control.h"
#include "tests/unit/worker/turns.h"

namespace talaria::worker {

using namespace std::chrono_literals;
using tests::AmqpClient;
using tests::Received;
namespace basic = amqp091::wire::basic;
namespace channel = amqp091::wire::channel;
namespace confirm = amqp091::wire::confirm;
namespace connection = amqp091::wire::connection;
namespace queue = amqp091::wire::queue;

inline constexpr net::Ipv4Address broker_address{0xc6120001};  // 198.18.0.1, of every worker on its own port
inline constexpr net::Ipv4Address client_address{0xc6120002};

struct ClusterOptions {
  WorkerIndex workers = 1;
  size_t message_blocks = 64;  // of Arena::block_bytes, for each worker
  amqp091::session::Config session = {};
  tcp::Config tcp = {};
};

class Cluster : public Turns {
 public:
  using Options = ClusterOptions;

  explicit Cluster(const Options& options = {}) : mesh(options.workers), control(mesh) {
    for (WorkerIndex index = 0; index < options.workers; index++)
      nodes_.push_back(std::make_unique<Node>(options, index, mesh, memories_.emplace_back()));
    run(1ms);
  }
  // Every client dies, every worker drains, every queue goes: nothing may be left.
  ~Cluster() override {
    if (nodes_.empty()) return;
    for (auto& node : nodes_)
      for (AmqpClient* client : node->clients) node->host.abort(*client);
    for (WorkerIndex index = 0; index < nodes_.size(); index++)
      if (!worker(index).drained()) control.send(index, Drain{});
    run_until([&] { return control.drained == nodes_.size(); });
    EXPECT_EQ(control.drained, nodes_.size()) << "a worker did not drain";
    EXPECT_TRUE(control.opened.empty()) << "a session was not closed with the control plane";
    for (const std::string& name : control.queue_names()) control.remove_queue(name);
    run(2ms);
    for (auto& node : nodes_) {
      EXPECT_EQ(node->worker.pool().messages(), 0u) << "a message leaked";
      EXPECT_EQ(node->worker.pool().broken_promises(), 0u);
      EXPECT_EQ(node->worker.stack().counters().connections_open.value(), 0u);
    }
  }

  // All workers end as they stand, this one first.
  void end(WorkerIndex first) {
    nodes_[first].reset();
    nodes_.clear();
  }

  Worker& worker(WorkerIndex index = 0) { return nodes_[index]->worker; }
  AmqpClient& connect(WorkerIndex to = 0) {
    Node& node = *nodes_[to];
    AmqpClient& client = node.host.connect({broker_address, 5672}, now);
    node.clients.push_back(&client);
    return client;
  }
  // A connection with one open channel, 1.
  AmqpClient& open(WorkerIndex to = 0, bool says_blocked_is_known = false) {
    AmqpClient& client = connect(to);
    client.says_blocked_is_known = says_blocked_is_known;
    client.write_when_open = [](AmqpClient& opened) { opened.open_channel(1); };
    EXPECT_TRUE(run_until([&] { return client.take<channel::OpenOk>().has_value(); })) << "no channel.open-ok";
    return client;
  }
  void abort(AmqpClient& client) {
    for (auto& node : nodes_)
      for (AmqpClient* its : node->clients)
        if (its == &client) node->host.abort(client);
  }
  const tests::ScriptedControl::Queue& add_queue(const std::string& name, WorkerIndex home) {
    const auto& queue = control.add_queue(name, home);
    run_until([&] { return applied_by_all(); });
    return queue;
  }
  bool applied_by_all() const {
    for (WorkerIndex index = 0; index < nodes_.size(); index++)
      if (control.applied(index) != control.changes()) return false;
    return true;
  }

  // ---- time ----
  void turn() final {
    for (auto& node : nodes_) {
      node->host.receive(now);
      node->host.transmit(now);
      if (!node->held) node->worker.poll(now);
    }
    if (!control_held) control.turn();
    now += 10us;
    if (++turns_ % 64 == 0)
      for (auto& node : nodes_) node->worker.check_invariants();
  }
  // While held a worker takes no turn.
  void hold(WorkerIndex index, bool held = true) { nodes_[index]->held = held; }

  Mesh mesh;
  tests::ScriptedControl control;
  bool control_held = false;  // it takes no turn

 private:
  struct Node {
    Node(const Options& options, WorkerIndex index, Mesh& mesh, std::vector<uint8_t>& memory)
        : pipe(true),
          host(pipe.left, client_address),
          worker(config(options, index, mesh.workers(), memory), pipe.right, mesh) {}
    static WorkerConfig config(const Options& options, WorkerIndex index, WorkerIndex workers,
                               std::vector<uint8_t>& memory) {
      memory.resize((options.message_blocks + 1) * base::Arena::block_bytes);
      WorkerConfig config;
      config.index = index;
      config.hosts = {{.addresses = {{broker_address, 24}}, .announce = false}};
      config.tcp = options.tcp;
      config.marks.reserve = broker::Engine::reserve_bytes(workers);
      config.session = options.session;
      config.message_memory = memory;
      config.key = {7, 8};
      return config;
    }

    tests::Pipe pipe;
    tests::ClientHost host;
    Worker worker;
    std::vector<AmqpClient*> clients;
    bool held = false;
  };

  std::deque<std::vector<uint8_t>> memories_;  // for messages: a worker's queues hold other workers' too
  std::vector<std::unique_ptr<Node>> nodes_;
  uint64_t turns_ = 0;
};

}  // namespace talaria::worker
