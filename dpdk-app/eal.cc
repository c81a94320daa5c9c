#include "dpdk-app/eal.h"

#include <rte_eal.h>
#include <rte_errno.h>

#include <string_view>
#include <utility>

namespace talaria::app {

std::vector<std::string> eal_arguments(const Settings& settings, const CorePlan& plan, size_t packet_memory_mib) {
  std::vector<std::string> arguments{"talariad"};
  if (settings.huge_pages) {
    arguments.push_back("--in-memory");
  } else {
    arguments.push_back("--no-huge");
    arguments.insert(arguments.end(), {"-m", std::to_string(packet_memory_mib)});
  }
  arguments.insert(arguments.end(), {"--file-prefix", settings.file_prefix});
  bool any_pci = false;
  for (const PortSettings& port : settings.ports) {
    if (port.pci_port.empty()) continue;
    any_pci = true;
    arguments.insert(arguments.end(), {"-a", port.pci_port});
  }
  if (!any_pci) arguments.push_back("--no-pci");

  std::string lcores = "0@" + std::to_string(plan.control);
  for (size_t worker = 0; worker < plan.workers.size(); worker++)
    lcores += "," + std::to_string(lcore_of(worker)) + "@" + std::to_string(plan.workers[worker]);
  arguments.insert(arguments.end(), {"--lcores", lcores, "--main-lcore", "0"});

  // It warns of a socket for programs that nobody has any more.
  arguments.push_back("--log-level=lib.telemetry:error");
  arguments.insert(arguments.end(), settings.eal_arguments.begin(), settings.eal_arguments.end());
  return arguments;
}

std::expected<Eal, Failure> Eal::start(const std::vector<std::string>& arguments) {
  // EAL moves the pointers about and keeps some of them.
  static std::vector<std::string> kept;
  kept = arguments;
  std::vector<char*> pointers;
  pointers.reserve(kept.size() + 1);
  for (std::string& argument : kept) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  if (rte_eal_init(static_cast<int>(arguments.size()), pointers.data()) < 0) {
    const int error = rte_errno;
    const std::string what = rte_strerror(error);
    if (error == EACCES || error == EPERM)
      return std::unexpected(
          Failure{exit_privileges, "DPDK may not start (" + what + "): talariad wants to run as root"});
    if (error == ENOMEM || error == ENOSPC)
      return std::unexpected(Failure{exit_memory, "DPDK found no memory (" + what + ")"});
    return std::unexpected(Failure{exit_failed, std::string("DPDK could not start") +
                                                    (error == 0 ? "" : " (" + what + ")") +
                                                    ": its lines above say why (another process may use the same "
                                                    "--file-prefix)"});
  }
  return Eal();
}

Eal::~Eal() {
  if (running_) rte_eal_cleanup();
}

}  // namespace talaria::app
