#include "core/tcp/half_open.h"

#include <algorithm>

#include "core/base/check.h"

namespace talaria::tcp {

using base::none;

HalfOpenTable::HalfOpenTable(size_t entries, bool ipv6, size_t steps, base::Duration first,
                             std::pmr::memory_resource* memory)
    : entries_(entries, memory),
      index_(entries_, memory),
      addresses_(ipv6 ? entries : 0, memory),
      steps_(steps),
      first_(first) {
  CHECK(steps <= steps_max);
}

HalfOpen* HalfOpenTable::find(const Tuple& tuple, uint64_t hash) {
  uint32_t at = index_.find(tuple, hash);
  return at == none ? nullptr : &entries_[at];
}

HalfOpen* HalfOpenTable::add(const Tuple& tuple, uint64_t hash, base::Time now) {
  uint32_t at = entries_.take();
  if (at == none) return nullptr;
  entries_[at] = HalfOpen{.key = tuple};
  index_.insert(at, hash);
  append(entries_[at], now);
  return &entries_[at];
}

void HalfOpenTable::remove(HalfOpen& entry, uint64_t hash) {
  uint32_t at = entries_.index_of(entry);
  unlink(entry);
  index_.remove(at, hash);
  entries_.give(at);
}

HalfOpen* HalfOpenTable::expired(base::Time now) {
  for (const List& list : lists_)
    if (list.oldest != none && entries_[list.oldest].deadline <= now) return &entries_[list.oldest];
  return nullptr;
}

bool HalfOpenTable::move_on(HalfOpen& entry, base::Time now) {
  if (entry.step >= steps_) return false;
  unlink(entry);
  entry.step++;
  append(entry, now);
  return true;
}

base::Time HalfOpenTable::next_deadline() const {
  base::Time earliest = base::never;
  for (const List& list : lists_)
    if (list.oldest != none) earliest = std::min(earliest, entries_[list.oldest].deadline);
  return earliest;
}

void HalfOpenTable::append(HalfOpen& entry, base::Time now) {
  entry.deadline = now + first_ * (1 << entry.step);
  List& list = lists_[entry.step];
  uint32_t at = entries_.index_of(entry);
  entry.older = list.newest;
  entry.newer = none;
  (list.newest == none ? list.oldest : entries_[list.newest].newer) = at;
  list.newest = at;
}

void HalfOpenTable::unlink(HalfOpen& entry) {
  List& list = lists_[entry.step];
  (entry.older == none ? list.oldest : entries_[entry.older].newer) = entry.newer;
  (entry.newer == none ? list.newest : entries_[entry.newer].older) = entry.older;
}

}  // namespace talaria::tcp
