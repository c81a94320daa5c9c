#include "load/sequence_check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace talaria::load {
namespace {

TEST(SequenceCheck, AllInOrderIsWhole) {
  SequenceCheck check;
  for (uint64_t n = 0; n < 10'000; n++) check.on(n);
  EXPECT_EQ(check.received(), 10'000u);
  EXPECT_EQ(check.lost(10'000), 0u);
  EXPECT_EQ(check.duplicates(), 0u);
  EXPECT_EQ(check.reordered(), 0u);
}

TEST(SequenceCheck, FindsAPlantedLoss) {
  SequenceCheck check;
  for (uint64_t n = 0; n < 10'000; n++)
    if (n != 17 && n != 5000 && n != 9999) check.on(n);
  EXPECT_EQ(check.lost(10'000), 3u);
  EXPECT_EQ(check.duplicates(), 0u);
  EXPECT_EQ(check.reordered(), 0u) << "a gap alone is no reordering";
}

TEST(SequenceCheck, FindsALossAtTheVeryBeginningAndAtTheEnd) {
  SequenceCheck check;
  for (uint64_t n = 5; n < 95; n++) check.on(n);
  EXPECT_EQ(check.lost(100), 10u);
}

TEST(SequenceCheck, FindsAPlantedCopy) {
  SequenceCheck check;
  for (uint64_t n = 0; n < 1000; n++) {
    check.on(n);
    if (n == 0 || n == 500) check.on(n);
  }
  check.on(3);
  EXPECT_EQ(check.duplicates(), 3u);
  EXPECT_EQ(check.lost(1000), 0u);
  EXPECT_EQ(check.reordered(), 0u);
}

TEST(SequenceCheck, FindsACopyOfOneThatCameAheadOfAGap) {
  SequenceCheck check;
  for (const uint64_t n : {0u, 2u, 2u, 1u, 3u}) check.on(n);
  EXPECT_EQ(check.duplicates(), 1u);
  EXPECT_EQ(check.reordered(), 1u);
  EXPECT_EQ(check.lost(4), 0u);
}

TEST(SequenceCheck, FindsAPlantedSwap) {
  SequenceCheck check;
  for (const uint64_t n : {0u, 1u, 3u, 2u, 4u, 5u}) check.on(n);
  EXPECT_EQ(check.reordered(), 1u);
  EXPECT_EQ(check.lost(6), 0u);
  EXPECT_EQ(check.duplicates(), 0u);
}

TEST(SequenceCheck, ALateMessageIsNoCopyThoughItWasGivenUp) {
  SequenceCheck check(64);
  check.on(0);
  for (uint64_t n = 2; n < 200; n++) check.on(n);
  EXPECT_EQ(check.lost(200), 1u);
  check.on(1);
  EXPECT_EQ(check.lost(200), 0u);
  EXPECT_EQ(check.reordered(), 1u);
  EXPECT_EQ(check.duplicates(), 0u);
  check.on(1);
  EXPECT_EQ(check.duplicates(), 1u);
}

TEST(SequenceCheck, AGapFarBeyondTheWindowIsCounted) {
  SequenceCheck check(64);
  check.on(0);
  check.on(1'000'000'000);
  check.on(1'000'000'001);
  EXPECT_EQ(check.received(), 3u);
  EXPECT_EQ(check.lost(1'000'000'002), 999'999'999u);
}

// Against sets of numbers, with losses, copies and swaps at random, all within the window.
TEST(SequenceCheck, AgreesWithAnObviousModel) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; round++) {
    const uint64_t sent = 1 + random() % 400;
    std::vector<uint64_t> arriving;
    std::vector<bool> comes(sent, false);
    for (uint64_t n = 0; n < sent; n++) {
      if (random() % 20 == 0) continue;
      comes[n] = true;
      arriving.push_back(n);
      if (random() % 20 == 0) arriving.push_back(n);
    }
    for (size_t i = 0; i + 1 < arriving.size(); i++)
      if (random() % 10 == 0) std::swap(arriving[i], arriving[std::min(i + 1 + random() % 8, arriving.size() - 1)]);

    SequenceCheck check(1024);
    std::vector<bool> seen(sent, false);
    uint64_t greatest = 0, copies = 0, late = 0;
    for (const uint64_t n : arriving) {
      check.on(n);
      if (seen[n])
        copies++;
      else if (n + 1 < greatest)
        late++;
      seen[n] = true;
      greatest = std::max(greatest, n + 1);
    }
    const auto missing = static_cast<uint64_t>(std::count(comes.begin(), comes.end(), false));
    ASSERT_EQ(check.lost(sent), missing) << "round " << round;
    ASSERT_EQ(check.duplicates(), copies) << "round " << round;
    ASSERT_EQ(check.reordered(), late) << "round " << round;
  }
}

TEST(OrderCheck, SeesPartsInOrderAsInOrder) {
  OrderCheck check;
  for (const uint64_t n : {1u, 4u, 5u, 9u}) check.on(n);
  EXPECT_EQ(check.reordered(), 0u);
  check.on(8);
  EXPECT_EQ(check.reordered(), 1u);
}

}  // namespace
}  // namespace talaria::load
