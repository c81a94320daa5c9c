// talaria-load: from options to runs to a report.
//
//   options -> cores -> EAL -> (port) -> ceiling against a sink -> run, runs, or a ramp of runs -> report
//
// Exit status: load_options.cc lists it.

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "core/base/version.h"
#include "dpdk-app/datapath.h"
#include "dpdk-app/eal.h"
#include "dpdk-app/host_report.h"
#include "dpdk-app/load_options.h"
#include "dpdk-app/load_run.h"
#include "dpdk-app/ring_device.h"

namespace talaria::app {
namespace {

// The main thread sleeps: it shares the load's core where there is none of its own.
std::expected<CorePlan, Refusal> plan_load_cores(const LoadSettings& settings, const HostFacts& host, bool with_peer) {
  Settings wanted = settings.base;
  wanted.workers = with_peer ? 2 : 1;
  wanted.cores = settings.cores;
  auto plan = plan_cores(wanted, {host.usable, host.isolated});
  if (!plan || !settings.cores.empty() || !with_peer) return plan;
  if (host.usable.size() == 2) {
    plan->workers = {host.usable[0], host.usable[1]};
    plan->control = host.usable[1];
  }
  return plan;
}

std::expected<Eal, Failure> start_eal(const std::vector<std::string>& arguments) {
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  // EAL writes what it finds to standard output and error: only its errors matter here.
  auto eal = Eal::start(arguments);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return eal;
}

std::string first_line_with(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name)) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) return line;
    const size_t value = line.find_first_not_of(" \t", colon + 1);
    return value == std::string::npos ? std::string() : line.substr(value);
  }
  return {};
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::vector<std::pair<std::string, std::string>> describe_machine(const HostFacts& host, const CorePlan& plan,
                                                                  bool huge_pages, const TscClock& clock) {
  utsname kernel{};
  uname(&kernel);
  std::string cores;
  for (const unsigned core : plan.workers) cores += (cores.empty() ? "" : ",") + std::to_string(core);
  std::string load_average = first_line("/proc/loadavg");
  load_average.resize(std::min(load_average.find(' '), load_average.size()));
  return {{"processor", first_line_with("/proc/cpuinfo", "model name")},
          {"processors", std::to_string(host.usable.size())},
          {"isolated", std::to_string(host.isolated.size())},
          {"cores", cores},
          {"tsc_mhz", std::to_string(clock.frequency() / 1'000'000)},
          {"kernel", kernel.release},
          {"hypervisor", first_line("/sys/class/dmi/id/sys_vendor")},
          {"memory", huge_pages ? "huge pages" : "ordinary pages"},
          {"load_average", load_average},
          {"version", std::string(base::version)}};
}

struct Outcome {
  std::vector<load::Report> reports;
  load::Report chosen;
  bool failed = false;
};

class Session {
 public:
  Session(const LoadSettings& settings, const LoadContext& context, load::Report example)
      : settings_(settings), context_(context), example_(std::move(example)) {}

  std::expected<Outcome, Failure> run() { return settings_.ramp ? ramp() : runs(); }

 private:
  std::expected<load::Report, Failure> once(const load::Plan& plan) {
    auto figures = run_load(context_, plan);
    if (!figures) return std::unexpected(figures.error());
    load::Report report = example_;
    report.plan = plan;
    report.result = figures->result;
    report.load = figures->load;
    report.broker = figures->broker;
    report.bytes_at_rest = figures->bytes_at_rest;
    return report;
  }

  // The one with the median deliver rate; one that is not whole comes before any that is.
  std::expected<Outcome, Failure> runs() {
    Outcome outcome;
    for (uint32_t n = 0; n < settings_.runs; n++) {
      auto report = once(settings_.plan);
      if (!report) return std::unexpected(report.error());
      outcome.failed |= !report->result.whole();
      outcome.reports.push_back(std::move(*report));
    }
    std::vector<const load::Report*> order;
    order.reserve(outcome.reports.size());
    for (const load::Report& report : outcome.reports) order.push_back(&report);
    std::stable_sort(order.begin(), order.end(), [](const load::Report* a, const load::Report* b) {
      return a->result.deliver_rate() < b->result.deliver_rate();
    });
    outcome.chosen = *order[order.size() / 2];
    for (const load::Report& report : outcome.reports)
      if (!report.result.whole()) outcome.chosen = report;
    return outcome;
  }

  // The run at the knee; what is too fast may lose its bound, but nothing else.
  std::expected<Outcome, Failure> ramp() {
    Outcome outcome;
    load::Ramp ramp(*settings_.ramp, settings_.plan.deliveries_per_message());
    while (const auto rate = ramp.next()) {
      load::Plan plan = settings_.plan;
      plan.rate = *rate;
      auto report = once(plan);
      if (!report) return std::unexpected(report.error());
      const bool good = ramp.good(report->result);
      if (!settings_.json)
        fprintf(stderr, "%12.0f/s  p99 %10.1f us  %s\n", *rate,
                static_cast<double>(report->result.latency.percentile(0.99)) / 1000, good ? "good" : "too fast");
      outcome.failed |= !report->result.whole();
      if (good || outcome.reports.empty()) outcome.chosen = *report;
      outcome.reports.push_back(std::move(*report));
      ramp.on(good);
    }
    outcome.failed |= ramp.knee() == 0;
    outcome.chosen.knee = ramp.knee();
    for (load::Report& report : outcome.reports) report.knee = ramp.knee();
    std::sort(outcome.reports.begin(), outcome.reports.end(),
              [](const load::Report& a, const load::Report& b) { return a.plan.rate < b.plan.rate; });
    return outcome;
  }

