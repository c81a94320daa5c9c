// The whole walk: a broker's worker and its clients on two ends of a pipe in memory, in one thread, taking turns, the
// cycles of either counted apart.
//
// The broker is either the real worker::Worker, its `poll` timed as a whole, or a StepWorker. The control plane is
// scripted: it matters only until all connections are open. Checksums are left to the port, as most ports offer it.
//
// Measured is in batches of turns; a batch in which the kernel gave the core to somebody else is not counted.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "core/worker/worker.h"
#include "tests/bench/step_worker.h"
#include "tests/support/load.h"
#include "tests/support/pipe_device.h"

namespace talaria::bench {

struct Scenario {
  const char* name;
  tests::LoadOptions load;
};

// Over all turns that count.
struct WalkSums {
  uint64_t turns = 0;
  uint64_t messages = 0;                     // delivered
  uint64_t packets_in = 0, packets_out = 0;  // of the broker
  uint64_t ready = 0;                        // in the queue, at the end of each batch
  uint64_t broker_cycles = 0, client_cycles = 0;
  StepCycles step_cycles{};
  uint64_t batches = 0, batches_dropped = 0;

  void add(const WalkSums& other);
};

// One broker and its load: made once, measured batch after batch.
class Walk {
 public:
  // `warm_up`: turns before it is fit to be measured.
  Walk(const Scenario& scenario, bool by_steps, int warm_up = 3000);
  ~Walk();

  // One batch of turns that nobody disturbed.
  WalkSums measure();
  // So many turns once messages flow, whatever happens meanwhile; says how many were delivered since it was made.
  uint64_t run(int turns);

 private:
  void turn(WalkSums& into, bool publishing);

  std::vector<uint8_t> memory_;
  worker::Mesh mesh_;
  tests::ScriptedControl control_;
  tests::Pipe pipe_;
  tests::ClientHost clients_;
  std::unique_ptr<worker::Worker> worker_;  // one of these two
  std::unique_ptr<StepWorker> step_worker_;
  base::Time now_{std::chrono::seconds(1)};
  tests::Load load_;
};

// Runs a scenario for so many turns and prints the messages delivered: for a tool that counts what the broker does in
// them (scripts/bench-check). False when there is no scenario of that name.
bool run_walk(std::string_view scenario, int turns);

// What was measured so far, on standard output.
void print_walks();

}  // namespace talaria::bench
