#include "dpdk-app/ring_device.h"

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_prefetch.h>
#include <rte_ring.h>

#include <algorithm>
#include <array>
#include <bit>

#include "core/base/check.h"
#include "dpdk-app/packet_pool.h"

namespace talaria::app {
namespace {

constexpr uint32_t frame_overhead = 18;  // Ethernet header and VLAN tag

uint32_t pool_packets(const RingPairConfig& config) {
  return std::bit_ceil(config.ring_packets + config.held_packets + 2 * packet_cache) - 1;
}
uint32_t buffer_bytes(const RingPairConfig& config) {
  return (config.mtu + frame_overhead + 63) / 64 * 64 + RTE_PKTMBUF_HEADROOM;
}

}  // namespace

size_t RingDevice::receive(std::span<net::Packet> burst) {
  std::array<void*, net::burst_max> mbufs;
  const auto wanted = static_cast<unsigned>(std::min(burst.size(), mbufs.size()));
  const unsigned count = rte_ring_sc_dequeue_burst(config_.in, mbufs.data(), wanted, nullptr);
  for (unsigned i = 0; i < count; i++) {
    auto* mbuf = static_cast<rte_mbuf*>(mbufs[i]);
    rte_prefetch0(mbuf);
    rte_prefetch0(static_cast<uint8_t*>(mbuf->buf_addr) + RTE_PKTMBUF_HEADROOM);
  }
  const auto verdict = config_.trusts_checksums ? net::ChecksumVerdict::good : net::ChecksumVerdict::unknown;
  for (unsigned i = 0; i < count; i++) {
    auto* mbuf = static_cast<rte_mbuf*>(mbufs[i]);
    burst[i] = {.data = rte_pktmbuf_mtod(mbuf, uint8_t*),
                .length = mbuf->data_len,
                .capacity = static_cast<uint16_t>(mbuf->buf_len - mbuf->data_off),
                .ip_checksum = verdict,
                .l4_checksum = verdict,
                .owner = mbuf};
  }
  return count;
}

net::Packet RingDevice::allocate() {
  rte_mbuf* mbuf = rte_pktmbuf_alloc(config_.pool);
  if (mbuf == nullptr) [[unlikely]]
    return {};
  net::Packet packet;
  packet.data = rte_pktmbuf_mtod(mbuf, uint8_t*);
  packet.capacity = rte_pktmbuf_tailroom(mbuf);
  packet.owner = mbuf;
  return packet;
}

size_t RingDevice::transmit(std::span<net::Packet> burst) {
  size_t taken = 0;
  while (taken < burst.size()) {
    std::array<void*, net::burst_max> mbufs;
    const size_t count = std::min(burst.size() - taken, mbufs.size());
    for (size_t i = 0; i < count; i++) {
      const net::Packet& packet = burst[taken + i];
      auto* mbuf = static_cast<rte_mbuf*>(packet.owner);
      mbuf->data_off = static_cast<uint16_t>(packet.data - static_cast<uint8_t*>(mbuf->buf_addr));
      mbuf->data_len = packet.length;
      mbuf->pkt_len = packet.length;
      mbufs[i] = mbuf;
    }
    const unsigned sent = rte_ring_sp_enqueue_burst(config_.out, mbufs.data(), static_cast<unsigned>(count), nullptr);
    taken += sent;
    if (sent < count) break;
  }
  return taken;
}

void RingDevice::release(net::Packet& packet) {
  rte_pktmbuf_free_seg(static_cast<rte_mbuf*>(packet.owner));
  packet = {};
}

// ---- both ends ------------------------------------------------------------------------------------------------------

size_t RingPair::memory_mib(const RingPairConfig& config) {
  const size_t packet = sizeof(rte_mbuf) + buffer_bytes(config) + 192;
  return 8 + 2 * pool_packets(config) * packet / (1024 * 1024);
}

std::expected<std::unique_ptr<RingPair>, Failure> RingPair::make(const std::string& name,
                                                                 const RingPairConfig& config) {
  if (buffer_bytes(config) > UINT16_MAX)
    return std::unexpected(
        Failure{exit_settings, "--mtu " + std::to_string(config.mtu) + " is more than fits a packet"});
  std::unique_ptr<RingPair> pair(new RingPair());
  for (int side = 0; side < 2; side++) {
    const std::string side_name = name + (side == 0 ? "_left" : "_right");
    pair->rings_[side] =
        rte_ring_create(side_name.c_str(), config.ring_packets, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    pair->pools_[side] = make_packet_pool(side_name, pool_packets(config), static_cast<uint16_t>(buffer_bytes(config)),
                                          SOCKET_ID_ANY, false);
    if (pair->rings_[side] == nullptr || pair->pools_[side] == nullptr)
      return std::unexpected(Failure{exit_memory, "there is no memory for two rings of packets of " +
                                                      std::to_string(config.mtu) +
                                                      " bytes: " + rte_strerror(rte_errno)});
  }
  for (int side = 0; side < 2; side++) {
    RingDevice::Config device{.trusts_checksums = !config.checksums,
                              .in = pair->rings_[1 - side],
                              .out = pair->rings_[side],
                              .pool = pair->pools_[side]};
    device.capabilities.mac = {2, 0, 0, 0, 0, static_cast<uint8_t>(side + 1)};
    device.capabilities.mtu = config.mtu;
    device.capabilities.transmit_ip_checksum = !config.checksums;
    device.capabilities.transmit_l4_checksum = !config.checksums;
    (side == 0 ? pair->left_ : pair->right_) = std::make_unique<RingDevice>(device);
  }
  return pair;
}

RingPair::~RingPair() {
  for (rte_ring* ring : rings_) {
    if (ring == nullptr) continue;
    for (void* mbuf; rte_ring_sc_dequeue(ring, &mbuf) == 0;) rte_pktmbuf_free(static_cast<rte_mbuf*>(mbuf));
    rte_ring_free(ring);
  }
  for (rte_mempool* pool : pools_)
    if (pool != nullptr) rte_mempool_free(pool);
}

}  // namespace talaria::app
