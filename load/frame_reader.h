// Frames out of a stream of bytes that comes in pieces of any cut, read where they lie: only what straddles two pieces
// is gathered, and of a body only its first octets.
//
// A handler is told, in the order of the wire:
//
//   on_method(channel, payload)       the payload of a method frame
//   on_header(body_size)              of a content header frame
//   on_body(first)                    the first octets (stamp_bytes at most) of a body frame
//   on_body_end(bytes)                that frame has come whole, with so many octets
//
// No allocation but for a method frame that straddles pieces and is longer than any before it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/amqp091/wire/frame.h"
#include "core/base/bytes.h"
#include "load/stamp.h"

namespace talaria::load {

class FrameReader {
 public:
  FrameReader() { gathered_.reserve(256); }

  // False: what came is no AMQP; nothing more may be read.
  template <class Handler>
  bool read(base::Bytes in, Handler& handler) {
    const uint8_t* at = in.data();
    const uint8_t* const end = at + in.size();
    while (at != end) {
      if (skip_ != 0) {
        at = skip(at, end);
        if (skip_ != 0) return true;
        if (at[-1] != amqp091::wire::frame_end) return false;
        handler.on_body_end(body_bytes_);
        continue;
      }
      if (gathered_.empty()) {
        const auto left = static_cast<size_t>(end - at);
        const size_t whole = unit(at, left);
        if (whole == 0) return false;
        if (whole > left) {
          gathered_.assign(at, end);
          return true;
        }
        if (!take(at, whole, handler)) return false;
        at += whole;
      } else {
        if (const Gathered got = gather(at, end); got != Gathered::unit) return got == Gathered::part;
        if (!take(gathered_.data(), gathered_.size(), handler)) return false;
        gathered_.clear();
      }
    }
    return true;
  }

 private:
  static constexpr size_t head = amqp091::wire::frame_header_size;
  static constexpr uint32_t payload_max = 1u << 20;  // more than any broker's frame_max

  // Octets that are looked at together: a whole frame, or of a long body its beginning. More than `left`: at least as
  // many must be there to get further. 0: this is no frame.
  static size_t unit(const uint8_t* at, size_t left) {
    if (left < head) return head;
    const uint32_t payload = base::load_be32(at + 3);
    if (payload > payload_max) return 0;
    const size_t frame = amqp091::wire::frame_overhead + payload;
    if (at[0] != static_cast<uint8_t>(amqp091::wire::FrameType::body) || frame <= left) return frame;
    return std::min(frame, head + stamp_bytes);
  }

  enum class Gathered : uint8_t { unit, part, malformed };

  // Adds to what was gathered until it is a unit.
  Gathered gather(const uint8_t*& at, const uint8_t* end) {
    while (true) {
      const size_t whole = unit(gathered_.data(), gathered_.size());
      if (whole == 0) return Gathered::malformed;
      if (whole <= gathered_.size()) return Gathered::unit;
      const size_t more = std::min(whole - gathered_.size(), static_cast<size_t>(end - at));
      if (more == 0) return Gathered::part;
      gathered_.insert(gathered_.end(), at, at + more);
      at += more;
    }
  }

  template <class Handler>
  bool take(const uint8_t* at, size_t whole, Handler& handler) {
    const uint32_t payload = base::load_be32(at + 3);
    const bool complete = whole == amqp091::wire::frame_overhead + payload;
    if (complete && at[whole - 1] != amqp091::wire::frame_end) return false;
    switch (static_cast<amqp091::wire::FrameType>(at[0])) {
      case amqp091::wire::FrameType::method:
        if (payload < 4) return false;
        handler.on_method(base::load_be16(at + 1), base::Bytes{at + head, payload});
        return true;
      case amqp091::wire::FrameType::header:
        if (payload < 14) return false;
        handler.on_header(base::load_be64(at + head + 4));
        return true;
      case amqp091::wire::FrameType::body:
        handler.on_body(base::Bytes{at + head, std::min<size_t>(payload, stamp_bytes)});
        if (complete) {
          handler.on_body_end(payload);
        } else {
          body_bytes_ = payload;
          skip_ = amqp091::wire::frame_overhead + payload - whole;
        }
        return true;
      case amqp091::wire::FrameType::heartbeat: return payload == 0;
    }
    return false;
  }

  const uint8_t* skip(const uint8_t* at, const uint8_t* end) {
    const size_t count = std::min(skip_, static_cast<size_t>(end - at));
    skip_ -= count;
    return at + count;
  }

  std::vector<uint8_t> gathered_;  // the front of a unit that is not all there
  size_t skip_ = 0;                // octets of the frame at hand, frame-end included, that nobody looks at
  uint32_t body_bytes_ = 0;        // of that frame
};

}  // namespace talaria::load
