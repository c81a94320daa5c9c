// Golden bytes as they are read: `from_hex("01 0001 ce")`, spaces where the fields meet.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace talaria::amqp091::wire::testing {

inline std::vector<uint8_t> from_hex(std::string_view text) {
  std::vector<uint8_t> bytes;
  int high = -1;
  for (char c : text) {
    if (c == ' ') continue;
    int digit = c <= '9' ? c - '0' : c - 'a' + 10;
    if (high < 0) {
      high = digit;
    } else {
      bytes.push_back(static_cast<uint8_t>(high << 4 | digit));
      high = -1;
    }
  }
  return bytes;
}

inline std::string to_hex(base::Bytes bytes) {
  std::string text;
  for (uint8_t byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

// Hex without the spaces, to compare with to_hex.
inline std::string packed(std::string_view text) { return to_hex(from_hex(text)); }

// What `write` emits, as hex.
inline std::string emitted(auto&& write) {
  std::vector<uint8_t> space(1 << 17);
  base::Writer out(space);
  write(out);
  return out.ok() ? to_hex(base::Bytes(space).first(out.size())) : "did not fit";
}

}  // namespace talaria::amqp091::wire::testing
