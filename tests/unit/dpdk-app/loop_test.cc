// The clock, the idle policy, and who gets which frame.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <set>

#include "core/net/ethernet.h"
#include "core/net/ipv4.h"
#include "core/net/ipv6.h"
#include "dpdk-app/core_loop.h"
#include "dpdk-app/idle.h"
#include "dpdk-app/sleeper.h"
#include "dpdk-app/spread.h"
#include "dpdk-app/tsc_clock.h"

namespace talaria::app {
namespace {

using base::operator""ns;
using base::operator""us;
using base::operator""ms;
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
  IdlePolicy idle(spin_rules);
  for (int turn = 0; turn < 10'000; turn++) ASSERT_EQ(idle.on_idle(), IdleStep::nothing);
}

TEST(Idle, AdaptiveSpinsThenPausesThenSleepsUntilThereIsWork) {
  IdlePolicy idle(adaptive_rules);
  std::array<uint32_t, 4> steps{};
  for (uint32_t turn = 0; turn < 1000; turn++) steps[static_cast<size_t>(idle.on_idle())]++;
  EXPECT_EQ(steps[0], IdlePolicy::turns_before_pause - 1);
  EXPECT_EQ(steps[1], IdlePolicy::turns_before_sleep - IdlePolicy::turns_before_pause);
  EXPECT_EQ(steps[2], 0u) << "nobody wakes it";
  EXPECT_EQ(steps[3], 1000 - IdlePolicy::turns_before_sleep + 1);
  EXPECT_FALSE(idle.on_busy());
  EXPECT_EQ(idle.on_idle(), IdleStep::nothing);
}

TEST(Idle, SleepsEndBeforeTheDeadline) {
  const base::Time now{100s};
  for (const IdleRules& rules : {adaptive_rules, wait_rules, wait_unheard_rules}) {
    const IdlePolicy idle(rules);
    EXPECT_EQ(idle.sleep_for(now, base::never), rules.sleep_max);
    EXPECT_EQ(idle.sleep_for(now, now + 20us), 20us);
    EXPECT_EQ(idle.sleep_for(now, now + 1us), 0ns) << "not worth it";
    EXPECT_EQ(idle.sleep_for(now, now), 0ns);
    EXPECT_EQ(idle.sleep_for(now, base::Time{}), 0ns) << "work is left over";
  }
  EXPECT_LT(wait_unheard_rules.sleep_max, 200us) << "the first message is answered within that";
}

TEST(Idle, AWaitingWorkerLooksOnceMoreBetweenArmingAndSleeping) {
  IdlePolicy idle(wait_rules);
  for (uint32_t turn = 0; turn + 1 < IdlePolicy::turns_before_sleep; turn++) {
    const IdleStep step = idle.on_idle();
    ASSERT_TRUE(step == IdleStep::nothing || step == IdleStep::pause) << turn;
  }
  EXPECT_EQ(idle.on_idle(), IdleStep::arm);
  EXPECT_EQ(idle.on_idle(), IdleStep::sleep);
  EXPECT_EQ(idle.on_idle(), IdleStep::arm) << "woken for nothing: asleep again at once";
  EXPECT_EQ(idle.on_idle(), IdleStep::sleep);
  EXPECT_FALSE(idle.on_busy());
  for (uint32_t turn = 0; turn + 1 < IdlePolicy::turns_before_sleep; turn++) idle.on_idle();
  EXPECT_EQ(idle.on_idle(), IdleStep::arm);
  EXPECT_TRUE(idle.on_busy()) << "what was armed is off";
  EXPECT_EQ(idle.on_idle(), IdleStep::nothing) << "and the worker awake";
}

// A worker of nothing but arrivals under a clock of its own: how much of the time it sleeps, and how late it is.
struct SimulatedDay {
  base::Duration asleep{}, latest{};
  int late = 0;

