#include "dpdk-app/dpdk_port.h"

#include <net/if.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include "core/base/check.h"
#include "dpdk-app/interface.h"
#include "dpdk-app/packet_pool.h"

namespace talaria::app {
namespace {

constexpr uint16_t descriptors_wanted = 1024;
constexpr uint16_t tap_descriptors = 256;  // net_tap fills a buffer for each of them at start and gains nothing by more

std::unexpected<Failure> refuse(std::string reason, int status = exit_port) {
  return std::unexpected(Failure{status, std::move(reason)});
}

// Pools are largest for their memory with 2^n - 1 packets.
uint32_t pool_size(uint32_t packets) { return std::bit_ceil(packets + 1) - 1; }

uint32_t transmit_pool_packets(const PacketNeeds& needs) {
  return pool_size(descriptors_wanted + needs.to_send + spread_ring_packets + 2 * packet_cache);
}
uint32_t receive_pool_packets(uint32_t descriptors, uint32_t extra, uint32_t workers, const PacketNeeds& needs) {
  // Buffers of a queue that is spread in software lie in the rings and caches of all workers.
  return pool_size(descriptors + extra + workers * (needs.received + spread_ring_packets + 2 * packet_cache));
}

std::string wrong(int error) { return std::string(": ") + rte_strerror(error < 0 ? -error : error); }

std::string driver_bound_to(const std::string& pci_port) {
  char target[256];
  const ssize_t size = readlink(("/sys/bus/pci/devices/" + pci_port + "/driver").c_str(), target, sizeof target);
  if (size <= 0) return {};
  const std::string path(target, static_cast<size_t>(size));
  return path.substr(path.rfind('/') + 1);
}

Failure pci_port_missing(const std::string& pci_port) {
  if (access(("/sys/bus/pci/devices/" + pci_port).c_str(), F_OK) != 0)
    return {exit_port, "there is no PCI device " + pci_port};
  const std::string driver = driver_bound_to(pci_port);
  if (driver.empty()) return {exit_port, pci_port + " is bound to no driver: scripts/bind-nic binds it to vfio-pci"};
  if (driver == "vfio-pci" || driver.starts_with("uio") || driver == "igb_uio")
    return {exit_port, pci_port + " cannot be used: no DPDK driver takes it, or another process has it"};
  return {exit_port,
          pci_port + " belongs to the kernel's driver " + driver + ": scripts/bind-nic binds it to vfio-pci"};
}

std::string name_of(uint16_t id) {
  char name[RTE_ETH_NAME_MAX_LEN];
  return rte_eth_dev_get_name_by_port(id, name) == 0 ? name : "";
}

std::set<uint16_t> all_ports() {
  std::set<uint16_t> ids;
  for (uint16_t id = 0; id < RTE_MAX_ETHPORTS; id++)
    if (rte_eth_find_next_owned_by(id, RTE_ETH_DEV_NO_OWNER) == id) ids.insert(id);
  return ids;
}

std::expected<uint16_t, Failure> make_virtual_port(const PortSettings& port) {
  const std::set<uint16_t> before = all_ports();
  const std::string completed = complete_vdev(port.vdev, port.mtu);
  if (rte_dev_probe(completed.c_str()) != 0) {
    if (geteuid() != 0)
      return refuse("the virtual port " + port.vdev + " cannot be made without root's privileges", exit_privileges);
    return refuse("the virtual port " + completed + " cannot be made; DPDK's lines above say why");
  }
  std::vector<uint16_t> made;
  std::string names;
  for (const uint16_t id : all_ports()) {
    if (before.contains(id)) continue;
    names += (names.empty() ? "" : ", ") + name_of(id);
    made.push_back(id);
  }
  if (made.empty()) return refuse("DPDK made no port of " + completed);
  if (made.size() > 1)
    return refuse("a virtual port is one, and these are " + std::to_string(made.size()) + ": " + names);
  return made.front();
}

std::expected<uint16_t, Failure> find_port(const PortSettings& port) {
  if (!port.vdev.empty()) return make_virtual_port(port);
  uint16_t id;
  if (rte_eth_dev_get_port_by_name(port.pci_port.c_str(), &id) != 0)
    return std::unexpected(pci_port_missing(port.pci_port));
  return id;
}

}  // namespace

size_t DpdkPort::memory_mib(const Settings& settings, const PortSettings& port, const PacketNeeds& needs) {
  constexpr uint32_t extra_max = 2 * 4096;  // what any driver keeps for itself
  const size_t largest_buffer = buffer_bytes(facts_of("net_af_packet"), port.mtu);
  const size_t packet = sizeof(rte_mbuf) + RTE_PKTMBUF_HEADROOM + largest_buffer + 128;
  const size_t workers = settings.workers;
  const size_t shared_queue = receive_pool_packets(4096, extra_max, settings.workers, needs);
  const size_t own_queues = port.pci_port.empty() ? 0 : workers * receive_pool_packets(4096, 0, 1, needs);
  const size_t packets = std::max(shared_queue, own_queues) + workers * transmit_pool_packets(needs);
  return 64 + packets * packet / (1024 * 1024);
}

std::string complete_vdev(const std::string& vdev, uint16_t mtu) {
  const std::string_view name = vdev_name(vdev);
  std::string arguments;
  auto add = [&](std::string_view key, const std::string& value) {
    if (vdev.find("," + std::string(key) + "=") == std::string::npos) arguments += "," + std::string(key) + "=" + value;
  };
  // Busy polling needs the interface's napi_defer_hard_irqs to be set; without it it only costs.
  if (name.starts_with("net_af_xdp")) add("busy_budget", "0");
  // Its ring's slots have 2 KiB unless it is told otherwise.
  if (const uint32_t slot = buffer_bytes(facts_of("net_af_packet"), mtu);
      name.starts_with("net_af_packet") && slot > 2048) {
    add("framesz", std::to_string(slot));
    add("blocksz", std::to_string(slot));
  }
  return vdev + arguments;
}

std::expected<std::unique_ptr<DpdkPort>, Failure> DpdkPort::open(const Settings& settings, const PortSettings& wanted,
                                                                 const PacketNeeds& needs) {
  auto id = find_port(wanted);
  if (!id) return std::unexpected(id.error());

  std::unique_ptr<DpdkPort> port(new DpdkPort());
  port->id_ = *id;
  if (auto done = port->configure(settings, wanted); !done) return std::unexpected(done.error());
  if (auto done = port->make_pools(settings, wanted, needs); !done) return std::unexpected(done.error());
  if (auto done = port->set_up_queues(); !done) return std::unexpected(done.error());
  if (auto done = port->set_mtu(wanted.mtu); !done) return std::unexpected(done.error());
  return port;
}

std::expected<void, Failure> DpdkPort::configure(const Settings& settings, const PortSettings& port) {
  name_ = name_of(id_);
  rte_eth_dev_info info;
  if (int error = rte_eth_dev_info_get(id_, &info); error != 0)
    return refuse(name_ + " does not say what it can" + wrong(error));
  driver_ = info.driver_name;
  numa_node_ = rte_eth_dev_socket_id(id_);
  interface_index_ = info.if_index;

  const PortReport report{.driver = driver_,
                          .receive_offloads = info.rx_offload_capa,
                          .transmit_offloads = info.tx_offload_capa,
                          .rss_types = info.flow_type_rss_offloads,
                          .receive_queues_max = info.max_rx_queues,
                          .transmit_queues_max = info.max_tx_queues,
                          .frame_bytes_max = info.max_rx_pktlen,
                          .mtu_max = info.max_mtu};
  agreement_ = negotiate(report, settings.workers);
  queues_ = agreement_.queues;
  does_checksums_ = agreement_.receive_tcp_checksum && agreement_.transmit_tcp_checksum;
  if (const uint32_t most = usable_mtu(report); port.mtu > most)
    return refuse("--mtu " + std::to_string(port.mtu) + " is more than " + driver_ + " takes in one frame (" +
                      std::to_string(most) + ")",
                  exit_settings);

  rte_eth_conf configuration{};
  configuration.rxmode.mtu =
      facts_of(driver_).frame_limit_is_kernels ? std::min<uint16_t>(port.mtu, RTE_ETHER_MTU) : port.mtu;
  configuration.rxmode.mtu = std::max<uint32_t>(configuration.rxmode.mtu, info.min_mtu);
  configuration.rxmode.offloads = agreement_.receive_offloads;
  configuration.txmode.offloads = agreement_.transmit_offloads;
  if (agreement_.rss_types != 0) {
    configuration.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    configuration.rx_adv_conf.rss_conf.rss_hf = agreement_.rss_types;
  }
  // Costs vectors of a card, and nothing per packet while they are off.
  const SignalKind signal = facts_of(driver_).signal;
  const bool signalled = signal == SignalKind::device || signal == SignalKind::interrupt;
  configuration.intr_conf.rxq = signalled && idle_mode(settings) == IdleMode::wait ? 1 : 0;
  if (int error = rte_eth_dev_configure(id_, agreement_.queues, agreement_.queues, &configuration); error != 0)
    return refuse(name_ + " refuses its configuration" + wrong(error));

  auto wanted = [&](uint16_t driver_default) -> uint16_t {
    if (driver_default != 0) return driver_default;
    return driver_ == "net_tap" ? tap_descriptors : descriptors_wanted;
  };
  receive_descriptors_ = wanted(info.default_rxportconf.ring_size);
  transmit_descriptors_ = wanted(info.default_txportconf.ring_size);
  if (int error = rte_eth_dev_adjust_nb_rx_tx_desc(id_, &receive_descriptors_, &transmit_descriptors_); error != 0)
    return refuse(name_ + " refuses its descriptors" + wrong(error));

  rte_ether_addr mac;
  if (int error = rte_eth_macaddr_get(id_, &mac); error != 0) return refuse(name_ + " has no address" + wrong(error));
  std::memcpy(capabilities_.mac.data(), mac.addr_bytes, capabilities_.mac.size());
  if (facts_of(driver_).address_is_the_peers) capabilities_.mac = address_beside(capabilities_.mac);
  capabilities_.mtu = port.mtu;
  receives_multicast_ = speaks_ipv6(port);
  capabilities_.transmit_ip_checksum = agreement_.transmit_ip_checksum;
  capabilities_.transmit_l4_checksum = agreement_.transmit_tcp_checksum;
  return {};
}

std::expected<void, Failure> DpdkPort::make_pools(const Settings& settings, const PortSettings& port,
                                                  const PacketNeeds& needs) {
  const auto buffer = static_cast<uint16_t>(buffer_bytes(facts_of(driver_), port.mtu) + RTE_PKTMBUF_HEADROOM);
  const std::string of_port = std::to_string(id_) + "_";
  const int node = settings.huge_pages ? numa_node_ : SOCKET_ID_ANY;
  auto make = [&](const std::string& pool_name, uint32_t packets) {
    return make_packet_pool(pool_name, packets, buffer, node, facts_of(driver_).pool_is_one_array);
  };
  auto no_memory = [&](uint32_t packets) {
    return refuse("there is no memory for " + std::to_string(packets) + " packets of " + std::to_string(buffer) +
                      " bytes" + wrong(rte_errno) +
                      (settings.huge_pages ? "; scripts/setup-host reserves huge pages, or --no-huge" : ""),
                  exit_memory);
  };
  const uint32_t sharers = agreement_.queues == settings.workers ? 1 : settings.workers;
  const uint32_t received = receive_pool_packets(receive_descriptors_, facts_of(driver_).extra_buffers, sharers, needs);
  for (uint16_t queue = 0; queue < agreement_.queues; queue++) {
    rte_mempool* pool = make("receive_" + of_port + std::to_string(queue), received);
    if (pool == nullptr) return no_memory(received);
    receive_pools_.push_back(pool);
  }
  const uint32_t sent = transmit_pool_packets(needs);
  for (uint16_t worker = 0; worker < settings.workers; worker++) {
    rte_mempool* pool = make("transmit_" + of_port + std::to_string(worker), sent);
    if (pool == nullptr) return no_memory(sent);
    transmit_pools_.push_back(pool);
  }
  return {};
}

std::expected<void, Failure> DpdkPort::set_up_queues() {
  const auto node = static_cast<unsigned>(numa_node_);
  for (uint16_t queue = 0; queue < agreement_.queues; queue++) {
    if (int error = rte_eth_rx_queue_setup(id_, queue, receive_descriptors_, node, nullptr, receive_pools_[queue]);
        error != 0)
      return refuse(name_ + " refuses receive queue " + std::to_string(queue) + wrong(error));
    if (int error = rte_eth_tx_queue_setup(id_, queue, transmit_descriptors_, node, nullptr); error != 0)
      return refuse(name_ + " refuses transmit queue " + std::to_string(queue) + wrong(error));
  }
  return {};
}

std::expected<void, Failure> DpdkPort::set_mtu(uint16_t mtu) {
  int error = 0;
  if (!facts_of(driver_).frame_limit_is_kernels) {
    error = rte_eth_dev_set_mtu(id_, mtu);
    if (error == -ENOTSUP) error = 0;  // the frame's size was in the configuration
  } else if (char interface[IF_NAMESIZE]; interface_index_ != 0) {
    if (if_indextoname(interface_index_, interface) == nullptr)
      error = errno;
    else if (const auto done = set_interface_mtu(interface, mtu); !done)
      error = done.error();
  }
  if (error == 0) return {};
  return refuse("--mtu " + std::to_string(mtu) + " is refused by " + name_ + wrong(error), exit_settings);
}

std::expected<void, Failure> DpdkPort::start() {
  if (int error = rte_eth_dev_start(id_); error != 0) return refuse(name_ + " does not start" + wrong(error));
  running_ = true;
  // Neighbour Discovery is multicast. A virtual port that cannot be told passes it on anyway.
  if (receives_multicast_)
    if (int error = rte_eth_allmulticast_enable(id_); error != 0 && error != -ENOTSUP)
      return refuse(name_ + " does not receive multicast, which IPv6 needs" + wrong(error));
  return {};
}

void DpdkPort::stop() {
  if (running_) rte_eth_dev_stop(id_);
  running_ = false;
}

DpdkPort::~DpdkPort() {
  stop();
  rte_eth_dev_close(id_);
  for (rte_mempool* pool : receive_pools_) rte_mempool_free(pool);
  for (rte_mempool* pool : transmit_pools_) rte_mempool_free(pool);
}

DeviceConfig DpdkPort::device_config(size_t worker, uint16_t queue) const {
  return {.port = id_,
          .queue = queue,
          .transmit_pool = transmit_pools_[worker],
          .trust_receive_ip_checksum = agreement_.receive_ip_checksum,
          .trust_receive_tcp_checksum = agreement_.receive_tcp_checksum,
          .prepare_transmit = agreement_.transmit_offloads != 0,
          .capabilities = capabilities_};
}

std::vector<PortEnd> DpdkPort::make_ends(size_t workers, base::HashKey spread_key) {
  std::vector<PortEnd> ends(workers);
  if (queues_ == workers) {
    for (size_t worker = 0; worker < workers; worker++) {
      auto device = std::make_unique<DpdkDevice>(device_config(worker, static_cast<uint16_t>(worker)));
      ends[worker].counters = &device->counters();
      ends[worker].device = std::move(device);
    }
    return ends;
  }
  std::vector<SpreadLane*> lanes;
  for (size_t worker = 1; worker < workers; worker++) {
    ends[worker].lane = SpreadLane::make(worker, numa_node_);
    CHECK(ends[worker].lane != nullptr);
    lanes.push_back(ends[worker].lane.get());
    auto branch = std::make_unique<SpreadBranch>(device_config(worker, 0), *lanes.back());
    ends[worker].counters = &branch->counters();
    ends[worker].device = std::move(branch);
  }
  auto trunk = std::make_unique<SpreadTrunk>(device_config(0, 0), std::move(lanes), spread_key);
  ends[0].counters = &trunk->counters();
  ends[0].trunk = trunk.get();
  ends[0].device = std::move(trunk);
  return ends;
}

PacketSignal DpdkPort::signal(uint16_t queue) const { return PacketSignal::find(*this, queue); }

Link DpdkPort::link() const {
  rte_eth_link link{};
  if (rte_eth_link_get_nowait(id_, &link) != 0) return {};
  const bool known = link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN && link.link_speed != RTE_ETH_SPEED_NUM_NONE;
  return {.up = link.link_status == RTE_ETH_LINK_UP, .speed_mbps = known ? link.link_speed : 0};
}

Port::Statistics DpdkPort::statistics() const {
  rte_eth_stats stats{};
  if (rte_eth_stats_get(id_, &stats) != 0) return {};
  return {.packets_in = stats.ipackets,
          .bytes_in = stats.ibytes,
          .packets_out = stats.opackets,
          .bytes_out = stats.obytes,
          .drops = {{"receive queue full", stats.imissed},
                    {"received with errors", stats.ierrors},
                    {"no receive buffer", stats.rx_nombuf},
                    {"sent with errors", stats.oerrors}}};
}

}  // namespace talaria::app
