// A queue leaves its home, and arrives at another: see move.h.

#include <algorithm>
#include <new>

#include "core/base/check.h"
#include "core/broker/queue.h"

namespace talaria::broker {

// ---- leaving --------------------------------------------------------------------------------------------------------

// The counters stay as they are: they tell of the whole queue, wherever its parts are.
void Queue::leave(std::vector<Operation>& out, uint32_t move) {
  CHECK(passage_ == Passage::none);
  passage_ = Passage::leaving;
  if (active_) home_.active.remove(*this);
  if (extras_) give_up_timers();
  const auto step = [&](const auto& part) { out.push_back(MoveStep{move, part}); };
  QueueHandOver whole{next_position_, static_cast<uint32_t>(counters_.unacknowledged.value())};
  if (extras_) {
    whole.reserved_messages = static_cast<uint32_t>(extras_->reserved_messages);
    whole.reserved_bytes = extras_->reserved_bytes;
  }
  step(whole);
  for (const Subscription* subscription : subscriptions_) {
    SubscriptionHandOver part;
    part.consumer = subscription->consumer;
    part.credit = subscription->credit;
    part.in_transit = subscription->in_transit;
    part.priority = subscription->priority_class->priority;
    part.no_ack = subscription->no_ack;
    part.paused = subscription->is(Subscription::paused);
    part.waiting = subscription->is(Subscription::waiting);
    part.joined = subscription->joined;
    part.exclusive = subscription->exclusive;
    step(part);
  }
}

bool Queue::hand_over_entries(std::vector<Operation>& out, uint32_t move, uint32_t most) {
  CHECK(passage_ == Passage::leaving);
  for (uint32_t done = 0; done < most; done++) {
    QueueEntry* entry = nullptr;
    EntryHandOver part;
    if (!unacked_.empty()) {
      entry = entry_at(home_.arena, unacked_.head);
      unacked_.remove(home_.arena, entry);
      part.id = entry->state == static_cast<uint64_t>(EntryState::moved)
                    ? moved_->at(entry->generation).id
                    : EntryId{home_.arena.reference_of(entry), entry->generation};
      part.holder = let_go(entry->holder_or_rank);
    } else if (extras_ && extras_->bands && !extras_->bands->empty()) {
      entry = extras_->bands->pop(home_.arena);
      ready_--;
    } else if (!returned_.empty()) {
      entry = returned_.pop(home_.arena);
      ready_--;
    } else if (!fresh_.empty()) {
      entry = fresh_.pop(home_.arena);
      ready_--;
    } else {
      return false;
    }
    part.message = entry->message;
    part.position = entry->position & QueueEntry::position_max;
    part.deliveries = entry->deliveries & 0xff;
    part.redelivered = entry->redelivered & 1;
    part.state = entry->state & 3;
    if (entry->timed) {
      part.deadline = base::TimerWheel::deadline_of(timer_of(entry));
      home_.timers.disarm(timer_of(entry));
    }
    entry->message->mark_shared();
    home_.arena.release(entry);
    out.push_back(MoveStep{move, part});
  }
  return true;
}

// An entry leaves that this subscription (slot + 1) held: its place in the order of hand-over, from 1, or 0 when it had
// gone already.
uint32_t Queue::let_go(uint32_t holder) {
  if (holder == 0) return 0;
  Subscription& subscription = home_.subscriptions.at(holder - 1);
  CHECK(subscription.unacknowledged != 0);
  subscription.unacknowledged--;
  if (!subscription.is(Subscription::gone)) return subscription.place + 1;
  if (subscription.unacknowledged == 0) home_.subscriptions.destroy(subscription);
  return 0;
}

void Queue::has_left() {
  CHECK(passage_ == Passage::leaving && ready_ == 0 && unacked_.empty());
  for (Subscription* subscription : subscriptions_) remove_subscription(*subscription);
  subscriptions_.clear();
}

// ---- arriving -------------------------------------------------------------------------------------------------------

void Queue::arrive(const QueueHandOver& part) {
  passage_ = Passage::arriving;
  next_position_ = part.next_position;
  if (part.reserved_messages != 0 && !extras_) make_extras();
  if (extras_) {
    extras_->reserved_messages = part.reserved_messages;
    extras_->reserved_bytes = part.reserved_bytes;
  }
  if (part.unacknowledged != 0) moved_ = std::make_unique<MovedEntries>(part.unacknowledged);
  apart_ = moved_ != nullptr;
}

void Queue::take_over(const SubscriptionHandOver& part) {
  CHECK(passage_ == Passage::arriving);
  Subscription& made = home_.subscriptions.make(*this, part.consumer);
  made.no_ack = part.no_ack;
  if (part.paused) made.stop(Subscription::paused);
  if (part.waiting) made.stop(Subscription::waiting);
  made.joined = part.joined;
  home_.last_joined = std::max(home_.last_joined, part.joined);
  made.exclusive = part.exclusive;
  made.credit = part.credit;
  made.remote = part.consumer.channel.worker != home_.self;
  // What the old home had under way to a session here needs no report any more.
  made.in_transit = made.remote ? part.in_transit : 0;
  made.place = consumers();
  subscriptions_.push_back(&made);
  has_exclusive_ |= part.exclusive;
  rota_.join(made, part.priority);
}

bool Queue::take_over(const EntryHandOver& part) {
  CHECK(passage_ == Passage::arriving);
  QueueEntry* entry = nullptr;
  if (part.deadline != base::never)
    entry = make_timed(part.deadline);
  else if (void* memory = home_.arena.allocate(sizeof(QueueEntry)))
    entry = new (memory) QueueEntry;
  if (!entry) return false;
  entry->message = part.message;
  entry->position = part.position & QueueEntry::position_max;
  entry->deliveries = part.deliveries & 0xff;
  entry->redelivered = part.redelivered & 1;
  entry->state = part.state & 3;
  switch (static_cast<EntryState>(part.state)) {
    case EntryState::fresh:
      if (extras_ && extras_->bands)
        extras_->bands->push_fresh(home_.arena, entry);
      else
        fresh_.push(home_.arena, entry);
      ready_++;
      break;
    case EntryState::returned:
      if (extras_ && extras_->bands)
        extras_->bands->push_returned(home_.arena, entry);
      else
        returned_.push(home_.arena, entry);
      ready_++;
      break;
    case EntryState::unacknowledged:
    case EntryState::moved:
      if (part.holder != 0) {
        Subscription& holder = *subscriptions_[part.holder - 1];
        entry->holder_or_rank = holder.slot + 1;
        holder.unacknowledged++;
      }
      entry->state = static_cast<uint64_t>(EntryState::moved) & 3;
      if (entry->timed) home_.timers.disarm(timer_of(entry));
      entry->generation = moved_->add(part.id, home_.arena.reference_of(entry));
      unacked_.push(home_.arena, entry);
      break;
  }
  return true;
}

void Queue::has_arrived() {
  CHECK(passage_ == Passage::arriving);
  passage_ = Passage::none;
  note_use();
  if (extras_) trim();  // it may have left before it was done
  for (Subscription* subscription : subscriptions_) refresh(*subscription);
  if (extras_) arm_paces();
  activate();
}

// ---- names ----------------------------------------------------------------------------------------------------------

// Sessions say what their home of then said. nullptr: it is none of those that came.
QueueEntry* Queue::take_moved(EntryId id) {
  const MovedEntries::Item* item = moved_->find(id);
  if (!item) return nullptr;
  QueueEntry* entry = entry_at(home_.arena, item->reference);
  CHECK(entry->state == static_cast<uint64_t>(EntryState::moved));
  moved_->remove(id);
  if (moved_->empty()) {
    moved_.reset();
    apart_ = false;
  }
  return entry;
}

}  // namespace talaria::broker