  const LoadSettings& settings_;
  const LoadContext& context_;
  load::Report example_;
};

std::expected<void, Failure> write_file(const std::string& path, const std::string& text, const char* mode) {
  FILE* file = fopen(path.c_str(), mode);
  const bool written = file != nullptr && fwrite(text.data(), 1, text.size(), file) == text.size();
  if (file == nullptr || fclose(file) != 0 || !written)
    return std::unexpected(Failure{exit_failed, path + " cannot be written"});
  return {};
}

std::expected<int, Failure> run(LoadSettings& settings, TscClock clock) {
  const bool rings = settings.transport == Transport::rings;
  const HostFacts host = read_host_facts();
  // A sink needs a core of its own.
  const bool with_peer = rings;
  auto plan = plan_load_cores(settings, host, with_peer);
  if (!plan) return std::unexpected(Failure{exit_settings, "--" + plan.error().setting + ": " + plan.error().reason});

  worker::WorkerConfig example = worker_config(settings.base, 0);
  const PacketNeeds needs = packet_needs(example);
  const size_t packets_mib =
      rings ? RingPair::memory_mib({.mtu = settings.base.ports[0].mtu}) + 64 : packet_memory_mib(settings.base, needs);
  const size_t broker_mib = rings ? settings.base.memory_mib + worker_overhead_mib(example) : 0;
  settings.base.huge_pages = settings.huge_pages.value_or(host.huge_page_free_mib >= packets_mib + broker_mib);

  std::vector<std::string> arguments = eal_arguments(settings.base, *plan, packets_mib);
  arguments[0] = "talaria-load";
  arguments.push_back("--no-shconf");
  arguments.push_back("--log-level=lib.eal:error");
  auto eal = start_eal(arguments);
  if (!eal) return std::unexpected(eal.error());
  clock.calibrate();
  prctl(PR_SET_TIMERSLACK, 1UL);  // this thread's sleeps end when they should

  base::HashKey key;
  if (getrandom(&key, sizeof key, 0) != sizeof key)
    return std::unexpected(Failure{exit_failed, "the kernel gives no random numbers"});
  std::unique_ptr<Port> port;
  if (!rings) {
    settings.base.workers = 1;
    auto opened = Port::open(settings.base, settings.base.ports[0], needs);
    if (!opened) return std::unexpected(opened.error());
    port = std::move(*opened);
    if (auto started = port->start(); !started) return std::unexpected(started.error());
  }

  const LoadContext context{.settings = settings, .clock = clock, .key = key, .port = port.get()};
  load::Report report;
  report.label = settings.label;
  report.transport = rings ? "rings" : settings.transport == Transport::memif ? "memif" : "port";
  report.mtu = settings.base.ports[0].mtu;
  report.machine = describe_machine(host, *plan, settings.base.huge_pages, clock);
  if (!settings.ceiling) {
    report.ceiling_reason = "not asked for";
  } else if (!rings) {
    report.ceiling_reason = "a sink runs on rings, beside the load: --transport rings";
  } else {
    auto ceiling = measure_ceiling(context);
    if (!ceiling) return std::unexpected(ceiling.error());
    report.ceiling = *ceiling;
  }

  auto outcome = Session(settings, context, std::move(report)).run();
  if (!outcome) return std::unexpected(outcome.error());
  const load::Report& chosen = outcome->chosen;
  if (settings.json)
    printf("%s\n", to_json(chosen).c_str());
  else if (settings.row)
    printf("%s", table_row(chosen).c_str());
  else
    printf("%s", to_text(chosen).c_str());
  fflush(stdout);
  if (!settings.json_file.empty()) {
    std::string lines;
    for (const load::Report& each : outcome->reports) lines += to_json(each) + "\n";
    if (auto written = write_file(settings.json_file, lines, "a"); !written) return std::unexpected(written.error());
  }
  if (!settings.svg_file.empty()) {
    const std::string title = settings.label.empty() ? "Latency against rate" : settings.label;
    if (auto written = write_file(settings.svg_file, to_svg(outcome->reports, title), "w"); !written)
      return std::unexpected(written.error());
  }
  return outcome->failed ? exit_failed : exit_ended;
}

}  // namespace
}  // namespace talaria::app

int main(int argument_count, char** arguments) {
  using namespace talaria::app;
  const TscClock clock = TscClock::start();
  auto settings = read_load_options(argument_count, arguments);
  if (!settings) {
    fprintf(settings.error().status == 0 ? stdout : stderr, "%s\n", settings.error().text.c_str());
    return settings.error().status;
  }
  const auto ended = run(*settings, clock);
  if (ended) return *ended;
  fprintf(stderr, "talaria-load: %s\n", ended.error().reason.c_str());
  return ended.error().status;
}
