#include "core/base/histogram.h"

#include <gtest/gtest.h>

#include <memory>

namespace talaria::base {
namespace {

TEST(Histogram, BucketsAreInOrderAndTheirEdgesAreTheirOwn) {
  for (unsigned bucket = 0; bucket + 1 < Histogram::buckets; bucket++) {
    uint64_t edge = Histogram::upper_edge(bucket);
    ASSERT_EQ(Histogram::bucket_of(edge), bucket);
    ASSERT_EQ(Histogram::bucket_of(edge + 1), bucket + 1);
  }
}

TEST(Histogram, EdgesAreWithinThreePercent) {
  for (uint64_t value = 1; value < (uint64_t{1} << 39); value = value * 17 / 16 + 1) {
    uint64_t edge = Histogram::upper_edge(Histogram::bucket_of(value));
    ASSERT_GE(edge, value);
    ASSERT_LE(static_cast<double>(edge - value), 0.032 * static_cast<double>(value) + 0.5) << value;
  }
}

TEST(Histogram, GreaterValuesCountAsTheGreatest) {
  EXPECT_EQ(Histogram::bucket_of(UINT64_MAX), Histogram::buckets - 1);
  EXPECT_EQ(Histogram::bucket_of(uint64_t{1} << 40), Histogram::buckets - 1);
}

TEST(HistogramSum, PercentilesOfARamp) {
  auto histogram = std::make_unique<Histogram>();
  for (uint64_t value = 1; value <= 10000; value++) histogram->record(value);
  HistogramSum sum;
  sum.add(*histogram);
  EXPECT_EQ(sum.total(), 10000u);
  EXPECT_EQ(sum.max(), 10000u);
  EXPECT_NEAR(static_cast<double>(sum.percentile(0.5)), 5000, 160);
  EXPECT_NEAR(static_cast<double>(sum.percentile(0.99)), 9900, 310);
  EXPECT_EQ(sum.percentile(1.0), 10000u);
}

TEST(HistogramSum, AddsWorkersTogether) {
  auto a = std::make_unique<Histogram>();
  auto b = std::make_unique<Histogram>();
  a->record(10, 90);
  b->record(1000, 10);
  HistogramSum sum;
  sum.add(*a);
  sum.add(*b);
  EXPECT_EQ(sum.total(), 100u);
  EXPECT_EQ(sum.percentile(0.9), 10u);
  EXPECT_EQ(sum.percentile(0.91), 1000u);
  EXPECT_EQ(sum.max(), 1000u);
}

TEST(FineHistogram, EdgesAreWithinOnePercent) {
  for (uint64_t value = 1; value < (uint64_t{1} << 39); value = value * 17 / 16 + 1) {
    uint64_t edge = FineHistogram::upper_edge(FineHistogram::bucket_of(value));
    ASSERT_GE(edge, value);
    ASSERT_LE(static_cast<double>(edge - value), 0.0079 * static_cast<double>(value) + 0.5) << value;
  }
}

TEST(HistogramSum, WhatWasThereBeforeIsTakenOut) {
  auto histogram = std::make_unique<FineHistogram>();
  histogram->record(1'000'000, 3);
  FineHistogramSum before;
  before.add(*histogram);
  histogram->record(100, 97);
  histogram->record(5000, 3);
  FineHistogramSum sum;
  sum.add(*histogram);
  sum.subtract(before);
  EXPECT_EQ(sum.total(), 100u);
  EXPECT_EQ(sum.percentile(0.97), 100u);
  EXPECT_NEAR(static_cast<double>(sum.max()), 5000, 40) << "the greater one was before";
  histogram->record(2'000'000);
  FineHistogramSum later;
  later.add(*histogram);
  later.subtract(before);
  EXPECT_EQ(later.max(), 2'000'000u);
}

TEST(HistogramSum, NothingRecordedIsZero) { EXPECT_EQ(HistogramSum{}.percentile(0.99), 0u); }

}  // namespace
}  // namespace talaria::base
