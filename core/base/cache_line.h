// Who writes what on which line of the cache. A core that writes into a line takes it away from every other core, so
// what one thread writes stands on lines on which no other thread writes, and which no other reads without need.
#pragma once

#include <cstddef>
#include <new>

namespace talaria::base {

// Of every processor Talaria is built for. A constant of ours, since the compiler's
// (std::hardware_destructive_interference_size) may change with its options.
inline constexpr size_t cache_line = 64;

// Neighbours of such an object, whatever they are, share no line with it: it begins on a line, and its size is a
// multiple of its alignment.
template <class T>
inline constexpr bool has_lines_of_its_own = alignof(T) % cache_line == 0;

// Whole lines, for rings of values that go from core to core: a value of 64 bytes is one line and not parts of two.
template <class T>
struct LineAllocator {
  using value_type = T;

  LineAllocator() = default;
  template <class U>
  LineAllocator(const LineAllocator<U>&) {}

  T* allocate(size_t count) { return static_cast<T*>(::operator new (bytes(count), std::align_val_t{cache_line})); }
  void deallocate(T* at, size_t) { ::operator delete (at, std::align_val_t{cache_line}); }

  bool operator==(const LineAllocator&) const = default;

 private:
  static size_t bytes(size_t count) { return (count * sizeof(T) + cache_line - 1) / cache_line * cache_line; }
};

}  // namespace talaria::base
