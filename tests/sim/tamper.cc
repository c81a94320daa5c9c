#include "tests/sim/tamper.h"

#include <algorithm>
#include <memory>

#include "tests/sim/peer_segment.h"

namespace talaria::sim {

FrameTamper zero_one_segment(Random random, bool& done) {
  auto until = std::make_shared<uint64_t>(random.between(1, 10));
  return [until, &done](std::vector<uint8_t>& frame) {
    auto segment = read_segment(frame);
    if (*until == 0 || !segment || segment->payload.size() < 16 || --*until != 0) return;
    done = true;
    // Options other than timestamps do not stand on segments with a payload.
    std::fill(segment->payload.begin(), segment->payload.end(), uint8_t{0});
    net::MacAddress to, from;
    std::copy_n(frame.begin(), to.size(), to.begin());
    std::copy_n(frame.begin() + 6, from.size(), from.begin());
    frame = write_segment(*segment, from, to);
  };
}

}  // namespace talaria::sim
