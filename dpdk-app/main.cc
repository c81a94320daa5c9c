// talariad: from settings to a running broker and back.
//
//   settings -> host -> store -> EAL -> ports -> workers (memory, devices, mailboxes) -> control thread ... -> exit
//
// Whatever cannot be had is refused with a sentence and a status (exit_status.h); what was taken is given back in the
// reverse order.

#include <rte_lcore.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include <algorithm>
#include <optional>

#include "core/net/ethernet.h"
#include "dpdk-app/control_thread.h"
#include "dpdk-app/datapath.h"
#include "dpdk-app/dpdk_log.h"
#include "dpdk-app/eal.h"
#include "dpdk-app/host_checks.h"
#include "dpdk-app/host_report.h"
#include "dpdk-app/kept_secret.h"
#include "dpdk-app/log.h"
#include "dpdk-app/options.h"
#include "dpdk-app/realtime.h"
#include "dpdk-app/statistics.h"

namespace talaria::app {
namespace {

std::expected<Secrets, Failure> make_secrets() {
  Secrets secrets;
  if (getrandom(&secrets, sizeof secrets, 0) != sizeof secrets)
    return std::unexpected(Failure{exit_failed, "the kernel gives no random numbers"});
  return secrets;
}

// EAL's threads and the lcores inherit a mask without signals; only the main thread takes any. (net_tap needs its
// real-time signals to arrive somewhere, and system calls of the others must not be interrupted by them.)
std::expected<Eal, Failure> start_eal(const std::vector<std::string>& arguments) {
  // libxdp's dispatcher wants a mounted bpffs; a single program does not.
  setenv("LIBXDP_SKIP_DISPATCHER", "1", 0);
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);  // for AF_XDP's buffers; without the privilege the limit stays

  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  auto eal = Eal::start(arguments);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return eal;
}

std::expected<Ports, Failure> open_ports(const Settings& settings, const PacketNeeds& needs) {
  Ports ports;
  for (const PortSettings& wanted : settings.ports) {
    auto port = Port::open(settings, wanted, needs);
    if (!port) return std::unexpected(port.error());
    // Link-local addresses are made of it.
    for (const auto& other : ports)
      if (other->capabilities().mac == (*port)->capabilities().mac)
        return std::unexpected(Failure{exit_port, "the ports " + other->name() + " and " + (*port)->name() +
                                                      " have the same MAC address, " +
                                                      net::to_text((*port)->capabilities().mac)});
    ports.push_back(std::move(*port));
  }
  return ports;
}

// ---- the profile `realtime` -----------------------------------------------------------------------------------------

void look_host_over(const CorePlan& plan, const std::vector<bool>& fifo, const SleepStatesOut& sleep_states) {
  if (sleep_states.held())
    spdlog::info("realtime: /dev/cpu_dma_latency is held at 0: no processor sleeps deeply while the broker runs");
  else
    spdlog::warn("realtime: /dev/cpu_dma_latency cannot be held ({}): processors may sleep deeply",
                 sleep_states.reason());
  const bool any_fifo = std::find(fifo.begin(), fifo.end(), true) != fifo.end();
  for (const std::string& line : host_checks("", {.workers = plan.workers,
                                                 .control = plan.control,
                                                 .fifo = any_fifo,
                                                 .sleep_states_out = sleep_states.held()}))
    spdlog::warn("realtime: {}", line);
}

// `furnishing`: what making the workers took, with their memory touched.
std::expected<void, Failure> lock_all(base::Duration furnishing) {
  touch_stack();
  auto locked = lock_memory();
  if (!locked) return std::unexpected(locked.error());
  using Milliseconds = std::chrono::duration<double, std::milli>;
  spdlog::info(
      "realtime: {} MiB of memory are locked: the workers' were touched in {:.0f} ms, the rest in {:.0f} ms with "
      "{} page faults",
      locked->mib, Milliseconds(furnishing).count(), Milliseconds(locked->took).count(), locked->page_faults);
  return {};
}

void report_fifo(const Datapath& datapath, const Settings& settings, const std::vector<bool>& fifo) {
  if (const int error = datapath.fifo_error(); error != 0)
    spdlog::warn("realtime: the kernel refuses SCHED_FIFO ({}): LimitRTPRIO=1, or CAP_SYS_NICE", strerror(error));
  for (size_t worker = 0; worker < fifo.size(); worker++) {
    if (fifo[worker] && datapath.fifo_error() == 0) spdlog::info("realtime: worker {} runs under SCHED_FIFO", worker);
    if (!fifo[worker] && settings.fifo != FifoMode::never)
      spdlog::warn(
          "realtime: worker {} runs without SCHED_FIFO, its core is not isolated or not its own: a thread that "
          "never sleeps would starve the kernel there (--fifo always takes a core that is its own)",
          worker);
  }
}

// ---------------------------------------------------------------------------------------------------------------------

std::expected<void, Failure> run(const Settings& settings, TscClock clock) {
  const HostFacts host = read_host_facts();
  auto plan = plan_cores(settings, {host.usable, host.isolated});
  if (!plan) return std::unexpected(Failure{exit_settings, "--" + plan.error().setting + ": " + plan.error().reason});
  auto fifo = plan_fifo(settings, *plan, host.isolated);
  if (!fifo) return std::unexpected(Failure{exit_settings, "--" + fifo.error().setting + ": " + fifo.error().reason});
  const bool realtime = settings.profile == Profile::realtime;
  if (realtime) keep_heap();

  const worker::WorkerConfig example = worker_config(settings, 0);
  const PacketNeeds needs = packet_needs(example);
  const size_t packet_mib = packet_memory_mib(settings, needs);
  const uint64_t needed_mib = packet_mib + settings.workers * (settings.memory_mib + worker_overhead_mib(example));
  if (auto missing = missing_memory(host, settings, needed_mib)) return std::unexpected(*missing);

  auto secrets = make_secrets();
  if (!secrets) return std::unexpected(secrets.error());
  auto store = open_store(settings);
  if (!store) return std::unexpected(store.error());
  if (speaks_ipv6(settings)) {
    auto kept = kept_secret(settings.data_directory + "/interface-secret", secrets->interface);
    if (!kept) return std::unexpected(kept.error());
    secrets->interface = *kept;
  }

  if (!start_dpdk_log()) return std::unexpected(Failure{exit_memory, "no memory for DPDK's log"});
  auto eal = start_eal(eal_arguments(settings, *plan, packet_mib));
  log_dpdk_lines();
  if (!eal) return std::unexpected(eal.error());
  catch_signals();

  auto ports = open_ports(settings, needs);
  log_dpdk_lines();
  if (!ports) return std::unexpected(ports.error());

  std::vector<PortFacts> port_facts;
  for (const auto& port : *ports)
    port_facts.push_back({port->name(), port->driver(), port->numa_node(), port->queues(), port->does_checksums()});
  for (const ReportLine& line : host_report(host, settings, *plan, port_facts))
    spdlog::log(line.warning ? spdlog::level::warn : spdlog::level::info, line.text);

  std::optional<SleepStatesOut> sleep_states;
  if (realtime) sleep_states.emplace();
  if (realtime) look_host_over(*plan, *fifo, *sleep_states);

  clock.calibrate();
  const base::Time before = clock.now();
  Datapath datapath(settings, *plan, host.isolated, *fifo, *ports, *secrets, clock);
  if (realtime) {
    if (auto locked = lock_all(clock.now() - before); !locked) return locked;
    report_fifo(datapath, settings, *fifo);
  }
  const Statistics statistics(settings, *plan, host.isolated, *ports, datapath);
  return run_control_thread(settings, **store, datapath, *ports, statistics, clock);
}

}  // namespace
}  // namespace talaria::app

int main(int argument_count, char** arguments) {
  using namespace talaria::app;
  const TscClock clock = TscClock::start();
  auto settings = read_options(argument_count, arguments);
  if (!settings) {
    fprintf(settings.error().status == 0 ? stdout : stderr, "%s\n", settings.error().text.c_str());
    return settings.error().status;
  }
  auto ended = set_up_log(*settings);
  if (ended) ended = run(*settings, clock);
  log_dpdk_lines();
  if (ended) {
    spdlog::info("talariad has ended");
    return exit_ended;
  }
  spdlog::critical("{}", ended.error().reason);
  return ended.error().status;
}
