// A fixed number of objects of one type, taken and given back in constant time, never moved. One owner thread.
//
// All memory is taken at construction. Objects are default-constructed once, not at each take: who takes one puts it in
// order. Each is named by its index too, which fits 32 bits where a pointer takes 64.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <new>
#include <vector>

#include "core/base/check.h"

namespace talaria::base {

// No object: the index that none has.
inline constexpr uint32_t none = UINT32_MAX;

template <class T>
class Slab {
 public:
  explicit Slab(size_t count, std::pmr::memory_resource* memory = std::pmr::get_default_resource())
      : memory_(memory), count_(count), free_(memory) {
    CHECK(count < none);
    objects_ = static_cast<T*>(memory_->allocate(bytes(), alignof(T)));
    for (size_t i = 0; i < count; i++) new (&objects_[i]) T;
    free_.reserve(count);
    for (size_t i = count; i > 0; i--) free_.push_back(static_cast<uint32_t>(i - 1));
  }
  ~Slab() {
    for (size_t i = 0; i < count_; i++) objects_[i].~T();
    memory_->deallocate(objects_, bytes(), alignof(T));
  }
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  // `none` if all are taken.
  uint32_t take() {
    if (free_.empty()) return none;
    uint32_t index = free_.back();
    free_.pop_back();
    return index;
  }
  void give(uint32_t index) {
    CHECK(index < count_ && free_.size() < count_);
    free_.push_back(index);
  }

  T& operator[](uint32_t index) { return objects_[index]; }
  const T& operator[](uint32_t index) const { return objects_[index]; }
  uint32_t index_of(const T& object) const { return static_cast<uint32_t>(&object - objects_); }

  size_t size() const { return count_; }
  size_t free() const { return free_.size(); }
  size_t used() const { return count_ - free_.size(); }

 private:
  size_t bytes() const { return (count_ > 0 ? count_ : 1) * sizeof(T); }

  std::pmr::memory_resource* memory_;
  size_t count_;
  T* objects_;
  std::pmr::vector<uint32_t> free_;
};

}  // namespace talaria::base
