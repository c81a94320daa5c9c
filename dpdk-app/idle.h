// What a worker does with turns that find nothing to do. Pure: the core loop does what is said.
//
//   spin:      nothing, ever. For a core of its own.
//   adaptive:  first nothing (a packet that follows closely is not missed), then the processor's pause instruction,
//   then
//              sleeps that end before the worker's next deadline. So an idle broker leaves a shared core to others,
//              and a busy one never sleeps.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/base/time.h"

namespace talaria::app {

using base::operator""ns;
using base::operator""us;

enum class IdleStep : uint8_t { nothing, pause, sleep };

class IdlePolicy {
 public:
  static constexpr uint32_t turns_before_pause = 64;
  static constexpr uint32_t turns_before_sleep = 512;
  static constexpr base::Duration sleep_max = 50us;
  static constexpr base::Duration sleep_min = 2us;  // less is not worth the system call

  explicit IdlePolicy(bool may_sleep) : may_sleep_(may_sleep) {}

  void on_busy() { idle_turns_ = 0; }
  IdleStep on_idle() {
    if (!may_sleep_) return IdleStep::nothing;
    if (idle_turns_ < turns_before_sleep) idle_turns_++;
    if (idle_turns_ < turns_before_pause) return IdleStep::nothing;
    return idle_turns_ < turns_before_sleep ? IdleStep::pause : IdleStep::sleep;
  }
  // How long to sleep so that the deadline is met; 0: not at all.
  static base::Duration sleep_for(base::Time now, base::Time deadline) {
    if (deadline <= now) return 0ns;
    const base::Duration left = deadline - now;
    return left < sleep_min ? 0ns : std::min(left, sleep_max);
  }

 private:
  bool may_sleep_;
  uint32_t idle_turns_ = 0;
};

}  // namespace talaria::app
