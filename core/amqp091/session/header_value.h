// A header of a message, for queues that tell their messages apart by one (broker::HeaderReader).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/base/field.h"
#include "core/broker/message.h"

namespace talaria::amqp091::session {

std::optional<std::string> header_value(const broker::Message& message, std::string_view header);

// What that says for a header that is a number or a boolean.
std::string header_text(base::FieldKind kind, int64_t value);

}  // namespace talaria::amqp091::session
