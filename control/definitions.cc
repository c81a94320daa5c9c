#include "control/definitions.h"

#include <algorithm>
#include <array>

#include "control/arguments.h"
#include "control/field_json.h"
#include "control/password.h"

namespace talaria::control {
namespace {

using nlohmann::json;

constexpr std::array sections_of_vhosts{"parameters", "policies", "queues", "exchanges", "bindings"};

bool is_exported(const Exchange& exchange) { return !exchange.predeclared; }
bool is_exported(const Queue& queue) { return queue.owner == nullptr; }
bool is_exported(const Binding& binding) { return !binding.queue || is_exported(*binding.queue); }

// A member of an entry, or what it is when it is not there.
template <class T>
T member(const json& entry, const char* name, T otherwise, const char* section) {
  auto found = entry.find(name);
  if (found == entry.end() || found->is_null()) return otherwise;
  try {
    return found->get<T>();
  } catch (const json::exception&) {
    throw DefinitionsError(std::string(section) + ": '" + name + "' has the wrong type");
  }
}

std::string required(const json& entry, const char* name, const char* section) {
  if (!entry.contains(name))
    throw DefinitionsError(
        std::string(section) + ": an entry lacks '" + name + "'" +
        (name == std::string_view("vhost") ? "; those of one virtual host are imported into one" : ""));
  return member<std::string>(entry, name, {}, section);
}

base::FieldTable table_of(const json& entry, const char* name, const char* section) {
  auto found = entry.find(name);
  if (found == entry.end()) return {};
  try {
    return from_plain_json(*found);
  } catch (const FieldJsonError& error) {
    throw DefinitionsError(std::string(section) + ": " + error.what());
  }
}

base::FieldTable arguments_of(const json& entry, const char* section) { return table_of(entry, "arguments", section); }

// A list, or one text with commas, as older versions wrote it.
std::vector<std::string> tags_of(const json& entry, const char* section) {
  auto found = entry.find("tags");
  if (found == entry.end() || found->is_null()) return {};
  if (!found->is_string()) return member<std::vector<std::string>>(entry, "tags", {}, section);
  std::vector<std::string> tags;
  std::string tag;
  for (char c : found->get<std::string>() + ",") {
    if (c != ',' && c != ' ') {
      tag += c;
    } else if (!tag.empty()) {
      tags.push_back(std::move(tag));
      tag.clear();
    }
  }
  return tags;
}

template <class Take>
void each(const json& definitions, const char* section, Take&& take) {
  auto found = definitions.find(section);
  if (found == definitions.end() || found->is_null()) return;
  if (!found->is_array()) throw DefinitionsError(std::string(section) + " is no list");
  for (const json& entry : *found) {
    if (!entry.is_object()) throw DefinitionsError(std::string(section) + " holds what is no object");
    take(entry);
  }
}

OperatorLimits limits_of(LimitsOf kind, const json& entry, const char* name, const char* section) {
  auto limits = member<OperatorLimits>(entry, name, {}, section);
  for (const auto& [limit, value] : limits)
    if (auto fault = limit_fault(kind, limit)) throw DefinitionsError(std::string(section) + ": " + *fault);
  return limits;
}

// A policy of users stands for itself, one of operators is the value of a parameter that has its name.
PolicyRow policy_of(const json& entry, const json& value, bool of_operators, const char* section) {
  PolicyRow row;
  row.vhost = required(entry, "vhost", section);
  row.name = required(entry, "name", section);
  row.of_operators = of_operators;
  row.pattern = required(value, "pattern", section);
  row.apply_to = member<std::string>(value, "apply-to", "all", section);
  row.priority = member<int64_t>(value, "priority", 0, section);
  if (!value.contains("definition") || !value["definition"].is_object())
    throw DefinitionsError(std::string(section) + ": policy '" + row.name + "' has no definition");
  row.definition = table_of(value, "definition", section);
  return row;
}

json json_of(const Policy& policy) {
  return {{"pattern", policy.pattern.text()},
          {"apply-to", policy.apply_to},
          {"priority", policy.priority},
          {"definition", to_plain_json(policy.definition)}};
}

// RabbitMQ keeps a vhost's limits and the operators' policies among the parameters. Others belong to plug-ins that are
// not here.
void take_parameter(const json& entry, StoreContents& contents, std::vector<std::string>& report) {
  const std::string component = required(entry, "component", "parameters");
  if (component == "operator_policy") {
    const auto value = entry.find("value");
    if (value == entry.end() || !value->is_object())
      throw DefinitionsError("parameters: an operator policy has no value");
    contents.policies.push_back(policy_of(entry, *value, true, "parameters"));
    return;
  }
  if (component != "vhost-limits") {
    report.push_back("parameters: component '" + component + "' is not supported: left out");
    return;
  }
  contents.vhost_limits.emplace_back(required(entry, "vhost", "parameters"),
                                     limits_of(LimitsOf::vhost, entry, "value", "parameters"));
}

// Newer versions tell of a vhost in its metadata, and there and beside it of its default queue type.
VhostRow vhost_of(const json& entry, std::vector<std::string>& report) {
  VhostRow row{required(entry, "name", "vhosts"), member<std::string>(entry, "description", {}, "vhosts"),
               tags_of(entry, "vhosts")};
  auto default_type = member<std::string>(entry, "default_queue_type", "undefined", "vhosts");
  if (const auto metadata = entry.find("metadata"); metadata != entry.end() && metadata->is_object()) {
    if (row.description.empty()) row.description = member<std::string>(*metadata, "description", {}, "vhosts");
    if (row.tags.empty()) row.tags = tags_of(*metadata, "vhosts");
    default_type = member<std::string>(*metadata, "default_queue_type", default_type, "vhosts");
  }
  if (default_type != "undefined" && !default_type.empty() && default_type != queue_type)
    report.push_back("vhost '" + row.name + "': default queue type '" + default_type + "' is not supported: left out");
  return row;
}

// What else the file holds.
void report_unknown_sections(const json& definitions, std::vector<std::string>& report) {
  constexpr std::string_view known[] = {"users", "vhosts", "permissions", "topic_permissions", "parameters",
                                        "global_parameters", "policies", "queues", "exchanges", "bindings",
                                        // About the file itself.
                                        "rabbit_version", "rabbitmq_version", "product_name", "product_version",
                                        "rabbitmq_definition_format", "original_cluster_name", "original_vhost_name",
                                        "explanation"};
  for (const auto& [name, value] : definitions.items())
    if (std::find(std::begin(known), std::end(known), name) == std::end(known))
      report.push_back("section '" + name + "' is not known: left out");
}

}  // namespace

json export_definitions(const Catalog& catalog, const std::string& version) {
  json out = {{"product_name", "Talaria"},   {"product_version", version},         {"users", json::array()},
              {"vhosts", json::array()},     {"permissions", json::array()},       {"topic_permissions", json::array()},
              {"parameters", json::array()}, {"global_parameters", json::array()}, {"policies", json::array()},
              {"queues", json::array()},     {"exchanges", json::array()},         {"bindings", json::array()}};
  for (const auto& [name, user] : catalog.users()) {
    if (!user->stored) continue;
    out["users"].push_back({{"name", name},
                            {"password_hash", user->password_hash},
                            {"hashing_algorithm", user->hashing_algorithm},
                            {"tags", user->tags},
                            {"limits", user->limits}});
    for (const auto& [vhost, permission] : user->permissions)
      out["permissions"].push_back({{"user", name},
                                    {"vhost", vhost},
                                    {"configure", permission.configure.text()},
                                    {"write", permission.write.text()},
                                    {"read", permission.read.text()}});
  }
  for (const auto& [name, user] : catalog.users()) {
    if (!user->stored) continue;
    for (const auto& [of, permission] : user->topic_permissions)
      out["topic_permissions"].push_back({{"user", name},
                                          {"vhost", of.first},
                                          {"exchange", of.second},
                                          {"write", permission.write.text()},
                                          {"read", permission.read.text()}});
  }
  for (const auto& [vhost_name, vhost] : catalog.vhosts()) {
    out["vhosts"].push_back(
        {{"name", vhost_name},
         {"description", vhost->description},
         {"tags", vhost->tags},
         {"metadata",
          {{"description", vhost->description}, {"tags", vhost->tags}, {"default_queue_type", queue_type}}}});
    if (!vhost->limits.empty())
      out["parameters"].push_back(
          {{"component", "vhost-limits"}, {"name", "limits"}, {"vhost", vhost_name}, {"value", vhost->limits}});
    for (const auto& [name, policy] : vhost->user_policies) {
      json entry = json_of(policy);
      entry["vhost"] = vhost_name;
      entry["name"] = name;
      out["policies"].push_back(std::move(entry));
    }
    for (const auto& [name, policy] : vhost->operator_policies)
      out["parameters"].push_back(
          {{"component", "operator_policy"}, {"name", name}, {"vhost", vhost_name}, {"value", json_of(policy)}});
    for (const auto& [name, queue] : vhost->queues)
      if (is_exported(*queue))
        out["queues"].push_back({{"name", name},
                                 {"vhost", vhost_name},
                                 {"durable", queue->durable},
                                 {"auto_delete", queue->auto_delete},
                                 {"arguments", to_plain_json(queue->arguments)}});
    for (const auto& [name, exchange] : vhost->exchanges)
      if (is_exported(*exchange))
        out["exchanges"].push_back({{"name", name},
                                    {"vhost", vhost_name},
                                    {"type", type_name(exchange->type)},
                                    {"durable", exchange->durable},
                                    {"auto_delete", exchange->auto_delete},
                                    {"internal", exchange->internal},
                                    {"arguments", to_plain_json(exchange->arguments)}});
    for (const auto& [identity, binding] : vhost->bindings)
      if (is_exported(*binding))
        out["bindings"].push_back({{"source", binding->source->name},
                                   {"vhost", vhost_name},
                                   {"destination", binding->destination()},
                                   {"destination_type", binding->queue ? "queue" : "exchange"},
                                   {"routing_key", binding->key},
                                   {"arguments", to_plain_json(binding->arguments)}});
  }
  return out;
}

json export_definitions(const Catalog& catalog, const std::string& version, const std::string& vhost) {
  json all = export_definitions(catalog, version);
  json out = {{"product_name", all["product_name"]},
              {"product_version", all["product_version"]},
              {"rabbitmq_definition_format", "single_virtual_host"},
              {"original_vhost_name", vhost}};
  for (const char* section : sections_of_vhosts) {
    out[section] = json::array();
    for (json& entry : all[section]) {
      if (entry["vhost"] != vhost) continue;
      entry.erase("vhost");
      out[section].push_back(std::move(entry));
    }
  }
  return out;
}

json definitions_for(const std::string& vhost, json definitions, std::vector<std::string>& report) {
  if (!definitions.is_object()) throw DefinitionsError("definitions are a JSON object");
  for (const char* section : {"vhosts", "users", "permissions", "topic_permissions", "global_parameters"})
    if (definitions.erase(section) != 0)
      report.push_back(std::string("section '") + section + "' is not of one virtual host: left out");
  for (const char* section : sections_of_vhosts) {
    const auto entries = definitions.find(section);
    if (entries == definitions.end() || !entries->is_array()) continue;
    for (json& entry : *entries)
      if (entry.is_object()) entry["vhost"] = vhost;
  }
  return definitions;
}

StoreContents parse_definitions(const json& definitions, std::vector<std::string>& report) {
  if (!definitions.is_object()) throw DefinitionsError("definitions are a JSON object");
  StoreContents contents;
  each(definitions, "vhosts", [&](const json& entry) { contents.vhosts.push_back(vhost_of(entry, report)); });
  each(definitions, "users", [&](const json& entry) {
    UserRow row;
    row.name = required(entry, "name", "users");
    row.password_hash = member<std::string>(entry, "password_hash", {}, "users");
    row.hashing_algorithm = member<std::string>(entry, "hashing_algorithm", std::string(sha256_hashing), "users");
    row.tags = tags_of(entry, "users");
    if (entry.contains("password"))
      throw DefinitionsError("users: '" + row.name + "' comes with a plain password, a password_hash is needed");
    row.limits = limits_of(LimitsOf::user, entry, "limits", "users");
    contents.users.push_back(std::move(row));
  });
  each(definitions, "permissions", [&](const json& entry) {
    contents.permissions.push_back({required(entry, "user", "permissions"), required(entry, "vhost", "permissions"),
                                    required(entry, "configure", "permissions"),
                                    required(entry, "write", "permissions"), required(entry, "read", "permissions")});
  });
  each(definitions, "topic_permissions", [&](const json& entry) {
    contents.topic_permissions.push_back(
        {required(entry, "user", "topic_permissions"), required(entry, "vhost", "topic_permissions"),
         required(entry, "exchange", "topic_permissions"), required(entry, "write", "topic_permissions"),
         required(entry, "read", "topic_permissions")});
  });
  each(definitions, "exchanges", [&](const json& entry) {
    ExchangeRow row;
    row.vhost = required(entry, "vhost", "exchanges");
    row.name = required(entry, "name", "exchanges");
    row.type = required(entry, "type", "exchanges");
    row.auto_delete = member(entry, "auto_delete", false, "exchanges");
    row.internal = member(entry, "internal", false, "exchanges");
    row.durable = member(entry, "durable", true, "exchanges");
    row.arguments = arguments_of(entry, "exchanges");
    contents.exchanges.push_back(std::move(row));
  });
  each(definitions, "queues", [&](const json& entry) {
    QueueRow row;
    row.vhost = required(entry, "vhost", "queues");
    row.name = required(entry, "name", "queues");
    row.auto_delete = member(entry, "auto_delete", false, "queues");
    row.durable = member(entry, "durable", true, "queues");
    row.arguments = arguments_of(entry, "queues");
    // Newer versions tell the type beside the arguments.
    std::string type = member<std::string>(entry, "type", "classic", "queues");
    if (type != "classic" && !base::find(row.arguments, "x-queue-type"))
      row.arguments.push_back({"x-queue-type", {type}});
    contents.queues.push_back(std::move(row));
  });
  each(definitions, "bindings", [&](const json& entry) {
    BindingRow row;
    row.vhost = required(entry, "vhost", "bindings");
    row.source = required(entry, "source", "bindings");
    row.destination = required(entry, "destination", "bindings");
    std::string kind = required(entry, "destination_type", "bindings");
    if (kind != "queue" && kind != "exchange")
      throw DefinitionsError("bindings: destination_type '" + kind + "' is neither queue nor exchange");
    row.destination_is_queue = kind == "queue";
    row.key = member<std::string>(entry, "routing_key", {}, "bindings");
    row.arguments = arguments_of(entry, "bindings");
    contents.bindings.push_back(std::move(row));
  });
  each(definitions, "parameters", [&](const json& entry) { take_parameter(entry, contents, report); });
  each(definitions, "policies",
       [&](const json& entry) { contents.policies.push_back(policy_of(entry, entry, false, "policies")); });
  each(definitions, "global_parameters", [&](const json& entry) {
    report.push_back("global parameter '" + required(entry, "name", "global_parameters") +
                     "' is not supported: left out");
  });
  report_unknown_sections(definitions, report);
  return contents;
}

}  // namespace talaria::control
