// Text of strangers: made fit for a log line, and judged fit for a name.
#pragma once

#include <string>
#include <string_view>

namespace talaria::control {

// Control characters shown as dots, long texts cut.
std::string printable(std::string_view text);

// Well-formed UTF-8 (RFC 3629: shortest form, no surrogates, at most U+10FFFF).
bool is_utf8(std::string_view text);

// 1 to 255 bytes of UTF-8 without control characters: what users and vhosts may be called.
bool is_name(std::string_view text);

}  // namespace talaria::control
