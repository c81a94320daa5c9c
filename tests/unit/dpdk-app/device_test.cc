// Pools, device and spread on a port that is a ring: what is sent comes back. DPDK runs without huge pages, privileges
// and files.
#include <gtest/gtest.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <array>
#include <string>

#include "core/net/ethernet.h"
#include "core/net/ipv4.h"
#include "dpdk-app/dpdk_device.h"
#include "dpdk-app/dpdk_port.h"
#include "dpdk-app/eal.h"
#include "dpdk-app/packet_pool.h"
#include "dpdk-app/ring_device.h"
#include "dpdk-app/spread.h"

namespace talaria::app {
namespace {

constexpr size_t workers = 3;
constexpr base::HashKey key{7, 11};

class RingPort : public ::testing::Test {
 public:
  static void stop() {
    delete port_;
    delete eal_;
  }

 protected:
  static void SetUpTestSuite() {
    if (port_ != nullptr) return;  // DPDK starts once in a process
    Settings settings;
    settings.huge_pages = false;
    settings.ports[0].vdev = "net_ring0";
    settings.workers = workers;
    settings.memory_mib = 8;
    std::vector<std::string> arguments = eal_arguments(settings, {.control = first_core(), .workers = {}}, 128);
    arguments.push_back("--no-shconf");
    auto eal = Eal::start(arguments);
    ASSERT_TRUE(eal) << eal.error().reason;
    eal_ = new Eal(std::move(*eal));
    auto port = DpdkPort::open(settings, settings.ports[0], {.received = 64, .to_send = 64});
    ASSERT_TRUE(port) << port.error().reason;
    port_ = port->release();
    ASSERT_TRUE(port_->start());
  }
  static unsigned first_core() {
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    for (unsigned core = 0; core < CPU_SETSIZE; core++)
      if (CPU_ISSET(core, &set)) return core;
    return 0;
  }

  static DeviceConfig config(size_t worker) {
    return {.port = port_->id(), .transmit_pool = port_->transmit_pool(worker), .capabilities = port_->capabilities()};
  }
  static size_t free_in(size_t worker) { return rte_mempool_avail_count(port_->transmit_pool(worker)); }

  // A frame of one connection: `mark` is its source port and its last two bytes.
  static net::Packet frame(net::Device& device, uint16_t mark) {
    net::Packet packet = device.allocate();
    EXPECT_TRUE(packet);
    net::EthernetHeader ethernet;
    ethernet.type = net::ethertype_ipv4;
    net::emit_ethernet(ethernet, packet.data);
    net::Ipv4Header ip;
    ip.total_bytes = 46;
    ip.protocol = static_cast<uint8_t>(net::IpProtocol::tcp);
    ip.source = {0xc6120001};
    ip.destination = {0xc6120002};
    net::emit_ipv4(ip, packet.data + 14, true);
    std::fill_n(packet.data + 34, 26, uint8_t{0});
    base::store_be16(packet.data + 34, mark);
    base::store_be16(packet.data + 58, mark);
    packet.length = 60;
    return packet;
  }
  static uint16_t mark_of(const net::Packet& packet) { return base::load_be16(packet.data + 58); }

