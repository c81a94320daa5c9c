// The product's broker inside the load's process, on one end of a pair of rings: a real worker on its own lcore, and a
// real control plane on the main thread that forgets everything at the end. What talariad has beside these (port,
// control socket, log) is not there.
#pragma once

#include <cstdint>
#include <memory>

#include "control/memory_store.h"
#include "control/mesh_link.h"
#include "control/plane.h"
#include "core/base/hash.h"
#include "core/worker/worker.h"
#include "dpdk-app/core_loop.h"
#include "dpdk-app/memory.h"
#include "dpdk-app/settings.h"

namespace talaria::app {

class LoadBroker {
 public:
  // `settings`: address, memory, huge pages; `connections`: how many there will be. The device outlives the broker.
  LoadBroker(const Settings& settings, size_t connections, unsigned lcore, net::Device& device, base::HashKey key,
             const TscClock& clock);
  ~LoadBroker();
  LoadBroker(const LoadBroker&) = delete;

  void start();
  // The control plane's turn; true if it did something.
  bool poll();
  // Ends the loop and waits for it. False: it does not end.
  bool stop();

  uint64_t message_bytes_used() const { return worker_->counters().message_bytes_used.value(); }
  const base::FineHistogram& turn_lengths() const { return loop_.turn_lengths; }
  const worker::Worker& worker() const { return *worker_; }

 private:
  unsigned lcore_;
  TscClock clock_;
  PageMemory page_memory_;
  worker::WorkerConfig config_;
  size_t message_bytes_;
  net::Device& device_;
  worker::Mesh mesh_{1};
  std::unique_ptr<Pages> messages_;
  std::unique_ptr<control::MemoryStore> store_;
  std::unique_ptr<control::MeshLink> link_;
  std::unique_ptr<control::Plane> plane_;
  std::unique_ptr<worker::Worker> worker_;
  CoreLoop loop_;
  bool running_ = false;
};

}  // namespace talaria::app
