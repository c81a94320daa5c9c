// Talaria's version: said here and nowhere else.
#pragma once

#include <string_view>

namespace talaria::base {

inline constexpr std::string_view version = "0.1.0";

}  // namespace talaria::base
