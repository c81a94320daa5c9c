// The truth in memory: vhosts, users and permissions, exchanges, queues and bindings, and the connections with their
// channels and consumers. Data with its indexes; the rules about it stand in plane.h.
//
// The control thread alone touches it. Pointers between parts are plain: a thing is taken out of every index before it
// is destroyed (`remove` does both). Everything is kept in an order that does not depend on addresses in memory, so
// that a simulated run can be repeated. Ids are numbered slots with generations; a slot that became free is given out
// again only after `recycle`, which the plane calls when every worker has applied the removal.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/alerts.h"
#include "control/permissions.h"
#include "control/policies.h"
#include "control/store.h"
#include "core/base/check.h"
#include "core/base/time.h"
#include "core/broker/address.h"
#include "core/broker/requests.h"
#include "core/broker/topology.h"

namespace talaria::control {

// Who has which slot of one kind of id.
template <class IdType, class Thing>
class SlotTable {
 public:
  IdType take(Thing* thing) {
    if (free_.empty()) {
      slots_.push_back({nullptr, 1});
      free_.push_back(static_cast<uint32_t>(slots_.size() - 1));
    }
    uint32_t slot = free_.back();
    free_.pop_back();
    slots_[slot].thing = thing;
    in_use_++;
    return IdType{slot, slots_[slot].generation};
  }
  // The thing is gone, its slot is not free yet.
  void vacate(IdType id) {
    CHECK(find(id));
    slots_[id.slot].thing = nullptr;
    in_use_--;
  }
  void recycle(IdType id) {
    CHECK(id.slot < slots_.size() && slots_[id.slot].generation == id.generation && !slots_[id.slot].thing);
    if (++slots_[id.slot].generation == 0) slots_[id.slot].generation = 1;
    free_.push_back(id.slot);
  }
  Thing* find(IdType id) const {
    if (id.slot >= slots_.size() || slots_[id.slot].generation != id.generation) return nullptr;
    return slots_[id.slot].thing;
  }
  size_t in_use() const { return in_use_; }

 private:
  struct Slot {
    Thing* thing = nullptr;
    uint32_t generation = 1;
  };
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  size_t in_use_ = 0;
};

struct Vhost;
struct Exchange;
struct Queue;
struct Connection;

struct Binding {
  uint64_t serial = 0;  // given by the catalog: bindings are listed and removed in the order they were made
  Exchange* source = nullptr;
  Queue* queue = nullptr;        // exactly one of queue
  Exchange* exchange = nullptr;  // and exchange is the destination
  std::string key;
  base::FieldTable arguments;

