// The wheel against the obvious way to keep timers: never early, never lost, in any order of arming and disarming.
#include "core/base/timer_wheel.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace talaria::base {
namespace {

using namespace std::chrono_literals;

TEST(TimerWheel, FiresAtItsTickNotBefore) {
  TimerWheel wheel;
  TimerNode node;
  wheel.arm(node, Time(1500us), Time(0s));
  EXPECT_EQ(wheel.next_deadline(), Time(2ms));
  EXPECT_EQ(wheel.pop_expired(Time(1999us)), nullptr);
  EXPECT_EQ(wheel.pop_expired(Time(2ms)), &node);
  EXPECT_FALSE(node.armed());
  EXPECT_EQ(wheel.pop_expired(Time(1s)), nullptr);
  EXPECT_EQ(wheel.next_deadline(), never);
}

TEST(TimerWheel, DisarmedNeverFires) {
  TimerWheel wheel;
  TimerNode a, b;
  wheel.arm(a, Time(5ms), Time(0s));
  wheel.arm(b, Time(5ms), Time(0s));
  EXPECT_EQ(wheel.pop_expired(Time(5ms)), &a);
  wheel.disarm(b);  // expired already, not yet handed out
  EXPECT_EQ(wheel.pop_expired(Time(10ms)), nullptr);
}

TEST(TimerWheel, DeadlineInThePastFiresAtOnce) {
  TimerWheel wheel;
  TimerNode a, b;
  wheel.arm(a, Time(10s), Time(9s));
  wheel.arm(b, Time(1s), Time(9s));
  EXPECT_EQ(wheel.pop_expired(Time(9s)), &b);
  EXPECT_EQ(wheel.pop_expired(Time(9s)), nullptr);
}

TEST(TimerWheel, BeyondTheLastWindowIsLookedAtAgain) {
  TimerWheel wheel;
  TimerNode node;
  Time start(1234567s), deadline = start + 3h;
  wheel.arm(node, deadline, start);
  Time now = start;
  for (int steps = 0; steps < 100; steps++) {
    Time next = wheel.next_deadline();
    ASSERT_LE(next, deadline);
    now = std::max(now, next);
    if (wheel.pop_expired(now)) break;
    ASSERT_LT(now, deadline);
  }
  EXPECT_EQ(now, deadline);
}

TEST(TimerWheel, AgreesWithTheObviousOne) {
  for (uint64_t seed = 1; seed <= 20; seed++) {
    std::mt19937_64 random(seed);
    auto below = [&](uint64_t n) { return static_cast<int64_t>(random() % n); };
    TimerWheel wheel;
    std::vector<TimerNode> nodes(50);
    std::vector<Time> deadlines(nodes.size(), never);  // the model
    for (uint32_t i = 0; i < nodes.size(); i++) nodes[i].owner = i;
    Time now(std::chrono::milliseconds(below(5'000'000)));
    constexpr uint64_t ranges[] = {10, 1000, 3000, 100'000, 2'000'000};
    for (int step = 0; step < 3000; step++) {
      auto i = static_cast<size_t>(below(nodes.size()));
      if (below(4) == 0) {
        wheel.disarm(nodes[i]);
        deadlines[i] = never;
      } else {
        deadlines[i] = now + std::chrono::microseconds(below(1000 * ranges[below(5)]));
        wheel.arm(nodes[i], deadlines[i], now);
      }
      if (below(3) != 0) continue;
      Time next = wheel.next_deadline();
      for (Time deadline : deadlines) ASSERT_TRUE(deadline == never || next <= deadline + 1ms) << "seed " << seed;
      now += std::chrono::microseconds(below(1000 * ranges[below(5)]));
      while (TimerNode* node = wheel.pop_expired(now)) {
        ASSERT_LE(deadlines[node->owner], now) << "early, seed " << seed;
        deadlines[node->owner] = never;
      }
      for (Time deadline : deadlines) ASSERT_TRUE(deadline == never || deadline + 1ms > now) << "late, seed " << seed;
    }
    for (TimerNode& node : nodes) wheel.disarm(node);
    EXPECT_EQ(wheel.armed(), 0u);
  }
}

}  // namespace
}  // namespace talaria::base
