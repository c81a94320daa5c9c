// A hash map with open addressing (linear probing, backward-shift deletion, a power-of-two table at most 7/8 full):
// one look-up is one or two neighbouring cache lines. The caller brings the hash, so a name is hashed once a message.
//
// Values are small and trivially copyable (pointers, ids); the key stands in what the value points at, and the caller's
// predicate compares it. Grows by doubling on insert (topology changes, connections: never on the message path unless
// `reserve` was too small); never shrinks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace talaria::base {

template <class Value>
requires std::is_trivially_copyable_v<Value>
class FlatMap {
 public:
  explicit FlatMap(size_t expected = 0) { rehash(table_size(expected)); }

  size_t size() const { return size_; }
  void reserve(size_t expected) {
    if (table_size(expected) > slots_.size()) rehash(table_size(expected));
  }

  // The value with that hash for which `same(value)` holds, or nullptr. Valid until the next insert or erase.
  template <class Same>
  Value* find(uint64_t hash, Same&& same) {
    hash = stored(hash);
    for (size_t at = hash & mask_;; at = (at + 1) & mask_) {
      Slot& slot = slots_[at];
      if (slot.hash == empty) return nullptr;
      if (slot.hash == hash && same(slot.value)) return &slot.value;
    }
  }
  template <class Same>
  const Value* find(uint64_t hash, Same&& same) const {
    return const_cast<FlatMap*>(this)->find(hash, static_cast<Same&&>(same));
  }

  // The caller knows that it is not in yet.
  void insert(uint64_t hash, Value value) {
    if ((size_ + 1) * 8 > slots_.size() * 7) rehash(slots_.size() * 2);
    place(stored(hash), value);
    size_++;
  }

  template <class Same>
  bool erase(uint64_t hash, Same&& same) {
    hash = stored(hash);
    for (size_t at = hash & mask_;; at = (at + 1) & mask_) {
      if (slots_[at].hash == empty) return false;
      if (slots_[at].hash == hash && same(slots_[at].value)) {
        close_gap(at);
        size_--;
        return true;
      }
    }
  }

  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const Slot& slot : slots_)
      if (slot.hash != empty) visit(slot.value);
  }
  void clear() {
    for (Slot& slot : slots_) slot.hash = empty;
    size_ = 0;
  }

 private:
  static constexpr uint64_t empty = 0;
  struct Slot {
    uint64_t hash = empty;
    Value value{};
  };

  static uint64_t stored(uint64_t hash) { return hash == empty ? 1 : hash; }
  static size_t table_size(size_t expected) {
    size_t size = 8;
    while (size * 7 < expected * 8 + 8) size *= 2;
    return size;
  }
  void place(uint64_t hash, Value value) {
    size_t at = hash & mask_;
    while (slots_[at].hash != empty) at = (at + 1) & mask_;
    slots_[at] = {hash, value};
  }
  // Moves later members of the probe run into the gap, so that no tombstone is ever needed.
  void close_gap(size_t gap) {
    for (size_t at = (gap + 1) & mask_; slots_[at].hash != empty; at = (at + 1) & mask_) {
      size_t home = slots_[at].hash & mask_;
      if (((at - home) & mask_) < ((at - gap) & mask_)) continue;  // it would land before its home
      slots_[gap] = slots_[at];
      gap = at;
    }
    slots_[gap].hash = empty;
  }
  void rehash(size_t size) {
    std::vector<Slot> old(size);
    old.swap(slots_);
    mask_ = size - 1;
    for (const Slot& slot : old)
      if (slot.hash != empty) place(slot.hash, slot.value);
  }

  std::vector<Slot> slots_;
  size_t mask_ = 0;
  size_t size_ = 0;
};

}  // namespace talaria::base