  static inline Eal* eal_ = nullptr;
  static inline DpdkPort* port_ = nullptr;
};

class StopAtTheEnd : public ::testing::Environment {
  void TearDown() override { RingPort::stop(); }
};
const auto* const stop_at_the_end = ::testing::AddGlobalTestEnvironment(new StopAtTheEnd);

TEST_F(RingPort, PoolsLeaveNoGaps) {
  rte_mempool* pool = make_packet_pool("gaps", 1023, 2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY, true);
  ASSERT_NE(pool, nullptr);
  ASSERT_EQ(pool->nb_mem_chunks, 1u);
  const size_t object = pool->header_size + pool->elt_size + pool->trailer_size;
  const auto* chunk = STAILQ_FIRST(&pool->mem_list);
  EXPECT_LT(chunk->len, 1023 * object + 4096) << "an AF_XDP port would lose the buffers behind the gaps";
  rte_mempool_free(pool);
}

TEST_F(RingPort, WhatIsSentArrives) {
  const size_t free = free_in(0);
  DpdkDevice device(config(0));
  EXPECT_EQ(device.capabilities().mtu, 1500);
  std::array<net::Packet, 3> out{frame(device, 1), frame(device, 2), frame(device, 3)};
  EXPECT_GE(out[0].capacity, 1500 + 18);
  ASSERT_EQ(device.transmit(out), 3u);

  std::array<net::Packet, 32> in;
  ASSERT_EQ(device.receive(in), 3u);
  for (uint16_t i = 0; i < 3; i++) {
    EXPECT_EQ(in[i].length, 60);
    EXPECT_EQ(mark_of(in[i]), i + 1);
    EXPECT_EQ(in[i].l4_checksum, net::ChecksumVerdict::unknown) << "the driver is not trusted";
    device.release(in[i]);
    EXPECT_FALSE(in[i]);
  }
  EXPECT_EQ(device.receive(in), 0u);
  EXPECT_EQ(device.counters().packets_in.value(), 3u);
  EXPECT_EQ(device.counters().bytes_out.value(), 180u);
  EXPECT_EQ(free_in(0), free) << "every packet is home";
}

TEST_F(RingPort, AnEmptyPoolIsCountedAndRecovers) {
  DpdkDevice device(config(1));
  const size_t all = free_in(1);
  std::vector<net::Packet> taken;
  for (net::Packet packet; (packet = device.allocate());) taken.push_back(packet);
  EXPECT_EQ(taken.size(), all);
  EXPECT_EQ(device.counters().no_transmit_packet.value(), 1u);
  for (net::Packet& packet : taken) device.release(packet);
  EXPECT_EQ(free_in(1), all);
  net::Packet packet = device.allocate();
  EXPECT_TRUE(packet);
  device.release(packet);
}

TEST_F(RingPort, AFullPortTakesAPartAndLosesNothing) {
  DpdkDevice device(config(0));
  std::vector<net::Packet> out;
  for (uint16_t i = 0; i < 1500; i++) out.push_back(frame(device, i));
  size_t sent = 0;
  while (sent < out.size()) {
    const size_t taken = device.transmit({out.data() + sent, out.size() - sent});
    sent += taken;
    if (taken == 0 || sent < out.size()) break;
  }
  ASSERT_LT(sent, out.size()) << "the ring is smaller than that";
  EXPECT_GE(device.counters().transmit_full.value(), 1u);

  // What was not taken is still ours, unharmed, and can be offered again.
  uint16_t expected = 0;
  std::array<net::Packet, 32> in;
  while (expected < out.size()) {
    const size_t received = device.receive(in);
    ASSERT_GT(received, 0u);
    for (size_t i = 0; i < received; i++) {
      ASSERT_EQ(mark_of(in[i]), expected++);
      device.release(in[i]);
    }
    sent += device.transmit({out.data() + sent, out.size() - sent});
  }
  EXPECT_EQ(device.receive(in), 0u);
}

class RingSpread : public RingPort {
 protected:
  RingSpread() {
    std::vector<SpreadLane*> pointers;
    for (size_t worker = 1; worker < workers; worker++) {
      lanes_.push_back(SpreadLane::make(worker, SOCKET_ID_ANY));
      pointers.push_back(lanes_.back().get());
    }
    trunk_ = std::make_unique<SpreadTrunk>(config(0), pointers, key);
    for (size_t worker = 1; worker < workers; worker++)
      branches_.push_back(std::make_unique<SpreadBranch>(config(worker), *pointers[worker - 1]));
  }
  net::Device& device(size_t worker) {
    return worker == 0 ? static_cast<net::Device&>(*trunk_) : *branches_[worker - 1];
  }
  // Marks received by a worker, all of them.
  std::vector<uint16_t> receive(size_t worker) {
    std::vector<uint16_t> marks;
    std::array<net::Packet, 32> in;
    while (const size_t count = device(worker).receive(in))
      for (size_t i = 0; i < count; i++) {
        marks.push_back(mark_of(in[i]));
        device(worker).release(in[i]);
      }
    return marks;
  }

