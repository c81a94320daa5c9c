// RabbitMQ's definitions: the JSON its management plugin and rabbitmqctl export and import, with users (their hashes,
// not their passwords), vhosts with their limits, permissions, topic permissions, policies, exchanges, queues and
// bindings. What we have no place for (parameters of plug-ins, default queue types, ...) is left out and said so.
#pragma once

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "control/catalog.h"
#include "control/store.h"

namespace talaria::control {

class DefinitionsError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Everything except exclusive queues, what is predeclared, and the demo account. `version`: this broker's.
nlohmann::json export_definitions(const Catalog& catalog, const std::string& version);

// The same of one vhost: policies, parameters, queues, exchanges and bindings, which do not say of which.
nlohmann::json export_definitions(const Catalog& catalog, const std::string& version, const std::string& vhost);

// Those sections of definitions, of one vhost or not, as that vhost's; the others are left out, and `report` says so.
nlohmann::json definitions_for(const std::string& vhost, nlohmann::json definitions, std::vector<std::string>& report);

// Rows for Plane::import. `report` gets a sentence for every section that is left out. Throws DefinitionsError for what
// is no definitions.
StoreContents parse_definitions(const nlohmann::json& definitions, std::vector<std::string>& report);

}  // namespace talaria::control
