#include "dpdk-app/spread.h"

#include <rte_mbuf.h>
#include <rte_prefetch.h>
#include <rte_ring.h>

#include <algorithm>
#include <string>

#include "core/net/ethernet.h"
#include "core/net/ipv4.h"
#include "core/net/ipv6.h"

namespace talaria::app {

namespace {

// The high half, multiplied: even for every number of workers, and no division.
size_t share_of(uint64_t hash, size_t workers) { return static_cast<size_t>(((hash >> 32) * workers) >> 32); }

size_t spread_ipv6(base::Bytes packet, base::HashKey key, size_t workers) {
  const auto ip = net::parse_ipv6(packet);
  if (!ip) return 0;
  const auto payload = net::skip_extensions(*ip, packet.first(net::ipv6_header_bytes + ip->payload_bytes));
  if (!payload || payload->fragment || payload->protocol != static_cast<uint8_t>(net::IpProtocol::tcp)) return 0;
  constexpr size_t ports_bytes = 4;
  if (payload->bytes.size() < ports_bytes) return 0;
  std::array<uint8_t, 2 * net::ipv6_address_bytes + ports_bytes> connection;
  net::store_ipv6_address(connection.data(), ip->source);
  net::store_ipv6_address(connection.data() + net::ipv6_address_bytes, ip->destination);
  std::copy_n(payload->bytes.data(), ports_bytes, connection.data() + 2 * net::ipv6_address_bytes);
  return share_of(base::siphash24(key, connection), workers);
}

}  // namespace

size_t spread_to(base::Bytes frame, base::HashKey key, size_t workers) {
  const auto ethernet = net::parse_ethernet(frame);
  if (!ethernet) return 0;
  const base::Bytes packet = frame.subspan(ethernet->bytes);
  if (ethernet->type == net::ethertype_ipv6) return spread_ipv6(packet, key, workers);
  if (ethernet->type != net::ethertype_ipv4) return 0;
  const auto ip = net::parse_ipv4(packet);
  if (!ip || ip->is_fragment() || ip->protocol != static_cast<uint8_t>(net::IpProtocol::tcp)) return 0;
  constexpr size_t ports_bytes = 4;
  if (packet.size() < ip->header_bytes + ports_bytes) return 0;

  std::array<uint8_t, 12> connection;  // source address, destination address, source port, destination port
  base::store_be32(connection.data(), ip->source.value);
  base::store_be32(connection.data() + 4, ip->destination.value);
  std::copy_n(packet.data() + ip->header_bytes, ports_bytes, connection.data() + 8);
  return share_of(base::siphash24(key, connection), workers);
}

// ---- the rings ------------------------------------------------------------------------------------------------------

std::unique_ptr<SpreadLane> SpreadLane::make(size_t worker, int numa_node) {
  std::unique_ptr<SpreadLane> lane(new SpreadLane());
  const std::string number = std::to_string(worker);
  constexpr unsigned flags = RING_F_SP_ENQ | RING_F_SC_DEQ;
  lane->to_branch = rte_ring_create(("to_branch_" + number).c_str(), spread_ring_packets, numa_node, flags);
  lane->to_trunk = rte_ring_create(("to_trunk_" + number).c_str(), spread_ring_packets, numa_node, flags);
  if (lane->to_branch == nullptr || lane->to_trunk == nullptr) return nullptr;
  return lane;
}

SpreadLane::~SpreadLane() {
  for (rte_ring* ring : {to_branch, to_trunk}) {
    if (ring == nullptr) continue;
    void* mbuf;
    while (rte_ring_dequeue(ring, &mbuf) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(mbuf));
    rte_ring_free(ring);
  }
}

// ---- branch ---------------------------------------------------------------------------------------------------------

size_t SpreadBranch::receive(std::span<net::Packet> burst) {
  std::array<rte_mbuf*, net::burst_max> mbufs;
  const auto wanted = static_cast<unsigned>(std::min(burst.size(), mbufs.size()));
  const unsigned count =
      rte_ring_dequeue_burst(lane_.to_branch, reinterpret_cast<void**>(mbufs.data()), wanted, nullptr);
  if (count == 0) return 0;
  uint64_t bytes = 0;
  for (unsigned i = 0; i < count; i++) rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void*));
  for (unsigned i = 0; i < count; i++) {
    bytes += mbufs[i]->pkt_len;
    burst[i] = buffers_.to_packet(mbufs[i]);
  }
  buffers_.counters().packets_in.add(count);
  buffers_.counters().bytes_in.add(bytes);
  return count;
}

