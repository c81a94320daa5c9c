#include "dpdk-app/dpdk_device.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include <algorithm>
#include <array>

#include "core/base/check.h"
#include "core/net/ipv6.h"

namespace talaria::app {
namespace {

net::ChecksumVerdict verdict(uint64_t flags, uint64_t good, uint64_t bad) {
  // Good and bad are two bits; both together mean that there is no checksum, which is for the core to judge.
  const uint64_t said = flags & (good | bad);
  if (said == good) return net::ChecksumVerdict::good;
  return said == bad ? net::ChecksumVerdict::bad : net::ChecksumVerdict::unknown;
}

}  // namespace

// ---- in -------------------------------------------------------------------------------------------------------------

size_t DpdkDevice::receive(std::span<net::Packet> burst) {
  std::array<rte_mbuf*, net::burst_max> mbufs;
  const size_t wanted = std::min(burst.size(), mbufs.size());
  const size_t count = receive_mbufs({mbufs.data(), wanted});
  for (size_t i = 0; i < count; i++) burst[i] = to_packet(mbufs[i]);
  return count;
}

size_t DpdkDevice::receive_mbufs(std::span<rte_mbuf*> mbufs) {
  const auto wanted = static_cast<uint16_t>(std::min(mbufs.size(), net::burst_max));
  const size_t received = rte_eth_rx_burst(config_.port, config_.queue, mbufs.data(), wanted);
  if (received == 0) return 0;
  for (size_t i = 0; i < received; i++) rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void*));

  size_t kept = 0;
  uint64_t bytes = 0;
  for (size_t i = 0; i < received; i++) {
    rte_mbuf* mbuf = mbufs[i];
    bytes += mbuf->pkt_len;
    if (mbuf->nb_segs != 1 && !linearize(mbuf)) [[unlikely]]
      continue;
    mbufs[kept++] = mbuf;
  }
  counters_.packets_in.add(received);
  counters_.bytes_in.add(bytes);
  return kept;
}

// Buffers take any frame that the MTU allows, so a chain is rare, and one that does not fit is longer than allowed.
bool DpdkDevice::linearize(rte_mbuf* mbuf) {
  if (rte_pktmbuf_linearize(mbuf) == 0) return true;
  counters_.drop_long_frame.add();
  rte_pktmbuf_free(mbuf);
  return false;
}

net::Packet DpdkDevice::to_packet(rte_mbuf* mbuf) const {
  net::Packet packet;
  packet.data = rte_pktmbuf_mtod(mbuf, uint8_t*);
  packet.length = mbuf->data_len;
  packet.capacity = static_cast<uint16_t>(mbuf->buf_len - mbuf->data_off);
  packet.owner = mbuf;
  if (config_.trust_receive_ip_checksum)
    packet.ip_checksum = verdict(mbuf->ol_flags, RTE_MBUF_F_RX_IP_CKSUM_GOOD, RTE_MBUF_F_RX_IP_CKSUM_BAD);
  if (config_.trust_receive_tcp_checksum)
    packet.l4_checksum = verdict(mbuf->ol_flags, RTE_MBUF_F_RX_L4_CKSUM_GOOD, RTE_MBUF_F_RX_L4_CKSUM_BAD);
  return packet;
}

// ---- out ------------------------------------------------------------------------------------------------------------

net::Packet DpdkDevice::allocate() {
  rte_mbuf* mbuf = rte_pktmbuf_alloc(config_.transmit_pool);
  if (mbuf == nullptr) [[unlikely]] {
    counters_.no_transmit_packet.add();
    return {};
  }
  net::Packet packet;
  packet.data = rte_pktmbuf_mtod(mbuf, uint8_t*);
  packet.capacity = rte_pktmbuf_tailroom(mbuf);
  packet.owner = mbuf;
  return packet;
}

rte_mbuf* DpdkDevice::to_mbuf(const net::Packet& packet) {
  auto* mbuf = static_cast<rte_mbuf*>(packet.owner);
  const auto* buffer = static_cast<const uint8_t*>(mbuf->buf_addr);
  CHECK(packet.data >= buffer && packet.data + packet.length <= buffer + mbuf->buf_len);
  mbuf->data_off = static_cast<uint16_t>(packet.data - buffer);
  mbuf->data_len = packet.length;
  mbuf->pkt_len = packet.length;
  mbuf->ol_flags = 0;
  if (packet.offload_ip_checksum || packet.offload_l4_checksum) {
    mbuf->ol_flags = (packet.l3_length == net::ipv6_header_bytes ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4) |
                     (packet.offload_ip_checksum ? RTE_MBUF_F_TX_IP_CKSUM : 0) |
                     (packet.offload_l4_checksum ? RTE_MBUF_F_TX_TCP_CKSUM : 0);
    mbuf->tx_offload = 0;
    mbuf->l2_len = packet.l2_length & 0x7f;
    mbuf->l3_len = packet.l3_length & 0x1ff;
  }
  return mbuf;
}

size_t DpdkDevice::transmit(std::span<net::Packet> burst) {
  size_t taken = 0;
  while (taken < burst.size()) {
    std::array<rte_mbuf*, net::burst_max> mbufs;
    const size_t count = std::min(burst.size() - taken, mbufs.size());
    for (size_t i = 0; i < count; i++) mbufs[i] = to_mbuf(burst[taken + i]);
    const size_t sent = transmit_mbufs({mbufs.data(), count});
    taken += sent;
    if (sent < count) break;
  }
  return taken;
}

size_t DpdkDevice::transmit_mbufs(std::span<rte_mbuf*> mbufs) {
  const auto wanted = static_cast<uint16_t>(std::min(mbufs.size(), net::burst_max));
  uint16_t ready = wanted;
  if (config_.prepare_transmit) ready = rte_eth_tx_prepare(config_.port, config_.queue, mbufs.data(), wanted);
  uint64_t bytes = 0;
  std::array<uint32_t, net::burst_max> lengths;  // the driver may free a packet before it returns
  for (size_t i = 0; i < ready; i++) lengths[i] = mbufs[i]->pkt_len;
  size_t sent = ready == 0 ? 0 : rte_eth_tx_burst(config_.port, config_.queue, mbufs.data(), ready);
  for (size_t i = 0; i < sent; i++) bytes += lengths[i];
  counters_.packets_out.add(sent);
  counters_.bytes_out.add(bytes);
  if (sent < ready) counters_.transmit_full.add();
  if (sent == ready && ready < wanted) [[unlikely]] {
    // The next one can never be sent; offered again it would block all behind it.
    counters_.drop_unpreparable.add();
    rte_pktmbuf_free(mbufs[ready]);
    sent++;
  }
  return sent;
}

void DpdkDevice::release(net::Packet& packet) {
  rte_pktmbuf_free(static_cast<rte_mbuf*>(packet.owner));
  packet = {};
}

}  // namespace talaria::app
