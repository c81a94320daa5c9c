// The broker engine of one worker: publishing, subscribing, settling, wherever the queue lives. A pure state machine
// that speaks no protocol; it owns the worker's replica of the topology and the queues homed here.
//
//   sessions --- publish, subscribe, settle, ... ---> Engine --- here: at once -----------> queue
//      ^                                                |------- elsewhere: outbox.operations[home]
//      '--- outbox.deliveries, outbox.events -----------'
//   peers: their operations come in through `perform`; events for their sessions leave by outbox.events_to[worker].
//
// A call here never calls back: whatever is to be said stands in the outbox (see there for the order). One thread owns
// an engine. The turn of a worker, as far as this layer goes:
//
//   on_time                                            (messages and queues whose time is over)
//   peers' operations -> perform                       (bounded by the mailbox drained)
//   peers' releases   -> MessagePool::take_back
//   sessions' input   -> publish, subscribe, settle, ... asking `room_for` before a publish is accepted
//   do { dispatch -> outbox.events, then outbox.deliveries -> sessions (which may pause) } while (worked and budget)
//   outbox.operations, events_to, releases -> mailboxes
//
// Back-pressure. Entries come from the same arena as messages. What was accepted can always be enqueued: `room_for`
// asks for the entries of local queues above the pool's reserve, and the reserve (Engine::reserve_bytes) covers the
// rest:
//   what peers have under way:  (workers - 1) * operations_under_way_max * 64 B
//   + four blocks: the message begun last, its body's last part, entries, and one the arena may have half used
// A queue that moves here brings entries of its own, for which the pool makes a promise beforehand (move.h).
// A peer learns that this worker is short from the PressureBoard and stops reading the publishers of its queues.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "core/base/cache_line.h"
#include "core/base/counters.h"
#include "core/base/hash.h"
#include "core/base/time.h"
#include "core/broker/address.h"
#include "core/broker/engine_counters.h"
#include "core/broker/header_reader.h"
#include "core/broker/message_pool.h"
#include "core/broker/move.h"
#include "core/broker/operations.h"
#include "core/broker/outbox.h"
#include "core/broker/queue.h"
#include "core/broker/replica.h"
#include "core/broker/topology.h"

namespace talaria::broker {

// Which workers are short of memory: each writes its own line, all read. Made once, shared by all engines.
struct PressureBoard {
  struct alignas(base::cache_line) Line {
    base::Counter pressed;  // 0 or 1
  };
  static_assert(base::has_lines_of_its_own<Line>, "each is another worker's to write");
  std::array<Line, workers_max> workers;
};

struct EngineLimits {
  uint32_t deliveries_per_visit = 32;         // of one queue, before the next one has its turn
  uint32_t ready_while_served = 1024;         // messages of a queue, see Queue::behind
  uint32_t handover_window = 256;             // deliveries on their way to one consumer on another worker
  uint32_t operations_backlog_max = 4096;     // to one peer, waiting in the outbox: no more publishes for it above
  uint32_t operations_under_way_max = 16384;  // to one peer: the backlog, the mailbox, and a turn's overshoot
  uint32_t remains_per_dispatch = 1024;       // messages of deleted and purged queues freed each time
  uint32_t expiries_per_turn = 1024;          // messages and queues; the rest in the next turn
  uint32_t drops_at_once = 1024;              // messages over a queue's limit; the rest with the next one that comes
  // A queue asks for another home when so many messages have come from that worker and no other, and so on with twice
  // as many, up to 16 times.
  uint32_t move_after = 4096;
  uint32_t move_entries_max = 65536;      // a queue with more stays where it is
  uint32_t move_entries_per_turn = 1024;  // handed over
  uint32_t move_subscriptions_max = 1024;
};

// Why a publish cannot be accepted now, and on whose account.
enum class Shortage : uint8_t {
  none,
  memory,      // that worker's message memory passed its high mark
  operations,  // more of them wait for that worker than it takes in
  queue,       // one there has consumers that take, and holds more than it should (see Queue::behind)
  moving,      // the queue is between two workers
  flow,        // `queue` has as much as its flow limits allow
};
struct Room {
  Shortage shortage = Shortage::none;
  WorkerIndex worker = 0;
  QueueId queue = {};

