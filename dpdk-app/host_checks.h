// What a host does that disturbs workers which never sleep, and what to write where against it. Read from /sys and
// /proc once, at start; pure but for reading: `root` stands before all paths, for tests.
#pragma once

#include <string>
#include <vector>

namespace talaria::app {

struct HostQuestion {
  std::vector<unsigned> workers;  // their processors
  unsigned control = 0;
  bool fifo = false;              // a worker runs under SCHED_FIFO
  bool sleep_states_out = false;  // /dev/cpu_dma_latency is held at 0
};

// A sentence for each: what costs, then the file and what belongs into it. What the kernel does not tell (a virtual
// machine without frequency scaling) is taken as being in order. Not here: what host_report.h says in every profile.
std::vector<std::string> host_checks(const std::string& root, const HostQuestion& question);

}  // namespace talaria::app
