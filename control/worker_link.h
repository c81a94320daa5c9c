// The control plane's end of one worker: commands in, reports out. In talariad it is a pair of mailboxes, in the
// simulator a pair of queues. The control thread alone calls it. It owns what lies in it: pointers that pass (see
// core/worker/control_messages.h) and were never taken out are deleted by whoever takes the link apart.
#pragma once

#include "core/worker/control_messages.h"

namespace talaria::control {

class WorkerLink {
 public:
  virtual ~WorkerLink() = default;

  // False: no room now. The command (and what it owns) stays with the caller, who offers it again later.
  virtual bool send(const worker::ControlCommand& command) = 0;
  // False: nothing waits.
  virtual bool receive(worker::ControlReport& report) = 0;
};

}  // namespace talaria::control
