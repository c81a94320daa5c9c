// How much may be in flight, in bytes: CUBIC (RFC 9438) or NewReno (RFC 5681, RFC 6582), with an initial window of ten
// segments (RFC 6928). Per connection; integers only, and every one of them clamped: neither a round trip of 0 nor a
// window of 1 GiB takes it out of its bounds.
//
//   window
//    | max ------------------------.......--------        CUBIC, after a loss at `max`: to 0.7 of it, then along a
//    cubic |      \                ...'         '...  ...'      that is flat where the loss was; where NewReno would
//    have |       \           ..'                              grown faster (short round trips), as NewReno does |
//    '------ .'
//    +--------------------------------------------- time
#pragma once

#include <cstdint>

#include "core/base/time.h"
#include "core/tcp/config.h"

namespace talaria::tcp {

class Congestion {
 public:
  static constexpr uint32_t window_max = 1u << 30;

  static uint32_t initial_window(uint32_t mss);

  void choose(CongestionControl algorithm) { algorithm_ = algorithm; }

  // A loss while so much was in flight: the slow start threshold that follows. Growth begins anew.
  uint32_t threshold_after_loss(uint32_t in_flight, uint32_t mss);

  // `acknowledged` new bytes, while the window was in use (no growth without evidence, RFC 7661). Slow start counts
  // bytes, not ACKs: a receiver that answers once a burst is not punished (RFC 3465, as Linux does).
  void grow(uint32_t& window, uint32_t threshold, uint32_t acknowledged, uint32_t mss, base::Time now,
            base::Duration round_trip) {
    if (window < threshold) {
      const uint32_t slow_start = acknowledged < threshold - window ? acknowledged : threshold - window;
      window += slow_start;
      acknowledged -= slow_start;
      if (acknowledged == 0) return;
    }
    avoid(window, acknowledged, mss, now, round_trip);
  }

 private:
  void avoid(uint32_t& window, uint32_t acknowledged, uint32_t mss, base::Time now, base::Duration round_trip);
  uint32_t grow_cubic(uint32_t window, uint32_t acknowledged, uint32_t mss, base::Time now, base::Duration round_trip);
  void begin_epoch(uint32_t window, uint32_t mss, base::Time now);

  CongestionControl algorithm_ = CongestionControl::newreno;
  bool in_epoch_ = false;      // of congestion avoidance: since the first growth after a loss
  uint32_t credit_ = 0;        // NewReno: a segment for each window acknowledged
  uint32_t last_max_ = 0;      // CUBIC's W_max; 0: no loss yet
  uint32_t origin_ = 0;        // the plateau
  uint32_t origin_after_ = 0;  // K, in milliseconds
  uint32_t estimate_ = 0;      // W_est: what NewReno would have
  base::Time epoch_{};         // when this began, idle times taken out
  base::Time grown_{};         // when growth was last asked for
};

}  // namespace talaria::tcp
