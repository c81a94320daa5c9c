// What every worker knows of a queue; its home worker also holds the queue itself. Part of the worker's replica of the
// topology (vhost.h), touched by that worker only. Sessions may keep a pointer as long as Engine::topology_epoch stays
// the same.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/field.h"
#include "core/broker/address.h"
#include "core/broker/topology.h"

namespace talaria::broker {

class Queue;
class Vhost;

struct QueueRecord {
  QueueId id;
  WorkerIndex home = 0;  // `nowhere` while it moves
  bool durable = false;
  bool auto_delete = false;
  bool flow_limited = false;  // its settings have such limits
  bool flow_stopped = false;  // publishers on this worker wait
  Queue* local = nullptr;     // set at home only; while it moves, at both ends as long as there is some of it
  uint64_t mark = 0;          // the last routing that reached it: one copy a queue, however many bindings match
  QueueCounters* counters = nullptr;
  SessionAddress exclusive_to;  // generation 0: not exclusive
  Vhost* vhost = nullptr;
  uint64_t name_hash = 0;
  uint32_t bindings = 0;  // that lead here
  std::string name;
  base::FieldTable arguments;
  std::shared_ptr<const QueueSettings> settings;  // nullptr: it asks for nothing
};

}  // namespace talaria::broker
