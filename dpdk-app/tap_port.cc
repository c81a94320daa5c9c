#include "dpdk-app/tap_port.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "dpdk-app/interface.h"

namespace talaria::app {
namespace {

// Beside what waits: those of a turn, which are the kernel's when it ends.
constexpr uint32_t packets_of_a_turn = 512;
constexpr int any_node = -1;
constexpr uint16_t mtu_max = UINT16_MAX - 18;  // with Ethernet header and VLAN tag in a Packet

std::unexpected<Failure> refuse(const std::string& name, const std::string& what, int error) {
  const bool privileges = error == EPERM || error == EACCES;
  return std::unexpected(Failure{privileges ? exit_privileges : exit_port,
                                 "the tap interface " + name + " " + what + ": " + strerror(error)});
}

}  // namespace

size_t TapPort::memory_bytes(const PortSettings& port, const PacketNeeds& needs) {
  return TapDevice::memory_bytes(port.mtu, needs.to_send + packets_of_a_turn);
}

std::expected<std::unique_ptr<TapPort>, Failure> TapPort::open(const Settings& settings, const PortSettings& wanted,
                                                               const PacketNeeds& needs) {
  std::unique_ptr<TapPort> port(new TapPort(settings, wanted, needs));
  if (auto done = port->attach(settings.workers); !done) return std::unexpected(done.error());
  if (auto done = port->configure(wanted.mtu); !done) return std::unexpected(done.error());
  return port;
}

TapPort::TapPort(const Settings& settings, const PortSettings& port, const PacketNeeds& needs)
    : packets_to_write_(needs.to_send + packets_of_a_turn), memory_(settings.huge_pages, any_node) {
  name_ = port.tap;
  driver_ = "tap";
}

std::expected<void, Failure> TapPort::attach(uint16_t queues) {
  for (uint16_t queue = 0; queue < queues; queue++) {
    const int descriptor = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) return refuse(name_, "needs /dev/net/tun", errno);
    descriptors_.push_back(descriptor);
    ifreq request{};
    std::memcpy(request.ifr_name, name_.c_str(), name_.size() + 1);
    const int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (queues > 1 ? IFF_MULTI_QUEUE : 0);
    request.ifr_flags = static_cast<short>(flags);
    if (ioctl(descriptor, TUNSETIFF, &request) != 0) return refuse(name_, "cannot be attached to", errno);
    constexpr unsigned long offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    if (ioctl(descriptor, TUNSETOFFLOAD, offloads) != 0) return refuse(name_, "takes no long packets", errno);
  }
  queues_ = queues;
  return {};
}

std::expected<void, Failure> TapPort::configure(uint16_t mtu) {
  if (mtu > mtu_max)
    return std::unexpected(Failure{exit_settings, "--mtu " + std::to_string(mtu) +
                                                      " is more than a tap interface takes in one frame (" +
                                                      std::to_string(mtu_max) + ")"});
  if (const auto done = set_interface_mtu(name_, mtu); !done)
    return refuse(name_, "takes no MTU of " + std::to_string(mtu), done.error());
  const auto address = interface_address(name_);
  if (!address) return refuse(name_, "has no address", address.error());
  capabilities_.mac = address_beside(*address);
  capabilities_.mtu = mtu;
  capabilities_.transmit_l4_checksum = true;
  capabilities_.transmit_segmentation = TapDevice::segmentation;
  does_checksums_ = true;
  return {};
}

TapPort::~TapPort() {
  for (const int descriptor : descriptors_) close(descriptor);
}

std::vector<PortEnd> TapPort::make_ends(size_t workers, base::HashKey) {
  std::vector<PortEnd> ends(workers);
  counters_.clear();
  for (size_t worker = 0; worker < workers; worker++) {
    if (pages_.size() == worker)
      pages_.push_back(std::make_unique<Pages>(memory_, TapDevice::memory_bytes(capabilities_.mtu, packets_to_write_)));
    auto device = std::make_unique<TapDevice>(TapDevice::Config{.descriptor = descriptors_[worker],
                                                                .capabilities = capabilities_,
                                                                .memory = pages_[worker]->span(),
                                                                .packets_to_write = packets_to_write_});
    counters_.push_back(&device->counters());
    ends[worker].counters = &device->counters();
    ends[worker].device = std::move(device);
  }
  return ends;
}

PacketSignal TapPort::signal(uint16_t queue) const { return PacketSignal::of_descriptor(descriptors_[queue]); }

Link TapPort::link() const { return {.up = interface_is_up(name_), .speed_mbps = 0}; }

Port::Statistics TapPort::statistics() const {
  Statistics sum;
  uint64_t refused = 0;
  for (const DeviceCounters* counters : counters_) {
    sum.packets_in += counters->packets_in.value();
    sum.bytes_in += counters->bytes_in.value();
    sum.packets_out += counters->packets_out.value();
    sum.bytes_out += counters->bytes_out.value();
    refused += counters->drop_unpreparable.value() + counters->drop_no_link.value();
  }
  sum.drops = {{"receive queue full", interface_drops(name_)}, {"refused by the kernel", refused}};
  return sum;
}

}  // namespace talaria::app
