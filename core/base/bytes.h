// Views of bytes, big-endian loads and stores, and two bounds-checked cursors.
//
// Every number on the wires Talaria speaks (Ethernet, IP, TCP, AMQP) is big-endian. Wire bytes are never cast to
// structs: they are loaded and stored here. `Reader` never reads past its end; it remembers that somebody asked it to
// (`ok()`), so that a parser may read a whole method and check once. `Writer` does the same for space.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace talaria::base {

using Bytes = std::span<const uint8_t>;
using MutableBytes = std::span<uint8_t>;

inline Bytes as_bytes(std::string_view text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }
inline std::string_view as_text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

inline uint16_t load_be16(const uint8_t* at) {
  uint16_t value;
  std::memcpy(&value, at, sizeof value);
  return __builtin_bswap16(value);
}
inline uint32_t load_be32(const uint8_t* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return __builtin_bswap32(value);
}
inline uint64_t load_be64(const uint8_t* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return __builtin_bswap64(value);
}
inline void store_be16(uint8_t* at, uint16_t value) {
  value = __builtin_bswap16(value);
  std::memcpy(at, &value, sizeof value);
}
inline void store_be32(uint8_t* at, uint32_t value) {
  value = __builtin_bswap32(value);
  std::memcpy(at, &value, sizeof value);
}
inline void store_be64(uint8_t* at, uint64_t value) {
  value = __builtin_bswap64(value);
  std::memcpy(at, &value, sizeof value);
}

// memcpy for the lengths names have: two overlapping moves instead of a call.
inline uint8_t* copy_short(uint8_t* to, const uint8_t* from, size_t size) {
  if (size >= 8) {
    if (size > 32) {
      std::memcpy(to, from, size);
    } else if (size >= 16) {
      std::memcpy(to, from, 16);
      std::memcpy(to + size - 16, from + size - 16, 16);
    } else {
      std::memcpy(to, from, 8);
      std::memcpy(to + size - 8, from + size - 8, 8);
    }
  } else if (size >= 4) {
    std::memcpy(to, from, 4);
    std::memcpy(to + size - 4, from + size - 4, 4);
  } else if (size > 0) {
    to[0] = from[0];
    to[size / 2] = from[size / 2];
    to[size - 1] = from[size - 1];
  }
  return to + size;
}

// A cursor over bytes that somebody else owns. After an overrun every read yields zero or an empty view and `ok()` is
// false for good.
class Reader {
 public:
  explicit Reader(Bytes bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool ok() const { return ok_; }
  size_t remaining() const { return static_cast<size_t>(end_ - at_); }
  const uint8_t* position() const { return at_; }

  uint8_t u8() { return need(1) ? *at_++ : uint8_t{0}; }
  uint16_t be16() { return need(2) ? load_be16(advance(2)) : uint16_t{0}; }
  uint32_t be32() { return need(4) ? load_be32(advance(4)) : 0u; }
  uint64_t be64() { return need(8) ? load_be64(advance(8)) : uint64_t{0}; }
  Bytes bytes(size_t count) { return need(count) ? Bytes{advance(count), count} : Bytes{}; }
  Bytes rest() { return bytes(remaining()); }
  void fail() {
    ok_ = false;
    at_ = end_;
  }

 private:
  bool need(size_t count) {
    if (remaining() >= count) [[likely]]
      return true;
    fail();
    return false;
  }
  const uint8_t* advance(size_t count) {
    const uint8_t* at = at_;
    at_ += count;
    return at;
  }

  const uint8_t* at_;
  const uint8_t* end_;
  bool ok_ = true;
};

// A cursor that fills bytes that somebody else owns. What does not fit is not written and `ok()` is false for good.
class Writer {
 public:
  explicit Writer(MutableBytes bytes) : begin_(bytes.data()), at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool ok() const { return ok_; }
  size_t size() const { return static_cast<size_t>(at_ - begin_); }
  size_t room() const { return static_cast<size_t>(end_ - at_); }
  uint8_t* position() const { return at_; }

  void u8(uint8_t value) {
    if (need(1)) *at_++ = value;
  }
  void be16(uint16_t value) {
    if (need(2)) store_be16(advance(2), value);
  }
  void be32(uint32_t value) {
    if (need(4)) store_be32(advance(4), value);
  }
  void be64(uint64_t value) {
    if (need(8)) store_be64(advance(8), value);
  }
  void bytes(Bytes value) {
    if (value.empty() || !need(value.size())) return;
    std::memcpy(advance(value.size()), value.data(), value.size());
  }
  void fail() {
    ok_ = false;
    end_ = at_;
  }

 private:
  bool need(size_t count) {
    if (room() >= count) [[likely]]
      return true;
    fail();
    return false;
  }
  uint8_t* advance(size_t count) {
    uint8_t* at = at_;
    at_ += count;
    return at;
  }

  uint8_t* begin_;
  uint8_t* at_;
  uint8_t* end_;
  bool ok_ = true;
};

}  // namespace talaria::base
