#include "core/base/arena.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

namespace talaria::base {
namespace {

struct Memory {
  explicit Memory(size_t blocks) : bytes((blocks + 1) * Arena::block_bytes), arena(bytes) {}
  std::vector<uint8_t> bytes;
  Arena arena;
};

TEST(Arena, SizeClassesWasteLittle) {
  for (size_t bytes = 1; bytes <= Arena::allocation_max; bytes++) {
    size_t slot = Arena::slot_bytes(bytes);
    ASSERT_GE(slot, bytes);
    ASSERT_EQ(slot % 8, 0u);
    size_t wasted = slot - bytes;
    if (bytes > 8176) {
      ASSERT_LE(wasted * 5, slot + Arena::header_bytes) << bytes;
    } else if (bytes > 128) {
      ASSERT_LE(wasted * 8, slot + Arena::header_bytes) << bytes;
    } else if (bytes > 32) {
      ASSERT_LT(wasted, 8u) << bytes;
    }
  }
  EXPECT_EQ(Arena::slot_bytes(32), 32u);
  EXPECT_EQ(Arena::slot_bytes(Arena::allocation_max), Arena::allocation_max);
}

TEST(Arena, CountsUsedAndFree) {
  Memory memory(8);
  Arena& arena = memory.arena;
  ASSERT_GE(arena.capacity(), 8 * Arena::block_bytes);
  EXPECT_EQ(arena.free_bytes(), arena.capacity());
  void* a = arena.allocate(100);
  EXPECT_EQ(arena.used_bytes(), 104u);
  EXPECT_EQ(arena.free_bytes(), arena.capacity() - Arena::block_bytes);
  void* b = arena.allocate(30000);
  EXPECT_EQ(arena.free_bytes(), arena.capacity() - 2 * Arena::block_bytes);
  arena.check_invariants();
  arena.release(a);
  arena.release(b);
  EXPECT_EQ(arena.used_bytes(), 0u);
  EXPECT_EQ(arena.free_bytes(), arena.capacity());
  arena.check_invariants();
}

TEST(Arena, LastFreedIsFirstGiven) {
  Memory memory(2);
  void* a = memory.arena.allocate(64);
  void* b = memory.arena.allocate(64);
  void* c = memory.arena.allocate(64);
  memory.arena.release(a);
  memory.arena.release(b);
  EXPECT_EQ(memory.arena.allocate(64), b);
  EXPECT_EQ(memory.arena.allocate(64), a);
  (void)c;
}

TEST(Arena, GivesOutEverythingThenNothingThenEverythingAgain) {
  Memory memory(4);
  Arena& arena = memory.arena;
  size_t first_round = 0;
  for (int round = 0; round < 3; round++) {
    std::vector<void*> slots;
    while (void* slot = arena.allocate(1000)) slots.push_back(slot);
    if (round == 0) first_round = slots.size();
    EXPECT_EQ(slots.size(), first_round);
    EXPECT_EQ(slots.size(), arena.capacity() / Arena::block_bytes * ((Arena::block_bytes - 64) / 1024));
    EXPECT_EQ(arena.free_bytes(), 0u);
    EXPECT_EQ(arena.allocate(32), nullptr);
    arena.check_invariants();
    for (void* slot : slots) arena.release(slot);
    EXPECT_EQ(arena.free_bytes(), arena.capacity());
    arena.check_invariants();
  }
}

TEST(Arena, EmptyBlocksServeAnotherClass) {
  Memory memory(1);
  Arena& arena = memory.arena;
  // Each class keeps its last block although it is empty; the next class takes it.
  for (size_t bytes : {32u, 500u, 9000u, 32000u, 100u}) {
    std::vector<void*> slots;
    while (void* slot = arena.allocate(bytes)) slots.push_back(slot);
    EXPECT_GE(slots.size() * bytes * 5, arena.capacity() * 4 - Arena::block_bytes / 8) << bytes;
    for (void* slot : slots) arena.release(slot);
    arena.check_invariants();
  }
}

TEST(Arena, ReferencesNameSlots) {
  Memory memory(3);
  Arena& arena = memory.arena;
  std::vector<void*> slots;
  for (int i = 0; i < 6000; i++) slots.push_back(arena.allocate(32));
  for (void* slot : slots) {
    uint32_t reference = arena.reference_of(slot);
    ASSERT_NE(reference, 0u);
    ASSERT_TRUE(arena.holds(reference));
    ASSERT_EQ(arena.at(reference), slot);
  }
  EXPECT_EQ(arena.reference_of(nullptr), 0u);
  EXPECT_FALSE(arena.holds(0));
  EXPECT_FALSE(arena.holds(UINT32_MAX));
}

TEST(Arena, SpanSmallerThanABlockHasNothing) {
  std::vector<uint8_t> bytes(1000);
  Arena arena(bytes);
  EXPECT_EQ(arena.capacity(), 0u);
  EXPECT_EQ(arena.allocate(32), nullptr);
}

// Random sizes and lifetimes: no two slots overlap, nothing is lost.
TEST(Arena, RandomUseKeepsSlotsApart) {
  Memory memory(24);
  Arena& arena = memory.arena;
  std::mt19937 random(7);
  struct Held {
    uint8_t* at;
    size_t bytes;
    uint8_t fill;
  };
  std::vector<Held> held;
  size_t refused = 0;
  for (int step = 0; step < 60000; step++) {
    // Waves, so that classes come and go.
    bool grow = step / 6000 % 2 == 0;
    if (held.empty() || random() % 10 < (grow ? 7u : 3u)) {
      size_t bytes = 1 + (random() % 4 ? random() % 300 : random() % Arena::allocation_max);
      auto* at = static_cast<uint8_t*>(arena.allocate(bytes));
      if (!at) {
        refused++;
        ASSERT_EQ(arena.free_bytes(), 0u);
        continue;
      }
      auto fill = static_cast<uint8_t>(random());
      std::memset(at, fill, bytes);
      held.push_back({at, bytes, fill});
    } else {
      size_t which = random() % held.size();
      for (size_t i = 0; i < held[which].bytes; i++) ASSERT_EQ(held[which].at[i], held[which].fill);
      arena.release(held[which].at);
      held[which] = held.back();
      held.pop_back();
    }
    if (step % 500 == 0) {
      size_t used = 0;
      for (const Held& one : held) used += Arena::slot_bytes(one.bytes);
      ASSERT_EQ(arena.used_bytes(), used);
      arena.check_invariants();
    }
  }
  EXPECT_GT(refused, 0u);
  for (const Held& one : held) arena.release(one.at);
  EXPECT_EQ(arena.used_bytes(), 0u);
  EXPECT_EQ(arena.free_bytes(), arena.capacity());
  arena.check_invariants();
}

}  // namespace
}  // namespace talaria::base
