#include "core/broker/direct_bindings.h"

#include "core/base/check.h"
#include "core/base/hash.h"

namespace talaria::broker {
namespace {

uint64_t hash_of(std::string_view key) { return base::hash_bytes(base::as_bytes(key)); }

}  // namespace

DirectBindings::~DirectBindings() {
  keys_.for_each([](Key* key) { delete key; });
}

void DirectBindings::add(StoredBinding& binding) {
  const uint64_t hash = hash_of(binding.key);
  Key** found = keys_.find(hash, [&](const Key* key) { return key->text == binding.key; });
  Key* key = found ? *found : nullptr;
  if (!key) {
    key = new Key{binding.key, {}};
    keys_.insert(hash, key);
  }
  binding.place = static_cast<uint32_t>(key->bindings.size());
  key->bindings.push_back(&binding);
}

void DirectBindings::remove(StoredBinding& binding) {
  const uint64_t hash = hash_of(binding.key);
  auto same = [&](const Key* key) { return key->text == binding.key; };
  Key** found = keys_.find(hash, same);
  CHECK(found);
  Key* key = *found;
  key->bindings[binding.place] = key->bindings.back();
  key->bindings[binding.place]->place = binding.place;
  key->bindings.pop_back();
  if (!key->bindings.empty()) return;
  keys_.erase(hash, same);
  delete key;
}

bool DirectBindings::match(std::string_view key, RouteTargets& out) const {
  Key* const* found = keys_.find(hash_of(key), [&](const Key* candidate) { return candidate->text == key; });
  if (!found) return false;
  for (const StoredBinding* binding : (*found)->bindings) out.add(binding->destination);
  return true;
}

}  // namespace talaria::broker
