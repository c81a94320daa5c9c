#include "core/amqp091/session/rewriting.h"

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

broker::RouteFacts own_facts(Bytes properties, std::vector<base::HeaderView>& room) {
  const auto parsed = wire::parse_properties(properties);
  CHECK(parsed);
  const auto headers = wire::parse_all_headers(parsed->headers, room);
  CHECK(headers);
  broker::RouteFacts facts(*headers);
  facts.correlation_id = parsed->correlation_id;
  facts.message_id = parsed->message_id;
  facts.timestamp = parsed->timestamp;
  return facts;
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
  std::vector<uint8_t> table(wire::table_size(headers));
  if (table.size() > most) return {};
  base::Writer table_writer(table);
  wire::emit_table(table_writer, headers);
  if (!table_writer.ok()) return {};
  properties.headers.bytes = Bytes(table).subspan(sizeof(uint32_t));
  if (headers.empty())
    properties.clear(wire::Property::headers);
  else
    properties.set(wire::Property::headers);
  // Without the table the list is no longer than it was, or than its flags.
  std::vector<uint8_t> out(table.size() + raw_.size() + sizeof(uint16_t));
  base::Writer writer(out);
  wire::emit_properties(writer, properties);
  if (!writer.ok() || writer.size() > most) return {};
  out.resize(writer.size());
  properties.headers.bytes = {};
  return out;
}

}  // namespace talaria::amqp091::session
