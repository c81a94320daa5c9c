// The loop of one datapath core: read the clock, one turn of the worker, and what to do when it found nothing. Runs on
// the worker's lcore until the worker takes a Stop command.
#pragma once

#include "core/base/histogram.h"
#include "core/worker/worker.h"
#include "dpdk-app/spread.h"
#include "dpdk-app/tsc_clock.h"

namespace talaria::app {

struct CoreLoop {
  worker::Worker* worker = nullptr;
  const SpreadTrunk* trunk = nullptr;  // worker 0's device if it serves other workers as well
  TscClock clock;
  bool may_sleep = false;
  base::FineHistogram turn_lengths;  // every turn, sleeps left out; any thread reads

  // Blocks every signal for this thread, then turns.
  void run();
};

}  // namespace talaria::app
