#include "dpdk-app/host_report.h"

#include <sched.h>
#include <stdio.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

namespace talaria::app {
namespace {

namespace fs = std::filesystem;

std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

uint64_t read_number(const std::string& path) {
  const std::string line = read_line(path);
  return line.empty() || !std::isdigit(static_cast<unsigned char>(line[0])) ? 0 : strtoull(line.c_str(), nullptr, 10);
}

// Counts pages of every size; names are "hugepages-2048kB".
uint64_t free_huge_page_mib(const std::string& root) {
  uint64_t kib = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root + "/sys/kernel/mm/hugepages", error)) {
    const std::string name = entry.path().filename();
    const uint64_t page_kib = name.starts_with("hugepages-") ? strtoull(name.c_str() + 10, nullptr, 10) : 0;
    kib += page_kib * read_number(entry.path() / "free_hugepages");
  }
  return kib / 1024;
}

uint64_t memory_available_mib(const std::string& root) {
  std::ifstream file(root + "/proc/meminfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("MemAvailable:")) return strtoull(line.c_str() + 13, nullptr, 10) / 1024;
  return 0;
}

bool invariant_clock(const std::string& root) {
  std::ifstream file(root + "/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("flags"))
      return line.find(" constant_tsc") != std::string::npos && line.find(" nonstop_tsc") != std::string::npos;
  return false;
}

// The processors of this thread's affinity; and isolated ones, which the kernel leaves out of everybody's unless asked.
std::vector<unsigned> usable_processors(const std::vector<unsigned>& isolated) {
  std::vector<unsigned> processors;
  cpu_set_t given;
  if (sched_getaffinity(0, sizeof given, &given) != 0) return processors;
  cpu_set_t usable = given;
  for (unsigned processor : isolated) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    if (sched_setaffinity(0, sizeof one, &one) == 0) CPU_SET(processor, &usable);
  }
  sched_setaffinity(0, sizeof given, &given);
  for (unsigned processor = 0; processor < CPU_SETSIZE; processor++)
    if (CPU_ISSET(processor, &usable)) processors.push_back(processor);
  return processors;
}

bool contains(const std::vector<unsigned>& list, unsigned value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

int node_of(const HostFacts& facts, unsigned processor) {
  for (const auto& [each, node] : facts.nodes)
    if (each == processor) return node;
  return -1;
}

// "NUMA node 0", "NUMA nodes 0 1": of these processors, and so of the memory they use.
std::string nodes_of(const HostFacts& facts, const std::vector<unsigned>& processors) {
  std::set<int> nodes;
  for (unsigned processor : processors) nodes.insert(node_of(facts, processor));
  nodes.erase(-1);
  if (nodes.empty()) return "no NUMA node";
  std::string text = nodes.size() == 1 ? "NUMA node" : "NUMA nodes";
  for (int node : nodes) text += " " + std::to_string(node);
  return text;
}

ReportLine worker_line(const HostFacts& facts, const CorePlan& plan, size_t worker) {
  const unsigned core = plan.workers[worker];
  std::string text = "worker " + std::to_string(worker) + " on core " + std::to_string(core);
  std::vector<std::string> costs;
  if (!plan.alone(worker))
    costs.push_back("it shares the core with another thread of the broker: they take turns, milliseconds at a time");
  if (!contains(facts.isolated, core))
    costs.push_back("the core is not isolated (isolcpus): other tasks may take it for milliseconds");
  if (!contains(facts.without_ticks, core))
    costs.push_back("its timer interrupt stays (nohz_full): microseconds, up to 1000 times a second");
  for (size_t i = 0; i < costs.size(); i++) text += (i == 0 ? ": " : "; ") + costs[i];
  if (costs.empty()) text += ": isolated, no timer interrupt";
  return {!costs.empty(), text};
}

void add_port_lines(std::vector<ReportLine>& lines, const HostFacts& facts, const Settings& settings,
                    const CorePlan& plan, const PortFacts& port) {
  std::string text = "port " + port.name + " (" + port.driver + "), ";
  text += port.numa_node < 0 ? "no NUMA node" : "NUMA node " + std::to_string(port.numa_node);
  text += ", " + std::to_string(port.queues) + " queue pair(s), checksums by " +
          (port.checksums_by_port ? "the port" : "software");
  lines.push_back({false, text});
  if (settings.workers > port.queues)
    lines.push_back({settings.workers > 1, "the port does not spread connections over " +
                                               std::to_string(settings.workers) +
                                               " workers: worker 0 receives and sends for all"});
  for (size_t worker = 0; worker < plan.workers.size() && port.numa_node >= 0; worker++)
    if (const int node = node_of(facts, plan.workers[worker]); node >= 0 && node != port.numa_node)
      lines.push_back({true, "worker " + std::to_string(worker) + " runs on NUMA node " + std::to_string(node) +
                                 ", the port is on node " + std::to_string(port.numa_node) +
                                 ": every packet crosses between them"});
}

}  // namespace

std::vector<unsigned> parse_kernel_list(std::string_view text) {
  return text.empty() ? std::vector<unsigned>{} : parse_core_list(text).value_or(std::vector<unsigned>{});
}

HostFacts read_host_facts(const std::string& root) {
  const std::string processors = root + "/sys/devices/system/cpu/";
  HostFacts facts;
  facts.isolated = parse_kernel_list(read_line(processors + "isolated"));
  facts.usable = usable_processors(facts.isolated);
  facts.without_ticks = parse_kernel_list(read_line(processors + "nohz_full"));
  facts.invariant_clock = invariant_clock(root);
  facts.huge_page_free_mib = free_huge_page_mib(root);
  facts.memory_available_mib = memory_available_mib(root);
  for (unsigned processor : facts.usable) {
    const std::string one = processors + "cpu" + std::to_string(processor);
    if (std::string governor = read_line(one + "/cpufreq/scaling_governor"); !governor.empty())
      facts.governors.emplace_back(processor, std::move(governor));
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(one, error)) {
      const std::string name = entry.path().filename();
      if (name.starts_with("node") && name.size() > 4 && std::isdigit(static_cast<unsigned char>(name[4])))
        facts.nodes.emplace_back(processor, atoi(name.c_str() + 4));
    }
  }
  return facts;
}

