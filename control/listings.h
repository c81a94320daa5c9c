// The catalog and the statistics as JSON rows, for the control socket. Columns are named as rabbitmqctl names them,
// with ours beside them. Read only.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "control/catalog.h"
#include "control/statistics.h"

namespace talaria::control {

// What columns the rows of a verb have, `workers`, `counters`, `latency` and `turns` included; none: it lists nothing.
std::span<const std::string_view> columns_of(std::string_view verb);

nlohmann::json list_queues(const Vhost& vhost);
nlohmann::json list_exchanges(const Vhost& vhost);
// With the default exchange's, which are in no index.
nlohmann::json list_bindings(const Vhost& vhost);
// `wall_offset_ms`: what is to be added to the catalog's time to have milliseconds since the epoch.
nlohmann::json list_connections(const Catalog& catalog, const Statistics& statistics, int64_t wall_offset_ms);
nlohmann::json list_channels(const Catalog& catalog);
nlohmann::json list_consumers(const Catalog& catalog, const Vhost& vhost);
nlohmann::json list_users(const Catalog& catalog);
nlohmann::json list_vhosts(const Catalog& catalog);
// Those that have limits; of one vhost or user if it is named.
nlohmann::json list_vhost_limits(const Catalog& catalog, const std::string& vhost);
nlohmann::json list_user_limits(const Catalog& catalog, const std::string& user);
// Of one vhost, or of one user.
nlohmann::json list_topic_permissions(const Catalog& catalog, const std::string& vhost);
nlohmann::json list_user_topic_permissions(const User& user);
// In the order of their priorities.
nlohmann::json list_policies(const Vhost& vhost, bool of_operators);
nlohmann::json list_permissions(const Catalog& catalog, const std::string& vhost);

// "<worker.slot.generation>": how an operator names a connection.
std::string connection_pid(const broker::SessionAddress& address);
// "<worker.slot.generation.channel>"
std::string channel_pid(const Connection& connection, uint16_t channel);
// False: that is no such name.
bool connection_from_pid(std::string_view text, broker::SessionAddress& address);

}  // namespace talaria::control
