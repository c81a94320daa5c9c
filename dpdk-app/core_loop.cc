#include "dpdk-app/core_loop.h"

#include <rte_pause.h>
#include <rte_ring.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

#include <algorithm>

namespace talaria::app {
namespace {

void sleep_for(base::Duration duration) {
  const timespec time{0, duration.count()};
  nanosleep(&time, nullptr);
}

void wake_those_with_mail(const std::vector<Colleague>& colleagues) {
  for (const Colleague& colleague : colleagues)
    if (colleague.bell->listens() && colleague.has_mail()) colleague.bell->ring();
}

}  // namespace

bool Colleague::has_mail() const {
  return lane->operations.waiting() != 0 || lane->events.waiting() != 0 || lane->releases.waiting() != 0 ||
         lane->neighbors.waiting() != 0 || lane->network.waiting() != 0 || lane->heard.waiting() != 0 ||
         std::any_of(packets.begin(), packets.end(), [](const rte_ring* ring) { return rte_ring_empty(ring) == 0; });
}

base::Time CoreLoop::next_deadline() const {
  for (const SpreadTrunk* trunk : trunks)
    if (trunk->has_unsent()) return base::Time{};
  return worker->next_deadline();
}

uint64_t CoreLoop::carried() const {
  uint64_t sum = 0;
  for (const SpreadTrunk* trunk : trunks) sum += trunk->carried();
  return sum;
}

void CoreLoop::run() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  // Sleeps end when they should, not 50 us later. Best effort: the loop is right either way.
  prctl(PR_SET_TIMERSLACK, 1UL);

  IdlePolicy policy(idle);
  worker::WorkerCounters& counters = worker->counters();
  uint64_t carried_before = 0;
  base::Time now = clock.now();
  while (!worker->stopped()) {
    bool busy = worker->poll(now);
    if (const uint64_t carried_now = carried(); carried_now != carried_before) {
      carried_before = carried_now;
      busy = true;
    }
    wake_those_with_mail(colleagues);
    // One reading a turn: the end of this turn is the beginning of the next, but for sleeps.
    const base::Time end = clock.now();
    const auto length = static_cast<uint64_t>((end - now).count());
    counters.longest_turn_ns.raise_to(length);
    turn_lengths.record(length);
    now = end;
    if (busy) {
      counters.busy_ns.add(length);
      if (policy.on_busy()) sleeper->disarm();
      continue;
    }
    switch (policy.on_idle()) {
      case IdleStep::nothing: break;
      case IdleStep::pause: rte_pause(); break;
      case IdleStep::arm: sleeper->arm(); break;
      case IdleStep::sleep:
        if (const auto duration = policy.sleep_for(now, next_deadline()); duration > 0ns) {
          sleeper != nullptr ? sleeper->sleep(duration) : sleep_for(duration);
          now = clock.now();
          counters.asleep_ns.add(static_cast<uint64_t>((now - end).count()));
        }
        if (sleeper != nullptr) sleeper->disarm();
        break;
    }
  }
}

}  // namespace talaria::app
