// How a method is written down, and the one template that parses and emits them all.
//
//      payload of a method frame (section 2.3.5.1, 4.2.5)
//      0          2           4
//      +----------+-----------+----------//----------+
//      | class-id | method-id | fields, back to back |
//      | u16      | u16       |                      |
//      +----------+-----------+----------//----------+
//
// A method is a plain struct with its `id`, its `name` and `fields`, which ties its members in the order of the wire.
// The member's type is the wire's type:
//
//      uint8_t uint16_t uint32_t uint64_t    octet, short, long, longlong: big-endian
//      std::string_view                      shortstr: u8 length, UTF-8
//      Bytes                                 longstr: u32 length, any octets
//      Table                                 field table: u32 length, kept encoded; see table.h
//      bool                                  bit: neighbours share an octet, the first is its lowest bit
//      Reserved<T>                           skipped on the way in, zeros on the way out
//
// Parsed methods are views into the payload and live as long as it does. Nothing allocates.
#pragma once

#include <expected>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "core/amqp091/wire/frame.h"
#include "core/amqp091/wire/reply.h"
#include "core/amqp091/wire/utf8.h"
#include "core/base/bytes.h"
#include "core/base/check.h"

namespace talaria::amqp091::wire {

// The entries of a field table without the length in front. Not validated: see table.h.
struct Table {
  Bytes bytes;
};

template <class T>
struct Reserved {};
inline constexpr Reserved<uint16_t> reserved_short;
inline constexpr Reserved<std::string_view> reserved_shortstr;
inline constexpr Reserved<Bytes> reserved_longstr;
inline constexpr Reserved<bool> reserved_bit;

// For methods that are nothing but their id.
struct NoFields {
  static auto fields(auto&) { return std::tie(); }
};

// Class and method in one number, as they lie on the wire: what a caller switches on.
constexpr uint32_t id_of(uint16_t class_id, uint16_t method_id) { return uint32_t{class_id} << 16 | method_id; }
constexpr uint16_t class_of(uint32_t id) { return static_cast<uint16_t>(id >> 16); }
constexpr uint16_t method_of(uint32_t id) { return static_cast<uint16_t>(id); }

// Of a method frame's payload; 0, which is nobody's, if it is too short to have one.
inline uint32_t load_method_id(Bytes payload) { return payload.size() >= 4 ? base::load_be32(payload.data()) : 0; }

// ---- one field ------------------------------------------------------------------------------------------------------

namespace detail {

struct MethodParser {
  Reader in;
  uint8_t bits = 0;
  bool text_valid = true;

  template <size_t bit, class T>
  void parse(T& field) {
    if constexpr (std::is_same_v<T, bool>) {
      if constexpr (bit == 0) bits = in.u8();
      field = bits >> bit & 1;
    } else if constexpr (std::is_same_v<T, uint8_t>) {
      field = in.u8();
    } else if constexpr (std::is_same_v<T, uint16_t>) {
      field = in.be16();
    } else if constexpr (std::is_same_v<T, uint32_t>) {
      field = in.be32();
    } else if constexpr (std::is_same_v<T, uint64_t>) {
      field = in.be64();
    } else if constexpr (std::is_same_v<T, std::string_view>) {
      field = base::as_text(in.bytes(in.u8()));
      text_valid &= is_utf8(field);
    } else if constexpr (std::is_same_v<T, Bytes>) {
      field = in.bytes(in.be32());
    } else {
      static_assert(std::is_same_v<T, Table>);
      field.bytes = in.bytes(in.be32());
    }
  }

  template <size_t bit, class T>
  void parse(const Reserved<T>&) {
    T ignored{};
    parse<bit>(ignored);
  }
};

struct MethodEmitter {
  Writer& out;
  uint8_t bits = 0;