  explicit operator bool() const { return shortage == Shortage::none; }
};

// Where a decided message goes.
struct Admitted {
  QueueRecord* queue = nullptr;
  bool promised = false;  // the queue has kept a place for it
};

// May the queue go? The answer holds for this moment.
enum class DeleteCheck : uint8_t { may_go, in_use, not_empty, no_such_queue };
struct DeletePlan {
  DeleteCheck check = DeleteCheck::may_go;
  uint32_t ready = 0;  // messages that go with it (unacknowledged ones are not counted)
};

class Engine {
 public:
  // Pool, outbox and board outlive the engine. `workers`: how many there are in all.
  Engine(WorkerIndex self, WorkerIndex workers, MessagePool& pool, Outbox& outbox, PressureBoard& board,
         EngineLimits limits = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // What the pool's reserve must at least be, for a number of workers; the constructor sees to it.
  static size_t reserve_bytes(WorkerIndex workers, const EngineLimits& limits = {});

  // ---- topology: cold, the same sequence of changes on every worker ----

  // Removing a queue at its home cancels its consumers (Cancelled) and leaves its messages to `dispatch` to free.
  void apply(const TopologyChange& change, base::Time now);
  // Rises with every change: what a session remembers of vhosts, exchanges, queues (pointers) and permissions is good
  // while this stays the same.
  uint64_t topology_epoch() const { return topology_epoch_; }
  // For queues that look at headers; without it they find none. They keep the values' fingerprints by that key.
  void read_headers_with(HeaderReader reader, base::HashKey key = {}) {
    home_.read_header = reader;
    home_.value_key = key;
  }
  Vhost* find_vhost(VhostId id) const { return replica_.find_vhost(id); }
  Exchange* find_exchange(ExchangeId id) const { return replica_.find_exchange(id); }
  QueueRecord* find_queue(QueueId id) const { return replica_.find_queue(id); }

  // Whether any vhost is traced: otherwise nobody need ask which.
  bool tracing() const { return replica_.traced_vhosts() != 0; }

  // ---- what sessions ask; here or elsewhere ----

  // Whether a publish to these queues can be accepted now. If not, the session keeps the message and reads no more from
  // that publisher until it can. Depends on the targets: a queue elsewhere asks for room there.
  Room room_for(std::span<QueueRecord* const> targets);
  // The same for what the broker has accepted long ago, a dead message: publishers wait so that this need not.
  Room room_for_accepted(std::span<QueueRecord* const> targets) const;
  // Takes over one reference. Each target answers with Stored if `sequence` is not 0; no targets, no answer.
  void publish(std::span<QueueRecord* const> targets, Message* message, const ChannelAddress& publisher,
               uint64_t sequence);
  // The same for what nobody refuses any more: a transaction that has been decided. A target that is gone is nullptr.
  void publish_accepted(std::span<const Admitted> targets, Message* message, const ChannelAddress& publisher,
                        uint64_t sequence);
  void subscribe(const Subscribe& wish);      // -> Subscribed
  void unsubscribe(const Unsubscribe& wish);  // -> Unsubscribed
  void credit(const Credit& wish);
  void pause(const Pause& wish);
  void passed(const Passed& report);      // only for queues elsewhere; here it changes nothing
  void settle(const Settle& settlement);  // of a queue that is gone: nothing
  void get(const Get& wish);              // -> Got
  void count(const Count& wish);          // -> Counted
  void purge(const Purge& wish);          // -> Purged
  void reserve(const Reservation& wish);  // -> Reserved, unless places are given back

  // ---- past all queues, from session to session, here or on another worker ----

  WorkerIndex workers() const { return workers_; }
  // Whether something for a session on that worker can be handed over now.
  Room room_for(WorkerIndex worker) const;
  // The worker that is a queue's home has much to catch up with.
  bool is_behind(QueueId queue) const;
  // To a consumer that need not acknowledge. Takes over one reference.
  void hand_over(const ConsumerAddress& consumer, Message* message);
  // To the asker's worker, once it is an answer, else to the consumer's.
  void tell(const Probe& probe);
  void hand_over(const MandatoryReply& reply);
  void tell(const ReplyTaken& answer);

  // ---- to exchanges that remember ----

  // Whether their home, another worker, can be given a message now.
  Room room_at(WorkerIndex home) const;
  // How many operations each peer has been handed until now, by worker. Empty: all are known to have taken them.
  std::vector<uint64_t> handed() const;
  // Whether all peers but the home have taken those, so that what the home makes of a message comes behind them
  // everywhere. They do so in their next turns, whatever else they wait for.
  Room room_behind(std::span<const uint64_t> handed, WorkerIndex home);
  void entrust(WorkerIndex home, const Entrust& what);  // -> Entrusted
  void tell(const Entrusted& answer);

  // ---- what peers ask of queues homed here, and tell of those that move ----

  void perform(const Operation& operation);
  // Instead of handing the event to a session; after all before it have been handed to theirs.
  void on_queue_left(const QueueLeft& event);

  // ---- what the control plane asks, of queues homed here ----

  DeletePlan prepare_delete(QueueId id, bool if_unused, bool if_empty) const;
  // The number of messages dropped.
  uint32_t purge_now(QueueId id);

  // ---- the turn ----

  // At its beginning: what takes up this turn's time is measured from `now`. Messages whose time to live is over leave
  // their queues, and queues that nobody used for as long as they may be unused are named in the outbox.
  void on_time(base::Time now);
  // When on_time has something to do next; base::never if nothing is timed.
  base::Time next_deadline() const { return home_.timers.next_deadline(); }
  // Hands at most `budget` ready messages to consumers, round robin over the active queues, and frees some of what
  // deleted queues left. Says how many it delivered: fewer than the budget means that nothing is active any more.
  uint32_t dispatch(base::Time now, uint32_t budget);
  // Whether dispatch would find something to do.
  bool idle() const { return home_.active.empty() && remains_.empty() && !move_.leaving; }

  MessagePool& pool() { return pool_; }
  Outbox& outbox() { return outbox_; }
  const EngineCounters& counters() const { return counters_; }

  // Walks everything: counters are list lengths, holders add up, active queues are in the list. For the simulator.
  void check_invariants() const;

 private:
  // Any operation but Publish: at once if the queue is homed here (or gone), else to its home.
  template <class Kind>
  void ask(const Kind& operation);

  // The queue is homed here; nullptr when it is gone.
  void perform(Queue* queue, const Publish& operation);
  void perform(Queue* queue, const Subscribe& operation);
  void perform(Queue* queue, const Unsubscribe& operation);
  void perform(Queue* queue, const Credit& operation);
  void perform(Queue* queue, const Pause& operation);
  void perform(Queue* queue, const Passed& operation);
  void perform(Queue* queue, const Settle& operation);
  void perform(Queue* queue, const Get& operation);
  void perform(Queue* queue, const Count& operation);
  void perform(Queue* queue, const Purge& operation);
  void perform(Queue* queue, const Reservation& operation);
  void perform(const RareOperation& operation);
  void ask_again(const RareOperation& operation);

  // engine_move.cc
  void perform(const MoveStep& step);
  void take_step(const LastOperation& step);
  void take_step(const QueueHandOver& step);
  void take_step(const SubscriptionHandOver& step);
  void take_step(const EntryHandOver& step);
  void take_step(const HandOverEnd& step);
  void take_step(const LastEventSeen& step);
  void take_step(const QueueArrived& step);
  Move& move_numbered(uint32_t number);
  void consider_move(const Queue& queue, WorkerIndex to);
  void leave_if_due();
  void hand_over_some();
  void arrive_if_due();
  void end_move(MoveOutcome outcome);
  void resume_held();
  void removed_while_moving();

  void apply_one(const AddQueue& change);
  void apply_one(const ChangeQueue& change);
  void apply_one(const RemoveQueue& change);
  void apply_one(const MoveQueue& change);
  void apply_one(const AddBinding& change);
  void apply_one(const PermissionsChanged&) {}
  template <class Change>
  void apply_one(const Change& change) {
    replica_.apply(change);
  }

  void store(Queue& queue, Message* message, const ChannelAddress& publisher, uint64_t sequence);
  void store_accepted(Queue& queue, Message* message, const ChannelAddress& publisher, uint64_t sequence,
                      bool promised);
  void note_stored(Enqueued how, Message* message, const ChannelAddress& publisher, uint64_t sequence);
  Queue* local(QueueId id) const;
  Queue* whole(QueueId id) const;
  void free_remains(uint32_t most);
  void report_pressure();

  WorkerIndex self_;
  WorkerIndex workers_;
  MessagePool& pool_;
  Outbox& outbox_;
  PressureBoard& board_;
  EngineLimits limits_;
  uint64_t topology_epoch_ = 1;
  QueueHome home_;
  Replica replica_;
  std::deque<Remains> remains_;
  Move move_;
  EngineCounters counters_;
};

}  // namespace talaria::broker
