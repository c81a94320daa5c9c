// Definitions, all in one: everything is judged first, then stored in one transaction, then made.

#include <algorithm>
#include <set>
#include <string>

#include "control/arguments.h"
#include "control/plane.h"
#include "control/printable.h"
#include "control/refusals.h"

namespace talaria::control {
namespace {

// What is wrong with definitions in themselves; thrown only within this file.
struct Wrong {
  OperatorError error;
};

[[noreturn]] void wrong(std::string message) { throw Wrong{{Fault::bad_argument, std::move(message)}}; }

}  // namespace

// What is to be made, judged and in order.
struct Plane::Import {
  Plane& plane;
  const StoreContents& wanted;
  std::vector<std::string>& report;
  std::vector<Edit> edits;
  std::vector<std::unique_ptr<User>> users;
  std::vector<VhostRow> vhosts;
  std::map<std::string, VhostRow> changed_vhosts;
  std::vector<std::pair<PermissionRow, Permission>> permissions;
  std::vector<std::pair<TopicPermissionRow, TopicPermission>> topic_permissions;
  std::vector<ExchangeRow> exchanges;
  std::vector<QueueRow> queues;
  std::vector<BindingRow> bindings;
  std::vector<std::pair<PolicyRow, Policy>> policies;
  // Those to be made, by vhost and name.
  struct Future {
    bool durable = false;
    broker::ExchangeType type{};  // of an exchange
    bool remembers = false;       // likewise
  };
  std::map<std::pair<std::string, std::string>, Future> exchanges_made, queues_made;

  bool vhost_known(const std::string& name) const {
    return plane.catalog_.vhost(name) ||
           std::any_of(vhosts.begin(), vhosts.end(), [&](const VhostRow& row) { return row.name == name; });
  }
  void demand_vhost(const std::string& name, const std::string& what) const {
    if (!vhost_known(name)) wrong(what + ": virtual host '" + name + "' does not exist");
  }

  void judge_vhosts() {
    for (const VhostRow& row : wanted.vhosts) {
      if (!is_name(row.name)) wrong("a virtual host's name is not valid");
      if (const Vhost* existing = plane.catalog_.vhost(row.name)) {
        // What the definitions say nothing of stays.
        VhostRow changed = row_of(*existing);
        if (!row.description.empty()) changed.description = row.description;
        if (!row.tags.empty()) changed.tags = row.tags;
        if (changed.description == existing->description && changed.tags == existing->tags) continue;
        edits.push_back(Put<VhostRow>{changed});
        changed_vhosts.insert_or_assign(row.name, std::move(changed));
        continue;
      }
      if (vhost_known(row.name)) continue;
      vhosts.push_back(row);
      edits.push_back(Put<VhostRow>{row});
    }
    if (plane.catalog_.vhosts().size() + vhosts.size() > plane.options_.limits.vhosts) wrong("too many virtual hosts");
  }

  void judge_vhost_limits() {
    for (const auto& [name, limits] : wanted.vhost_limits) {
      demand_vhost(name, "limits");
      const Vhost* existing = plane.catalog_.vhost(name);
      const auto made =
          std::find_if(vhosts.begin(), vhosts.end(), [&](const VhostRow& row) { return row.name == name; });
      const auto changed = changed_vhosts.find(name);
      VhostRow row = changed != changed_vhosts.end() ? changed->second : existing ? row_of(*existing) : *made;
      row.limits = limits;
      edits.push_back(Put<VhostRow>{row});
    }
  }

  void judge_users() {
    for (const UserRow& row : wanted.users) {
      if (!is_name(row.name)) wrong("a user's name is not valid");
      if (!row.password_hash.empty() && !hashing_is_known(row.hashing_algorithm)) {
        report.push_back("user '" + row.name + "': hashing algorithm '" + row.hashing_algorithm +
                         "' is not supported: left out");
        continue;
      }
      if (!row.password_hash.empty() && !hash_is_well_formed(row.hashing_algorithm, row.password_hash))
        wrong("user '" + row.name + "': the password hash is damaged");
      auto user = std::make_unique<User>();
      user->name = row.name;
      user->password_hash = row.password_hash;
      user->hashing_algorithm = row.hashing_algorithm;
      user->tags = row.tags;
      user->limits = row.limits;
      if (const User* existing = plane.catalog_.user(row.name)) {
        user->permissions = existing->permissions;
        user->topic_permissions = existing->topic_permissions;
        user->stored = existing->stored;
      }
      for (Edit& edit : plane.keep(*user)) edits.push_back(std::move(edit));
      user->stored = true;
      users.push_back(std::move(user));
    }
    if (plane.catalog_.users().size() + users.size() > plane.options_.limits.users) wrong("too many users");
  }

