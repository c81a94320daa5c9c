// A hash map with open addressing (linear probing, backward-shift deletion, a power-of-two table at most 7/8 full):
// one look-up is one or two neighbouring cache lines. The caller brings the hash, so a name is hashed once a message.
//
// Values are small and trivially copyable (pointers, ids); the key stands in what the value points at, and the caller's
// predicate compares it. Grows by doubling on insert (topology changes, connections: never on the message path unless
// `reserve` was too small); never shrinks. An empty one that never held anything takes no memory but its own 16 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "core/base/check.h"

namespace talaria::base {

template <class Value>
requires std::is_trivially_copyable_v<Value>
class FlatMap {
 public:
  explicit FlatMap(size_t expected = 0) { reserve(expected); }
  ~FlatMap() {
    if (capacity() != 0) delete[] slots_;
  }
  FlatMap(const FlatMap&) = delete;
  FlatMap& operator=(const FlatMap&) = delete;

  size_t size() const { return size_; }
  void reserve(size_t expected) {
    if (expected != 0 && table_size(expected) > capacity()) rehash(table_size(expected));
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
    if ((size_t{size_} + 1) * 8 > capacity() * 7) rehash(table_size(size_t{size_} + 1));
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
    for (size_t at = 0; at < capacity(); at++)
      if (slots_[at].hash != empty) visit(slots_[at].value);
  }
  void clear() {
    for (size_t at = 0; at < capacity(); at++) slots_[at].hash = empty;
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
    size_t size = 2;
    while (size * 7 < expected * 8) size *= 2;
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
  size_t capacity() const { return slots_ == &nothing_ ? 0 : size_t{mask_} + 1; }
  void rehash(size_t size) {
    CHECK(size <= size_t{1} << 31);
    const size_t old_size = capacity();
    Slot* old = std::exchange(slots_, new Slot[size]);
    mask_ = static_cast<uint32_t>(size - 1);
    for (size_t at = 0; at < old_size; at++)
      if (old[at].hash != empty) place(old[at].hash, old[at].value);
    if (old_size != 0) delete[] old;
  }

  // The table of all that hold nothing yet: look-ups end there, nothing is ever written to it.
  static inline Slot nothing_{};

  Slot* slots_ = &nothing_;
  uint32_t mask_ = 0;
  uint32_t size_ = 0;
};

}  // namespace talaria::base
