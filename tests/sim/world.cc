#include "tests/sim/world.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

namespace talaria::sim {

namespace {

// Rounds in one instant before somebody must have gone mad.
constexpr uint64_t rounds_max = 100000;
// Rounds for a deadline that has come: a turn's work is bounded, so several may be needed, but not ever more.
constexpr uint64_t overdue_rounds_max = 2000;

}  // namespace

void fail(const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  throw Failure(text);
}

void World::at(Time when, std::function<void()> what) {
  happenings_.push({std::max(when, now_), sequence_++, std::move(what)});
}

void World::set_pace(Actor& actor, Pace pace) {
  for (Slot& slot : slots_)
    if (slot.actor == &actor) slot.pace = pace;
}

bool World::run_until(const std::function<bool()>& done, Time limit) {
  while (true) {
    run_instant();
    if (done()) return true;
    const Time next = next_time();
    if (next > limit) {
      now_ = std::max(now_, limit);
      return false;
    }
    now_ = next;
  }
}

void World::run_for(Duration duration) {
  const Time limit = now_ + duration;
  run_until([] { return false; }, limit);
}

void World::run_instant() {
  uint64_t overdue_rounds = 0;
  for (uint64_t round = 0;; round++) {
    if (round == rounds_max) fail("no rest after %lu rounds in one instant", rounds_max);
    while (!happenings_.empty() && happenings_.top().when <= now_) {
      auto what = std::move(const_cast<Happening&>(happenings_.top()).what);
      happenings_.pop();
      what();
    }
    const bool progress = poll_round();
    if (!failure_.empty()) throw Failure(failure_);
    if (progress) continue;
    if (!happenings_.empty() && happenings_.top().when <= now_) continue;
    const Slot* overdue = nullptr;
    for (const Slot& slot : slots_)
      if (slot.busy_until <= now_ && slot.actor->next_deadline() <= now_) overdue = &slot;
    if (!overdue) break;
    if (++overdue_rounds == overdue_rounds_max)
      fail("%s does not serve its own deadline, %ld ns ago", std::string(overdue->actor->name()).c_str(),
           (now_ - overdue->actor->next_deadline()).count());
  }
  if (instants_++ % check_every_ == 0)
    for (const Slot& slot : slots_) slot.actor->check();
}

bool World::poll_round() {
  order_.resize(slots_.size());
  for (size_t i = 0; i < order_.size(); i++) order_[i] = i;
  schedule_.shuffle(order_);
  bool progress = false;
  for (size_t index : order_) {
    Slot& slot = slots_[index];
    if (slot.busy_until > now_) continue;
    turns_++;
    const bool worked = slot.actor->poll(now_);
    progress |= worked;
    if (worked && slot.pace.turn_cost.count() > 0) slot.busy_until = now_ + slot.pace.turn_cost;
    if (worked && schedule_.chance(slot.pace.stall_chance))
      slot.busy_until = now_ + schedule_.between(1us, slot.pace.stall_max);
  }
  return progress;
}

Time World::next_time() const {
  Time next = happenings_.empty() ? base::never : happenings_.top().when;
  for (const Slot& slot : slots_) {
    if (slot.busy_until > now_) next = std::min(next, slot.busy_until);
    next = std::min(next, std::max(slot.actor->next_deadline(), slot.busy_until));
  }
  return next;
}

void World::trace(const char* format, ...) {
  if (!trace_) return;
  std::fprintf(stderr, "%12.6f  ", static_cast<double>(now_.time_since_epoch().count()) / 1e9);
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fputc('\n', stderr);
}

}  // namespace talaria::sim
