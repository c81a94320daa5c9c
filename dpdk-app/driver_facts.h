// What is known of DPDK's drivers beyond what they report, and what is negotiated with a port from both. Pure.
//
// A driver that is not listed gets nothing on trust: its receive checksums are verified in software, ours are computed
// in software, and it is used with one queue. A driver comes on the list when that was seen to work.
#pragma once

#include <cstdint>
#include <string_view>

namespace talaria::app {

// By what a worker that sleeps hears of a packet (packet_signal.h).
enum class SignalKind : uint8_t { none, device, socket, interrupt };

struct DriverFacts {
  // The verdicts of received checksums are right, and offloaded checksums leave right. (net_tap 22.11 offers both; what
  // it sends is wrong for frames in odd pieces.)
  bool checksums_work = false;
  // It spreads TCP connections over its receive queues. (virtio takes the configuration and ignores it.)
  bool rss_works = false;
  // Its largest frame, as reported, says nothing; the kernel's interface behind it decides.
  bool frame_limit_is_kernels = false;
  // The address it reports is the one of the kernel's interface on the other side, and it does not filter by it.
  bool address_is_the_peers = false;
  // It takes a pool for one array of buffers without gaps (and trips over those that are not where it thinks).
  bool pool_is_one_array = false;
  // Buffers it keeps for itself beyond the receive ring.
  uint32_t extra_buffers = 0;
  // Its buffers' data bytes come in multiples of this. Physical ports count whole KiB.
  uint32_t buffer_granularity = 1024;
  // And are at most these: a buffer's length is a 16-bit number, headroom (128) included.
  uint32_t buffer_bytes_max = 63 * 1024;
  // What a frame takes in its buffer beyond its own bytes.
  uint32_t buffer_overhead = 0;
  SignalKind signal = SignalKind::none;
};

DriverFacts facts_of(std::string_view driver);

// What the port reports (rte_eth_dev_info), as far as it matters here.
struct PortReport {
  std::string_view driver;
  uint64_t receive_offloads = 0;   // RTE_ETH_RX_OFFLOAD_*
  uint64_t transmit_offloads = 0;  // RTE_ETH_TX_OFFLOAD_*
  uint64_t rss_types = 0;          // RTE_ETH_RSS_*
  uint32_t receive_queues_max = 1;
  uint32_t transmit_queues_max = 1;
  uint32_t frame_bytes_max = 0;
  uint32_t mtu_max = 0;
};
struct Agreement {
  uint64_t receive_offloads = 0;
  uint64_t transmit_offloads = 0;
  uint64_t rss_types = 0;  // 0: no RSS
  uint16_t queues = 1;     // of each direction; 1 or one a worker
  bool receive_ip_checksum = false;
  bool receive_tcp_checksum = false;
  bool transmit_ip_checksum = false;
  bool transmit_tcp_checksum = false;
};
Agreement negotiate(const PortReport& report, uint16_t workers);

// Data bytes of a buffer that takes the largest frame of this MTU in one piece.
uint32_t buffer_bytes(const DriverFacts& facts, uint16_t mtu);

// The largest MTU the port can be used with, every frame in one buffer.
uint32_t usable_mtu(const PortReport& report);

}  // namespace talaria::app
