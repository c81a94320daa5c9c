// A vhost in a worker's replica: the names of its exchanges and queues. Owned by the replica (replica.h), changed only
// by Engine::apply, read by the sessions of the same worker. Pointers found here are good while Engine::topology_epoch
// stays the same.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/flat_map.h"
#include "core/base/hash.h"
#include "core/broker/address.h"
#include "core/broker/exchange.h"
#include "core/broker/queue_record.h"

namespace talaria::broker {

class Vhost {
 public:
  Vhost(VhostId id, std::string name) : id_(id), name_(std::move(name)) {}
  Vhost(const Vhost&) = delete;
  Vhost& operator=(const Vhost&) = delete;

  VhostId id() const { return id_; }
  const std::string& name() const { return name_; }

  // nullptr when there is none of that name. "" finds the default exchange.
  Exchange* find_exchange(std::string_view name) {
    Exchange** found =
        exchanges_.find(hash_of(name), [&](const Exchange* exchange) { return exchange->name() == name; });
    return found ? *found : nullptr;
  }
  QueueRecord* find_queue(std::string_view name) {
    QueueRecord** found = queues_.find(hash_of(name), [&](const QueueRecord* queue) { return queue->name == name; });
    return found ? *found : nullptr;
  }
  // Whether any exchange that looks at a message's headers or properties has bindings: otherwise nobody does, and the
  // front end need not parse them.
  bool needs_facts() const { return needing_facts_ != 0; }
  // Whether messages to one exchange with one routing key always go the same way, while topology is what it is.
  bool remembers_routes() const { return not_remembered_ == 0; }

  // Where what is published and delivered here is told; nullptr: nowhere.
  Exchange* traced_to() const { return traced_to_; }

  size_t exchanges() const { return exchanges_.size(); }
  size_t queues() const { return queues_.size(); }

 private:
  friend class Exchange;
  friend class Replica;

  static uint64_t hash_of(std::string_view name) { return base::hash_bytes(base::as_bytes(name)); }
  uint64_t next_mark() { return ++mark_; }

  VhostId id_;
  uint64_t mark_ = 0;  // counts routings
  // Bindings of exchanges that make it so.
  size_t needing_facts_ = 0;
  size_t not_remembered_ = 0;
  Exchange* traced_to_ = nullptr;
  base::FlatMap<Exchange*> exchanges_;
  base::FlatMap<QueueRecord*> queues_;
  std::string name_;
};

}  // namespace talaria::broker
