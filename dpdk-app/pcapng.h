// Blocks of a pcapng file (draft-ietf-opsawg-pcapng), appended to a string: one section, Ethernet interfaces whose
// times count nanoseconds, numbered from 0 in the order in which they were appended. Stateless.
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
void append_pcapng_head(std::string& file, std::string_view program);
void append_pcapng_interface(std::string& file, const PcapngInterface& interface);

struct PcapngFrame {
  uint64_t time_ns = 0;  // since 1970, UTC
  bool inbound = false;
  uint32_t interface = 0;
  uint32_t queue = 0;
  uint32_t length = 0;  // as it was
  base::Bytes bytes;    // as much of it as was kept
};
void append_pcapng_frame(std::string& file, const PcapngFrame& frame);

// What the file ends with, for each interface. `dropped`: frames that were not kept.
void append_pcapng_tail(std::string& file, uint32_t interface, uint64_t time_ns, uint64_t received, uint64_t dropped);

}  // namespace talaria::app
