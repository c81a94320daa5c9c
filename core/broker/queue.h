// A queue, at its home worker: messages ready in order, messages delivered and not yet settled, and the subscriptions
// they go to. Only the engine calls it; sessions speak to the engine, which knows where a queue lives.
//
// Invariants: the counters are exact after every call (ready = fresh + returned, unacknowledged = the unacked list,
// consumers = subscriptions); every entry holds one reference to its message; the queue is in the engine's list of
// active queues exactly while it has a ready message and an able subscription (it leaves the list lazily, when it is
// visited).
//
// What only some queues have, such as messages that expire, is in QueueExtras: a queue without has no more to do for it
// than to see that there are none.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "core/base/cache_line.h"
#include "core/base/flat_map.h"
#include "core/base/hash.h"
#include "core/base/timer_wheel.h"
#include "core/broker/engine_counters.h"
#include "core/broker/header_reader.h"
#include "core/broker/keyed_messages.h"
#include "core/broker/message_groups.h"
#include "core/broker/message_pool.h"
#include "core/broker/moved_entries.h"
#include "core/broker/operations.h"
#include "core/broker/outbox.h"
#include "core/broker/priority_bands.h"
#include "core/broker/queue_entry.h"
#include "core/broker/queue_record.h"
#include "core/broker/subscription.h"

namespace talaria::broker {

// Queues with something to deliver and somebody to deliver it to, in the order they are visited.
struct ActiveQueues {
  Queue* first = nullptr;
  Queue* last = nullptr;

  bool empty() const { return first == nullptr; }
  void push(Queue& queue);
  Queue& pop();
  void remove(Queue& queue);
};

// What a purged or deleted queue leaves behind, freed in bounded steps.
struct Remains {
  FreshList fresh;
  ReturnedHeap returned;
  UnackedList unacked;

  bool empty() const { return fresh.empty() && returned.empty() && unacked.empty(); }
};

// What all queues homed on one worker share.
struct QueueHome {
  WorkerIndex self;
  MessagePool& pool;
  base::Arena& arena;
  Outbox& outbox;
  uint32_t handover_window;
  uint32_t ready_while_served;
  uint32_t drops_at_once;
  EngineCounters& counters;
  SubscriptionTable subscriptions{};
  ActiveQueues active{};
  uint32_t last_generation = 0;  // of unacknowledged entries
  uint32_t last_joined = 0;      // of subscriptions
  base::Time now{};              // of the turn
  base::TimerWheel timers{};     // entries that expire, and queues
  // Whose they are, by the number that armed timers carry (see QueueExtras::timers).
  uint32_t last_timers = 0;
  base::FlatMap<Queue*> timed_queues{};
  HeaderReader read_header = nullptr;
  base::HashKey value_key{};
  SeenTotal seen_total{};

  // To a session, wherever it lives.
  template <class Kind>
  void tell(WorkerIndex worker, const Kind& event) {
    (worker == self ? outbox.events : outbox.events_to[worker]).push_back(event);
  }
  // An entry that this subscription (slot + 1) held is settled.
  void release_holder(uint32_t holder);
  // One that was armed here has fired.
  void on_timer(base::TimerNode& timer);
};

// What became of a message that came to a queue.
enum class Enqueued : uint8_t {
  stored,     // the queue has its reference
  no_memory,  // for the entry: the reference is still the caller's
  refused,    // the queue is full, and has seen to the reference
};

// The part of a queue that most queues do not have: those with settings, and those that got a message that expires.
struct QueueExtras {
  // The number that this queue's timers carry: even, and one more for the queue's own two. A queue that is purged takes
  // a new one: what it leaves behind may fire, and is nobody's.
  uint32_t timers = 0;
  base::TimerNode lease;  // of a queue that expires, while nobody consumes from it
  base::TimerNode trim;   // while there is more than a new limit allows
  base::TimerNode paces;  // of consumers, to be looked at, while there are any
  bool ran_dry = false;   // since the round of looks before this one ended there was a moment without a ready message
  bool ran_dry_since = false;  // since this one began
  uint8_t look_round = 0;
  size_t looks_left = 0;  // places of `Queue::subscriptions_` that this round has not come to
  base::Time last_used{};
  // Places kept for transactions that are being decided, or whose messages are on their way (Reservation).
  uint64_t reserved_messages = 0;
  uint64_t reserved_bytes = 0;
  std::unique_ptr<LastValues> last_values;
  std::unique_ptr<SeenValues> seen;
  // One of these is set: `Queue::fresh_` and `returned_` are not used.
  std::unique_ptr<PriorityBands> bands;
  std::unique_ptr<MessageGroups> groups;
  bool owners_first = false;  // of them, next time
};

class alignas(base::cache_line) Queue {
 public:
  Queue(QueueRecord& record, QueueHome& home) : home_(home), record_(record), counters_(*record.counters) {
    if (record.settings) make_extras();
  }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  // Emptied before, see `close`.
  ~Queue();

