// The loop of one datapath core: read the clock, one turn of the worker, and what to do when it found nothing. Runs on
// the worker's lcore until the worker takes a Stop command.
#pragma once

#include <vector>

#include "core/base/histogram.h"
#include "core/worker/mesh.h"
#include "core/worker/worker.h"
#include "dpdk-app/idle.h"
#include "dpdk-app/sleeper.h"
#include "dpdk-app/spread.h"
#include "dpdk-app/tsc_clock.h"

namespace talaria::app {

// Another worker that may sleep, and where this one puts what is for it.
struct Colleague {
  Doorbell* bell = nullptr;
  const worker::Lane* lane = nullptr;
  std::vector<const rte_ring*> packets{};  // none: no packets go that way

  bool has_mail() const;
};

struct CoreLoop {
  worker::Worker* worker = nullptr;
  std::vector<const SpreadTrunk*> trunks;  // those of worker 0's devices that serve other workers as well
  TscClock clock;
  IdleRules idle;
  Sleeper* sleeper = nullptr;         // where sleeps are ended early (IdleRules::is_woken)
  std::vector<Colleague> colleagues;  // those that sleep until they are woken
  base::FineHistogram turn_lengths;   // every turn, sleeps left out; any thread reads

  // Blocks every signal for this thread, then turns.
  void run();

 private:
  base::Time next_deadline() const;
  uint64_t carried() const;
};

}  // namespace talaria::app