  template <size_t bit, bool last_bit, class T>
  void emit(const T& field) {
    if constexpr (std::is_same_v<T, bool>) {
      bits = static_cast<uint8_t>(bits | unsigned{field} << bit);
      if constexpr (last_bit) {
        out.u8(bits);
        bits = 0;
      }
    } else if constexpr (std::is_same_v<T, uint8_t>) {
      out.u8(field);
    } else if constexpr (std::is_same_v<T, uint16_t>) {
      out.be16(field);
    } else if constexpr (std::is_same_v<T, uint32_t>) {
      out.be32(field);
    } else if constexpr (std::is_same_v<T, uint64_t>) {
      out.be64(field);
    } else if constexpr (std::is_same_v<T, std::string_view>) {
      CHECK(field.size() <= shortstr_max);
      out.u8(static_cast<uint8_t>(field.size()));
      out.bytes(base::as_bytes(field));
    } else if constexpr (std::is_same_v<T, Bytes>) {
      out.be32(static_cast<uint32_t>(field.size()));
      out.bytes(field);
    } else {
      static_assert(std::is_same_v<T, Table>);
      out.be32(static_cast<uint32_t>(field.bytes.size()));
      out.bytes(field.bytes);
    }
  }

  template <size_t bit, bool last_bit, class T>
  void emit(const Reserved<T>&) {
    emit<bit, last_bit>(T{});
  }
};

// The types a method's `fields` ties together, without reference and const.
template <class M>
using FieldsOf = decltype(M::fields(std::declval<M&>()));
template <class M, size_t i>
using FieldAt = std::remove_cvref_t<std::tuple_element_t<i, FieldsOf<M>>>;

template <class T>
constexpr bool is_bit = std::is_same_v<T, bool> || std::is_same_v<T, Reserved<bool>>;

// Which bit of its octet field `i` is: how many bits stand right before it. No method has more than eight in a row.
template <class M, size_t i>
constexpr size_t bit_position() {
  if constexpr (i == 0 || !is_bit<FieldAt<M, i>>) {
    return 0;
  } else if constexpr (is_bit<FieldAt<M, i - 1>>) {
    static_assert(bit_position<M, i - 1>() < 7);
    return bit_position<M, i - 1>() + 1;
  } else {
    return 0;
  }
}
template <class M, size_t i>
constexpr bool is_last_bit() {
  if constexpr (i + 1 < std::tuple_size_v<FieldsOf<M>>)
    return !is_bit<FieldAt<M, i + 1>>;
  else
    return true;
}

}  // namespace detail

// ---- a whole method -------------------------------------------------------------------------------------------------

// Parses a method frame's payload as an M; the caller has switched on `load_method_id`. The payload must hold exactly
// the method, and every short string must be UTF-8: else 501, with the method to blame.
template <class M>
inline std::expected<M, Error> parse(Bytes payload) {
  detail::MethodParser parser{.in = Reader(payload)};
  uint32_t id = parser.in.be32();
  std::expected<M, Error> method(std::in_place);
  auto fields = M::fields(*method);
  [&]<size_t... i>(std::index_sequence<i...>) {
    (parser.template parse<detail::bit_position<M, i>()>(std::get<i>(fields)), ...);
  }
  (std::make_index_sequence<std::tuple_size_v<decltype(fields)>>{});
  bool exact = parser.in.ok() && parser.in.remaining() == 0 && id == M::id;
  if (!exact || !parser.text_valid) [[unlikely]]
    method = std::unexpected(Error{ReplyCode::frame_error, class_of(M::id), method_of(M::id),
                                   exact ? "Malformed UTF-8 in shortstr" : "frame does not hold its method exactly"});
  return method;
}

// Writes class, method and fields: a method frame's payload. Names longer than a short string are a bug of ours.
template <class M>
inline void emit(Writer& out, const M& method) {
  out.be32(M::id);
  detail::MethodEmitter emitter{.out = out};
  auto fields = M::fields(method);
  [&]<size_t... i>(std::index_sequence<i...>) {
    (emitter.template emit<detail::bit_position<M, i>(), detail::is_last_bit<M, i>()>(std::get<i>(fields)), ...);
  }
  (std::make_index_sequence<std::tuple_size_v<decltype(fields)>>{});
}

template <class M>
inline void emit_method_frame(Writer& out, uint16_t channel, const M& method) {
  uint8_t* frame = begin_frame(out, FrameType::method, channel);
  emit(out, method);
  end_frame(out, frame);
}

}  // namespace talaria::amqp091::wire