  SimulatedDay(IdleRules rules, base::Duration between, base::Duration length) {
    constexpr base::Duration turn = 200ns;
    IdlePolicy idle(rules);
    base::Time now{1s};
    const base::Time end = now + length;
    base::Time arrival = now + between;
    bool armed = false;
    while (now < end) {
      now += turn;
      if (arrival <= now) {
        latest = std::max(latest, base::Duration(now - arrival));
        arrival += between;
        idle.on_busy();
        armed = false;
        continue;
      }
      const IdleStep step = idle.on_idle();
      if (step == IdleStep::arm) armed = true;
      if (step != IdleStep::sleep) continue;
      EXPECT_EQ(armed, rules.is_woken) << "a sleep that nothing ends was not armed, or the other way round";
      base::Time until = now + idle.sleep_for(now, base::never);
      if (armed) until = std::min(until, std::max(arrival, now));
      asleep += until - now;
      now = until;
      armed = false;
    }
  }
};

TEST(Idle, EachModeSleepsAndIsLateAsFarAsItMay) {
  const SimulatedDay spinning(spin_rules, 10ms, 1s);
  EXPECT_EQ(spinning.asleep, 0ns);
  EXPECT_LE(spinning.latest, 200ns);
  const SimulatedDay adaptive(adaptive_rules, 10ms, 1s);
  EXPECT_GT(adaptive.asleep, 900ms);
  EXPECT_LE(adaptive.latest, adaptive_rules.sleep_max + 200ns);
  const SimulatedDay waiting(wait_rules, 10ms, 1s);
  EXPECT_GT(waiting.asleep, 980ms);
  EXPECT_LE(waiting.latest, 200ns);
  const SimulatedDay loaded(wait_rules, 50us, 1s);
  EXPECT_EQ(loaded.asleep, 0ns) << "packets that follow closely find it awake";
}

// ---- sleeper --------------------------------------------------------------------------------------------------------

base::Duration time_of(const auto& action) {
  const auto begin = std::chrono::steady_clock::now();
  action();
  return std::chrono::steady_clock::now() - begin;
}

TEST(Sleeper, ARingBeforeTheSleepEndsItAtOnce) {
  Doorbell bell;
  Sleeper sleeper(bell, std::vector<PacketSignal>());
  EXPECT_FALSE(bell.listens());
  bell.ring();
  sleeper.arm();
  EXPECT_TRUE(bell.listens());
  EXPECT_GE(time_of([&] { sleeper.sleep(20ms); }), 20ms) << "nobody listened to the first ring";
  bell.ring_if_listening();
  EXPECT_FALSE(bell.listens()) << "once is enough";
  EXPECT_LT(time_of([&] { sleeper.sleep(10s); }), 5s);
  EXPECT_GE(time_of([&] { sleeper.sleep(20ms); }), 20ms) << "the ring was taken";
  sleeper.arm();
  sleeper.disarm();
  EXPECT_FALSE(bell.listens());
}

TEST(Sleeper, APacketEndsTheSleep) {
  Doorbell bell;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::vector<PacketSignal> signals(1);
  signals[0] = PacketSignal::of_descriptor(ends[0]);
  Sleeper sleeper(bell, std::move(signals));
  sleeper.arm();
  EXPECT_GE(time_of([&] { sleeper.sleep(20ms); }), 20ms);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  EXPECT_LT(time_of([&] { sleeper.sleep(10s); }), 5s);
  // The other end is gone and nothing waits: an error that stays. The sleep is short, and still a sleep.
  char byte;
  ASSERT_EQ(read(ends[0], &byte, 1), 1);
  close(ends[1]);
  const auto deaf = time_of([&] { sleeper.sleep(10s); });
  EXPECT_GE(deaf, 100us);
  EXPECT_LT(deaf, 5s);
  close(ends[0]);
}

// One of them may be broken and stay so: the others still wake.
TEST(Sleeper, APacketOfAnyPortEndsTheSleep) {
  Doorbell bell;
  int first[2], second[2];
  ASSERT_EQ(pipe(first), 0);
  ASSERT_EQ(pipe(second), 0);
  std::vector<PacketSignal> signals(2);
  signals[0] = PacketSignal::of_descriptor(first[0]);
  signals[1] = PacketSignal::of_descriptor(second[0]);
  Sleeper sleeper(bell, std::move(signals));
  sleeper.arm();
  EXPECT_GE(time_of([&] { sleeper.sleep(20ms); }), 20ms);
  ASSERT_EQ(write(second[1], "x", 1), 1);
  EXPECT_LT(time_of([&] { sleeper.sleep(10s); }), 5s);
  close(first[1]);
  EXPECT_LT(time_of([&] { sleeper.sleep(10s); }), 5s);
  for (int end : {first[0], second[0], second[1]}) close(end);
}

TEST(Sleeper, AColleagueHasMailUntilItIsTaken) {
  Doorbell bell;
  worker::Lane lane(256);
  const Colleague colleague{.bell = &bell, .lane = &lane};
  EXPECT_FALSE(colleague.has_mail());
  lane.releases.push(nullptr);
  EXPECT_TRUE(colleague.has_mail());
  broker::Message* message = nullptr;
  EXPECT_TRUE(lane.releases.pop(message));
  EXPECT_FALSE(colleague.has_mail());
  lane.neighbors.push(worker::OnPort<net::LearnedNeighbor>{});
  EXPECT_TRUE(colleague.has_mail()) << "a packet may wait for an address";
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

size_t worker_of_ipv6(uint16_t source_port, uint8_t next_header, bool with_options = false) {
  std::array<uint8_t, 128> bytes{};
  size_t at = net::emit_ethernet(
      {.destination = {2, 0, 0, 0, 0, 2}, .source = {2, 0, 0, 0, 0, 1}, .vlan = {}, .type = net::ethertype_ipv6},
      bytes.data());
  net::emit_ipv6({.payload_bytes = static_cast<uint16_t>(with_options ? 28 : 20),
                  .next_header = with_options ? uint8_t{60} : next_header,
                  .source = *net::parse_ip_address("2001:db8::1"),
                  .destination = *net::parse_ip_address("2001:db8::2")},
                 bytes.data() + at);
  at += net::ipv6_header_bytes;
  if (with_options) {
    bytes[at] = next_header;
    bytes[at + 2] = 1;  // PadN
    bytes[at + 3] = 4;
    at += 8;
  }
  base::store_be16(bytes.data() + at, source_port);
  return spread_to({bytes.data(), at + 20}, {1, 2}, 4);
}

TEST(Spread, ConnectionsOverIpv6AreSharedOutToo) {
  std::array<int, 4> count{};
  for (uint16_t port = 10000; port < 14000; port++) {
    const size_t worker = worker_of_ipv6(port, 6);
    count[worker]++;
    ASSERT_EQ(worker_of_ipv6(port, 6, true), worker) << "options are not the connection";
    ASSERT_EQ(worker_of_ipv6(port, 58), 0u);
    ASSERT_EQ(worker_of_ipv6(port, 44), 0u) << "a piece";
  }
  for (int each : count) EXPECT_NEAR(each, 1000, 150);
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
