// The direct exchange: a message goes to every binding whose key equals its routing key. One hash look-up a message.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/flat_map.h"
#include "core/broker/binding.h"
#include "core/broker/route_targets.h"

namespace talaria::broker {

class DirectBindings {
 public:
  DirectBindings() = default;
  ~DirectBindings();
  DirectBindings(const DirectBindings&) = delete;
  DirectBindings& operator=(const DirectBindings&) = delete;

  void add(StoredBinding& binding);
  void remove(StoredBinding& binding);
  // Whether any binding matched.
  bool match(std::string_view key, RouteTargets& out) const;

 private:
  struct Key {
    std::string text;
    std::vector<StoredBinding*> bindings;
  };
  base::FlatMap<Key*> keys_;  // owned
};

}  // namespace talaria::broker
