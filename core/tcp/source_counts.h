// How much each remote address holds of something, so that one of them cannot hold all of it. Counters in a fixed
// number of places, two for each address, found by a keyed hash; what an address holds is at most the smaller of its
// two. An address that shares both places with a busy one is taken for busy too: with few busy ones that is rare, and
// nobody can aim at it without the key. Owned by the stack.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory_resource>
#include <vector>

#include "core/base/check.h"

namespace talaria::tcp {

class SourceCounts {
 public:
  static constexpr size_t places_max = 65536;

  // `most` things are held at once in all; 0: none, and nothing is reserved.
  SourceCounts(size_t most, std::pmr::memory_resource* memory)
      : first_(places_for(most), 0, memory), second_(places_for(most), 0, memory) {}

  uint32_t of(uint64_t hash) const { return std::min(first_[place(hash)], second_[place(hash >> 32)]); }
  void add(uint64_t hash) {
    first_[place(hash)]++;
    second_[place(hash >> 32)]++;
  }
  void remove(uint64_t hash) {
    CHECK(of(hash) > 0);
    first_[place(hash)]--;
    second_[place(hash >> 32)]--;
  }

 private:
  static size_t places_for(size_t most) { return most == 0 ? 0 : std::min(std::bit_ceil(2 * most), places_max); }
  size_t place(uint64_t hash) const { return hash & (first_.size() - 1); }

  std::pmr::vector<uint32_t> first_;
  std::pmr::vector<uint32_t> second_;
};

}  // namespace talaria::tcp
