// What planted bugs do to frames; see plant.h.
#pragma once

#include "tests/sim/nic.h"

namespace talaria::sim {

// Somewhere among the first segments with a payload of some size, one has its payload replaced by zeros, and its
// checksum made right. `done` is then set; it outlives the tamper.
FrameTamper zero_one_segment(Random random, bool& done);

}  // namespace talaria::sim
