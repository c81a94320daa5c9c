// Values of a field table, as the broker understands them: the types AMQP 0-9-1 has on the wire (with RabbitMQ's
// errata), without its encoding. Topology arguments are stored as these; a front end translates.
//
// `Field` owns its bytes and is for topology (cold). `FieldView` borrows them and is for the headers of a message on
// its way through a headers exchange (hot): scalars are decoded, the rest stays where it lies.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace talaria::base {

struct Field;
struct FieldEntry;
// Order is kept as the client sent it; names may repeat (the last one wins in `find`, as RabbitMQ reads them).
using FieldTable = std::vector<FieldEntry>;
using FieldArray = std::vector<Field>;

struct Decimal {
  uint8_t scale = 0;
  uint32_t value = 0;
  bool operator==(const Decimal&) const = default;
};
struct Timestamp {
  uint64_t seconds = 0;  // since the epoch
  bool operator==(const Timestamp&) const = default;
};
struct ByteArray {
  std::string bytes;
  bool operator==(const ByteArray&) const = default;
};
struct Void {
  bool operator==(const Void&) const = default;
};

// Integer widths are kept (a definitions export and a round trip show them) but never compared: equivalence is by
// value.
struct Field {
  std::variant<Void, bool, int8_t, uint8_t, int16_t, uint16_t, int32_t, uint32_t, int64_t, uint64_t, float, double,
               Decimal, std::string, Timestamp, FieldTable, FieldArray, ByteArray>
      value;

  bool is_integer() const;
  // The integer of any width; 0 if it is none (ask is_integer first). A uint64 above int64's range saturates.
  int64_t integer() const;
  const std::string* text() const;  // nullptr if it is no text
  const bool* boolean() const;      // nullptr if it is no boolean
  const char* type_name() const;    // as RabbitMQ's texts have it: Erlang's names
};
// Its copies are made in field.cc alone: tables are copied in most files, and each would compile the variant's copy.
struct FieldEntry {
  FieldEntry();
  FieldEntry(std::string entry_name, Field entry_value);
  FieldEntry(const FieldEntry&);
  FieldEntry(FieldEntry&&) noexcept;
  FieldEntry& operator=(const FieldEntry&);
  FieldEntry& operator=(FieldEntry&&) noexcept;
  ~FieldEntry();

  std::string name;
  Field value;
};

// Same type class (integer, floating, text, ...) and same value; widths do not matter.
bool equivalent(const Field& a, const Field& b);
// Same keys with equivalent values; order does not matter.
bool equivalent(const FieldTable& a, const FieldTable& b);
// The last entry of that name, or nullptr.
const Field* find(const FieldTable& table, std::string_view name);
// For logs, error texts and the CLI: `10`, `"text"`, `[1,2]`, `{"a":1}`.
std::string to_text(const Field& field);

// The classes values are compared in.
enum class FieldKind : uint8_t { void_, boolean, integer, floating, decimal, text, timestamp, table, array, bytes };

struct FieldView {
  FieldKind kind = FieldKind::void_;
  union {
    int64_t integer = 0;  // boolean (0/1), integer, timestamp (seconds), decimal (scale << 32 | value)
    double floating;
  };
  std::string_view bytes;  // text, bytes: the contents; table, array: the encoded bytes
};
struct HeaderView {
  std::string_view name;
  FieldView value;
};

// A header's value against a binding's: same kind and same value. Tables and arrays never match (nobody routes on
// them).
bool matches(const FieldView& header, const Field& pattern);

}  // namespace talaria::base
