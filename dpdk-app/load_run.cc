#include "dpdk-app/load_run.h"

#include <rte_launch.h>
#include <rte_lcore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cinttypes>
#include <fstream>

#include "core/base/check.h"
#include "dpdk-app/datapath.h"
#include "dpdk-app/load_broker.h"
#include "dpdk-app/ring_device.h"

namespace talaria::app {
namespace {

using namespace std::chrono_literals;

constexpr net::Ipv4Address rings_broker{0xc6120002};  // 198.18.0.2
constexpr net::Ipv4Address rings_load{0xc6120003};
constexpr uint16_t amqp_port = 5672;
// The main thread looks that often: while things are set up, and while they are measured.
constexpr base::Duration attentive = 50us;
constexpr base::Duration asleep = 20ms;
// The load's loop, between two looks while nothing is measured.
constexpr base::Duration rest = 20us;

void sleep_for(base::Duration duration) {
  const timespec time{0, duration.count()};
  nanosleep(&time, nullptr);
}

void block_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

// Driver or sink, on its lcore until it is over or told to stop.
template <class Side>
struct SideLoop {
  Side& side;
  TscClock clock;
  std::atomic<bool> stop{false};

  static int run(void* argument) {
    auto& self = *static_cast<SideLoop*>(argument);
    block_signals();
    prctl(PR_SET_TIMERSLACK, 1UL);
    base::Time now = self.clock.now();
    while (!self.stop.load(std::memory_order_relaxed)) {
      self.side.receive(now);
      now = self.clock.now();
      const bool busy = self.side.turn(now);
      if constexpr (requires { self.side.over(); }) {
        if (self.side.over()) break;
        if (!busy && self.side.may_rest()) {
          sleep_for(rest);
          now = self.clock.now();
        }
      }
    }
    return 0;
  }
  void start(unsigned lcore) { CHECK(rte_eal_remote_launch(run, this, lcore) == 0); }
  void join(unsigned lcore) {
    stop = true;
    rte_eal_wait_lcore(lcore);
  }
};

// ---- what the kernel took from a thread -----------------------------------------------------------------------------

pid_t thread_of(unsigned lcore) {
  pid_t thread = 0;
  const auto ask = [](void* to) {
    *static_cast<pid_t*>(to) = gettid();
    return 0;
  };
  CHECK(rte_eal_remote_launch(ask, &thread, lcore) == 0);
  rte_eal_wait_lcore(lcore);
  return thread;
}

struct Stolen {
  std::optional<double> waited_ms;
  std::optional<uint64_t> preemptions;

  static Stolen of(pid_t thread) {
    Stolen stolen;
    const std::string task = "/proc/self/task/" + std::to_string(thread);
    uint64_t ran = 0, waited = 0;
    if (std::ifstream file(task + "/schedstat"); file >> ran >> waited)
      stolen.waited_ms = static_cast<double>(waited) / 1e6;
    std::ifstream status(task + "/status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("nonvoluntary_ctxt_switches:"))
        stolen.preemptions = strtoull(line.c_str() + 27, nullptr, 10);
    return stolen;
  }
};

// A loop's figures over the measured window, as the main thread sees it begin and end.
class LoopWatch {
 public:
  LoopWatch(const base::FineHistogram* turns, pid_t thread) : turns_(turns), thread_(thread) {}

  void begin() {
    stolen_ = Stolen::of(thread_);
    if (turns_ != nullptr) before_.add(*turns_);
  }
  void end() {
    const Stolen now = Stolen::of(thread_);
    if (now.waited_ms && stolen_.waited_ms) figures_.waited_ms = *now.waited_ms - *stolen_.waited_ms;
    if (now.preemptions && stolen_.preemptions) figures_.preemptions = *now.preemptions - *stolen_.preemptions;
    if (turns_ == nullptr) return;
    figures_.turn_lengths.add(*turns_);
    figures_.turn_lengths.subtract(before_);
  }
  load::LoopFigures& figures() { return figures_; }

