// A consumer as its queue's home knows it, and the rota by which a queue picks the next one.
//
// A subscription is able while it is not paused, has credit, and (elsewhere) its hand-over window is open; only able
// ones stand in the rota. It outlives its removal as long as messages it holds are unacknowledged (`gone`), so that an
// entry can name its holder by slot.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/base/cache_line.h"
#include "core/base/flat_map.h"
#include "core/broker/address.h"

namespace talaria::broker {

class Queue;
struct PriorityClass;

struct alignas(base::cache_line) Subscription {
  ConsumerAddress consumer;
  bool no_ack = false;
  // Why it gets nothing at all.
  enum Stop : uint8_t {
    paused = 1,   // by its session
    gone = 2,     // it was removed
    waiting = 4,  // another one is the queue's single active consumer
  };
  uint8_t stopped = 0;
  bool remote = false;  // its session lives on another worker
  bool in_rota = false;
  bool exclusive = false;
  uint32_t credit = 0;          // unacknowledged at a time; 0: no limit
  uint32_t unacknowledged = 0;  // delivered, not yet settled
  uint32_t in_transit = 0;      // remote: delivered, not yet Passed
  uint32_t slot = 0;            // its own, in the table
  PriorityClass* priority_class = nullptr;
  Subscription* next = nullptr;  // in the rota
  Subscription* previous = nullptr;
  Queue* queue = nullptr;
  uint32_t handed = 0;  // deliveries, ever; wraps
  // What the last look found that was for slow consumers (queue_slow.cc).
  struct Pace {
    bool looked_at = false;
    bool stuck = false;
    bool told = false;
    uint8_t round = 0;     // of looks, the last
    uint32_t settled = 0;  // ever; wraps
    uint32_t held = 0;
  } pace;
  uint32_t place = 0;   // in its queue's list of subscriptions
  uint32_t joined = 0;  // goes up

  void stop(Stop why) { stopped = static_cast<uint8_t>(stopped | why); }
  void resume(Stop why) { stopped = static_cast<uint8_t>(stopped & ~why); }
  bool is(Stop why) const { return (stopped & why) != 0; }

  bool able(uint32_t handover_window) const {
    return stopped == 0 && (no_ack || credit == 0 || unacknowledged < credit) &&
           (!remote || in_transit < handover_window);
  }
};

// The able subscriptions of one priority: a ring, taken from the front, put back at the end.
struct PriorityClass {
  int32_t priority = 0;
  uint32_t members = 0;  // able or not
  Subscription* first = nullptr;
  Subscription* last = nullptr;
  PriorityClass* lower = nullptr;
  PriorityClass* higher = nullptr;
};

// Higher priorities first, round robin among equals. Constant cost but for skipping classes none of whose members is
// able, of which a queue has as many as its consumers use priorities.
class Rota {
 public:
  Rota() = default;
  ~Rota();
  Rota(const Rota&) = delete;
  Rota& operator=(const Rota&) = delete;

  // The next in turn, or nullptr.
  Subscription* next() {
    while (best_ && !best_->first) best_ = best_->lower;
    return best_ ? best_->first : nullptr;
  }
  bool any() const {
    for (const PriorityClass* one = best_; one; one = one->lower)
      if (one->first) return true;
    return false;
  }
  // It had its turn and is able to have another.
  void rotate(Subscription& subscription) {
    PriorityClass& its = *subscription.priority_class;
    if (its.first == its.last) return;
    remove(subscription);
    insert(subscription);
  }
  void insert(Subscription& subscription);
  void remove(Subscription& subscription);

  // Membership of a class, able or not; cold.
  void join(Subscription& subscription, int32_t priority);
  void leave(Subscription& subscription);

 private:
  PriorityClass* highest_ = nullptr;  // owned, as all lower ones
  PriorityClass* best_ = nullptr;     // no class above it has an able member
};

// All subscriptions to queues homed on this worker: by slot (entries name their holder so), and by queue and consumer.
class SubscriptionTable {
 public:
  Subscription& make(Queue& queue, const ConsumerAddress& consumer);
  void destroy(Subscription& subscription);
  // Stops answering to its name, but keeps its slot.
  void forget(Subscription& subscription);
  // nullptr when that consumer is not subscribed to the queue.
  Subscription* find(const Queue& queue, const ConsumerAddress& consumer);
  Subscription& at(uint32_t slot) { return (*chunks_[slot / chunk_size])[slot % chunk_size]; }
  const Subscription& at(uint32_t slot) const { return (*chunks_[slot / chunk_size])[slot % chunk_size]; }
  size_t slots() const { return chunks_.size() * chunk_size; }
  // Those that are gone but still hold messages among them.
  size_t size() const { return chunks_.size() * chunk_size - free_.size(); }

 private:
  static constexpr uint32_t chunk_size = 64;
  using Chunk = std::array<Subscription, chunk_size>;
  static uint64_t hash_of(const Queue& queue, const ConsumerAddress& consumer);

  std::vector<std::unique_ptr<Chunk>> chunks_;  // addresses are stable
  std::vector<uint32_t> free_;
  base::FlatMap<Subscription*> by_name_;
};

}  // namespace talaria::broker
