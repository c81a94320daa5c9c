// Names of unacknowledged entries that came with a queue from its old home. Sessions go on calling them what that home
// called them; here they lie elsewhere. One a queue, while it has such entries.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/check.h"
#include "core/base/flat_map.h"
#include "core/base/hash.h"
#include "core/broker/address.h"

namespace talaria::broker {

class MovedEntries {
 public:
  struct Item {
    EntryId id;              // the old home's
    uint32_t reference = 0;  // the entry, in this home's arena
  };

  explicit MovedEntries(uint32_t expected) : places_(expected) { items_.reserve(expected); }

  bool empty() const { return places_.size() == 0; }
  size_t size() const { return places_.size(); }
  // Returns its place, which names the item as long as it is here.
  uint32_t add(EntryId id, uint32_t reference) {
    const auto place = static_cast<uint32_t>(items_.size());
    items_.push_back({id, reference});
    places_.insert(hash_of(id), place);
    return place;
  }
  // nullptr: no entry that came is called so.
  const Item* find(EntryId id) const {
    const uint32_t* place = places_.find(hash_of(id), [&](uint32_t candidate) { return items_[candidate].id == id; });
    return place ? &items_[*place] : nullptr;
  }
  const Item& at(uint32_t place) const { return items_[place]; }
  void remove(EntryId id) {
    const bool known = places_.erase(hash_of(id), [&](uint32_t candidate) { return items_[candidate].id == id; });
    CHECK(known);
  }

 private:
  static uint64_t hash_of(EntryId id) {
    const uint32_t parts[2] = {id.slot, id.generation};
    return base::hash_bytes({reinterpret_cast<const uint8_t*>(parts), sizeof parts});
  }

  std::vector<Item> items_;  // those removed too
  base::FlatMap<uint32_t> places_;
};

}  // namespace talaria::broker
