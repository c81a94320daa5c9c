// What all sessions of one worker share: the layers below, the slots, and the lists of who has something to do.
// Owned by Sessions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/amqp091/session/announce.h"
#include "core/amqp091/session/backlog.h"
#include "core/amqp091/session/config.h"
#include "core/amqp091/session/counters.h"
#include "core/amqp091/session/dead_letter.h"
#include "core/amqp091/session/delayed.h"
#include "core/amqp091/session/exchange_memory.h"
#include "core/amqp091/session/info.h"
#include "core/amqp091/session/latency.h"
#include "core/amqp091/session/trace.h"
#include "core/base/field.h"
#include "core/base/hash.h"
#include "core/base/time.h"
#include "core/base/timer_wheel.h"
#include "core/broker/engine.h"
#include "core/broker/message_pool.h"
#include "core/broker/requests.h"
#include "core/broker/route_targets.h"
#include "core/tcp/stack.h"

namespace talaria::amqp091::session {

struct Connection;
struct Channel;
struct Consumer;

// A list that things put themselves on, at most once (their own flag says so), and that is walked once per turn.
// Things that end take themselves off, which is cold.
template <class Thing>
class WorkList {
 public:
  bool empty() const { return waiting_.empty(); }
  void reserve(size_t things) {
    waiting_.reserve(things);
    walking_.reserve(things);
  }
  void add(Thing& thing, bool& listed) {
    if (listed) return;
    listed = true;
    waiting_.push_back(&thing);
  }
  void drop(Thing& thing, bool& listed) {
    if (!listed) return;
    listed = false;
    for (auto& waiting : waiting_)
      if (waiting == &thing) waiting = nullptr;
    for (auto& waiting : walking_)
      if (waiting == &thing) waiting = nullptr;
  }
  // Calls visit(thing) for everything on the list now; what is added meanwhile waits for the next walk. `flag(thing)`
  // is the thing's own flag.
  template <class Flag, class Visit>
  void walk(Flag&& flag, Visit&& visit) {
    walking_.swap(waiting_);
    for (size_t i = 0; i < walking_.size(); i++) {
      Thing* thing = walking_[i];
      if (thing == nullptr) continue;
      walking_[i] = nullptr;
      flag(*thing) = false;
      visit(*thing);
    }
    walking_.clear();
  }
  // As `walk`, for things that compete: at most `most` of them, those that waited longest first. When all have been
  // visited and wait again, another is first next time.
  template <class Flag, class Visit>
  void walk_in_turn(size_t most, Flag&& flag, Visit&& visit) {
    walking_.swap(waiting_);
    size_t at = 0;
    for (; at < walking_.size() && most != 0; at++) {
      Thing* thing = walking_[at];
      if (thing == nullptr) continue;
      walking_[at] = nullptr;
      flag(*thing) = false;
      visit(*thing);
      most--;
    }
    if (at == walking_.size()) {
      if (waiting_.size() > 1) std::rotate(waiting_.begin(), waiting_.begin() + 1, waiting_.end());
    } else {
      waiting_.insert(waiting_.begin(), walking_.begin() + static_cast<std::ptrdiff_t>(at), walking_.end());
    }
    walking_.clear();
  }

 private:
  std::vector<Thing*> waiting_;
  std::vector<Thing*> walking_;
};

struct Shared {
  Shared(const Config& config_, broker::WorkerIndex self_, tcp::Stack& stack_, broker::Engine& engine_,
         broker::MessagePool& pool_, base::HashKey key_, const Latency& latency_);
  ~Shared();

  const Config config;
  const broker::WorkerIndex self;
  tcp::Stack& stack;
  broker::Engine& engine;
  broker::MessagePool& pool;
  const base::HashKey key;

  const uint64_t transaction_octets_max;  // of all transactions: an eighth of the message memory
  uint64_t transaction_octets = 0;
  const uint64_t message_size_max;  // octets of a body: the configured limit, or what the pool can hold

  base::Time now{};  // of the call that is running
  Latency latency;
  SessionCounters counters;
  BacklogStore backlogs;
  DeadLetters dead_letters;
  std::unique_ptr<DelayedMessages> delayed;    // once there is need for them
  std::unique_ptr<ExchangeMemories> memories;  // likewise
  Traces traces;
  Announcements announcements;

  // Slots. A session's slot stays taken until everything it held has been given back.
  std::unique_ptr<Connection[]> connections;
  std::unique_ptr<SessionInfo[]> infos;
  std::vector<uint32_t> vacant;
  std::vector<uint32_t> by_tcp_slot;  // session slot + 1; 0: none

  // Requests for the control plane.
  std::vector<broker::Request*> requests;
  uint64_t last_token = 0;

  WorkList<Connection> more_input;  // read on in the next turn
  WorkList<Connection> stalled;     // publishers that wait for room
  WorkList<Connection> full;        // their output became full, or something waits in it
  WorkList<Connection> closing;     // being taken apart
  WorkList<Connection> settling;    // a great `multiple` is being settled
  WorkList<Channel> confirming;     // confirms to flush at the end of the turn
  WorkList<Channel> transacting;    // committing, or rolling back
  WorkList<Channel> parked;         // deliveries held back by a channel-wide prefetch, and there is room again
  WorkList<Consumer> passed;        // deliveries of queues elsewhere, to be reported
  base::TimerWheel timers;          // one node a connection

  // Working memory of publishing.
  broker::RouteTargets targets;
  std::vector<base::HeaderView> headers;
  std::vector<uint8_t> whole;  // properties that came in several parts, put together

  uint32_t last_incarnation = 0;
  uint64_t permissions_epoch = 1;
  uint64_t tags_made = 0;
  bool draining = false;
};

}  // namespace talaria::amqp091::session
