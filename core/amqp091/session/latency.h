// How long messages stay in the broker: from the reading of their content header to the writing of their delivery into
// TCP's send queue. Measured with a clock of its own, since turns are told the time once and most messages come and go
// within one; nothing but the histogram depends on it.
//
// A reading of the clock serves up to `messages_a_reading` messages, that is a few microseconds of work, which is how
// exact the measure is. Without a clock it is exact to a turn.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/base/histogram.h"
#include "core/base/time.h"

namespace talaria::amqp091::session {

// A clock that `poll(now)`'s is a reading of, earlier or later; injected, as all time is.
struct ClockReader {
  base::Time (*read)(const void* clock) = nullptr;  // nullptr: there is none
  const void* clock = nullptr;
};

class Latency {
 public:
  static constexpr uint32_t messages_a_reading = 16;

  // `histogram`: nullptr if nobody wants to know. Outlived by it and by the clock.
  Latency(base::Histogram* histogram, ClockReader clock) : histogram_(histogram), clock_(clock) {}

  // Other work was done since the last message: its reading is stale.
  void begin_run(base::Time now) {
    moment_ = now;
    left_ = 0;
  }
  // Of the message at hand.
  base::Time moment() {
    if (left_ == 0) [[unlikely]] {
      if (clock_.read != nullptr) moment_ = clock_.read(clock_.clock);
      left_ = messages_a_reading;
    }
    left_--;
    return moment_;
  }
  // Its delivery was written. (Clocks of workers may differ by a turn where there is none to read.)
  void record(base::Time received) {
    if (histogram_ == nullptr) return;
    histogram_->record(static_cast<uint64_t>(std::max<int64_t>(0, (moment() - received).count())));
  }

 private:
  base::Histogram* const histogram_;
  const ClockReader clock_;
  base::Time moment_{};
  uint32_t left_ = 0;  // messages that the last reading still serves
};

}  // namespace talaria::amqp091::session
