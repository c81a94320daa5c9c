// What only some queues have: messages that expire, limits, and an end of their own when nobody uses them (see
// QueueExtras).

#include <algorithm>
#include <new>
#include <utility>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/broker/queue.h"
#include "core/broker/vhost.h"

namespace talaria::broker {
namespace {

uint64_t hash_of(uint32_t timers) {
  return base::hash_bytes({reinterpret_cast<const uint8_t*>(&timers), sizeof timers});
}

base::Duration milliseconds(uint64_t count) { return std::chrono::milliseconds(count); }

// While a queue moves its timers wait; and so does what is left to do of something long.
constexpr base::Duration look_again = std::chrono::milliseconds(1);

}  // namespace

// ---- timers ---------------------------------------------------------------------------------------------------------

void QueueHome::on_timer(base::TimerNode& timer) {
  const uint32_t number = timer.owner & ~1u;
  Queue** found =
      timed_queues.find(hash_of(number), [&](const Queue* queue) { return queue->extras_->timers == number; });
  if (!found) return;  // it is of what a purged or moved queue left
  Queue& queue = **found;
  if (queue.moving())
    timers.arm(timer, now + look_again, now);
  else if (timer.owner != number)
    queue.on_own_timer(timer);
  else
    queue.expire(entry_of(&timer));
}

void Queue::make_extras() {
  extras_ = std::make_unique<QueueExtras>();
  extras_->last_used = home_.now;
  if (record_.settings && record_.settings->max_priority)
    extras_->bands = std::make_unique<PriorityBands>(*record_.settings->max_priority);
  if (record_.settings && !record_.settings->group_key.empty()) {
    extras_->groups = std::make_unique<MessageGroups>(home_.arena);
    apart_ = true;
  }
  if (record_.settings && !record_.settings->last_value_key.empty())
    extras_->last_values = std::make_unique<LastValues>();
  if (record_.settings && record_.settings->deduplication)
    extras_->seen = std::make_unique<SeenValues>(*record_.settings->deduplication, home_.seen_total);
  take_timers();
}

void Queue::take_timers() {
  give_up_timers();
  home_.last_timers += 2;
  if (home_.last_timers == 0) home_.last_timers = 2;
  extras_->timers = home_.last_timers;
  home_.timed_queues.insert(hash_of(extras_->timers), this);
  arm_lease();
  arm_paces();
}

void Queue::give_up_timers() {
  home_.timers.disarm(extras_->lease);
  home_.timers.disarm(extras_->trim);
  home_.timers.disarm(extras_->paces);
  home_.timed_queues.erase(hash_of(extras_->timers), [this](const Queue* queue) { return queue == this; });
}

// ---- a queue that expires -------------------------------------------------------------------------------------------

// A timer that is armed stays as it is, and looks again when it fires too early.
void Queue::renew_lease() {
  extras_->last_used = home_.now;
  if (!extras_->lease.armed()) arm_lease();
}

void Queue::arm_lease() {
  if (!record_.settings || !record_.settings->expires_ms) return;
  extras_->lease.owner = extras_->timers | 1;
  home_.timers.arm(extras_->lease, extras_->last_used + milliseconds(*record_.settings->expires_ms), home_.now);
}

void Queue::on_lease_end() {
  // The last consumer to leave begins it anew.
  if (!subscriptions_.empty() || !record_.settings || !record_.settings->expires_ms) return;
  if (extras_->last_used + milliseconds(*record_.settings->expires_ms) > home_.now) return arm_lease();
  home_.outbox.unused_queues.push_back(record_.id);
  renew_lease();
}

// ---- other settings ---------------------------------------------------------------------------------------

void Queue::on_settings_changed() {
  CHECK(passage_ == Passage::none);
  if (!extras_ && !record_.settings) return;
  if (!extras_) make_extras();
  home_.timers.disarm(extras_->lease);
  home_.timers.disarm(extras_->paces);
  renew_lease();
  arm_paces();
  trim();
}

void Queue::on_own_timer(const base::TimerNode& timer) {
  if (&timer == &extras_->trim)
    trim();
  else if (&timer == &extras_->paces)
    look_at_paces();
  else
    on_lease_end();
}

void Queue::trim() {
  drop_surplus();
  if (!over_limit()) return;
  extras_->trim.owner = extras_->timers | 1;
  home_.timers.arm(extras_->trim, home_.now + look_again, home_.now);
}

// ---- messages that expire -------------------------------------------------------------------------------------------

// The lesser of what the queue and what the publisher said; `never` if neither did.
base::Time Queue::deadline_of(const Message& message) const {
  uint64_t most = message.expiration_ms();
  if (record_.settings && record_.settings->message_ttl_ms) most = std::min(most, *record_.settings->message_ttl_ms);
  return most == Message::never_expires ? base::never : home_.now + milliseconds(most);
}

Enqueued Queue::enqueue_apart(Message* message, bool accepted) {
  if (!extras_) make_extras();
  std::string value;
  if (extras_->seen && drop_duplicate(message, value)) return Enqueued::stored;
  QueueEntry* replaced = extras_->last_values ? same_value(*message) : nullptr;
  const uint64_t grows =
      message->body_size() - std::min(message->body_size(), replaced ? replaced->message->body_size() : 0);
  if (!accepted && would_overflow(replaced ? 0 : 1, grows) && record_.settings->overflow != Overflow::drop_head) {
    home_.counters.refused_over_limit.add();
    if (record_.settings->overflow == Overflow::reject_publish_dlx)
      bury(message, DeathReason::over_limit);
    else
      home_.pool.release(message);
    return Enqueued::refused;
  }
  // It is in, whatever becomes of it: replaced, expired at once.
  if (!value.empty()) extras_->seen->insert(value, home_.now, cache_ttl_in(header_of(*message, "x-cache-ttl")));
  const base::Time deadline = deadline_of(*message);
  if (replaced && replace_in_place(replaced, message, deadline)) {
    drop_surplus();
    return Enqueued::stored;
  }
  if (replaced) remove_replaced(replaced);
  if (deadline == home_.now && !rota_.any()) {
    // It does not wait for anybody: it was here, and is over.
    counters_.enqueued.add();
    home_.counters.expired.add();
    bury(message, DeathReason::expired);
    return Enqueued::stored;
  }
  QueueEntry* entry = nullptr;
  if (deadline != base::never)
    entry = make_timed(deadline);
  else if (void* memory = home_.arena.allocate(sizeof(QueueEntry)))
    entry = new (memory) QueueEntry;
  if (!entry) [[unlikely]]
    return Enqueued::no_memory;
  if (ready_ == 0) extras_->ran_dry = extras_->ran_dry_since = true;
  accept(entry, message);
  if (extras_->bands)
    extras_->bands->push_fresh(home_.arena, entry);
  else if (groups())
    groups()->push(entry, group_of(*message));
  else
    fresh_.push(home_.arena, entry);
  if (extras_->last_values) remember_value(entry);
  if (over_limit()) {
    hand_out_surplus();
    drop_surplus();
  }
  return Enqueued::stored;
}

QueueEntry* Queue::make_timed(base::Time deadline) {
  void* memory = home_.arena.allocate(sizeof(TimedEntry));
  if (!memory) return nullptr;
  if (!extras_) make_extras();
  QueueEntry* entry = &(new (memory) TimedEntry)->entry;
  entry->timed = 1;
  arm(entry, deadline);
  return entry;
}

void Queue::arm(QueueEntry* entry, base::Time deadline) {
  timer_of(entry).owner = extras_->timers;
  home_.timers.arm(timer_of(entry), deadline, home_.now);
}

// It came back. Its time went on meanwhile, and there may be no place for it any more.
void Queue::return_apart(QueueEntry* entry) {
  if (over_deliveries(entry)) {
    home_.counters.over_deliveries.add();
    return bury(entry, DeathReason::over_deliveries);
  }
  if (extras_->last_values && !is_last_value(entry)) return;
  if (entry->timed) {
    const base::Time deadline = base::TimerWheel::deadline_of(timer_of(entry));
    if (deadline <= home_.now) {
      home_.counters.expired.add();
      return bury(entry, DeathReason::expired);
    }
    arm(entry, deadline);
  }
  if (ready_ == 0) extras_->ran_dry = extras_->ran_dry_since = true;
  return_entry(entry);
  if (extras_->last_values) remember_value(entry);
  drop_surplus();
}

void Queue::expire(QueueEntry* entry) {
  take_out(entry);
  home_.counters.expired.add();
  bury(entry, DeathReason::expired);
}

// A ready message, wherever in the queue it stands.
void Queue::take_out(QueueEntry* entry) {
  if (extras_->last_values) forget_value(entry);
  if (extras_->bands) {
    extras_->bands->remove(home_.arena, entry);
  } else if (groups()) {
    groups()->remove(entry, group_of(*entry->message));
  } else if (entry->state == static_cast<uint64_t>(EntryState::fresh)) {
    fresh_.remove(home_.arena, entry);
  } else {
    CHECK(entry->state == static_cast<uint64_t>(EntryState::returned));
    returned_.remove(home_.arena, entry);
  }
  ready_--;
  counters_.ready.subtract();
  counters_.bytes_ready.subtract(entry->message->body_size());
}

// ---- a single active consumer ---------------------------------------------------------------------------------------

// Whoever is active stays so until it leaves; then it is the one of highest priority that came first. All others wait.
void Queue::elect(Subscription* newcomer) {
  Subscription* best = nullptr;
  for (Subscription* one : subscriptions_) {
    if (one != newcomer && !one->is(Subscription::waiting)) {
      if (newcomer) newcomer->stop(Subscription::waiting);
      return;
    }
    const auto rank = [](const Subscription& of) {
      return std::pair(-int64_t{of.priority_class->priority}, of.joined);
    };
    if (!best || rank(*one) < rank(*best)) best = one;
  }
  if (!best) return;
  best->resume(Subscription::waiting);
  refresh(*best);
}

// ---- limits ---------------------------------------------------------------------------------------------------------

// Beside what is kept for others.
bool Queue::would_overflow(uint64_t messages, uint64_t bytes) const {
  const QueueSettings* settings = record_.settings.get();
  if (!settings) return false;
  return (settings->max_length && ready_ + extras_->reserved_messages + messages > *settings->max_length) ||
         (settings->max_length_bytes &&
          counters_.bytes_ready.value() + extras_->reserved_bytes + bytes > *settings->max_length_bytes);
}

bool Queue::reserve(uint32_t messages, uint64_t bytes) {
  if (!extras_) make_extras();
  const QueueSettings* settings = record_.settings.get();
  if (settings && settings->overflow != Overflow::drop_head && would_overflow(messages, bytes)) {
    home_.counters.refused_over_limit.add(messages);
    return false;
  }
  extras_->reserved_messages += messages;
  extras_->reserved_bytes += bytes;
  return true;
}

void Queue::give_back_reserved(uint64_t messages, uint64_t bytes) {
  CHECK(extras_ && extras_->reserved_messages >= messages && extras_->reserved_bytes >= bytes);
  extras_->reserved_messages -= messages;
  extras_->reserved_bytes -= bytes;
}

Enqueued Queue::enqueue_accepted(Message* message, bool promised) {
  if (promised) give_back_reserved(1, message->body_size());
  return extras_ ? enqueue_apart(message, true) : enqueue(message);
}

bool Queue::over_limit() const {
  const QueueSettings* settings = record_.settings.get();
  if (!settings) return false;
  return (settings->max_length && ready_ > *settings->max_length) ||
         (settings->max_length_bytes && counters_.bytes_ready.value() > *settings->max_length_bytes);
}

// Consumers that can take messages get them before any is dropped.
void Queue::hand_out_surplus() {
  for (uint32_t done = 0; done < home_.drops_at_once && over_limit(); done++) {
    if (deliver(1) == 0) return;
    home_.counters.delivered.add();
  }
}

void Queue::drop_surplus() {
  for (uint32_t done = 0; done < home_.drops_at_once && over_limit(); done++) {
    QueueEntry* entry = take_head();
    counters_.ready.subtract();
    counters_.bytes_ready.subtract(entry->message->body_size());
    home_.counters.dropped_over_limit.add();
    bury(entry, DeathReason::over_limit);
  }
}

bool Queue::over_deliveries(const QueueEntry* entry) const {
  const QueueSettings* settings = record_.settings.get();
  return settings && settings->delivery_limit && entry->deliveries > *settings->delivery_limit;
}

// Each delivery before this one. Told only where they are limited.
uint8_t Queue::returns_of(const QueueEntry* entry) const {
  const QueueSettings* settings = record_.settings.get();
  return settings && settings->delivery_limit ? static_cast<uint8_t>(entry->deliveries) : uint8_t{0};
}

// ---- the dead -------------------------------------------------------------------------------------------------------

void Queue::bury(Message* message, DeathReason reason) {
  const QueueSettings* settings = record_.settings.get();
  if (!settings || !settings->dead_lettering) return home_.pool.release(message);
  home_.counters.dead_lettered.add();
  home_.outbox.dead.push_back({message, record_.vhost->id(), record_.settings, reason});
}

void Queue::bury(QueueEntry* entry, DeathReason reason) {
  bury(entry->message, reason);
  home_.arena.release(entry);
}

}  // namespace talaria::broker
