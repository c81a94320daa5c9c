// DPDK's environment layer (EAL): its arguments, made from our settings, and its start and end. Main thread only.
//
// lcore 0 is the control thread, lcore k + 1 is worker k; which processor each runs on says `--lcores`, so that workers
// may share one. Memory: huge pages in `--in-memory` mode (nothing is left behind in /dev/hugepages, whatever happens),
// or `--no-huge` with the memory that the packet pools need, which excludes `--in-memory`.
//
// Ports are attached after the start, one by one, so that each failure has a name (port.h); PCI ports must be announced
// in the arguments to be looked at.
#pragma once

#include <expected>
#include <string>
#include <utility>
#include <vector>

#include "dpdk-app/exit_status.h"
#include "dpdk-app/settings.h"

namespace talaria::app {

// The lcore of a worker; the control thread is lcore 0.
constexpr unsigned lcore_of(size_t worker) { return static_cast<unsigned>(worker) + 1; }

// Pure. `packet_memory_mib` is what the pools take; EAL wants to know with --no-huge only.
std::vector<std::string> eal_arguments(const Settings& settings, const CorePlan& plan, size_t packet_memory_mib);

// Started once in a process; ended by the destructor.
class Eal {
 public:
  static std::expected<Eal, Failure> start(const std::vector<std::string>& arguments);
  Eal(Eal&& other) noexcept : running_(std::exchange(other.running_, false)) {}
  Eal& operator=(Eal&&) = delete;
  ~Eal();

 private:
  Eal() = default;
  bool running_ = true;
};

}  // namespace talaria::app
