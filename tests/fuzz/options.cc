// Fuzzes the parser of TCP headers and options alone, where most bytes reach it.
//
// The input is a segment. What is accepted lies within the bytes, keeps to its bounds, and means the same when it is
// emitted and parsed again; as far as it fits forty bytes of options, which a peer's own choice of them need not.
#include "core/base/check.h"
#include "core/tcp/segment.h"

namespace talaria::tcp {
namespace {

size_t option_bytes(const Segment& segment) {
  return (segment.mss != 0 ? 4u : 0u) + (segment.has_window_scale ? 4u : 0u) + (segment.sack_permitted ? 4u : 0u) +
         (segment.has_timestamp ? timestamp_option_bytes : 0u) + sack_option_bytes(segment.sack_count);
}

void check_bounds(const Segment& segment, base::Bytes bytes) {
  CHECK(segment.window_scale <= window_scale_max);
  CHECK(segment.sack_count <= segment.sacks.size());
  CHECK(segment.payload.size() <= bytes.size() - tcp_header_bytes);
  CHECK(segment.payload.data() + segment.payload.size() == bytes.data() + bytes.size());
}

void check_same(const Segment& one, const Segment& other) {
  CHECK(one.source_port == other.source_port && one.destination_port == other.destination_port);
  CHECK(one.sequence == other.sequence && one.acknowledgement == other.acknowledgement);
  CHECK(one.flags == other.flags && one.window == other.window && one.mss == other.mss);
  CHECK(one.has_window_scale == other.has_window_scale && one.window_scale == other.window_scale);
  CHECK(one.sack_permitted == other.sack_permitted && one.has_timestamp == other.has_timestamp);
  if (one.has_timestamp) CHECK(one.timestamp == other.timestamp && one.timestamp_echo == other.timestamp_echo);
  CHECK(one.sack_count == other.sack_count);
  for (size_t i = 0; i < one.sack_count; i++)
    CHECK(one.sacks[i].start == other.sacks[i].start && one.sacks[i].end == other.sacks[i].end);
}

}  // namespace
}  // namespace talaria::tcp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace talaria;
  tcp::Segment segment;
  if (!tcp::parse_segment({data, size}, segment)) return 0;
  tcp::check_bounds(segment, {data, size});
  if (tcp::option_bytes(segment) > tcp::tcp_header_bytes_max - tcp::tcp_header_bytes) return 0;
  uint8_t emitted[tcp::tcp_header_bytes_max];
  const size_t bytes = tcp::emit_segment(segment, emitted);
  CHECK(bytes <= sizeof emitted && bytes % 4 == 0);
  tcp::Segment again;
  CHECK(tcp::parse_segment({emitted, bytes}, again));
  tcp::check_same(segment, again);
  return 0;
}
