#include "control/listings.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <vector>

#include "control/arguments.h"
#include "control/field_json.h"

namespace talaria::control {
namespace {

using nlohmann::json;

int64_t milliseconds(base::Time time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

// The thresholds that it has passed.
json raised_alerts(const Queue& queue) {
  json raised = json::array();
  if (!queue.alerts) return raised;
  if (queue.alerts->messages && queue.alerts->messages->raised) raised.push_back("messages");
  if (queue.alerts->bytes && queue.alerts->bytes->raised) raised.push_back("bytes");
  return raised;
}

json queue_row(const Queue& queue) {
  const broker::QueueCounters& counters = *queue.counters;
  uint64_t ready = counters.ready.value();
  uint64_t unacknowledged = counters.unacknowledged.value();
  return {
      {"name", queue.name},
      {"vhost", queue.vhost->name},
      {"type", "classic"},
      {"durable", queue.durable},
      {"auto_delete", queue.auto_delete},
      {"exclusive", queue.owner != nullptr},
      {"owner_pid", queue.owner ? connection_pid(queue.owner->address) : ""},
      {"arguments", to_plain_json(queue.arguments)},
      {"policy", queue.policies ? queue.policies->user_policy : ""},
      {"operator_policy", queue.policies ? queue.policies->operator_policy : ""},
      {"effective_policy_definition", to_plain_json(queue.policies ? queue.policies->definition : base::FieldTable{})},
      {"state", "running"},
      {"alerts", raised_alerts(queue)},
      {"worker", queue.home},
      {"messages", ready + unacknowledged},
      {"messages_ready", ready},
      {"messages_unacknowledged", unacknowledged},
      {"message_bytes_ready", counters.bytes_ready.value()},
      {"consumers", counters.consumers.value()},
      {"enqueued", counters.enqueued.value()},
      {"delivered", counters.delivered.value()},
      {"acknowledged", counters.acknowledged.value()},
      {"redelivered", counters.redelivered.value()}};
}

json binding_row(const std::string& source, const char* kind, const std::string& destination, const std::string& key,
                 json arguments) {
  return {{"source_name", source},    {"source_kind", "exchange"}, {"destination_name", destination},
          {"destination_kind", kind}, {"routing_key", key},        {"arguments", std::move(arguments)}};
}

}  // namespace

std::string connection_pid(const broker::SessionAddress& address) {
  return "<" + std::to_string(address.worker) + "." + std::to_string(address.session.slot) + "." +
         std::to_string(address.session.generation) + ">";
}

std::string channel_pid(const Connection& connection, uint16_t channel) {
  std::string pid = connection_pid(connection.address);
  pid.insert(pid.size() - 1, "." + std::to_string(channel));
  return pid;
}

bool connection_from_pid(std::string_view text, broker::SessionAddress& address) {
  if (!text.starts_with('<') || !text.ends_with('>')) return false;
  text = text.substr(1, text.size() - 2);
  std::array<uint32_t, 3> parts{};
  const char* at = text.data();
  const char* end = at + text.size();
  for (size_t i = 0; i < parts.size(); i++) {
    if (i > 0 && (at == end || *at++ != '.')) return false;
    auto [next, error] = std::from_chars(at, end, parts[i]);
    if (error != std::errc{}) return false;
    at = next;
  }
  if (at != end || parts[0] >= broker::workers_max) return false;
  address = {{parts[1], parts[2]}, static_cast<broker::WorkerIndex>(parts[0])};
  return true;
}

std::span<const std::string_view> columns_of(std::string_view verb) {
  static const std::map<std::string_view, std::vector<std::string_view>> columns = {
      {"list_queues",
       {"name",
        "vhost",
        "type",
        "durable",
        "auto_delete",
        "exclusive",
        "owner_pid",
        "arguments",
        "policy",
        "operator_policy",
        "effective_policy_definition",
        "state",
        "alerts",
        "worker",
        "messages",
        "messages_ready",
        "messages_unacknowledged",
        "message_bytes_ready",
        "consumers",
        "enqueued",
        "delivered",
        "acknowledged",
        "redelivered"}},
      {"list_exchanges", {"name", "vhost", "type", "durable", "auto_delete", "internal", "arguments", "policy"}},
      {"list_bindings",
       {"source_name", "source_kind", "destination_name", "destination_kind", "routing_key", "arguments"}},
      {"list_connections",
       {"pid",
        "name",
        "user",
        "vhost",
        "peer_host",
        "peer_port",
        "protocol",
        "state",
        "worker",
        "channels",
        "channel_max",
        "frame_max",
        "timeout",
        "client_properties",
        "connected_at",
        "recv_oct",
        "send_oct",
        "send_pend",
        "messages_in",
        "messages_out",
        "messages_unacknowledged",
        "rtt_us",
        "congestion_window",
        "peer_window",
        "retransmissions",
        "segment_size",
        "out_of_order",
        "reordered",
        "zero_window_ms",
        "last_stall",
        "last_stall_at"}},
      {"list_channels",
       {"pid", "connection", "name", "number", "user", "vhost", "transactional", "confirm", "consumer_count",
        "messages_unacknowledged", "messages_unconfirmed", "prefetch_count", "global_prefetch_count"}},
      {"list_consumers",
       {"queue_name", "channel_pid", "consumer_tag", "ack_required", "exclusive", "prefetch_count", "active",
        "arguments"}},
      {"list_users", {"user", "tags"}},
      {"list_vhosts", {"name", "description", "tags", "default_queue_type", "tracing"}},
      {"list_vhost_limits", {"vhost", "limits"}},
      {"list_user_limits", {"user", "limits"}},
      {"list_permissions", {"user", "configure", "write", "read"}},
      {"list_topic_permissions", {"user", "exchange", "write", "read"}},
      {"list_user_topic_permissions", {"vhost", "exchange", "write", "read"}},
      {"list_policies", {"vhost", "name", "pattern", "apply-to", "definition", "priority"}},
      {"list_operator_policies", {"vhost", "name", "pattern", "apply-to", "definition", "priority"}},
      {"workers", {"worker",           "core",
                   "isolated",         "busy_percent",
                   "idle_percent",     "asleep_percent",
                   "packets_in_rate",  "packets_out_rate",
                   "messages_in_rate", "messages_out_rate",
                   "longest_turn_us",  "connections",
                   "pool_used",        "pool_total",
                   "turns_busy",       "turns_idle",
                   "busy_ns",          "asleep_ns",
                   "packets_in",       "packets_out",
                   "messages_in",      "messages_out",
                   "refusals"}},
      {"counters", {"worker", "layer", "counter", "value"}},
      {"latency", {"worker", "messages", "p50_us", "p90_us", "p99_us", "p99.9_us", "p99.99_us", "max_us"}},
      {"turns",
       {"worker", "turns", "p50_us", "p90_us", "p99_us", "p99.9_us", "p99.99_us", "max_us", "over_10us", "over_100us",
        "over_1ms", "over_10ms"}},
  };
  auto found = columns.find(verb);
  if (found == columns.end()) return {};
  return found->second;
}

json list_queues(const Vhost& vhost) {
  json rows = json::array();
  for (const auto& [name, queue] : vhost.queues) rows.push_back(queue_row(*queue));
  return rows;
}

json list_exchanges(const Vhost& vhost) {
  json rows = json::array();
  for (const auto& [name, exchange] : vhost.exchanges)
    rows.push_back({{"name", name},
                    {"vhost", vhost.name},
                    {"type", type_name(exchange->type)},
                    {"durable", exchange->durable},
                    {"auto_delete", exchange->auto_delete},
                    {"internal", exchange->internal},
                    {"arguments", to_plain_json(exchange->arguments)},
                    {"policy", exchange->policies ? exchange->policies->user_policy : ""}});
  return rows;
}

json list_bindings(const Vhost& vhost) {
  json rows = json::array();
  for (const auto& [name, queue] : vhost.queues) rows.push_back(binding_row("", "queue", name, name, json::object()));
  for (const auto& [identity, binding] : vhost.bindings)
    rows.push_back(binding_row(binding->source->name, binding->queue ? "queue" : "exchange", binding->destination(),
                               binding->key, to_plain_json(binding->arguments)));
  return rows;
}

json list_connections(const Catalog& catalog, const Statistics& statistics, int64_t wall_offset_ms) {
  json rows = json::array();
  for (const auto& [address, connection] : catalog.connections()) {
    const broker::OpenConnection& opened = connection->opened;
    ConnectionFigures figures;
    statistics.connection(address, figures);
    // Before the first stall there is nothing to tell.
    json last_stall_at = nullptr;
    if (figures.last_stall_at != base::Time()) last_stall_at = milliseconds(figures.last_stall_at) + wall_offset_ms;
    size_t colon = opened.peer.rfind(':');
    std::string peer_host = opened.peer.substr(0, colon);
    if (peer_host.starts_with('[') && peer_host.ends_with(']')) peer_host = peer_host.substr(1, peer_host.size() - 2);
    rows.push_back({{"pid", connection_pid(address)},
                    {"name", opened.peer},
                    {"user", opened.user},
                    {"vhost", opened.vhost},
                    {"peer_host", std::move(peer_host)},
                    {"peer_port", colon == std::string::npos ? "" : opened.peer.substr(colon + 1)},
                    {"protocol", opened.protocol},
                    {"state", !connection->vhost ? "closing" : (figures.blocked ? "blocked" : "running")},
                    {"worker", address.worker},
                    {"channels", connection->channels.size()},
                    {"channel_max", opened.channel_max},
                    {"frame_max", opened.frame_max},
                    {"timeout", opened.heartbeat},
                    {"client_properties", to_plain_json(opened.client_properties)},
                    {"connected_at", milliseconds(connection->since) + wall_offset_ms},
                    {"recv_oct", figures.bytes_in},
                    {"send_oct", figures.bytes_out},
                    {"send_pend", figures.send_buffered},
                    {"messages_in", figures.messages_in},
                    {"messages_out", figures.messages_out},
                    {"messages_unacknowledged", figures.unacknowledged},
                    {"rtt_us", static_cast<double>(figures.smoothed_rtt_ns) / 1000.0},
                    {"congestion_window", figures.congestion_window},
                    {"peer_window", figures.peer_window},
                    {"retransmissions", figures.retransmissions},
                    {"segment_size", figures.segment_size},
                    {"out_of_order", figures.out_of_order},
                    {"reordered", figures.reordered},
                    {"zero_window_ms", static_cast<double>(figures.zero_window_ns) / 1e6},
                    {"last_stall", figures.last_stall},
                    {"last_stall_at", last_stall_at}});
  }
  return rows;
}

json list_channels(const Catalog& catalog) {
  json rows = json::array();
  for (const auto& [address, connection] : catalog.connections())
    for (const auto& [number, channel] : connection->channels)
      rows.push_back({{"pid", channel_pid(*connection, number)},
                      {"connection", connection_pid(address)},
                      {"name", connection->opened.peer + " (" + std::to_string(number) + ")"},
                      {"number", number},
                      {"user", connection->opened.user},
                      {"vhost", connection->opened.vhost},
                      {"transactional", channel.transactional},
                      {"confirm", channel.confirms},
                      {"consumer_count", channel.consumers.size()},
                      {"messages_unacknowledged", channel.counters ? channel.counters->unacknowledged.value() : 0},
                      {"messages_unconfirmed", channel.counters ? channel.counters->unconfirmed.value() : 0},
                      {"prefetch_count", channel.prefetch},
                      {"global_prefetch_count", channel.global_prefetch}});
  return rows;
}

json list_consumers(const Catalog& catalog, const Vhost& vhost) {
  json rows = json::array();
  for (const auto& [address, connection] : catalog.connections()) {
    if (connection->vhost != &vhost) continue;
    for (const auto& [number, channel] : connection->channels) {
      for (const auto& [tag, consumer] : channel.consumers) {
        // A consumer of a queue that has gone is cancelled: its notice is on its way.
        const Queue* queue = catalog.queue(consumer.queue);
        if (!queue) continue;
        rows.push_back({{"queue_name", queue->name},
                        {"channel_pid", channel_pid(*connection, number)},
                        {"consumer_tag", tag},
                        {"ack_required", !consumer.no_ack},
                        {"exclusive", consumer.exclusive},
                        {"prefetch_count", consumer.prefetch},
                        {"active", true},
                        {"arguments", to_plain_json(consumer.arguments)}});
      }
    }
  }
  return rows;
}

json list_users(const Catalog& catalog) {
  json rows = json::array();
  for (const auto& [name, user] : catalog.users()) rows.push_back({{"user", name}, {"tags", user->tags}});
  return rows;
}

json list_vhosts(const Catalog& catalog) {
  json rows = json::array();
  for (const auto& [name, vhost] : catalog.vhosts())
    rows.push_back({{"name", name},
                    {"description", vhost->description},
                    {"tags", vhost->tags},
                    {"default_queue_type", queue_type},
                    {"tracing", vhost->traced}});
  return rows;
}

json list_vhost_limits(const Catalog& catalog, const std::string& vhost) {
  json rows = json::array();
  for (const auto& [name, each] : catalog.vhosts())
    if (!each->limits.empty() && (vhost.empty() || vhost == name))
      rows.push_back({{"vhost", name}, {"limits", each->limits}});
  return rows;
}

json list_user_limits(const Catalog& catalog, const std::string& user) {
  json rows = json::array();
  for (const auto& [name, each] : catalog.users())
    if (!each->limits.empty() && (user.empty() || user == name))
      rows.push_back({{"user", name}, {"limits", each->limits}});
  return rows;
}

json list_topic_permissions(const Catalog& catalog, const std::string& vhost) {
  json rows = json::array();
  for (const auto& [name, user] : catalog.users())
    for (const auto& [of, permission] : user->topic_permissions)
      if (of.first == vhost)
        rows.push_back({{"user", name},
                        {"exchange", of.second},
                        {"write", permission.write.text()},
                        {"read", permission.read.text()}});
  return rows;
}

json list_user_topic_permissions(const User& user) {
  json rows = json::array();
  for (const auto& [of, permission] : user.topic_permissions)
    rows.push_back({{"vhost", of.first},
                    {"exchange", of.second},
                    {"write", permission.write.text()},
                    {"read", permission.read.text()}});
  return rows;
}

json list_policies(const Vhost& vhost, bool of_operators) {
  json rows = json::array();
  for (const auto& [name, policy] : of_operators ? vhost.operator_policies : vhost.user_policies)
    rows.push_back({{"vhost", vhost.name},
                    {"name", name},
                    {"pattern", policy.pattern.text()},
                    {"apply-to", policy.apply_to},
                    {"definition", to_plain_json(policy.definition)},
                    {"priority", policy.priority}});
  std::stable_sort(rows.begin(), rows.end(),
                   [](const json& one, const json& other) { return one["priority"] < other["priority"]; });
  return rows;
}

json list_permissions(const Catalog& catalog, const std::string& vhost) {
  json rows = json::array();
  for (const auto& [name, user] : catalog.users()) {
    auto permission = user->permissions.find(vhost);
    if (permission == user->permissions.end()) continue;
    rows.push_back({{"user", name},
                    {"configure", permission->second.configure.text()},
                    {"write", permission->second.write.text()},
                    {"read", permission->second.read.text()}});
  }
  return rows;
}

}  // namespace talaria::control
