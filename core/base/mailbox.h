// A mailbox from one thread to one other: a bounded ring, single producer, single consumer, no lock. Values are copied
// in and out and should be small.
//
// The ring is boost::lockfree's spsc_queue. Its producer's index begins it, its consumer's stands a line further,
// beside what neither changes (size and place of the values); begun on a line and alone on its two
// (tests/unit/base/mailbox_test.cc looks who writes where), it has no line that both write. The values begin on a line
// too. A push of many values moves the index once, so however many there are the other core fetches that line once.
#pragma once

#include <boost/lockfree/spsc_queue.hpp>
#include <cstddef>
#include <span>

#include "core/base/cache_line.h"

namespace talaria::base {

template <class T>
class alignas(cache_line) Mailbox {
 public:
  // `capacity`: how many values may lie in it. Allocated here, never again.
  explicit Mailbox(size_t capacity) : ring_(capacity), capacity_(capacity) {}

  // Producer: how many of `values` went in, from the front; the rest stays with the caller.
  size_t push(std::span<const T> values) { return ring_.push(values.data(), values.size()); }
  bool push(const T& value) { return ring_.push(value); }
  // Producer: how many at most of those that went in have not been popped. What has been popped is dealt with before
  // the consumer pops anything of anybody that is pushed after this was asked.
  size_t untaken() const { return capacity_ - ring_.write_available(); }

  // Consumer: fills the front of `out`, returns how many.
  size_t pop(std::span<T> out) { return ring_.pop(out.data(), out.size()); }
  bool pop(T& out) { return ring_.pop(out); }

  // Exact on the consumer's side, a lower bound on the producer's.
  size_t waiting() const { return ring_.read_available(); }

 private:
  boost::lockfree::spsc_queue<T, boost::lockfree::allocator<LineAllocator<T>>> ring_;
  const size_t capacity_;
};

static_assert(BOOST_LOCKFREE_CACHELINE_BYTES == cache_line, "the ring keeps its ends so far apart");
static_assert(has_lines_of_its_own<Mailbox<int>> && sizeof(Mailbox<int>) == 2 * cache_line);

}  // namespace talaria::base
