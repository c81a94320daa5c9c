// Frames: the envelope of everything on an AMQP 0-9-1 connection (specification section 2.3.5 and 4.2.3), and the
// eight octets a connection opens with (section 4.2.2).
//
//      0      1         3             7                      7+size   8+size
//      +------+---------+-------------+----------//----------+--------+
//      | type | channel | size        | payload: size octets | 0xCE   |
//      | u8   | u16     | u32         |                      | u8     |
//      +------+---------+-------------+----------//----------+--------+
//
// Nothing here keeps state or copies: a frame is looked at where it lies, and its payload is a view into it. A caller
// that wants a body before its frame is whole takes `parse_frame_header`, streams `payload_size` octets, and compares
// the octet after them with `frame_end` itself.
#pragma once

#include <array>
#include <cstdint>

#include "core/amqp091/wire/reply.h"
#include "core/base/bytes.h"

namespace talaria::amqp091::wire {

using base::Bytes;
using base::MutableBytes;
using base::Reader;
using base::Writer;

enum class FrameType : uint8_t { method = 1, header = 2, body = 3, heartbeat = 8 };

inline constexpr uint8_t frame_end = 0xCE;
inline constexpr size_t frame_header_size = 7;
inline constexpr size_t frame_overhead = frame_header_size + 1;  // the smallest frame, and the cost of any

enum class FrameStatus : uint8_t { whole, incomplete, malformed };
enum class FrameFault : uint8_t { none, unknown_type, oversize, bad_end, heartbeat_payload, heartbeat_channel };

// The connection error that answers a fault: 501, or 505 for a heartbeat on a channel.
Error error_of(FrameFault fault);

struct FrameHeader {
  FrameStatus status = FrameStatus::incomplete;  // `whole`: the seven octets are there and valid
  FrameFault fault = FrameFault::none;           // why it is malformed
  FrameType type = FrameType::method;
  uint16_t channel = 0;
  uint32_t payload_size = 0;
};

struct Frame {
  FrameStatus status = FrameStatus::incomplete;
  FrameFault fault = FrameFault::none;
  FrameType type = FrameType::method;
  uint16_t channel = 0;
  size_t size = frame_overhead;  // whole: octets to consume; incomplete: octets that must be there to get further
  Bytes payload;                 // whole: the payload; else empty
};

// Out of line: the fault of a header that is no method, header or body frame within bounds; `none` for a heartbeat.
FrameFault inspect_unusual_frame(uint8_t type, uint16_t channel, uint32_t payload_size, uint32_t frame_max);

// `frame_max` bounds the payload: the eight octets of overhead are forgiven, as RabbitMQ forgives them.
inline FrameHeader parse_frame_header(Bytes available, uint32_t frame_max) {
  FrameHeader header;
  if (available.size() < frame_header_size) return header;
  uint8_t type = available[0];
  header.channel = base::load_be16(available.data() + 1);
  header.payload_size = base::load_be32(available.data() + 3);
  header.type = static_cast<FrameType>(type);
  header.status = FrameStatus::whole;
  bool usual = static_cast<uint8_t>(type - 1) <= 2 && header.payload_size <= frame_max;
  if (!usual) [[unlikely]] {
    header.fault = inspect_unusual_frame(type, header.channel, header.payload_size, frame_max);
    if (header.fault != FrameFault::none) header.status = FrameStatus::malformed;
  }
  return header;
}

// The first frame of `available`. A header that is already wrong is reported before the rest of its frame arrives.
inline Frame parse_frame(Bytes available, uint32_t frame_max) {
  Frame frame;
  FrameHeader header = parse_frame_header(available, frame_max);
  frame.status = header.status;
  frame.fault = header.fault;
  frame.type = header.type;
  frame.channel = header.channel;
  if (header.status != FrameStatus::whole) [[unlikely]]
    return frame;
  frame.size = frame_overhead + header.payload_size;
  if (available.size() < frame.size) [[unlikely]] {
    frame.status = FrameStatus::incomplete;
    return frame;
  }
  frame.payload = available.subspan(frame_header_size, header.payload_size);
  if (available[frame.size - 1] != frame_end) [[unlikely]] {
    frame.status = FrameStatus::malformed;
    frame.fault = FrameFault::bad_end;
  }
  return frame;
}

// For who knows what should come next: the payload of the frame of that type and channel that `available` begins with.
// Without data if that is not there whole, or is something else: `parse_frame` knows what.
inline Bytes expected_payload(Bytes available, FrameType type, uint16_t channel, uint32_t frame_max) {
  if (available.size() < frame_overhead) return {};
  const uint64_t head = base::load_be64(available.data());
  const size_t size = static_cast<uint32_t>(head >> 8);
  if (head >> 40 != (uint64_t{static_cast<uint8_t>(type)} << 16 | channel) || size > frame_max ||
      size > available.size() - frame_overhead || available[frame_header_size + size] != frame_end)
    return {};
  return available.subspan(frame_header_size, size);
}

// ---- out ------------------------------------------------------------------------------------------------------------

inline uint8_t* store_frame_header(uint8_t* at, FrameType type, uint16_t channel, uint32_t payload_size) {
  at[0] = static_cast<uint8_t>(type);
  base::store_be16(at + 1, channel);
  base::store_be32(at + 3, payload_size);
  return at + frame_header_size;
}

// A frame whose size is known only when its payload is written: begin, write the payload, end. What came out counts
// only if the writer is still `ok()`.
inline uint8_t* begin_frame(Writer& out, FrameType type, uint16_t channel) {
  uint8_t* start = out.position();
  out.u8(static_cast<uint8_t>(type));
  out.be16(channel);
  out.be32(0);
  return start;
}
inline void end_frame(Writer& out, uint8_t* start) {
  if (!out.ok()) return;
  base::store_be32(start + 3, static_cast<uint32_t>(out.position() - start) - uint32_t{frame_header_size});
  out.u8(frame_end);
}

// A heartbeat never changes: write these octets.
inline constexpr std::array<uint8_t, frame_overhead> heartbeat_frame = {8, 0, 0, 0, 0, 0, 0, frame_end};

// ---- greeting -------------------------------------------------------------------------------------------------------

// What we speak, and what we answer to everybody who opens with something else before closing.
inline constexpr std::array<uint8_t, 8> protocol_header = {'A', 'M', 'Q', 'P', 0, 0, 9, 1};

enum class Greeting : uint8_t {
  incomplete,  // so far it may become AMQP
  amqp091,     // `AMQP 0 0 9 1`, or `AMQP 1 1 0 9` of the old clients that spelled it so
  other_amqp,  // another version of AMQP: answer `protocol_header`, close
  http,        // `GET `: somebody's browser or health check
  tls,         // a ClientHello on the plain port
  unknown,
};

// Of the first octets of a connection; eight are looked at and, if it is AMQP, consumed.
Greeting recognise_greeting(Bytes first);

}  // namespace talaria::amqp091::wire
