#include "control/policies.h"

#include <algorithm>
#include <array>

#include "control/arguments.h"

namespace talaria::control {
namespace {

using base::Field;
using base::FieldTable;

struct PolicySetting {
  std::string_view name;
  std::string_view argument;  // what it is called when it is declared
  const char* noun;           // "5 is not a valid noun"
  PolicySubject subject = PolicySubject::queue;
  bool lesser_counts = false;  // between a policy, another one and an argument
  bool for_operators = false;
};

constexpr PolicySetting policy_settings[] = {
    {"message-ttl", "x-message-ttl", "message TTL", PolicySubject::queue, true, true},
    {"expires", "x-expires", "queue expiry", PolicySubject::queue, true, true},
    {"max-length", "x-max-length", "maximum length", PolicySubject::queue, true, true},
    {"max-length-bytes", "x-max-length-bytes", "maximum length in bytes", PolicySubject::queue, true, true},
    {"delivery-limit", "x-delivery-limit", "delivery limit", PolicySubject::queue, true, true},
    {"overflow", "x-overflow", "overflow value", PolicySubject::queue, false, true},
    {"consumer-timeout", "x-consumer-timeout", "consumer timeout", PolicySubject::queue, true},
    {"dead-letter-exchange", "x-dead-letter-exchange", "dead letter exchange name"},
    {"dead-letter-routing-key", "x-dead-letter-routing-key", "dead letter routing key"},
    {"slow-consumer-threshold", "x-slow-consumer-threshold", "slow consumer threshold"},
    {"slow-consumer-check-period", "x-slow-consumer-check-period", "slow consumer check period"},
    {"slow-consumer-policy", "x-slow-consumer-policy", "slow consumer policy"},
    {"alert-up", "x-alert-up", "alert threshold"},
    {"alert-down", "x-alert-down", "alert threshold"},
    {"alert-up-bytes", "x-alert-up-bytes", "alert threshold"},
    {"alert-down-bytes", "x-alert-down-bytes", "alert threshold"},
    {"alternate-exchange", "alternate-exchange", "alternate exchange name", PolicySubject::exchange},
    // They ask for an implementation, not a behaviour: taken without effect, as the arguments are.
    {"queue-mode", "x-queue-mode", "queue-mode value"},
    {"queue-version", "x-queue-version", "queue version"},
    {"queue-master-locator", "x-queue-master-locator", "queue master locator"},
    {"queue-leader-locator", "x-queue-leader-locator", "queue leader locator value"},
};

const PolicySetting* find_setting(std::string_view name) {
  const auto* found = std::find_if(std::begin(policy_settings), std::end(policy_settings),
                                   [&](const PolicySetting& setting) { return setting.name == name; });
  return found == std::end(policy_settings) ? nullptr : found;
}

const PolicySetting* find_setting(std::string_view name, bool of_operators) {
  const PolicySetting* found = find_setting(name);
  return found && (found->for_operators || !of_operators) ? found : nullptr;
}

bool value_is_valid(const PolicySetting& setting, const Field& value) {
  FieldTable arguments{{std::string(setting.argument), value}};
  if (setting.subject == PolicySubject::exchange)
    return !check_exchange_arguments(broker::ExchangeType::direct, arguments, "");
  // What means nothing alone is not wrong: another policy, or the declaration, may say the rest.
  static const std::pair<std::string_view, base::FieldEntry> refused_without[] = {
      {"x-dead-letter-routing-key", {"x-dead-letter-exchange", {std::string()}}},
      {"x-slow-consumer-check-period", {"x-slow-consumer-threshold", {int64_t{1}}}},
      {"x-slow-consumer-policy", {"x-slow-consumer-threshold", {int64_t{1}}}},
      {"x-alert-down", {"x-alert-up", {INT64_MAX}}},
      {"x-alert-down-bytes", {"x-alert-up-bytes", {INT64_MAX}}},
  };
  for (const auto& [name, needed] : refused_without)
    if (setting.argument == name) arguments.push_back(needed);
  return !check_dead_letter_exchange(arguments, "") && !check_queue_arguments(arguments, "");
}

std::string quoted_list(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "'" : ", '") + name + "'";
  return out;
}

// Below zero there is no limit (x-delivery-limit), which is more than any.
const Field& lesser(const Field& one, const Field& other) {
  const auto rank = [](const Field& value) { return static_cast<uint64_t>(value.integer()); };
  return rank(one) <= rank(other) ? one : other;
}

}  // namespace

