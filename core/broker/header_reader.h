// How a queue that tells its messages apart by a header reads it: the engine speaks no protocol, so a front end lends
// it this. A pure function. The value as octets that are equal for equal values of one kind; nullopt when the message
// has no such header, or headers that do not parse.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace talaria::broker {

struct Message;

using HeaderReader = std::optional<std::string> (*)(const Message& message, std::string_view header);

}  // namespace talaria::broker
