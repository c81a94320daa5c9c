#include "core/base/hash.h"

namespace talaria::base {
namespace {

struct SipState {
  uint64_t v0, v1, v2, v3;

  void round() {
    v0 += v1;
    v1 = std::rotl(v1, 13);
    v1 ^= v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16);
    v3 ^= v2;
    v0 += v3;
    v3 = std::rotl(v3, 21);
    v3 ^= v0;
    v2 += v1;
    v1 = std::rotl(v1, 17);
    v1 ^= v2;
    v2 = std::rotl(v2, 32);
  }
  void absorb(uint64_t word) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
};

}  // namespace

uint64_t siphash24(HashKey key, Bytes bytes) {
  SipState state{key.k0 ^ 0x736f6d6570736575ull, key.k1 ^ 0x646f72616e646f6dull, key.k0 ^ 0x6c7967656e657261ull,
                 key.k1 ^ 0x7465646279746573ull};
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    uint64_t word;  // little-endian by definition, as is every machine DPDK 22.11 runs this on
    std::memcpy(&word, at, 8);
    state.absorb(word);
  }
  uint64_t last = static_cast<uint64_t>(bytes.size()) << 56;
  for (size_t i = 0; i < left; i++) last |= static_cast<uint64_t>(at[i]) << (8 * i);
  state.absorb(last);
  state.v2 ^= 0xff;
  for (int i = 0; i < 4; i++) state.round();
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

std::string fingerprint(HashKey key, std::string_view value) {
  uint8_t octets[16];
  store_be64(octets, siphash24(key, as_bytes(value)));
  store_be64(octets + 8, siphash24({~key.k0, key.k1}, as_bytes(value)));
  return {reinterpret_cast<const char*>(octets), 15};
}

}  // namespace talaria::base
