// Round-trip time and retransmission timeout (RFC 6298). Per connection.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/base/time.h"

namespace talaria::tcp {

struct RoundTrip {
  base::Duration smoothed{};  // 0 before the first sample
  base::Duration variation{};
  base::Duration timeout{};  // without back-off
  uint8_t backoff = 0;       // doublings since the last sample (Karn)

  // RFC 6298 2.2, 2.3. A sample takes the back-off away.
  void sample(base::Duration measured, base::Duration timeout_min, base::Duration timeout_max) {
    measured = std::max(measured, base::Duration(1000));  // a clock that stood still must not make it 0
    if (smoothed.count() == 0) {
      smoothed = measured;
      variation = measured / 2;
    } else {
      base::Duration error = smoothed > measured ? smoothed - measured : measured - smoothed;
      variation = (3 * variation + error) / 4;
      smoothed = (7 * smoothed + measured) / 8;
    }
    constexpr base::Duration granularity = std::chrono::milliseconds(1);
    timeout = std::clamp(smoothed + std::max(granularity, 4 * variation), timeout_min, timeout_max);
    backoff = 0;
  }

  // With the back-off (RFC 6298 5.5), at most timeout_max.
  base::Duration backed_off(base::Duration timeout_max) const {
    base::Duration value = timeout;
    for (uint8_t i = 0; i < backoff && value < timeout_max; i++) value *= 2;
    return std::min(value, timeout_max);
  }
  void back_off() {
    if (backoff < 16) backoff++;
  }
};

}  // namespace talaria::tcp
