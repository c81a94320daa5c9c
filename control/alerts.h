// Thresholds of a queue (x-alert-up, x-alert-down, and of bytes): whoever listens to events is told when what is ready
// there passes them, upwards and downwards. The control plane looks at the queue's counters, which anybody may read:
// the datapath does nothing for it, and a peak that is over before somebody looks is not told.
#pragma once

#include <cstdint>
#include <optional>

namespace talaria::control {

// From `up` on it is raised, until there is no more than `down`.
struct AlertLimit {
  uint64_t up = 0;
  uint64_t down = 0;

  bool operator==(const AlertLimit&) const = default;
};

struct Alert {
  AlertLimit limit;
  bool raised = false;

  // Whether that changed.
  bool look(uint64_t value) {
    if (raised ? value > limit.down : value < limit.up) return false;
    raised = !raised;
    return true;
  }
};

struct QueueAlerts {
  std::optional<Alert> messages;  // ready ones
  std::optional<Alert> bytes;     // of their bodies

  bool any() const { return messages || bytes; }
};

}  // namespace talaria::control
