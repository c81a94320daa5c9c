#include "core/tcp/scoreboard.h"

#include <algorithm>

namespace talaria::tcp {

uint32_t Scoreboard::add(Range block) {
  size_t first = 0;
  while (first < count_ && before(ranges_[first].end, block.start)) first++;
  size_t last = first;  // behind the last range that touches the block
  uint32_t known = 0;
  Range joined = block;
  for (; last < count_ && at_or_before(ranges_[last].start, block.end); last++) {
    known += ranges_[last].size();
    joined = {earlier(joined.start, ranges_[last].start), later(joined.end, ranges_[last].end)};
  }
  if (first == last) {
    if (count_ == ranges_max) return 0;
    std::copy_backward(ranges_.begin() + first, ranges_.begin() + count_, ranges_.begin() + count_ + 1);
    count_++;
  } else {
    std::copy(ranges_.begin() + last, ranges_.begin() + count_, ranges_.begin() + first + 1);
    count_ = static_cast<uint8_t>(count_ - (last - first - 1));
  }
  ranges_[first] = joined;
  return joined.size() - known;
}

void Scoreboard::advance(Sequence unacknowledged) {
  size_t gone = 0;
  while (gone < count_ && at_or_before(ranges_[gone].end, unacknowledged)) gone++;
  if (gone > 0) {
    std::copy(ranges_.begin() + gone, ranges_.begin() + count_, ranges_.begin());
    count_ = static_cast<uint8_t>(count_ - gone);
  }
  if (count_ > 0) ranges_[0].start = later(ranges_[0].start, unacknowledged);
}

uint32_t Scoreboard::sacked_bytes() const {
  uint32_t sum = 0;
  for (size_t i = 0; i < count_; i++) sum += ranges_[i].size();
  return sum;
}

uint32_t Scoreboard::sacked_bytes_before(Sequence end) const {
  uint32_t sum = 0;
  for (size_t i = 0; i < count_ && before(ranges_[i].start, end); i++)
    sum += earlier(ranges_[i].end, end) - ranges_[i].start;
  return sum;
}

// A byte is lost if DupThresh separate ranges, or more than (DupThresh - 1) * SMSS bytes, above it are sacked. Both
// grow downwards, so there is one edge: the start of the lowest range from which on that holds.
Sequence Scoreboard::lost_before(Sequence unacknowledged, uint32_t mss) const {
  uint32_t bytes = 0;
  for (size_t i = count_; i > 0; i--) {
    bytes += ranges_[i - 1].size();
    if (count_ - (i - 1) >= duplicate_threshold || bytes > (duplicate_threshold - 1) * mss) return ranges_[i - 1].start;
  }
  return unacknowledged;
}

uint32_t Scoreboard::pipe(Sequence unacknowledged, Sequence max, Sequence retransmitted, uint32_t mss) const {
  Sequence lost = lost_before(unacknowledged, mss);
  uint32_t pipe = 0;
  auto count_hole = [&](Sequence start, Sequence end) {
    pipe += distance(later(start, lost), end);             // not lost: still under way
    pipe += distance(start, earlier(end, retransmitted));  // sent again
  };
  Sequence at = unacknowledged;
  for (size_t i = 0; i < count_; i++) {
    if (before(at, ranges_[i].start)) count_hole(at, ranges_[i].start);
    at = ranges_[i].end;
  }
  if (before(at, max)) count_hole(at, max);
  return pipe;
}

Range Scoreboard::next_hole(Sequence from) const {
  for (size_t i = 0; i < count_; i++) {
    if (before(from, ranges_[i].start)) return {from, ranges_[i].start};
    from = later(from, ranges_[i].end);
  }
  return {from, from};
}

Sequence Scoreboard::skip_sacked(Sequence from) const {
  for (size_t i = 0; i < count_; i++)
    if (at_or_before(ranges_[i].start, from) && before(from, ranges_[i].end)) return ranges_[i].end;
  return from;
}

Sequence Scoreboard::hole_end(Sequence from, Sequence max) const {
  for (size_t i = 0; i < count_; i++)
    if (after(ranges_[i].start, from)) return ranges_[i].start;
  return max;
}

}  // namespace talaria::tcp
