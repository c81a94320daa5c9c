// What a queue or an exchange that drops duplicates was declared with.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace talaria::broker {

// A message whose header has a value that came lately is dropped.
struct Deduplication {
  std::string header;
  uint32_t cache_size = 0;  // values that are remembered
  std::optional<uint64_t> cache_ttl_ms = {};

  bool operator==(const Deduplication&) const = default;
};

}  // namespace talaria::broker
