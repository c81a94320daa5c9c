// At most so many of something a second: what is answered to strangers (resets, ICMP errors, challenge ACKs) must not
// make an amplifier or an oracle of us. One owner thread.
//
// Counts within windows of one second, so that at most twice the limit falls into any second.
#pragma once

#include <cstdint>

#include "core/base/time.h"

namespace talaria::base {

class RateLimit {
 public:
  explicit RateLimit(uint32_t per_second) : per_second_(per_second) {}

  // True if one more is allowed now; it is counted then.
  bool allow(Time now) {
    if (now >= window_end_) {
      window_end_ = now + std::chrono::seconds(1);
      used_ = 0;
    }
    if (used_ >= per_second_) return false;
    used_++;
    return true;
  }

  void set_limit(uint32_t per_second) { per_second_ = per_second; }

 private:
  Time window_end_ = Time::min();
  uint32_t per_second_;
  uint32_t used_ = 0;
};

}  // namespace talaria::base
