#include "dpdk-app/realtime.h"

#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <climits>
#include <fstream>

namespace talaria::app {
namespace {

constexpr int fifo_priority = 1;
constexpr size_t stack_bytes = size_t{256} << 10;
constexpr unsigned cap_ipc_lock = 14;  // linux/capability.h

// Of /proc/self/status: the number behind "NAME:".
uint64_t own_status(const std::string& name, int base) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(name + ":")) return strtoull(line.c_str() + name.size() + 1, nullptr, base);
  return 0;
}

uint64_t page_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_minflt + usage.ru_majflt);
}

}  // namespace

void keep_heap() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
}

std::expected<LockedMemory, Failure> lock_memory() {
  // With a limit the lock might succeed, and what is allocated next week fail.
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  const bool may_lock_all = ((own_status("CapEff", 16) >> cap_ipc_lock) & 1) != 0;
  if (!may_lock_all && limit.rlim_cur != RLIM_INFINITY)
    return std::unexpected(
        Failure{exit_privileges, "--profile realtime locks memory, and RLIMIT_MEMLOCK is " +
                                     std::to_string(limit.rlim_cur >> 10) +
                                     " KiB: LimitMEMLOCK=infinity, ulimit -l unlimited, or CAP_IPC_LOCK"});
  const uint64_t faults = page_faults();
  const auto begin = std::chrono::steady_clock::now();
  if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
    return std::unexpected(
        Failure{exit_memory, std::string("the kernel does not lock this process's memory: ") + strerror(errno)});
  return LockedMemory{.mib = own_status("VmRSS", 10) >> 10,
                      .page_faults = page_faults() - faults,
                      .took = std::chrono::steady_clock::now() - begin};
}

SleepStatesOut::SleepStatesOut() {
  descriptor_ = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);
  const int32_t microseconds = 0;
  if (descriptor_ >= 0 && write(descriptor_, &microseconds, sizeof microseconds) == sizeof microseconds) return;
  reason_ = strerror(errno);
  if (descriptor_ >= 0) close(descriptor_);
  descriptor_ = -1;
}

SleepStatesOut::~SleepStatesOut() {
  if (descriptor_ >= 0) close(descriptor_);
}

int become_fifo() {
  const sched_param parameters{.sched_priority = fifo_priority};
  return sched_setscheduler(0, SCHED_FIFO, &parameters) == 0 ? 0 : errno;
}

void touch_stack() {
  volatile uint8_t pages[stack_bytes];
  for (size_t i = 0; i < stack_bytes; i += 4096) pages[i] = 0;
  (void)pages[0];
}

}  // namespace talaria::app
