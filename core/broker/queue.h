// A queue, at its home worker: messages ready in order, messages delivered and not yet settled, and the subscriptions
// they go to. Only the engine calls it; sessions speak to the engine, which knows where a queue lives.
//
// Invariants: the counters are exact after every call (ready = fresh + returned, unacknowledged = the unacked list,
// consumers = subscriptions); every entry holds one reference to its message; the queue is in the engine's list of
// active queues exactly while it has a ready message and an able subscription (it leaves the list lazily, when it is
// visited).
//
// Time to live, length limits, message priorities and dead-lettering come with the AMQP extensions: an expired or
// overflowing entry leaves through the same `drop`, a priority is one more pair of fresh list and returned heap.
#pragma once

#include <cstdint>
#include <vector>

#include "core/broker/message_pool.h"
#include "core/broker/operations.h"
#include "core/broker/outbox.h"
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
  SubscriptionTable subscriptions;
  ActiveQueues active;
  uint32_t last_generation = 0;  // of unacknowledged entries

  // To a session, wherever it lives.
  template <class Kind>
  void tell(WorkerIndex worker, const Kind& event) {
    (worker == self ? outbox.events : outbox.events_to[worker]).push_back(event);
  }
  // An entry that this subscription (slot + 1) held is settled.
  void release_holder(uint32_t holder);
};

class Queue {
 public:
  Queue(QueueRecord& record, QueueHome& home) : home_(home), record_(record), counters_(*record.counters) {}
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

  // Takes one reference. False when there is no memory for the entry: the reference is still the caller's.
  bool enqueue(Message* message);
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
  uint32_t purge(Remains& remains);
  // Hands at most `most` messages to consumers, says how many. Stays active or not, accordingly.
  uint32_t deliver(uint32_t most);
  // The queue is removed: every consumer is told Cancelled, everything left goes to `remains`.
  void close(Remains& remains);

  bool active() const { return active_; }
  const Queue* next_active() const { return next_active_; }
  // Adds what each subscription holds, by slot.
  void check_invariants(std::vector<uint32_t>& held_by_slot) const;

 private:
  friend struct ActiveQueues;
  friend struct QueueHome;

  bool has_ready() const { return ready_ != 0; }
  QueueEntry* take_head();
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
  uint64_t next_position_ = 0;
  Rota rota_;
  std::vector<Subscription*> subscriptions_;  // those not gone, in no particular order
  Queue* next_active_ = nullptr;
  Queue* previous_active_ = nullptr;
};

}  // namespace talaria::broker
