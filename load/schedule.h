// When each message of a paced run is due: message n, of all producers together, n intervals after the start. Pure.
#pragma once

#include <cstdint>

#include "core/base/time.h"

namespace talaria::load {

class Schedule {
 public:
  Schedule() = default;
  Schedule(base::Time start, double messages_per_second) : start_(start), interval_(1e9 / messages_per_second) {}

  base::Time due(uint64_t n) const {
    return start_ + base::Duration{static_cast<int64_t>(static_cast<double>(n) * interval_)};
  }
  // How many are due by `now`.
  uint64_t count(base::Time now) const {
    if (now < start_) return 0;
    auto n = static_cast<uint64_t>(static_cast<double>((now - start_).count()) / interval_);
    // Rounding, either way.
    while (due(n) <= now) n++;
    while (n > 0 && due(n - 1) > now) n--;
    return n;
  }

 private:
  base::Time start_{};
  double interval_ = 1;  // nanoseconds
};

}  // namespace talaria::load
