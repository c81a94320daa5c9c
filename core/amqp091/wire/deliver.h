// The frames a broker writes per message, straight into the bytes that will be sent.
//
//      basic.deliver: a method frame, a header frame, and body frames; none for an empty body
//
//      method frame  | 1 | channel | size | 60 | 60 | tag s | delivery-tag | redelivered | exchange s | key s | 0xCE |
//                    |<-------- DeliverTemplate ---------->|
//      header frame  | 2 | channel | size | 60 | 0 | body size u64 | raw: property flags and list | 0xCE |
//      body frame    | 3 | channel | size | at most frame_max - 8 octets | 0xCE |
//
// Sizes are exact and asked for once; after that nothing is checked again. Nothing allocates.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "core/amqp091/wire/frame.h"
#include "core/amqp091/wire/methods.h"
#include "core/amqp091/wire/properties.h"
#include "core/base/check.h"

namespace talaria::amqp091::wire {

namespace detail {

inline uint8_t* store_shortstr(uint8_t* to, std::string_view text) {
  *to = static_cast<uint8_t>(text.size());
  return base::copy_short(to + 1, reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

}  // namespace detail

// ---- content --------------------------------------------------------------------------------------------------------

constexpr size_t content_header_frame_size(size_t raw_size) {
  return frame_overhead + content_header_fixed_size + raw_size;
}

inline uint8_t* store_content_header_frame(uint8_t* at, uint16_t channel, uint64_t body_size, Bytes raw) {
  at =
      store_frame_header(at, FrameType::header, channel, static_cast<uint32_t>(content_header_fixed_size + raw.size()));
  base::store_be32(at, uint32_t{basic_class_id} << 16);
  base::store_be64(at + 4, body_size);
  at = base::copy_short(at + content_header_fixed_size, raw.data(), raw.size());
  *at = frame_end;
  return at + 1;
}

// Octets of a body in its frames. `frame_max` is the negotiated one, at least frame_min_size.
constexpr size_t body_frames_size(size_t body_size, uint32_t frame_max) {
  size_t most = frame_max - frame_overhead;
  if (body_size <= most) return body_size == 0 ? 0 : body_size + frame_overhead;  // spares the division
  return body_size + (body_size + most - 1) / most * frame_overhead;
}

// Stores exactly body_frames_size() octets.
inline uint8_t* store_body_frames(uint8_t* at, uint16_t channel, Bytes body, uint32_t frame_max) {
  size_t most = frame_max - frame_overhead;
  while (!body.empty()) {
    Bytes part = body.first(std::min(body.size(), most));
    at = store_frame_header(at, FrameType::body, channel, static_cast<uint32_t>(part.size()));
    std::memcpy(at, part.data(), part.size());
    at[part.size()] = frame_end;
    at += part.size() + 1;
    body = body.subspan(part.size());
  }
  return at;
}

// ---- deliver --------------------------------------------------------------------------------------------------------

// What differs from one delivery to the next. Exchange and routing key are short strings.
struct Delivery {
  uint64_t delivery_tag = 0;
  bool redelivered = false;
  std::string_view exchange{};
  std::string_view routing_key{};
  Bytes raw_properties{};  // flags and list, as the publisher sent them
};

// Method frame and header frame with the longest names: what to leave room for, besides the properties and the body.
inline constexpr size_t deliver_size_max =
    frame_overhead + 4 + 3 * (1 + shortstr_max) + 8 + 1 + content_header_frame_size(0);

// A consumer's part of every basic.deliver, encoded when it subscribes. One cache line for the tags clients make.
class DeliverTemplate {
 public:
  DeliverTemplate(uint16_t channel, std::string_view consumer_tag) : channel_(channel) {
    CHECK(consumer_tag.size() <= shortstr_max);
    uint8_t* at = store_frame_header(front_.data(), FrameType::method, channel, 0);
    base::store_be32(at, basic::Deliver::id);
    at = detail::store_shortstr(at + 4, consumer_tag);
    front_size_ = static_cast<uint16_t>(at - front_.data());
  }

  uint16_t channel() const { return channel_; }
  std::string_view consumer_tag() const {
    return base::as_text(Bytes(front_).subspan(tag_offset, front_size_ - tag_offset));
  }

  // Octets of method frame and header frame.
  size_t front_size(const Delivery& delivery) const {
    return method_frame_size(delivery) + content_header_frame_size(delivery.raw_properties.size());
  }
  // Octets of the whole delivery.
  size_t size(const Delivery& delivery, size_t body_size, uint32_t frame_max) const {
    return front_size(delivery) + body_frames_size(body_size, frame_max);
  }

  // Stores method frame and header frame, exactly front_size() octets, and returns their end. For a caller that puts
  // the body behind them itself, in pieces.
  uint8_t* store_front(uint8_t* at, const Delivery& delivery, uint64_t body_size) const {
    size_t payload_size = method_frame_size(delivery) - frame_overhead;
    uint8_t* start = at;
    at = base::copy_short(at, front_.data(), front_size_);
    base::store_be32(start + 3, static_cast<uint32_t>(payload_size));
    base::store_be64(at, delivery.delivery_tag);
    at[8] = delivery.redelivered;
    at = detail::store_shortstr(at + 9, delivery.exchange);
    at = detail::store_shortstr(at, delivery.routing_key);
    *at = frame_end;
    return store_content_header_frame(at + 1, channel_, body_size, delivery.raw_properties);
  }

  // The whole delivery into `out`. Returns its octets, or 0 if they do not fit; then nothing is written.
  size_t emit(MutableBytes out, const Delivery& delivery, Bytes body, uint32_t frame_max) const {
    size_t needed = size(delivery, body.size(), frame_max);
    if (needed > out.size()) return 0;
    uint8_t* at = store_front(out.data(), delivery, body.size());
    store_body_frames(at, channel_, body, frame_max);
    return needed;
  }

 private:
  static constexpr size_t tag_offset = frame_header_size + 4 + 1;

  size_t method_frame_size(const Delivery& delivery) const {
    return front_size_ + 8u + 1u + 1u + delivery.exchange.size() + 1u + delivery.routing_key.size() + 1u;
  }

  uint16_t channel_;
  uint16_t front_size_;
  std::array<uint8_t, tag_offset + shortstr_max> front_;
};

// ---- acknowledge ----------------------------------------------------------------------------------------------------

// basic.ack and basic.nack are one size:  | channel header 7 | 60 | 80 or 120 | tag u64 | bits u8 | 0xCE |
inline constexpr size_t ack_frame_size = frame_overhead + 4 + 8 + 1;

namespace detail {
inline size_t emit_settlement(MutableBytes out, uint16_t channel, uint32_t id, uint64_t delivery_tag, uint8_t bits) {
  if (out.size() < ack_frame_size) return 0;
  uint8_t* at = store_frame_header(out.data(), FrameType::method, channel, ack_frame_size - frame_overhead);
  base::store_be32(at, id);
  base::store_be64(at + 4, delivery_tag);
  at[12] = bits;
  at[13] = frame_end;
  return ack_frame_size;
}
}  // namespace detail

// A confirm of publishes. Returns ack_frame_size, or 0 if it does not fit.
inline size_t emit_ack(MutableBytes out, uint16_t channel, uint64_t delivery_tag, bool multiple) {
  return detail::emit_settlement(out, channel, basic::Ack::id, delivery_tag, multiple);
}
// A refusal of publishes (`requeue` means nothing here and is 0). Returns ack_frame_size, or 0 if it does not fit.
inline size_t emit_nack(MutableBytes out, uint16_t channel, uint64_t delivery_tag, bool multiple) {
  return detail::emit_settlement(out, channel, basic::Nack::id, delivery_tag, multiple);
}

}  // namespace talaria::amqp091::wire
