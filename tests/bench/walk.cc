#include "tests/bench/walk.h"

#include <cstdio>
#include <string>
#include <utility>

#include "tests/bench/cycles.h"

namespace talaria::bench {
namespace {

constexpr int turns_per_batch = 32;
constexpr net::Ipv4Address broker_address{0xc6120001};  // 198.18.0.1
constexpr net::Ipv4Address client_address{0xc6120002};

// Enough for bursts to be full, few enough for queues to stay short.
constexpr size_t in_flight = 500;

const Scenario scenarios[] = {
    {"16 B", {.body_bytes = 16, .in_flight = in_flight}},
    {"100 B", {.body_bytes = 100, .in_flight = in_flight}},
    {"1024 B", {.body_bytes = 1024, .in_flight = in_flight}},
    {"100 B, acks", {.body_bytes = 100, .acknowledges = true, .in_flight = in_flight}},
    {"100 B, confirms", {.body_bytes = 100, .confirms = true, .in_flight = in_flight}},
    {"100 B, acks, confirms", {.body_bytes = 100, .acknowledges = true, .confirms = true, .in_flight = in_flight}},
    {"100 B to 8 queues", {.body_bytes = 100, .consumers = 8, .per_turn = 64, .in_flight = in_flight}},
    {"100 B, 1 a turn", {.body_bytes = 100, .per_turn = 1}},
    {"100 B, 8 a turn", {.body_bytes = 100, .per_turn = 8}},
    {"100 B, 32 a turn", {.body_bytes = 100, .per_turn = 32}},
};

// By scenario.
WalkSums polled[std::size(scenarios)];
WalkSums stepped[std::size(scenarios)];

worker::WorkerConfig worker_config(base::MutableBytes memory) {
  worker::WorkerConfig config;
  config.hosts = {{.addresses = {{broker_address, 24}}, .announce = false}};
  config.message_memory = memory;
  config.key = {7, 8};
  return config;
}

}  // namespace

void WalkSums::add(const WalkSums& other) {
  turns += other.turns;
  messages += other.messages;
  packets_in += other.packets_in;
  packets_out += other.packets_out;
  ready += other.ready;
  broker_cycles += other.broker_cycles;
  client_cycles += other.client_cycles;
  for (size_t i = 0; i < step_cycles.size(); i++) step_cycles[i] += other.step_cycles[i];
  batches += other.batches;
  batches_dropped += other.batches_dropped;
}

// ---- a walk ---------------------------------------------------------------------------------------------------------

Walk::Walk(const Scenario& scenario, bool by_steps, int warm_up)
    : memory_(size_t{64} << 20),
      mesh_(1),
      control_(mesh_),
      pipe_(true),
      clients_(pipe_.left, client_address),
      worker_(by_steps ? nullptr : std::make_unique<worker::Worker>(worker_config(memory_), pipe_.right, mesh_)),
      step_worker_(by_steps ? std::make_unique<StepWorker>(worker_config(memory_), pipe_.right, mesh_) : nullptr),
      load_(clients_, control_, {broker_address, 5672}, scenario.load, now_) {
  WalkSums ignored;
  for (int i = 0; i < 200'000 && !load_.ready(); i++) turn(ignored, false);
  CHECK(load_.ready());
  for (int i = 0; i < warm_up; i++) turn(ignored, true);
}

// Nothing is lost on the way: what was published is delivered in the end.
Walk::~Walk() {
  WalkSums ignored;
  for (int i = 0; i < 200'000 && !load_.complete(); i++) turn(ignored, false);
  CHECK(load_.complete());
}

void Walk::turn(WalkSums& into, bool publishing) {
  const uint64_t start = cycles_now();
  load_.turn(now_, publishing);
  const uint64_t middle = cycles_now();
  if (worker_)
    worker_->poll(now_);
  else
    step_worker_->poll(now_, into.step_cycles);
  const uint64_t end = cycles_now();
  into.client_cycles += middle - start;
  into.broker_cycles += end - middle;
  into.turns++;
  control_.turn();
  now_ += std::chrono::microseconds(50);
}

WalkSums Walk::measure() {
  const net::HostCounters& host = worker_ ? worker_->host().counters() : step_worker_->host().counters();
  uint64_t dropped = 0;
  while (true) {
    WalkSums sums;
    const uint64_t disturbed = preemptions();
    const uint64_t delivered = load_.delivered();
    const uint64_t packets_in = host.frames_received.value(), packets_out = host.frames_sent.value();
    for (int i = 0; i < turns_per_batch; i++) turn(sums, true);
    sums.messages = load_.delivered() - delivered;
    sums.ready = control_.queue("orders-0").counters->ready.value();
    sums.packets_in = host.frames_received.value() - packets_in;
    sums.packets_out = host.frames_sent.value() - packets_out;
    sums.batches = 1;
    sums.batches_dropped = dropped;
    if (preemptions() == disturbed) return sums;
    dropped++;
  }
}

uint64_t Walk::run(int turns) {
  WalkSums ignored;
  while (load_.delivered() < 2000) turn(ignored, true);  // a delayed acknowledgement may be waited for first
  for (int i = 0; i < turns; i++) turn(ignored, true);
  return load_.delivered();
}

bool run_walk(std::string_view name, int turns) {
  for (const Scenario& scenario : scenarios) {
    if (scenario.name != name) continue;
    Walk walk(scenario, false, 0);
    std::printf("%lu\n", walk.run(turns));
    std::fflush(stdout);
    return true;
  }
  return false;
}

// ---- benchmarks -----------------------------------------------------------------------------------------------------

namespace {

double ratio(uint64_t sum, uint64_t parts) {
  return parts == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(parts);
}

// The time a benchmark shows is the broker's alone, of a batch.
void walk(benchmark::State& state, const Scenario& scenario, bool by_steps, WalkSums& result) {
  Walk walk(scenario, by_steps);
  result = {};
  for (auto _ : state) {
    const WalkSums batch = walk.measure();
    state.SetIterationTime(static_cast<double>(batch.broker_cycles) / tsc_hz());
    result.add(batch);
  }
  state.SetItemsProcessed(static_cast<int64_t>(result.messages));
  state.counters["cycles"] = ratio(result.broker_cycles, result.messages);
  state.counters["client_cycles"] = ratio(result.client_cycles, result.messages);
  state.counters["per_turn"] = ratio(result.messages, result.turns);
}

[[maybe_unused]] const bool registered = [] {
  for (const bool by_steps : {false, true})
    for (size_t i = 0; i < std::size(scenarios); i++)
      benchmark::RegisterBenchmark((std::string(by_steps ? "WalkSteps/" : "Walk/") + scenarios[i].name).c_str(),
                                   [i, by_steps](benchmark::State& state) {
                                     walk(state, scenarios[i], by_steps, by_steps ? stepped[i] : polled[i]);
                                   })
          ->UseManualTime();
  return true;
}();

}  // namespace

// ---- the table ------------------------------------------------------------------------------------------------------

void print_walks() {
  bool any = false;
  for (size_t i = 0; i < std::size(scenarios); i++) any |= polled[i].messages + stepped[i].messages != 0;
  if (!any) return;

  std::printf("\nThe walk, on %s, TSC %.3f GHz, by `make bench`.\n", cpu_model().c_str(), tsc_hz() / 1e9);
  std::printf(
      "One producer, one consumer (but where it says 8), no_ack (but where it says acks: one `multiple` a turn), at "
      "most\n"
      "500 messages under way, on TCP connections with 1460 B segments over a pipe in memory; checksums are the "
      "port's.\n"
      "Broker and clients take turns on one core. Messages are deliveries; cycles are the TSC's, of the broker's "
      "turns\n"
      "alone; the clients' are in the last column. `ready` is the queue's length. Batches in which the kernel gave "
      "the\n"
      "core away are left out.\n\n");
  std::printf("%-24s %12s %8s %10s %10s %10s %8s %8s\n", "Worker::poll", "messages/s", "cycles", "msg/turn",
              "packets in", "and out", "ready", "clients");
  for (size_t i = 0; i < std::size(scenarios); i++) {
    const WalkSums& sums = polled[i];
    if (sums.messages == 0) continue;
    const double cycles = ratio(sums.broker_cycles, sums.messages);
    std::printf("%-24s %12.0f %8.0f %10.1f %10.1f %10.1f %8.0f %8.0f\n", scenarios[i].name, tsc_hz() / cycles, cycles,
                ratio(sums.messages, sums.turns), ratio(sums.packets_in, sums.turns),
                ratio(sums.packets_out, sums.turns), ratio(sums.ready, sums.batches),
                ratio(sums.client_cycles, sums.messages));
  }

  std::printf("\n%-24s", "cycles a message");
  for (const std::string_view name : step_names) std::printf(" %16.*s", static_cast<int>(name.size()), name.data());
  std::printf(" %8s\n", "sum");
  for (size_t i = 0; i < std::size(scenarios); i++) {
    const WalkSums& sums = stepped[i];
    if (sums.messages == 0) continue;
    uint64_t all = 0;
    for (const uint64_t cycles : sums.step_cycles) all += cycles;
    std::printf("%-24s", scenarios[i].name);
    for (const uint64_t cycles : sums.step_cycles)
      std::printf(" %9.0f (%2.0f %%)", ratio(cycles, sums.messages), 100 * ratio(cycles, all));
    std::printf(" %8.0f\n", ratio(all, sums.messages));
  }
  std::fflush(stdout);
}

}  // namespace talaria::bench
