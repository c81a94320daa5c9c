#include "control/field_json.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <type_traits>

#include "control/printable.h"

namespace talaria::control {
namespace {

using base::Field;
using base::FieldTable;
using nlohmann::json;

constexpr unsigned depth_max = 32;

// In the order of Field's alternatives.
constexpr std::array<const char*, 18> tags = {"V", "t", "b", "B", "s", "u", "I", "i", "l",
                                              "L", "f", "d", "D", "S", "T", "F", "A", "x"};
static_assert(tags.size() == std::variant_size_v<decltype(Field::value)>);

void demand(bool holds, const char* what) {
  if (!holds) throw FieldJsonError(what);
}

// Every float survives as hexadecimal text, the infinite ones, too.
json exact_number(double number) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%a", number);
  return text.data();
}

double number_from(const json& value) {
  demand(value.is_string(), "a floating number is no text");
  const auto& text = value.get_ref<const std::string&>();
  char* end = nullptr;
  double number = std::strtod(text.c_str(), &end);
  demand(!text.empty() && *end == '\0', "a floating number is not valid");
  return number;
}

template <class Integer>
Integer integer_from(const json& value) {
  demand(value.is_number_integer(), "an integer is none");
  if constexpr (std::is_unsigned_v<Integer>) {
    demand(value.is_number_unsigned(), "an unsigned integer is negative");
    auto wide = value.get<uint64_t>();
    demand(std::in_range<Integer>(wide), "an integer is too wide");
    return static_cast<Integer>(wide);
  } else {
    demand(!value.is_number_unsigned() || std::in_range<int64_t>(value.get<uint64_t>()), "an integer is too wide");
    auto wide = value.get<int64_t>();
    demand(std::in_range<Integer>(wide), "an integer is too wide");
    return static_cast<Integer>(wide);
  }
}

json exact_table(const FieldTable& table);

json exact_field(const Field& field) {
  json value = std::visit(
      [](const auto& held) -> json {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, base::Void>)
          return nullptr;
        else if constexpr (std::is_floating_point_v<T>)
          return exact_number(static_cast<double>(held));
        else if constexpr (std::is_arithmetic_v<T>)
          return held;
        else if constexpr (std::is_same_v<T, base::Decimal>)
          return json::array({held.scale, held.value});
        else if constexpr (std::is_same_v<T, std::string>)
          return to_exact_json(held);
        else if constexpr (std::is_same_v<T, base::Timestamp>)
          return held.seconds;
        else if constexpr (std::is_same_v<T, base::ByteArray>)
          return to_exact_json(held.bytes);
        else if constexpr (std::is_same_v<T, FieldTable>)
          return exact_table(held);
        else {
          json out = json::array();
          for (const Field& item : held) out.push_back(exact_field(item));
          return out;
        }
      },
      field.value);
  return json::array({tags[field.value.index()], std::move(value)});
}

json exact_table(const FieldTable& table) {
  json out = json::array();
  for (const auto& [name, field] : table) {
    json pair = exact_field(field);
    out.push_back(json::array({to_exact_json(name), std::move(pair[0]), std::move(pair[1])}));
  }
  return out;
}

FieldTable table_from_exact(const json& value, unsigned depth);

Field field_from_exact(const json& tag, const json& value, unsigned depth) {
  demand(depth <= depth_max, "nested too deeply");
  demand(tag.is_string() && tag.get_ref<const std::string&>().size() == 1, "a tag is no letter");
  switch (tag.get_ref<const std::string&>()[0]) {
    case 'V': return {base::Void{}};
    case 't': demand(value.is_boolean(), "a boolean is none"); return {value.get<bool>()};
    case 'b': return {integer_from<int8_t>(value)};
    case 'B': return {integer_from<uint8_t>(value)};
    case 's': return {integer_from<int16_t>(value)};
    case 'u': return {integer_from<uint16_t>(value)};
    case 'I': return {integer_from<int32_t>(value)};
    case 'i': return {integer_from<uint32_t>(value)};
    case 'l': return {integer_from<int64_t>(value)};
    case 'L': return {integer_from<uint64_t>(value)};
    case 'f': return {static_cast<float>(number_from(value))};
    case 'd': return {number_from(value)};
    case 'D':
      demand(value.is_array() && value.size() == 2, "a decimal is none");
      return {base::Decimal{integer_from<uint8_t>(value[0]), integer_from<uint32_t>(value[1])}};
    case 'S': return {bytes_from_exact_json(value)};
    case 'T': return {base::Timestamp{integer_from<uint64_t>(value)}};
    case 'F': return {table_from_exact(value, depth + 1)};
    case 'x': return {base::ByteArray{bytes_from_exact_json(value)}};
    case 'A': {
      demand(value.is_array(), "an array is none");
      base::FieldArray items;
      for (const json& item : value) {
        demand(item.is_array() && item.size() == 2, "an array's item is none");
        items.push_back(field_from_exact(item[0], item[1], depth + 1));
      }
      return {std::move(items)};
    }
    default: throw FieldJsonError("an unknown tag");
  }
}

