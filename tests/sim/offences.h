// What clients may not say, and what they are told then, word for word: wrong states, bad arguments, frames out of
// place.
#pragma once

#include <cstdint>
#include <string>

#include "tests/sim/dialect.h"
#include "tests/sim/random.h"
#include "tests/sim/topology.h"

namespace talaria::sim {

struct Offence {
  uint16_t code = 0;
  std::string text;
  Buffer frames;
};

// Of a channel that is open.
struct OffendedChannel {
  uint16_t number = 0;
  uint64_t delivered = 0;  // the last delivery tag
  bool transactional = false, confirms = false;
  std::string user = "guest";
  bool replies = false;  // it consumes direct ones
};

// Costs the channel.
Offence draw_offence(Random& random, const OffendedChannel& channel, const Topology& topology);
// Costs the connection. `fresh` is a number on which no channel is open, of those that the client may open; with
// `secrets` it may be a wrong one.
Offence draw_grave_offence(Random& random, uint16_t fresh, bool secrets);

}  // namespace talaria::sim
