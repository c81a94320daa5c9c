#include "tests/bench/cycles.h"

#include <sys/resource.h>
#include <time.h>

#include <chrono>
#include <fstream>

namespace talaria::bench {

double tsc_hz() {
  static const double hz = [] {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    const uint64_t from = cycles_now();
    while (Clock::now() - start < std::chrono::milliseconds(50)) {}
    const uint64_t to = cycles_now();
    const std::chrono::duration<double> took = Clock::now() - start;
    return static_cast<double>(to - from) / took.count();
  }();
  return hz;
}

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name"))
      if (const size_t colon = line.find(": "); colon != std::string::npos) return line.substr(colon + 2);
  return "unknown";
}

double thread_seconds() {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

uint64_t preemptions() {
  rusage used{};
  getrusage(RUSAGE_THREAD, &used);
  return static_cast<uint64_t>(used.ru_nivcsw);
}

}  // namespace talaria::bench
