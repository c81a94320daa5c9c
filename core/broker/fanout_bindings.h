// The fanout exchange: every binding, whatever the keys.
#pragma once

#include <vector>

#include "core/broker/binding.h"
#include "core/broker/route_targets.h"

namespace talaria::broker {

class FanoutBindings {
 public:
  void add(StoredBinding& binding) {
    binding.place = static_cast<uint32_t>(bindings_.size());
    bindings_.push_back(&binding);
  }
  void remove(StoredBinding& binding) {
    bindings_[binding.place] = bindings_.back();
    bindings_[binding.place]->place = binding.place;
    bindings_.pop_back();
  }
  bool match(RouteTargets& out) const {
    for (const StoredBinding* binding : bindings_) out.add(binding->destination);
    return !bindings_.empty();
  }

 private:
  std::vector<StoredBinding*> bindings_;
};

}  // namespace talaria::broker
