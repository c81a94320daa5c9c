// Properties of a message, taken apart to be changed and encoded again. Cold: it decodes the table of headers and
// allocates.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/amqp091/wire/properties.h"
#include "core/base/field.h"
#include "core/broker/message.h"
#include "core/broker/route_targets.h"

namespace talaria::amqp091::session {

// The properties in one piece, also of a message in several.
std::vector<uint8_t> whole_properties(const broker::Message& message);

// What exchanges may ask, where it lies in these properties: the broker's own, or of a message that it holds. What does
// not parse came so from its publisher when nothing asked for it yet: it is taken for nothing. `room` as in
// wire::parse_all_headers.
broker::RouteFacts facts_in(base::Bytes properties, std::vector<base::HeaderView>& room);

// A table of headers without its length, for wire::Properties::headers. Empty, if there are some: they are nested
// deeper than wire::table_depth_max.
std::vector<uint8_t> encoded_headers(const base::FieldTable& headers);
// Flags and list. Empty: they are longer than `most`.
std::vector<uint8_t> encoded(const wire::Properties& properties, size_t most);
// The routing keys in the header `CC`.
void append_copies(const base::FieldTable& headers, base::FieldArray& keys);

class Rewriting {
 public:
  // What does not parse came so from its publisher: it is taken for nothing.
  explicit Rewriting(const broker::Message& message);
  Rewriting(const Rewriting&) = delete;
  Rewriting& operator=(const Rewriting&) = delete;

  wire::Properties properties;  // but for the headers; texts lie in here
  base::FieldTable headers;

  void set_header(std::string name, base::Field value);
  // Flags and list; headers are absent when there are none. Empty: they are longer than `most`, or nested too deeply.
  std::vector<uint8_t> encoded(size_t most);

 private:
  std::vector<uint8_t> raw_;
};

}  // namespace talaria::amqp091::session
