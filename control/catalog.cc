#include "control/catalog.h"

#include <array>
#include <cstdio>
#include <type_traits>

namespace talaria::control {
namespace {

template <class Map>
auto* lookup(const Map& map, std::string_view name) {
  auto found = map.find(name);
  return found == map.end() ? nullptr : found->second.get();
}

// Lengths stand before texts, so that no text can be taken for another's end.
void append_text(std::string& out, std::string_view text) {
  out += std::to_string(text.size());
  out += ':';
  out += text;
}

void append_canonical(std::string& out, const base::FieldTable& table);

void append_canonical(std::string& out, const base::Field& field) {
  std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, base::Void>) {
          out += 'v';
        } else if constexpr (std::is_same_v<T, bool>) {
          out += value ? "t1" : "t0";
        } else if constexpr (std::is_integral_v<T>) {
          out += 'i' + std::to_string(field.integer());
        } else if constexpr (std::is_floating_point_v<T>) {
          std::array<char, 40> text{};
          // Zero has two signs and one value.
          double number = value == 0 ? 0.0 : static_cast<double>(value);
          int size = std::snprintf(text.data(), text.size(), "f%a", number);
          out.append(text.data(), static_cast<size_t>(size));
        } else if constexpr (std::is_same_v<T, base::Decimal>) {
          out += 'd' + std::to_string(static_cast<unsigned>(value.scale)) + '/' + std::to_string(value.value);
        } else if constexpr (std::is_same_v<T, std::string>) {
          out += 's';
          append_text(out, value);
        } else if constexpr (std::is_same_v<T, base::Timestamp>) {
          out += 'T' + std::to_string(value.seconds);
        } else if constexpr (std::is_same_v<T, base::ByteArray>) {
          out += 'x';
          append_text(out, value.bytes);
        } else if constexpr (std::is_same_v<T, base::FieldArray>) {
          out += '[';
          for (const base::Field& item : value) append_canonical(out, item);
          out += ']';
        } else {
          append_canonical(out, value);
        }
      },
      field.value);
  out += ';';
}

void append_canonical(std::string& out, const base::FieldTable& table) {
  std::map<std::string_view, const base::Field*> sorted;
  for (const auto& [name, value] : table) sorted[name] = &value;  // the last of a name counts
  out += '{';
  for (const auto& [name, value] : sorted) {
    append_text(out, name);
    append_canonical(out, *value);
  }
  out += '}';
}

// A binding is known by its source, destination, key and arguments.
std::string identity(const Exchange& source, const Queue* queue, const Exchange* exchange, const std::string& key,
                     const base::FieldTable& arguments) {
  std::string out;
  append_text(out, source.name);
  out += queue ? 'q' : 'e';
  append_text(out, queue ? queue->name : exchange->name);
  append_text(out, key);
  append_canonical(out, arguments);
  return out;
}

}  // namespace

Vhost& Binding::vhost() const { return *source->vhost; }
const std::string& Binding::destination() const { return queue ? queue->name : exchange->name; }
bool Binding::durable() const { return source->durable && (queue ? queue->durable : exchange->durable); }

Vhost* Catalog::vhost(std::string_view name) const { return lookup(vhosts_, name); }
User* Catalog::user(std::string_view name) const { return lookup(users_, name); }
Connection* Catalog::connection(const broker::SessionAddress& address) const {
  auto found = connections_.find(address);
  return found == connections_.end() ? nullptr : found->second.get();
}
Exchange* Catalog::exchange(const Vhost& vhost, std::string_view name) { return lookup(vhost.exchanges, name); }
Queue* Catalog::queue(const Vhost& vhost, std::string_view name) { return lookup(vhost.queues, name); }
Binding* Catalog::binding(const Exchange& source, const Queue* queue, const Exchange* exchange, const std::string& key,
                          const base::FieldTable& arguments) {
  auto found = source.vhost->bindings.find(identity(source, queue, exchange, key, arguments));
  return found == source.vhost->bindings.end() ? nullptr : found->second.get();
}

