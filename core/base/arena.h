// An arena: memory reserved at start, cut into slots of many sizes, given out and taken back in a handful of cycles.
//
// The span is cut into blocks of 128 KiB, aligned to their size, so that a slot finds its block by masking its address.
// A block belongs to one size class while any of its slots is used; when it is empty any class may take it. Within a
// block the slot freed last is given out first (it is still in the cache); a fresh block is carved from the front, so
// that memory nobody needed is never touched.
//
//   block:  | header 64 B | slot | slot | slot | ... | never carved yet      |
//
// Classes: steps of 8 B up to 128 B, of 16 B up to 256 B, then eight a doubling up to 2 KiB, then the block divided by
// 60, 56, 50 ... 4. A slot wastes at most 7 B up to 128 B, an eighth of itself up to 8 KiB and a fifth above, of which
// only few fit into a block. Slots are aligned to 8 B, and slots of 32 B to 32 B, so that 32 bits name one of them
// (`reference_of`) in an arena of up to 128 GiB.
//
// Under AddressSanitizer whatever is not given out is poisoned, but for a free slot's first bytes.
//
// One thread owns an arena; nothing here is atomic.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>

#include "core/base/bytes.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace talaria::base {

class Arena {
 public:
  static constexpr size_t block_bytes = size_t{128} << 10;
  static constexpr size_t header_bytes = 64;
  static constexpr size_t slots_of_greatest = 4;
  // The greatest single allocation: 32752.
  static constexpr size_t allocation_max = (block_bytes - header_bytes) / slots_of_greatest / 16 * 16;
  static constexpr size_t reference_unit = 32;

  // `memory` is somebody else's (huge pages, or the heap in tests) and outlives the arena. What does not fill an
  // aligned block at its ends is not used.
  explicit Arena(MutableBytes memory);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // `bytes` is 1 to allocation_max. nullptr when the class has no slot and no block is empty. The contents are
  // indeterminate.
  void* allocate(size_t bytes) {
    Class& size_class = classes_[class_of(bytes)];
    Block* block = size_class.current;
    Slot* slot = block->freed;
    if (!slot) [[unlikely]]
      return allocate_slowly(size_class);
    block->freed = slot->next;
    block->used++;
    used_bytes_ += block->slot_bytes;
    opened(slot, block->slot_bytes);
    return slot;
  }
  // What `allocate` gave. Never nullptr.
  void release(void* memory) {
    Block* block = block_of(memory);
    Slot* slot = new (memory) Slot{block->freed};
    closed(slot, block->slot_bytes);
    block->freed = slot;
    used_bytes_ -= block->slot_bytes;
    if (--block->used == 0 || block->full) [[unlikely]]
      block_became_roomier(block);
  }

  // What an allocation of that size takes.
  static size_t slot_bytes(size_t bytes);

  // All blocks together.
  size_t capacity() const { return blocks_ * block_bytes; }
  // Slots in use, each with what it wastes.
  size_t used_bytes() const { return used_bytes_; }
  // Whole empty blocks: what any class can still have (a class keeps its last one until another asks for it). Free
  // slots in blocks of a class are not counted here, so used_bytes() + free_bytes() <= capacity().
  size_t free_bytes() const { return empty_blocks_ * block_bytes; }

  // 32-bit names for slots of 32 B (or a multiple of it up to 128): 0 names nothing.
  uint32_t reference_of(const void* slot) const {
    if (!slot) return 0;
    return static_cast<uint32_t>(static_cast<size_t>(static_cast<const uint8_t*>(slot) - begin_) / reference_unit);
  }
  void* at(uint32_t reference) const { return begin_ + size_t{reference} * reference_unit; }
  bool holds(uint32_t reference) const { return reference != 0 && size_t{reference} * reference_unit < capacity(); }

  // Walks every block: lists, counts and sums agree. For tests and the simulator.
  void check_invariants() const;

 private:
  struct Slot {
    Slot* next;
  };
  struct Block {
    Slot* freed = nullptr;  // slots given back, the last one first
    uint32_t used = 0;      // slots in use
    uint32_t slot_bytes = 0;
    bool full = false;  // no slot left, hence in no list
    uint8_t size_class = 0;
    uint32_t carved = 0;  // slots given out at least once
    uint32_t slots = 0;
    Block* next = nullptr;  // in the class's list of blocks with room, or in the list of empty blocks
    Block* previous = nullptr;
  };
  static_assert(sizeof(Block) <= header_bytes);
  // `current` heads the list of the class's blocks with room; when there is none it is a block without slots, which
  // spares the fast path a test.
  struct Class {
    Block* current = nullptr;
  };

  static constexpr size_t small_step = 8;
  static constexpr unsigned classes = 69;
  struct Sizes {
    std::array<uint16_t, classes> bytes{};
    std::array<uint8_t, allocation_max / small_step + 1> of{};  // index: size rounded up, in steps
  };
  static constexpr Sizes make_sizes();
  static const Sizes sizes_;

  // For AddressSanitizer: what a free slot holds behind its link is nobody's.
#if defined(__SANITIZE_ADDRESS__)
  static void opened(Slot* slot, size_t bytes) { __asan_unpoison_memory_region(slot + 1, bytes - sizeof(Slot)); }
  static void closed(Slot* slot, size_t bytes) { __asan_poison_memory_region(slot + 1, bytes - sizeof(Slot)); }
#else
  static void opened(Slot*, size_t) {}
  static void closed(Slot*, size_t) {}
#endif

  static unsigned class_of(size_t bytes) { return sizes_.of[(bytes + small_step - 1) / small_step]; }
  static Block* block_of(void* memory) {
    return reinterpret_cast<Block*>(reinterpret_cast<uintptr_t>(memory) & ~(block_bytes - 1));
  }
  void* allocate_slowly(Class& size_class);
  void* carve(Block* block);
  void block_became_roomier(Block* block);
  Block* take_empty_block(Class& size_class);
  Block* find_empty_block();
  void link(Class& size_class, Block* block);
  void unlink(Class& size_class, Block* block);
  Block* block_at(size_t index) const { return reinterpret_cast<Block*>(begin_ + index * block_bytes); }

  uint8_t* begin_ = nullptr;
  size_t blocks_ = 0;
  size_t touched_ = 0;       // blocks that were ever taken: those behind have never been written to
  Block* empty_ = nullptr;   // touched blocks without a class
  size_t empty_blocks_ = 0;  // untouched ones, those in empty_, and empty ones a class keeps as its current
  size_t used_bytes_ = 0;
  Block none_;
  std::array<Class, classes> classes_{};
};

}  // namespace talaria::base
