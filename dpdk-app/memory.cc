#include "dpdk-app/memory.h"

#include <rte_malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <algorithm>
#include <new>

#include "dpdk-app/exit_status.h"

namespace talaria::app {
namespace {

constexpr size_t page_bytes = 4096;

[[noreturn]] void out_of_memory(size_t bytes) {
  fprintf(stderr, "talariad: there is no memory for %zu MiB\n", bytes >> 20);
  exit(exit_memory);
}

// mmap knows only page alignment: map more and give the ends back.
void* map_aligned(size_t bytes, size_t alignment) {
  alignment = std::max(alignment, page_bytes);
  const size_t mapped = bytes + alignment;
  void* memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  auto* begin = static_cast<uint8_t*>(memory);
  const size_t before = (alignment - reinterpret_cast<uintptr_t>(begin) % alignment) % alignment;
  if (before != 0) munmap(begin, before);
  if (const size_t behind = mapped - before - bytes; behind != 0) munmap(begin + before + bytes, behind);
  madvise(begin + before, bytes, MADV_HUGEPAGE);  // a wish; without it the pages are small
  return begin + before;
}

size_t whole_pages(size_t bytes) { return (bytes + page_bytes - 1) / page_bytes * page_bytes; }

}  // namespace

void* PageMemory::do_allocate(size_t bytes, size_t alignment) {
  if (bytes < own_pages_from) return ::operator new (bytes, std::align_val_t{alignment});
  void* memory = huge_pages_ ? rte_malloc_socket("talaria", bytes, static_cast<unsigned>(alignment), numa_node_)
                             : map_aligned(whole_pages(bytes), alignment);
  if (memory == nullptr) out_of_memory(bytes);
  if (touch_ && !huge_pages_)
    for (size_t at = 0; at < bytes; at += page_bytes) static_cast<volatile uint8_t*>(memory)[at] = 0;
  return memory;
}

void PageMemory::do_deallocate(void* memory, size_t bytes, size_t alignment) {
  if (bytes < own_pages_from)
    ::operator delete (memory, std::align_val_t{alignment});
  else if (huge_pages_)
    rte_free(memory);
  else
    munmap(memory, whole_pages(bytes));
}

}  // namespace talaria::app
