// A whole load: its host, its TCP stack, all its connections, and the run from the first SYN to the last.
//
//   connecting -> declaring -> subscribing -> opening -> warming -> measuring -> draining -> deleting -> closing ->
//   ended
//   with messages at rest: ... declaring -> opening -> filling -> resting -> subscribing -> draining -> ...
//                                     (anything that goes wrong on the way: -> failed, with a reason)
//
// One thread calls everything but phase() and the counters; it reads the clock between the two halves of a turn, so
// that what came in is timed when it was taken from the port, and not a turn later:
//
//   driver.receive(now);
//   now = clock.now();
//   driver.turn(now);
//
// Messages that are due in the measured window are timed, whenever they arrive; rates count what was written to TCP and
// what arrived whole between its two ends.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/counters.h"
#include "core/base/hash.h"
#include "core/net/host.h"
#include "core/tcp/stack.h"
#include "load/arrivals.h"
#include "load/connection.h"
#include "load/consumer.h"
#include "load/plan.h"
#include "load/producer.h"
#include "load/result.h"
#include "load/routes.h"

namespace talaria::load {

enum class Phase : uint8_t {
  connecting,
  declaring,
  subscribing,
  opening,
  resting,
  filling,
  warming,
  measuring,
  draining,
  deleting,
  closing,
  ended,
  failed,
};
std::string_view to_text(Phase phase);

struct DriverConfig {
  net::HostConfig host;
  tcp::Config tcp;
  tcp::Endpoint broker;
  base::HashKey key;
  std::pmr::memory_resource* memory = std::pmr::get_default_resource();
  // What is known to have no broker behind it: messages need not arrive, nor be missed.
  bool against_sink = false;
  bool publishes = true;  // false: producers connect, and say nothing
};

// A TCP configuration with room for the connections of the plan.
tcp::Config tcp_config_for(const Plan& plan);

class Driver {
 public:
  // The device outlives the driver.
  Driver(const DriverConfig& config, const Plan& plan, net::Device& device, base::Time now);
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  // One turn. `turn` answers whether there was anything to do.
  void receive(base::Time now) { received_ = host_.receive(now); }
  bool turn(base::Time now);

  bool over() const { return phase() == Phase::ended || phase() == Phase::failed; }
  // After that.
  Result result() const;

  // Nothing is being measured: a turn without work may be followed by a moment's sleep, which leaves a shared core to
  // the control plane.
  bool may_rest() const { return phase() < Phase::filling || phase() > Phase::draining; }
  // What is measured happens.
  bool measuring() const {
    const Phase now = phase();
    return now == Phase::measuring || now == Phase::filling || (plan_.at_rest != 0 && now == Phase::draining);
  }

  // ---- any thread
  Phase phase() const { return phase_.load(std::memory_order_acquire); }
  uint64_t published() const { return published_.value(); }
  uint64_t delivered() const { return delivered_.value(); }

 private:
  enum class Role : uint8_t { steward, producer, consumer };
  // Declares, counts and deletes. There are several, since whoever declares waits for each answer.
  struct Steward {
    std::unique_ptr<Connection> connection;
    uint32_t answers = 0;  // still to come

    template <class Method>
    void ask(const Method& method);
  };
  // Things to ask the broker one by one, by whichever steward has time. One job is done before the next begins.
  struct Job {
    uint32_t count = 0;
    void (Driver::*ask)(uint32_t index, Steward& steward) = nullptr;
    uint32_t next = 0;
  };
  struct Place {
    Role role = Role::steward;
    uint32_t index = 0;
  };

  // ---- driver.cc
  void take_events(base::Time now);
  void read(const Place& place, base::Time now);
  Connection& connection_at(const Place& place);
  void publish(base::Time now);
  uint64_t allowed_in_flight() const;
  void activate(uint32_t producer);
  void fail(std::string reason);

  // ---- driver_phases.cc
  void step(base::Time now);
  void enter(Phase phase, base::Time now);
  std::unique_ptr<Connection> connect(Place place, base::Time now);
  bool do_next_job();
  void declare_exchange(uint32_t, Steward& steward);
  void declare_queue(uint32_t queue, Steward& steward);
  void declare_binding(uint32_t number, Steward& steward);
  void count_queue(uint32_t queue, Steward& steward);
  void delete_queue(uint32_t queue, Steward& steward);
  void delete_exchange(uint32_t, Steward& steward);
  void rest(base::Time now);
  void subscribe(base::Time now);
  void open_producers(base::Time now);
  void drain(base::Time now);
  void close_all();
  Result::Totals totals(base::Time now) const;

  const Plan plan_;
  const tcp::Endpoint broker_;
  const bool against_sink_;
  const bool publishes_any_;
  net::Host host_;
  tcp::Stack stack_;
  size_t received_ = 0;

  const std::vector<Route> routes_;
  const Publishes publishes_;
  std::vector<uint64_t> sequences_;
  Arrivals arrivals_;
  base::FineHistogram confirm_latency_;
  base::FineHistogram turn_lengths_;
  base::Duration send_lag_max_{};  // how much later than due a message was written, at most

  std::vector<Place> places_;  // by slot of the TCP connection
  std::vector<Steward> stewards_;
  std::vector<Job> jobs_;     // the first is the one at hand
  uint64_t answered_ = 0;     // to stewards, in all
  uint64_t queue_depth_ = 0;  // messages in the queues that were counted
  Result::Rest rest_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::unique_ptr<Producer>> producers_;
  std::vector<std::unique_ptr<Consumer>> consumers_;
  uint16_t next_port_ = 1024;
  uint32_t ready_ = 0;  // consumers subscribed, then producers ready
  uint32_t gone_ = 0;

  // Who may publish: each stands at most once in the list. Paced: those with messages due.
  std::vector<uint32_t> active_;
  std::vector<uint8_t> is_active_;
  std::vector<uint8_t> is_ready_;
  std::vector<uint64_t> due_;      // paced: of each producer, not yet written
  std::vector<uint32_t> touched_;  // consumers that something came for, this turn
  Schedule schedule_;
  uint64_t scheduled_ = 0;  // messages given to producers

  std::atomic<Phase> phase_{Phase::connecting};
  base::Time last_turn_{};
  base::Time phase_since_{};
  base::Time last_progress_{};
  uint64_t last_count_ = 0;
  Window window_;
  Result::Totals at_begin_, at_end_, at_last_;
  std::string failure_;
  base::Counter published_, delivered_;
};

}  // namespace talaria::load
