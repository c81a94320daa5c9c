// How much may be in flight: NewReno (RFC 5681, RFC 6582) with an initial window of ten segments (RFC 6928), in bytes.
// Another algorithm stands beside these functions, not inside the ones who call them. Per connection.
#pragma once

#include <algorithm>
#include <cstdint>

namespace talaria::tcp {

struct Congestion {
  static constexpr uint32_t window_max = 1u << 30;

  static uint32_t initial_window(uint32_t mss) { return std::min(10 * mss, std::max(2 * mss, 14600u)); }

  // RFC 5681 eq. 4.
  static uint32_t threshold_after_loss(uint32_t in_flight, uint32_t mss) { return std::max(in_flight / 2, 2 * mss); }

  // `acknowledged` new bytes outside of recovery, while the window was in use (no growth without evidence, RFC 7661).
  // Slow start counts bytes, not ACKs: a receiver that answers once a burst is not punished (RFC 3465, as Linux does).
  // `credit` is congestion avoidance's memory: a segment for each window acknowledged.
  static void grow(uint32_t& window, uint32_t threshold, uint32_t& credit, uint32_t acknowledged, uint32_t mss) {
    if (window < threshold) {
      uint32_t slow_start = std::min(acknowledged, threshold - window);
      window += slow_start;
      acknowledged -= slow_start;
    }
    credit += acknowledged;
    if (credit >= window) {
      credit -= window;
      credit = std::min(credit, window);
      window += mss;
    }
    window = std::min(window, window_max);
  }
};

}  // namespace talaria::tcp
