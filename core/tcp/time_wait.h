// Connections whose both directions are closed, remembered for twice the segment lifetime so that a lost last ACK can
// be repeated and old segments find nothing to disturb (RFC 9293 3.6.1, RFC 1337). And those that a SYN cookie opened,
// however they ended: nothing else would tell a late copy of the handshake's last segment from a new connection. 48
// bytes each; all wait equally long, so one list in the order of expiry does for timers. When the table is full the
// oldest is forgotten. Owned by the stack.
#pragma once

#include <cstdint>
#include <memory_resource>

#include "core/base/slab.h"
#include "core/base/time.h"
#include "core/tcp/sequence.h"
#include "core/tcp/tuple.h"

namespace talaria::tcp {

struct TimeWait {
  base::Time deadline{};
  Tuple key;
  Sequence send_next = 0;
  Sequence receive_next = 0;
  uint32_t recent_timestamp = 0;
  uint32_t next_in_bucket = base::none;
  uint32_t newer = base::none;
  uint32_t older = base::none;
  uint16_t window = 0;  // as on the wire
  bool has_timestamp = false;
  // Not of a close in order: the connection had been opened by a SYN cookie, and copies of the segment that brought it
  // may still be on their way. Nothing but tuple and receive_next, which is where the peer's stream began, counts.
  bool spent_cookie = false;

  const Tuple& tuple() const { return key; }
};
static_assert(sizeof(TimeWait) <= 48);

class TimeWaitTable {
 public:
  TimeWaitTable(size_t entries, base::Duration duration, base::HashKey key, std::pmr::memory_resource* memory);

  TimeWait* find(const Tuple& tuple, uint64_t hash);
  // A new entry; the oldest makes room if it must (`recycled` says so). nullptr only if the table has no entries at
  // all.
  TimeWait* add(const Tuple& tuple, uint64_t hash, base::Time now, bool& recycled);
  void remove(TimeWait& entry);
  // Its time begins again.
  void restart(TimeWait& entry, base::Time now);
  // The oldest, if its time is over.
  TimeWait* expired(base::Time now);

  base::Time next_deadline() const { return oldest_ == base::none ? base::never : entries_[oldest_].deadline; }
  size_t size() const { return entries_.used(); }

 private:
  void append(TimeWait& entry, base::Time now);
  void unlink(TimeWait& entry);

  base::Slab<TimeWait> entries_;
  TupleIndex<TimeWait> index_;
  base::HashKey key_;
  base::Duration duration_;
  uint32_t oldest_ = base::none;
  uint32_t newest_ = base::none;
};

}  // namespace talaria::tcp
