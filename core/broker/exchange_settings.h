// What an exchange was declared with beyond its type and its alternate. Typed and checked by the control plane, which
// makes one for an exchange that asks for anything at all; immutable, shared by the workers' replicas.
#pragma once

#include <cstdint>
#include <string>

namespace talaria::broker {

enum class HashProperty : uint8_t { none, correlation_id, message_id, timestamp };

struct ExchangeSettings {
  // x-consistent-hash: by what, if not by the routing key. At most one of them.
  std::string hash_header = {};
  HashProperty hash_property = HashProperty::none;
  // x-delayed-message: what is published there waits as long as it says.
  bool delays = false;
  bool operator==(const ExchangeSettings&) const = default;
};

}  // namespace talaria::broker
