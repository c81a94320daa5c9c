// What the engine has to say, gathered while a turn runs, until the worker passes it on.
//
// One a worker, owned by it, injected into the engine and the message pool. Everything here is taken out by the worker
// in the same turn (what a full mailbox refuses stays, in order, until the next). The vectors are reserved at start and
// bounded by the turn's budgets; they grow only on cold paths (a queue with thousands of consumers is deleted).
//
// Order: within one vector things stand as they happened. The worker passes `events` on before `deliveries` (a consumer
// learns that it is subscribed before its first message), and empties both before it reads more input (a consumer that
// cancels has had its last message before it is told).
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "core/broker/address.h"
#include "core/broker/operations.h"
#include "core/broker/queue_settings.h"

namespace talaria::broker {

// All traffic of a queue homed here comes from and goes to one other worker.
struct MoveWish {
  QueueId queue;
  WorkerIndex to = 0;
};
// A queue's move is over, as far as this worker is concerned.
struct MoveEnd {
  uint32_t move = 0;
  MoveOutcome outcome = MoveOutcome::moved;
};

// It died in a queue that wants its dead published: a front end makes of it what its clients know, and publishes that.
// Carries one reference.
struct DeadMessage {
  Message* message = nullptr;
  VhostId vhost;
  std::shared_ptr<const QueueSettings> settings;  // of the queue it died in
  DeathReason reason = DeathReason::rejected;
};

// Something was bound to an exchange that remembers and has its home here. One of the two is set.
struct Bound {
  ExchangeId source;
  QueueId queue;
  ExchangeId exchange;
};

struct Outbox {
  // `deliveries_per_turn`: the budget of Engine::dispatch. `workers`: how many of the arrays are in use.
  explicit Outbox(WorkerIndex workers = 1, size_t deliveries_per_turn = 1024) {
    deliveries.reserve(deliveries_per_turn);
    events.reserve(4 * deliveries_per_turn);
    for (WorkerIndex worker = 0; workers > 1 && worker < workers; worker++) {
      operations[worker].reserve(deliveries_per_turn);
      events_to[worker].reserve(deliveries_per_turn);
      releases[worker].reserve(deliveries_per_turn);
    }
  }

  // To sessions on this worker. Each delivery carries one reference to its message.
  std::vector<Deliver> deliveries;
  std::vector<Event> events;  // never a Deliver

  // To peers, by worker; one's own place is unused.
  std::array<std::vector<Operation>, workers_max> operations;  // to queues homed there
  std::array<std::vector<Event>, workers_max> events_to;       // to sessions there (Deliver among them)
  std::array<std::vector<Message*>, workers_max> releases;     // last references given up here: MessagePool::take_back

  // Of `operations`, since the start: how many have gone into the peer's mailbox, and how many of these it is known to
  // have taken. The worker keeps both; the second it only looks up when somebody waits for it and has said so.
  struct Handed {
    uint64_t sent = 0;
    uint64_t taken = 0;
  };
  std::array<Handed, workers_max> handed;
  bool asks_what_is_taken = false;

  // To the front end of this worker. At most one for each thing done to a queue, and EngineLimits::drops_at_once more.
  std::vector<DeadMessage> dead;

  // Likewise: messages for exchanges that remember, and who was bound to one. The latter is taken at once.
  std::vector<Entrust> entrusted;
  std::vector<Bound> bound;

  // To the control plane.
  std::vector<MoveWish> move_wishes;  // may be forgotten: it is wished again
  std::vector<MoveEnd> move_ends;
  std::vector<QueueId> unused_queues;  // for as long as they may be (x-expires); said again if nothing comes of it
};

}  // namespace talaria::broker
