// All workers of the process with what they stand on: devices on the ports, memory, mailboxes, loops on their lcores.
// Made, started and joined by the main thread; what runs in between belongs to the workers.
//
//   port queue 0 --- PortEnd ---- Worker 0 --- CoreLoop on lcore 1       one queue a worker where the port spreads,
//   port queue 1 --- PortEnd ---- Worker 1 --- CoreLoop on lcore 2       else one queue for all (spread.h)
//                                     '--- Mesh ---'
//
// Each worker has an end of every port.
#pragma once

#include <memory>
#include <vector>

#include "core/base/cache_line.h"
#include "core/base/hash.h"
#include "core/worker/worker.h"
#include "dpdk-app/core_loop.h"
#include "dpdk-app/memory.h"
#include "dpdk-app/port.h"

namespace talaria::app {

// Pure: what the settings mean for worker `index`, memory and keys left out.
worker::WorkerConfig worker_config(const Settings& settings, worker::WorkerIndex index);
// Pure: packets such a worker may hold.
PacketNeeds packet_needs(const worker::WorkerConfig& config);
// Pure: what one worker takes beside its message memory, TCP's arrays above all.
size_t worker_overhead_mib(const worker::WorkerConfig& config);

struct Secrets {
  base::HashKey worker;  // the same for all workers: each can check a SYN cookie another one made
  base::HashKey spread;
  base::HashKey interface;  // kept: the addresses that are made of it are the same at the next start
};

class Datapath {
 public:
  // Each worker is made on its own lcore, so that its memory lies near. `isolated` says which processors are.
  // `fifo`: which workers run under SCHED_FIFO.
  Datapath(const Settings& settings, const CorePlan& plan, const std::vector<unsigned>& isolated,
           const std::vector<bool>& fifo, const Ports& ports, const Secrets& secrets, const TscClock& clock);
  // Workers were taken apart, or never started.
  ~Datapath();
  Datapath(const Datapath&) = delete;

  // The first errno of a worker that was to run under SCHED_FIFO and may not; 0: all do. They work without it.
  int fifo_error() const;

  // The ports run.
  void start(const Ports& ports);
  // Waits for loops whose worker took a Stop command. False: one still runs after `patience`.
  bool join(base::Duration patience);
  // After that; while the control plane, whose counters the queues write to, is still there.
  void take_workers_apart();

  worker::Mesh& mesh() { return mesh_; }
  size_t size() const { return cores_.size(); }
  const worker::Worker& worker(size_t index) const { return *cores_[index]->worker; }
  // What went through the queue pair (or the ring) of this worker at a port.
  const DeviceCounters& device_counters(size_t index, size_t port) const { return *cores_[index]->ends[port].counters; }
  const base::FineHistogram& turn_lengths(size_t index) const { return cores_[index]->loop.turn_lengths; }
  // "talaria0 (tap)": ports that do not wake a worker that sleeps.
  const std::vector<std::string>& ports_unheard() const { return ports_unheard_; }
  // Of a worker that sleeps until it is woken; null: it is not.
  Doorbell* doorbell(size_t index) const { return cores_[index]->bell.get(); }

 private:
  // On cache lines of its own: the worker's loop writes its turns' lengths here.
  struct alignas(base::cache_line) Core {
    std::vector<PortEnd> ends;  // by port
    PageMemory page_memory;
    worker::WorkerConfig config;
    std::unique_ptr<Pages> messages;
    std::unique_ptr<worker::Worker> worker;
    std::unique_ptr<Doorbell> bell;
    std::unique_ptr<Sleeper> sleeper;
    CoreLoop loop;
    worker::Mesh* mesh = nullptr;
    size_t message_bytes = 0;
    bool touch_memory = false;
    bool wants_fifo = false;
    int fifo_error = 0;

    Core(bool huge_pages, int numa_node, bool touch) : page_memory(huge_pages, numa_node, touch) {}
    void furnish();  // on its lcore
  };
  void make_sleepers(const Ports& ports);

  worker::Mesh mesh_;
  std::vector<std::unique_ptr<Core>> cores_;
  std::vector<std::string> ports_unheard_;
};

}  // namespace talaria::app