  // False, and said: there is no such user.
  bool user_known(const std::string& name, const std::string& vhost, const std::string& kind) {
    demand_vhost(vhost, kind + " of user '" + name + "'");
    if (plane.catalog_.user(name) ||
        std::any_of(users.begin(), users.end(), [&](const auto& user) { return user->name == name; }))
      return true;
    report.push_back(kind + " of user '" + name + "' in vhost '" + vhost + "': there is no such user: left out");
    return false;
  }
  // A demo account that is given permissions becomes an account like any other.
  void keep_account(const std::string& name) {
    if (const User* existing = plane.catalog_.user(name); existing && !existing->stored)
      for (Edit& edit : plane.keep(*existing)) edits.push_back(std::move(edit));
  }

  void judge_topic_permissions() {
    for (const TopicPermissionRow& row : wanted.topic_permissions) {
      if (!user_known(row.user, row.vhost, "topic permissions")) continue;
      auto permission = TopicPermission::compile(row.user, row.vhost, row.write, row.read);
      if (!permission) wrong("topic permissions of user '" + row.user + "': " + permission.error());
      keep_account(row.user);
      topic_permissions.emplace_back(row, *std::move(permission));
      edits.push_back(Put<TopicPermissionRow>{row});
    }
  }

  void judge_permissions() {
    for (const PermissionRow& row : wanted.permissions) {
      if (!user_known(row.user, row.vhost, "permissions")) continue;
      auto permission = Permission::compile(row.configure, row.write, row.read);
      if (!permission) wrong("permissions of user '" + row.user + "': " + permission.error());
      keep_account(row.user);
      permissions.emplace_back(row, *std::move(permission));
      edits.push_back(Put<PermissionRow>{row});
    }
  }

  void judge_policies() {
    for (PolicyRow row : wanted.policies) {
      std::string what = std::string(row.of_operators ? "operator policy '" : "policy '") + row.name + "' in vhost '" +
                         row.vhost + "'";
      demand_vhost(row.vhost, what);
      if (!is_name(row.name)) wrong("a policy's name is not valid");
      for (const std::string& setting : remove_unknown_settings(row.definition, row.of_operators))
        report.push_back(what + ": setting '" + setting + "' is not supported: left out");
      auto policy = compile_policy(row);
      if (!policy) {
        report.push_back(what + ": " + policy.error() + ": left out");
        continue;
      }
      edits.push_back(Put<PolicyRow>{row});
      policies.emplace_back(std::move(row), *std::move(policy));
    }
  }

  void judge_exchanges() {
    for (const ExchangeRow& row : wanted.exchanges) {
      std::string what = exchange_text(row.name, row.vhost);
      demand_vhost(row.vhost, what);
      if (row.name.size() > 255) wrong(what + ": the name is too long");
      if (row.name.empty() || row.name.starts_with("amq.")) continue;  // they come with their vhost
      broker::ExchangeType type{};
      if (!type_from_name(row.type, type)) {
        report.push_back(what + ": exchange type '" + row.type + "' is not supported: left out");
        continue;
      }
      if (auto refusal = check_exchange_arguments(type, row.arguments, what)) wrong(refusal->text);
      if (const Exchange* existing = find_exchange(row.vhost, row.name)) {
        ExchangeRow old = row_of(*existing);
        if (old.type != row.type || old.auto_delete != row.auto_delete || old.internal != row.internal ||
            old.durable != row.durable || !base::equivalent(old.arguments, row.arguments))
          report.push_back(what + " is there already and differs: kept as it is");
        continue;
      }
      if (!exchanges_made
               .emplace(std::pair(row.vhost, row.name),
                        Future{row.durable, routing_type_of(type, row.arguments), remembers(type, row.arguments)})
               .second)
        continue;
      exchanges.push_back(row);
      if (row.durable) edits.push_back(Put<ExchangeRow>{row});
    }
    if (plane.catalog_.exchange_count() + exchanges.size() > plane.options_.limits.exchanges)
      wrong("too many exchanges");
  }

