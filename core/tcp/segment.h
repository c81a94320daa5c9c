// TCP segments as bytes and as values (RFC 9293 3.1, 3.2; options of RFC 7323 and RFC 2018).
//
//   0               1               2               3
//  +-------------------------------+-------------------------------+
//  |          source port          |       destination port        |
//  |                        sequence number                        |
//  |                    acknowledgement number                     |
//  | offset|  res  |C E U A P R S F|            window             |
//  |           checksum            |        urgent pointer         |
//  |                 options (offset - 5 words)                    |
//
// Pure functions; any thread.
#pragma once

#include <array>
#include <cstdint>

#include "core/base/bytes.h"
#include "core/net/ip_address.h"
#include "core/tcp/sequence.h"

namespace talaria::tcp {

inline constexpr size_t tcp_header_bytes = 20;
inline constexpr size_t tcp_header_bytes_max = 60;
inline constexpr size_t timestamp_option_bytes = 12;  // with the two NOPs in front
inline constexpr uint8_t window_scale_max = 14;       // RFC 7323 2.3

enum Flag : uint8_t {
  flag_fin = 0x01,
  flag_syn = 0x02,
  flag_rst = 0x04,
  flag_psh = 0x08,
  flag_ack = 0x10,
  flag_urg = 0x20,
  flag_ece = 0x40,
  flag_cwr = 0x80,
};

// A segment's meaning, both ways.
struct Segment {
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  Sequence sequence = 0;
  Sequence acknowledgement = 0;
  uint16_t window = 0;  // as on the wire, unscaled
  uint8_t flags = 0;

  bool has_timestamp = false;
  uint32_t timestamp = 0;
  uint32_t timestamp_echo = 0;
  uint16_t mss = 0;  // 0: no such option
  bool has_window_scale = false;
  uint8_t window_scale = 0;  // at most window_scale_max
  bool sack_permitted = false;
  uint8_t sack_count = 0;
  std::array<Range, 4> sacks;

  base::Bytes payload;  // parse only

  bool has(uint8_t flag) const { return (flags & flag) != 0; }
  // What it takes of the sequence space.
  uint32_t sequence_bytes() const {
    return static_cast<uint32_t>(payload.size()) + (has(flag_syn) ? 1u : 0u) + (has(flag_fin) ? 1u : 0u);
  }
};

// False if the header is shorter than it must be or longer than the bytes; the checksum is not looked at. Options that
// are malformed end the list of options; unknown ones are skipped. `l4` is exactly the segment.
bool parse_segment(base::Bytes l4, Segment& segment);

// Writes header and options with a zero checksum; returns how many bytes, a multiple of 4, at most
// tcp_header_bytes_max. Of the SACK blocks those are written that fit.
size_t emit_segment(const Segment& segment, uint8_t* to);

// What `count` SACK blocks take in a header, with the NOPs in front.
inline size_t sack_option_bytes(size_t count) { return count == 0 ? 0 : 4 + 8 * count; }

// True if the checksum over pseudo header and segment is right.
bool verify_segment_checksum(base::Bytes l4, const net::IpAddress& source, const net::IpAddress& destination);
// Fills in the checksum of a whole segment; with `offload` only the pseudo header's sum, for the port to go on with.
void write_segment_checksum(base::MutableBytes l4, const net::IpAddress& source, const net::IpAddress& destination,
                            bool offload);

}  // namespace talaria::tcp
