// RACK: what was sent before something that has arrived, and has had the time to arrive itself, is lost (RFC 8985 6).
//
// The window it is granted for having been overtaken is a quarter of the shortest round trip, more when the peer
// reports duplicates (what was called lost had not been), and nothing once three duplicates are there on a path that
// never reordered. Per connection; pure arithmetic.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/base/time.h"
#include "core/tcp/sequence.h"

namespace talaria::tcp {

struct Rack {
  base::Time sent{};            // when what was sent last of all that arrived was sent (RACK.xmit_ts)
  base::Duration round_trip{};  // of that (RACK.rtt)
  base::Duration round_trip_min = base::Duration::max();
  base::Time round_trip_min_at{};
  Sequence end = 0;        // of it (RACK.end_seq)
  Sequence highest = 0;    // the highest number that arrived (RACK.fack)
  Sequence round_end = 0;  // the window has grown in this round trip already
  uint8_t steps = 1;       // quarters of a round trip
  uint8_t keep = 0;        // recoveries until the window is the initial one again
  bool any = false;        // something has arrived
  bool round_counts = false;
  uint32_t overtaken = 0;  // segments that arrived after others that were sent later

  // Of the window: as much as ports and hosts that work in batches may move without a network between them. More, such
  // as the timers' tick of a millisecond, is ten round trips in a rack.
  static constexpr base::Duration window_min = std::chrono::microseconds(50);
  static constexpr uint8_t keep_recoveries = 16;
  static constexpr base::Duration round_trip_min_lifetime = std::chrono::minutes(5);

  // Of two sent at the same time the one with the higher number was sent later.
  static bool sent_later(base::Time a, Sequence a_end, base::Time b, Sequence b_end) {
    return a > b || (a == b && after(a_end, b_end));
  }

  // RFC 8985 6.2 step 4.
  base::Duration window(base::Duration smoothed, bool in_recovery, bool many_duplicates) const {
    if (overtaken == 0 && (in_recovery || many_duplicates)) return {};
    const base::Duration quarter = std::min(round_trip_min, smoothed) / 4;
    return std::max(std::min(int64_t{steps} * quarter, smoothed), window_min);
  }
  // The peer had something twice: more patience, one step in a round trip. `acknowledged` is SND.UNA, `max` SND.MAX.
  void on_duplicate(Sequence acknowledged, Sequence max) {
    if (round_counts && before(acknowledged, round_end)) return;
    round_counts = true;
    round_end = max;
    keep = keep_recoveries;
    if (steps < UINT8_MAX) steps++;
  }
  void on_recovery_over() {
    if (keep > 0 && --keep == 0) steps = 1;
  }
  void sample_min(base::Duration measured, base::Time now) {
    if (measured > round_trip_min && now - round_trip_min_at < round_trip_min_lifetime) return;
    round_trip_min = measured;
    round_trip_min_at = now;
  }
};

// What one acknowledgement says has arrived (RFC 8985 6.2 steps 1 to 3).
class Deliveries {
 public:
  Deliveries(Rack& rack, base::Time now) : rack_(rack), now_(now), highest_before_(rack.highest) {}
  // The timestamp it echoes, in milliseconds: what was sent again after that is not what arrived.
  void echoes(uint32_t milliseconds) {
    has_echo_ = true;
    echo_ = milliseconds;
  }

  // Bytes up to `end`, sent at `sent`; `again`: not for the first time.
  void add(base::Time sent, Sequence end, bool again) {
    if (after(end, rack_.highest))
      rack_.highest = end;
    else if (!again && before(end, highest_before_))
      rack_.overtaken++;
    const base::Duration measured = now_ - sent;
    if (again) {
      if (has_echo_ && before(echo_, static_cast<uint32_t>(sent.time_since_epoch() / std::chrono::milliseconds(1))))
        return;
      if (measured < rack_.round_trip_min) return;
    } else {
      rack_.sample_min(measured, now_);
    }
    if (rack_.any && !Rack::sent_later(sent, end, rack_.sent, rack_.end)) return;
    rack_.any = true;
    rack_.sent = sent;
    rack_.end = end;
    rack_.round_trip = measured;
  }

 private:
  Rack& rack_;
  base::Time now_;
  Sequence highest_before_;
  uint32_t echo_ = 0;
  bool has_echo_ = false;
};

}  // namespace talaria::tcp
