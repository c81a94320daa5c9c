// The content header: what stands between a publish and its body (sections 2.3.5.2 and 4.2.6.1), and the fourteen basic
// properties of a message.
//
//      payload of a header frame
//      0          2            4            12      14
//      +----------+------------+------------+-------+--------------//--------------+
//      | class-id | weight = 0 | body size  | flags | the properties that are set  |
//      | u16 = 60 | u16        | u64        | u16   | in the order of their flags  |
//      +----------+------------+------------+-------+--------------//--------------+
//                                           |<------------- raw ------------------>|
//
// A broker passes `raw` on untouched, flags and all: an absent property stays absent, an empty one empty. So a message
// on its way is only scanned: `scan_content_header` walks the list once, which proves it well formed, and keeps the
// four properties a queue asks about. Whoever needs another one sees its flag and calls `parse_properties(raw)`.
// Everything is a view into the payload; nothing allocates. The text of properties is any octets, as RabbitMQ takes it;
// the table of headers is bounded here and looked into by table.h.
#pragma once

#include <expected>
#include <string_view>
#include <tuple>

#include "core/amqp091/wire/frame.h"
#include "core/amqp091/wire/method.h"
#include "core/amqp091/wire/reply.h"

namespace talaria::amqp091::wire {

inline constexpr uint16_t basic_class_id = 60;
inline constexpr size_t content_header_fixed_size = 12;                           // class, weight, body size
inline constexpr size_t content_header_size_min = content_header_fixed_size + 2;  // and flags
// Octets of flags and list that a frame has room for.
constexpr size_t properties_max(size_t frame_max) { return frame_max - frame_overhead - content_header_fixed_size; }

// A property's flag: bit 15 is the first. Bit 1 is nobody's, bit 0 would continue the flags; we refuse both.
enum class Property : uint16_t {
  content_type = 1 << 15,
  content_encoding = 1 << 14,
  headers = 1 << 13,
  delivery_mode = 1 << 12,
  priority = 1 << 11,
  correlation_id = 1 << 10,
  reply_to = 1 << 9,
  expiration = 1 << 8,
  message_id = 1 << 7,
  timestamp = 1 << 6,
  type = 1 << 5,
  user_id = 1 << 4,
  app_id = 1 << 3,
  cluster_id = 1 << 2,
};
constexpr uint16_t flag(Property property) { return static_cast<uint16_t>(property); }
inline constexpr uint16_t unknown_property_flags = 0x0003;

// All properties. One that is not set has its zero value; to set one, assign it and `set` its flag.
struct Properties {
  uint16_t flags = 0;
  std::string_view content_type{}, content_encoding{};
  Table headers{};
  uint8_t delivery_mode = 0, priority = 0;
  std::string_view correlation_id{}, reply_to{}, expiration{}, message_id{};
  uint64_t timestamp = 0;
  std::string_view type{}, user_id{}, app_id{}, cluster_id{};

  bool has(Property property) const { return flags & flag(property); }
  void set(Property property) { flags = static_cast<uint16_t>(flags | flag(property)); }
  void clear(Property property) { flags = static_cast<uint16_t>(flags & ~flag(property)); }

  // In the order of the flags, bit 15 first.
  static auto fields(auto& p) {
    return std::tie(p.content_type, p.content_encoding, p.headers, p.delivery_mode, p.priority, p.correlation_id,
                    p.reply_to, p.expiration, p.message_id, p.timestamp, p.type, p.user_id, p.app_id, p.cluster_id);
  }
};

// What a queue asks about a message, and the rest in one piece.
struct ContentScan {
  uint64_t body_size = 0;
  Bytes raw{};                // flags and list, as they are re-emitted
  uint16_t flags = 0;         // absent is not empty: ask `has`
  uint8_t delivery_mode = 0;  // 2 is persistent
  uint8_t priority = 0;
  std::string_view reply_to{};
  std::string_view expiration{};  // text, still to be read as a number
  Table headers{};

  bool has(Property property) const { return flags & flag(property); }
  bool persistent() const { return delivery_mode == 2; }
};

struct ContentHeader {
  uint64_t body_size = 0;
  Bytes raw{};
  Properties properties;
};

// The error of a content header that did not scan: found out again, off the way.
Error explain_content_header(Bytes payload);

// ---- in -------------------------------------------------------------------------------------------------------------

inline std::expected<ContentScan, Error> scan_content_header(Bytes payload) {
  constexpr uint32_t class_and_weight = uint32_t{basic_class_id} << 16;
  // Built where it is returned, by the only return: a copy of what was just written in parts costs more than the scan.
  std::expected<ContentScan, Error> scanned(std::in_place);
  ContentScan& scan = *scanned;
  Reader in(payload);
  bool basic = in.be32() == class_and_weight;
  scan.body_size = in.be64();
  scan.raw = {in.position(), in.remaining()};
  scan.flags = in.be16();
  auto skip_text = [&](Property property) {
    if (scan.has(property)) in.bytes(in.u8());
  };
  skip_text(Property::content_type);
  skip_text(Property::content_encoding);
  if (scan.has(Property::headers)) scan.headers.bytes = in.bytes(in.be32());
  if (scan.has(Property::delivery_mode)) scan.delivery_mode = in.u8();
  if (scan.has(Property::priority)) scan.priority = in.u8();
  // The rest are rare in fast traffic: one question for all of them.
  if (scan.flags & (flag(Property::priority) - 1)) {
    skip_text(Property::correlation_id);
    if (scan.has(Property::reply_to)) scan.reply_to = base::as_text(in.bytes(in.u8()));
    if (scan.has(Property::expiration)) scan.expiration = base::as_text(in.bytes(in.u8()));
    skip_text(Property::message_id);
    if (scan.has(Property::timestamp)) in.be64();
    skip_text(Property::type);
    skip_text(Property::user_id);
    skip_text(Property::app_id);
    skip_text(Property::cluster_id);
    if (scan.flags & unknown_property_flags) in.fail();
  }
  if (!basic || !in.ok() || in.remaining() != 0) [[unlikely]]
    scanned = std::unexpected(explain_content_header(payload));
  return scanned;
}

// Every property, from `raw`: flags and list.
std::expected<Properties, Error> parse_properties(Bytes raw);

std::expected<ContentHeader, Error> parse_content_header(Bytes payload);

// ---- out ------------------------------------------------------------------------------------------------------------

// Flags and list: what `raw` is. Text longer than a short string is a bug of ours.
void emit_properties(Writer& out, const Properties& properties);

// The whole header frame of a message whose properties are passed on.
inline void emit_content_header_frame(Writer& out, uint16_t channel, uint64_t body_size, Bytes raw) {
  uint8_t* frame = begin_frame(out, FrameType::header, channel);
  out.be16(basic_class_id);
  out.be16(0);
  out.be64(body_size);
  out.bytes(raw);
  end_frame(out, frame);
}

}  // namespace talaria::amqp091::wire
