// What planted bugs do to the mailboxes between workers, and to the control plane's; see plant.h.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "control/worker_link.h"
#include "core/worker/mesh.h"
#include "tests/sim/plant.h"
#include "tests/sim/world.h"

namespace talaria::sim {

// Gets between the workers' turns and spoils one message on its way.
class Saboteur final : public Actor {
 public:
  Saboteur(worker::Mesh& mesh, Plant plant, Random random)
      : mesh_(mesh), plant_(plant), occasions_left_(random.between(1, 3)) {}

  std::string_view name() const override { return "saboteur"; }
  bool poll(Time now) override;
  Time next_deadline() const override { return base::never; }
  bool done() const { return done_ || at_it_; }

 private:
  // Takes all operations out of the lane and puts back what is left of them.
  void spoil_operations(broker::WorkerIndex from, broker::WorkerIndex to);
  void spoil_events(broker::WorkerIndex from, broker::WorkerIndex to);
  void swap_publishes(std::vector<broker::Operation>& operations);
  void hasten_last_word(std::vector<broker::Operation>& operations);
  bool is_occasion() { return !done_ && --occasions_left_ == 0 && (done_ = true); }

  worker::Mesh& mesh_;
  Plant plant_;
  uint64_t occasions_left_;
  bool done_ = false;
  bool at_it_ = false;  // time and again
};

// A control link that reports a change as applied as soon as it is sent, and delivers it late.
class HastyLink final : public control::WorkerLink {
 public:
  // `done` is set with the first change; it outlives the link.
  HastyLink(World& world, worker::ControlLane& lane, bool& done) : world_(world), lane_(lane), done_(done) {}

  bool send(const worker::ControlCommand& command) override;
  bool receive(worker::ControlReport& report) override;

 private:
  World& world_;
  worker::ControlLane& lane_;
  bool& done_;
  std::deque<worker::ControlReport> hasty_;
  // The plane believes that nobody looks at its changes any more.
  std::vector<std::unique_ptr<broker::TopologyChange>> copies_;
};

// A control link on which one of what is announced is lost.
class ForgetfulLink final : public control::WorkerLink {
 public:
  // `done` is set then; it outlives the link.
  ForgetfulLink(worker::ControlLane& lane, Random random, bool& done)
      : lane_(lane), left_(random.between(1, 40)), done_(done) {}

  bool send(const worker::ControlCommand& command) override;
  bool receive(worker::ControlReport& report) override { return lane_.reports.pop(report); }

 private:
  worker::ControlLane& lane_;
  uint64_t left_;
  bool& done_;
};

// A control link on which no consumer is revoked.
class LenientLink final : public control::WorkerLink {
 public:
  explicit LenientLink(worker::ControlLane& lane) : lane_(lane) {}

  bool send(const worker::ControlCommand& command) override;
  bool receive(worker::ControlReport& report) override { return lane_.reports.pop(report); }

 private:
  worker::ControlLane& lane_;
};

}  // namespace talaria::sim