Vhost& Catalog::add(std::unique_ptr<Vhost> vhost) {
  Vhost& added = *vhost;
  CHECK(vhosts_.emplace(added.name, std::move(vhost)).second);
  added.id = vhost_slots_.take(&added);
  return added;
}

Exchange& Catalog::add(std::unique_ptr<Exchange> exchange) {
  Exchange& added = *exchange;
  CHECK(added.vhost && added.vhost->exchanges.emplace(added.name, std::move(exchange)).second);
  added.id = exchange_slots_.take(&added);
  return added;
}

Queue& Catalog::add(std::unique_ptr<Queue> queue) {
  Queue& added = *queue;
  CHECK(added.vhost && added.vhost->queues.emplace(added.name, std::move(queue)).second);
  added.id = queue_slots_.take(&added);
  added.counters = std::make_unique<broker::QueueCounters>();
  if (added.owner) added.owner->exclusive_queues.emplace(added.id, &added);
  return added;
}

Binding& Catalog::add(std::unique_ptr<Binding> binding) {
  Binding& added = *binding;
  CHECK(added.source && !added.queue != !added.exchange);
  std::string name = identity(*added.source, added.queue, added.exchange, added.key, added.arguments);
  CHECK(added.vhost().bindings.emplace(std::move(name), std::move(binding)).second);
  added.serial = ++last_serial_;
  added.source->outgoing.emplace(added.serial, &added);
  (added.queue ? added.queue->incoming : added.exchange->incoming).emplace(added.serial, &added);
  binding_count_++;
  return added;
}

User& Catalog::add(std::unique_ptr<User> user) {
  User& added = *user;
  CHECK(users_.emplace(added.name, std::move(user)).second);
  return added;
}

Connection& Catalog::add(std::unique_ptr<Connection> connection) {
  Connection& added = *connection;
  CHECK(connections_.emplace(added.address, std::move(connection)).second);
  vhost_connections_[added.opened.vhost]++;
  user_connections_[added.opened.user]++;
  return added;
}

void Catalog::subtract(Counts& counts, const std::string& name, size_t number) {
  if (number == 0) return;
  const auto found = counts.find(name);
  CHECK(found != counts.end() && found->second >= number);
  found->second -= number;
  if (found->second == 0) counts.erase(found);
}

void Catalog::add_channel(Connection& connection, uint16_t number, Channel channel) {
  if (connection.channels.insert_or_assign(number, std::move(channel)).second) user_channels_[connection.opened.user]++;
}

bool Catalog::remove_channel(Connection& connection, uint16_t number) {
  if (connection.channels.erase(number) == 0) return false;
  subtract(user_channels_, connection.opened.user);
  return true;
}

void Catalog::remove(Vhost& vhost) {
  CHECK(vhost.queues.empty() && vhost.exchanges.empty() && vhost.bindings.empty());
  vhost_slots_.vacate(vhost.id);
  vhosts_.erase(vhosts_.find(vhost.name));
}

void Catalog::remove(Exchange& exchange) {
  CHECK(exchange.outgoing.empty() && exchange.incoming.empty());
  exchange_slots_.vacate(exchange.id);
  auto& siblings = exchange.vhost->exchanges;
  siblings.erase(siblings.find(exchange.name));
}

std::unique_ptr<broker::QueueCounters> Catalog::remove(Queue& queue) {
  CHECK(queue.incoming.empty());
  queue_slots_.vacate(queue.id);
  if (queue.owner) queue.owner->exclusive_queues.erase(queue.id);
  std::unique_ptr<broker::QueueCounters> counters = std::move(queue.counters);
  auto& siblings = queue.vhost->queues;
  siblings.erase(siblings.find(queue.name));
  return counters;
}

