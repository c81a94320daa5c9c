// Slab, ring and rate limit: fixed sizes, and what they answer at their ends.
#include "core/base/slab.h"

#include <gtest/gtest.h>

#include <set>

#include "core/base/rate_limit.h"
#include "core/base/ring.h"

namespace talaria::base {
namespace {

using namespace std::chrono_literals;

TEST(Slab, GivesEachOnceAndNoneWhenAllAreTaken) {
  Slab<int> slab(3);
  std::set<uint32_t> taken{slab.take(), slab.take(), slab.take()};
  EXPECT_EQ(taken, (std::set<uint32_t>{0, 1, 2}));
  EXPECT_EQ(slab.take(), none);
  EXPECT_EQ(slab.used(), 3u);
  slab.give(1);
  EXPECT_EQ(slab.take(), 1u);
  EXPECT_EQ(slab.index_of(slab[2]), 2u);
}

TEST(Slab, MayBeEmpty) {
  Slab<int> slab(0);
  EXPECT_EQ(slab.take(), none);
}

TEST(SlabDeathTest, GivingBackTooMuchIsABug) {
  Slab<int> slab(2);
  uint32_t index = slab.take();
  slab.give(index);
  EXPECT_DEATH(slab.give(index), "CHECK");
  EXPECT_DEATH(slab.give(7), "CHECK");
}

TEST(Ring, FirstInFirstOutUpToItsCapacity) {
  Ring<int> ring(3);
  for (int round = 0; round < 10; round++) {
    for (int i = 0; i < 3; i++) ring.push(round * 3 + i);
    EXPECT_TRUE(ring.full());
    for (int i = 0; i < 3; i++) EXPECT_EQ(ring.pop(), round * 3 + i);
    EXPECT_TRUE(ring.empty());
  }
}

TEST(RateLimit, SoManyASecond) {
  RateLimit limit(2);
  EXPECT_TRUE(limit.allow(Time(5s)));
  EXPECT_TRUE(limit.allow(Time(5500ms)));
  EXPECT_FALSE(limit.allow(Time(5999ms)));
  EXPECT_TRUE(limit.allow(Time(6s)));
  limit.set_limit(0);
  EXPECT_FALSE(limit.allow(Time(100s)));
}

}  // namespace
}  // namespace talaria::base
