// What the machine is like where it matters to a datapath: which cores the kernel leaves alone, clock, frequency, huge
// pages, NUMA. Read from /sys and /proc once, at start; what is written about it is a pure function of that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dpdk-app/exit_status.h"
#include "dpdk-app/settings.h"

namespace talaria::app {

struct HostFacts {
  std::vector<unsigned> usable;                             // processors this process may run on
  std::vector<unsigned> isolated;                           // isolcpus: no other task is put there
  std::vector<unsigned> without_ticks;                      // nohz_full: no timer interrupt while one task runs
  bool invariant_clock = false;                             // constant_tsc and nonstop_tsc
  std::vector<std::pair<unsigned, std::string>> governors;  // of the processors that have one
  uint64_t huge_page_free_mib = 0;
  uint64_t memory_available_mib = 0;
  std::vector<std::pair<unsigned, int>> nodes;  // NUMA node of each processor
};

// `root` stands before /sys and /proc, for tests.
HostFacts read_host_facts(const std::string& root = "");
// "0-2,7" as the kernel lists processors; what is no list is an empty one.
std::vector<unsigned> parse_kernel_list(std::string_view text);

// The memory that all of it takes is not there: why, and what helps. Asked before anything is taken.
std::optional<Failure> missing_memory(const HostFacts& facts, const Settings& settings, uint64_t needed_mib);

struct PortFacts {
  std::string name;
  std::string driver;
  int numa_node = -1;
  uint16_t queues = 1;
  bool checksums_by_port = false;
};
struct ReportLine {
  bool warning = false;  // something that costs
  std::string text;
};
// One line for each worker, then ports, memory and clock; a warning says what it costs.
std::vector<ReportLine> host_report(const HostFacts& facts, const Settings& settings, const CorePlan& plan,
                                    const std::vector<PortFacts>& ports);

}  // namespace talaria::app