std::vector<std::string> remove_unknown_settings(FieldTable& definition, bool of_operators) {
  std::vector<std::string> unknown;
  std::erase_if(definition, [&](const base::FieldEntry& entry) {
    if (find_setting(entry.name, of_operators)) return false;
    unknown.push_back(entry.name);
    return true;
  });
  return unknown;
}

std::expected<Policy, std::string> compile_policy(const PolicyRow& row) {
  constexpr std::array<std::string_view, 6> targets = {"all",           "queues",  "classic_queues",
                                                       "quorum_queues", "streams", "exchanges"};
  if (std::find(targets.begin(), targets.end(), row.apply_to) == targets.end())
    return std::unexpected("apply-to '" + row.apply_to +
                           "' unrecognised; should be one of: 'queues', 'classic_queues', 'quorum_queues', 'streams', "
                           "'exchanges', or 'all'");
  if (row.definition.empty()) return std::unexpected("no policy provided");
  FieldTable known = row.definition;
  if (const auto unknown = remove_unknown_settings(known, row.of_operators); !unknown.empty())
    return std::unexpected(quoted_list(unknown) + (unknown.size() == 1 ? " is" : " are") + " not recognised " +
                           (row.of_operators ? "operator " : "") + "policy settings, or not supported");
  for (const base::FieldEntry& entry : row.definition) {
    const PolicySetting& setting = *find_setting(entry.name);
    if (!value_is_valid(setting, entry.value))
      return std::unexpected(base::to_text(entry.value) + " is not a valid " + setting.noun);
  }
  auto pattern = Pattern::compile(row.pattern, Pattern::Empty::matches_everything);
  if (!pattern) return std::unexpected(pattern.error());
  return Policy{*std::move(pattern), row.apply_to, row.priority, row.definition};
}

Policies::const_iterator matching_policy(const Policies& policies, PolicySubject subject, std::string_view name) {
  auto best = policies.end();
  for (auto each = policies.begin(); each != policies.end(); each++) {
    const Policy& policy = each->second;
    const bool meant =
        policy.apply_to == "all" ||
        (subject == PolicySubject::exchange ? policy.apply_to == "exchanges"
                                            : policy.apply_to == "queues" || policy.apply_to == "classic_queues");
    if (!meant || (best != policies.end() && policy.priority <= best->second.priority)) continue;
    if (policy.pattern.matches(name)) best = each;
  }
  return best;
}

FieldTable merged_definition(const Policy* user, const Policy* operators) {
  FieldTable merged = user ? user->definition : FieldTable{};
  if (!operators) return merged;
  for (const base::FieldEntry& entry : operators->definition) {
    const auto same = std::find_if(merged.begin(), merged.end(),
                                   [&](const base::FieldEntry& other) { return other.name == entry.name; });
    if (same == merged.end())
      merged.push_back(entry);
    else
      same->value = find_setting(entry.name)->lesser_counts ? lesser(same->value, entry.value) : entry.value;
  }
  return merged;
}

FieldTable with_policies(PolicySubject subject, const FieldTable& arguments, const FieldTable& definition) {
  FieldTable out = arguments;
  for (const base::FieldEntry& entry : definition) {
    const PolicySetting& setting = *find_setting(entry.name);
    if (setting.subject != subject) continue;
    const Field* declared = base::find(arguments, setting.argument);
    // The last of a name counts.
    if (!declared)
      out.push_back({std::string(setting.argument), entry.value});
    else if (setting.lesser_counts)
      out.push_back({std::string(setting.argument), lesser(*declared, entry.value)});
  }
  return out;
}

}  // namespace talaria::control
