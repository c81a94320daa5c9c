// Sequence numbers: 32 bits that wrap (RFC 9293 3.4). Comparisons hold while two numbers are less than 2^31 apart.
#pragma once

#include <cstdint>

namespace talaria::tcp {

using Sequence = uint32_t;

inline bool before(Sequence a, Sequence b) { return static_cast<int32_t>(a - b) < 0; }
inline bool after(Sequence a, Sequence b) { return before(b, a); }
inline bool at_or_before(Sequence a, Sequence b) { return !after(a, b); }
inline bool at_or_after(Sequence a, Sequence b) { return !before(a, b); }
inline Sequence later(Sequence a, Sequence b) { return before(a, b) ? b : a; }
inline Sequence earlier(Sequence a, Sequence b) { return before(a, b) ? a : b; }
// How far `b` lies behind `a`; 0 if it does not.
inline uint32_t distance(Sequence a, Sequence b) { return before(a, b) ? b - a : 0; }

// Bytes [start, end) of the sequence space.
struct Range {
  Sequence start = 0;
  Sequence end = 0;

  uint32_t size() const { return end - start; }
  bool operator==(const Range&) const = default;
};

}  // namespace talaria::tcp
