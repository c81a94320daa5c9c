#include "load/schedule.h"

#include <gtest/gtest.h>

#include "load/ramp.h"

namespace talaria::load {
namespace {

using base::operator""s;
using base::operator""ms;
using base::operator""us;

constexpr base::Time start{5s};

TEST(Schedule, MessagesAreEvenlyApart) {
  const Schedule schedule(start, 200'000);
  EXPECT_EQ(schedule.due(0), start);
  EXPECT_EQ(schedule.due(1), start + 5us);
  EXPECT_EQ(schedule.due(200'000), start + 1s);
}

TEST(Schedule, CountsExactlyWhatIsDue) {
  for (const double rate : {1.0, 3.0, 7'777.0, 200'000.0, 3'333'333.0, 1e9}) {
    const Schedule schedule(start, rate);
    EXPECT_EQ(schedule.count(start - 1us), 0u);
    for (const uint64_t n : {uint64_t{0}, uint64_t{1}, uint64_t{12'345}, uint64_t{999'999'999}}) {
      const uint64_t due = schedule.count(schedule.due(n));
      EXPECT_GE(due, n + 1) << rate;
      EXPECT_LE(schedule.due(due - 1), schedule.due(n)) << rate;
      EXPECT_GT(schedule.due(due), schedule.due(n)) << rate;
    }
  }
}

// A stall changes no message's due time: what was missed is late by as much.
TEST(Schedule, AStallIsInTheLatencyOfAllThatWasMissed) {
  const Schedule schedule(start, 1000);
  const base::Time after_stall = start + 500ms;
  const uint64_t due = schedule.count(after_stall);
  EXPECT_EQ(due, 501u);
  EXPECT_EQ(after_stall - schedule.due(0), 500ms);
  EXPECT_EQ(after_stall - schedule.due(250), 250ms);
}

TEST(Schedule, ADayLongIsStillExactToTheMicrosecond) {
  const Schedule schedule(start, 3'000'000);
  const uint64_t day = uint64_t{3'000'000} * 86'400;
  EXPECT_LT(std::abs((schedule.due(day) - start - 86'400s).count()), 1000);
}

TEST(Ramp, FindsAKneeWithinItsPrecision) {
  for (const double knee : {60'000.0, 777'777.0, 1'999'999.0, 9'000'000.0}) {
    Ramp ramp({.from = 50'000, .to = 20'000'000}, 1);
    int runs = 0;
    while (const auto rate = ramp.next()) {
      ramp.on(*rate <= knee);
      ASSERT_LT(++runs, 30);
    }
    EXPECT_LE(ramp.knee(), knee);
    EXPECT_GE(ramp.knee() * 1.05, knee * 0.999);
  }
}

TEST(Ramp, StopsAtTheGreatestRate) {
  Ramp ramp({.from = 50'000, .to = 300'000}, 1);
  while (ramp.next()) ramp.on(true);
  EXPECT_EQ(ramp.knee(), 300'000);
}

TEST(Ramp, LooksBelowAndGivesUp) {
  Ramp ramp({.from = 50'000, .to = 300'000}, 1);
  while (const auto rate = ramp.next()) ramp.on(*rate < 20'000);
  EXPECT_LT(ramp.knee(), 20'000);
  EXPECT_GT(ramp.knee(), 18'000);

  Ramp hopeless({.from = 50'000, .to = 300'000}, 1);
  while (hopeless.next()) hopeless.on(false);
  EXPECT_EQ(hopeless.knee(), 0);
}

TEST(Ramp, GoodIsWholeKeepingUpAndInTime) {
  const Ramp ramp({.from = 1000, .to = 1000, .p99_max = 100us}, 2);
  Result result;
  result.window = 1s;
  result.end.published = 1000;
  result.end.delivered = 2000;
  base::FineHistogram latency;
  latency.record(50'000, 100);
  result.latency.add(latency);
  EXPECT_TRUE(ramp.good(result));
  result.end.delivered = 1500;
  EXPECT_FALSE(ramp.good(result)) << "does not keep up";
  result.end.delivered = 2000;
  result.lost = 1;
  EXPECT_FALSE(ramp.good(result)) << "loses";
  result.lost = 0;
  base::FineHistogram late;
  late.record(200'000, 2);
  result.latency.add(late);
  EXPECT_FALSE(ramp.good(result)) << "2 of 102 are late";
}

}  // namespace
}  // namespace talaria::load
