// The control plane's end of a worker's pair of mailboxes.
#pragma once

#include "control/worker_link.h"
#include "core/worker/mesh.h"
#include "dpdk-app/doorbell.h"

namespace talaria::app {

class MeshLink final : public control::WorkerLink {
 public:
  // `bell`: of a worker that sleeps until it is woken; none: it looks by itself.
  explicit MeshLink(worker::ControlLane& lane, Doorbell* bell = nullptr) : lane_(lane), bell_(bell) {}
  bool send(const worker::ControlCommand& command) override {
    const bool sent = lane_.commands.push(command);
    if (bell_ != nullptr) bell_->ring_if_listening();
    return sent;
  }
  bool receive(worker::ControlReport& report) override { return lane_.reports.pop(report); }

 private:
  worker::ControlLane& lane_;
  Doorbell* bell_;
};

}  // namespace talaria::app