FieldTable table_from_exact(const json& value, unsigned depth) {
  demand(value.is_array(), "a table is no array");
  FieldTable out;
  for (const json& entry : value) {
    demand(entry.is_array() && entry.size() == 3, "a table's entry is none");
    out.push_back({bytes_from_exact_json(entry[0]), field_from_exact(entry[1], entry[2], depth)});
  }
  return out;
}

json plain_field(const Field& field) {
  return std::visit(
      [&](const auto& held) -> json {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, base::Void>)
          return nullptr;
        else if constexpr (std::is_arithmetic_v<T>)
          return held;
        else if constexpr (std::is_same_v<T, std::string>)
          return held;
        else if constexpr (std::is_same_v<T, base::Timestamp>)
          return held.seconds;
        else if constexpr (std::is_same_v<T, base::ByteArray>)
          return held.bytes;
        else if constexpr (std::is_same_v<T, base::Decimal>)
          return static_cast<double>(held.value) / std::pow(10.0, held.scale);
        else if constexpr (std::is_same_v<T, FieldTable>)
          return to_plain_json(held);
        else {
          json out = json::array();
          for (const Field& item : held) out.push_back(plain_field(item));
          return out;
        }
      },
      field.value);
}

Field field_from_plain(const json& value, unsigned depth);

FieldTable table_from_plain(const json& value, unsigned depth) {
  demand(depth <= depth_max, "arguments are nested too deeply");
  // RabbitMQ writes an empty table as [] in some places.
  if (value.is_null() || (value.is_array() && value.empty())) return {};
  demand(value.is_object(), "arguments are no object");
  FieldTable out;
  for (const auto& [name, item] : value.items()) out.push_back({name, field_from_plain(item, depth)});
  return out;
}

Field field_from_plain(const json& value, unsigned depth) {
  demand(depth <= depth_max, "arguments are nested too deeply");
  switch (value.type()) {
    case json::value_t::null: return {base::Void{}};
    case json::value_t::boolean: return {value.get<bool>()};
    case json::value_t::number_integer:
    case json::value_t::number_unsigned: return {integer_from<int64_t>(value)};
    case json::value_t::number_float: return {value.get<double>()};
    case json::value_t::string: return {value.get<std::string>()};
    case json::value_t::object: return {table_from_plain(value, depth + 1)};
    case json::value_t::array: {
      base::FieldArray items;
      for (const json& item : value) items.push_back(field_from_plain(item, depth + 1));
      return {std::move(items)};
    }
    default: throw FieldJsonError("an argument's value is none");
  }
}

}  // namespace

json to_exact_json(const std::string& bytes) {
  if (is_utf8(bytes)) return bytes;
  static constexpr char digits[] = "0123456789abcdef";
  std::string hex;
  for (char c : bytes) {
    hex += digits[static_cast<uint8_t>(c) >> 4];
    hex += digits[static_cast<uint8_t>(c) & 15];
  }
  return {{"hex", hex}};
}

std::string bytes_from_exact_json(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  demand(value.is_object() && value.size() == 1 && value.contains("hex") && value["hex"].is_string(), "a text is none");
  const auto& hex = value["hex"].get_ref<const std::string&>();
  demand(hex.size() % 2 == 0 && hex.find_first_not_of("0123456789abcdef") == std::string::npos, "a text's hex is none");
  std::string out;
  for (size_t at = 0; at < hex.size(); at += 2)
    out += static_cast<char>(std::strtoul(hex.substr(at, 2).c_str(), nullptr, 16));
  return out;
}

json to_exact_json(const FieldTable& table) { return exact_table(table); }
FieldTable from_exact_json(const json& value) { return table_from_exact(value, 0); }

json to_plain_json(const FieldTable& table) {
  json out = json::object();
  for (const auto& [name, field] : table) out[name] = plain_field(field);
  return out;
}
FieldTable from_plain_json(const json& value) { return table_from_plain(value, 0); }

}  // namespace talaria::control
