// What an engine and its queues count. Written by the worker's engine, read by anyone.
#pragma once

#include "core/base/counters.h"

namespace talaria::broker {

struct EngineCounters {
  base::Counter published;          // messages that came to `publish`, whatever their targets
  base::Counter stored;             // entries enqueued here
  base::Counter stored_nowhere;     // published to a queue that was gone: dropped, and confirmed
  base::Counter refused_no_memory;  // an entry found no memory: the reserve was too small, the publisher got a nack
  base::Counter delivered;          // to consumers, here and elsewhere
  base::Counter got;                // by get
  base::Counter settled;
  base::Counter expired;             // messages whose time to live was over
  base::Counter dropped_over_limit;  // messages at the head of a queue that was full
  base::Counter refused_over_limit;  // messages that came to one that refuses then
  base::Counter duplicates;          // dropped by queues that had one like it lately
  base::Counter replaced;            // in queues that keep the last of each value
  base::Counter consumers_slow;      // found slower than their queue demands
  base::Counter over_deliveries;     // messages that came back too often
  base::Counter dead_lettered;       // of all that died, by rejection too: those that have somewhere to go
  base::Counter dropped_with_queue;  // messages of purged and deleted queues
  base::Counter late_operations;     // on a queue or subscription that was gone
  base::Counter queues_left;         // moved to another worker
  base::Counter queues_arrived;      // moved here
  base::Counter moves_too_long;      // not done: more entries or subscriptions than a move carries
  base::Counter moves_no_memory;     // not done: the other worker had no memory to spare

  // Calls `visit(name, value)` for each, in the order above.
  template <class Visitor>
  void for_each(Visitor&& visit) const;
};

template <class Visitor>
void EngineCounters::for_each(Visitor&& visit) const {
  static_assert(sizeof(EngineCounters) == 21 * sizeof(base::Counter), "a counter is missing below");
  visit("published", published.value());
  visit("stored", stored.value());
  visit("stored_nowhere", stored_nowhere.value());
  visit("refused_no_memory", refused_no_memory.value());
  visit("delivered", delivered.value());
  visit("got", got.value());
  visit("settled", settled.value());
  visit("expired", expired.value());
  visit("dropped_over_limit", dropped_over_limit.value());
  visit("refused_over_limit", refused_over_limit.value());
  visit("duplicates", duplicates.value());
  visit("replaced", replaced.value());
  visit("consumers_slow", consumers_slow.value());
  visit("over_deliveries", over_deliveries.value());
  visit("dead_lettered", dead_lettered.value());
  visit("dropped_with_queue", dropped_with_queue.value());
  visit("late_operations", late_operations.value());
  visit("queues_left", queues_left.value());
  visit("queues_arrived", queues_arrived.value());
  visit("moves_too_long", moves_too_long.value());
  visit("moves_no_memory", moves_no_memory.value());
}

}  // namespace talaria::broker
