#include "control/verbs.h"

#include <algorithm>
#include <span>
#include <string>

namespace talaria::control {
namespace {

using nlohmann::json;

constexpr Verb verbs[] = {
    {"list_queues", Role::management, true},
    {"list_exchanges", Role::management, true},
    {"list_bindings", Role::management, true},
    {"list_consumers", Role::management, true},
    {"list_policies", Role::management, true},
    {"list_operator_policies", Role::management, true},
    {"set_policy", Role::policymaker, true},
    {"clear_policy", Role::policymaker, true},
    {"status", Role::monitoring},
    {"list_connections", Role::monitoring},
    {"list_channels", Role::monitoring},
    {"list_vhosts", Role::monitoring},
    {"list_vhost_limits", Role::monitoring},
    {"workers", Role::monitoring},
    {"counters", Role::monitoring},
    {"latency", Role::monitoring},
    {"turns", Role::monitoring},
    {"ports", Role::monitoring},
    {"list_users"},
    {"list_permissions", Role::administrator, true},
    {"list_topic_permissions", Role::administrator, true},
    {"list_user_topic_permissions"},
    {"list_user_limits"},
    {"add_user"},
    {"delete_user"},
    {"change_password"},
    {"set_user_tags"},
    {"add_vhost"},
    {"update_vhost_metadata"},
    {"delete_vhost"},
    {"trace_on", Role::administrator, true},
    {"trace_off", Role::administrator, true},
    {"set_permissions", Role::administrator, true},
    {"clear_permissions", Role::administrator, true},
    {"set_topic_permissions", Role::administrator, true},
    {"clear_topic_permissions", Role::administrator, true},
    {"set_vhost_limits", Role::administrator, true},
    {"clear_vhost_limits", Role::administrator, true},
    {"set_user_limits"},
    {"clear_user_limits"},
    {"set_operator_policy", Role::administrator, true},
    {"clear_operator_policy", Role::administrator, true},
    {"close_connection"},
    {"delete_queue", Role::administrator, true},
    {"purge_queue", Role::administrator, true},
    {"export_definitions"},
    {"import_definitions"},
    {"log_level"},
    {"stop"},
    {"capture_start", Role::administrator, false, true},
    {"capture_read", Role::administrator, false, true},
    {"capture_stop", Role::administrator, false, true},
};

}  // namespace

std::span<const Verb> all_verbs() { return verbs; }

const Verb* find_verb(std::string_view name) {
  const Verb* found = std::find_if(std::begin(verbs), std::end(verbs), [&](const Verb& v) { return v.name == name; });
  return found == std::end(verbs) ? nullptr : found;
}

bool may_give(const User& user, const Verb& verb, const json& arguments) {
  const auto is = [&](std::string_view tag) {
    return std::find(user.tags.begin(), user.tags.end(), tag) != user.tags.end();
  };
  if (is("administrator")) return true;
  // Whatever the vhost may be called instead of by its name, it is not his.
  const auto his_vhost = [&] {
    const auto vhost = arguments.find("vhost");
    return vhost != arguments.end() && vhost->is_string() && user.permissions.contains(vhost->get<std::string>());
  };
  switch (verb.role) {
    case Role::management: return is("monitoring") || ((is("management") || is("policymaker")) && his_vhost());
    case Role::policymaker: return is("policymaker") && his_vhost();
    case Role::monitoring: return is("monitoring");
    case Role::administrator: return false;
  }
  return false;
}

bool nested_too_deep(std::string_view text) {
  int depth = 0;
  bool in_text = false;
  for (size_t at = 0; at < text.size(); at++) {
    const char c = text[at];
    if (in_text) {
      if (c == '\\')
        at++;
      else if (c == '"')
        in_text = false;
    } else if (c == '"') {
      in_text = true;
    } else if (c == '[' || c == '{') {
      if (++depth > json_depth_max) return true;
    } else if (c == ']' || c == '}') {
      depth--;
    }
  }
  return false;
}

}  // namespace talaria::control
