#include "core/tcp/time_wait.h"

namespace talaria::tcp {

using base::none;

TimeWaitTable::TimeWaitTable(size_t entries, base::Duration duration, base::HashKey key,
                             std::pmr::memory_resource* memory)
    : entries_(entries, memory), index_(entries_, memory), key_(key), duration_(duration) {}

TimeWait* TimeWaitTable::find(const Tuple& tuple, uint64_t hash) {
  uint32_t at = index_.find(tuple, hash);
  return at == none ? nullptr : &entries_[at];
}

TimeWait* TimeWaitTable::add(const Tuple& tuple, uint64_t hash, base::Time now, bool& recycled) {
  recycled = false;
  uint32_t at = entries_.take();
  if (at == none) {
    if (oldest_ == none) return nullptr;
    recycled = true;
    remove(entries_[oldest_]);
    at = entries_.take();
  }
  entries_[at] = TimeWait{.key = tuple};
  index_.insert(at, hash);
  append(entries_[at], now);
  return &entries_[at];
}

void TimeWaitTable::remove(TimeWait& entry) {
  uint32_t at = entries_.index_of(entry);
  unlink(entry);
  index_.remove(at, hash_of(entry.key, key_));
  entries_.give(at);
}

void TimeWaitTable::restart(TimeWait& entry, base::Time now) {
  unlink(entry);
  append(entry, now);
}

TimeWait* TimeWaitTable::expired(base::Time now) {
  return oldest_ != none && entries_[oldest_].deadline <= now ? &entries_[oldest_] : nullptr;
}

void TimeWaitTable::append(TimeWait& entry, base::Time now) {
  entry.deadline = now + duration_;
  uint32_t at = entries_.index_of(entry);
  entry.older = newest_;
  entry.newer = none;
  (newest_ == none ? oldest_ : entries_[newest_].newer) = at;
  newest_ = at;
}

void TimeWaitTable::unlink(TimeWait& entry) {
  (entry.older == none ? oldest_ : entries_[entry.older].newer) = entry.newer;
  (entry.newer == none ? newest_ : entries_[entry.newer].older) = entry.older;
}

}  // namespace talaria::tcp
