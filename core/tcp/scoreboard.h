// What the peer says it holds beyond the acknowledgement number (SACK, RFC 2018), and what follows from it about loss
// (RFC 6675). Per connection; owned by its worker.
//
//   unacknowledged                                                       max
//    v                                                                    v
//    |......|######|......|############|..|####|..........................|
//     lost?   sacked  lost?   sacked            not known to be lost: nothing, or too little, above it is sacked
//
// The peer may go back on what it said until it acknowledges it (RFC 2018 8): data stays queued, and a retransmission
// timeout forgets the scoreboard. At most ranges_max ranges; what does not fit is not remembered, which costs
// retransmissions, never correctness.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/tcp/sequence.h"

namespace talaria::tcp {

class Scoreboard {
 public:
  static constexpr size_t ranges_max = 32;
  static constexpr uint32_t duplicate_threshold = 3;  // DupThresh

  // Takes a block in. Returns how many bytes were not sacked before. The block lies within [unacknowledged, max].
  uint32_t add(Range block);
  // Everything before `unacknowledged` is acknowledged.
  void advance(Sequence unacknowledged);
  void clear() { count_ = 0; }

  bool empty() const { return count_ == 0; }
  uint32_t sacked_bytes() const;
  uint32_t sacked_bytes_before(Sequence end) const;
  // RFC 6675 IsLost: bytes before the answer that are not sacked count as lost. `unacknowledged` if none do.
  Sequence lost_before(Sequence unacknowledged, uint32_t mss) const;
  // RFC 6675 SetPipe: bytes believed to be in the network. `retransmitted` is HighRxt.
  uint32_t pipe(Sequence unacknowledged, Sequence max, Sequence retransmitted, uint32_t mss) const;
  // The first bytes at or after `from` that are not sacked and have sacked ones above them; empty range if there are
  // none.
  Range next_hole(Sequence from) const;
  // Where bytes that are not sacked begin, at or after `from`.
  Sequence skip_sacked(Sequence from) const;
  // The end of the bytes from `from` on that are not sacked; `max` if nothing above is.
  Sequence hole_end(Sequence from, Sequence max) const;

 private:
  std::array<Range, ranges_max> ranges_;  // disjoint, not adjacent, ascending
  uint8_t count_ = 0;
};

}  // namespace talaria::tcp
