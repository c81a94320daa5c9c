// Hashes. `hash_bytes` is fast and unkeyed: for names that the control plane admitted. `siphash24` is keyed: for
// everything a stranger on the network can choose (connection tuples, SYN cookies, initial sequence numbers), so that
// nobody can aim at one bucket. Keys are injected; nothing here makes randomness.
#pragma once

#include <cstdint>

#include "core/base/bytes.h"

namespace talaria::base {

struct HashKey {
  uint64_t k0 = 0;
  uint64_t k1 = 0;
};

// Any length; quality enough for open addressing on the low bits (a 64-bit multiply-fold, wyhash's construction).
inline uint64_t hash_bytes(Bytes bytes) {
  constexpr uint64_t p0 = 0xa0761d6478bd642full, p1 = 0xe7037ed1a0b428dbull;
  auto fold = [](uint64_t a, uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    Wide product = Wide{a} * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  };
  auto load = [](const uint8_t* at, size_t count) {
    uint64_t value = 0;
    std::memcpy(&value, at, count);
    return value;
  };
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  uint64_t state = p0 ^ left;
  while (left > 16) {
    state = fold(load(at, 8) ^ p1, load(at + 8, 8) ^ state);
    at += 16;
    left -= 16;
  }
  uint64_t a = left >= 8 ? load(at, 8) : (left ? load(at, left) : 0);
  uint64_t b = left > 8 ? load(at + 8, left - 8) : 0;
  return fold(p1 ^ bytes.size(), fold(a ^ p1, b ^ state));
}

// SipHash-2-4 of Aumasson and Bernstein (2012).
uint64_t siphash24(HashKey key, Bytes bytes);

}  // namespace talaria::base