  void judge_queues() {
    for (const QueueRow& row : wanted.queues) {
      std::string what = queue_text(row.name, row.vhost);
      demand_vhost(row.vhost, what);
      if (row.name.empty() || row.name.size() > 255) wrong(what + ": the name is not valid");
      if (const Queue* existing = find_queue(row.vhost, row.name)) {
        if (existing->durable != row.durable || existing->auto_delete != row.auto_delete ||
            check_queue_arguments_same(row.arguments, existing->arguments, what))
          report.push_back(what + " is there already and differs: kept as it is");
        continue;
      }
      if (auto refusal = check_queue_arguments(row.arguments, what)) {
        report.push_back(refusal->text + ": left out");
        continue;
      }
      if (!queues_made.emplace(std::pair(row.vhost, row.name), Future{row.durable, {}}).second) continue;
      queues.push_back(row);
      if (row.durable) edits.push_back(Put<QueueRow>{row});
    }
    if (plane.catalog_.queue_count() + queues.size() > plane.options_.limits.queues) wrong("too many queues");
    judge_queue_limits();
  }

  // By the limits that vhosts have already: definitions may hold more queues than their own limits would have let in.
  void judge_queue_limits() const {
    std::map<std::string, size_t> more;
    for (const QueueRow& row : queues) more[row.vhost]++;
    for (const auto& [name, count] : more) {
      const Vhost* vhost = plane.catalog_.vhost(name);
      if (!vhost) continue;
      const size_t there = vhost->queues.size();
      if (const auto limit = limit_reached(vhost->limits, max_queues, there + count - 1))
        wrong("Adding " + std::to_string(count) + " queue(s) to virtual host \"" + name +
              "\" would exceed the limit of " + std::to_string(*limit) + " queue(s): it has " + std::to_string(there) +
              " now");
    }
  }

  const Exchange* find_exchange(const std::string& vhost, const std::string& name) const {
    const Vhost* found = plane.catalog_.vhost(vhost);
    return found ? Catalog::exchange(*found, name) : nullptr;
  }
  const Queue* find_queue(const std::string& vhost, const std::string& name) const {
    const Vhost* found = plane.catalog_.vhost(vhost);
    return found ? Catalog::queue(*found, name) : nullptr;
  }
  // What the exchange or queue will be; nullopt: there will be none.
  std::optional<Future> exchange_to_be(const std::string& vhost, const std::string& name) const {
    if (const Exchange* existing = find_exchange(vhost, name))
      return Future{existing->durable, routing_type_of(existing->type, existing->arguments),
                    remembers(existing->type, existing->arguments)};
    if (!plane.catalog_.vhost(vhost))
      for (const auto& [predeclared, type] : predeclared_exchanges)
        if (name == predeclared) return Future{true, type};
    if (!plane.catalog_.vhost(vhost))
      for (const OwnExchange& own : own_exchanges)
        if (name == own.name && own.is_in(vhost)) return Future{true, broker::ExchangeType::topic};
    auto made = exchanges_made.find({vhost, name});
    return made == exchanges_made.end() ? std::nullopt : std::optional(made->second);
  }
  std::optional<Future> queue_to_be(const std::string& vhost, const std::string& name) const {
    if (const Queue* existing = find_queue(vhost, name)) return Future{existing->durable, {}};
    auto made = queues_made.find({vhost, name});
    return made == queues_made.end() ? std::nullopt : std::optional(made->second);
  }

  void judge_bindings() {
    for (BindingRow row : wanted.bindings) {
      row.source = own_name(row.vhost, row.source);
      std::string what = "binding from '" + row.source + "' to '" + row.destination + "' in vhost '" + row.vhost + "'";
      demand_vhost(row.vhost, what);
      if (row.key.size() > 255) wrong(what + ": the routing key is too long");
      if (row.source.empty()) continue;  // the default exchange binds by itself
      if (row.source == broker::management_exchange) wrong(what + ": nothing can be bound to it");
      auto source = exchange_to_be(row.vhost, row.source);
      auto destination = row.destination_is_queue ? queue_to_be(row.vhost, row.destination)
                                                  : exchange_to_be(row.vhost, row.destination);
      if (!source || !destination) {
        report.push_back(what + ": one of its ends is not there: left out");
        continue;
      }
      if (destination->remembers) {
        report.push_back(what + ": the destination remembers what is published to it: left out");
        continue;
      }
      if (auto refusal = check_binding(source->type, row.destination_is_queue, row.key, row.arguments))
        wrong(what + ": " + refusal->text);
      if (source->durable && destination->durable) edits.push_back(Put<BindingRow>{row});
      bindings.push_back(std::move(row));
    }
    if (plane.catalog_.binding_count() + bindings.size() > plane.options_.limits.bindings) wrong("too many bindings");
  }

