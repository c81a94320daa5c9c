// Per-second rates of the workers' counters: the difference between the last two samples, taken a second or more apart.
// The control thread samples while it is awake; nothing reaches a worker.
#pragma once

#include <vector>

#include "control/statistics.h"
#include "core/base/time.h"

namespace talaria::control {

struct WorkerRates {
  // Of the time, 0 to 1; together 1, or 0 while nothing is known. Idle: awake, and nothing to do.
  double busy_share = 0, idle_share = 0, asleep_share = 0;
  double packets_in = 0, packets_out = 0;
  double messages_in = 0, messages_out = 0;
};

class Rates {
 public:
  static constexpr base::Duration interval = std::chrono::seconds(1);

  // Takes a sample when one is due.
  void poll(const Statistics& statistics, base::Time now);
  // Zeros until two samples were taken.
  WorkerRates worker(broker::WorkerIndex index) const;

 private:
  struct Sample {
    base::Time at{};
    std::vector<WorkerFigures> workers;
  };
  Sample older_, newer_;
};

}  // namespace talaria::control
