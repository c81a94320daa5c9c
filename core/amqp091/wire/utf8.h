// Is this text UTF-8? Names on the wire nearly always are plain ASCII, which is decided inline, eight octets at a time.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace talaria::amqp091::wire {

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. Any length, linear time.
bool is_utf8_slow(std::string_view text);

inline bool is_ascii(std::string_view text) {
  const char* at = text.data();
  size_t size = text.size();
  auto load = [](const char* from, auto word) {
    std::memcpy(&word, from, sizeof word);
    return word;
  };
  // The last load of each size overlaps the one before it, so that no length needs a loop over single octets.
  if (size >= 8) {
    uint64_t seen = load(at + size - 8, uint64_t{});
    for (size_t i = 0; i + 8 < size; i += 8) seen |= load(at + i, uint64_t{});
    return (seen & 0x8080808080808080u) == 0;
  }
  if (size >= 4) return ((load(at, uint32_t{}) | load(at + size - 4, uint32_t{})) & 0x80808080u) == 0;
  if (size == 0) return true;
  return ((at[0] | at[size / 2] | at[size - 1]) & 0x80) == 0;
}

inline bool is_utf8(std::string_view text) {
  if (is_ascii(text)) [[likely]]
    return true;
  return is_utf8_slow(text);
}

}  // namespace talaria::amqp091::wire
