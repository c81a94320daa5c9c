// One datapath core: everything it owns, and the walk.
//
// A worker is a single-threaded program. It owns one Device queue pair of each network port, the TCP connections and
// AMQP sessions that arrive there, and the queues homed here with their messages; it shares nothing with other workers
// but the mailboxes of the Mesh. `poll(now)` is one turn of the walk that docs/ARCHITECTURE.md describes, every step of
// it bounded; the caller (dpdk-app's core loop, the simulator) passes the time in and decides what to do when a turn
// found nothing.
//
// Memory: message memory is injected; everything else is reserved at construction from the numbers in WorkerConfig. No
// turn allocates on the message path; topology changes and handshakes may.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <span>
#include <vector>

#include "core/amqp091/session/sessions.h"
#include "core/base/arena.h"
#include "core/base/bytes.h"
#include "core/base/cache_line.h"
#include "core/base/hash.h"
#include "core/base/time.h"
#include "core/broker/engine.h"
#include "core/broker/message_pool.h"
#include "core/broker/outbox.h"
#include "core/net/host.h"
#include "core/tcp/stack.h"
#include "core/worker/counters.h"
#include "core/worker/mesh.h"

namespace talaria::worker {

struct WorkerConfig {
  WorkerIndex index = 0;
  std::vector<net::HostConfig> hosts = std::vector<net::HostConfig>(1);  // one for each network port
  tcp::Config tcp;
  broker::MessagePool::Marks marks;
  amqp091::session::Config session;
  uint16_t amqp_port = 5672;
  // For WorkerCounters::message_latency alone; everything else goes by the time that `poll` is told.
  amqp091::session::ClockReader clock;
  base::MutableBytes message_memory;  // for messages and queue entries; stays the caller's, outlives all workers
  // Secret, random, the same for all workers of a process: sequence numbers, cookies and hashes of what strangers send.
  base::HashKey key;
  // Where the TCP stack's big arrays come from.
  std::pmr::memory_resource* memory = std::pmr::get_default_resource();

  // The most of each kind that one turn takes up; what is left is first next turn.
  size_t commands_per_turn = 64;
  size_t peer_messages_per_turn = 1024;  // of each kind, over all peers
  size_t deliveries_per_turn = 1024;

  // At least so many connections fit, with a chunk of send and of receive memory more for each that did not.
  void make_room_for(size_t connections) {
    if (connections <= tcp.connections) return;
    tcp.send_chunks += connections - tcp.connections;
    tcp.receive_chunks += connections - tcp.connections;
    tcp.connections = session.sessions = connections;
  }
};

// Stands on cache lines of its own, counters and all: the control thread reads those, nobody else touches anything
// here.
class alignas(base::cache_line) Worker {
 public:
  // Devices, as many as there are hosts, and mesh outlive the worker; both may be shared out to other workers, each
  // with its own end.
  Worker(const WorkerConfig& config, std::span<net::Device* const> devices, Mesh& mesh);
  Worker(const WorkerConfig& config, net::Device& device, Mesh& mesh) : Worker(config, std::array{&device}, mesh) {}
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // One turn. True if it found anything to do.
  bool poll(base::Time now);

  // The latest time at which `poll` must be called again although no packet and no mailbox message came; `now` or
  // earlier when work is left over.
  base::Time next_deadline() const;
  // Every client is gone after a Drain command.
  bool drained() const { return drained_; }
  // A Stop command was taken: there is nothing more to poll for.
  bool stopped() const { return stopped_; }

  const WorkerCounters& counters() const { return counters_; }
  WorkerCounters& counters() { return counters_; }
  size_t ports() const { return hosts_.size(); }
  const net::Host& host(size_t port = 0) const { return *hosts_[port]; }
  const tcp::Stack& stack() const { return stack_; }
  const amqp091::session::Sessions& sessions() const { return sessions_; }
  const broker::Engine& engine() const { return engine_; }
  const broker::MessagePool& pool() const { return pool_; }

  // For the simulator and tests: what must hold between two turns.
  void check_invariants() const;

 private:
  // The steps of a turn, in order. Each returns whether it found anything.
  bool take_commands(base::Time now);
  bool take_peer_messages(base::Time now);
  bool receive(base::Time now);
  void visit_connections(base::Time now);
  bool dispatch(base::Time now);
  bool transmit(base::Time now);
  void send_peer_messages();
  void send_reports();

  void look_what_is_taken();
  void take_events_of(Lane& lane, base::Time now);
  void pass_events(base::Time now);
  void pass_event(const broker::Event& event, base::Time now);
  void share_neighbors(uint8_t port);
  void share_network_changes(uint8_t port, base::Time now);
  void tell_network_changes();
  void pass_heard(uint8_t port);
  void on_network_change(const net::NetworkChange& change, base::Time now);
  void share_icmp_errors(const net::Host& host);

  void on_command(const Apply& command, base::Time now);
  void on_command(const PassAnswer& command, base::Time now);
  void on_command(const CheckDelete& command, base::Time now);
  void on_command(const PurgeQueue& command, base::Time now);
  void on_command(const CloseSession& command, base::Time now);
  void on_command(const RevokeConsumer& command, base::Time now);
  void on_command(const Announce& command, base::Time now);
  void on_command(const LinkUp& command, base::Time now);
  void on_command(const WatchFrames& command, base::Time now);
  void on_command(const Drain& command, base::Time now);
  void on_command(const Stop& command, base::Time now);

  WorkerConfig config_;
  Mesh& mesh_;
  WorkerCounters counters_;
  std::vector<std::unique_ptr<net::Host>> hosts_;  // by port
  tcp::Stack stack_;
  base::Arena arena_;
  broker::Outbox outbox_;
  broker::MessagePool pool_;
  broker::Engine engine_;
  amqp091::session::Sessions sessions_;

  std::vector<ControlReport> reports_;                       // not yet in the mailbox, for want of room
  std::vector<broker::Event> events_;                        // being passed on; swapped with the outbox's
  std::vector<broker::Deliver> peer_deliveries_;             // a run of them, on its way from a mailbox to the sessions
  std::vector<OnPort<net::NetworkChange>> network_changes_;  // some workers do not know them yet
  std::vector<size_t> network_changes_told_;                 // to each worker, from the front
  uint64_t applied_ = 0;                                     // the newest topology change here
  uint64_t applied_reported_ = 0;
  bool draining_ = false;
  bool drained_ = false;
  base::Time polled_{};     // the last poll's time
  bool left_over_ = false;  // a bound cut this turn short
  bool stopped_ = false;
};
static_assert(base::has_lines_of_its_own<Worker>, "workers are neighbours in memory");

}  // namespace talaria::worker
