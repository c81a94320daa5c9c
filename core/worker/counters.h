// What one worker counts about itself. Written by the worker, read by anybody.
#pragma once

#include "core/base/counters.h"
#include "core/base/histogram.h"

namespace talaria::worker {

struct WorkerCounters {
  base::Counter turns_busy, turns_idle;
  // Written by whoever owns the loop and its clock: the longest turn from before to after it, the time of turns that
  // found work, and the time slept between turns. What is left of the time that goes by was looking in vain.
  base::Counter longest_turn_ns, busy_ns, asleep_ns;
  base::Counter operations_sent, operations_received;
  base::Counter events_sent, events_received;
  base::Counter releases_sent;  // messages whose memory goes home
  base::Counter peer_pushes;    // into mailboxes of peers, each of as many operations, events or releases as there were
  base::Counter peers_congested;     // turns in which a mailbox to a peer was full
  base::Counter changes_applied;     // topology
  base::Counter message_bytes_used;  // of the message memory, entries of queues included; a gauge
  base::Histogram message_latency;   // ns from a message's content header to the writing of its delivery

  // Calls `visit(name, value)` for each but the latency, in the order above.
  template <class Visitor>
  void for_each(Visitor&& visit) const;
};

template <class Visitor>
void WorkerCounters::for_each(Visitor&& visit) const {
  static_assert(sizeof(WorkerCounters) == 14 * sizeof(base::Counter) + sizeof(base::Histogram),
                "a counter is missing below");
  visit("turns_busy", turns_busy.value());
  visit("turns_idle", turns_idle.value());
  visit("longest_turn_ns", longest_turn_ns.value());
  visit("busy_ns", busy_ns.value());
  visit("asleep_ns", asleep_ns.value());
  visit("operations_sent", operations_sent.value());
  visit("operations_received", operations_received.value());
  visit("events_sent", events_sent.value());
  visit("events_received", events_received.value());
  visit("releases_sent", releases_sent.value());
  visit("peer_pushes", peer_pushes.value());
  visit("peers_congested", peers_congested.value());
  visit("changes_applied", changes_applied.value());
  visit("message_bytes_used", message_bytes_used.value());
}

}  // namespace talaria::worker
