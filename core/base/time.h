// Time in the core: nanoseconds on a clock that nobody here can read. The caller of `poll(now)` passes it in, so the
// same code runs on a processor's time-stamp counter and on the simulator's virtual clock.
#pragma once

#include <chrono>
#include <cstdint>

namespace talaria::base {

// A clock without now(): monotonic, its zero is whatever the injector chose.
struct Clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<Clock>;
  static constexpr bool is_steady = true;
};

using Duration = Clock::duration;
using Time = Clock::time_point;

using std::chrono_literals::operator""ns;
using std::chrono_literals::operator""us;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

inline constexpr Time never = Time::max();

}  // namespace talaria::base
