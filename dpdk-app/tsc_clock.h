// Nanoseconds from the processor's time-stamp counter: one instruction and one multiplication a reading. The rate is
// measured against the kernel's monotonic clock between `start` and `calibrate` (tens of milliseconds are enough for
// 10 ppm; DPDK's own figure is rounded to 10 MHz, which is 0.2 % wrong here). Copied to every thread after that; needs
// an invariant counter, the same on all cores (host_report.h says if it is not).
#pragma once

#include <time.h>
#include <x86intrin.h>

#include <cstdint>

#include "core/amqp091/session/latency.h"
#include "core/base/time.h"

namespace talaria::app {

class TscClock {
 public:
  // Takes the first sample; its time is zero.
  static TscClock start() {
    TscClock clock;
    clock.first_ = sample();
    return clock;
  }
  // Takes the second sample, waiting until it is far enough from the first.
  void calibrate() {
    Sample second = sample();
    while (second.nanoseconds - first_.nanoseconds < calibration_nanoseconds) {
      timespec pause{0, 1'000'000};
      nanosleep(&pause, nullptr);
      second = sample();
    }
    set_rate(second.cycles - first_.cycles, second.nanoseconds - first_.nanoseconds);
  }

  base::Time now() const { return to_time(__rdtsc()); }
  // For whoever may not know this class. The clock outlives it, at its place.
  amqp091::session::ClockReader reader() const {
    return {[](const void* clock) { return static_cast<const TscClock*>(clock)->now(); }, this};
  }
  base::Time to_time(uint64_t cycles) const {
    return base::Time{base::Duration{static_cast<int64_t>(scale(cycles - first_.cycles))}};
  }
  // Cycles in a second.
  uint64_t frequency() const { return frequency_; }

  // For tests: as if `cycles` had gone by in `nanoseconds`.
  void set_rate(uint64_t cycles, uint64_t nanoseconds) {
    multiplier_ = static_cast<uint64_t>((Wide{nanoseconds} << fraction_bits) / cycles);
    frequency_ = static_cast<uint64_t>(Wide{cycles} * 1'000'000'000 / nanoseconds);
  }

 private:
  __extension__ using Wide = unsigned __int128;
  struct Sample {
    uint64_t cycles = 0;
    uint64_t nanoseconds = 0;
  };
  static constexpr unsigned fraction_bits = 32;
  static constexpr uint64_t calibration_nanoseconds = 50'000'000;

  // The tightest of a few tries: a preemption between the two readings would spoil one.
  static Sample sample() {
    Sample best;
    uint64_t tightest = UINT64_MAX;
    for (int i = 0; i < 16; i++) {
      timespec time{};
      const uint64_t before = __rdtsc();
      clock_gettime(CLOCK_MONOTONIC_RAW, &time);
      const uint64_t after = __rdtsc();
      if (after - before >= tightest) continue;
      tightest = after - before;
      best = {before + (after - before) / 2,
              static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec)};
    }
    return best;
  }

  uint64_t scale(uint64_t cycles) const { return static_cast<uint64_t>((Wide{cycles} * multiplier_) >> fraction_bits); }

  Sample first_;
  uint64_t multiplier_ = 0;  // nanoseconds a cycle, in units of 2^-32
  uint64_t frequency_ = 0;
};

}  // namespace talaria::app
