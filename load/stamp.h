// What every message of a load carries in the first octets of its body: when it was due, whose it is, and its place.
//
//      0                      8         11                     16
//      +----------------------+---------+----------------------+
//      | due: nanoseconds u64 | stream  | sequence             |     big-endian; 24 and 40 bits
//      +----------------------+---------+----------------------+
//
// `due` is the time at which the message should have been sent, on the clock of the load: a sender that stalls makes
// later messages late, and their latency says so (no coordinated omission). A stream is what one producer sends to one
// queue, or to all of them; its messages are numbered from 0 without a gap.
#pragma once

#include <cstdint>

#include "core/base/bytes.h"
#include "core/base/time.h"

namespace talaria::load {

inline constexpr size_t stamp_bytes = 16;
inline constexpr uint32_t streams_max = 1u << 24;

struct Stamp {
  base::Time due{};
  uint32_t stream = 0;
  uint64_t sequence = 0;

  bool operator==(const Stamp&) const = default;
};

inline void store_stamp(uint8_t* at, const Stamp& stamp) {
  base::store_be64(at, static_cast<uint64_t>(stamp.due.time_since_epoch().count()));
  base::store_be64(at + 8, uint64_t{stamp.stream} << 40 | (stamp.sequence & ((uint64_t{1} << 40) - 1)));
}
inline Stamp load_stamp(const uint8_t* at) {
  const uint64_t place = base::load_be64(at + 8);
  return {base::Time{base::Duration{static_cast<int64_t>(base::load_be64(at))}}, static_cast<uint32_t>(place >> 40),
          place & ((uint64_t{1} << 40) - 1)};
}

}  // namespace talaria::load
