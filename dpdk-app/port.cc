#include "dpdk-app/port.h"

#include "dpdk-app/dpdk_port.h"
#include "dpdk-app/tap_port.h"

namespace talaria::app {

std::expected<std::unique_ptr<Port>, Failure> Port::open(const Settings& settings, const PacketNeeds& needs) {
  if (settings.tap.empty()) return DpdkPort::open(settings, needs);
  return TapPort::open(settings, needs);
}

size_t packet_memory_mib(const Settings& settings, const PacketNeeds& needs) {
  if (settings.tap.empty()) return DpdkPort::memory_mib(settings, needs);
  return (settings.workers * TapPort::memory_bytes(settings, needs) >> 20) + 1;
}

}  // namespace talaria::app
