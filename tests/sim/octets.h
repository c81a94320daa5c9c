// Octets of AMQP 0-9-1, one after the other, from the specification: nothing of core/amqp091 is used here.
#pragma once

#include <string>

#include "tests/sim/dialect.h"

namespace talaria::sim {

class Octets {
 public:
  void u8(unsigned value) { bytes.push_back(static_cast<uint8_t>(value)); }
  void u16(unsigned value) {
    u8(value >> 8 & 255);
    u8(value & 255);
  }
  void u32(uint32_t value) {
    u16(value >> 16);
    u16(value & 65535);
  }
  void u64(uint64_t value) {
    u32(static_cast<uint32_t>(value >> 32));
    u32(static_cast<uint32_t>(value));
  }
  void raw(const std::string& text) { bytes.insert(bytes.end(), text.begin(), text.end()); }
  void short_text(const std::string& text) {
    u8(static_cast<unsigned>(text.size()));
    raw(text);
  }
  void long_text(const std::string& text) {
    u32(static_cast<uint32_t>(text.size()));
    raw(text);
  }
  void table(const TextTable& entries, const NumberTable& numbers = {}, const FlagTable& flags = {},
             const ListTable& lists = {}) {
    Octets inside;
    for (const auto& [name, value] : entries) {
      inside.short_text(name);
      inside.u8('S');
      inside.long_text(value);
    }
    for (const auto& [name, values] : lists) {
      Octets list;
      for (const std::string& value : values) {
        list.u8('S');
        list.long_text(value);
      }
      inside.short_text(name);
      inside.u8('A');
      inside.u32(static_cast<uint32_t>(list.bytes.size()));
      inside.bytes.insert(inside.bytes.end(), list.bytes.begin(), list.bytes.end());
    }
    for (const auto& [name, value] : numbers) {
      inside.short_text(name);
      inside.u8('I');
      inside.u32(static_cast<uint32_t>(value));
    }
    for (const auto& [name, value] : flags) {
      inside.short_text(name);
      inside.u8('t');
      inside.u8(value);
    }
    u32(static_cast<uint32_t>(inside.bytes.size()));
    bytes.insert(bytes.end(), inside.bytes.begin(), inside.bytes.end());
  }
  void method(unsigned class_id, unsigned method_id) {
    u16(class_id);
    u16(method_id);
  }

  Buffer bytes;
};

// A whole frame, whatever its payload is.
inline void append_frame(Buffer& out, unsigned type, uint16_t channel, const Buffer& payload) {
  Octets octets;
  octets.u8(type);
  octets.u16(channel);
  octets.u32(static_cast<uint32_t>(payload.size()));
  out.insert(out.end(), octets.bytes.begin(), octets.bytes.end());
  out.insert(out.end(), payload.begin(), payload.end());
  out.push_back(0xce);
}

}  // namespace talaria::sim
