// What is decided before a port is touched: EAL's arguments, offloads, buffers.
#include <gtest/gtest.h>
#include <rte_ethdev.h>

#include "dpdk-app/dpdk_port.h"
#include "dpdk-app/driver_facts.h"
#include "dpdk-app/eal.h"

namespace talaria::app {
namespace {

bool has(const std::vector<std::string>& arguments, const std::string& argument) {
  return std::find(arguments.begin(), arguments.end(), argument) != arguments.end();
}
std::string behind(const std::vector<std::string>& arguments, const std::string& argument) {
  auto at = std::find(arguments.begin(), arguments.end(), argument);
  return at == arguments.end() || at + 1 == arguments.end() ? "" : *(at + 1);
}

TEST(EalArguments, NoHugeExcludesInMemory) {
  Settings settings;
  const CorePlan plan{.control = 0, .workers = {1}};
  auto arguments = eal_arguments(settings, plan, 100);
  EXPECT_TRUE(has(arguments, "--in-memory"));
  EXPECT_FALSE(has(arguments, "--no-huge"));
  EXPECT_FALSE(has(arguments, "-m"));
  settings.huge_pages = false;
  arguments = eal_arguments(settings, plan, 100);
  EXPECT_FALSE(has(arguments, "--in-memory"));
  EXPECT_TRUE(has(arguments, "--no-huge"));
  EXPECT_EQ(behind(arguments, "-m"), "100");
}

TEST(EalArguments, WorkersAreLcoresAndMayShareCores) {
  const auto arguments = eal_arguments({}, {.control = 3, .workers = {1, 2, 1}}, 100);
  EXPECT_EQ(behind(arguments, "--lcores"), "0@3,1@1,2@2,3@1");
  EXPECT_EQ(behind(arguments, "--main-lcore"), "0");
}

TEST(EalArguments, PciIsLookedAtOnlyForPciPorts) {
  Settings settings;
  EXPECT_TRUE(has(eal_arguments(settings, {.control = 0, .workers = {1}}, 1), "--no-pci"));
  settings.ports[0].pci_port = "0000:01:00.0";
  settings.eal_arguments = {"--iova-mode=va"};
  const auto arguments = eal_arguments(settings, {.control = 0, .workers = {1}}, 1);
  EXPECT_FALSE(has(arguments, "--no-pci"));
  EXPECT_EQ(behind(arguments, "-a"), "0000:01:00.0");
  EXPECT_EQ(arguments.back(), "--iova-mode=va");
}

constexpr uint64_t all_receive = ~uint64_t{0};
constexpr uint64_t all_transmit = ~uint64_t{0};

TEST(Negotiate, OffloadsAreWhatIsOfferedAndTrusted) {
  PortReport report{.driver = "net_ice",
                    .receive_offloads = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_LRO,
                    .transmit_offloads = RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO};
  const Agreement agreed = negotiate(report, 1);
  EXPECT_EQ(agreed.receive_offloads, RTE_ETH_RX_OFFLOAD_IPV4_CKSUM);
  EXPECT_EQ(agreed.transmit_offloads, RTE_ETH_TX_OFFLOAD_TCP_CKSUM);
  EXPECT_TRUE(agreed.receive_ip_checksum);
  EXPECT_FALSE(agreed.receive_tcp_checksum);
  EXPECT_FALSE(agreed.transmit_ip_checksum);
  EXPECT_TRUE(agreed.transmit_tcp_checksum);
}

TEST(Negotiate, NothingIsTakenFromDriversThatAreNotKnown) {
  for (const char* driver : {"net_tap", "net_virtio", "net_vhost", "net_somebody"}) {
    const Agreement agreed = negotiate({.driver = driver,
                                        .receive_offloads = all_receive,
                                        .transmit_offloads = all_transmit,
                                        .rss_types = ~uint64_t{0},
                                        .receive_queues_max = 16,
                                        .transmit_queues_max = 16},
                                       4);
    EXPECT_EQ(agreed.receive_offloads, 0u) << driver;
    EXPECT_EQ(agreed.transmit_offloads, 0u) << driver;
    EXPECT_EQ(agreed.queues, 1) << driver;
    EXPECT_EQ(agreed.rss_types, 0u) << driver;
  }
}

TEST(Negotiate, MbufFastFreeIsNeverAskedFor) {
  const Agreement agreed = negotiate({.driver = "mlx5_pci", .transmit_offloads = all_transmit}, 1);
  EXPECT_EQ(agreed.transmit_offloads & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE, 0u);
}

TEST(Negotiate, QueuesForAllWorkersOrOne) {
  PortReport report{.driver = "net_i40e",
                    .rss_types = RTE_ETH_RSS_NONFRAG_IPV4_TCP,
                    .receive_queues_max = 4,
                    .transmit_queues_max = 4};
  EXPECT_EQ(negotiate(report, 4).queues, 4);
  EXPECT_EQ(negotiate(report, 4).rss_types, RTE_ETH_RSS_NONFRAG_IPV4_TCP);
  EXPECT_EQ(negotiate(report, 5).queues, 1) << "too few queues";
  EXPECT_EQ(negotiate(report, 1).rss_types, 0u) << "nothing to spread";
  report.rss_types = RTE_ETH_RSS_IPV4;
  EXPECT_EQ(negotiate(report, 4).queues, 1) << "it would not tell connections apart";
}

// As the drivers of DPDK 22.11 report themselves.
constexpr PortReport tap{.driver = "net_tap", .frame_bytes_max = 1522, .mtu_max = 65535};
constexpr PortReport af_packet{.driver = "net_af_packet", .frame_bytes_max = 1518, .mtu_max = 65535};
constexpr PortReport af_xdp{.driver = "net_af_xdp", .frame_bytes_max = 3560, .mtu_max = 3542};
constexpr PortReport ixgbe{.driver = "net_ixgbe", .frame_bytes_max = 15872, .mtu_max = 15854};

TEST(UsableMtu, IsWhatOneBufferAndOneFrameTake) {
  EXPECT_EQ(usable_mtu(tap), 1504u);
  EXPECT_EQ(usable_mtu(af_xdp), 3438u) << "measured: more does not fit its page";
  EXPECT_GE(usable_mtu(af_packet), 9000u);
  EXPECT_EQ(usable_mtu(ixgbe), 15854u);
}

TEST(UsableMtu, EveryBufferTakesItsFrame) {
  for (const PortReport& report : {tap, af_packet, af_xdp, ixgbe}) {
    const DriverFacts facts = facts_of(report.driver);
    for (uint32_t mtu = 68; mtu <= usable_mtu(report); mtu += 7) {
      const uint32_t bytes = buffer_bytes(facts, static_cast<uint16_t>(mtu));
      EXPECT_GE(bytes, mtu + 18 + facts.buffer_overhead) << report.driver;
      EXPECT_LE(bytes, std::max(2048u, facts.buffer_bytes_max)) << report.driver;
      EXPECT_LE(bytes + RTE_PKTMBUF_HEADROOM, 65535u) << report.driver;
    }
  }
}

TEST(CompleteVdev, AddsWhatNobodySaid) {
  EXPECT_EQ(complete_vdev("net_tap0,iface=t0", 1500), "net_tap0,iface=t0");
  EXPECT_EQ(complete_vdev("net_af_xdp0,iface=t0", 1500), "net_af_xdp0,iface=t0,busy_budget=0");
  EXPECT_EQ(complete_vdev("net_af_xdp0,iface=t0,busy_budget=64", 1500), "net_af_xdp0,iface=t0,busy_budget=64");
  EXPECT_EQ(complete_vdev("net_af_packet0,iface=t0", 1500), "net_af_packet0,iface=t0");
  EXPECT_EQ(complete_vdev("net_af_packet0,iface=t0", 9000), "net_af_packet0,iface=t0,framesz=12288,blocksz=12288");
}

TEST(PacketMemory, GrowsWithWorkersAndMtu) {
  Settings settings;
  const PacketNeeds needs{.received = 1400, .to_send = 1280};
  const size_t one = packet_memory_mib(settings, needs);
  EXPECT_LT(one, 256u) << "the lab runs many";
  settings.workers = 4;
  const size_t four = packet_memory_mib(settings, needs);
  EXPECT_GT(four, one);
  settings.ports[0].mtu = 9000;
  EXPECT_GT(packet_memory_mib(settings, needs), four);
}

}  // namespace
}  // namespace talaria::app
