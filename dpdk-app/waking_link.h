// The control plane's link to a worker that may sleep until it is woken: what is sent wakes it.
#pragma once

#include "control/mesh_link.h"
#include "dpdk-app/doorbell.h"

namespace talaria::app {

class WakingLink final : public control::MeshLink {
 public:
  // `bell`: none: the worker looks by itself.
  WakingLink(worker::ControlLane& lane, Doorbell* bell) : MeshLink(lane), bell_(bell) {}
  bool send(const worker::ControlCommand& command) override {
    const bool sent = MeshLink::send(command);
    if (bell_ != nullptr) bell_->ring_if_listening();
    return sent;
  }

 private:
  Doorbell* bell_;
};

}  // namespace talaria::app
