// The simulated world: a virtual clock, a heap of things that will happen, and the actors that live in it.
//
// A run is a chain of instants. In each instant the due events happen, then every actor is polled, in a random order,
// round after round until nobody does anything any more; then their invariants are checked, and the clock jumps to
// whatever comes first: an event, or an actor's deadline. Nothing in here sleeps, forks or reads a clock, so one seed
// is one run, to the bit.
//
// What must not happen ends the run with a `Failure`. An actor that never comes to rest, or announces a deadline that
// it does not serve, is one too.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/time.h"
#include "tests/sim/random.h"

namespace talaria::sim {

using base::Duration;
using base::Time;
using base::operator""ns;
using base::operator""us;
using base::operator""ms;
using base::operator""s;

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

class Actor {
 public:
  virtual ~Actor() = default;
  virtual std::string_view name() const = 0;
  // One turn. True if anything was done: then everybody is asked again before the clock moves.
  virtual bool poll(Time now) = 0;
  // When to poll again even if nothing arrives; base::never if nothing is pending.
  virtual Time next_deadline() const = 0;
  // What must hold between turns; throws Failure, or ends the process by a CHECK.
  virtual void check() const {}
};

// How an actor's processor behaves: a turn may take time, and now and then one is late.
struct Pace {
  Duration turn_cost{};
  double stall_chance = 0;  // per turn
  Duration stall_max{};
};

class World {
 public:
  explicit World(uint64_t seed) : seed_(seed), schedule_(seed, "schedule") {}

  uint64_t seed() const { return seed_; }
  Time now() const { return now_; }
  Random random(std::string_view purpose) const { return {seed_, purpose}; }

  void at(Time when, std::function<void()> what);
  void after(Duration delay, std::function<void()> what) { at(now_ + delay, std::move(what)); }
  // The actor outlives the world's last run.
  void add(Actor& actor, Pace pace = {}) { slots_.push_back({&actor, pace, Time{}}); }
  void set_pace(Actor& actor, Pace pace);

  // Runs until `done` holds at the end of an instant (true), or until `limit` (false).
  bool run_until(const std::function<bool()>& done, Time limit);
  void run_for(Duration duration);

  // Invariants are checked every so many instants (1: all of them).
  void check_every(uint64_t instants) { check_every_ = instants; }

  // Everything that is observable goes in: two runs of one seed have the same fingerprint.
  void mix(uint64_t value) { fingerprint_ = (fingerprint_ ^ value) * 0x9e3779b97f4a7c15ull ^ fingerprint_ >> 29; }
  uint64_t fingerprint() const { return fingerprint_; }
  uint64_t instants() const { return instants_; }
  uint64_t turns() const { return turns_; }

  // For what is found out inside a call of the core, which no exception may cross: the run fails when the round is
  // over. The first one counts.
  void fail_later(const std::string& why) {
    if (failure_.empty()) failure_ = why;
  }

  void set_trace(bool on) { trace_ = on; }
  bool tracing() const { return trace_; }
  void trace(const char* format, ...) __attribute__((format(printf, 2, 3)));

 private:
  struct Happening {
    Time when;
    uint64_t sequence;
    std::function<void()> what;
    bool operator>(const Happening& other) const {
      return when != other.when ? when > other.when : sequence > other.sequence;
    }
  };
  struct Slot {
    Actor* actor;
    Pace pace;
    Time busy_until;
  };

  void run_instant();
  bool poll_round();
  Time next_time() const;

  uint64_t seed_;
  Random schedule_;
  Time now_{};
  uint64_t sequence_ = 0;
  std::priority_queue<Happening, std::vector<Happening>, std::greater<>> happenings_;
  std::vector<Slot> slots_;
  std::vector<size_t> order_;
  uint64_t check_every_ = 1;
  uint64_t fingerprint_ = 0;
  uint64_t instants_ = 0;
  uint64_t turns_ = 0;
  bool trace_ = false;
  std::string failure_;
};

}  // namespace talaria::sim
