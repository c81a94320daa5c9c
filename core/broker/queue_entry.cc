#include "core/broker/queue_entry.h"

#include <utility>

namespace talaria::broker {
namespace {

uint32_t rank_of(const base::Arena& arena, uint32_t reference) {
  return reference ? entry_at(arena, reference)->holder_or_rank : 0;
}

// Merges two leftist heaps. The walk goes down the two right spines, of at most log2(n + 1) nodes each, so the depth of
// the recursion is at most 64 for any number of entries that 32 bits can name.
uint32_t merge(base::Arena& arena, uint32_t x, uint32_t y) {
  if (!x) return y;
  if (!y) return x;
  if (entry_at(arena, y)->position < entry_at(arena, x)->position) std::swap(x, y);
  QueueEntry* top = entry_at(arena, x);
  top->b = merge(arena, top->b, y);
  entry_at(arena, top->b)->generation = x;
  if (rank_of(arena, top->a) < rank_of(arena, top->b)) std::swap(top->a, top->b);
  top->holder_or_rank = rank_of(arena, top->b) + 1;
  return x;
}

}  // namespace

void ReturnedHeap::push(base::Arena& arena, QueueEntry* entry) {
  entry->a = 0;
  entry->b = 0;
  entry->holder_or_rank = 1;
  entry->generation = 0;
  root = merge(arena, root, arena.reference_of(entry));
  entry_at(arena, root)->generation = 0;
}

QueueEntry* ReturnedHeap::pop(base::Arena& arena) {
  QueueEntry* top = entry_at(arena, root);
  root = merge(arena, top->a, top->b);
  if (root) entry_at(arena, root)->generation = 0;
  return top;
}

// Its subtrees take its place; from there on up each rank is right again after at most log2(n + 1) steps, since where
// it changes the rank above is greater.
void ReturnedHeap::remove(base::Arena& arena, QueueEntry* entry) {
  const uint32_t above = entry->generation;
  if (!above) {
    pop(arena);
    return;
  }
  const uint32_t below = merge(arena, entry->a, entry->b);
  if (below) entry_at(arena, below)->generation = above;
  QueueEntry* at = entry_at(arena, above);
  (at->a == arena.reference_of(entry) ? at->a : at->b) = below;
  for (;;) {
    if (rank_of(arena, at->a) < rank_of(arena, at->b)) std::swap(at->a, at->b);
    const uint32_t rank = rank_of(arena, at->b) + 1;
    if (rank == at->holder_or_rank || !at->generation) {
      at->holder_or_rank = rank;
      return;
    }
    at->holder_or_rank = rank;
    at = entry_at(arena, at->generation);
  }
}

QueueEntry* ReturnedHeap::take_any(base::Arena& arena) {
  // The subtrees become heaps of their own, in a list by `generation`, which nothing else uses in a heap.
  QueueEntry* top = entry_at(arena, root);
  root = top->generation;
  for (uint32_t subtree : {top->a, top->b}) {
    if (!subtree) continue;
    entry_at(arena, subtree)->generation = root;
    root = subtree;
  }
  return top;
}

}  // namespace talaria::broker
