// What the profile `realtime` asks of the kernel. Main thread, but for `become_fifo` and `touch_stack`, which are for
// the calling one.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "core/base/time.h"
#include "dpdk-app/exit_status.h"

namespace talaria::app {

// Before anything large is allocated: memory that was taken from the kernel once is kept, so that no page faults later
// and no other core is interrupted for the unmapping.
void keep_heap();

struct LockedMemory {
  uint64_t mib = 0;
  uint64_t page_faults = 0;  // that it took
  base::Duration took{};
};
// Locks what the process has and will have: every page of it is there when this returns. Refused without the right to.
std::expected<LockedMemory, Failure> lock_memory();

// Holds the processors out of sleep states that they leave late, all of the host, as long as it lives.
class SleepStatesOut {
 public:
  SleepStatesOut();
  ~SleepStatesOut();
  SleepStatesOut(const SleepStatesOut&) = delete;

  bool held() const { return descriptor_ >= 0; }
  const std::string& reason() const { return reason_; }  // why not

 private:
  int descriptor_ = -1;
  std::string reason_;
};

// The calling thread runs under SCHED_FIFO, below the kernel's own threads of that class. 0, or an errno.
int become_fifo();

// The pages of the calling thread's stack as deep as a worker ever goes.
void touch_stack();

}  // namespace talaria::app
