// Mailboxes between workers. With both ends on one core: what an operation or event costs without the cache line's way
// from core to core. With an end on each of two cores: that way, for values of one line and for messages behind them.
// And what looking into all of them costs a worker that finds nothing.
#include "core/base/mailbox.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "core/base/check.h"
#include "core/broker/operations.h"
#include "core/worker/worker.h"
#include "tests/bench/cycles.h"
#include "tests/support/pipe_device.h"

namespace talaria::bench {
namespace {

void MailboxBurst(benchmark::State& state) {
  const auto burst = static_cast<size_t>(state.range(0));
  base::Mailbox<broker::Operation> mailbox(1024);
  std::array<broker::Operation, 32> in, out;
  in.fill(broker::Passed{});
  CycleCounter cycles(state, static_cast<double>(burst));
  for (auto _ : state) {
    CHECK(mailbox.push(std::span<const broker::Operation>(in).first(burst)) == burst);
    CHECK(mailbox.pop(std::span(out).first(burst)) == burst);
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
}
BENCHMARK(MailboxBurst)->Arg(1)->Arg(32);

// ---- from core to core ----------------------------------------------------------------------------------------------

bool stay_on(unsigned processor) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(processor, &one);
  return sched_setaffinity(0, sizeof one, &one) == 0;
}

constexpr size_t values_per_round = 4096;
constexpr size_t message_lines = 3;  // of a published message of 100 B
struct alignas(base::cache_line) Line {
  uint64_t words[base::cache_line / sizeof(uint64_t)];
};

// One thread writes values, and for each a message of so many lines, as fast as the other one takes them: cycles a
// value, the median of rounds in which neither lost its core.
double across(size_t burst, size_t lines) {
  base::Mailbox<broker::Operation> mailbox(8192);
  std::vector<Line> messages(values_per_round * std::max<size_t>(lines, 1));
  std::atomic<uint64_t> taken = 0;  // rounds
  std::atomic<uint64_t> lost = 0;   // times the other one lost its core
  std::atomic<bool> stop = false;
  std::thread other([&] {
    stay_on(1);
    broker::Operation value;
    uint64_t sum = 0;
    while (!stop.load(std::memory_order_relaxed)) {
      for (size_t i = 0; i < values_per_round; i++) {
        while (!mailbox.pop(value))
          if (stop.load(std::memory_order_relaxed)) return;
        sum += std::get<broker::Passed>(value).count;
        for (size_t line = 0; line < lines; line++) sum += messages[i * lines + line].words[0];
      }
      benchmark::DoNotOptimize(sum);
      lost.store(preemptions(), std::memory_order_relaxed);
      taken.fetch_add(1, std::memory_order_release);
    }
  });
  stay_on(0);
  std::vector<broker::Operation> values(burst, broker::Passed{{}, {}, 1});
  std::vector<double> cycles;
  for (uint64_t round = 1; cycles.size() < 101 && round < 3000; round++) {
    const uint64_t disturbed = preemptions() + lost.load(std::memory_order_relaxed);
    const uint64_t start = cycles_now();
    for (size_t sent = 0; sent < values_per_round; sent += burst) {
      for (size_t line = sent * lines; line < (sent + burst) * lines; line++) messages[line].words[0] = round;
      for (size_t gone = 0; gone < burst;)
        gone += mailbox.push(std::span<const broker::Operation>(values).subspan(gone));
    }
    while (taken.load(std::memory_order_acquire) < round) {}
    const double took = static_cast<double>(cycles_now() - start);
    if (preemptions() + lost.load(std::memory_order_relaxed) == disturbed) cycles.push_back(took / values_per_round);
  }
  stop = true;
  other.join();
  if (cycles.empty()) return 0;
  std::sort(cycles.begin(), cycles.end());
  return cycles[cycles.size() / 2];
}

// burst, lines of a message behind each value
void MailboxAcrossCores(benchmark::State& state) {
  cpu_set_t before;
  sched_getaffinity(0, sizeof before, &before);
  if (std::thread::hardware_concurrency() < 2) return state.SkipWithError("needs two processors");
  for (auto _ : state)
    state.counters["cycles"] = across(static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  sched_setaffinity(0, sizeof before, &before);
}
BENCHMARK(MailboxAcrossCores)
    ->ArgNames({"burst", "lines"})
    ->ArgsProduct({{1, 16, 64, 256}, {0, message_lines}})
    ->Iterations(1);

// ---- nothing to do --------------------------------------------------------------------------------------------------

// A turn that finds nothing, of one of so many workers: what a mesh costs by being looked at.
void IdleTurn(benchmark::State& state) {
  worker::Mesh mesh(static_cast<worker::WorkerIndex>(state.range(0)));
  tests::Pipe pipe(true);
  // The reserve for what peers have under way grows with their number; nobody touches it here.
  constexpr size_t bytes = size_t{128} << 20;
  const auto memory = std::make_unique_for_overwrite<uint8_t[]>(bytes);
  worker::WorkerConfig config;
  config.hosts = {{.addresses = {{net::Ipv4Address{0xc6120001}, 24}}, .announce = false}};
  config.message_memory = {memory.get(), bytes};
  config.key = {7, 8};
  auto one = std::make_unique<worker::Worker>(config, pipe.right, mesh);
  base::Time now{std::chrono::seconds(1)};
  CycleCounter cycles(state);
  for (auto _ : state) {
    one->poll(now);
    now += std::chrono::nanoseconds(100);
  }
}
BENCHMARK(IdleTurn)->ArgName("workers")->RangeMultiplier(2)->Range(1, 64);

}  // namespace
}  // namespace talaria::bench
