// The simulator's randomness: xoshiro256** of Blackman and Vigna, seeded by SplitMix64.
//
// One run has one seed, but every consumer has a stream of its own, split off by its purpose's name: one more consumer
// of randomness does not shift what the others draw.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/base/time.h"

namespace talaria::sim {

class Random {
 public:
  Random(uint64_t seed, std::string_view purpose) {
    uint64_t state = seed ^ 0xcbf29ce484222325ull;
    for (char c : purpose) state = (state ^ static_cast<uint8_t>(c)) * 0x100000001b3ull;
    for (uint64_t& word : state_) word = split_mix(state);
  }

  uint64_t u64() {
    const uint64_t result = rotate(state_[1] * 5, 7) * 9;
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = rotate(state_[3], 45);
    return result;
  }
  // 0 <= result < bound; bound > 0. The bias of the modulus is far below what a test could notice.
  uint64_t below(uint64_t bound) {
    CHECK(bound > 0);
    return u64() % bound;
  }
  // low <= result <= high.
  uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }
  base::Duration between(base::Duration low, base::Duration high) {
    return low + base::Duration(static_cast<int64_t>(below(static_cast<uint64_t>((high - low).count()) + 1)));
  }
  bool chance(double probability) {
    return probability > 0 && static_cast<double>(u64() >> 11) * 0x1p-53 < probability;
  }
  // Small numbers far more often than big ones, but big ones too: sizes, pauses.
  uint64_t skewed(uint64_t high) { return below(below(high + 1) + 1); }
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[below(from.size())];
  }
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (size_t i = items.size(); i > 1; i--) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  static uint64_t rotate(uint64_t x, int k) { return x << k | x >> (64 - k); }
  static uint64_t split_mix(uint64_t& state) {
    uint64_t z = state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
  }

  std::array<uint64_t, 4> state_;
};

}  // namespace talaria::sim
