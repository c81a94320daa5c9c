#include "core/broker/queue.h"

#include <algorithm>
#include <new>
#include <unordered_map>

#include "core/base/check.h"

namespace talaria::broker {

// ---- active queues --------------------------------------------------------------------------------------------------

void ActiveQueues::push(Queue& queue) {
  queue.active_ = true;
  queue.next_active_ = nullptr;
  queue.previous_active_ = last;
  (last ? last->next_active_ : first) = &queue;
  last = &queue;
}

Queue& ActiveQueues::pop() {
  Queue& queue = *first;
  remove(queue);
  return queue;
}

void ActiveQueues::remove(Queue& queue) {
  queue.active_ = false;
  (queue.previous_active_ ? queue.previous_active_->next_active_ : first) = queue.next_active_;
  (queue.next_active_ ? queue.next_active_->previous_active_ : last) = queue.previous_active_;
}

// ---- messages in ----------------------------------------------------------------------------------------------------

Queue::~Queue() { CHECK(!active_ && ready_ == 0 && unacked_.empty() && subscriptions_.empty()); }

Enqueued Queue::enqueue(Message* message) {
  if (extras_ || message->expires()) [[unlikely]]
    return enqueue_apart(message, false);
  void* memory = home_.arena.allocate(sizeof(QueueEntry));
  if (!memory) [[unlikely]]
    return Enqueued::no_memory;
  auto* entry = new (memory) QueueEntry;
  fresh_.push(home_.arena, entry);
  accept(entry, message);
  return Enqueued::stored;
}

// ---- messages out ---------------------------------------------------------------------------------------------------

uint32_t Queue::deliver(uint32_t most) {
  if (groups()) [[unlikely]]
    return deliver_grouped(most);
  uint32_t done = 0, held = 0, again = 0;
  uint64_t bytes = 0;
  while (done < most && ready_ != 0) {
    Subscription* to = rota_.next();
    if (!to) break;
    QueueEntry* entry = take_head();
    bytes += entry->message->body_size();
    again += entry->redelivered;
    held += !to->no_ack;
    hand_over(entry, *to);
    done++;
    if (to->able(home_.handover_window)) [[likely]]
      rota_.rotate(*to);
    else
      rota_.remove(*to);
  }
  counters_.ready.subtract(done);
  counters_.bytes_ready.subtract(bytes);
  counters_.delivered.add(done);
  counters_.unacknowledged.add(held);
  if (again) counters_.redelivered.add(again);
  if (rota_.next())
    ceiling_ = std::max(home_.ready_while_served, std::min(ceiling_, ready_ + done / 2));
  else
    ceiling_ = UINT32_MAX;
  activate();
  return done;
}

// The oldest ready message. What came back is older than whatever was never delivered.
QueueEntry* Queue::take_head() {
  ready_--;
  if (extras_ || !returned_.empty()) [[unlikely]]
    return take_head_apart();
  QueueEntry* entry = fresh_.pop(home_.arena);
  // In a long queue the next message has long left the cache.
  if (!fresh_.empty()) __builtin_prefetch(entry_at(home_.arena, fresh_.head)->message, 1);
  return entry;
}

QueueEntry* Queue::take_head_apart() {
  QueueEntry* entry = nullptr;
  if (extras_ && extras_->bands) {
    entry = extras_->bands->pop(home_.arena);
  } else if (groups()) {
    entry = groups()->take_oldest();
    groups()->let_taken_go();
  } else {
    entry = returned_.empty() ? fresh_.pop(home_.arena) : returned_.pop(home_.arena);
  }
  if (entry->timed) home_.timers.disarm(timer_of(entry));
  if (extras_ && extras_->last_values) forget_value(entry);
  return entry;
}

void Queue::hand_over(QueueEntry* entry, Subscription& to) {
  Message* message = entry->message;
  to.handed++;
  Deliver delivery{to.consumer, record_.id, {}, message, entry->redelivered != 0, to.remote, 0};
  if (entry->deliveries != 0) [[unlikely]]
    delivery.returns = returns_of(entry);
  if (to.no_ack) {
    home_.arena.release(entry);  // its reference travels with the delivery
  } else {
    message->add_references();
    delivery.entry = hold(entry, &to);
  }
  if (!to.remote) [[likely]] {
    home_.outbox.deliveries.push_back(delivery);
    return;
  }
  to.in_transit++;
  message->mark_shared();
  home_.outbox.events_to[to.consumer.channel.worker].push_back(delivery);
}

EntryId Queue::hold(QueueEntry* entry, Subscription* holder) {
  if (++home_.last_generation == 0) home_.last_generation = 1;
  if (moved_) [[unlikely]]
    return hold_apart(entry, holder);
  return hold_as_named(entry, holder);
}

// The new name must be none of those that came from another home.
EntryId Queue::hold_apart(QueueEntry* entry, Subscription* holder) {
  while (moved_->find({home_.arena.reference_of(entry), home_.last_generation}))
    if (++home_.last_generation == 0) home_.last_generation = 1;
  return hold_as_named(entry, holder);
}

inline EntryId Queue::hold_as_named(QueueEntry* entry, Subscription* holder) {
  if (entry->deliveries != QueueEntry::deliveries_max) entry->deliveries = (entry->deliveries + 1) & 0xff;
  entry->state = static_cast<uint64_t>(EntryState::unacknowledged) & 3;
  entry->generation = home_.last_generation;
  entry->holder_or_rank = 0;
  if (holder) {
    entry->holder_or_rank = holder->slot + 1;
    holder->unacknowledged++;
  }
  unacked_.push(home_.arena, entry);
  return {home_.arena.reference_of(entry), entry->generation};
}

void Queue::get(bool no_ack, Got& out) {
  out.remaining = ready_;
  if (ready_ == 0) return;
  if (groups()) [[unlikely]]
    return get_grouped(no_ack, out);
  give_to_getter(take_head(), no_ack, out);
}

void Queue::give_to_getter(QueueEntry* entry, bool no_ack, Got& out) {
  out.message = entry->message;
  out.redelivered = entry->redelivered != 0;
  out.returns = returns_of(entry);
  out.remaining = ready_;
  counters_.ready.subtract();
  counters_.bytes_ready.subtract(entry->message->body_size());
  counters_.delivered.add();
  if (entry->redelivered) counters_.redelivered.add();
  if (no_ack) {
    home_.arena.release(entry);
    return;
  }
  entry->message->add_references();
  out.entry = hold(entry, nullptr);
  counters_.unacknowledged.add();
}

// ---- settlement -----------------------------------------------------------------------------------------------------

void Queue::settle(const Settle& settlement) {
  if (apart_) [[unlikely]]
    return settle_apart(settlement);
  settle_entry(native_entry(settlement.entry), settlement.outcome);
}

// It may be one of those that came from another home; or the last that its group's owner held.
void Queue::settle_apart(const Settle& settlement) {
  QueueEntry* entry = moved_ ? take_moved(settlement.entry) : nullptr;
  if (!entry) entry = native_entry(settlement.entry);
  if (groups()) groups()->settled(group_of(*entry->message));
  settle_entry(entry, settlement.outcome);
}

// A session settles what it was given, once: as long as the queue lives, the entry is there.
inline QueueEntry* Queue::native_entry(EntryId id) const {
  CHECK(home_.arena.holds(id.slot));
  QueueEntry* entry = entry_at(home_.arena, id.slot);
  CHECK(entry->generation == id.generation && entry->state == static_cast<uint64_t>(EntryState::unacknowledged));
  return entry;
}

inline void Queue::settle_entry(QueueEntry* entry, Outcome outcome) {
  unacked_.remove(home_.arena, entry);
  counters_.unacknowledged.subtract();
  const uint32_t holder = entry->holder_or_rank;
  switch (outcome) {
    case Outcome::acknowledged:
      counters_.acknowledged.add();
      free_entry(entry);
      break;
    case Outcome::rejected:
      if (extras_)
        bury(entry, DeathReason::rejected);
      else
        free_entry(entry);
      break;
    case Outcome::requeued:
      entry->redelivered = 1;
      if (extras_)
        return_apart(entry);
      else
        return_entry(entry);
      break;
  }
  if (holder) home_.release_holder(holder);
  activate();
}

void Queue::return_entry(QueueEntry* entry) {
  entry->state = static_cast<uint64_t>(EntryState::returned) & 3;
  if (extras_ && extras_->bands)
    extras_->bands->push_returned(home_.arena, entry);
  else if (groups())
    groups()->push(entry, group_of(*entry->message));
  else
    returned_.push(home_.arena, entry);
  ready_++;
  counters_.ready.add();
  counters_.bytes_ready.add(entry->message->body_size());
}

void Queue::free_entry(QueueEntry* entry) {
  home_.pool.release(entry->message);
  home_.arena.release(entry);
}

void QueueHome::release_holder(uint32_t holder) {
  Subscription& subscription = subscriptions.at(holder - 1);
  CHECK(subscription.unacknowledged != 0);
  subscription.unacknowledged--;
  if (subscription.is(Subscription::gone)) {
    if (subscription.unacknowledged == 0) subscriptions.destroy(subscription);
  } else if (!subscription.in_rota) {
    subscription.queue->refresh(subscription);
  }
}

// ---- subscriptions --------------------------------------------------------------------------------------------------

SubscribeResult Queue::subscribe(const Subscribe& wish) {
  if (has_exclusive_ || (wish.exclusive && (single_active() || !subscriptions_.empty())))
    return SubscribeResult::exclusive_conflict;
  Subscription& made = home_.subscriptions.make(*this, wish.consumer);
  made.no_ack = wish.no_ack;
  made.exclusive = wish.exclusive;
  made.credit = wish.credit;
  made.remote = wish.consumer.channel.worker != home_.self;
  made.place = consumers();
  subscriptions_.push_back(&made);
  has_exclusive_ = wish.exclusive;
  counters_.consumers.add();
  made.joined = ++home_.last_joined;
  rota_.join(made, wish.priority);
  if (single_active()) [[unlikely]]
    elect(&made);
  refresh(made);
  activate();
  if (extras_) [[unlikely]]
    arm_paces();
  return SubscribeResult::subscribed;
}

bool Queue::unsubscribe(const ConsumerAddress& consumer) {
  Subscription* subscription = home_.subscriptions.find(*this, consumer);
  if (!subscription) return false;
  subscriptions_[subscription->place] = subscriptions_.back();
  subscriptions_[subscription->place]->place = subscription->place;
  subscriptions_.pop_back();
  if (subscription->exclusive) has_exclusive_ = false;
  counters_.consumers.subtract();
  remove_subscription(*subscription);
  if (single_active()) [[unlikely]] {
    elect(nullptr);
    activate();
  }
  note_use();
  return true;
}

// What it holds stays unacknowledged: it keeps its slot until the last of that is settled.
void Queue::remove_subscription(Subscription& subscription) {
  if (subscription.in_rota) leave_rota(subscription);
  rota_.leave(subscription);
  home_.subscriptions.forget(subscription);
  subscription.stop(Subscription::gone);
  if (subscription.unacknowledged == 0) home_.subscriptions.destroy(subscription);
}

bool Queue::credit(const Credit& wish) {
  Subscription* subscription = home_.subscriptions.find(*this, wish.consumer);
  if (!subscription) return false;
  subscription->credit = wish.credit;
  refresh(*subscription);
  activate();
  return true;
}

bool Queue::pause(const Pause& wish) {
  Subscription* subscription = home_.subscriptions.find(*this, wish.consumer);
  if (!subscription) return false;
  wish.paused ? subscription->stop(Subscription::paused) : subscription->resume(Subscription::paused);
  refresh(*subscription);
  activate();
  return true;
}

// `in_transit` counts the deliveries put into the mailbox to that session's worker, the session counts those it took
// out and reports each once, so no report can be ahead. That holds in whatever order the workers run, since both counts
// begin at nothing and belong to this one subscription: a consumer's address is subscribed once (a session does not use
// a consumer number again before the queue has answered Unsubscribed or said Cancelled), and a subscription is changed
// (Credit, Pause), never replaced.
bool Queue::passed(const Passed& report) {
  Subscription* subscription = home_.subscriptions.find(*this, report.consumer);
  if (!subscription) return false;
  CHECK(report.count <= subscription->in_transit);
  subscription->in_transit -= report.count;
  refresh(*subscription);
  activate();
  return true;
}

void Queue::refresh(Subscription& subscription) {
  const bool able = subscription.able(home_.handover_window);
  if (able == subscription.in_rota) return;
  if (!able) return leave_rota(subscription);
  rota_.insert(subscription);
  if (groups()) [[unlikely]]
    groups()->wake(subscription.slot + 1);
}

void Queue::leave_rota(Subscription& subscription) {
  rota_.remove(subscription);
  if (!rota_.any()) ceiling_ = UINT32_MAX;
}

// ---- the end --------------------------------------------------------------------------------------------------------

uint32_t Queue::purge(std::deque<Remains>& remains) {
  const uint32_t count = ready_;
  const auto leave = [&](const FreshList& fresh, const ReturnedHeap& returned) {
    if (!fresh.empty() || !returned.empty()) remains.push_back({fresh, returned, {}});
  };
  leave(fresh_, returned_);
  fresh_ = {};
  returned_ = {};
  if (extras_ && extras_->bands) {
    for (const PriorityBands::Band& band : extras_->bands->all()) leave(band.fresh, band.returned);
    extras_->bands->clear();
  }
  if (groups()) groups()->purge(leave);
  if (extras_ && extras_->last_values) extras_->last_values->clear();
  if (extras_) take_timers();
  ready_ = 0;
  counters_.ready.set(0);
  counters_.bytes_ready.set(0);
  return count;
}

void Queue::close(std::deque<Remains>& remains) {
  purge(remains);
  if (!unacked_.empty()) remains.push_back({{}, {}, unacked_});
  unacked_ = {};
  counters_.unacknowledged.set(0);
  counters_.consumers.set(0);
  for (Subscription* subscription : subscriptions_) {
    // Once it leaves, its subscriptions are the new home's.
    if (passage_ != Passage::leaving)
      home_.tell(subscription->consumer.channel.worker, Cancelled{subscription->consumer, record_.id});
    remove_subscription(*subscription);
  }
  subscriptions_.clear();
  if (active_) home_.active.remove(*this);
  if (extras_) give_up_timers();
}

// ---- invariants -----------------------------------------------------------------------------------------------------

// What is ready and expires has an armed timer of this queue's; its fate is decided elsewhere while the queue moves.
void Queue::check_timer(QueueEntry* entry) const {
  if (!entry->timed || passage_ == Passage::leaving) return;
  CHECK(extras_ && timer_of(entry).armed() && timer_of(entry).owner == extras_->timers);
}

void Queue::check_invariants(std::vector<uint32_t>& held_by_slot) const {
  const base::Arena& arena = home_.arena;
  uint64_t ready = 0, unacknowledged = 0, moved = 0, bytes = 0;
  // By priority, where there are any: what came back is older than what never left.
  std::vector<uint64_t> least_fresh_of;
  const bool banded = extras_ && extras_->bands;
  std::unordered_map<const MessageGroups::Group*, size_t> place_of_group;
  const auto check_ready = [&](const FreshList& fresh, const ReturnedHeap& returned) {
    uint64_t least_fresh = next_position_;
    const QueueEntry* before = nullptr;
    for (uint32_t at = fresh.head, last = 0; at; last = at, at = entry_at(arena, at)->a) {
      QueueEntry* entry = entry_at(arena, at);
      CHECK(!last || entry->b == last);
      check_timer(entry);
      CHECK(entry->state == static_cast<uint64_t>(EntryState::fresh) && entry->message->references() >= 1);
      CHECK(before ? before->position < entry->position : true);
      if (!before) least_fresh = entry->position;
      CHECK(entry->position < next_position_ && (entry->a || at == fresh.tail));
      before = entry;
      ready++;
      bytes += entry->message->body_size();
    }
    std::vector<uint32_t> open;
    if (returned.root) open.push_back(returned.root);
    while (!open.empty()) {
      QueueEntry* entry = entry_at(arena, open.back());
      if (open.back() == returned.root) CHECK(entry->generation == 0);
      open.pop_back();
      check_timer(entry);
      CHECK(entry->state == static_cast<uint64_t>(EntryState::returned) && entry->message->references() >= 1);
      CHECK(entry->position < least_fresh);
      const uint32_t left = entry->a ? entry_at(arena, entry->a)->holder_or_rank : 0;
      const uint32_t right = entry->b ? entry_at(arena, entry->b)->holder_or_rank : 0;
      CHECK(left >= right && entry->holder_or_rank == right + 1);
      for (uint32_t child : {entry->a, entry->b}) {
        if (!child) continue;
        CHECK(entry_at(arena, child)->position > entry->position);
        CHECK(entry_at(arena, child)->generation == arena.reference_of(entry));
        open.push_back(child);
      }
      ready++;
      bytes += entry->message->body_size();
    }
    least_fresh_of.push_back(least_fresh);
  };
  if (banded)
    for (const PriorityBands::Band& band : extras_->bands->all()) check_ready(band.fresh, band.returned);
  else if (groups())
    groups()->for_each([&](const MessageGroups::Group& group) {
      place_of_group[&group] = least_fresh_of.size();
      check_ready(group.fresh, group.returned);
    });
  else
    check_ready(fresh_, returned_);
  const auto place_of = [&](const QueueEntry* entry) -> size_t {
    if (banded) return extras_->bands->index_of(entry);
    return groups() ? place_of_group.at(&groups()->group_of(group_of(*entry->message))) : 0;
  };
  uint32_t previous = 0;
  for (uint32_t at = unacked_.head; at; previous = at, at = entry_at(arena, at)->b) {
    const QueueEntry* entry = entry_at(arena, at);
    const bool has_moved = entry->state == static_cast<uint64_t>(EntryState::moved);
    CHECK(has_moved || entry->state == static_cast<uint64_t>(EntryState::unacknowledged));
    CHECK(entry->message->references() >= 1);
    CHECK(entry->a == previous);
    CHECK(entry->position < least_fresh_of[place_of(entry)]);
    if (entry->holder_or_rank) held_by_slot[entry->holder_or_rank - 1]++;
    if (has_moved) {
      CHECK(moved_ && moved_->find(moved_->at(entry->generation).id) == &moved_->at(entry->generation));
      CHECK(moved_->at(entry->generation).reference == at);
      moved++;
    }
    unacknowledged++;
  }
  CHECK(previous == unacked_.tail);
  CHECK(ready == ready_);
  CHECK(!extras_ || !extras_->last_values || extras_->last_values->size() <= ready);
  if (passage_ != Passage::none) return CHECK(!active_);  // a part of it is elsewhere
  CHECK(moved == (moved_ ? moved_->size() : 0));
  CHECK(ready == counters_.ready.value());
  CHECK(bytes == counters_.bytes_ready.value());
  CHECK(unacknowledged == counters_.unacknowledged.value());
  CHECK(subscriptions_.size() == counters_.consumers.value());
  bool any_able = false, exclusive = false;
  size_t waiting = 0;
  for (const Subscription* subscription : subscriptions_) {
    CHECK(!subscription->is(Subscription::gone) && subscription->queue == this);
    CHECK(subscription->in_rota == subscription->able(home_.handover_window));
    any_able |= subscription->in_rota;
    exclusive |= subscription->exclusive;
    waiting += subscription->is(Subscription::waiting);
  }
  CHECK(exclusive == has_exclusive_ && (!exclusive || subscriptions_.size() == 1));
  CHECK(waiting == (single_active() && !subscriptions_.empty() ? subscriptions_.size() - 1 : 0));
  if (groups()) return check_groups();
  CHECK(active_ || ready_ == 0 || !any_able);
}

}  // namespace talaria::broker
