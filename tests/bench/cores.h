// Several workers on one mesh, in one thread, taking turns: what a message costs the broker by where its publisher, its
// queue and its consumer are. Each worker has a port, a host of clients and a publisher of its own, so that all do the
// same; cycles of all of them are added up.
//
// What one thread cannot show is the way of a cache line from core to core: tests/bench/mailbox.cc measures that.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>
#include <vector>

#include "core/worker/worker.h"
#include "tests/support/amqp_client.h"
#include "tests/support/pipe_device.h"
#include "tests/support/scripted_control.h"

namespace talaria::bench {

// Workers are counted from that of the publisher, round and round.
struct Placement {
  const char* name;
  worker::WorkerIndex workers_min;  // fewer cannot be placed so
  worker::WorkerIndex queue;
  worker::WorkerIndex consumer;
  bool acknowledged = false;  // a `multiple` a turn, and confirms
  bool fan_out = false;       // to 8 queues, the next on the next worker, each with its consumer there
  bool remembered = false;    // by an exchange (x-recent-history) whose home is the queue's
};

struct CoresSums {
  uint64_t turns = 0;  // of every worker
  uint64_t messages = 0;
  uint64_t cycles = 0;
  uint64_t operations = 0, events = 0, releases = 0;  // that crossed
  uint64_t pushes = 0;                                // into mailboxes, each of so many of them as there were
};

class Cores {
 public:
  Cores(const Placement& placement, worker::WorkerIndex workers, int warm_up = 1000);
  ~Cores();

  // A number of turns that nobody disturbed.
  CoresSums measure();
  // So many turns once messages flow, whatever happens meanwhile; the messages delivered since it was made.
  uint64_t run(int turns);

 private:
  struct Node {
    Node(worker::WorkerIndex index, worker::Mesh& mesh);

    std::vector<uint8_t> memory;
    tests::Pipe pipe;
    tests::ClientHost clients;
    worker::Worker worker;
  };
  struct Flow {
    tests::AmqpClient* publisher = nullptr;
    std::vector<tests::AmqpClient*> consumers;
    std::vector<uint64_t> acknowledged;  // by consumer
    std::vector<uint8_t> frames;         // of `per_turn` messages
    uint64_t published = 0;

    uint64_t delivered() const;
  };

  void add_flow(worker::WorkerIndex at);
  bool ready() const;
  uint64_t delivered() const;
  void turn(CoresSums& into, bool publishing);
  void clients_act(Flow& flow, bool publishing);
  CoresSums crossed() const;

  const Placement placement_;
  const size_t per_turn_;  // messages a publisher, as far as TCP takes them
  worker::Mesh mesh_;
  tests::ScriptedControl control_;
  std::deque<Node> nodes_;
  std::vector<Flow> flows_;  // by the publisher's worker
  base::Time now_{std::chrono::seconds(1)};
};

// One placement for so many turns; prints the messages delivered, for a tool that counts what the workers do in them
// (scripts/bench-cores). False when there is no placement of that name, or not with so few workers.
bool run_cores(std::string_view placement, int workers, int turns);

// Every placement at 1, 2, 4 and 8 workers: a line of JSON each, on standard output.
void print_cores();

}  // namespace talaria::bench
