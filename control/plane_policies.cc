// Policies: what they are, and what they make of the queues and exchanges that are there.

#include <spdlog/spdlog.h>

#include <utility>

#include "control/arguments.h"
#include "control/plane.h"
#include "control/printable.h"

namespace talaria::control {

Ticket Plane::set_policy(const PolicyRow& row) {
  Vhost* vhost = catalog_.vhost(row.vhost);
  if (!vhost) return failed(Fault::no_such_vhost, "virtual host '" + row.vhost + "' does not exist");
  if (!is_name(row.name)) return failed(Fault::bad_argument, "a policy's name is not valid");
  auto policy = compile_policy(row);
  if (!policy) return failed(Fault::bad_argument, policy.error());
  Policies& policies = row.of_operators ? vhost->operator_policies : vhost->user_policies;
  if (!policies.contains(row.name) &&
      vhost->user_policies.size() + vhost->operator_policies.size() >= options_.limits.policies_of_a_vhost)
    return failed(Fault::bad_argument, "too many policies");
  if (auto saved = save(std::vector<Edit>{Put<PolicyRow>{row}}); !saved)
    return failed(Fault::store_failed, saved.error().text);
  policies.insert_or_assign(row.name, *std::move(policy));
  govern(*vhost);
  tell_policy("policy.set", row);
  spdlog::info("policy '{}' in vhost '{}' was set for {} that match '{}'", printable(row.name), printable(row.vhost),
               row.apply_to, printable(row.pattern));
  return done();
}

Ticket Plane::clear_policy(const std::string& vhost_name, const std::string& name, bool of_operators) {
  Vhost* vhost = catalog_.vhost(vhost_name);
  if (!vhost) return failed(Fault::no_such_vhost, "virtual host '" + vhost_name + "' does not exist");
  Policies& policies = of_operators ? vhost->operator_policies : vhost->user_policies;
  const auto found = policies.find(name);
  if (found == policies.end())
    return failed(Fault::not_found, "there is no policy '" + name + "' in vhost '" + vhost_name + "'");
  if (auto saved = save(std::vector<Edit>{Erase<PolicyRow>{row_of(*vhost, name, found->second, of_operators)}}); !saved)
    return failed(Fault::store_failed, saved.error().text);
  policies.erase(found);
  govern(*vhost);
  PolicyRow row;
  row.vhost = vhost_name;
  row.name = name;
  tell_policy(of_operators ? "operator.policy.cleared" : "policy.cleared", row);
  spdlog::info("policy '{}' in vhost '{}' was cleared", printable(name), printable(vhost_name));
  return done();
}

std::shared_ptr<const AppliedPolicies> Plane::policies_for(Vhost& vhost, PolicySubject subject,
                                                           const std::string& name) {
  if (vhost.user_policies.empty() && vhost.operator_policies.empty()) return nullptr;
  const auto user = matching_policy(vhost.user_policies, subject, name);
  const auto operators = matching_policy(vhost.operator_policies, subject, name);
  const bool has_user = user != vhost.user_policies.end();
  const bool has_operators = operators != vhost.operator_policies.end();
  if (!has_user && !has_operators) return nullptr;
  auto key = std::pair(has_user ? user->first : std::string(), has_operators ? operators->first : std::string());
  auto& applied = vhost.applied_policies[key];
  if (!applied)
    applied = std::make_shared<const AppliedPolicies>(AppliedPolicies{
        key.first, key.second,
        merged_definition(has_user ? &user->second : nullptr, has_operators ? &operators->second : nullptr)});
  return applied;
}

// After its policies have changed.
void Plane::govern(Vhost& vhost) {
  vhost.applied_policies.clear();
  for (const auto& [name, exchange] : vhost.exchanges) {
    if (!decide(*exchange)) continue;
    broadcast(broker::ChangeExchange{exchange->id, exchange->alternate});
  }
  for (const auto& [name, queue] : vhost.queues) govern(*queue);
}

// The settings of a queue that moves change when it has arrived.
void Plane::govern(Queue& queue) {
  const bool moving = move_ && move_->queue == queue.id;
  if (decide(queue, moving)) broadcast(broker::ChangeQueue{queue.id, queue.settings});
}

// What policies and arguments make of it. True: that has changed. The default exchange has no alternate, nor
// has the one that takes commands.
bool Plane::decide(Exchange& exchange) {
  if (exchange.name.empty() || exchange.name == broker::management_exchange) return false;
  exchange.policies = policies_for(*exchange.vhost, PolicySubject::exchange, exchange.name);
  const base::FieldTable& arguments = exchange.arguments;
  std::string alternate = alternate_of(
      exchange.policies ? with_policies(PolicySubject::exchange, arguments, exchange.policies->definition) : arguments);
  if (alternate == exchange.alternate) return false;
  exchange.alternate = std::move(alternate);
  return true;
}

bool Plane::decide(Queue& queue, bool moving) {
  queue.policies = policies_for(*queue.vhost, PolicySubject::queue, queue.name);
  const base::FieldTable arguments =
      queue.policies ? with_policies(PolicySubject::queue, queue.arguments, queue.policies->definition)
                     : queue.arguments;
  decide_alerts(queue, arguments);
  if (moving) return false;
  auto settings = queue_settings_of(queue.name, arguments);
  if (settings && queue.settings ? *settings == *queue.settings : settings == queue.settings) return false;
  queue.settings = std::move(settings);
  return true;
}

// Of nobody's concern but the plane's.
void Plane::decide_alerts(Queue& queue, const base::FieldTable& arguments) {
  QueueAlerts wanted = alerts_of(arguments);
  if (!wanted.any()) return queue.alerts.reset();
  if (!queue.alerts) {
    queue.alerts = std::make_unique<QueueAlerts>(wanted);
    if (!std::exchange(queue.watched, true)) watched_queues_.push_back(queue.id);
    return;
  }
  // What is raised stays so until it is looked at.
  const auto keep = [](std::optional<Alert>& made, const std::optional<Alert>& before) {
    if (made && before) made->raised = before->raised;
  };
  keep(wanted.messages, queue.alerts->messages);
  keep(wanted.bytes, queue.alerts->bytes);
  *queue.alerts = wanted;
}

}  // namespace talaria::control
