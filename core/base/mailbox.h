// A mailbox from one thread to one other: a bounded ring, single producer, single consumer, no lock (boost::lockfree's
// spsc_queue, which keeps the two ends on cache lines of their own). Values are copied in and out and should be small.
#pragma once

#include <boost/lockfree/spsc_queue.hpp>
#include <cstddef>
#include <span>

namespace talaria::base {

template <class T>
class Mailbox {
 public:
  // `capacity`: how many values may lie in it. Allocated here, never again.
  explicit Mailbox(size_t capacity) : ring_(capacity) {}

  // Producer: how many of `values` went in, from the front; the rest stays with the caller.
  size_t push(std::span<const T> values) { return ring_.push(values.data(), values.size()); }
  bool push(const T& value) { return ring_.push(value); }

  // Consumer: fills the front of `out`, returns how many.
  size_t pop(std::span<T> out) { return ring_.pop(out.data(), out.size()); }
  bool pop(T& out) { return ring_.pop(out); }

  // Exact on the consumer's side, a lower bound on the producer's.
  size_t waiting() const { return ring_.read_available(); }

 private:
  boost::lockfree::spsc_queue<T> ring_;
};

}  // namespace talaria::base
