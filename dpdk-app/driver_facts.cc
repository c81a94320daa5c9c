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

constexpr DriverFacts physical{.checksums_work = true, .rss_works = true, .signal = SignalKind::interrupt};

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
    Entry{"net_tap", {.address_is_the_peers = true, .signal = SignalKind::device}},
    // A fill ring; 256 bytes before each frame are the kernel's; a buffer with all its headers may not be larger than a
    // page (4096 - 384, and 64 are a pool's to round up).
    Entry{"net_af_xdp",
          {.pool_is_one_array = true,
           .extra_buffers = 4096,
           .buffer_granularity = 64,
           .buffer_bytes_max = 3712,
           .buffer_overhead = 256,
           .signal = SignalKind::socket}},
    // Its ring's slots are whole pages with a header (complete_vdev), and a buffer must take a whole slot.
    Entry{"net_af_packet",
          {.frame_limit_is_kernels = true,
           .buffer_granularity = 4096,
           .buffer_bytes_max = 60 * 1024,
           .buffer_overhead = 128,
           .signal = SignalKind::socket}},
};

constexpr uint32_t buffer_bytes_min = 2048;  // what every driver takes for granted
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
    // Of IPv6 only TCP: Neighbour Discovery is for the first worker.
    agreed.rss_types = report.rss_types & (RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_FRAG_IPV4 |
                                           RTE_ETH_RSS_NONFRAG_IPV6_TCP);
  }
  return agreed;
}

uint32_t buffer_bytes(const DriverFacts& facts, uint16_t mtu) {
  const uint32_t needed = mtu + frame_overhead + facts.buffer_overhead;
  if (needed <= buffer_bytes_min) return buffer_bytes_min;
  return (needed + facts.buffer_granularity - 1) / facts.buffer_granularity * facts.buffer_granularity;
}

uint32_t usable_mtu(const PortReport& report) {
  const DriverFacts facts = facts_of(report.driver);
  uint32_t mtu = facts.buffer_bytes_max - frame_overhead - facts.buffer_overhead;
  if (facts.frame_limit_is_kernels) return mtu;
  mtu = std::min(mtu, report.mtu_max);
  // As ethdev itself counts: without a real limit of the MTU, the overhead is the header and the frame check sequence.
  const bool real_mtu_max = report.mtu_max != UINT16_MAX && report.mtu_max < report.frame_bytes_max;
  const uint32_t overhead =
      real_mtu_max ? report.frame_bytes_max - report.mtu_max : RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
  return std::min(mtu, report.frame_bytes_max - std::min(report.frame_bytes_max, overhead));
}

}  // namespace talaria::app