  void make_all() {
    Catalog& catalog = plane.catalog_;
    for (const VhostRow& row : vhosts) plane.enter(row);
    for (const auto& [name, row] : changed_vhosts) {
      Vhost& vhost = *catalog.vhost(name);
      vhost.description = row.description;
      vhost.tags = row.tags;
    }
    for (const auto& [name, limits] : wanted.vhost_limits) catalog.vhost(name)->limits = limits;
    for (auto& user : users) {
      if (User* existing = catalog.user(user->name))
        *existing = std::move(*user);
      else
        plane.tell_user("user.created", catalog.add(std::move(user)));
    }
    for (auto& [row, permission] : permissions) {
      User& user = *catalog.user(row.user);
      user.permissions.insert_or_assign(row.vhost, std::move(permission));
      user.stored = true;
      plane.tell_permission("permission.created", row);
    }
    for (auto& [row, permission] : topic_permissions) {
      User& user = *catalog.user(row.user);
      user.topic_permissions.insert_or_assign({row.vhost, row.exchange}, std::move(permission));
      user.stored = true;
      plane.tell_permission("topic.permission.created", row);
    }
    std::set<std::string> governed;
    for (auto& [row, policy] : policies) {
      Vhost& vhost = *catalog.vhost(row.vhost);
      (row.of_operators ? vhost.operator_policies : vhost.user_policies).insert_or_assign(row.name, std::move(policy));
      plane.tell_policy("policy.set", row);
      governed.insert(row.vhost);
    }
    for (const std::string& vhost : governed) plane.govern(*catalog.vhost(vhost));
    for (const ExchangeRow& row : exchanges) plane.enter(made_of(row));
    for (const QueueRow& row : queues) plane.enter(made_of(row));
    for (const BindingRow& row : bindings) {
      auto binding = made_of(row);
      if (!Catalog::binding(*binding->source, binding->queue, binding->exchange, binding->key, binding->arguments))
        plane.enter(std::move(binding));
    }
    if (!users.empty() || !permissions.empty() || !topic_permissions.empty())
      plane.permissions_changed([](const Connection&) { return true; });
  }

  std::unique_ptr<Exchange> made_of(const ExchangeRow& row) const {
    auto exchange = std::make_unique<Exchange>();
    exchange->vhost = plane.catalog_.vhost(row.vhost);
    exchange->name = row.name;
    CHECK(type_from_name(row.type, exchange->type));
    exchange->durable = row.durable;
    exchange->auto_delete = row.auto_delete;
    exchange->internal = row.internal;
    exchange->arguments = row.arguments;
    return exchange;
  }
  std::unique_ptr<Queue> made_of(const QueueRow& row) const {
    auto queue = std::make_unique<Queue>();
    queue->vhost = plane.catalog_.vhost(row.vhost);
    queue->name = row.name;
    queue->durable = row.durable;
    queue->auto_delete = row.auto_delete;
    queue->arguments = row.arguments;
    queue->home = plane.home_of(*queue->vhost, row.name);
    return queue;
  }
  std::unique_ptr<Binding> made_of(const BindingRow& row) const {
    const Vhost& vhost = *plane.catalog_.vhost(row.vhost);
    auto binding = std::make_unique<Binding>();
    binding->source = Catalog::exchange(vhost, row.source);
    binding->queue = row.destination_is_queue ? Catalog::queue(vhost, row.destination) : nullptr;
    binding->exchange = row.destination_is_queue ? nullptr : Catalog::exchange(vhost, row.destination);
    binding->key = row.key;
    binding->arguments = row.arguments;
    return binding;
  }
};

Ticket Plane::import(const StoreContents& definitions, std::vector<std::string>& report) {
  Import work{*this, definitions, report, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}};
  try {
    work.judge_vhosts();
    work.judge_vhost_limits();
    work.judge_users();
    work.judge_permissions();
    work.judge_topic_permissions();
    work.judge_policies();
    work.judge_exchanges();
    work.judge_queues();
    work.judge_bindings();
  } catch (const Wrong& found) {
    return failed(found.error.fault, found.error.message);
  }
  if (auto saved = save(work.edits); !saved) return failed(Fault::store_failed, saved.error().text);
  work.make_all();
  return done();
}

}  // namespace talaria::control
