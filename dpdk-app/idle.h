// What a worker does with turns that find nothing to do. Pure: the core loop does what is said.
//
//   spin:      nothing, ever. For a core of its own.
//   adaptive:  first nothing (a packet that follows closely is not missed), then the processor's pause instruction,
//              then sleeps of 50 us at most that end before the worker's next deadline. So an idle broker leaves a
//              shared core to others, and a busy one never sleeps.
//   wait:      the same, and the sleep lasts until the next deadline: packets and colleagues end it (sleeper.h).
//
//   awake --64 idle turns--> pausing --512--> [armed --an idle turn-->] asleep --> (armed) ...
//     ^                         |                 |                       |
//     '-------------------------+--- busy turn ---+-----------------------'
//
// Armed: from here on a packet or a colleague wakes this worker. One more turn looks for what came before that.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/base/time.h"

namespace talaria::app {

using base::operator""ns;
using base::operator""us;
using base::operator""ms;

enum class IdleStep : uint8_t { nothing, pause, arm, sleep };

struct IdleRules {
  bool may_sleep = false;
  bool is_woken = false;  // sleeps end early when there is work: they are armed first
  base::Duration sleep_max = 50us;
};
inline constexpr IdleRules spin_rules{};
inline constexpr IdleRules adaptive_rules{.may_sleep = true, .is_woken = false, .sleep_max = 50us};
// A bound all the same: that something wakes the worker is what the kernel and the driver say.
inline constexpr IdleRules wait_rules{.may_sleep = true, .is_woken = true, .sleep_max = 100ms};
// The port tells nobody of packets; colleagues still wake. Half of the 200 us in which a first message is answered.
inline constexpr IdleRules wait_unheard_rules{.may_sleep = true, .is_woken = true, .sleep_max = 100us};

class IdlePolicy {
 public:
  static constexpr uint32_t turns_before_pause = 64;
  static constexpr uint32_t turns_before_sleep = 512;
  static constexpr base::Duration sleep_min = 2us;  // less is not worth the system call

  explicit IdlePolicy(IdleRules rules) : rules_(rules) {}

  // True if the sleep that was armed is off.
  bool on_busy() {
    idle_turns_ = 0;
    return std::exchange(armed_, false);
  }
  IdleStep on_idle() {
    if (!rules_.may_sleep) return IdleStep::nothing;
    if (idle_turns_ < turns_before_sleep) idle_turns_++;
    if (idle_turns_ < turns_before_pause) return IdleStep::nothing;
    if (idle_turns_ < turns_before_sleep) return IdleStep::pause;
    if (!rules_.is_woken) return IdleStep::sleep;
    armed_ = !armed_;
    return armed_ ? IdleStep::arm : IdleStep::sleep;
  }
  // How long to sleep so that the deadline is met; 0: not at all.
  base::Duration sleep_for(base::Time now, base::Time deadline) const {
    if (deadline <= now) return 0ns;
    const base::Duration left = deadline - now;
    return left < sleep_min ? 0ns : std::min(left, rules_.sleep_max);
  }

 private:
  IdleRules rules_;
  uint32_t idle_turns_ = 0;
  bool armed_ = false;
};

}  // namespace talaria::app
