#include "core/amqp091/session/rewriting.h"

#include <algorithm>
#include <utility>

#include "core/amqp091/wire/table.h"
#include "core/base/check.h"

namespace talaria::amqp091::session {

using base::Bytes;

std::vector<uint8_t> whole_properties(const broker::Message& message) {
  std::vector<uint8_t> whole;
  whole.reserve(message.properties_size());
  for (broker::PayloadCursor cursor = message.properties(); !cursor.done();) {
    const Bytes piece = cursor.next();
    whole.insert(whole.end(), piece.begin(), piece.end());
  }
  return whole;
}

broker::RouteFacts facts_in(Bytes properties, std::vector<base::HeaderView>& room) {
  broker::RouteFacts facts;
  const auto parsed = wire::parse_properties(properties);
  if (!parsed) return facts;
  if (const auto headers = wire::parse_all_headers(parsed->headers, room)) facts.headers = *headers;
  facts.correlation_id = parsed->correlation_id;
  facts.message_id = parsed->message_id;
  facts.timestamp = parsed->timestamp;
  return facts;
}

std::vector<uint8_t> encoded_headers(const base::FieldTable& headers) {
  std::vector<uint8_t> table(wire::table_size(headers));
  base::Writer out(table);
  wire::emit_table(out, headers);
  if (!out.ok()) return {};
  table.erase(table.begin(), table.begin() + sizeof(uint32_t));
  return table;
}

std::vector<uint8_t> encoded(const wire::Properties& properties, size_t most) {
  // What is not a header has at most 255 octets.
  constexpr size_t others_max = sizeof(uint16_t) + sizeof(uint32_t) + 13 * (1 + wire::shortstr_max);
  std::vector<uint8_t> list(std::min(most, properties.headers.bytes.size() + others_max));
  base::Writer out(list);
  wire::emit_properties(out, properties);
  if (!out.ok()) return {};
  list.resize(out.size());
  return list;
}

void append_copies(const base::FieldTable& headers, base::FieldArray& keys) {
  const base::Field* copies = base::find(headers, "CC");
  const auto* array = copies ? std::get_if<base::FieldArray>(&copies->value) : nullptr;
  if (!array) return;
  for (const base::Field& key : *array)
    if (key.text()) keys.push_back(key);
}

Rewriting::Rewriting(const broker::Message& message) : raw_(whole_properties(message)) {
  if (message.format() != broker::PropertiesFormat::amqp091) return;
  if (auto parsed = wire::parse_properties(raw_)) properties = *parsed;
  if (auto decoded = wire::decode_table(properties.headers)) headers = *std::move(decoded);
}

void Rewriting::set_header(std::string name, base::Field value) {
  for (base::FieldEntry& entry : headers)
    if (entry.name == name) {
      entry.value = std::move(value);
      return;
    }
  headers.emplace_back(std::move(name), std::move(value));
}

std::vector<uint8_t> Rewriting::encoded(size_t most) {
  const std::vector<uint8_t> table = encoded_headers(headers);
  if (table.empty() && !headers.empty()) return {};
  properties.headers.bytes = table;
  if (headers.empty())
    properties.clear(wire::Property::headers);
  else
    properties.set(wire::Property::headers);
  std::vector<uint8_t> out = session::encoded(properties, most);
  properties.headers.bytes = {};
  return out;
}

}  // namespace talaria::amqp091::session
