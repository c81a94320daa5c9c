#include "core/broker/replica.h"

#include <utility>

#include "core/base/check.h"

namespace talaria::broker {

// Bindings point at queues and exchanges: they go first, with the exchanges, whose destructors touch nothing else.
Replica::~Replica() { exchanges_.clear(); }

template <class Thing, class Id>
Thing& Replica::put(Slots<Thing>& slots, Id id, std::unique_ptr<Thing> thing) {
  CHECK(id);
  if (id.slot >= slots.size()) slots.resize(size_t{id.slot} + 1);
  CHECK(!slots[id.slot].thing);
  slots[id.slot] = {id.generation, std::move(thing)};
  return *slots[id.slot].thing;
}

void Replica::apply(const AddVhost& change) {
  put(vhosts_, change.id, std::make_unique<Vhost>(change.id, change.name));
}

void Replica::apply(const RemoveVhost& change) {
  Vhost* vhost = find_vhost(change.id);
  CHECK(vhost && vhost->exchanges() == 0 && vhost->queues() == 0);
  vhosts_[change.id.slot].thing.reset();
}

void Replica::apply(const TraceVhost& change) {
  Vhost* vhost = find_vhost(change.id);
  CHECK(vhost);
  Exchange* to = change.to ? find_exchange(change.to) : nullptr;
  CHECK(!change.to || (to && &to->vhost() == vhost));
  trace(*vhost, to);
}

void Replica::trace(Vhost& vhost, Exchange* to) {
  if (vhost.traced_to_) traced_vhosts_--;
  if (to) traced_vhosts_++;
  vhost.traced_to_ = to;
}

void Replica::apply(const AddExchange& change) {
  Vhost* vhost = find_vhost(change.vhost);
  CHECK(vhost && !vhost->find_exchange(change.name));
  Exchange& exchange = put(exchanges_, change.id, std::make_unique<Exchange>(change, *vhost));
  vhost->exchanges_.insert(Vhost::hash_of(change.name), &exchange);
}

void Replica::apply(const ChangeExchange& change) {
  Exchange* exchange = find_exchange(change.id);
  CHECK(exchange);
  exchange->set_alternate(change.alternate);
}

void Replica::apply(const RemoveExchange& change) {
  Exchange* exchange = find_exchange(change.id);
  CHECK(exchange && exchange->bindings() == 0 && exchange->bindings_to() == 0);
  if (exchange->vhost().traced_to() == exchange) trace(exchange->vhost(), nullptr);
  exchange->vhost().exchanges_.erase(Vhost::hash_of(exchange->name()),
                                     [&](const Exchange* candidate) { return candidate == exchange; });
  exchanges_[change.id.slot].thing.reset();
}

static void set_settings(QueueRecord& queue, const std::shared_ptr<const QueueSettings>& settings) {
  queue.settings = settings;
  queue.flow_limited = settings && (settings->flow || settings->flow_bytes);
}

QueueRecord& Replica::apply(const AddQueue& change) {
  Vhost* vhost = find_vhost(change.vhost);
  CHECK(vhost && change.counters && !vhost->find_queue(change.name));
  QueueRecord& queue = put(queues_, change.id, std::make_unique<QueueRecord>());
  queue.id = change.id;
  queue.home = change.home;
  queue.durable = change.durable;
  queue.auto_delete = change.auto_delete;
  queue.counters = change.counters;
  queue.exclusive_to = change.exclusive_to;
  queue.vhost = vhost;
  queue.name_hash = Vhost::hash_of(change.name);
  queue.name = change.name;
  queue.arguments = change.arguments;
  set_settings(queue, change.settings);
  vhost->queues_.insert(queue.name_hash, &queue);
  return queue;
}

QueueRecord& Replica::apply(const ChangeQueue& change) {
  QueueRecord* queue = find_queue(change.id);
  CHECK(queue);
  set_settings(*queue, change.settings);
  return *queue;
}

void Replica::apply(const RemoveQueue& change) {
  QueueRecord* queue = find_queue(change.id);
  CHECK(queue && queue->bindings == 0 && !queue->local);
  queue->vhost->queues_.erase(queue->name_hash, [&](const QueueRecord* candidate) { return candidate == queue; });
  queues_[change.id.slot].thing.reset();
}

Destination Replica::destination_of(const Binding& binding) const {
  CHECK(bool{binding.queue} != bool{binding.exchange});
  Destination destination;
  if (binding.queue)
    destination.queue = find_queue(binding.queue);
  else
    destination.exchange = find_exchange(binding.exchange);
  CHECK(destination.queue || destination.exchange);
  return destination;
}

bool Replica::apply(const AddBinding& change) {
  Exchange* source = find_exchange(change.binding.source);
  CHECK(source);
  return source->bind(destination_of(change.binding), change.binding.key, change.binding.arguments);
}

void Replica::apply(const RemoveBinding& change) {
  Exchange* source = find_exchange(change.binding.source);
  CHECK(source);
  source->unbind(destination_of(change.binding), change.binding.key, change.binding.arguments);
}

}  // namespace talaria::broker
