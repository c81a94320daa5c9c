// RFC 4648 4, with padding and without line ends. Stateless, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace talaria::control {

std::string to_base64(base::Bytes bytes);
// Nothing for what is no such text, or empty.
std::optional<std::vector<uint8_t>> from_base64(std::string_view text);

}  // namespace talaria::control