void Catalog::remove(Binding& binding) {
  binding.source->outgoing.erase(binding.serial);
  (binding.queue ? binding.queue->incoming : binding.exchange->incoming).erase(binding.serial);
  auto& siblings = binding.vhost().bindings;
  siblings.erase(
      siblings.find(identity(*binding.source, binding.queue, binding.exchange, binding.key, binding.arguments)));
  binding_count_--;
}

void Catalog::remove(User& user) { users_.erase(users_.find(user.name)); }

void Catalog::remove(Connection& connection) {
  CHECK(connection.exclusive_queues.empty());
  subtract(user_channels_, connection.opened.user, connection.channels.size());
  subtract(user_connections_, connection.opened.user);
  subtract(vhost_connections_, connection.opened.vhost);
  connections_.erase(connections_.find(connection.address));
}

std::string canonical(const base::FieldTable& table) {
  std::string out;
  append_canonical(out, table);
  return out;
}

ExchangeRow row_of(const Exchange& exchange) {
  return {exchange.vhost->name, exchange.name,     std::string(type_name(exchange.type)),
          exchange.auto_delete, exchange.internal, exchange.arguments,
          exchange.durable};
}
QueueRow row_of(const Queue& queue) {
  return {queue.vhost->name, queue.name, queue.auto_delete, queue.arguments, queue.durable};
}
BindingRow row_of(const Binding& binding) {
  return {binding.vhost().name,     binding.source->name, binding.destination(),
          binding.queue != nullptr, binding.key,          binding.arguments};
}
VhostRow row_of(const Vhost& vhost) { return {vhost.name, vhost.description, vhost.tags, vhost.limits}; }
UserRow row_of(const User& user) {
  return {user.name, user.password_hash, user.hashing_algorithm, user.tags, user.limits};
}
PolicyRow row_of(const Vhost& vhost, const std::string& name, const Policy& policy, bool of_operators) {
  return {vhost.name, name, of_operators, policy.pattern.text(), policy.apply_to, policy.priority, policy.definition};
}
TopicPermissionRow row_of(const User& user, const std::pair<std::string, std::string>& of,
                          const TopicPermission& permission) {
  return {user.name, of.first, of.second, permission.write.text(), permission.read.text()};
}
PermissionRow row_of(const User& user, const std::string& vhost, const Permission& permission) {
  return {user.name, vhost, permission.configure.text(), permission.write.text(), permission.read.text()};
}

std::string own_name(std::string_view vhost, const std::string& name) {
  constexpr std::string_view theirs = "amq.rabbitmq.", ours = "amq.talaria.";
  if (!name.starts_with(theirs)) return name;
  for (const OwnExchange& exchange : own_exchanges)
    if (exchange.is_in(vhost) && name.substr(theirs.size()) == exchange.name + ours.size()) return exchange.name;
  return name;
}

std::string_view type_name(broker::ExchangeType type) {
  switch (type) {
    case broker::ExchangeType::direct: return "direct";
    case broker::ExchangeType::fanout: return "fanout";
    case broker::ExchangeType::topic: return "topic";
    case broker::ExchangeType::headers: return "headers";
    case broker::ExchangeType::consistent_hash: return "x-consistent-hash";
    case broker::ExchangeType::modulus_hash: return "x-modulus-hash";
    case broker::ExchangeType::random: return "x-random";
    case broker::ExchangeType::local_random: return "x-local-random";
    case broker::ExchangeType::delayed_message: return "x-delayed-message";
    case broker::ExchangeType::recent_history: return "x-recent-history";
    case broker::ExchangeType::message_deduplication: return "x-message-deduplication";
  }
  CHECK(false);
}

bool type_from_name(std::string_view name, broker::ExchangeType& type) {
  using enum broker::ExchangeType;
  for (broker::ExchangeType candidate : {direct, fanout, topic, headers, consistent_hash, modulus_hash, random,
                                         local_random, delayed_message, recent_history, message_deduplication}) {
    if (type_name(candidate) != name) continue;
    type = candidate;
    return true;
  }
  return false;
}

}  // namespace talaria::control
