// Blocks of a pcapng file (draft-ietf-opsawg-pcapng), appended to a string: one section, one Ethernet interface whose
// times count nanoseconds. Stateless.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/bytes.h"

namespace talaria::app {

struct PcapngInterface {
  std::string_view name;
  std::string_view filter;
  uint32_t snap_length = 0;  // 0: whole frames
};
// What the file begins with. `program` says who wrote it.
void append_pcapng_head(std::string& file, std::string_view program, const PcapngInterface& interface);

struct PcapngFrame {
  uint64_t time_ns = 0;  // since 1970, UTC
  bool inbound = false;
  uint32_t queue = 0;
  uint32_t length = 0;  // as it was
  base::Bytes bytes;    // as much of it as was kept
};
void append_pcapng_frame(std::string& file, const PcapngFrame& frame);

// What the file ends with. `dropped`: frames that were not kept.
void append_pcapng_tail(std::string& file, uint64_t time_ns, uint64_t received, uint64_t dropped);

}  // namespace talaria::app
