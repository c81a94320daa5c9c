#include "core/amqp091/wire/properties.h"

#include <type_traits>

#include "core/base/check.h"

namespace talaria::amqp091::wire {
namespace {

// Calls `each(field)` for every property whose flag is set, in the order of the wire.
void for_each_set(auto& properties, auto&& each) {
  uint32_t bit = flag(Property::content_type);
  auto visit = [&](auto& field) {
    if (properties.flags & bit) each(field);
    bit >>= 1;
  };
  std::apply([&](auto&... field) { (visit(field), ...); }, Properties::fields(properties));
}

std::unexpected<Error> malformed(ReplyCode code, std::string_view text) {
  return std::unexpected(Error{code, basic_class_id, 0, text});
}

}  // namespace

std::expected<Properties, Error> parse_properties(Bytes raw) {
  Reader in(raw);
  Properties properties;
  properties.flags = in.be16();
  if (properties.flags & unknown_property_flags) return malformed(ReplyCode::syntax_error, "unknown property flags");
  for_each_set(properties, [&](auto& field) {
    using T = std::decay_t<decltype(field)>;
    if constexpr (std::is_same_v<T, std::string_view>)
      field = base::as_text(in.bytes(in.u8()));
    else if constexpr (std::is_same_v<T, Table>)
      field.bytes = in.bytes(in.be32());
    else if constexpr (std::is_same_v<T, uint8_t>)
      field = in.u8();
    else
      field = in.be64();
  });
  if (!in.ok() || in.remaining() != 0)
    return malformed(ReplyCode::frame_error, "property list does not match its flags");
  return properties;
}

std::expected<ContentHeader, Error> parse_content_header(Bytes payload) {
  Reader in(payload);
  uint16_t class_id = in.be16();
  uint16_t weight = in.be16();
  ContentHeader header;
  header.body_size = in.be64();
  header.raw = in.rest();
  if (!in.ok() || payload.size() < content_header_size_min)
    return malformed(ReplyCode::frame_error, "content header is cut short");
  if (class_id != basic_class_id)
    return malformed(ReplyCode::unexpected_frame, "content header of a class without content");
  if (weight != 0) return malformed(ReplyCode::frame_error, "content header with a weight");
  std::expected<Properties, Error> properties = parse_properties(header.raw);
  if (!properties) return std::unexpected(properties.error());
  header.properties = *properties;
  return header;
}

Error explain_content_header(Bytes payload) {
  std::expected<ContentHeader, Error> header = parse_content_header(payload);
  // A scan and a parse that disagree would be our bug, but a stranger's octets found it: it costs him the connection
  // only.
  return header ? Error{ReplyCode::internal_error, basic_class_id, 0, "content header"} : header.error();
}

void emit_properties(Writer& out, const Properties& properties) {
  CHECK((properties.flags & unknown_property_flags) == 0);
  out.be16(properties.flags);
  for_each_set(properties, [&](const auto& field) {
    using T = std::decay_t<decltype(field)>;
    if constexpr (std::is_same_v<T, std::string_view>) {
      CHECK(field.size() <= shortstr_max);
      out.u8(static_cast<uint8_t>(field.size()));
      out.bytes(base::as_bytes(field));
    } else if constexpr (std::is_same_v<T, Table>) {
      out.be32(static_cast<uint32_t>(field.bytes.size()));
      out.bytes(field.bytes);
    } else if constexpr (std::is_same_v<T, uint8_t>) {
      out.u8(field);
    } else {
      out.be64(field);
    }
  });
}

}  // namespace talaria::amqp091::wire
