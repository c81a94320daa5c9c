// One run of a load, or of a load against a sink, on lcores of this process. Main thread only: it makes everything,
// starts the loops, sleeps while they run, and takes all apart.
#pragma once

#include <expected>
#include <memory>

#include "core/base/hash.h"
#include "dpdk-app/exit_status.h"
#include "dpdk-app/load_options.h"
#include "dpdk-app/port.h"
#include "dpdk-app/tsc_clock.h"
#include "load/driver.h"
#include "load/report.h"
#include "load/sink.h"

namespace talaria::app {

// lcore 0 is the main thread.
inline constexpr unsigned peer_lcore = 1;  // broker or sink
inline constexpr unsigned load_lcore = 2;
// Without a broker in this process.
inline constexpr unsigned lone_load_lcore = 1;

struct LoadContext {
  const LoadSettings& settings;
  TscClock clock;
  base::HashKey key;
  Port* port = nullptr;  // with any transport but rings
};

struct RunFigures {
  load::Result result;
  load::LoopFigures load;
  std::optional<load::LoopFigures> broker;
  std::optional<uint64_t> bytes_at_rest;
};
std::expected<RunFigures, Failure> run_load(const LoadContext& context, const load::Plan& plan);

// Two short runs over rings, against a peer that swallows and one that emits.
std::expected<load::Ceiling, Failure> measure_ceiling(const LoadContext& context);

}  // namespace talaria::app
