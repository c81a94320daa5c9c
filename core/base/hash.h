// Hashes. `hash_bytes` is fast and unkeyed: for names that the control plane admitted. `siphash24` is keyed: for
// everything a stranger on the network can choose (connection tuples, SYN cookies, initial sequence numbers), so that
// nobody can aim at one bucket. Keys are injected; nothing here makes randomness.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/bytes.h"

namespace talaria::base {

struct HashKey {
  uint64_t k0 = 0;
  uint64_t k1 = 0;
};

// Any length; quality enough for open addressing on the low bits (a 64-bit multiply-fold, wyhash's construction). Tails
// are read by overlapping loads of fixed sizes, never byte by byte.
inline uint64_t hash_bytes(Bytes bytes) {
  constexpr uint64_t p0 = 0xa0761d6478bd642full, p1 = 0xe7037ed1a0b428dbull;
  auto fold = [](uint64_t a, uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    Wide product = Wide{a} * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  };
  auto load8 = [](const uint8_t* at) {
    uint64_t value;
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  auto load4 = [](const uint8_t* at) -> uint64_t {
    uint32_t value;
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  const uint8_t* at = bytes.data();
  const size_t size = bytes.size();
  uint64_t state = p0 ^ size, a = 0, b = 0;
  if (size > 16) {
    size_t left = size;
    for (; left > 16; at += 16, left -= 16) state = fold(load8(at) ^ p1, load8(at + 8) ^ state);
    a = load8(at + left - 16);
    b = load8(at + left - 8);
  } else if (size >= 8) {
    a = load8(at);
    b = load8(at + size - 8);
  } else if (size >= 4) {
    a = load4(at);
    b = load4(at + size - 4);
  } else if (size != 0) {
    a = uint64_t{at[0]} << 16 | uint64_t{at[size / 2]} << 8 | at[size - 1];
  }
  return fold(p1 ^ size, fold(a ^ p1, b ^ state));
}

// SipHash-2-4 of Aumasson and Bernstein (2012).
uint64_t siphash24(HashKey key, Bytes bytes);

// Stands for a value that a stranger chose, where many are kept and looked up: equal for equal values, and of 15 octets
// however long they are, which is what a std::string holds without the heap.
std::string fingerprint(HashKey key, std::string_view value);

}  // namespace talaria::base
