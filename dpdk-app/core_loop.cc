#include "dpdk-app/core_loop.h"

#include <rte_pause.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

#include "dpdk-app/idle.h"

namespace talaria::app {
namespace {

void sleep_for(base::Duration duration) {
  const timespec time{0, duration.count()};
  nanosleep(&time, nullptr);
}

}  // namespace

void CoreLoop::run() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  // Sleeps end when they should, not 50 us later. Best effort: the loop is right either way.
  prctl(PR_SET_TIMERSLACK, 1UL);

  IdlePolicy idle(may_sleep);
  worker::WorkerCounters& counters = worker->counters();
  uint64_t carried = 0;
  base::Time now = clock.now();
  while (!worker->stopped()) {
    bool busy = worker->poll(now);
    if (trunk != nullptr && trunk->carried() != carried) {
      carried = trunk->carried();
      busy = true;
    }
    // One reading a turn: the end of this turn is the beginning of the next, but for sleeps.
    const base::Time end = clock.now();
    const auto length = static_cast<uint64_t>((end - now).count());
    counters.longest_turn_ns.raise_to(length);
    turn_lengths.record(length);
    now = end;
    if (busy) {
      counters.busy_ns.add(length);
      idle.on_busy();
      continue;
    }
    switch (idle.on_idle()) {
      case IdleStep::nothing: break;
      case IdleStep::pause: rte_pause(); break;
      case IdleStep::sleep:
        if (const auto duration = IdlePolicy::sleep_for(now, worker->next_deadline()); duration > 0ns) {
          sleep_for(duration);
          now = clock.now();
          counters.asleep_ns.add(static_cast<uint64_t>((now - end).count()));
        }
        break;
    }
  }
}

}  // namespace talaria::app
