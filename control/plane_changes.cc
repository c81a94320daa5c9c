// Changes that have passed every rule: into the catalog and out to the workers.

#include "control/arguments.h"
#include "control/plane.h"
#include "core/base/hash.h"

namespace talaria::control {
namespace {

broker::Binding value_of(const Binding& binding) {
  broker::Binding value;
  value.vhost = binding.vhost().id;
  value.source = binding.source->id;
  if (binding.queue) value.queue = binding.queue->id;
  if (binding.exchange) value.exchange = binding.exchange->id;
  value.key = binding.key;
  value.arguments = binding.arguments;
  return value;
}

}  // namespace

Vhost& Plane::enter(const VhostRow& row) {
  auto made = std::make_unique<Vhost>();
  made->name = row.name;
  made->description = row.description;
  made->tags = row.tags;
  made->limits = row.limits;
  Vhost& vhost = catalog_.add(std::move(made));
  broadcast(broker::AddVhost{vhost.id, vhost.name});

  for (const auto& [name, type] : predeclared_exchanges) {
    auto exchange = std::make_unique<Exchange>();
    exchange->vhost = &vhost;
    exchange->name = name;
    exchange->type = type;
    exchange->durable = true;
    exchange->predeclared = true;
    enter(std::move(exchange));
  }
  for (const OwnExchange& own : own_exchanges) {
    if (!own.is_in(vhost.name)) continue;
    auto exchange = std::make_unique<Exchange>();
    exchange->vhost = &vhost;
    exchange->name = own.name;
    exchange->type = broker::ExchangeType::topic;
    exchange->durable = true;
    exchange->internal = own.internal;
    exchange->predeclared = true;
    enter(std::move(exchange));
  }
  tell("vhost.created", vhost);
  return vhost;
}

Exchange& Plane::enter(std::unique_ptr<Exchange> made) {
  Exchange& exchange = catalog_.add(std::move(made));
  decide(exchange);
  broadcast(broker::AddExchange{exchange.vhost->id, exchange.id, exchange.name,
                                routing_type_of(exchange.type, exchange.arguments), exchange.internal,
                                exchange.alternate, exchange_settings_of(exchange.type, exchange.arguments),
                                home_of(*exchange.vhost, exchange.name)});
  tell("exchange.created", exchange);
  return exchange;
}

Queue& Plane::enter(std::unique_ptr<Queue> made) {
  Queue& queue = catalog_.add(std::move(made));
  decide(queue, false);
  broker::AddQueue change;
  change.vhost = queue.vhost->id;
  change.id = queue.id;
  change.name = queue.name;
  change.durable = queue.durable;
  change.auto_delete = queue.auto_delete;
  if (queue.owner) change.exclusive_to = queue.owner->address;
  change.arguments = queue.arguments;
  change.settings = queue.settings;
  change.home = queue.home;
  change.counters = queue.counters.get();
  broadcast(std::move(change));
  tell("queue.created", queue);
  return queue;
}

Binding& Plane::enter(std::unique_ptr<Binding> made) {
  Binding& binding = catalog_.add(std::move(made));
  broadcast(broker::AddBinding{value_of(binding)});
  tell("binding.created", binding);
  return binding;
}

broker::WorkerIndex Plane::home_of(const Vhost& vhost, const std::string& name) const {
  // No vhost name holds a zero byte, so that no two pairs are the same text.
  const std::string both = vhost.name + '\0' + name;
  return static_cast<broker::WorkerIndex>(base::hash_bytes(base::as_bytes(both)) % workers_.size());
}

std::expected<void, broker::Refusal> Plane::carry_out(const Removal& removal, std::vector<Edit> more) {
  std::vector<Edit> edits = std::move(more);
  for (auto& [serial, binding] : removal.bindings)
    if (binding->durable()) edits.push_back(Erase<BindingRow>{row_of(*binding)});
  for (auto& [id, exchange] : removal.exchanges)
    if (exchange->durable && !exchange->predeclared) edits.push_back(Erase<ExchangeRow>{row_of(*exchange)});
  for (auto& [id, queue] : removal.queues)
    if (queue->durable) edits.push_back(Erase<QueueRow>{row_of(*queue)});
  if (const Vhost* vhost = removal.vhost) {
    for (const auto& [name, policy] : vhost->user_policies)
      edits.push_back(Erase<PolicyRow>{row_of(*vhost, name, policy, false)});
    for (const auto& [name, policy] : vhost->operator_policies)
      edits.push_back(Erase<PolicyRow>{row_of(*vhost, name, policy, true)});
    edits.push_back(Erase<VhostRow>{row_of(*vhost)});
  }
  if (auto saved = save(edits); !saved) return saved;
  take_out(removal);
  return {};
}

// Bindings go before what they touch, and everything before its vhost.
void Plane::take_out(const Removal& removal) {
  for (auto& [serial, binding] : removal.bindings) {
    tell("binding.deleted", *binding);
    broadcast(broker::RemoveBinding{value_of(*binding)});
    catalog_.remove(*binding);
  }
  for (auto& [id, exchange] : removal.exchanges) {
    tell("exchange.deleted", *exchange);
    broadcast(broker::RemoveExchange{exchange->vhost->id, id});
    retired_.push_back({last_sequence_, id, nullptr});
    catalog_.remove(*exchange);
  }
  for (auto& [id, queue] : removal.queues) {
    tell("queue.deleted", *queue);
    broadcast(broker::RemoveQueue{queue->vhost->id, id});
    retired_.push_back({last_sequence_, id, catalog_.remove(*queue)});
  }
  if (removal.vhost) {
    tell("vhost.deleted", *removal.vhost);
    broker::VhostId id = removal.vhost->id;
    broadcast(broker::RemoveVhost{id});
    retired_.push_back({last_sequence_, id, nullptr});
    catalog_.remove(*removal.vhost);
  }
}

}  // namespace talaria::control