  std::vector<std::unique_ptr<SpreadLane>> lanes_;
  std::unique_ptr<SpreadTrunk> trunk_;
  std::vector<std::unique_ptr<SpreadBranch>> branches_;
};

TEST_F(RingSpread, EveryWorkerGetsItsConnectionsInOrder) {
  constexpr uint16_t count = 300;
  std::array<std::vector<uint16_t>, workers> expected;
  for (uint16_t mark = 0; mark < count; mark++) {
    net::Packet packet = frame(device(0), mark);
    expected[spread_to(packet.bytes(), key, workers)].push_back(mark);
    ASSERT_EQ(device(0).transmit({&packet, 1}), 1u);
  }
  std::vector<uint16_t> own;
  for (int turn = 0; turn < 20; turn++) {  // a turn may find nothing of its own and still have carried
    const auto more = receive(0);
    own.insert(own.end(), more.begin(), more.end());
  }
  EXPECT_EQ(own, expected[0]);
  for (size_t worker = 1; worker < workers; worker++) {
    EXPECT_FALSE(expected[worker].empty());
    EXPECT_EQ(receive(worker), expected[worker]);
  }
  EXPECT_EQ(trunk_->carried(), expected[1].size() + expected[2].size());
  EXPECT_EQ(trunk_->counters().drop_spread_full.value(), 0u);
}

TEST_F(RingSpread, BranchesSendThroughTheTrunk) {
  std::vector<net::Packet> out;
  for (uint16_t mark = 0; mark < 50; mark++) out.push_back(frame(device(1), mark));
  ASSERT_EQ(device(1).transmit(out), 50u);
  std::array<std::vector<uint16_t>, workers> seen;
  for (int turn = 0; turn < 10; turn++)
    for (size_t worker = 0; worker < workers; worker++)
      for (uint16_t mark : receive(worker)) seen[worker].push_back(mark);
  EXPECT_EQ(seen[0].size() + seen[1].size() + seen[2].size(), 50u);
  EXPECT_EQ(trunk_->counters().packets_out.value(), 50u);
}

TEST_F(RingSpread, AFullRingToTheTrunkTakesAPart) {
  std::vector<net::Packet> out;
  for (uint16_t mark = 0; mark < 1200; mark++) out.push_back(frame(device(2), mark));
  const size_t taken = device(2).transmit(out);
  EXPECT_EQ(taken, spread_ring_packets - 1) << "a ring holds one less than its size";
  EXPECT_EQ(branches_[1]->counters().transmit_full.value(), 1u);
  for (size_t i = taken; i < out.size(); i++) device(2).release(out[i]);
  for (int turn = 0; turn < 60; turn++)
    for (size_t worker = 0; worker < workers; worker++) receive(worker);
  EXPECT_EQ(trunk_->counters().packets_out.value(), taken);
}

TEST_F(RingSpread, AWorkerThatDoesNotKeepUpLosesItsOwnPacketsOnly) {
  // The connection of mark m, for some m of worker 1.
  uint16_t mark = 0;
  for (bool found = false; !found; mark++) {
    net::Packet probe = frame(device(0), mark);
    found = spread_to(probe.bytes(), key, workers) == 1;
    device(0).release(probe);
    if (found) break;
  }
  constexpr size_t count = spread_ring_packets + 100;
  std::array<net::Packet, 32> in;
  for (size_t i = 0; i < count; i++) {
    net::Packet packet = frame(device(0), mark);
    ASSERT_EQ(device(0).transmit({&packet, 1}), 1u);
    ASSERT_EQ(device(0).receive(in), 0u);
  }
  EXPECT_EQ(trunk_->counters().drop_spread_full.value(), count - (spread_ring_packets - 1));
  EXPECT_EQ(receive(1).size(), spread_ring_packets - 1);
}

class Rings : public RingPort {
 protected:
  static constexpr uint32_t buffers = 256;
  Rings() {
    auto pair = RingPair::make("pair", {.mtu = 9000, .ring_packets = 128, .buffers = buffers});
    EXPECT_TRUE(pair.has_value());
    pair_ = std::move(*pair);
  }
  bool all_home() { return pair_->left().buffers_free() == buffers && pair_->right().buffers_free() == buffers; }

  std::unique_ptr<RingPair> pair_;
};

TEST_F(Rings, WhatIsSentArrivesAtTheOtherEndAndBuffersComeHome) {
  net::Device& left = pair_->left();
  net::Device& right = pair_->right();
  std::array<net::Packet, 32> in;
  // More often than there are buffers, either way.
  for (uint16_t mark = 0; mark < 3 * buffers; mark++) {
    net::Device& from = mark % 3 == 0 ? right : left;
    net::Device& to = mark % 3 == 0 ? left : right;
    net::Packet packet = frame(from, mark);
    EXPECT_GE(packet.capacity, 9018);
    ASSERT_EQ(from.transmit({&packet, 1}), 1u);
    ASSERT_EQ(to.receive(in), 1u);
    EXPECT_EQ(mark_of(in[0]), mark);
    EXPECT_EQ(in[0].length, 60);
    EXPECT_EQ(in[0].l4_checksum, net::ChecksumVerdict::good);
    to.release(in[0]);
    ASSERT_EQ(to.receive(in), 0u);  // and gives back
  }
  EXPECT_TRUE(all_home());
}

TEST_F(Rings, AFullRingTakesAPartAndAnEmptyPoolSaysSo) {
  net::Device& left = pair_->left();
  std::vector<net::Packet> out;
  for (uint16_t mark = 0; mark < buffers; mark++) out.push_back(frame(left, mark));
  EXPECT_FALSE(left.allocate()) << "all are taken";
  const size_t taken = left.transmit(out);
  EXPECT_EQ(taken, 127u) << "a ring holds one less than its size";
  for (size_t i = taken; i < out.size(); i++) left.release(out[i]);
  std::array<net::Packet, 32> in;
  uint16_t expected = 0;
  while (const size_t count = pair_->right().receive(in))
    for (size_t i = 0; i < count; i++) {
      EXPECT_EQ(mark_of(in[i]), expected++);
      pair_->right().release(in[i]);
    }
  EXPECT_EQ(expected, taken);
  EXPECT_TRUE(all_home());
}

TEST_F(Rings, WhatCameMayBeSentBack) {
  net::Packet packet = frame(pair_->left(), 7);
  ASSERT_EQ(pair_->left().transmit({&packet, 1}), 1u);
  std::array<net::Packet, 32> in;
  ASSERT_EQ(pair_->right().receive(in), 1u);
  ASSERT_EQ(pair_->right().transmit({in.data(), 1}), 1u);
  ASSERT_EQ(pair_->left().receive(in), 1u);
  EXPECT_EQ(mark_of(in[0]), 7);
  pair_->left().release(in[0]);
  EXPECT_TRUE(all_home());
}

}  // namespace
}  // namespace talaria::app