 private:
  const base::FineHistogram* turns_;
  pid_t thread_;
  Stolen stolen_;
  base::FineHistogramSum before_;
  load::LoopFigures figures_;
};

// Sleeps until the driver is over. `poll` is the control plane's turn.
template <class Poll>
void attend(const load::Driver& driver, Poll poll, std::span<LoopWatch* const> watches) {
  bool begun = false, ended = false;
  while (true) {
    const load::Phase phase = driver.phase();
    const bool measuring = driver.measuring();
    if (!begun && measuring) {
      for (LoopWatch* watch : watches) watch->begin();
      begun = true;
    }
    // (Between the filling of queues and their draining nothing much happens.)
    if (begun && !ended && !measuring && phase >= load::Phase::measuring) {
      for (LoopWatch* watch : watches) watch->end();
      ended = true;
    }
    if (phase == load::Phase::ended || phase == load::Phase::failed) return;
    const bool busy = poll();
    if (!busy) {
      const bool soon = phase == load::Phase::warming || phase == load::Phase::filling;
      sleep_for(soon ? 1ms : measuring ? asleep : attentive);
    }
  }
}

load::DriverConfig driver_config(const LoadContext& context, const load::Plan& plan) {
  load::DriverConfig config;
  config.host.announce = false;
  config.tcp = load::tcp_config_for(plan);
  config.key = context.key;
  if (context.settings.transport == Transport::rings) {
    config.host.addresses = {{rings_load, 24}};
    config.broker = {rings_broker, amqp_port};
  } else {
    config.host.addresses = context.settings.base.ports[0].addresses;
    config.host.routes = all_routes(context.settings.base.ports[0]);
    config.broker = {context.settings.broker_address, context.settings.broker_port};
  }
  return config;
}

RingPairConfig ring_config(const LoadSettings& settings) {
  return {.mtu = settings.base.ports[0].mtu, .checksums = settings.checksums, .huge_pages = settings.base.huge_pages};
}

std::expected<RunFigures, Failure> run_over_rings(const LoadContext& context, const load::Plan& plan) {
  auto pair = RingPair::make("run", ring_config(context.settings));
  if (!pair) return std::unexpected(pair.error());
  Settings broker_settings = context.settings.base;
  broker_settings.ports[0].addresses = {{rings_broker, 24}};
  LoadBroker broker(broker_settings, plan.connections(), peer_lcore, (*pair)->left(), context.key, context.clock);
  LoopWatch broker_watch(&broker.turn_lengths(), thread_of(peer_lcore));
  LoopWatch load_watch(nullptr, thread_of(load_lcore));
  auto driver =
      std::make_unique<load::Driver>(driver_config(context, plan), plan, (*pair)->right(), context.clock.now());
  SideLoop<load::Driver> loop{*driver, context.clock};
  broker.start();
  loop.start(load_lcore);
  LoopWatch* const watches[] = {&broker_watch, &load_watch};
  std::optional<uint64_t> bytes_at_rest;
  const auto poll = [&] {
    if (driver->phase() == load::Phase::resting) bytes_at_rest = broker.message_bytes_used();
    return broker.poll();
  };
  attend(*driver, poll, watches);
  loop.join(load_lcore);
  if (!broker.stop()) {
    // Nothing of what the worker uses may be taken apart under it.
    fprintf(stderr, "talaria-load: the broker's worker does not end\n");
    _exit(exit_failed);
  }
  RunFigures figures{.result = driver->result(),
                     .load = load_watch.figures(),
                     .broker = broker_watch.figures(),
                     .bytes_at_rest = bytes_at_rest};
  figures.load.turn_lengths = figures.result.turn_lengths;
  return figures;
}

std::expected<RunFigures, Failure> run_over_port(const LoadContext& context, const load::Plan& plan) {
  const PortEnd end = std::move(context.port->make_ends(1, context.key).front());
  LoopWatch watch(nullptr, thread_of(lone_load_lcore));
  auto driver = std::make_unique<load::Driver>(driver_config(context, plan), plan, *end.device, context.clock.now());
  SideLoop<load::Driver> loop{*driver, context.clock};
  loop.start(lone_load_lcore);
  LoopWatch* const watches[] = {&watch};
  attend(
      *driver, [] { return false; }, watches);
  loop.join(lone_load_lcore);
  RunFigures figures{
      .result = driver->result(), .load = watch.figures(), .broker = std::nullopt, .bytes_at_rest = std::nullopt};
  figures.load.turn_lengths = figures.result.turn_lengths;
  return figures;
}

std::expected<load::Result, Failure> run_against_sink(const LoadContext& context, load::Sink::Mode mode) {
  load::Plan plan = context.settings.plan;
  plan.rate = 0;
  plan.in_flight = 0;
  plan.at_rest = 0;
  plan.confirm_window = 0;  // nobody confirms
  plan.warm_up = 200ms;
  plan.window = context.settings.ceiling_window;
  auto pair = RingPair::make("sink", ring_config(context.settings));
  if (!pair) return std::unexpected(pair.error());

  load::Sink::Config sink_config;
  sink_config.host.addresses = {{rings_broker, 24}};
  sink_config.host.announce = false;
  sink_config.tcp = load::tcp_config_for(plan);
  sink_config.key = context.key;
  sink_config.mode = mode;
  load::DriverConfig config = driver_config(context, plan);
  config.host.addresses = {{rings_load, 24}};
  config.broker = {rings_broker, amqp_port};
  config.against_sink = true;
  config.publishes = mode == load::Sink::Mode::swallow;

  load::Sink sink(sink_config, plan, (*pair)->left());
  auto driver = std::make_unique<load::Driver>(config, plan, (*pair)->right(), context.clock.now());
  SideLoop<load::Sink> sink_loop{sink, context.clock};
  SideLoop<load::Driver> loop{*driver, context.clock};
  sink_loop.start(peer_lcore);
  loop.start(load_lcore);
  attend(*driver, [] { return false; }, {});
  loop.join(load_lcore);
  sink_loop.join(peer_lcore);
  load::Result result = driver->result();
  if (!result.failure.empty()) return std::unexpected(Failure{exit_failed, "against a sink: " + result.failure});
  return result;
}

}  // namespace

std::expected<RunFigures, Failure> run_load(const LoadContext& context, const load::Plan& plan) {
  return context.settings.transport == Transport::rings ? run_over_rings(context, plan) : run_over_port(context, plan);
}

std::expected<load::Ceiling, Failure> measure_ceiling(const LoadContext& context) {
  const auto swallowed = run_against_sink(context, load::Sink::Mode::swallow);
  if (!swallowed) return std::unexpected(swallowed.error());
  const auto emitted = run_against_sink(context, load::Sink::Mode::emit);
  if (!emitted) return std::unexpected(emitted.error());
  return load::Ceiling{.publish_rate = swallowed->publish_rate(), .deliver_rate = emitted->deliver_rate()};
}

}  // namespace talaria::app
