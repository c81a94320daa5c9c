// The control plane's end of a worker's pair of mailboxes.
#pragma once

#include "control/worker_link.h"
#include "core/worker/mesh.h"

namespace talaria::control {

class MeshLink : public WorkerLink {
 public:
  explicit MeshLink(worker::ControlLane& lane) : lane_(lane) {}
  bool send(const worker::ControlCommand& command) override { return lane_.commands.push(command); }
  bool receive(worker::ControlReport& report) override { return lane_.reports.pop(report); }

 private:
  worker::ControlLane& lane_;
};

}  // namespace talaria::control
