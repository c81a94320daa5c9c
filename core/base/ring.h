// A first-in, first-out queue of fixed capacity. One owner thread; no allocation after construction.
#pragma once

#include <bit>
#include <cstddef>
#include <memory_resource>
#include <vector>

#include "core/base/check.h"

namespace talaria::base {

template <class T>
class Ring {
 public:
  explicit Ring(size_t capacity, std::pmr::memory_resource* memory = std::pmr::get_default_resource())
      : places_(std::bit_ceil(capacity > 0 ? capacity : 1), memory), capacity_(capacity) {}

  bool empty() const { return head_ == tail_; }
  bool full() const { return size() == capacity_; }
  size_t size() const { return tail_ - head_; }

  // There is room: the caller knows or has asked.
  void push(T value) {
    CHECK(!full());
    places_[tail_++ & (places_.size() - 1)] = value;
  }
  T pop() {
    CHECK(!empty());
    return places_[head_++ & (places_.size() - 1)];
  }

 private:
  std::pmr::vector<T> places_;
  size_t capacity_;
  size_t head_ = 0;  // head and tail only grow; the place is their low bits
  size_t tail_ = 0;
};

}  // namespace talaria::base
