// The AMQP 0-9-1 front end of one worker: all its connections, from the protocol header to the last close-ok.
//
// Owned and called by one worker thread. Calls go down (to tcp::Stack, broker::Engine, broker::MessagePool), values
// come up: requests for the control plane are collected and taken by the worker, and nothing here ever calls it. A turn
// is
//
//   sessions.on_turn(now)              input left over from the last turn, publishers that may go on, closing channels
//   for (event : stack.events())       on_accepted, on_readable, on_writable, on_peer_finished, on_closed
//   sessions.on_released(stack.take_released())
//   sessions.on_answer(...)            what the control plane answered
//   sessions.on_dead(outbox.dead)      what died in queues is published anew
//   for (event : outbox.events) sessions.on_event(event)         queue events, before deliveries
//   sessions.on_deliveries(outbox.deliveries)                    the hot path
//   sessions.on_time(now)
//   sessions.end_turn(now)             confirms, coalesced; what waited for send memory
//   for (request : sessions.take_requests()) ...
//
// A connection that awaits an answer, from the control plane or from a queue, is not read meanwhile (its bytes stay in
// TCP, its window closes); nobody else waits. The same holds for publishers while there is no room for messages.
//
// Bounds: Config. All session slots are reserved at start; channels, consumers and names are allocated when they are
// made (cold); publish, deliver, acknowledge and confirm allocate nothing once their rings have grown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/amqp091/session/config.h"
#include "core/amqp091/session/counters.h"
#include "core/amqp091/session/info.h"
#include "core/amqp091/session/latency.h"
#include "core/base/hash.h"
#include "core/base/histogram.h"
#include "core/base/time.h"
#include "core/broker/address.h"
#include "core/broker/announcement.h"
#include "core/broker/operations.h"
#include "core/broker/requests.h"
#include "core/tcp/types.h"

namespace talaria::broker {
class Engine;
class MessagePool;
struct Bound;
struct DeadMessage;
}  // namespace talaria::broker
namespace talaria::tcp {
class Stack;
}

namespace talaria::amqp091::session {

struct Shared;
struct Connection;

class Sessions {
 public:
  // `key` is secret and random: generated consumer tags depend on it. `latency`, if any, gets the nanoseconds that each
  // delivered message was here, measured with `clock` (see Latency). Everything referred to outlives the sessions.
  Sessions(const Config& config, broker::WorkerIndex self, tcp::Stack& stack, broker::Engine& engine,
           broker::MessagePool& pool, base::HashKey key, base::Histogram* latency = nullptr, ClockReader clock = {});
  ~Sessions();
  Sessions(const Sessions&) = delete;
  Sessions& operator=(const Sessions&) = delete;

  // ---- TCP ----------------------------------------------------------------------------------------------------------
  // Ids that belong to no session (the connection was made by somebody else, or is long gone) are ignored.
  void on_accepted(tcp::ConnectionId id, base::Time now);
  void on_readable(tcp::ConnectionId id, base::Time now);
  void on_writable(tcp::ConnectionId id, base::Time now);
  void on_peer_finished(tcp::ConnectionId id, base::Time now);
  void on_closed(tcp::ConnectionId id, tcp::CloseReason reason, base::Time now);
  // Owners of shared bodies that TCP is done with. All of them are messages.
  void on_released(std::span<void* const> owners);

  // ---- the broker ---------------------------------------------------------------------------------------------------
  void on_event(const broker::Event& event, base::Time now);
  void on_deliveries(std::span<const broker::Deliver> deliveries, base::Time now);
  // Takes the outbox's dead messages, and publishes some of those that wait.
  void on_dead(std::vector<broker::DeadMessage>& dead, base::Time now);

  // Takes the outbox's messages for exchanges that remember; and who was bound to one, before anything else is done.
  void on_entrusted(std::vector<broker::Entrust>& entrusted, base::Time now);
  void on_bound(std::vector<broker::Bound>& bound, base::Time now);

  // ---- the control plane --------------------------------------------------------------------------------------------
  void on_answer(broker::Answer&& answer, base::Time now);
  // What sessions have learnt about permissions is void. (Changes of topology show in Engine::topology_epoch.)
  void on_permissions_changed();
  // Requests that wait, in the order they were made. They pass: the caller deletes them. How many may wait is bounded:
  // a connection is not read beyond Config::notices_waiting, and asks one question at a time.
  std::vector<broker::Request*> take_requests(size_t most = SIZE_MAX);
  // An operator ends this connection: connection.close 320 with the text. A session that is gone is ignored.
  void close_session(broker::SessionId session, broker::CloseCause cause, std::string_view text, base::Time now);
  // A consumer whose user may not read its queue any more ends: basic.cancel, behind the last of its deliveries.
  void revoke_consumer(broker::SessionId session, const broker::RevokedConsumer& consumer, base::Time now);
  // connection.close 320 to everybody, and new connections are refused. `drained` when the last session has gone.
  void drain(base::Time now);
  bool drained() const;

  // Publishes what the broker has to tell, if anybody is bound to it, as soon as there is room.
  void announce(broker::Announcement announcement, base::Time now);

  // ---- the turn -----------------------------------------------------------------------------------------------------
  void on_turn(base::Time now);
  void on_time(base::Time now);
  void end_turn(base::Time now);
  // When on_time has something to do next; base::never if nothing is pending.
  base::Time next_deadline() const;
  // Something goes on in the next turn without anything coming in: poll again at once.
  bool has_work() const;

  // ---- looking ------------------------------------------------------------------------------------------------------
  const SessionCounters& counters() const;
  // By session slot; readable from any thread.
  std::span<const SessionInfo> infos() const;
  size_t session_count() const;
  // CHECKs that counts, lists and states agree. Linear: for the simulator and tests.
  void check_invariants() const;

 private:
  Connection* find(tcp::ConnectionId id) const;

  std::unique_ptr<Shared> shared_;
};

}  // namespace talaria::amqp091::session
