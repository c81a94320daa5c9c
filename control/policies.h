// Policies: settings that operators give to the queues and exchanges of a vhost by their names, after RabbitMQ's rules.
// Of the users' policies that match a name the one with the highest priority counts (among equals the first by name),
// and likewise of the operators'. The two are merged: of a number the lesser counts, of anything else the operator's.
// What a queue or an exchange was declared with stands beside that: of the numbers the lesser counts, of anything else
// the argument.
//
//     user policies ------ highest priority --.
//                                             +-- merged --.
//     operator policies -- highest priority --'            +-- what holds (as arguments)
//     arguments of the declaration ------------------------'
//
// Pure functions over values. Settings that RabbitMQ knows and this broker cannot honour are refused by name.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/permissions.h"
#include "control/store.h"
#include "core/base/field.h"

namespace talaria::control {

struct Policy {
  Pattern pattern;
  std::string apply_to;
  int64_t priority = 0;
  base::FieldTable definition;
};
using Policies = std::map<std::string, Policy, std::less<>>;  // of one vhost, by name

// What holds for a queue or an exchange; shared by all for which the same policies do. Empty names: there is none.
struct AppliedPolicies {
  std::string user_policy;
  std::string operator_policy;
  base::FieldTable definition;  // merged
};

// The error is a sentence for the operator.
std::expected<Policy, std::string> compile_policy(const PolicyRow& row);

enum class PolicySubject : uint8_t { queue, exchange };
// The policy that counts for something of that name, with its own name; the end if none does.
Policies::const_iterator matching_policy(const Policies& policies, PolicySubject subject, std::string_view name);
// Either may be null.
base::FieldTable merged_definition(const Policy* user, const Policy* operators);

// Arguments with what the policies say of a queue, or of an exchange, in the arguments' names.
base::FieldTable with_policies(PolicySubject subject, const base::FieldTable& arguments,
                               const base::FieldTable& definition);

// Takes out of a definition what cannot be honoured, and names it.
std::vector<std::string> remove_unknown_settings(base::FieldTable& definition, bool of_operators);

}  // namespace talaria::control
