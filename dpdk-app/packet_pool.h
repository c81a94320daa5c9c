// Pools of packet buffers. Main thread only; packets come out of them and go back on any lcore.
#pragma once

#include <cstdint>
#include <string>

struct rte_mempool;

namespace talaria::app {

inline constexpr uint32_t packet_cache = 256;  // packets that each lcore keeps at hand, of each pool

// rte_pktmbuf_pool_create, but for one flag. DPDK leaves a gap before every page boundary, so that a buffer lies in one
// physical piece: with 4 KiB pages (--no-huge) that is nearly half of the memory. And net_af_xdp 22.11 takes its pool
// for one array without gaps, hands the kernel only the first part of it, and loses what lies in the rest, silently.
// Where addresses are virtual ones there is no need for gaps.
//
// `buffer`: bytes of a buffer, headroom included. `one_array`: no gaps whatever the addresses are, and one piece of
// memory or none at all. nullptr and rte_errno if there is no memory.
rte_mempool* make_packet_pool(const std::string& name, uint32_t packets, uint16_t buffer, int numa_node,
                              bool one_array);

}  // namespace talaria::app
