// Cycles of the time-stamp counter, which is what the project's targets are counted in. The counter runs at a constant
// rate whatever the core's frequency is: a cycle here is 1/tsc_hz() seconds.
#pragma once

#include <benchmark/benchmark.h>
#include <x86intrin.h>

#include <cstdint>
#include <string>

namespace talaria::bench {

inline uint64_t cycles_now() { return __rdtsc(); }

// Measured once against the steady clock.
double tsc_hz();
// "AMD EPYC", as the kernel says.
std::string cpu_model();

// Seconds this thread had a core. What the kernel gave to others in between is not in it.
double thread_seconds();
// Times the kernel took the core away from this thread because somebody else wanted it.
uint64_t preemptions();

// Adds `cycles` to a benchmark: of one item, from the making of this to its end. `items`: in one iteration.
class CycleCounter {
 public:
  explicit CycleCounter(benchmark::State& state, double items = 1)
      : state_(state), items_(items), start_(thread_seconds()) {}
  ~CycleCounter() {
    const double elapsed = (thread_seconds() - start_) * tsc_hz();
    const double items = static_cast<double>(state_.iterations()) * items_;
    state_.counters["cycles"] = elapsed / items;
    state_.SetItemsProcessed(static_cast<int64_t>(items));
  }
  CycleCounter(const CycleCounter&) = delete;
  CycleCounter& operator=(const CycleCounter&) = delete;

 private:
  benchmark::State& state_;
  double items_;
  double start_;
};

}  // namespace talaria::bench
