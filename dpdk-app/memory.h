// Memory for a worker, reserved at start: from DPDK's huge pages on the worker's NUMA node, or (--no-huge) ordinary
// pages that the kernel may make huge ones of, touched by the worker's own core so that they lie on its node.
#pragma once

#include <cstddef>
#include <memory_resource>

#include "core/base/bytes.h"

namespace talaria::app {

// Hands out large pieces; every piece has pages of its own. For few and long-lived allocations: a worker's message
// memory and TCP's arrays. Small pieces come from the heap. When nothing is left it ends the process with a sentence
// (memory was counted before: see missing_memory). Any thread.
class PageMemory final : public std::pmr::memory_resource {
 public:
  // `touch`: every page is there, and near the calling thread, when it is handed out. (Huge pages of DPDK always are.)
  PageMemory(bool huge_pages, int numa_node, bool touch = false)
      : huge_pages_(huge_pages), touch_(touch), numa_node_(numa_node) {}

 private:
  static constexpr size_t own_pages_from = size_t{64} << 10;

  void* do_allocate(size_t bytes, size_t alignment) override;
  void do_deallocate(void* memory, size_t bytes, size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  bool huge_pages_;
  bool touch_;
  int numa_node_;
};

// A span out of a PageMemory, given back at the end.
class Pages {
 public:
  Pages(PageMemory& memory, size_t bytes)
      : memory_(memory), span_(static_cast<uint8_t*>(memory.allocate(bytes, alignment)), bytes) {}
  ~Pages() { memory_.deallocate(span_.data(), span_.size(), alignment); }
  Pages(const Pages&) = delete;

  base::MutableBytes span() const { return span_; }

 private:
  static constexpr size_t alignment = size_t{2} << 20;

  PageMemory& memory_;
  base::MutableBytes span_;
};

}  // namespace talaria::app
