// What a run found, as numbers; report.h writes them down.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/histogram.h"
#include "core/base/time.h"
#include "load/plan.h"

namespace talaria::load {

struct Result {
  // Counted since the start, at one moment.
  struct Totals {
    base::Time at{};
    uint64_t published = 0;
    uint64_t delivered = 0;
    uint64_t confirmed = 0;
    uint64_t packets_in = 0, packets_out = 0;
  };

  std::string failure;  // empty: the run came to its end
  base::Duration window{};
  Totals begin, end;  // of the window
  Totals all;         // when everything had arrived, or patience ended

  uint64_t lost = 0;
  uint64_t duplicated = 0;
  uint64_t reordered = 0;
  uint64_t strangers = 0;
  uint64_t returned = 0;
  uint64_t refused = 0;      // negative confirms
  uint64_t unconfirmed = 0;  // at the end
  uint64_t redelivered = 0;
  uint64_t blocked_times = 0;
  uint64_t retransmitted = 0;  // segments, ours

  // Of messages that were published first and consumed later; the rates are then of these.
  struct Rest {
    uint64_t messages = 0;
    base::Duration fill{};   // until the broker had the last of them in its queues
    base::Duration drain{};  // from then on, consumers subscribing, until the last had arrived
  };
  std::optional<Rest> rest;

  base::FineHistogramSum latency;
  base::FineHistogramSum confirm_latency;
  base::FineHistogramSum turn_lengths;  // of the load's own loop, in the window
  base::Duration send_lag_max{};        // a message was written that much later than due, at most

  double seconds() const { return static_cast<double>(window.count()) / 1e9; }
  double publish_rate() const {
    return rest ? rate(rest->messages, rest->fill) : rate(end.published - begin.published, window);
  }
  double deliver_rate() const {
    return rest ? rate(all.delivered, rest->drain) : rate(end.delivered - begin.delivered, window);
  }
  double confirm_rate() const { return rate(end.confirmed - begin.confirmed, window); }
  // Every message came, once and in order, to where it was sent.
  bool whole() const {
    return failure.empty() && lost == 0 && duplicated == 0 && reordered == 0 && strangers == 0 && returned == 0 &&
           refused == 0 && unconfirmed == 0;
  }

 private:
  static double rate(uint64_t count, base::Duration in) {
    return in.count() == 0 ? 0 : static_cast<double>(count) * 1e9 / static_cast<double>(in.count());
  }
};

}  // namespace talaria::load
