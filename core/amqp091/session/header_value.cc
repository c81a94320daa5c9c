#include "core/amqp091/session/header_value.h"

#include <vector>

#include "core/amqp091/session/rewriting.h"
#include "core/amqp091/wire/properties.h"
#include "core/amqp091/wire/table.h"

namespace talaria::amqp091::session {

std::string header_text(base::FieldKind kind, int64_t value) {
  return std::string(1, static_cast<char>(kind)) + std::to_string(value);
}

std::optional<std::string> header_value(const broker::Message& message, std::string_view header) {
  if (message.format() != broker::PropertiesFormat::amqp091) return std::nullopt;
  std::vector<uint8_t> gathered;
  base::Bytes raw = message.whole_properties();
  if (raw.empty()) {
    gathered = whole_properties(message);
    raw = gathered;
  }
  const auto properties = wire::parse_properties(raw);
  if (!properties || properties->headers.bytes.empty()) return std::nullopt;
  std::vector<base::HeaderView> room(16);
  const auto headers = wire::parse_all_headers(properties->headers, room);
  if (!headers) return std::nullopt;
  std::optional<std::string> value;
  for (const base::HeaderView& one : *headers) {
    if (one.name != header) continue;
    if (!one.value.bytes.empty() || one.value.kind == base::FieldKind::text)
      value.emplace(1, static_cast<char>(one.value.kind)).append(one.value.bytes);
    else
      value = header_text(one.value.kind, one.value.integer);
  }
  return value;
}

}  // namespace talaria::amqp091::session
