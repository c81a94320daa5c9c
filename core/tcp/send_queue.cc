#include "core/tcp/send_queue.h"

#include <algorithm>

#include "core/base/check.h"

namespace talaria::tcp {

using base::none;

SendMemory::SendMemory(size_t chunks, size_t shared_slices, std::pmr::memory_resource* memory)
    : slices_(chunks + 2 * shared_slices, memory),
      chunks_(chunks, memory),
      chunk_slices_(chunks, memory),
      shared_max_(shared_slices),
      released_(memory),
      taken_(memory) {
  released_.reserve(shared_slices);
  taken_.reserve(shared_slices);
}

base::MutableBytes SendMemory::reserve(SendTail& tail, size_t n) {
  CHECK(n >= 1 && n <= send_chunk_bytes);
  if (tail.chunk == none || send_chunk_bytes - tail.used < n) {
    uint32_t chunk = chunks_.take();
    if (chunk == none) return {};
    close_tail(tail);
    chunk_slices_[chunk] = 0;
    tail = {chunk, 0};
  }
  return {chunks_[tail.chunk].data() + tail.used, send_chunk_bytes - tail.used};
}

void SendMemory::commit(SendQueue& queue, SendTail& tail, Sequence end, size_t n) {
  if (n == 0) return;
  CHECK(tail.chunk != none && n <= send_chunk_bytes - tail.used);
  const uint8_t* bytes = chunks_[tail.chunk].data() + tail.used;
  tail.used += static_cast<uint32_t>(n);
  if (queue.last != none) {
    Slice& last = slices_[queue.last];
    if (last.chunk == tail.chunk && last.bytes + last.size == bytes) {
      last.size += static_cast<uint32_t>(n);
      return;
    }
  }
  chunk_slices_[tail.chunk]++;
  CHECK(push(queue, {.bytes = bytes, .sequence = end, .size = static_cast<uint32_t>(n), .chunk = tail.chunk}) != none);
}

bool SendMemory::append(SendQueue& queue, SendTail& tail, Sequence end, base::Bytes bytes) {
  size_t room = tail.chunk == none ? 0 : send_chunk_bytes - tail.used;
  size_t beyond = bytes.size() > room ? bytes.size() - room : 0;
  if ((beyond + send_chunk_bytes - 1) / send_chunk_bytes > chunks_.free()) return false;
  while (!bytes.empty()) {
    room = tail.chunk == none ? 0 : send_chunk_bytes - tail.used;
    size_t n = std::min(bytes.size(), room > 0 ? room : send_chunk_bytes);
    base::MutableBytes to = reserve(tail, n);
    CHECK(to.size() >= n);
    std::memcpy(to.data(), bytes.data(), n);
    commit(queue, tail, end, n);
    end += static_cast<uint32_t>(n);
    bytes = bytes.subspan(n);
  }
  return true;
}

bool SendMemory::append_shared(SendQueue& queue, Sequence end, base::Bytes bytes, void* owner) {
  if (shared_used_ + released_.size() >= shared_max_) return false;
  shared_used_++;
  Slice slice{.bytes = bytes.data(), .owner = owner, .sequence = end, .size = static_cast<uint32_t>(bytes.size())};
  CHECK(push(queue, slice) != none);
  return true;
}

uint32_t SendMemory::push(SendQueue& queue, const Slice& slice) {
  uint32_t index = slices_.take();
  if (index == none) return none;
  slices_[index] = slice;
  if (queue.last != none)
    slices_[queue.last].next = index;
  else
    queue.first = index;
  queue.last = index;
  return index;
}

void SendMemory::copy(SendQueue& queue, Sequence from, size_t n, uint8_t* to) {
  uint32_t at = queue.first;
  if (queue.cursor != none && at_or_after(from, slices_[queue.cursor].sequence)) at = queue.cursor;
  CHECK(at != none && at_or_after(from, slices_[at].sequence));
  while (n > 0) {
    CHECK(at != none);
    const Slice& slice = slices_[at];
    uint32_t offset = from - slice.sequence;
    if (offset < slice.size) {
      size_t part = std::min<size_t>(n, slice.size - offset);
      std::memcpy(to, slice.bytes + offset, part);
      to += part;
      from += static_cast<uint32_t>(part);
      n -= part;
      if (n == 0) break;
    }
    at = slice.next;
  }
  // Only forward: a retransmission from the front must not make the next new segment walk the whole queue.
  if (at != none && (queue.cursor == none || after(slices_[at].sequence, slices_[queue.cursor].sequence)))
    queue.cursor = at;
}

void SendMemory::release_before(SendQueue& queue, SendTail& tail, Sequence acknowledged) {
  while (queue.first != none) {
    const Slice& slice = slices_[queue.first];
    if (after(slice.sequence + slice.size, acknowledged)) return;
    release_first(queue, tail);
  }
  close_tail(tail);  // nothing queued: an idle connection holds no chunk
}

void SendMemory::release_all(SendQueue& queue, SendTail& tail) {
  while (queue.first != none) release_first(queue, tail);
  close_tail(tail);
}

void SendMemory::release_first(SendQueue& queue, const SendTail& tail) {
  uint32_t index = queue.first;
  const Slice& slice = slices_[index];
  if (slice.chunk == none) {
    shared_used_--;
    released_.push_back(slice.owner);
  } else if (--chunk_slices_[slice.chunk] == 0 && slice.chunk != tail.chunk) {
    chunks_.give(slice.chunk);
  }
  queue.first = slice.next;
  if (queue.first == none) queue.last = none;
  if (queue.cursor == index) queue.cursor = none;
  slices_.give(index);
}

// No more is written into this chunk: it goes back now if no slice lies in it, else with its last slice.
void SendMemory::close_tail(SendTail& tail) {
  if (tail.chunk == none) return;
  if (chunk_slices_[tail.chunk] == 0) chunks_.give(tail.chunk);
  tail = {};
}

std::span<void* const> SendMemory::take_released() {
  taken_.clear();
  std::swap(taken_, released_);
  return taken_;
}

SendMemory::Sum SendMemory::sum(const SendQueue& queue) const {
  Sum sum;
  for (uint32_t at = queue.first; at != none; at = slices_[at].next) {
    const Slice& slice = slices_[at];
    CHECK(slice.size > 0);
    if (slice.next != none) CHECK(slices_[slice.next].sequence == slice.sequence + slice.size);
    if (slice.next == none) CHECK(at == queue.last);
    sum.bytes += slice.size;
    sum.shared += slice.chunk == none ? 1 : 0;
    sum.slices++;
  }
  return sum;
}

}  // namespace talaria::tcp
