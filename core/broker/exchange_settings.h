// What an exchange was declared with beyond its type and its alternate. Typed and checked by the control plane, which
// makes one for an exchange that asks for anything at all; immutable, shared by the workers' replicas.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/broker/deduplication.h"

namespace talaria::broker {

enum class HashProperty : uint8_t { none, correlation_id, message_id, timestamp };

struct ExchangeSettings {
  // x-consistent-hash: by what, if not by the routing key. At most one of them.
  std::string hash_header = {};
  HashProperty hash_property = HashProperty::none;
  // x-delayed-message: what is published there waits as long as it says.
  bool delays = false;
  // x-recent-history: whoever is bound gets so many of the last messages.
  std::optional<uint32_t> history_length = {};
  // x-message-deduplication
  std::optional<Deduplication> deduplication = {};

  // At its home, one worker.
  bool remembers() const { return history_length || deduplication; }
  bool operator==(const ExchangeSettings&) const = default;
};

}  // namespace talaria::broker
