// The broker of a run: workers, mesh and the real control plane with a store that forgets, on one simulated card. Each
// worker and the plane is an actor of its own, so that they run in any order and at any pace.
#pragma once

#include <sys/mman.h>

#include <memory>
#include <string>
#include <vector>

#include "control/commands.h"
#include "control/memory_store.h"
#include "control/message_door.h"
#include "control/plane.h"
#include "control/statistics.h"
#include "control/worker_link.h"
#include "core/worker/worker.h"
#include "tests/sim/nic.h"
#include "tests/sim/sabotage.h"

namespace talaria::sim {

struct BrokerConfig {
  broker::WorkerIndex workers = 1;
  NicConfig nic;
  Link up, down;
  uint32_t address = 0;
  tcp::Config tcp;
  amqp091::session::Config session;
  size_t message_bytes = 16 << 20;  // of each worker
  Pace pace;
  Duration move_every{};  // a queue moves, by force, this often on the average; 0: never
};

// Nobody asks for them.
struct NoStatistics final : control::Statistics {
  broker::WorkerIndex workers() const override { return 0; }
  control::WorkerFigures worker(broker::WorkerIndex) const override { return {}; }
  std::vector<control::LayerCount> counters(broker::WorkerIndex) const override { return {}; }
  std::vector<control::PortFigures> ports() const override { return {}; }
  bool connection(const broker::SessionAddress&, control::ConnectionFigures&) const override { return false; }
};

class BrokerNode {
 public:
  // The actors are added to the world.
  BrokerNode(World& world, Network& network, const BrokerConfig& config, Plant plant);
  ~BrokerNode();

  size_t workers() const { return workers_.size(); }
  const control::Plane& plane() const { return *plane_; }
  // Queues stay where they are, or are going.
  void stop_moves();
  // In queues, or on their way to or from one.
  uint64_t messages() const;
  // Events and traces that there was no memory or no room for.
  uint64_t announcements_lost() const;
  uint64_t traces_lost() const;
  uint64_t replies_dropped() const;
  // Of a queue of the first vhost, as the operator would see it.
  uint64_t ready(const std::string& queue) const;
  // Connections that it believes in.
  uint64_t sessions() const;
  bool planted() const { return hasty_ || forgot_ || (saboteur_ && saboteur_->done()); }
  // Nobody is connected any more: nothing is held, no message, no packet. Throws Failure otherwise.
  void check_all_home() const;

 private:
  struct WorkerActor;
  struct PlaneActor;
  struct Mover;
  // Memory that is touched only where it is used, so that a run is cheap.
  class Pages {
   public:
    explicit Pages(size_t bytes);
    ~Pages();
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;
    base::MutableBytes bytes() const { return {static_cast<uint8_t*>(at_), bytes_}; }

   private:
    void* at_;
    size_t bytes_;
  };

  Nic nic_;
  worker::Mesh mesh_;
  std::vector<std::unique_ptr<Pages>> memory_;
  std::vector<std::unique_ptr<WorkerActor>> workers_;
  control::MemoryStore store_;
  bool hasty_ = false, forgot_ = false;
  std::vector<std::unique_ptr<control::WorkerLink>> links_;
  std::unique_ptr<Saboteur> saboteur_;
  std::unique_ptr<control::Plane> plane_;
  NoStatistics statistics_;
  std::unique_ptr<control::Commands> commands_;
  std::unique_ptr<control::MessageDoor> door_;
  std::unique_ptr<PlaneActor> plane_actor_;
  std::unique_ptr<Mover> mover_;
};

}  // namespace talaria::sim
