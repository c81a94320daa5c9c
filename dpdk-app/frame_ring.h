// Frames on their way from a worker that sees them to the control thread that writes them down. One producer, one
// consumer, no lock: records of any length in a ring of bytes. What finds no room is counted and not kept.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "core/base/bytes.h"
#include "core/base/cache_line.h"
#include "core/base/counters.h"
#include "core/base/time.h"

namespace talaria::app {

class FrameRing {
 public:
  // `bytes`: a power of two. Touched here, so that the worker need not.
  explicit FrameRing(size_t bytes);
  FrameRing(const FrameRing&) = delete;

  struct Frame {
    base::Time time{};
    uint32_t length = 0;  // as it was
    bool inbound = false;
    uint8_t port = 0;
    base::Bytes bytes;  // as much of it as is kept
  };
  // The producer's side.
  // False: there is no room.
  bool push(const Frame& frame);

  // The consumer's: the oldest frame, valid until `pop`. False: there is none.
  bool front(Frame& frame);
  void pop();

  // Anyone's.
  uint64_t pushed() const { return pushed_.value(); }
  uint64_t dropped() const { return dropped_.value(); }

 private:
  struct Record {
    base::Time time{};
    uint32_t length = 0;
    uint32_t kept = 0;
    bool inbound = false;
    uint8_t port = 0;
    bool filler = false;  // up to the end of the ring, where the next record did not fit in one piece
  };
  static constexpr size_t record_bytes(size_t kept) { return sizeof(Record) + (kept + 7) / 8 * 8; }

  size_t size_;
  std::unique_ptr<uint64_t[]> memory_;
  alignas(base::cache_line) std::atomic<uint64_t> head_{0};  // the consumer's
  alignas(base::cache_line) std::atomic<uint64_t> tail_{0};  // the producer's, as the counters are
  base::Counter pushed_, dropped_;
};

}  // namespace talaria::app
