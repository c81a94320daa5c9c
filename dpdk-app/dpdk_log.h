// Where DPDK's log lines go: into a bounded list that the control thread empties into our log. Drivers log from any
// thread, workers included; such a line costs a lock of a few instructions, or is counted and dropped when the list is
// full. Started before EAL, for the life of the process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace talaria::app {

struct DpdkLogLine {
  uint32_t level = 0;  // RTE_LOG_*: 1 emergency ... 4 error, 5 warning, 6 notice, 7 info, 8 debug
  std::string text;    // without the line's end
};

// Registers itself with rte_log. False: out of memory.
bool start_dpdk_log();
// The lines since the last call, oldest first; `dropped` is how many did not fit.
std::vector<DpdkLogLine> take_dpdk_log(uint64_t& dropped);

}  // namespace talaria::app
