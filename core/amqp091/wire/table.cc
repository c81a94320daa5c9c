#include "core/amqp091/wire/table.h"

#include <array>
#include <bit>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace talaria::amqp091::wire {
namespace {

using base::ByteArray;
using base::Decimal;
using base::Field;
using base::FieldArray;
using base::FieldEntry;
using base::FieldKind;
using base::FieldTable;
using base::FieldView;
using base::HeaderView;
using base::Timestamp;
using base::Void;

std::unexpected<Error> malformed(std::string_view text) {
  return std::unexpected(Error{ReplyCode::syntax_error, 0, 0, text});
}

constexpr std::string_view malformed_text = "malformed field table";
constexpr std::string_view depth_text = "field table nested too deep";
constexpr std::string_view elements_text = "field table has too many values";

std::string owned(Bytes bytes) { return std::string(base::as_text(bytes)); }

// ---- validate -------------------------------------------------------------------------------------------------------

// The octets of a value whose letter settles them; or that a u32 says how many there are; or that there is no such
// letter.
constexpr uint8_t counted = 0xFE;
constexpr uint8_t no_such_letter = 0xFF;
constexpr auto widths = [] {
  std::array<uint8_t, 256> width;
  width.fill(no_such_letter);
  width['V'] = 0;
  width['t'] = width['b'] = width['B'] = 1;
  width['s'] = width['u'] = 2;
  width['I'] = width['i'] = width['f'] = 4;
  width['D'] = 5;
  width['l'] = width['L'] = width['d'] = width['T'] = 8;
  width['S'] = width['x'] = width['F'] = width['A'] = counted;
  return width;
}();

// nullptr if all is well, else the text of what is wrong.
using Fault = const std::string_view*;

Fault validate_entries(Bytes entries, bool named, unsigned depth) {
  if (depth > table_depth_max) return &depth_text;
  Reader in(entries);
  while (in.remaining() > 0) {
    if (named) in.bytes(in.u8());
    uint8_t letter = in.u8();
    uint8_t width = widths[letter];
    if (width == no_such_letter) return &malformed_text;
    if (width != counted) {
      in.bytes(width);
      continue;
    }
    Bytes contents = in.bytes(in.be32());
    if (letter != 'F' && letter != 'A') continue;
    if (Fault fault = validate_entries(contents, letter == 'F', depth + 1)) return fault;
  }
  return in.ok() ? nullptr : &malformed_text;
}

// ---- decode ---------------------------------------------------------------------------------------------------------

class Decoder {
 public:
  Fault table(Bytes entries, unsigned depth, FieldTable& out) {
    if (depth > table_depth_max) return &depth_text;
    Reader in(entries);
    while (in.remaining() > 0) {
      FieldEntry& entry = out.emplace_back();
      entry.name = owned(in.bytes(in.u8()));
      if (Fault fault = value(in, depth, entry.value)) return fault;
    }
    return nullptr;
  }

 private:
  Fault array(Bytes values, unsigned depth, FieldArray& out) {
    if (depth > table_depth_max) return &depth_text;
    Reader in(values);
    while (in.remaining() > 0)
      if (Fault fault = value(in, depth, out.emplace_back())) return fault;
    return nullptr;
  }

  Fault value(Reader& in, unsigned depth, Field& out) {
    if (elements_left_-- == 0) return &elements_text;
    switch (in.u8()) {
      case 't': out.value = in.u8() != 0; break;
      case 'b': out.value = static_cast<int8_t>(in.u8()); break;
      case 'B': out.value = in.u8(); break;
      case 's': out.value = static_cast<int16_t>(in.be16()); break;
      case 'u': out.value = in.be16(); break;
      case 'I': out.value = static_cast<int32_t>(in.be32()); break;
      case 'i': out.value = in.be32(); break;
      case 'l':
      case 'L': out.value = static_cast<int64_t>(in.be64()); break;
      case 'f': out.value = std::bit_cast<float>(in.be32()); break;
      case 'd': out.value = std::bit_cast<double>(in.be64()); break;
      case 'D': {
        uint8_t scale = in.u8();
        out.value = Decimal{scale, in.be32()};
        break;
      }
      case 'S': out.value = owned(in.bytes(in.be32())); break;
      case 'x': out.value = ByteArray{owned(in.bytes(in.be32()))}; break;
      case 'T': out.value = Timestamp{in.be64()}; break;
      case 'V': out.value = Void{}; break;
      case 'F':
        if (Fault fault = table(in.bytes(in.be32()), depth + 1, out.value.emplace<FieldTable>())) return fault;
        break;
      case 'A':
        if (Fault fault = array(in.bytes(in.be32()), depth + 1, out.value.emplace<FieldArray>())) return fault;
        break;
      default: return &malformed_text;
    }
    return in.ok() ? nullptr : &malformed_text;
  }

