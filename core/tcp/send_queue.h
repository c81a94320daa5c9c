// What a connection wrote and the peer has not acknowledged: a list of slices of bytes, in order.
//
//   unacknowledged                      next                            end
//        v                               v                               v
//   [ chunk 7: 0..812 ][ shared body, 20000 bytes ][ chunk 7: 812..840 ][ chunk 9: 0..4096 ] ...
//     sent, kept for retransmission      | not sent yet                          tail: still open for writing
//
// A slice lies in a chunk of this memory or is a reference to somebody else's immutable bytes, whose `owner` is given
// back when the last of them is acknowledged. A chunk is shared by the slices that were written into it one after the
// other. Any range of sequence numbers in the queue can be copied out, any number of times, in any cut.
//
// One SendMemory a stack, owned by its worker; a SendQueue and a SendTail per connection. Bounds: the counts given at
// construction. Chunk slices number at most chunks + shared slices (one begins a chunk or follows a shared slice), so
// that whoever got a chunk gets its slice too.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/slab.h"
#include "core/tcp/config.h"
#include "core/tcp/sequence.h"

namespace talaria::tcp {

// The hot part of a queue: slices by index.
struct SendQueue {
  uint32_t first = base::none;
  uint32_t last = base::none;
  uint32_t cursor = base::none;  // a slice near the last one copied from: transmission goes on there
};

// Where writing goes on.
struct SendTail {
  uint32_t chunk = base::none;
  uint32_t used = 0;  // bytes of it written
};

class SendMemory {
 public:
  SendMemory(size_t chunks, size_t shared_slices, std::pmr::memory_resource* memory);

  // At least n contiguous bytes at the tail, all that its chunk has left; 1 <= n <= send_chunk_bytes; empty if there is
  // no chunk. Nothing is queued yet.
  base::MutableBytes reserve(SendTail& tail, size_t n);
  // The first n reserved bytes are in the queue, as the sequence numbers from `end` on.
  void commit(SendQueue& queue, SendTail& tail, Sequence end, size_t n);
  // Copies any number of bytes into the queue; false, and nothing done, if the chunks do not suffice.
  bool append(SendQueue& queue, SendTail& tail, Sequence end, base::Bytes bytes);
  // Queues a reference; false if there is no slice.
  bool append_shared(SendQueue& queue, Sequence end, base::Bytes bytes, void* owner);

  // Copies n bytes from `from` on. They are all in the queue.
  void copy(SendQueue& queue, Sequence from, size_t n, uint8_t* to);
  // Lets go what lies wholly before `acknowledged`.
  void release_before(SendQueue& queue, SendTail& tail, Sequence acknowledged);
  void release_all(SendQueue& queue, SendTail& tail);

  // The owners that came free since the last call; valid until the next.
  std::span<void* const> take_released();
  bool has_released() const { return !released_.empty(); }

  size_t chunks_free() const { return chunks_.free(); }
  size_t chunks_used() const { return chunks_.used(); }
  size_t shared_used() const { return shared_used_; }
  size_t shared_free() const { return shared_max_ - shared_used_ - released_.size(); }

  // Of one queue, for check_invariants: bytes and chunks. CHECKs that slices follow each other without a gap.
  struct Sum {
    size_t bytes = 0;
    size_t shared = 0;
    size_t slices = 0;
  };
  Sum sum(const SendQueue& queue) const;
  size_t slices_used() const { return slices_.used(); }

 private:
  struct Slice {
    const uint8_t* bytes = nullptr;
    void* owner = nullptr;  // of shared bytes
    Sequence sequence = 0;  // of the first byte
    uint32_t size = 0;
    uint32_t chunk = base::none;  // none: shared
    uint32_t next = base::none;
  };
  using Chunk = std::array<uint8_t, send_chunk_bytes>;

  uint32_t push(SendQueue& queue, const Slice& slice);
  void release_first(SendQueue& queue, const SendTail& tail);
  void close_tail(SendTail& tail);

  base::Slab<Slice> slices_;
  base::Slab<Chunk> chunks_;
  std::pmr::vector<uint16_t> chunk_slices_;  // how many slices lie in each chunk
  size_t shared_max_;
  size_t shared_used_ = 0;
  std::pmr::vector<void*> released_;  // being collected
  std::pmr::vector<void*> taken_;     // handed out by take_released
};

}  // namespace talaria::tcp
