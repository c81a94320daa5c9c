// A header of a message, for queues that tell their messages apart by one (broker::HeaderReader).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/broker/message.h"

namespace talaria::amqp091::session {

std::optional<std::string> header_value(const broker::Message& message, std::string_view header);

}  // namespace talaria::amqp091::session