  uint32_t elements_left_ = table_elements_max;
};

// ---- encode ---------------------------------------------------------------------------------------------------------

size_t contents_size(const FieldTable& table);

size_t value_size(const Field& field) {
  size_t contents = std::visit(
      [](const auto& value) -> size_t {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, Void>) return 0;
        if constexpr (std::is_arithmetic_v<T>) return sizeof value;
        if constexpr (std::is_same_v<T, Decimal>) return 5;
        if constexpr (std::is_same_v<T, Timestamp>) return 8;
        if constexpr (std::is_same_v<T, std::string>) return 4 + value.size();
        if constexpr (std::is_same_v<T, ByteArray>) return 4 + value.bytes.size();
        if constexpr (std::is_same_v<T, FieldTable>) return 4 + contents_size(value);
        if constexpr (std::is_same_v<T, FieldArray>) {
          size_t size = 4;
          for (const Field& item : value) size += value_size(item);
          return size;
        }
      },
      field.value);
  return 1 + contents;
}

size_t contents_size(const FieldTable& table) {
  size_t size = 0;
  for (const auto& [name, value] : table) size += 1 + name.size() + value_size(value);
  return size;
}

class Encoder {
 public:
  explicit Encoder(Writer& out) : out_(out) {}

  void table(const FieldTable& table, unsigned depth) {
    counted_contents(depth, [&] {
      for (const auto& [name, value] : table) {
        if (name.size() > shortstr_max) return out_.fail();
        out_.u8(static_cast<uint8_t>(name.size()));
        out_.bytes(base::as_bytes(name));
        field(value, depth);
      }
    });
  }

 private:
  void array(const FieldArray& array, unsigned depth) {
    counted_contents(depth, [&] {
      for (const Field& item : array) field(item, depth);
    });
  }

  void field(const Field& field, unsigned depth) {
    std::visit([&](const auto& held) { value(held, depth); }, field.value);
  }

  void value(Void, unsigned) { letter('V'); }
  void value(bool value, unsigned) { letter('t').u8(value); }
  void value(int8_t value, unsigned) { letter('b').u8(static_cast<uint8_t>(value)); }
  void value(uint8_t value, unsigned) { letter('B').u8(value); }
  void value(int16_t value, unsigned) { letter('s').be16(static_cast<uint16_t>(value)); }
  void value(uint16_t value, unsigned) { letter('u').be16(value); }
  void value(int32_t value, unsigned) { letter('I').be32(static_cast<uint32_t>(value)); }
  void value(uint32_t value, unsigned) { letter('i').be32(value); }
  void value(int64_t value, unsigned) { letter('l').be64(static_cast<uint64_t>(value)); }
  void value(uint64_t value, unsigned depth) { this->value(Field{value}.integer(), depth); }
  void value(float value, unsigned) { letter('f').be32(std::bit_cast<uint32_t>(value)); }
  void value(double value, unsigned) { letter('d').be64(std::bit_cast<uint64_t>(value)); }
  void value(Timestamp value, unsigned) { letter('T').be64(value.seconds); }
  void value(Decimal value, unsigned) {
    letter('D').u8(value.scale);
    out_.be32(value.value);
  }
  void value(const std::string& value, unsigned) { long_string('S', value); }
  void value(const ByteArray& value, unsigned) { long_string('x', value.bytes); }
  void value(const FieldTable& value, unsigned depth) {
    letter('F');
    table(value, depth + 1);
  }
  void value(const FieldArray& value, unsigned depth) {
    letter('A');
    array(value, depth + 1);
  }

