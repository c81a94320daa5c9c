// What arrived and was not consumed: bytes in chunks that are addressed by sequence number, and the ranges among them
// that wait for a gap before them to be filled.
//
//   read                 next (in order up to here)                       edge (right edge of the window)
//    v                    v                                                v
//    |####################|.......|######|.....|###########|..............|
//    | chunk k            | chunk k+1          | chunk k+2         |            chunks begin at multiples of their
//    size;
//                                 range 2      range 1                          one exists only where bytes were put
//
// A byte is put where it belongs once and never moves, so overlaps and duplicates cost a copy and no memory, and a peer
// that sends every second byte takes no more memory than one that sends all. Ranges are kept most recent first, as the
// SACK option wants them (RFC 2018 4), at most ranges_max of them: a segment that would make one more is dropped.
//
// One ReceiveMemory a stack, owned by its worker; one Reassembly a connection.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/slab.h"
#include "core/tcp/config.h"
#include "core/tcp/sequence.h"

namespace talaria::tcp {

struct Reassembly {
  static constexpr size_t ranges_max = 32;

  uint32_t first_chunk = base::none;
  uint32_t last_chunk = base::none;
  uint16_t chunk_count = 0;
  uint8_t range_count = 0;
  std::array<Range, ranges_max> ranges;  // disjoint, not adjacent, most recent first
};

class ReceiveMemory {
 public:
  ReceiveMemory(size_t chunks, std::pmr::memory_resource* memory);

  // Puts bytes at their place. False, and nothing put, if the chunks do not suffice: a connection that holds few chunks
  // may take the last ones, others stop at a reserve, so that a paused publisher cannot keep the acknowledgements of a
  // consumer out.
  bool put(Reassembly& reassembly, Sequence at, base::Bytes bytes);
  // Contiguous bytes from `at` up to `end` at most, ending with a chunk. There are some: at < end, both put.
  base::Bytes view(const Reassembly& reassembly, Sequence at, Sequence end) const;
  // Lets go the chunks that lie wholly before `at`.
  void release_before(Reassembly& reassembly, Sequence at);
  void release_all(Reassembly& reassembly);

  // Remembers [start, end) as arrived out of order, joined with what it touches. False if there are too many ranges.
  static bool add_range(Reassembly& reassembly, Range range);
  // True if a range that joins `range` exists or one more may be made.
  static bool has_room_for(const Reassembly& reassembly, Range range);
  // Bytes are in order up to `next`: where they are in order up to now that ranges before that have been joined.
  static Sequence advance(Reassembly& reassembly, Sequence next);

  bool under_pressure() const { return chunks_.free() < chunks_.size() / 4; }
  size_t chunks_used() const { return chunks_.used(); }

 private:
  struct Place {
    Sequence base = 0;  // of the chunk's first byte
    uint32_t next = base::none;
  };
  using Chunk = std::array<uint8_t, receive_chunk_bytes>;

  static constexpr Sequence base_of(Sequence at) { return at & ~static_cast<Sequence>(receive_chunk_bytes - 1); }
  // The chunk that begins at `base`, made if it is not there; none if there is no memory.
  uint32_t chunk_at(Reassembly& reassembly, Sequence base);
  uint32_t find(const Reassembly& reassembly, Sequence base) const;

  base::Slab<Chunk> chunks_;
  std::pmr::vector<Place> places_;
};

}  // namespace talaria::tcp
