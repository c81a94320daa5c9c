#include "dpdk-app/packet_signal.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <rte_epoll.h>
#include <rte_ethdev.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "dpdk-app/dpdk_port.h"

namespace talaria::app {
namespace {

bool serves_port(int descriptor, uint32_t interface_index) {
  int family = 0;
  socklen_t size = sizeof family;
  if (getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0) return false;  // no socket
  if (family == AF_XDP) return true;                                                     // which has no name to ask for
  if (family != AF_PACKET) return false;
  sockaddr_ll address{};
  socklen_t address_size = sizeof address;
  return getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &address_size) == 0 &&
         address.sll_ifindex == static_cast<int>(interface_index) && address.sll_protocol == htons(ETH_P_ALL);
}

// The one socket that such a port with one queue has. -1: none, or which of several is unclear.
int find_socket(uint32_t interface_index) {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return -1;
  int found = -1;
  bool several = false;
  while (const dirent* entry = readdir(directory)) {
    char* end = nullptr;
    const long descriptor = strtol(entry->d_name, &end, 10);
    if (end == entry->d_name || *end != 0 || !serves_port(static_cast<int>(descriptor), interface_index)) continue;
    several |= found >= 0;
    found = static_cast<int>(descriptor);
  }
  closedir(directory);
  return several ? -1 : found;
}

}  // namespace

PacketSignal PacketSignal::find(const DpdkPort& port, uint16_t queue) {
  PacketSignal signal;
  signal.port_ = port.id();
  signal.queue_ = queue;
  switch (facts_of(port.driver()).signal) {
    case SignalKind::none: break;
    case SignalKind::device: signal.descriptor_ = rte_eth_dev_rx_intr_ctl_q_get_fd(port.id(), queue); break;
    case SignalKind::socket: signal.descriptor_ = find_socket(port.interface_index()); break;
    case SignalKind::interrupt: {
      const int instance = epoll_create1(EPOLL_CLOEXEC);
      if (instance < 0) break;
      if (rte_eth_dev_rx_intr_ctl_q(port.id(), queue, instance, RTE_INTR_EVENT_ADD, nullptr) != 0 ||
          rte_eth_dev_rx_intr_enable(port.id(), queue) != 0) {
        close(instance);
        break;
      }
      rte_eth_dev_rx_intr_disable(port.id(), queue);
      signal.descriptor_ = instance;
      signal.interrupts_ = true;
      break;
    }
  }
  return signal;
}

PacketSignal PacketSignal::of_descriptor(int descriptor) {
  PacketSignal signal;
  signal.descriptor_ = descriptor;
  return signal;
}

PacketSignal::PacketSignal(PacketSignal&& other) noexcept { *this = std::move(other); }

PacketSignal& PacketSignal::operator=(PacketSignal&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(interrupts_, other.interrupts_);
  std::swap(port_, other.port_);
  std::swap(queue_, other.queue_);
  return *this;
}

PacketSignal::~PacketSignal() {
  if (!interrupts_) return;
  rte_eth_dev_rx_intr_ctl_q(port_, queue_, descriptor_, RTE_INTR_EVENT_DEL, nullptr);
  close(descriptor_);
}

void PacketSignal::arm() {
  if (interrupts_) rte_eth_dev_rx_intr_enable(port_, queue_);
}

void PacketSignal::disarm() {
  if (interrupts_) rte_eth_dev_rx_intr_disable(port_, queue_);
}

void PacketSignal::take() {
  if (!interrupts_) return;
  rte_epoll_event event;
  rte_epoll_wait(descriptor_, &event, 1, 0);
}

}  // namespace talaria::app
