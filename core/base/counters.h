// Counters that one thread writes and any thread reads, without a lock or a locked instruction: a relaxed load and a
// relaxed store, which on the writing core is a plain increment.
#pragma once

#include <atomic>
#include <cstdint>

namespace talaria::base {

class Counter {
 public:
  // The writer's side.
  void add(uint64_t count = 1) { set(value() + count); }
  void subtract(uint64_t count = 1) { set(value() - count); }
  void set(uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  void raise_to(uint64_t value) {
    if (value > this->value()) set(value);
  }

  // Anyone's side: a recent value.
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

}  // namespace talaria::base
