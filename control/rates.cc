#include "control/rates.h"

#include <algorithm>

namespace talaria::control {

void Rates::poll(const Statistics& statistics, base::Time now) {
  if (!newer_.workers.empty() && now - newer_.at < interval) return;
  older_ = std::move(newer_);
  newer_ = {now, {}};
  for (broker::WorkerIndex index = 0; index < statistics.workers(); index++)
    newer_.workers.push_back(statistics.worker(index));
}

WorkerRates Rates::worker(broker::WorkerIndex index) const {
  WorkerRates rates;
  if (index >= older_.workers.size() || index >= newer_.workers.size()) return rates;
  const WorkerFigures& before = older_.workers[index];
  const WorkerFigures& after = newer_.workers[index];
  double seconds = std::chrono::duration<double>(newer_.at - older_.at).count();
  auto grown = [](uint64_t from, uint64_t to) { return static_cast<double>(to - from); };
  // A turn or a sleep counts when it is over, so that a sample may hold some of what went before it.
  auto share = [&](uint64_t from, uint64_t to) { return std::clamp(grown(from, to) / 1e9 / seconds, 0.0, 1.0); };
  rates.busy_share = share(before.busy_ns, after.busy_ns);
  rates.asleep_share = std::min(share(before.asleep_ns, after.asleep_ns), 1.0 - rates.busy_share);
  rates.idle_share = 1.0 - rates.busy_share - rates.asleep_share;
  rates.packets_in = grown(before.packets_in, after.packets_in) / seconds;
  rates.packets_out = grown(before.packets_out, after.packets_out) / seconds;
  rates.messages_in = grown(before.messages_in, after.messages_in) / seconds;
  rates.messages_out = grown(before.messages_out, after.messages_out) / seconds;
  return rates;
}

}  // namespace talaria::control