  const QueueRecord& record() const { return record_; }
  uint32_t ready() const { return ready_; }
  uint32_t consumers() const { return static_cast<uint32_t>(subscriptions_.size()); }
  // Its publishers should wait a little: consumers take what they are given, it is this worker that is late, and what
  // lies in the queue only leaves the cache. A queue that is served holds `ready_while_served` messages; if it held
  // more when they began to take, half of what is delivered may follow until it does not. A queue whose consumers are
  // slow, or that has none, grows as it likes.
  bool behind() const { return ready_ >= ceiling_ && rota_.any(); }

  Enqueued enqueue(Message* message);
  // What has been decided: it is not refused for a limit. `promised`: a place was reserved for it.
  Enqueued enqueue_accepted(Message* message, bool promised);
  // Keeps places within the limits of a queue that refuses what exceeds them; any other has room for everything. False:
  // it is full.
  bool reserve(uint32_t messages, uint64_t bytes);
  void give_back_reserved(uint64_t messages, uint64_t bytes);
  SubscribeResult subscribe(const Subscribe& wish);
  // False when that consumer was not subscribed.
  bool unsubscribe(const ConsumerAddress& consumer);
  // Each: false when that consumer is not subscribed.
  bool credit(const Credit& wish);
  bool pause(const Pause& wish);
  bool passed(const Passed& report);
  void settle(const Settle& settlement);
  // Fills entry, message, remaining and redelivered.
  void get(bool no_ack, Got& out);
  // Moves all ready messages to `remains`, says how many they were.
  uint32_t purge(std::deque<Remains>& remains);
  // Somebody got a message, declared it again, or left it: it is not unused.
  void note_use() {
    if (extras_) [[unlikely]]
      renew_lease();
  }
  // Its record has other settings. What is in the queue keeps the time it was given; of what is over a new limit the
  // oldest go, a bounded number a turn.
  void on_settings_changed();
  // Hands at most `most` messages to consumers, says how many. Stays active or not, accordingly.
  uint32_t deliver(uint32_t most);
  // The queue is removed: every consumer is told Cancelled, everything left goes to `remains`.
  void close(std::deque<Remains>& remains);

  // ---- a move (move.h). Between its two ends nothing else is called but `close`, and the counters are nobody's. ----

  // Hands out no more, and says what it is and who is subscribed.
  void leave(std::vector<Operation>& out, uint32_t move);
  // At most so many entries; false when there are no more.
  bool hand_over_entries(std::vector<Operation>& out, uint32_t move, uint32_t most);
  void has_left();
  void arrive(const QueueHandOver& part);
  void take_over(const SubscriptionHandOver& part);
  // False when there is no memory: the message's reference is still the caller's.
  bool take_over(const EntryHandOver& part);
  void has_arrived();
  bool moving() const { return passage_ != Passage::none; }
  // What it knows of its messages does not move.
  bool stays() const { return extras_ && (extras_->last_values || extras_->seen || extras_->groups); }
  // In plain entries; where some have timers, all are taken to have one.
  uint64_t weight() const {
    const uint64_t entries = ready_ + counters_.unacknowledged.value();
    return extras_ ? entries * (entry_bytes_max / sizeof(QueueEntry)) : entries;
  }
  const std::vector<Subscription*>& subscriptions() const { return subscriptions_; }

  // A message came from another worker and was stored. True when it was the `goal`th since anything came from anybody
  // else; the count then begins anew with twice the goal. What comes from here needs no look: the number of messages
  // enqueued tells.
  bool note_remote_publish(WorkerIndex from, uint32_t goal) {
    const uint64_t enqueued = counters_.enqueued.value();
    if (from != streak_from_ || enqueued != streak_enqueued_ + 1) [[unlikely]] {
      streak_from_ = from;
      streak_ = 0;
    }
    streak_enqueued_ = enqueued;
    if (++streak_ != uint64_t{goal} << streak_doublings_) [[likely]]
      return false;
    streak_ = 0;
    if (streak_doublings_ < streak_doublings_max) streak_doublings_++;
    return true;
  }
  void note_get(WorkerIndex from) {
    if (from != streak_from_) streak_ = 0;
  }

  bool active() const { return active_; }
  const Queue* next_active() const { return next_active_; }
  // Adds what each subscription holds, by slot.
  void check_invariants(std::vector<uint32_t>& held_by_slot) const;

 private:
  friend struct ActiveQueues;
  friend struct QueueHome;
  enum class Passage : uint8_t { none, leaving, arriving };
  static constexpr uint8_t streak_doublings_max = 4;

