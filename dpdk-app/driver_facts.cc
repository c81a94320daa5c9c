#include "dpdk-app/driver_facts.h"

#include <rte_ethdev.h>

#include <algorithm>
#include <array>

namespace talaria::app {
namespace {

struct Entry {
  std::string_view driver;
  DriverFacts facts;
};

constexpr DriverFacts physical{.checksums_work = true, .rss_works = true};

constexpr std::array entries = {
    // Physical ports, and the virtual functions of them: mature, and widely run with both.
    Entry{"net_ixgbe", physical},
    Entry{"net_ixgbe_vf", physical},
    Entry{"net_i40e", physical},
    Entry{"net_iavf", physical},
    Entry{"net_ice", physical},
    Entry{"net_e1000_igb", physical},
    Entry{"net_igc", physical},
    Entry{"mlx5_pci", physical},
    Entry{"net_bnxt", physical},
    Entry{"net_ena", physical},
    Entry{"net_vmxnet3", physical},
    // Virtual ports.
    Entry{"net_af_xdp", {.extra_buffers = 4096}},  // the fill ring
    Entry{"net_af_packet", {.frame_limit_is_kernels = true}},
};

// A buffer's size is a 16-bit number, headroom included, in whole KiB of data.
constexpr uint32_t buffer_data_max = (UINT16_MAX - RTE_PKTMBUF_HEADROOM) / 1024 * 1024;
constexpr uint32_t frame_overhead = RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN;

}  // namespace

DriverFacts facts_of(std::string_view driver) {
  auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.driver == driver; });
  return found == entries.end() ? DriverFacts{} : found->facts;
}

Agreement negotiate(const PortReport& report, uint16_t workers) {
  const DriverFacts facts = facts_of(report.driver);
  Agreement agreed;
  if (facts.checksums_work) {
    agreed.receive_offloads = report.receive_offloads & (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM);
    agreed.transmit_offloads =
        report.transmit_offloads & (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM);
  }
  agreed.receive_ip_checksum = (agreed.receive_offloads & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM) != 0;
  agreed.receive_tcp_checksum = (agreed.receive_offloads & RTE_ETH_RX_OFFLOAD_TCP_CKSUM) != 0;
  agreed.transmit_ip_checksum = (agreed.transmit_offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
  agreed.transmit_tcp_checksum = (agreed.transmit_offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) != 0;

  const bool enough_queues = report.receive_queues_max >= workers && report.transmit_queues_max >= workers;
  const bool hashes_tcp = (report.rss_types & RTE_ETH_RSS_NONFRAG_IPV4_TCP) != 0;
  if (workers > 1 && facts.rss_works && enough_queues && hashes_tcp) {
    agreed.queues = workers;
    agreed.rss_types = report.rss_types & (RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_FRAG_IPV4);
  }
  return agreed;
}

uint32_t usable_mtu(const PortReport& report) {
  uint32_t mtu = buffer_data_max - frame_overhead;
  if (facts_of(report.driver).frame_limit_is_kernels) return mtu;
  mtu = std::min(mtu, report.mtu_max);
  // As ethdev itself counts: without a real limit of the MTU, the overhead is the header and the frame check sequence.
  const bool real_mtu_max = report.mtu_max != UINT16_MAX && report.mtu_max < report.frame_bytes_max;
  const uint32_t overhead =
      real_mtu_max ? report.frame_bytes_max - report.mtu_max : RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
  return std::min(mtu, report.frame_bytes_max - std::min(report.frame_bytes_max, overhead));
}

}  // namespace talaria::app
