#include "load/arrivals.h"

#include <gtest/gtest.h>

#include <memory>

#include "load/routes.h"

namespace talaria::load {
namespace {

using base::operator""us;
using base::operator""s;

constexpr Window always{base::Time{}, base::never};
constexpr base::Time due{1s};

TEST(Arrivals, FindsWhatIsPlantedInAnyStream) {
  Plan plan;
  plan.producers = 2;
  plan.queues = plan.consumers = 3;
  const auto arrivals = std::make_unique<Arrivals>(plan);
  const std::vector<uint64_t> sequences(6, 10);
  for (uint32_t stream = 0; stream < 6; stream++)
    for (uint64_t n = 0; n < 10; n++) {
      if (stream == 1 && n == 4) continue;                                   // lost
      if (stream == 2 && n == 9) arrivals->on(2, {due, 2, 3}, due, always);  // a copy
      if (stream == 3 && n == 5) arrivals->on(0, {due, 3, 6}, due, always);  // out of order
      if (stream == 3 && n == 6) continue;
      arrivals->on(stream % 3, {due, stream, n}, due, always);
    }
  const auto verdict = arrivals->judge(sequences);
  EXPECT_EQ(verdict.lost, 1u);
  EXPECT_EQ(verdict.duplicated, 1u);
  EXPECT_EQ(verdict.reordered, 1u);
  EXPECT_EQ(arrivals->strangers(), 0u);
}

// As many producers as routes: what leads where follows from the stream alone.
TEST(Arrivals, ProducersOfOneRouteHaveOneStream) {
  Plan plan;
  plan.producers = 50'000;
  plan.queues = 10'000;
  plan.consumers = 10;
  plan.exchange = ExchangeKind::direct;
  plan.bindings = 20'000;
  EXPECT_FALSE(find_contradiction(plan));
  ASSERT_EQ(plan.streams(), 50'000u);
  const auto arrivals = std::make_unique<Arrivals>(plan);
  const std::vector<Route> routes = routes_of(plan);
  for (uint32_t producer = 0; producer < plan.producers; producer += 777) {
    const uint32_t queue = routes[producer % routes.size()].queue;
    const uint32_t stream = plan.stream_of(producer, queue);
    EXPECT_EQ(plan.producer_of(stream), producer);
    arrivals->on(queue, {due, stream, 0}, due, always);
    EXPECT_EQ(arrivals->strangers(), 0u);
  }
  arrivals->on(1, {due, plan.stream_of(0, 0), 1}, due, always);
  EXPECT_EQ(arrivals->strangers(), 1u);
}

TEST(Arrivals, EveryQueueOfAFanoutIsJudgedByItself) {
  Plan plan;
  plan.exchange = ExchangeKind::fanout;
  plan.queues = plan.consumers = 4;
  const auto arrivals = std::make_unique<Arrivals>(plan);
  for (uint32_t queue = 0; queue < 4; queue++)
    for (uint64_t n = 0; n < 10; n++)
      if (queue != 2 || n != 7) arrivals->on(queue, {due, 0, n}, due, always);
  EXPECT_EQ(arrivals->judge({10}).lost, 1u);
}

TEST(Arrivals, AMessageOutOfAnotherQueueIsAStranger) {
  Plan plan;
  plan.queues = plan.consumers = 3;
  const auto arrivals = std::make_unique<Arrivals>(plan);
  arrivals->on(1, {due, 2, 0}, due, always);
  arrivals->on(0, {due, 77, 0}, due, always);
  EXPECT_EQ(arrivals->strangers(), 2u);
}

TEST(Arrivals, LatencyCountsFromWhenItWasDueAndInTheWindowOnly) {
  const auto arrivals = std::make_unique<Arrivals>(Plan{});
  const Window window{due, due + 10us};
  arrivals->on(0, {due - 1us, 0, 0}, due, window);
  arrivals->on(0, {due, 0, 1}, due + 250us, window);
  arrivals->on(0, {due + 9us, 0, 2}, due + 50'009us, window);
  arrivals->on(0, {due + 10us, 0, 3}, due + 11us, window);
  EXPECT_EQ(arrivals->latency().total(), 2u);
  EXPECT_EQ(arrivals->latency().max(), 50'000'000u);
}

// Consumers of one queue see parts, and not in the order of the whole.
TEST(Arrivals, ASharedQueueIsWholeInAnyOrder) {
  Plan plan;
  plan.consumers = 2;
  const auto arrivals = std::make_unique<Arrivals>(plan);
  for (uint64_t n = 0; n < 1000; n += 2) arrivals->on(0, {due, 0, n + 1}, due, always);
  for (uint64_t n = 0; n < 1000; n += 2) arrivals->on(0, {due, 0, n}, due, always);
  const auto verdict = arrivals->judge({1000});
  EXPECT_EQ(verdict.lost, 0u);
  EXPECT_EQ(verdict.reordered, 0u) << "each consumer's own order is judged there";
}

}  // namespace
}  // namespace talaria::load