  // queue_extras.cc
  void make_extras();
  void take_timers();
  void give_up_timers();
  void renew_lease();
  void arm_lease();
  void on_lease_end();
  void on_own_timer(const base::TimerNode& timer);
  void trim();
  Enqueued enqueue_apart(Message* message, bool accepted);
  bool would_overflow(uint64_t messages, uint64_t bytes) const;
  // queue_groups.cc
  MessageGroups* groups() const { return apart_ && extras_ ? extras_->groups.get() : nullptr; }
  MessageGroups::Value group_of(const Message& message) const;
  uint32_t deliver_grouped(uint32_t most);
  Subscription* next_grouped();
  void get_grouped(bool no_ack, Got& out);
  void check_groups() const;
  // queue_slow.cc
  void arm_paces();
  void look_at_paces();
  bool is_slow(const Subscription& subscription, const SlowConsumers& limit) const;
  // queue_keys.cc
  std::optional<std::string> header_of(const Message& message, const std::string& header) const;
  // Its fingerprint.
  std::optional<std::string> value_of(const Message& message, const std::string& header) const;
  bool drop_duplicate(Message* message, std::string& value);
  QueueEntry* same_value(const Message& message) const;
  void remember_value(const QueueEntry* entry);
  void forget_value(const QueueEntry* entry);
  bool replace_in_place(QueueEntry* old, Message* message, base::Time deadline);
  void remove_replaced(QueueEntry* old);
  bool is_last_value(QueueEntry* entry);
  bool over_limit() const;
  void hand_out_surplus();
  void drop_surplus();
  void return_apart(QueueEntry* entry);
  bool over_deliveries(const QueueEntry* entry) const;
  uint8_t returns_of(const QueueEntry* entry) const;
  void bury(Message* message, DeathReason reason);
  void bury(QueueEntry* entry, DeathReason reason);
  base::Time deadline_of(const Message& message) const;
  QueueEntry* make_timed(base::Time deadline);
  void arm(QueueEntry* entry, base::Time deadline);
  void resume_timer(QueueEntry* entry);
  void expire(QueueEntry* entry);
  void take_out(QueueEntry* entry);

  bool single_active() const { return record_.settings && record_.settings->single_active_consumer; }
  void elect(Subscription* newcomer);

  // It stands among the ready ones, as the last of its kind, or will at once. Here, since every message passes it.
  void accept(QueueEntry* entry, Message* message) {
    entry->message = message;
    entry->position = next_position_++ & QueueEntry::position_max;
    ready_++;
    counters_.ready.add();
    counters_.bytes_ready.add(message->body_size());
    counters_.enqueued.add();
    activate();
  }
  bool has_ready() const { return ready_ != 0; }
  QueueEntry* take_head();
  QueueEntry* take_head_apart();
  void give_to_getter(QueueEntry* entry, bool no_ack, Got& out);
  void check_timer(QueueEntry* entry) const;
  void return_entry(QueueEntry* entry);
  // Becomes unacknowledged, held by that subscription (nullptr: by a get).
  EntryId hold(QueueEntry* entry, Subscription* holder);
  void free_entry(QueueEntry* entry);
  void hand_over(QueueEntry* entry, Subscription& to);
  void refresh(Subscription& subscription);  // in or out of the rota, as it is able or not
  void leave_rota(Subscription& subscription);
  void activate() {
    if (!active_ && has_ready() && rota_.next()) home_.active.push(*this);
  }
  void remove_subscription(Subscription& subscription);
  uint32_t let_go(uint32_t holder);
  QueueEntry* take_moved(EntryId id);
  [[gnu::cold]] EntryId hold_apart(QueueEntry* entry, Subscription* holder);
  EntryId hold_as_named(QueueEntry* entry, Subscription* holder);
  [[gnu::cold]] void settle_apart(const Settle& settlement);
  QueueEntry* native_entry(EntryId id) const;
  void settle_entry(QueueEntry* entry, Outcome outcome);

  QueueHome& home_;
  QueueRecord& record_;
  QueueCounters& counters_;
  FreshList fresh_;
  ReturnedHeap returned_;
  UnackedList unacked_;
  uint32_t ready_ = 0;
  uint32_t ceiling_ = UINT32_MAX;  // of `ready_` while anybody is able, see `behind`
  bool active_ = false;
  bool has_exclusive_ = false;
  bool apart_ = false;  // what is settled takes the long way: `moved_` or groups
  Passage passage_ = Passage::none;
  uint8_t streak_doublings_ = 0;
  uint64_t next_position_ = 0;
  std::unique_ptr<MovedEntries> moved_;  // set while there are such
  std::unique_ptr<QueueExtras> extras_;  // once there is need for them
  Rota rota_;
  std::vector<Subscription*> subscriptions_;  // those not gone, in no particular order
  Queue* next_active_ = nullptr;
  Queue* previous_active_ = nullptr;
  uint64_t streak_enqueued_ = 0;  // messages ever enqueued, at the last one from another worker
  uint64_t streak_ = 0;           // so many came from `streak_from_` in one piece
  WorkerIndex streak_from_ = nowhere;
};

}  // namespace talaria::broker
