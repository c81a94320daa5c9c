// A latency histogram that one thread writes and any thread reads: log-linear, HdrHistogram's layout, an increment a
// record, no allocation. Values are nanoseconds up to 2^40 (18 minutes); greater ones count as the greatest.
//
//   Histogram      32 buckets a power of two: a percentile is right to 3 %, 9 KiB. What every worker carries.
//   FineHistogram  128 buckets a power of two: right to 0.8 %, 35 KiB. For measuring.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "core/base/counters.h"

namespace talaria::base {

template <unsigned significant_bits>
class BasicHistogram {
 public:
  static constexpr unsigned sub_bits = significant_bits;
  static constexpr unsigned value_bits = 40;
  static constexpr unsigned buckets = (value_bits - sub_bits + 1) << sub_bits;

  // The bucket of a value, and the greatest value that falls into a bucket.
  static constexpr unsigned bucket_of(uint64_t value) {
    if (value < (1u << sub_bits)) return static_cast<unsigned>(value);
    unsigned shift = 63 - static_cast<unsigned>(__builtin_clzll(value)) - sub_bits;
    unsigned bucket = ((shift + 1) << sub_bits) + static_cast<unsigned>((value >> shift) & ((1u << sub_bits) - 1));
    return bucket < buckets ? bucket : buckets - 1;
  }
  static constexpr uint64_t upper_edge(unsigned bucket) {
    if (bucket < (1u << sub_bits)) return bucket;
    unsigned shift = (bucket >> sub_bits) - 1;
    uint64_t base = (1u << sub_bits) | (bucket & ((1u << sub_bits) - 1));
    return ((base + 1) << shift) - 1;
  }

  void record(uint64_t value, uint64_t count = 1) {
    counts_[bucket_of(value)].add(count);
    total_.add(count);
    max_.raise_to(value);
  }

  uint64_t total() const { return total_.value(); }
  uint64_t max() const { return max_.value(); }
  uint64_t count(unsigned bucket) const { return counts_[bucket].value(); }

 private:
  std::array<Counter, buckets> counts_{};
  Counter total_;
  Counter max_;
};

// Plain sums of histograms, for the reader: merged over workers, asked for percentiles.
template <unsigned significant_bits>
class BasicHistogramSum {
 public:
  using Histogram = BasicHistogram<significant_bits>;

  void add(const Histogram& from) {
    for (unsigned bucket = 0; bucket < Histogram::buckets; bucket++) {
      counts_[bucket] += from.count(bucket);
      total_ += from.count(bucket);
    }
    if (from.max() > max_) max_ = from.max();
  }
  // Takes out an earlier sum of the same histograms: what is left was recorded in between. The greatest of it is known
  // as its bucket's upper edge only, unless it is greater than all there was before.
  void subtract(const BasicHistogramSum& earlier) {
    unsigned last = 0;
    for (unsigned bucket = 0; bucket < Histogram::buckets; bucket++) {
      counts_[bucket] -= earlier.counts_[bucket];
      if (counts_[bucket] != 0) last = bucket;
    }
    total_ -= earlier.total_;
    if (max_ <= earlier.max_) max_ = total_ == 0 ? 0 : std::min(max_, Histogram::upper_edge(last));
  }
  uint64_t count(unsigned bucket) const { return counts_[bucket]; }
  uint64_t total() const { return total_; }
  uint64_t max() const { return max_; }
  // How many were greater than `value`, as far as buckets tell.
  uint64_t count_above(uint64_t value) const {
    uint64_t above = 0;
    for (unsigned bucket = Histogram::bucket_of(value) + 1; bucket < Histogram::buckets; bucket++)
      above += counts_[bucket];
    return above;
  }
  // The value that `share` (0 to 1) of the records do not exceed; 0 when there are none.
  uint64_t percentile(double share) const {
    auto wanted = static_cast<uint64_t>(std::llround(share * static_cast<double>(total_)));
    if (wanted == 0) wanted = 1;
    uint64_t seen = 0;
    for (unsigned bucket = 0; bucket < Histogram::buckets && total_ != 0; bucket++) {
      seen += counts_[bucket];
      if (seen >= wanted) return Histogram::upper_edge(bucket) < max_ ? Histogram::upper_edge(bucket) : max_;
    }
    return max_;
  }

 private:
  std::array<uint64_t, Histogram::buckets> counts_{};
  uint64_t total_ = 0;
  uint64_t max_ = 0;
};

using Histogram = BasicHistogram<5>;
using HistogramSum = BasicHistogramSum<5>;
using FineHistogram = BasicHistogram<7>;
using FineHistogramSum = BasicHistogramSum<7>;

}  // namespace talaria::base
