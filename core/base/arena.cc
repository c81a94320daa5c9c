#include "core/base/arena.h"

#include "core/base/check.h"

namespace talaria::base {

constexpr Arena::Sizes Arena::make_sizes() {
  Sizes sizes;
  unsigned count = 0;
  auto add = [&](size_t bytes) { sizes.bytes[count++] = static_cast<uint16_t>(bytes); };
  for (size_t bytes = 32; bytes <= 128; bytes += 8) add(bytes);
  for (size_t bytes = 144; bytes <= 256; bytes += 16) add(bytes);
  for (size_t power = 256; power < 2048; power *= 2)
    for (size_t eighth = 1; eighth <= 8; eighth++) add(power + power / 8 * eighth);
  for (size_t slots : {60u, 56u, 50u, 44u, 39u, 35u, 31u, 28u, 25u, 22u, 20u, 18u,
                       16u, 15u, 13u, 12u, 11u, 10u, 9u,  8u,  7u,  6u,  5u,  4u})
    add((block_bytes - header_bytes) / slots / 16 * 16);
  CHECK(count == classes);
  unsigned at = 0;
  for (size_t step = 0; step < sizes.of.size(); step++) {
    while (sizes.bytes[at] < step * small_step) at++;
    sizes.of[step] = static_cast<uint8_t>(at);
  }
  return sizes;
}

constinit const Arena::Sizes Arena::sizes_ = Arena::make_sizes();

Arena::Arena(MutableBytes memory) {
  auto start = reinterpret_cast<uintptr_t>(memory.data());
  uintptr_t aligned = (start + block_bytes - 1) & ~(block_bytes - 1);
  size_t lost = aligned - start;
  begin_ = reinterpret_cast<uint8_t*>(aligned);
  blocks_ = memory.size() > lost ? (memory.size() - lost) / block_bytes : 0;
  CHECK(capacity() / reference_unit <= UINT32_MAX);
  CHECK(sizes_.bytes.back() == allocation_max);
  empty_blocks_ = blocks_;
  for (Class& size_class : classes_) size_class.current = &none_;
}

Arena::~Arena() {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(begin_, capacity());
#endif
}

size_t Arena::slot_bytes(size_t bytes) { return sizes_.bytes[class_of(bytes)]; }

// The class's current block has no slot that was given back: carve a new one, go on to its next block with room, or
// take an empty one.
void* Arena::allocate_slowly(Class& size_class) {
  Block* block = size_class.current;
  if (block->carved < block->slots) return carve(block);
  if (block != &none_) {
    unlink(size_class, block);
    block->full = true;
    block = size_class.current;
  }
  if (block == &none_) {
    block = take_empty_block(size_class);
    if (!block) return nullptr;
  }
  if (!block->freed) return carve(block);
  Slot* slot = block->freed;
  block->freed = slot->next;
  block->used++;
  used_bytes_ += block->slot_bytes;
  opened(slot, block->slot_bytes);
  return slot;
}

void* Arena::carve(Block* block) {
  if (block->used == 0) empty_blocks_--;
  auto* slot = reinterpret_cast<Slot*>(reinterpret_cast<uint8_t*>(block) + header_bytes +
                                       size_t{block->carved} * block->slot_bytes);
  block->carved++;
  block->used++;
  used_bytes_ += block->slot_bytes;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(slot, block->slot_bytes);
#endif
  return slot;
}

// A slot of `block` was given back, and it was full or is now empty.
void Arena::block_became_roomier(Block* block) {
  Class& size_class = classes_[block->size_class];
  if (block->full) {
    block->full = false;
    link(size_class, block);
  }
  if (block->used != 0) return;
  // Carved from the front when it is used again. The class keeps its only block with room, so that one message that
  // comes and goes does not move blocks about; it still counts as empty, and another class may take it.
  block->freed = nullptr;
  block->carved = 0;
  empty_blocks_++;
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(reinterpret_cast<uint8_t*>(block) + header_bytes, block_bytes - header_bytes);
#endif
  if (size_class.current == block && !block->next) return;
  unlink(size_class, block);
  block->next = empty_;
  empty_ = block;
}

Arena::Block* Arena::take_empty_block(Class& size_class) {
  Block* block = find_empty_block();
  if (!block) return nullptr;
  auto index = static_cast<unsigned>(&size_class - classes_.data());
  size_t bytes = sizes_.bytes[index];
  *block = Block{};
  block->slot_bytes = static_cast<uint32_t>(bytes);
  block->size_class = static_cast<uint8_t>(index);
  block->slots = static_cast<uint32_t>((block_bytes - header_bytes) / bytes);
  link(size_class, block);
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(reinterpret_cast<uint8_t*>(block) + header_bytes, block_bytes - header_bytes);
#endif
  return block;
}

Arena::Block* Arena::find_empty_block() {
  if (Block* block = empty_) {
    empty_ = block->next;
    return block;
  }
  if (touched_ < blocks_) return block_at(touched_++);
  if (empty_blocks_ == 0) return nullptr;
  for (Class& other : classes_)
    if (other.current != &none_ && other.current->used == 0) {
      Block* block = other.current;
      unlink(other, block);
      return block;
    }
  CHECK(false);  // an empty block was counted and is not there
}

// Behind the current block, which is the one whose slots are warm.
void Arena::link(Class& size_class, Block* block) {
  block->previous = nullptr;
  block->next = nullptr;
  Block* current = size_class.current;
  if (current == &none_) {
    size_class.current = block;
    return;
  }
  block->next = current->next;
  block->previous = current;
  if (block->next) block->next->previous = block;
  current->next = block;
}

void Arena::unlink(Class& size_class, Block* block) {
  if (block->previous)
    block->previous->next = block->next;
  else
    size_class.current = block->next ? block->next : &none_;
  if (block->next) block->next->previous = block->previous;
  block->next = nullptr;
  block->previous = nullptr;
}

void Arena::check_invariants() const {
  size_t listed_empty = 0, with_room = 0, full = 0, empty = blocks_ - touched_, used = 0;
  for (const Block* block = empty_; block; block = block->next) listed_empty++;
  empty += listed_empty;
  for (const Class& size_class : classes_) {
    if (size_class.current == &none_) continue;
    CHECK(!size_class.current->previous);
    for (const Block* block = size_class.current; block; block = block->next) {
      with_room++;
      CHECK(!block->full && &classes_[block->size_class] == &size_class);
      CHECK(!block->next || block->next->previous == block);
      size_t freed = 0;
      for (const Slot* slot = block->freed; slot; slot = slot->next) freed++;
      CHECK(freed + block->used == block->carved && block->carved <= block->slots);
      CHECK(block->used != 0 || block == size_class.current);
      if (block->used == 0) empty++;
      used += size_t{block->used} * block->slot_bytes;
    }
  }
  // Full blocks stand in no list: those that are left over must add up to the rest.
  CHECK(touched_ >= listed_empty + with_room);
  full = touched_ - listed_empty - with_room;
  size_t full_seen = 0;
  for (size_t index = 0; index < touched_ && full != 0; index++) {
    const Block* block = block_at(index);
    if (!block->full) continue;
    full_seen++;
    CHECK(!block->freed && block->used == block->slots && block->carved == block->slots);
    used += size_t{block->used} * block->slot_bytes;
  }
  CHECK(full_seen == full);
  CHECK(empty == empty_blocks_);
  CHECK(used == used_bytes_);
}

}  // namespace talaria::base