std::optional<Failure> missing_memory(const HostFacts& facts, const Settings& settings, uint64_t needed_mib) {
  const std::string need = std::to_string(settings.workers) + " worker(s) with --memory-mib " +
                           std::to_string(settings.memory_mib) + " need " + std::to_string(needed_mib) + " MiB";
  if (settings.huge_pages && facts.huge_page_free_mib < needed_mib)
    return Failure{exit_memory, need + " of huge pages, and " + std::to_string(facts.huge_page_free_mib) +
                                    " MiB are free: scripts/setup-host reserves them; --no-huge works without"};
  if (!settings.huge_pages && facts.memory_available_mib < needed_mib)
    return Failure{exit_memory, need + ", and " + std::to_string(facts.memory_available_mib) + " MiB are available"};
  return std::nullopt;
}

std::vector<ReportLine> host_report(const HostFacts& facts, const Settings& settings, const CorePlan& plan,
                                    const std::vector<PortFacts>& ports) {
  std::vector<ReportLine> lines;
  lines.push_back({false, "control thread on core " + std::to_string(plan.control)});
  for (size_t worker = 0; worker < plan.workers.size(); worker++) lines.push_back(worker_line(facts, plan, worker));
  for (const PortFacts& port : ports) add_port_lines(lines, facts, settings, plan, port);

  const std::string memory =
      std::to_string(settings.memory_mib) + " MiB for messages a worker, on " + nodes_of(facts, plan.workers);
  if (settings.huge_pages)
    lines.push_back({false, "memory in huge pages: " + memory});
  else
    lines.push_back({true, "memory without huge pages (--no-huge): " + memory +
                               "; address translation misses cost some percent, and each page its first use"});

  for (const auto& [processor, governor] : facts.governors)
    if (governor != "performance" && (contains(plan.workers, processor)))
      lines.push_back({true, "core " + std::to_string(processor) + " has the frequency governor '" + governor +
                                 "': it slows down when it may, and speeds up late: write performance into "
                                 "/sys/devices/system/cpu/cpu" +
                                 std::to_string(processor) + "/cpufreq/scaling_governor"});
  if (!facts.invariant_clock)
    lines.push_back({true, "the processor's time-stamp counter is not invariant: timers and latencies are unreliable"});
  return lines;
}

}  // namespace talaria::app
