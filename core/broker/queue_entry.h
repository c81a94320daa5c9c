// One message in one queue: 32 bytes, two a cache line, from the home worker's arena, linked by 32-bit references. Of a
// message that expires it is followed by a timer (`TimedEntry`), which is armed while the message is ready.
//
//            enqueue             deliver, acknowledgement wanted          settle: acknowledged, rejected
//   (none) ----------> fresh ------------------------------> unacknowledged ----------------> (none)
//                        |                                     |       ^
//                        | deliver, no_ack      settle: requeued          | deliver
//                        v                                     v       |
//                      (none) <------ deliver, no_ack ------ returned -'
//
// (An expired or overflowing message leaves from fresh or returned, wherever in the queue it stands.)
//
// Ready messages are in two places. `FreshList`: never delivered, in order of arrival. `ReturnedHeap`: delivered once
// and come back. Whatever was delivered is older than everything fresh, so the heap's least position is always the
// queue's head, and returning to its original position costs a message O(log n) however many come back in whatever
// order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/arena.h"
#include "core/base/timer_wheel.h"
#include "core/broker/message.h"

namespace talaria::broker {

// `moved`: unacknowledged, and its session knows it by the name that another home gave it (moved_entries.h).
enum class EntryState : uint8_t { fresh, returned, unacknowledged, moved };

struct QueueEntry {
  static constexpr uint64_t position_max = (uint64_t{1} << 52) - 1;  // 47 years at 3 million messages a second
  static constexpr unsigned deliveries_max = 255;                    // counted up to here

  Message* message = nullptr;  // one reference
  uint64_t position : 52 = 0;  // the order in the queue
  uint64_t deliveries : 8 = 0;
  uint64_t redelivered : 1 = 0;
  uint64_t state : 2 = 0;  // EntryState
  uint64_t timed : 1 = 0;  // it is the beginning of a TimedEntry
  // fresh: next and (but for the first) previous. returned: left and right subtree. unacknowledged: previous and next.
  uint32_t a = 0;
  uint32_t b = 0;
  // returned: rank in the heap. unacknowledged: the subscription that holds it (slot + 1), 0 for a get.
  uint32_t holder_or_rank = 0;
  // unacknowledged: tells this delivery from others of the same slot. moved: its place among the
  // MovedEntries. returned: the parent in the heap.
  uint32_t generation = 0;
};
static_assert(sizeof(QueueEntry) == base::Arena::reference_unit);

// Once it has been armed the timer remembers its deadline.
struct TimedEntry {
  QueueEntry entry;
  base::TimerNode timer;
};
static_assert(sizeof(TimedEntry) == 2 * base::Arena::reference_unit);
// What an entry takes at most.
inline constexpr size_t entry_bytes_max = sizeof(TimedEntry);

inline base::TimerNode& timer_of(QueueEntry* entry) { return reinterpret_cast<TimedEntry*>(entry)->timer; }
inline QueueEntry* entry_of(base::TimerNode* timer) {
  return reinterpret_cast<QueueEntry*>(reinterpret_cast<uint8_t*>(timer) - offsetof(TimedEntry, timer));
}

inline QueueEntry* entry_at(const base::Arena& arena, uint32_t reference) {
  return static_cast<QueueEntry*>(arena.at(reference));
}

// First in, first out, by `a`; `b` leads back, so that an entry can leave from the middle.
struct FreshList {
  uint32_t head = 0;
  uint32_t tail = 0;

  bool empty() const { return head == 0; }
  void push(base::Arena& arena, QueueEntry* entry) {
    uint32_t reference = arena.reference_of(entry);
    entry->a = 0;
    entry->b = tail;
    if (tail)
      entry_at(arena, tail)->a = reference;
    else
      head = reference;
    tail = reference;
  }
  QueueEntry* pop(base::Arena& arena) {
    QueueEntry* entry = entry_at(arena, head);
    head = entry->a;
    if (!head) tail = 0;
    return entry;
  }
  void remove(base::Arena& arena, QueueEntry* entry) {
    if (arena.reference_of(entry) == head) {
      pop(arena);
      return;
    }
    entry_at(arena, entry->b)->a = entry->a;
    (entry->a ? entry_at(arena, entry->a)->b : tail) = entry->b;
  }
};

// By position: a leftist heap, so that both operations are O(log n) in the worst case and need no memory of their own.
struct ReturnedHeap {
  uint32_t root = 0;

  bool empty() const { return root == 0; }
  void push(base::Arena& arena, QueueEntry* entry);
  QueueEntry* pop(base::Arena& arena);
  void remove(base::Arena& arena, QueueEntry* entry);
  // Any entry, cheaply and in no order: for throwing all of them away. Leaves a tree that is only good for more of
  // that.
  QueueEntry* take_any(base::Arena& arena);
};

// Doubly linked by `a` (previous) and `b` (next), in order of delivery.
struct UnackedList {
  uint32_t head = 0;
  uint32_t tail = 0;

  bool empty() const { return head == 0; }
  void push(base::Arena& arena, QueueEntry* entry) {
    uint32_t reference = arena.reference_of(entry);
    entry->a = tail;
    entry->b = 0;
    if (tail)
      entry_at(arena, tail)->b = reference;
    else
      head = reference;
    tail = reference;
  }
  void remove(base::Arena& arena, QueueEntry* entry) {
    (entry->a ? entry_at(arena, entry->a)->b : head) = entry->b;
    (entry->b ? entry_at(arena, entry->b)->a : tail) = entry->a;
  }
};

}  // namespace talaria::broker
