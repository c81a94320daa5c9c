// How a queue's home moves from one worker to another, as each worker's engine sees it (docs/decisions/0005).
//
// The control plane says MoveQueue to every worker, one move at a time over the whole process; each reports when the
// move is over for it (Outbox::move_ends), and only then comes the next. X: any worker, the two homes among them.
//
//   X, told of the move:        home = nowhere. Publishers of the queue find no room (Shortage::moving), other
//                               operations of sessions here are held back, in order. LastOperation -> old home, behind
//                               everything that was sent there before.
//   old home, LastOperation     nobody asks anything of the queue any more: it stops. QueueLeft -> every X, behind its
//   from all, told itself:      last event. Queue, subscriptions, entries -> new home, a bounded number a turn. Or it
//                               stays (MoveOutcome), and QueueLeft says so.
//   X, QueueLeft:               what the old home had to say has been said here. LastEventSeen -> new home. (If it
//                               stayed: home = old home, what was held goes there, over.)
//   new home, all of it here,   it is alive: home = here, what was held goes on, it delivers. QueueArrived -> every X.
//   LastEventSeen from all:
//   X, QueueArrived:            home = new home, what was held goes there, over.
//
// So operations of one session keep their order (those to the old home were taken in before it stopped, those to the
// new one leave after it is alive), and events to one session keep theirs. Nobody waits for anybody by not draining a
// mailbox: a worker that waits only holds back what concerns this queue.
//
// A queue that is removed meanwhile is removed at each worker when that worker is told: the old home gives up what it
// still has, the new one what it has got and what still comes, and the move runs to its end without a queue.
//
// Bounds: EngineLimits::move_entries_max entries, for which the new home keeps memory from when it is told until it is
// alive, and move_subscriptions_max subscriptions. What is held back: the settlements of these entries, and a few
// operations a subscription and session here.
#pragma once

#include <vector>

#include "core/broker/address.h"
#include "core/broker/operations.h"

namespace talaria::broker {

class Queue;

// The move that is under way, or was last, of one engine.
struct Move {
  uint32_t number = 0;  // 0: there was none yet
  bool under_way = false;
  QueueId queue;
  WorkerIndex from = 0;
  WorkerIndex to = 0;
  std::vector<Operation> held;  // of sessions here

  // At the old home. The first of the LastOperations may come before the worker is told itself.
  WorkerIndex last_operations = 0;
  uint32_t entries_promised = 0;
  Queue* leaving = nullptr;  // there is still something to hand over

  // At the new home.
  size_t bytes_promised = 0;
  WorkerIndex last_events_seen = 0;
  bool all_here = false;
  bool whole = true;
};

}  // namespace talaria::broker
