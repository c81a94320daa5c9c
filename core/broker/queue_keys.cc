// Queues that tell their messages apart by a header: last values and duplicates (see keyed_messages.h).

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/broker/queue.h"

namespace talaria::broker {

std::optional<std::string> Queue::header_of(const Message& message, const std::string& header) const {
  return home_.read_header ? home_.read_header(message, header) : std::nullopt;
}

std::optional<std::string> Queue::value_of(const Message& message, const std::string& header) const {
  const auto value = header_of(message, header);
  return value ? std::optional(base::fingerprint(home_.value_key, *value)) : std::nullopt;
}

// ---- duplicates -----------------------------------------------------------------------------------------------------

// True: one like it came lately, and this one is gone.
bool Queue::drop_duplicate(Message* message, std::string& value) {
  const auto found = value_of(*message, record_.settings->deduplication->header);
  if (!found) return false;
  value = *found;
  if (!extras_->seen->contains(value, home_.now)) return false;
  home_.counters.duplicates.add();
  home_.pool.release(message);
  return true;
}

// ---- last values ----------------------------------------------------------------------------------------------------

// The ready message that has the same value, nullptr if there is none.
QueueEntry* Queue::same_value(const Message& message) const {
  const auto value = value_of(message, record_.settings->last_value_key);
  const uint32_t reference = value ? extras_->last_values->find(*value) : 0;
  return reference ? entry_at(home_.arena, reference) : nullptr;
}

void Queue::remember_value(const QueueEntry* entry) {
  if (const auto value = value_of(*entry->message, record_.settings->last_value_key))
    extras_->last_values->put(*value, home_.arena.reference_of(entry));
}

// It is ready no more. (Another one of that value may stand for it already.)
void Queue::forget_value(const QueueEntry* entry) {
  const auto value = value_of(*entry->message, record_.settings->last_value_key);
  if (value && extras_->last_values->find(*value) == home_.arena.reference_of(entry))
    extras_->last_values->remove(*value);
}

// Its place is the old one's, if neither has a time to live or a priority that would say otherwise. Not that of one
// that came back: some that somebody holds are newer than that, and must not seem newer than this message.
bool Queue::replace_in_place(QueueEntry* old, Message* message, base::Time deadline) {
  if (old->timed || deadline != base::never || extras_->bands) return false;
  if (old->state != static_cast<uint64_t>(EntryState::fresh)) return false;
  counters_.bytes_ready.subtract(old->message->body_size());
  counters_.bytes_ready.add(message->body_size());
  counters_.enqueued.add();
  home_.counters.replaced.add();
  home_.pool.release(old->message);
  old->message = message;
  return true;
}

// A ready message that a newer one replaces.
void Queue::remove_replaced(QueueEntry* old) {
  if (old->timed) home_.timers.disarm(timer_of(old));
  take_out(old);
  home_.counters.replaced.add();
  free_entry(old);
}

// A message comes back. False: a newer one of its value is there, and it is gone; an older one that is goes instead.
bool Queue::is_last_value(QueueEntry* entry) {
  QueueEntry* other = same_value(*entry->message);
  if (!other) return true;
  if (other->position > entry->position) {
    home_.counters.replaced.add();
    free_entry(entry);
    return false;
  }
  remove_replaced(other);
  return true;
}

}  // namespace talaria::broker