  Writer& letter(char letter) {
    out_.u8(static_cast<uint8_t>(letter));
    return out_;
  }
  void long_string(char letter_of_it, const std::string& octets) {
    letter(letter_of_it).be32(static_cast<uint32_t>(octets.size()));
    out_.bytes(base::as_bytes(octets));
  }
  // Contents first, then the u32 in front of them that says how long they became.
  void counted_contents(unsigned depth, auto&& write) {
    if (depth > table_depth_max) return out_.fail();
    uint8_t* length = out_.position();
    out_.be32(0);
    write();
    if (out_.ok()) base::store_be32(length, static_cast<uint32_t>(out_.position() - length) - 4);
  }

  Writer& out_;
};

// ---- look, don't touch ----------------------------------------------------------------------------------------------

// False if there is no such letter; the reader knows whether the contents were all there.
bool parse_view(Reader& in, FieldView& out) {
  auto integer = [&](FieldKind kind, int64_t value) {
    out.kind = kind;
    out.integer = value;
    return true;
  };
  auto floating = [&](double value) {
    out.kind = FieldKind::floating;
    out.floating = value;
    return true;
  };
  auto octets = [&](FieldKind kind) {
    out.kind = kind;
    out.bytes = base::as_text(in.bytes(in.be32()));
    return true;
  };
  switch (in.u8()) {
    case 'S': return octets(FieldKind::text);
    case 'I': return integer(FieldKind::integer, static_cast<int32_t>(in.be32()));
    case 'l':
    case 'L': return integer(FieldKind::integer, static_cast<int64_t>(in.be64()));
    case 't': return integer(FieldKind::boolean, in.u8() != 0);
    case 'b': return integer(FieldKind::integer, static_cast<int8_t>(in.u8()));
    case 'B': return integer(FieldKind::integer, in.u8());
    case 's': return integer(FieldKind::integer, static_cast<int16_t>(in.be16()));
    case 'u': return integer(FieldKind::integer, in.be16());
    case 'i': return integer(FieldKind::integer, in.be32());
    case 'f': return floating(std::bit_cast<float>(in.be32()));
    case 'd': return floating(std::bit_cast<double>(in.be64()));
    case 'D': {
      int64_t scale = in.u8();
      return integer(FieldKind::decimal, scale << 32 | in.be32());
    }
    case 'T': return integer(FieldKind::timestamp, static_cast<int64_t>(in.be64()));
    case 'F': return octets(FieldKind::table);
    case 'A': return octets(FieldKind::array);
    case 'x': return octets(FieldKind::bytes);
    case 'V': return integer(FieldKind::void_, 0);
    default: return false;
  }
}

}  // namespace

std::expected<FieldTable, Error> decode_table(Table table) {
  FieldTable out;
  if (Fault fault = Decoder().table(table.bytes, 1, out)) return malformed(*fault);
  return out;
}

std::expected<void, Error> validate_table(Table table) {
  if (Fault fault = validate_entries(table.bytes, true, 1)) return malformed(*fault);
  return {};
}

size_t table_size(const FieldTable& table) { return 4 + contents_size(table); }

void emit_table(Writer& out, const FieldTable& table) { Encoder(out).table(table, 1); }

std::expected<Headers, Error> parse_headers(Table table, std::span<HeaderView> out) {
  Reader in(table.bytes);
  size_t count = 0;
  while (in.remaining() > 0) {
    if (count == out.size()) return Headers{out, false};
    HeaderView& header = out[count];
    header.name = base::as_text(in.bytes(in.u8()));
    header.value = {};
    if (!parse_view(in, header.value) || !in.ok()) return malformed(malformed_text);
    count++;
  }
  return Headers{out.first(count), true};
}

std::expected<std::span<const HeaderView>, Error> parse_all_headers(Table table, std::vector<HeaderView>& room) {
  for (;;) {
    auto headers = parse_headers(table, room);
    if (!headers) return std::unexpected(std::move(headers.error()));
    if (headers->complete) return headers->entries;
    room.resize(std::max<size_t>(2 * room.size(), 16));
  }
}

}  // namespace talaria::amqp091::wire
