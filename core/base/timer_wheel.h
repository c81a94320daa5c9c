// Timers for very many owners: a hierarchical wheel of two levels of 1024 slots and a tick of one millisecond.
//
//   level 0: the ticks of the current window of 1024     |.|.|o|.|...      a slot is one tick
//   level 1: the 1023 windows that follow                |.|o|.|.|...      a slot is one window, spread over level 0
//                                                                          when its time comes ("cascade")
//
// Arming and disarming take constant time; what is further away than 17 minutes waits in the last window and is looked
// at again. A timer never fires early, and fires at the first `pop_expired` after its tick. Expired nodes come out one
// by one, unlinked, so that the caller bounds the work of a turn and nothing fires after it was disarmed.
//
// Meant to be used lazily: an owner whose deadline moves later leaves its node alone, and re-arms when it fires early.
//
// One owner thread. Nodes are embedded in what they time, must not move while armed, and carry their owner's number.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/base/time.h"

namespace talaria::base {

struct TimerNode {
  TimerNode* next = nullptr;  // nullptr: not armed
  TimerNode* previous = nullptr;
  uint64_t tick = 0;
  uint32_t owner = 0;

  bool armed() const { return next != nullptr; }
};

class TimerWheel {
 public:
  static constexpr size_t slots = 1024;
  static constexpr Duration tick = std::chrono::milliseconds(1);

  TimerWheel() {
    for (Level* level : {&ticks_, &windows_})
      for (TimerNode& head : level->heads) head.next = head.previous = &head;
  }
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // (Re-)arms a node. `now` is what pop_expired would be called with.
  void arm(TimerNode& node, Time deadline, Time now) {
    disarm(node);
    if (armed_ == 0 && current_ < tick_at_or_before(now)) current_ = tick_at_or_before(now);
    node.tick = tick_at_or_after(deadline);
    armed_++;
    insert(node);
  }

  void disarm(TimerNode& node) {
    if (!node.armed()) return;
    unlink(node);
    armed_--;
  }

  // The next node whose deadline is at or before `now`, disarmed; nullptr if there is none.
  TimerNode* pop_expired(Time now) {
    uint64_t target = tick_at_or_before(now);
    while (armed_ > 0 && current_ <= target) {
      uint64_t window_end = current_ | (slots - 1);
      size_t found = ticks_.next_occupied(current_ % slots);
      if (found < slots && current_ - current_ % slots + found <= target) {
        current_ = current_ - current_ % slots + found;
        TimerNode& node = *ticks_.heads[found].next;
        unlink(node);
        armed_--;
        return &node;
      }
      if (target <= window_end) break;
      current_ = window_end + 1;
      cascade(windows_.heads[current_ / slots % slots]);
    }
    if (current_ < target) current_ = target;
    return nullptr;
  }

  // No armed node expires before this; `never` if none is armed. Exact within the current second, else when the window
  // begins that holds the first one.
  Time next_deadline() const {
    if (armed_ == 0) return never;
    size_t found = ticks_.next_occupied(current_ % slots);
    if (found < slots) return time_of(current_ - current_ % slots + found);
    uint64_t window = current_ / slots;
    for (size_t from = window % slots, turned = 0; turned < 2; turned++, from = 0) {
      size_t slot = windows_.next_occupied(from);
      if (slot < slots) return time_of((window + (slot - window) % slots) * slots);
    }
    return time_of(current_);
  }

  // What an armed node was armed for, rounded up to a tick.
  static Time deadline_of(const TimerNode& node) { return time_of(node.tick); }

  size_t armed() const { return armed_; }

 private:
  struct Level {
    std::array<TimerNode, slots> heads;
    std::array<uint64_t, slots / 64> occupied{};

    // The first slot at or after `from` with a node in it (or one that had, see unlink); `slots` if there is none.
    size_t next_occupied(size_t from) const {
      for (size_t word = from / 64; word < occupied.size(); word++) {
        uint64_t bits = occupied[word];
        if (word == from / 64) bits &= ~uint64_t{0} << (from % 64);
        if (bits != 0) return word * 64 + static_cast<size_t>(std::countr_zero(bits));
      }
      return slots;
    }
  };

  static uint64_t tick_at_or_before(Time time) {
    auto count = time.time_since_epoch().count();
    return count <= 0 ? 0 : static_cast<uint64_t>(count) / static_cast<uint64_t>(tick.count());
  }
  static uint64_t tick_at_or_after(Time time) {
    auto count = time.time_since_epoch().count();
    auto unit = static_cast<uint64_t>(tick.count());
    return count <= 0 ? 0 : (static_cast<uint64_t>(count) + unit - 1) / unit;
  }
  static Time time_of(uint64_t at) { return Time(tick * static_cast<int64_t>(at)); }

  void insert(TimerNode& node) {
    uint64_t at = node.tick > current_ ? node.tick : current_;
    if (at / slots == current_ / slots) return link(ticks_, at % slots, node);
    uint64_t window = at / slots;
    uint64_t last = current_ / slots + slots - 1;
    link(windows_, (window < last ? window : last) % slots, node);
  }

  static void link(Level& level, size_t slot, TimerNode& node) {
    TimerNode& head = level.heads[slot];
    node.next = &head;
    node.previous = head.previous;
    head.previous->next = &node;
    head.previous = &node;
    level.occupied[slot / 64] |= uint64_t{1} << (slot % 64);
  }

  void unlink(TimerNode& node) {
    TimerNode* next = node.next;
    node.previous->next = next;
    next->previous = node.previous;
    node.next = node.previous = nullptr;
    if (next->next == next) forget_slot(*next);
  }

  // A head that is alone: its slot is empty.
  void forget_slot(const TimerNode& head) {
    for (Level* level : {&ticks_, &windows_}) {
      if (&head < level->heads.data() || &head >= level->heads.data() + slots) continue;
      auto slot = static_cast<size_t>(&head - level->heads.data());
      level->occupied[slot / 64] &= ~(uint64_t{1} << (slot % 64));
    }
  }

  void cascade(TimerNode& head) {
    TimerNode* node = head.next;
    head.next = head.previous = &head;
    forget_slot(head);
    while (node != &head) {
      TimerNode* next = node->next;
      insert(*node);
      node = next;
    }
  }

  Level ticks_;
  Level windows_;
  uint64_t current_ = 0;  // no armed node's tick was left behind before this one
  size_t armed_ = 0;
};

}  // namespace talaria::base
