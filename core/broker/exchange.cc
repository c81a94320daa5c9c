#include "core/broker/exchange.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/broker/vhost.h"

namespace talaria::broker {
namespace {

uint64_t identity_hash(const Destination& destination, const std::string& key) {
  uint64_t parts[3] = {reinterpret_cast<uintptr_t>(destination.queue),
                       reinterpret_cast<uintptr_t>(destination.exchange), base::hash_bytes(base::as_bytes(key))};
  return base::hash_bytes({reinterpret_cast<const uint8_t*>(parts), sizeof parts});
}

}  // namespace

Exchange::Exchange(const AddExchange& what, Vhost& vhost)
    : id_(what.id),
      type_(what.type),
      internal_(what.internal),
      vhost_(vhost),
      name_(what.name),
      alternate_(what.alternate),
      settings_(what.settings) {
  CHECK(!is_default() || alternate_.empty());
  const auto choose = [&](ChoiceBindings::Way way) { table_.emplace<ChoiceBindings>(way, what.settings); };
  switch (type_) {
    case ExchangeType::direct: table_.emplace<DirectBindings>(); break;
    case ExchangeType::fanout: table_.emplace<FanoutBindings>(); break;
    case ExchangeType::topic: table_.emplace<TopicBindings>(); break;
    case ExchangeType::headers: table_.emplace<HeadersBindings>(); break;
    case ExchangeType::consistent_hash: choose(ChoiceBindings::Way::consistent_hash); break;
    case ExchangeType::modulus_hash: choose(ChoiceBindings::Way::modulus_hash); break;
    case ExchangeType::random: choose(ChoiceBindings::Way::random); break;
    case ExchangeType::local_random: choose(ChoiceBindings::Way::local_random); break;
    case ExchangeType::delayed_message:
    case ExchangeType::recent_history:
    case ExchangeType::message_deduplication: CHECK(false);
  }
  const bool by_facts =
      what.settings && (!what.settings->hash_header.empty() || what.settings->hash_property != HashProperty::none);
  delays_ = what.settings && what.settings->delays;
  remembers_ = what.settings && what.settings->remembers();
  home_ = what.home;
  needs_facts_ = type_ == ExchangeType::headers || (type_ == ExchangeType::consistent_hash && by_facts);
  varies_ = type_ == ExchangeType::random || type_ == ExchangeType::local_random;
}

void Exchange::set_alternate(const std::string& name) {
  CHECK(!is_default());
  alternate_ = name;
}

Exchange::~Exchange() {
  known_.for_each([](StoredBinding* binding) { delete binding; });
}

// ---- routing --------------------------------------------------------------------------------------------------------

void RouteTargets::add(Exchange* exchange) {
  if (exchange->mark_ == mark_) return;
  exchange->mark_ = mark_;
  exchanges_.push_back(exchange);
}

void route(Vhost& vhost, Exchange& exchange, std::string_view routing_key, const RouteFacts& facts, RouteTargets& out) {
  Exchange::route(vhost, exchange, routing_key, facts, out);
}

void Exchange::route(Vhost& vhost, Exchange& exchange, std::string_view routing_key, const RouteFacts& facts,
                     RouteTargets& out) {
  out.begin(vhost.next_mark());
  // The most used one, and the simplest: nothing is bound to it, it has no alternate.
  if (exchange.is_default()) {
    if (QueueRecord* queue = vhost.find_queue(routing_key)) out.add(queue);
    return;
  }
  out.add(&exchange);
  // Exchanges are appended while they are walked: each at most once, so this ends.
  for (size_t at = 0; at < out.exchanges_.size(); at++) {
    Exchange& here = *out.exchanges_[at];
    if (here.match(routing_key, facts, out) || here.alternate_.empty()) continue;
    if (Exchange* alternate = vhost.find_exchange(here.alternate_)) out.add(alternate);
  }
}

void route(Vhost& vhost, Exchange& exchange, std::span<const std::string_view> keys, const RouteFacts& facts,
           RouteTargets& out) {
  Exchange::route(vhost, exchange, keys, facts, out);
}

void Exchange::route(Vhost& vhost, Exchange& exchange, std::span<const std::string_view> keys, const RouteFacts& facts,
                     RouteTargets& out) {
  out.begin(vhost.next_mark());
  if (exchange.is_default()) {
    for (const std::string_view key : keys)
      if (QueueRecord* queue = vhost.find_queue(key)) out.add(queue);
    return;
  }
  out.add(&exchange);
  for (size_t at = 0; at < out.exchanges_.size(); at++) {
    Exchange& here = *out.exchanges_[at];
    bool matched = false;
    for (const std::string_view key : keys) matched |= here.match(key, facts, out);
    if (matched || here.alternate_.empty()) continue;
    if (Exchange* alternate = vhost.find_exchange(here.alternate_)) out.add(alternate);
  }
}

bool Exchange::match(std::string_view routing_key, const RouteFacts& facts, RouteTargets& out) {
  switch (type_) {
    case ExchangeType::direct: return std::get_if<DirectBindings>(&table_)->match(routing_key, out);
    case ExchangeType::fanout: return std::get_if<FanoutBindings>(&table_)->match(out);
    case ExchangeType::topic: return std::get_if<TopicBindings>(&table_)->match(routing_key, out);
    case ExchangeType::headers: return std::get_if<HeadersBindings>(&table_)->match(facts.headers, out);
    case ExchangeType::consistent_hash:
    case ExchangeType::modulus_hash:
    case ExchangeType::random:
    case ExchangeType::local_random: return std::get_if<ChoiceBindings>(&table_)->match(routing_key, facts, out);
    case ExchangeType::delayed_message:
    case ExchangeType::recent_history:
    case ExchangeType::message_deduplication: break;
  }
  return false;
}

// ---- bindings: cold -------------------------------------------------------------------------------------------------

StoredBinding* Exchange::find(uint64_t hash, const Destination& destination, const std::string& key,
                              const base::FieldTable& arguments) {
  StoredBinding** found = known_.find(hash, [&](const StoredBinding* binding) {
    return binding->destination == destination && binding->key == key && equivalent(binding->arguments, arguments);
  });
  return found ? *found : nullptr;
}

bool Exchange::bind(const Destination& destination, const std::string& key, const base::FieldTable& arguments) {
  CHECK(!is_default() && (destination.queue == nullptr) != (destination.exchange == nullptr));
  const uint64_t hash = identity_hash(destination, key);
  if (find(hash, destination, key, arguments)) return false;
  auto* binding = new StoredBinding{destination, key, arguments};
  known_.insert(hash, binding);
  std::visit([&](auto& table) { table.add(*binding); }, table_);
  if (needs_facts_) vhost_.needing_facts_++;
  if (needs_facts_ || varies_) vhost_.not_remembered_++;
  (destination.queue ? destination.queue->bindings : destination.exchange->bindings_to_)++;
  return true;
}

bool Exchange::unbind(const Destination& destination, const std::string& key, const base::FieldTable& arguments) {
  const uint64_t hash = identity_hash(destination, key);
  StoredBinding* binding = find(hash, destination, key, arguments);
  if (!binding) return false;
  std::visit([&](auto& table) { table.remove(*binding); }, table_);
  known_.erase(hash, [&](const StoredBinding* candidate) { return candidate == binding; });
  delete binding;
  if (needs_facts_) vhost_.needing_facts_--;
  if (needs_facts_ || varies_) vhost_.not_remembered_--;
  (destination.queue ? destination.queue->bindings : destination.exchange->bindings_to_)--;
  return true;
}

}  // namespace talaria::broker
