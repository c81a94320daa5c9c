#include "dpdk-app/port.h"

#include "dpdk-app/dpdk_port.h"
#include "dpdk-app/tap_port.h"

namespace talaria::app {

std::expected<std::unique_ptr<Port>, Failure> Port::open(const Settings& settings, const PortSettings& port,
                                                         const PacketNeeds& needs) {
  if (port.tap.empty()) return DpdkPort::open(settings, port, needs);
  return TapPort::open(settings, port, needs);
}

size_t packet_memory_mib(const Settings& settings, const PacketNeeds& needs) {
  size_t sum = 0;
  for (const PortSettings& port : settings.ports)
    sum += port.tap.empty() ? DpdkPort::memory_mib(settings, port, needs)
                            : (settings.workers * TapPort::memory_bytes(port, needs) >> 20) + 1;
  return sum;
}

}  // namespace talaria::app