  Vhost& vhost() const;
  const std::string& destination() const;
  bool durable() const;  // it outlives a restart as both its ends do
};

struct Exchange {
  Vhost* vhost = nullptr;
  broker::ExchangeId id;
  std::string name;
  broker::ExchangeType type = broker::ExchangeType::direct;
  bool durable = false, auto_delete = false, internal = false;
  base::FieldTable arguments;
  std::shared_ptr<const AppliedPolicies> policies;
  std::string alternate;                  // what the workers know
  bool predeclared = false;               // comes with its vhost and goes with it, never stored
  std::map<uint64_t, Binding*> outgoing;  // it is their source; by serial
  std::map<uint64_t, Binding*> incoming;  // it is their destination
};

struct Queue {
  Vhost* vhost = nullptr;
  broker::QueueId id;
  std::string name;
  bool durable = false, auto_delete = false;
  Connection* owner = nullptr;  // set: exclusive to that connection
  base::FieldTable arguments;
  broker::WorkerIndex home = 0;  // while it moves: the old one
  base::Time moved{};            // when its last move began; the epoch: never
  std::unique_ptr<broker::QueueCounters> counters;
  std::shared_ptr<const AppliedPolicies> policies;
  std::shared_ptr<const broker::QueueSettings> settings;  // what the workers know
  std::unique_ptr<QueueAlerts> alerts;                    // nullptr: nobody is to be told how full it is
  bool watched = false;                                   // the plane has it among those it looks at for them
  std::map<uint64_t, Binding*> incoming;                  // by serial
};

struct Vhost {
  broker::VhostId id;
  std::string name;
  std::string description;
  std::vector<std::string> tags;
  OperatorLimits limits;
  bool traced = false;  // until the process ends
  Policies user_policies, operator_policies;
  // What was applied since they changed last, by the names of both.
  std::map<std::pair<std::string, std::string>, std::shared_ptr<const AppliedPolicies>> applied_policies;
  std::map<std::string, std::unique_ptr<Exchange>, std::less<>> exchanges;
  std::map<std::string, std::unique_ptr<Queue>, std::less<>> queues;
  std::map<std::string, std::unique_ptr<Binding>> bindings;  // by what tells them apart, see catalog.cc
};

struct User {
  std::string name;
  std::string password_hash;
  std::string hashing_algorithm;
  std::vector<std::string> tags;
  OperatorLimits limits;
  bool stored = true;  // false: the demo account, gone with the process unless an operator changes it
  std::map<std::string, Permission, std::less<>> permissions;                        // by vhost
  std::map<std::pair<std::string, std::string>, TopicPermission> topic_permissions;  // by vhost and exchange
};

struct Consumer {
  broker::QueueId queue;
  bool no_ack = false, exclusive = false;
  uint32_t prefetch = 0;
  base::FieldTable arguments;
};

struct Channel {
  std::shared_ptr<const broker::ChannelCounters> counters;  // its worker's
  uint32_t prefetch = 0;
  uint32_t global_prefetch = 0;
  bool confirms = false;
  bool transactional = false;
  std::map<std::string, Consumer, std::less<>> consumers;  // by tag
};

struct Connection {
  broker::SessionAddress address;
  Vhost* vhost = nullptr;  // null once the vhost was deleted: the connection is being closed
  broker::OpenConnection opened;
  base::Time since{};
  std::map<uint16_t, Channel> channels;
  std::map<broker::QueueId, Queue*> exclusive_queues;

  // A request that must ask a worker first is under way: later ones of this connection wait here for their turn.
  bool busy = false;
  std::deque<std::unique_ptr<broker::Request>> held;
};

class Catalog {
 public:
  const std::map<std::string, std::unique_ptr<Vhost>, std::less<>>& vhosts() const { return vhosts_; }
  const std::map<std::string, std::unique_ptr<User>, std::less<>>& users() const { return users_; }
  using Connections = std::map<broker::SessionAddress, std::unique_ptr<Connection>>;
  const Connections& connections() const { return connections_; }

  // nullptr: there is none.
  Vhost* vhost(std::string_view name) const;
  User* user(std::string_view name) const;
  Connection* connection(const broker::SessionAddress& address) const;
  Queue* queue(broker::QueueId id) const { return queue_slots_.find(id); }
  static Exchange* exchange(const Vhost& vhost, std::string_view name);
  static Queue* queue(const Vhost& vhost, std::string_view name);
  static Binding* binding(const Exchange& source, const Queue* queue, const Exchange* exchange, const std::string& key,
                          const base::FieldTable& arguments);

  // The name must be free. What is given lacks its id (and a queue its counters): they are made here.
  Vhost& add(std::unique_ptr<Vhost> vhost);
  Exchange& add(std::unique_ptr<Exchange> exchange);
  Queue& add(std::unique_ptr<Queue> queue);
  Binding& add(std::unique_ptr<Binding> binding);
  User& add(std::unique_ptr<User> user);
  Connection& add(std::unique_ptr<Connection> connection);

  // Out of every index. Nothing may hang on it any more: no bindings on an exchange or a queue, nothing in a vhost, no
  // exclusive queues on a connection. A queue's counters outlive it (the workers still write them): they are returned.
  void remove(Vhost& vhost);
  void remove(Exchange& exchange);
  std::unique_ptr<broker::QueueCounters> remove(Queue& queue);
  void remove(Binding& binding);
  void remove(User& user);
  void remove(Connection& connection);