size_t SpreadBranch::transmit(std::span<net::Packet> burst) {
  DeviceCounters& counters = buffers_.counters();
  size_t taken = 0;
  while (taken < burst.size()) {
    std::array<void*, net::burst_max> mbufs;
    const size_t count = std::min(burst.size() - taken, mbufs.size());
    for (size_t i = 0; i < count; i++) mbufs[i] = DpdkDevice::to_mbuf(burst[taken + i]);
    const unsigned sent = rte_ring_enqueue_burst(lane_.to_trunk, mbufs.data(), static_cast<unsigned>(count), nullptr);
    for (size_t i = 0; i < sent; i++) counters.bytes_out.add(burst[taken + i].length);
    counters.packets_out.add(sent);
    taken += sent;
    if (sent < count) {
      counters.transmit_full.add();
      break;
    }
  }
  return taken;
}

// ---- trunk ----------------------------------------------------------------------------------------------------------

SpreadTrunk::SpreadTrunk(const DeviceConfig& config, std::vector<SpreadLane*> lanes, base::HashKey key)
    : port_(config), key_(key), branches_(lanes.size()) {
  for (size_t i = 0; i < lanes.size(); i++) branches_[i].lane = lanes[i];
}

SpreadTrunk::~SpreadTrunk() {
  for (Branch& branch : branches_)
    for (size_t i = 0; i < branch.unsent_count; i++) rte_pktmbuf_free(branch.unsent[branch.unsent_first + i]);
}

size_t SpreadTrunk::receive(std::span<net::Packet> burst) {
  for (Branch& branch : branches_) send_for(branch);

  std::array<rte_mbuf*, net::burst_max> mbufs;
  const size_t count = port_.receive_mbufs({mbufs.data(), std::min(burst.size(), mbufs.size())});
  if (count == 0) return 0;
  size_t own = 0;
  for (size_t i = 0; i < count; i++) {
    const base::Bytes frame{rte_pktmbuf_mtod(mbufs[i], const uint8_t*), mbufs[i]->data_len};
    const size_t worker = spread_to(frame, key_, branches_.size() + 1);
    if (worker == 0) {
      burst[own++] = port_.to_packet(mbufs[i]);
    } else {
      Branch& branch = branches_[worker - 1];
      branch.arrived[branch.arrived_count++] = mbufs[i];
    }
  }
  if (own != count)
    for (Branch& branch : branches_) hand_over(branch);
  return own;
}

bool SpreadTrunk::pass_on(net::Packet& packet) {
  const size_t worker = spread_to(packet.bytes(), key_, branches_.size() + 1);
  if (worker == 0) return false;
  Branch& branch = branches_[worker - 1];
  branch.arrived[branch.arrived_count++] = DpdkDevice::to_mbuf(packet);
  packet = {};
  hand_over(branch);
  return true;
}

// One burst a turn, and none before the last one is out.
void SpreadTrunk::send_for(Branch& branch) {
  if (branch.unsent_count == 0) {
    branch.unsent_first = 0;
    branch.unsent_count = rte_ring_dequeue_burst(branch.lane->to_trunk, reinterpret_cast<void**>(branch.unsent.data()),
                                                 static_cast<unsigned>(branch.unsent.size()), nullptr);
    if (branch.unsent_count == 0) return;
  }
  const size_t sent = port_.transmit_mbufs({branch.unsent.data() + branch.unsent_first, branch.unsent_count});
  branch.unsent_first += sent;
  branch.unsent_count -= sent;
  port_.counters().carried.add(sent);
}

bool SpreadTrunk::has_unsent() const {
  return std::any_of(branches_.begin(), branches_.end(), [](const Branch& branch) { return branch.unsent_count != 0; });
}

void SpreadTrunk::hand_over(Branch& branch) {
  if (branch.arrived_count == 0) return;
  const size_t taken = rte_ring_enqueue_burst(branch.lane->to_branch, reinterpret_cast<void**>(branch.arrived.data()),
                                              static_cast<unsigned>(branch.arrived_count), nullptr);
  for (size_t i = taken; i < branch.arrived_count; i++) rte_pktmbuf_free(branch.arrived[i]);
  port_.counters().drop_spread_full.add(branch.arrived_count - taken);
  port_.counters().carried.add(branch.arrived_count);
  branch.arrived_count = 0;
}

}  // namespace talaria::app
