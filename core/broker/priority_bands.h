// The ready messages of a queue with priorities: for each priority what other queues have once, and which of them are
// empty, so that the next message is found in a constant number of steps.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "core/base/arena.h"
#include "core/broker/queue_entry.h"

namespace talaria::broker {

class PriorityBands {
 public:
  struct Band {
    FreshList fresh;
    ReturnedHeap returned;
  };

  // Messages above it are taken to have it.
  explicit PriorityBands(uint8_t max) : bands_(size_t{max} + 1) {}

  bool empty() const {
    return std::ranges::all_of(filled_, [](uint64_t word) { return word == 0; });
  }
  size_t index_of(const QueueEntry* entry) const {
    return std::min<size_t>(entry->message->priority(), bands_.size() - 1);
  }
  void push_fresh(base::Arena& arena, QueueEntry* entry) { fill(entry).fresh.push(arena, entry); }
  void push_returned(base::Arena& arena, QueueEntry* entry) { fill(entry).returned.push(arena, entry); }
  // The oldest of the highest priority. Not when it is empty.
  QueueEntry* pop(base::Arena& arena) {
    const size_t index = highest();
    Band& band = bands_[index];
    QueueEntry* entry = band.returned.empty() ? band.fresh.pop(arena) : band.returned.pop(arena);
    note(index);
    return entry;
  }
  void remove(base::Arena& arena, QueueEntry* entry) {
    const size_t index = index_of(entry);
    if (entry->state == static_cast<uint64_t>(EntryState::fresh))
      bands_[index].fresh.remove(arena, entry);
    else
      bands_[index].returned.remove(arena, entry);
    note(index);
  }
  // For whoever throws all of them away, or looks.
  const std::vector<Band>& all() const { return bands_; }
  void clear() {
    std::ranges::fill(bands_, Band{});
    filled_ = {};
  }

 private:
  Band& fill(const QueueEntry* entry) {
    const size_t index = index_of(entry);
    filled_[index / 64] |= uint64_t{1} << (index % 64);
    return bands_[index];
  }
  void note(size_t index) {
    const Band& band = bands_[index];
    if (band.fresh.empty() && band.returned.empty()) filled_[index / 64] &= ~(uint64_t{1} << (index % 64));
  }
  size_t highest() const {
    size_t word = filled_.size() - 1;
    while (word != 0 && filled_[word] == 0) word--;
    return word * 64 + 63 - static_cast<size_t>(std::countl_zero(filled_[word]));
  }

  std::vector<Band> bands_;  // by priority
  std::array<uint64_t, 4> filled_{};
};

}  // namespace talaria::broker