  void recycle(broker::VhostId id) { vhost_slots_.recycle(id); }
  void recycle(broker::ExchangeId id) { exchange_slots_.recycle(id); }
  void recycle(broker::QueueId id) { queue_slots_.recycle(id); }

  // Connections in the vhost, and the user's connections and channels in all vhosts, whoever of the name they were
  // opened by.
  size_t connections_in(std::string_view vhost) const { return count(vhost_connections_, vhost); }
  size_t connections_of(std::string_view user) const { return count(user_connections_, user); }
  size_t channels_of(std::string_view user) const { return count(user_channels_, user); }
  void add_channel(Connection& connection, uint16_t number, Channel channel);
  // False: there was none.
  bool remove_channel(Connection& connection, uint16_t number);

  size_t exchange_count() const { return exchange_slots_.in_use(); }
  size_t queue_count() const { return queue_slots_.in_use(); }
  size_t binding_count() const { return binding_count_; }

 private:
  using Counts = std::map<std::string, size_t, std::less<>>;  // what is 0 is not there
  static size_t count(const Counts& counts, std::string_view name) {
    const auto found = counts.find(name);
    return found == counts.end() ? 0 : found->second;
  }
  static void subtract(Counts& counts, const std::string& name, size_t number = 1);

  std::map<std::string, std::unique_ptr<Vhost>, std::less<>> vhosts_;
  std::map<std::string, std::unique_ptr<User>, std::less<>> users_;
  Connections connections_;
  SlotTable<broker::VhostId, Vhost> vhost_slots_;
  SlotTable<broker::ExchangeId, Exchange> exchange_slots_;
  SlotTable<broker::QueueId, Queue> queue_slots_;
  Counts vhost_connections_, user_connections_, user_channels_;
  size_t binding_count_ = 0;
  uint64_t last_serial_ = 0;
};

// What every vhost begins with.
inline constexpr std::pair<const char*, broker::ExchangeType> predeclared_exchanges[] = {
    {"", broker::ExchangeType::direct},
    {"amq.direct", broker::ExchangeType::direct},
    {"amq.fanout", broker::ExchangeType::fanout},
    {"amq.topic", broker::ExchangeType::topic},
    {"amq.headers", broker::ExchangeType::headers},
    {"amq.match", broker::ExchangeType::headers},
};

// And topic exchanges of the broker's own, in "/" or in every vhost: internal ones on which it tells what happens, and
// one that takes commands (broker::management_exchange), from which nothing is routed.
inline constexpr const char* event_exchange = "amq.talaria.event";
inline constexpr const char* log_exchange = "amq.talaria.log";
inline constexpr const char* trace_exchange = "amq.talaria.trace";
struct OwnExchange {
  const char* name;
  bool everywhere;
  bool internal = true;
  bool is_in(std::string_view vhost) const { return everywhere || vhost == "/"; }
};
inline constexpr OwnExchange own_exchanges[] = {{event_exchange, false},
                                                {log_exchange, false},
                                                {trace_exchange, true},
                                                {broker::management_exchange.data(), true, false}};
// RabbitMQ has the same under amq.rabbitmq.*, and so its clients' tools: the name of ours, or `name` itself.
std::string own_name(std::string_view vhost, const std::string& name);

// A table as text that is equal for equivalent tables (order and integer widths do not show): half of a binding's name.
std::string canonical(const base::FieldTable& table);

// Things as rows: for the store and for definitions.
ExchangeRow row_of(const Exchange& exchange);
QueueRow row_of(const Queue& queue);
BindingRow row_of(const Binding& binding);
VhostRow row_of(const Vhost& vhost);
UserRow row_of(const User& user);
PolicyRow row_of(const Vhost& vhost, const std::string& name, const Policy& policy, bool of_operators);
// Of one of its topic permissions.
TopicPermissionRow row_of(const User& user, const std::pair<std::string, std::string>& of,
                          const TopicPermission& permission);
PermissionRow row_of(const User& user, const std::string& vhost, const Permission& permission);

std::string_view type_name(broker::ExchangeType type);
// False: no such type.
bool type_from_name(std::string_view name, broker::ExchangeType& type);

}  // namespace talaria::control
