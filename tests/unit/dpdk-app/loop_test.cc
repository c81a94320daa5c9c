// The clock, the idle policy, and who gets which frame.
#include <gtest/gtest.h>

#include <array>
#include <set>

#include "core/net/ethernet.h"
#include "core/net/ipv4.h"
#include "dpdk-app/idle.h"
#include "dpdk-app/spread.h"
#include "dpdk-app/tsc_clock.h"

namespace talaria::app {
namespace {

using base::operator""ns;
using base::operator""us;
using base::operator""s;

TEST(TscClock, ScalesWithoutOverflowForYears) {
  TscClock clock;  // begins at cycle 0
  clock.set_rate(2'596'128'157, 1'000'000'000);
  EXPECT_EQ(clock.frequency(), 2'596'128'157u);
  EXPECT_EQ(clock.to_time(0).time_since_epoch(), 0ns);
  const auto one_second = clock.to_time(2'596'128'157).time_since_epoch();
  EXPECT_NEAR(static_cast<double>(one_second.count()), 1e9, 1e3);
  constexpr uint64_t ten_years = 10ull * 365 * 24 * 3600;
  const auto later = clock.to_time(2'596'128'157 * ten_years).time_since_epoch();
  EXPECT_NEAR(static_cast<double>(later.count()) / 1e9, static_cast<double>(ten_years),
              static_cast<double>(ten_years) * 1e-6);
}

TEST(TscClock, AgreesWithTheKernels) {
  TscClock clock = TscClock::start();
  clock.calibrate();
  timespec first{}, second{};
  clock_gettime(CLOCK_MONOTONIC_RAW, &first);
  const base::Time begin = clock.now();
  const timespec pause{0, 20'000'000};
  nanosleep(&pause, nullptr);
  const base::Time end = clock.now();
  clock_gettime(CLOCK_MONOTONIC_RAW, &second);
  const double kernels =
      static_cast<double>(second.tv_sec - first.tv_sec) * 1e9 + static_cast<double>(second.tv_nsec - first.tv_nsec);
  const auto ours = static_cast<double>((end - begin).count());
  EXPECT_GE(ours, 19.9e6);
  EXPECT_LE(ours, kernels * 1.001);
}

TEST(Idle, SpinningNeverStops) {
  IdlePolicy idle(false);
  for (int turn = 0; turn < 10'000; turn++) ASSERT_EQ(idle.on_idle(), IdleStep::nothing);
}

TEST(Idle, AdaptiveSpinsThenPausesThenSleepsUntilThereIsWork) {
  IdlePolicy idle(true);
  std::array<uint32_t, 3> steps{};
  for (uint32_t turn = 0; turn < 1000; turn++) steps[static_cast<size_t>(idle.on_idle())]++;
  EXPECT_EQ(steps[0], IdlePolicy::turns_before_pause - 1);
  EXPECT_EQ(steps[1], IdlePolicy::turns_before_sleep - IdlePolicy::turns_before_pause);
  EXPECT_EQ(steps[2], 1000 - IdlePolicy::turns_before_sleep + 1);
  idle.on_busy();
  EXPECT_EQ(idle.on_idle(), IdleStep::nothing);
}

TEST(Idle, SleepsEndBeforeTheDeadline) {
  const base::Time now{100s};
  EXPECT_EQ(IdlePolicy::sleep_for(now, base::never), IdlePolicy::sleep_max);
  EXPECT_EQ(IdlePolicy::sleep_for(now, now + 20us), 20us);
  EXPECT_EQ(IdlePolicy::sleep_for(now, now + 1us), 0ns) << "not worth it";
  EXPECT_EQ(IdlePolicy::sleep_for(now, now), 0ns);
  EXPECT_EQ(IdlePolicy::sleep_for(now, base::Time{}), 0ns) << "work is left over";
}

// ---- spread ---------------------------------------------------------------------------------------------------------

struct Frame {
  uint32_t source = 0xc6120001;
  uint16_t source_port = 40000;
  net::IpProtocol protocol = net::IpProtocol::tcp;
  std::optional<uint16_t> vlan = {};
  bool more_fragments = false;
  size_t cut = 0;  // bytes missing at the end

  size_t worker(size_t workers) const {
    std::array<uint8_t, 128> bytes{};
    const net::EthernetHeader ethernet{
        .destination = {2, 0, 0, 0, 0, 2}, .source = {2, 0, 0, 0, 0, 1}, .vlan = vlan, .type = net::ethertype_ipv4};
    size_t length = net::emit_ethernet(ethernet, bytes.data());
    net::Ipv4Header ip;
    ip.total_bytes = 40;
    ip.more_fragments = more_fragments;
    ip.protocol = static_cast<uint8_t>(protocol);
    ip.source = {source};
    ip.destination = {0xc6120002};
    net::emit_ipv4(ip, bytes.data() + length, true);
    if (more_fragments) bytes[length + 6] |= 0x20;
    base::store_be16(bytes.data() + length + 20, source_port);
    base::store_be16(bytes.data() + length + 22, 5672);
    length += 40;
    return spread_to({bytes.data(), length - cut}, {1, 2}, workers);
  }
};

TEST(Spread, AConnectionStaysWithItsWorker) {
  for (uint16_t port = 40000; port < 40100; port++) {
    const size_t worker = Frame{.source_port = port}.worker(5);
    EXPECT_LT(worker, 5u);
    EXPECT_EQ(worker, Frame{.source_port = port}.worker(5));
    EXPECT_EQ(worker, (Frame{.source_port = port, .vlan = 9}.worker(5))) << "the tag is not the connection";
  }
}

TEST(Spread, ConnectionsAreSharedOutEvenly) {
  std::array<int, 3> count{};
  for (uint16_t port = 10000; port < 13000; port++) count[Frame{.source_port = port}.worker(3)]++;
  for (int each : count) EXPECT_NEAR(each, 1000, 150);
  std::array<int, 3> by_address{};
  for (uint32_t host = 0; host < 3000; host++) by_address[Frame{.source = 0x0a000000 + host}.worker(3)]++;
  for (int each : by_address) EXPECT_NEAR(each, 1000, 150);
}

TEST(Spread, EverythingElseIsForTheFirst) {
  std::set<size_t> workers;
  for (uint16_t port = 0; port < 100; port++) {
    workers.insert(Frame{.source_port = port, .protocol = net::IpProtocol::icmp}.worker(4));
    workers.insert(Frame{.source_port = port, .protocol = net::IpProtocol::udp}.worker(4));
    workers.insert(Frame{.source_port = port, .more_fragments = true}.worker(4));
    for (size_t cut = 1; cut <= 54; cut++) workers.insert(Frame{.source_port = port, .cut = cut}.worker(4));
  }
  EXPECT_EQ(workers, std::set<size_t>{0});
}

}  // namespace
}  // namespace talaria::app
