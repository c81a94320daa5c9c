#include "load/sequence_check.h"

#include <algorithm>

namespace talaria::load {
namespace {

constexpr size_t abandoned_max = 4096;

}  // namespace

void SequenceCheck::on_unexpected(uint64_t sequence) {
  if (seen_.empty()) seen_.resize(window_ / 64, 0);
  if (sequence < next_) {
    const auto found = std::find(abandoned_.begin(), abandoned_.end(), sequence);
    if (found == abandoned_.end()) {
      duplicates_++;
      return;
    }
    abandoned_.erase(found);
    late_++;
    reordered_++;
    return;
  }
  // Room for it: the oldest that are missing are given up.
  while (sequence >= next_ + window_) {
    if (seen(next_)) {
      flip(next_);
      ahead_--;
    } else {
      given_up_++;
      if (abandoned_.size() < abandoned_max) abandoned_.push_back(next_);
    }
    next_++;
    if (ahead_ == 0 && sequence >= next_ + window_) {
      // Nothing is remembered: the rest of the gap in one step.
      const uint64_t gap = sequence - window_ + 1 - next_;
      for (uint64_t i = 0; i < gap && abandoned_.size() < abandoned_max; i++) abandoned_.push_back(next_ + i);
      given_up_ += gap;
      next_ += gap;
    }
  }
  highest_ = std::max(highest_, next_);
  if (seen(sequence)) {
    duplicates_++;
    return;
  }
  if (sequence < highest_) reordered_++;
  flip(sequence);
  ahead_++;
  highest_ = std::max(highest_, sequence + 1);
  advance();
}

void SequenceCheck::advance() {
  while (ahead_ != 0 && seen(next_)) {
    flip(next_);
    ahead_--;
    next_++;
  }
}

}  // namespace talaria::load
