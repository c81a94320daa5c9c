#include "control/rates.h"

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
  double busy = grown(before.turns_busy, after.turns_busy);
  double turns = busy + grown(before.turns_idle, after.turns_idle);
  if (turns > 0) rates.busy_share = busy / turns;
  rates.packets_in = grown(before.packets_in, after.packets_in) / seconds;
  rates.packets_out = grown(before.packets_out, after.packets_out) / seconds;
  rates.messages_in = grown(before.messages_in, after.messages_in) / seconds;
  rates.messages_out = grown(before.messages_out, after.messages_out) / seconds;
  return rates;
}

}  // namespace talaria::control
