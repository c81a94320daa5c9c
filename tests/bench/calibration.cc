// What this machine does just now, in the same run as what is to be judged: a loop that only computes and one that only
// copies. scripts/bench-check compares the ratios of the other benchmarks to these, so that a slower machine, or one
// with a busy neighbour, is not taken for slower code.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>

#include "tests/bench/cycles.h"

namespace talaria::bench {
namespace {

// A step: one look-up in a table of 64 KiB that depends on the one before, a multiplication, and a branch that goes
// either way.
void loop(benchmark::State& state) {
  constexpr size_t steps = 4096;
  auto table = std::make_unique<std::array<uint32_t, 16384>>();
  std::iota(table->begin(), table->end(), 0x9e3779b9u);
  uint64_t value = 1, odd = 0;
  const CycleCounter count(state, steps);
  for (auto _ : state) {
    for (size_t i = 0; i < steps; i++) {
      value = (value ^ (*table)[value >> 50]) * 0x2545f4914f6cdd1d;
      if ((value >> 40) % 8 == 0) odd += value;
    }
    benchmark::DoNotOptimize(odd);
  }
}
BENCHMARK(loop)->Name("Calibration/Loop");

// A KiB copied, from memory that is in no cache.
void copy(benchmark::State& state) {
  constexpr size_t total = size_t{128} << 20, piece = size_t{64} << 10;
  auto memory = std::make_unique<uint8_t[]>(total);
  std::memset(memory.get(), 1, total);
  auto target = std::make_unique<uint8_t[]>(piece);
  size_t at = 0;
  const CycleCounter count(state, piece / 1024.0);
  for (auto _ : state) {
    std::memcpy(target.get(), memory.get() + at, piece);
    benchmark::DoNotOptimize(target[0]);
    benchmark::ClobberMemory();
    at = (at + piece) % total;
  }
}
BENCHMARK(copy)->Name("Calibration/Copy");

}  // namespace
}  // namespace talaria::bench
