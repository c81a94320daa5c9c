// A queue that keeps groups together: see message_groups.h.

#include "core/base/check.h"
#include "core/broker/queue.h"

namespace talaria::broker {

MessageGroups::Value Queue::group_of(const Message& message) const {
  return value_of(message, record_.settings->group_key);
}

// Whoever owns groups gets what is ready of them, and all in turn get what is free: one of each alternately, so that
// neither waits for the other to end.
Subscription* Queue::next_grouped() {
  MessageGroups& groups = *extras_->groups;
  const bool owners_first = std::exchange(extras_->owners_first, !extras_->owners_first);
  Subscription* in_turn = groups.any_free() ? rota_.next() : nullptr;
  if (in_turn && !owners_first) return in_turn;
  while (const MessageGroups::Owner owner = groups.next_awake()) {
    if (owner == MessageGroups::getter) continue;
    Subscription& subscription = home_.subscriptions.at(owner - 1);
    if (subscription.queue == this && subscription.in_rota) return &subscription;
  }
  return in_turn;
}

uint32_t Queue::deliver_grouped(uint32_t most) {
  MessageGroups& groups = *extras_->groups;
  uint32_t done = 0;
  while (done < most && ready_ != 0) {
    Subscription* to = next_grouped();
    if (!to) break;
    const MessageGroups::Owner owner = to->slot + 1;
    // What is free is for whose turn it is.
    QueueEntry* entry = groups.take_for(owner, rota_.next() == to);
    if (entry->timed) home_.timers.disarm(timer_of(entry));
    ready_--;
    counters_.ready.subtract();
    counters_.bytes_ready.subtract(entry->message->body_size());
    counters_.delivered.add();
    if (entry->redelivered) counters_.redelivered.add();
    if (!to->no_ack) counters_.unacknowledged.add();
    hand_over(entry, *to);
    if (to->no_ack)
      groups.let_taken_go();
    else
      groups.hold_taken(owner);
    done++;
    if (to->able(home_.handover_window))
      rota_.rotate(*to);
    else
      rota_.remove(*to);
    groups.wake(owner);
  }
  // Otherwise there is nothing for anybody, whatever is ready.
  if (done == most) activate();
  return done;
}

void Queue::get_grouped(bool no_ack, Got& out) {
  MessageGroups& groups = *extras_->groups;
  if (!groups.any_free()) return;
  QueueEntry* entry = groups.take_free();
  if (entry->timed) home_.timers.disarm(timer_of(entry));
  ready_--;
  give_to_getter(entry, no_ack, out);
  if (no_ack)
    groups.let_taken_go();
  else
    groups.hold_taken(MessageGroups::getter);
}

// Each group's messages are with its owner, and the queue is active while there is something for anybody.
void Queue::check_groups() const {
  const MessageGroups& groups = *extras_->groups;
  groups.check_invariants();
  std::unordered_map<const MessageGroups::Group*, uint32_t> held;
  for (uint32_t at = unacked_.head; at; at = entry_at(home_.arena, at)->b) {
    const QueueEntry* entry = entry_at(home_.arena, at);
    const MessageGroups::Value value = group_of(*entry->message);
    if (!value) continue;
    const MessageGroups::Group& group = groups.group_of(value);
    CHECK(group.owner == (entry->holder_or_rank ? entry->holder_or_rank : MessageGroups::getter));
    held[&group]++;
  }
  bool any_able = false;
  for (const Subscription* one : subscriptions_) any_able |= one->in_rota;
  groups.for_each([&](const MessageGroups::Group& group) {
    CHECK(group.in_none || group.held == (held.contains(&group) ? held[&group] : 0));
    if (active_ || group.empty() || group.owner == MessageGroups::getter) return;
    if (group.owner == MessageGroups::nobody)
      CHECK(!any_able);
    else
      CHECK(!home_.subscriptions.at(group.owner - 1).in_rota);
  });
}

}  // namespace talaria::broker
