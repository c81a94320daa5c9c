// Names of things that come and go in numbered slots: the generation tells a thing from its successor in the same slot,
// so that a name that outlived its thing finds nothing instead of somebody else's.
#pragma once

#include <compare>
#include <cstdint>

namespace talaria::base {

template <class Tag>
struct Id {
  uint32_t slot = 0;
  uint32_t generation = 0;  // 0 names nothing

  explicit operator bool() const { return generation != 0; }
  auto operator<=>(const Id&) const = default;
};

}  // namespace talaria::base
