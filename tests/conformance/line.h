// A segment as scripts write it, after packetdrill:
//
//   FLAGS START:END(LENGTH) [ack N] [win N] [urg N] [<OPTION, ...>] [ODDITY ...]
//
//   FLAGS    S F R P . (ACK) U E W, or - for none
//   numbers  relative: a side's SYN is 0, its first byte 1. win is in bytes.
//   OPTION   mss N | ws N | sackOK | TS VALUE ECHO | no TS | sack A:B ... | raw HEX
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/machine.h"
#include "tests/conformance/wire.h"

namespace talaria::conformance {

struct SegmentLine {
  uint8_t flags = 0;
  bool says_push = false;
  uint32_t start = 0;  // relative
  uint32_t length = 0;
  std::optional<uint32_t> acknowledgement{};  // relative
  std::optional<uint32_t> window{};           // bytes
  uint16_t urgent = 0;
  std::optional<uint16_t> mss{};
  std::optional<uint8_t> window_scale{};
  bool sack_permitted = false;
  bool timestamp = false, no_timestamp = false;
  std::optional<uint32_t> timestamp_value{}, timestamp_echo{};  // none: any
  std::vector<std::pair<uint32_t, uint32_t>> sacks{};           // relative
  std::vector<uint8_t> raw_options{};
  // Only of segments that arrive.
  Oddities oddities{};
  bool junk = false;  // other bytes than the stream's: they must not be delivered
  std::optional<uint32_t> from{}, to{};
  std::optional<Mac> to_mac{};
};

// Splits at blanks; what stands in <...> is one word.
std::vector<std::string> words_of(std::string_view text);
uint64_t number_of(std::string_view word);
// "us", "peer", "all", or four decimal parts.
uint32_t address_of(std::string_view word);
Mac mac_of(std::string_view word);  // "us", "all" or 02:...

SegmentLine read_segment_line(const std::vector<std::string>& words);

// The segment that arrives; the conversation remembers what the peer said with it.
Frame frame_of(const SegmentLine& line, Conversation& conversation, base::Time now);

// As a line would say it.
std::string to_text(const WireSegment& segment, const Conversation* conversation);
std::string to_text(const Sent& sent, Machine& machine);

// What the peer has seen with it.
void remember(const WireSegment& segment, Conversation& conversation);

// What differs; empty if the segment is the one that the line describes. Of a segment that matches, the conversation
// remembers what the peer has seen.
std::string difference(const SegmentLine& line, const WireSegment& segment, Conversation& conversation);

}  // namespace talaria::conformance
