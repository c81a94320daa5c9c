// What one worker counts about itself. Written by the worker, read by anybody.
#pragma once

#include "core/base/counters.h"
#include "core/base/histogram.h"

namespace talaria::worker {

struct WorkerCounters {
  base::Counter turns_busy, turns_idle;
  base::Counter longest_turn_ns;  // written by whoever owns the loop and its clock, from before to after a turn
  base::Counter operations_sent, operations_received;
  base::Counter events_sent, events_received;
  base::Counter peers_congested;     // turns in which a mailbox to a peer was full
  base::Counter changes_applied;     // topology
  base::Counter message_bytes_used;  // of the message memory, entries of queues included; a gauge
  base::Histogram message_latency;   // ns from the turn a message's header came in to the turn its delivery was encoded
};

}  // namespace talaria::worker
