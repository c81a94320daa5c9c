// The Internet checksum (RFC 1071) once more, byte by byte and nothing like the one in core/net: the simulator's ports
// and its independent peer must not share a mistake with what they test.
#pragma once

#include <cstdint>

#include "core/base/bytes.h"

namespace talaria::sim {

// Accumulates 16-bit big-endian words; an odd byte counts as the high half of a word.
class Checksum {
 public:
  void add(base::Bytes bytes) {
    for (size_t i = 0; i < bytes.size(); i++) add_word(i % 2 == 0 ? static_cast<uint16_t>(bytes[i] << 8) : bytes[i]);
  }
  void add_word(uint16_t word) {
    sum_ += word;
    if (sum_ > 0xffff) sum_ -= 0xffff;  // the end-around carry
  }
  void add_dword(uint32_t word) {
    add_word(static_cast<uint16_t>(word >> 16));
    add_word(static_cast<uint16_t>(word));
  }
  // What goes into the field; 0 if the field was part of the sum and was right.
  uint16_t complement() const { return static_cast<uint16_t>(~sum_); }

 private:
  uint32_t sum_ = 0;
};

}  // namespace talaria::sim
