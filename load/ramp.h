// The search for the knee: the greatest rate at which everything arrives and the 99th percentile stays below a bound.
// First up in steps of a factor, then halving the distance between the last rate that was good and the first that was
// not. Pure: it is told what a run at a rate found, and says which rate is next.
#pragma once

#include <cmath>
#include <optional>

#include "core/base/time.h"
#include "load/result.h"

namespace talaria::load {

using base::operator""us;

struct RampOptions {
  double from = 50'000;
  double to = 20'000'000;
  double factor = 2;        // up, until something is wrong
  double precision = 0.05;  // the knee is known as well as that
  base::Duration p99_max = 1000us;
};

class Ramp {
 public:
  Ramp(const RampOptions& options, uint32_t deliveries_per_message)
      : options_(options), deliveries_per_message_(deliveries_per_message), next_(options.from) {}

  // The rate to try; nothing: the knee is known.
  std::optional<double> next() const { return next_; }
  // What a run at next() found.
  void on(const Result& result) { on(good(result)); }
  void on(bool good) {
    const double rate = *next_;
    (good ? good_ : bad_) = rate;
    if (!good && good_ == 0) {
      // Not even the first: look below it, to a sixteenth.
      next_ = rate / options_.factor >= options_.from / 16 ? std::optional(rate / options_.factor) : std::nullopt;
    } else if (bad_ == 0) {
      next_ = rate >= options_.to ? std::nullopt : std::optional(std::min(rate * options_.factor, options_.to));
    } else {
      next_ = bad_ / good_ <= 1 + options_.precision ? std::nullopt : std::optional(std::sqrt(good_ * bad_));
    }
  }
  // 0: no rate was good.
  double knee() const { return good_; }

  bool good(const Result& result) const {
    return result.whole() && result.publish_rate() > 0.98 * *next_ &&
           result.deliver_rate() > 0.98 * *next_ * deliveries_per_message_ &&
           result.latency.percentile(0.99) <= static_cast<uint64_t>(options_.p99_max.count());
  }

 private:
  RampOptions options_;
  uint32_t deliveries_per_message_;
  std::optional<double> next_;
  double good_ = 0;
  double bad_ = 0;  // the least rate that was not good
};

}  // namespace talaria::load
