// Topology as values: what vhosts, exchanges, queues and bindings are, and the changes that the control plane, their
// only writer, sends to every worker. Each worker applies every change in the same order and so holds a full replica.
//
// The control plane gives out the ids (slots are small and dense, reused with a new generation), has checked everything
// (existence, equivalence, permissions, limits) before it sends, and sends removals of bindings before the removal of
// what they touch. A change is immutable and shared by all workers; they copy what they keep.
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "core/base/cache_line.h"
#include "core/base/counters.h"
#include "core/base/field.h"
#include "core/broker/address.h"
#include "core/broker/exchange_settings.h"
#include "core/broker/queue_settings.h"

namespace talaria::broker {

enum class ExchangeType : uint8_t {
  direct,
  fanout,
  topic,
  headers,
  // Each message goes to one of the bindings (choice_bindings.h).
  consistent_hash,
  modulus_hash,
  random,
  local_random,
  // The control plane's name for one that delays. Workers are told the type that routes, see
  // ExchangeSettings::delays.
  delayed_message,
  // Likewise; these route as fanout does, see ExchangeSettings::remembers.
  recent_history,
  message_deduplication,
};

// Written by the queue's home worker only (a new home begins when the old one has ended), read by anyone. Owned by the
// control plane, which frees it only after every worker has applied the queue's removal.
struct alignas(base::cache_line) QueueCounters {
  base::Counter ready;           // messages, a gauge
  base::Counter unacknowledged;  // messages, a gauge
  base::Counter bytes_ready;     // body bytes, a gauge
  base::Counter consumers;       // a gauge
  base::Counter enqueued;        // messages since declared
  base::Counter delivered;
  base::Counter acknowledged;
  base::Counter redelivered;
};
// The control plane allocates them one after the other, and queues that are neighbours there have different homes, each
// of which writes here with every message.
static_assert(base::has_lines_of_its_own<QueueCounters> && sizeof(QueueCounters) == base::cache_line);

struct AddVhost {
  VhostId id;
  std::string name;
};
struct RemoveVhost {
  VhostId id;
};
// What is published and delivered in the vhost is told on an exchange of it from now on; void: no longer.
struct TraceVhost {
  VhostId id;
  ExchangeId to;
};
struct AddExchange {
  VhostId vhost;
  ExchangeId id;
  std::string name;  // "" is the default exchange: direct, implicitly bound to every queue by its name
  ExchangeType type = ExchangeType::direct;
  bool internal = false;
  std::string alternate;  // name of the alternate exchange, "" for none; looked up when it is needed (it may not exist)
  std::shared_ptr<const ExchangeSettings> settings = {};  // nullptr: it asks for nothing
  WorkerIndex home = 0;                                   // of what it remembers
};
struct ChangeExchange {
  ExchangeId id;
  std::string alternate;
};
struct RemoveExchange {
  VhostId vhost;
  ExchangeId id;
};
struct AddQueue {
  VhostId vhost;
  QueueId id;
  std::string name;
  bool durable = false;
  bool auto_delete = false;
  SessionAddress exclusive_to;  // generation 0: not exclusive
  base::FieldTable arguments;
  WorkerIndex home = 0;
  QueueCounters* counters = nullptr;
  std::shared_ptr<const QueueSettings> settings = {};  // nullptr: it asks for nothing
};
// Its settings are others now. Never sent of a queue that moves.
struct ChangeQueue {
  QueueId id;
  std::shared_ptr<const QueueSettings> settings = {};
};
struct RemoveQueue {
  VhostId vhost;
  QueueId id;
};
// The queue is to move, with all it holds: see move.h. One move at a time; the next one begins when every worker has
// reported the end of this one.
struct MoveQueue {
  QueueId id;
  WorkerIndex from = 0;
  WorkerIndex to = 0;
  uint32_t move = 0;  // goes up
};
// Exactly one of queue, exchange is set. A binding is known by (source, destination, key, arguments).
struct Binding {
  VhostId vhost;
  ExchangeId source;
  QueueId queue;
  ExchangeId exchange;
  std::string key;
  base::FieldTable arguments;
};
struct AddBinding {
  Binding binding;
};
struct RemoveBinding {
  Binding binding;
};
// What sessions have learnt about permissions is void: ask again.
struct PermissionsChanged {};

using TopologyChange =
    std::variant<AddVhost, RemoveVhost, TraceVhost, AddExchange, ChangeExchange, RemoveExchange, AddQueue, ChangeQueue,
                 RemoveQueue, MoveQueue, AddBinding, RemoveBinding, PermissionsChanged>;

}  // namespace talaria::broker
