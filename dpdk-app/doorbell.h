// Wakes one worker that sleeps until there is work. The worker says when it listens; who has put something into one of
// its mailboxes rings. Ringing for one that does not listen costs a look at a cache line and nothing else.
//
// Nothing is missed: the worker listens, then looks into every mailbox, then sleeps. A colleague that put something
// there and did not see it listening looks again after its next turn, and before it sleeps itself.
#pragma once

#include <atomic>

#include "core/base/cache_line.h"

namespace talaria::app {

class alignas(base::cache_line) Doorbell {
 public:
  Doorbell();
  ~Doorbell();
  Doorbell(const Doorbell&) = delete;

  // ---- anybody
  bool listens() const { return listens_.load(std::memory_order_relaxed); }
  void ring();
  // Of a thread that does not come back after a turn: sees whoever listened before this.
  void ring_if_listening() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (listens()) ring();
  }

  // ---- the worker
  void listen() {
    listens_.store(true, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  void stop_listening() { listens_.store(false, std::memory_order_relaxed); }
  int descriptor() const { return descriptor_; }  // readable after it was rung
  void take_rings();

 private:
  std::atomic<bool> listens_ = false;
  int descriptor_;
};
static_assert(base::has_lines_of_its_own<Doorbell>, "all colleagues look at it, so nobody writes beside it");

}  // namespace talaria::app
