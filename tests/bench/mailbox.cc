// A mailbox between two workers, both ends on one core: what an operation or event costs without the cache line's way
// from core to core.
#include "core/base/mailbox.h"

#include <array>

#include "core/base/check.h"
#include "core/broker/operations.h"
#include "tests/bench/cycles.h"

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

}  // namespace
}  // namespace talaria::bench
