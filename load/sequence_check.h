// Whether a stream of numbered messages arrives whole, once, and in order.
//
// One for every stream at every queue it leads to. Numbers that came ahead of a missing one are remembered in a window;
// what falls out of the window unseen is given up as lost, and counts as late, not as a copy, should it come after all.
#pragma once

#include <cstdint>
#include <vector>

namespace talaria::load {

class SequenceCheck {
 public:
  // `window`: how far ahead of the first missing number may be remembered; rounded up to 64.
  explicit SequenceCheck(uint32_t window = 1024) : window_((window + 63) / 64 * 64) {}

  void on(uint64_t sequence) {
    if (sequence == next_ && highest_ == next_) [[likely]] {
      highest_ = ++next_;
      return;
    }
    on_unexpected(sequence);
  }

  uint64_t received() const { return next_ - given_up_ + ahead_ + late_; }  // different messages
  uint64_t duplicates() const { return duplicates_; }
  uint64_t reordered() const { return reordered_; }  // came after one with a greater number
  // Of `sent` messages, numbered from 0.
  uint64_t lost(uint64_t sent) const { return sent > received() ? sent - received() : 0; }

 private:
  void on_unexpected(uint64_t sequence);
  bool seen(uint64_t sequence) const { return seen_[sequence / 64 % seen_.size()] >> (sequence % 64) & 1; }
  void flip(uint64_t sequence) { seen_[sequence / 64 % seen_.size()] ^= uint64_t{1} << (sequence % 64); }
  void advance();

  uint64_t next_ = 0;     // everything below has come or was given up
  uint64_t highest_ = 0;  // one more than the greatest that came
  uint64_t ahead_ = 0;    // of [next_, highest_), how many have come
  uint64_t given_up_ = 0;
  uint64_t late_ = 0;  // given up, and came
  uint64_t duplicates_ = 0;
  uint64_t reordered_ = 0;
  uint32_t window_;
  std::vector<uint64_t> seen_;       // a bit each for [next_, next_ + window_); made at the first gap
  std::vector<uint64_t> abandoned_;  // the latest that were given up, so that a late one is told from a copy
};

// Order at one consumer of a queue that several share: each sees a part of every stream, in order.
class OrderCheck {
 public:
  void on(uint64_t sequence) {
    if (sequence < next_)
      reordered_++;
    else
      next_ = sequence + 1;
  }
  uint64_t reordered() const { return reordered_; }

 private:
  uint64_t next_ = 0;
  uint64_t reordered_ = 0;
};

}  // namespace talaria::load
