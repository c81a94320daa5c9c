// Exchanges that give each message to one of their bindings.
//
//   consistent hash   by the hash of the routing key, of a header or of a property, in proportion to the bindings'
//                     weights, which are their keys: what hashes the same goes the same way. Each binding draws a
//                     number for each hash, and the least one, divided by its weight, wins ("rendezvous hashing"): a
//                     binding that comes only takes messages over, one that goes only leaves its own to the others
//   modulus hash      by the hash of the routing key, modulo the number of bindings, which are in an order that does
//                     not depend on when they were made
//   random            any; `local`: any whose queue has its home on this worker, and any at all if none has
//
// The same on every worker, and after a restart: hashes are of names. Cost: the first walks all bindings, the others
// look one up (`local` walks them, too). Making and removing a binding is linear.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "core/broker/binding.h"
#include "core/broker/exchange_settings.h"
#include "core/broker/route_targets.h"

namespace talaria::broker {

class ChoiceBindings {
 public:
  enum class Way : uint8_t { consistent_hash, modulus_hash, random, local_random };

  ChoiceBindings(Way way, std::shared_ptr<const ExchangeSettings> settings);

  void add(StoredBinding& binding);
  void remove(StoredBinding& binding);
  bool match(std::string_view routing_key, const RouteFacts& facts, RouteTargets& out) const;

 private:
  struct Choice {
    StoredBinding* binding = nullptr;
    uint64_t seed = 0;  // of its destination's name and its key
    double weight = 1;
  };

  uint64_t hash_of(std::string_view routing_key, const RouteFacts& facts) const;
  const Choice& heaviest(uint64_t hash) const;
  const Choice& any(uint64_t number) const;
  const Choice& any_local(uint64_t number) const;

  Way way_;
  std::shared_ptr<const ExchangeSettings> settings_;
  std::vector<Choice> choices_;  // by seed
};

// The weight that a binding key says; nullopt: it is no integer, or below 1.
std::optional<uint32_t> weight_of(std::string_view key);

}  // namespace talaria::broker
