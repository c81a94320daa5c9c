// Field tables: names and typed values (section 4.2.5.5, with the type letters that RabbitMQ and every client use).
//
//      table: u32 octets that follow | entry ...        entry: shortstr name | value
//      array: u32 octets that follow | value ...        value: u8 letter | contents
//
//      t boolean   u8          I  int32       d double              S longstr    u32 length, octets
//      b int8                  i  uint32      D decimal u8 scale,   x byte array u32 length, octets
//      B uint8                 l L int64                u32 value   F table
//      s int16                 f  float       T timestamp u64 s     A array
//      u uint16                               V void, no contents
//
// A table travels as `wire::Table`, a view of its entries, and is decoded only by who needs it. Tables come from
// strangers: every length is checked against what is left, nesting is at most `table_depth_max`, and decoding, which
// turns one octet on the wire into a `Field` in memory, stops at `table_elements_max` values. Names are any octets, as
// RabbitMQ takes them.
#pragma once

#include <expected>
#include <span>
#include <vector>

#include "core/amqp091/wire/method.h"
#include "core/base/field.h"

namespace talaria::amqp091::wire {

inline constexpr unsigned table_depth_max = 16;  // the outermost table is depth 1
inline constexpr uint32_t table_elements_max = 16 * 1024;

// The table as owned values, in order, names repeated as they came. `l` and `L` both become int64. Cold: allocates.
std::expected<base::FieldTable, Error> decode_table(Table table);

// Whether every entry is well formed, without decoding; no bound but nesting and the length itself.
std::expected<void, Error> validate_table(Table table);

// Octets `emit_table` writes, the length in front included.
size_t table_size(const base::FieldTable& table);

// Length and entries. What `decode_table` read comes out bit for bit, but for `L`, which becomes `l`, and a boolean
// above 1, which becomes 1. An uint64 has no letter and goes as int64, saturated. Fails the writer on lack of room, on
// a name longer than 255 octets and on deeper nesting than `table_depth_max`.
void emit_table(Writer& out, const base::FieldTable& table);

struct Headers {
  std::span<base::HeaderView> entries;  // the filled front of what the caller gave
  bool complete = true;                 // false: there were more entries than room for them
};

// The entries of a message's header table where they lie: scalars decoded, the rest viewed. Nested tables and arrays
// are skipped by their length, not validated. Hot: no allocation.
std::expected<Headers, Error> parse_headers(Table table, std::span<base::HeaderView> out);

// The same, all of them: they lie in `room`, which grows as it must and stays so for the next table.
std::expected<std::span<const base::HeaderView>, Error> parse_all_headers(Table table,
                                                                          std::vector<base::HeaderView>& room);

}  // namespace talaria::amqp091::wire
