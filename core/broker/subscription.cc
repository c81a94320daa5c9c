#include "core/broker/subscription.h"

#include "core/base/check.h"
#include "core/base/hash.h"

namespace talaria::broker {

// ---- rota -----------------------------------------------------------------------------------------------------------

Rota::~Rota() {
  while (highest_) {
    PriorityClass* lower = highest_->lower;
    delete highest_;
    highest_ = lower;
  }
}

void Rota::insert(Subscription& subscription) {
  PriorityClass& its = *subscription.priority_class;
  subscription.in_rota = true;
  subscription.next = nullptr;
  subscription.previous = its.last;
  (its.last ? its.last->next : its.first) = &subscription;
  its.last = &subscription;
  if (!best_ || its.priority > best_->priority) best_ = &its;
}

void Rota::remove(Subscription& subscription) {
  PriorityClass& its = *subscription.priority_class;
  subscription.in_rota = false;
  (subscription.previous ? subscription.previous->next : its.first) = subscription.next;
  (subscription.next ? subscription.next->previous : its.last) = subscription.previous;
  subscription.next = nullptr;
  subscription.previous = nullptr;
}

void Rota::join(Subscription& subscription, int32_t priority) {
  PriorityClass* higher = nullptr;
  PriorityClass* at = highest_;
  while (at && at->priority > priority) {
    higher = at;
    at = at->lower;
  }
  if (!at || at->priority != priority) {
    auto* made = new PriorityClass;
    made->priority = priority;
    made->lower = at;
    made->higher = higher;
    (higher ? higher->lower : highest_) = made;
    if (at) at->higher = made;
    at = made;
  }
  at->members++;
  subscription.priority_class = at;
}

void Rota::leave(Subscription& subscription) {
  CHECK(!subscription.in_rota);
  PriorityClass* its = subscription.priority_class;
  subscription.priority_class = nullptr;
  if (--its->members != 0) return;
  (its->higher ? its->higher->lower : highest_) = its->lower;
  if (its->lower) its->lower->higher = its->higher;
  if (best_ == its) best_ = its->lower;
  delete its;
}

// ---- table ----------------------------------------------------------------------------------------------------------

uint64_t SubscriptionTable::hash_of(const Queue& queue, const ConsumerAddress& consumer) {
  const ChannelAddress& channel = consumer.channel;
  const uint64_t parts[4] = {
      reinterpret_cast<uintptr_t>(&queue), uint64_t{channel.session.slot} << 32 | channel.session.generation,
      uint64_t{channel.worker} << 48 | uint64_t{channel.channel} << 32 | channel.incarnation, consumer.consumer};
  return base::hash_bytes({reinterpret_cast<const uint8_t*>(parts), sizeof parts});
}

Subscription& SubscriptionTable::make(Queue& queue, const ConsumerAddress& consumer) {
  if (free_.empty()) {
    const auto first = static_cast<uint32_t>(chunks_.size() * chunk_size);
    chunks_.push_back(std::make_unique<Chunk>());
    for (uint32_t i = chunk_size; i-- > 0;) free_.push_back(first + i);
  }
  const uint32_t slot = free_.back();
  free_.pop_back();
  Subscription& made = at(slot);
  made = Subscription{};
  made.slot = slot;
  made.queue = &queue;
  made.consumer = consumer;
  by_name_.insert(hash_of(queue, consumer), &made);
  return made;
}

void SubscriptionTable::forget(Subscription& subscription) {
  const bool known = by_name_.erase(hash_of(*subscription.queue, subscription.consumer),
                                    [&](const Subscription* candidate) { return candidate == &subscription; });
  CHECK(known);
}

void SubscriptionTable::destroy(Subscription& subscription) {
  CHECK(!subscription.in_rota && subscription.unacknowledged == 0);
  subscription.queue = nullptr;
  free_.push_back(subscription.slot);
}

Subscription* SubscriptionTable::find(const Queue& queue, const ConsumerAddress& consumer) {
  Subscription** found = by_name_.find(hash_of(queue, consumer), [&](const Subscription* candidate) {
    return candidate->queue == &queue && candidate->consumer == consumer;
  });
  return found ? *found : nullptr;
}

}  // namespace talaria::broker
