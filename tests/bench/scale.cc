#include "tests/bench/scale.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "control/memory_store.h"
#include "control/mesh_link.h"
#include "control/plane.h"
#include "core/base/check.h"
#include "core/worker/worker.h"
#include "load/driver.h"
#include "tests/support/pipe_device.h"
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_STOP_INSTRUMENTATION
#endif

namespace talaria::bench {
namespace {

constexpr net::Ipv4Address broker_address{0xc6120002};  // 198.18.0.2
constexpr net::Ipv4Address load_address{0xc6120003};
constexpr size_t message_memory = size_t{4} << 30;  // what is not touched costs nothing
constexpr uint64_t turns_max = 1'000'000;
constexpr std::chrono::microseconds turn_time{20};

using load::ExchangeKind;

struct Scale {
  const char* name;
  uint32_t producers, consumers, queues;
  ExchangeKind exchange = ExchangeKind::none;
  uint32_t bindings = 0;
  uint64_t at_rest = 0;
};
const Scale scales[] = {
    {"2 connections", 1, 1, 1},
    {"10 connections", 5, 5, 5},
    {"1,000 connections", 500, 500, 500},
    {"50,000 connections", 25'000, 25'000, 25'000},
    {"2 queues", 1, 2, 2},
    {"1,000 queues", 1, 2, 1000},
    {"100,000 queues", 1, 2, 100'000},
    {"direct, 2 bindings", 1, 1, 1, ExchangeKind::direct, 2},
    {"direct, 1,000 bindings", 1, 1, 1, ExchangeKind::direct, 1000},
    {"direct, 1,000,000 bindings", 1, 1, 1, ExchangeKind::direct, 1'000'000},
    {"topic, 2 bindings", 1, 1, 1, ExchangeKind::topic, 2},
    {"topic, 1,000 bindings", 1, 1, 1, ExchangeKind::topic, 1000},
    {"topic, 1,000,000 bindings", 1, 1, 1, ExchangeKind::topic, 1'000'000},
    {"filling 1,000,000", 1, 1, 1, ExchangeKind::none, 0, 1'000'000},
    {"draining 1,000,000", 1, 1, 1, ExchangeKind::none, 0, 1'000'000},
};

// Touched as it is needed, and by nobody before.
class Memory {
 public:
  Memory()
      : bytes_(
            mmap(nullptr, message_memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
    CHECK(bytes_ != MAP_FAILED);
  }
  ~Memory() { munmap(bytes_, message_memory); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  base::MutableBytes span() const { return {static_cast<uint8_t*>(bytes_), message_memory}; }

 private:
  void* bytes_;
};

load::Plan plan_of(const Scale& scale) {
  load::Plan plan;
  plan.producers = scale.producers;
  plan.consumers = scale.consumers;
  plan.queues = scale.queues;
  plan.exchange = scale.exchange;
  plan.bindings = scale.bindings;
  plan.at_rest = scale.at_rest;
  // Full bursts, short queues.
  plan.in_flight = scale.at_rest == 0 ? 500 : 0;
  // Every producer has published, and asked whether it may.
  plan.warm_up = std::chrono::milliseconds(20) + scale.producers * std::chrono::microseconds(5);
  plan.window = std::chrono::hours(1);
  plan.setup_patience = std::chrono::minutes(10);
  CHECK(!load::find_contradiction(plan));
  return plan;
}

worker::WorkerConfig worker_config(const load::Plan& plan, base::MutableBytes memory) {
  worker::WorkerConfig config;
  config.hosts = {{.addresses = {{broker_address, 24}}, .announce = false}};
  config.message_memory = memory;
  config.key = {7, 8};
  config.make_room_for(plan.connections() + 64);
  return config;
}

// Counted: nothing but what the broker's worker does.
[[gnu::noinline]] void counted_poll(worker::Worker& worker, base::Time now) {
  worker.poll(now);
  asm volatile("");  // nothing is left to be called in its place
}

class World {
 public:
  explicit World(const load::Plan& plan)
      : link_(mesh_.control(0)),
        plane_(
            store_, {&link_},
            {.demo_account = true, .limits = {}, .random = [](auto bytes) { std::ranges::fill(bytes, uint8_t{5}); }}),
        worker_(worker_config(plan, memory_.span()), pipe_.left, mesh_),
        driver_(driver_config(plan), plan, pipe_.right, now_) {}

  // Until that is true. False: it never was.
  template <class Until>
  bool run(Until until, bool counted) {
    for (uint64_t turn = 0; turn < turns_max; turn++) {
      if (until()) return true;
      if (driver_.over()) return false;
      counted ? counted_poll(worker_, now_) : (void)worker_.poll(now_);
      plane_.poll(now_);
      driver_.receive(now_);
      driver_.turn(now_);
      now_ += turn_time;
      turns_++;
    }
    return false;
  }
  const load::Driver& driver() const { return driver_; }
  uint64_t turns() const { return turns_; }

 private:
  static load::DriverConfig driver_config(const load::Plan& plan) {
    load::DriverConfig config;
    config.host = {.addresses = {{load_address, 24}}, .announce = false};
    config.tcp = load::tcp_config_for(plan);
    config.key = {3, 4};
    config.broker = {broker_address, 5672};
    return config;
  }

  Memory memory_;
  tests::Pipe pipe_{true};
  worker::Mesh mesh_{1};
  control::MemoryStore store_;
  control::MeshLink link_;
  control::Plane plane_;
  worker::Worker worker_;
  base::Time now_{std::chrono::seconds(1)};
  load::Driver driver_;
  uint64_t turns_ = 0;
};

}  // namespace

bool run_scale(std::string_view name, uint64_t messages) {
  const auto scale = std::ranges::find(scales, name, &Scale::name);
  if (scale == std::end(scales)) return false;
  const auto begin = std::chrono::steady_clock::now();
  const auto world = std::make_unique<World>(plan_of(*scale));
  const load::Driver& driver = world->driver();
  const bool filling = name.starts_with("filling");
  // Half of what lies in the queue is what drains or fills at its full length.
  const auto ready = [&] {
    if (filling) return driver.published() >= scale->at_rest / 4;
    if (scale->at_rest != 0) return driver.delivered() >= scale->at_rest / 4;
    return driver.phase() == load::Phase::measuring;
  };
  const auto done = [&] { return filling ? driver.published() : driver.delivered(); };
  if (!world->run(ready, false)) {
    std::printf("failed: %s\n", driver.over() ? driver.result().failure.c_str() : "it is never ready");
    return true;
  }
  const std::chrono::duration<double> setup = std::chrono::steady_clock::now() - begin;
  const uint64_t done_before = done(), turns_before = world->turns();
  CALLGRIND_START_INSTRUMENTATION;
  const bool whole = world->run([&] { return done() >= done_before + messages; }, true);
  CALLGRIND_STOP_INSTRUMENTATION;
  std::printf("%s %lu %lu %.3f\n", whole ? "messages" : "failed: it ended early;", done() - done_before,
              world->turns() - turns_before, setup.count());
  std::fflush(stdout);
  return true;
}

void print_scales() {
  for (const Scale& scale : scales) std::printf("%s\n", scale.name);
}

}  // namespace talaria::bench
