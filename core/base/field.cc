#include "core/base/field.h"

#include <array>
#include <limits>
#include <type_traits>

namespace talaria::base {
namespace {

template <class T>
constexpr bool is_wire_integer = std::is_integral_v<T> && !std::is_same_v<T, bool>;

FieldKind kind_of(const Field& field) {
  return std::visit(
      [](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, Void>)
          return FieldKind::void_;
        else if constexpr (std::is_same_v<T, bool>)
          return FieldKind::boolean;
        else if constexpr (is_wire_integer<T>)
          return FieldKind::integer;
        else if constexpr (std::is_floating_point_v<T>)
          return FieldKind::floating;
        else if constexpr (std::is_same_v<T, Decimal>)
          return FieldKind::decimal;
        else if constexpr (std::is_same_v<T, std::string>)
          return FieldKind::text;
        else if constexpr (std::is_same_v<T, Timestamp>)
          return FieldKind::timestamp;
        else if constexpr (std::is_same_v<T, FieldTable>)
          return FieldKind::table;
        else if constexpr (std::is_same_v<T, FieldArray>)
          return FieldKind::array;
        else
          return FieldKind::bytes;
      },
      field.value);
}

double floating(const Field& field) {
  if (const float* value = std::get_if<float>(&field.value)) return static_cast<double>(*value);
  if (const double* value = std::get_if<double>(&field.value)) return *value;
  return 0;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out += '"';
}

}  // namespace

FieldEntry::FieldEntry() = default;
FieldEntry::FieldEntry(std::string entry_name, Field entry_value)
    : name(std::move(entry_name)), value(std::move(entry_value)) {}
FieldEntry::FieldEntry(const FieldEntry&) = default;
FieldEntry::FieldEntry(FieldEntry&&) noexcept = default;
FieldEntry& FieldEntry::operator=(const FieldEntry&) = default;
FieldEntry& FieldEntry::operator=(FieldEntry&&) noexcept = default;
FieldEntry::~FieldEntry() = default;

bool Field::is_integer() const { return kind_of(*this) == FieldKind::integer; }

int64_t Field::integer() const {
  return std::visit(
      [](const auto& held) -> int64_t {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, uint64_t>) {
          constexpr auto most = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
          return static_cast<int64_t>(held < most ? held : most);
        } else if constexpr (is_wire_integer<T>) {
          return held;
        } else {
          return 0;
        }
      },
      value);
}

const std::string* Field::text() const { return std::get_if<std::string>(&value); }

const char* Field::type_name() const {
  static constexpr std::array names = {"void",          "bool",      "byte",        "unsignedbyte", "short",
                                       "unsignedshort", "signedint", "unsignedint", "long",         "unsignedlong",
                                       "float",         "double",    "decimal",     "longstr",      "timestamp",
                                       "table",         "array",     "binary"};
  static_assert(names.size() == std::variant_size_v<decltype(value)>);
  return names[value.index()];
}
const bool* Field::boolean() const { return std::get_if<bool>(&value); }

bool equivalent(const Field& a, const Field& b) {
  FieldKind kind = kind_of(a);
  if (kind != kind_of(b)) return false;
  switch (kind) {
    case FieldKind::integer: return a.integer() == b.integer();
    case FieldKind::floating: return floating(a) == floating(b);
    case FieldKind::table: return equivalent(std::get<FieldTable>(a.value), std::get<FieldTable>(b.value));
    case FieldKind::array: {
      const auto& x = std::get<FieldArray>(a.value);
      const auto& y = std::get<FieldArray>(b.value);
      if (x.size() != y.size()) return false;
      for (size_t i = 0; i < x.size(); i++)
        if (!equivalent(x[i], y[i])) return false;
      return true;
    }
    case FieldKind::void_: return true;
    case FieldKind::boolean: return std::get<bool>(a.value) == std::get<bool>(b.value);
    case FieldKind::decimal: return std::get<Decimal>(a.value) == std::get<Decimal>(b.value);
    case FieldKind::text: return *a.text() == *b.text();
    case FieldKind::timestamp: return std::get<Timestamp>(a.value) == std::get<Timestamp>(b.value);
    case FieldKind::bytes: return std::get<ByteArray>(a.value) == std::get<ByteArray>(b.value);
  }
  return false;
}

bool equivalent(const FieldTable& a, const FieldTable& b) {
  for (const auto& [name, value] : a) {
    const Field* other = find(b, name);
    if (!other || !equivalent(*find(a, name), *other)) return false;
  }
  for (const auto& [name, value] : b)
    if (!find(a, name)) return false;
  return true;
}

const Field* find(const FieldTable& table, std::string_view name) {
  for (auto entry = table.rbegin(); entry != table.rend(); ++entry)
    if (entry->name == name) return &entry->value;
  return nullptr;
}

std::string to_text(const Field& field) {
  return std::visit(
      [&](const auto& value) -> std::string {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, Void>)
          return "undefined";
        else if constexpr (std::is_same_v<T, bool>)
          return value ? "true" : "false";
        else if constexpr (is_wire_integer<T> || std::is_floating_point_v<T>)
          return std::to_string(value);
        else if constexpr (std::is_same_v<T, Decimal>)
          return std::to_string(value.value) + "e-" + std::to_string(static_cast<unsigned>(value.scale));
        else if constexpr (std::is_same_v<T, std::string>)
          return quoted(value);
        else if constexpr (std::is_same_v<T, Timestamp>)
          return std::to_string(value.seconds);
        else if constexpr (std::is_same_v<T, ByteArray>)
          return quoted(value.bytes);
        else if constexpr (std::is_same_v<T, FieldArray>) {
          std::string out = "[";
          for (const Field& item : value) out += (out.size() > 1 ? "," : "") + to_text(item);
          return out + "]";
        } else {
          std::string out = "{";
          for (const auto& [name, item] : value)
            out += (out.size() > 1 ? "," : "") + quoted(name) + ":" + to_text(item);
          return out + "}";
        }
      },
      field.value);
}

bool matches(const FieldView& header, const Field& pattern) {
  if (header.kind != kind_of(pattern)) return false;
  switch (header.kind) {
    case FieldKind::void_: return true;
    case FieldKind::boolean: return (header.integer != 0) == std::get<bool>(pattern.value);
    case FieldKind::integer: return header.integer == pattern.integer();
    case FieldKind::floating: return header.floating == floating(pattern);
    case FieldKind::timestamp:
      return static_cast<uint64_t>(header.integer) == std::get<Timestamp>(pattern.value).seconds;
    case FieldKind::decimal: {
      const Decimal& decimal = std::get<Decimal>(pattern.value);
      return static_cast<uint64_t>(header.integer) == (static_cast<uint64_t>(decimal.scale) << 32 | decimal.value);
    }
    case FieldKind::text: return header.bytes == *pattern.text();
    case FieldKind::bytes: return header.bytes == std::get<ByteArray>(pattern.value).bytes;
    case FieldKind::table:
    case FieldKind::array: return false;
  }
  return false;
}

}  // namespace talaria::base
