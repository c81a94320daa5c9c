// What happens, told to whoever listens: messages to two topic exchanges of the vhost "/". An event has a key as
// RabbitMQ's amq.rabbitmq.event has it, headers that tell the rest, and no body; a log line has its level as key and
// its text as body. Nobody makes either while nothing is bound there.

#include <chrono>

#include "control/listings.h"
#include "control/plane.h"
#include "core/amqp091/wire/properties.h"
#include "core/amqp091/wire/reply.h"
#include "core/amqp091/wire/table.h"

namespace talaria::control {
namespace {

using base::Field;
using base::FieldTable;
namespace wire = amqp091::wire;

// What any client can take: the smallest frame, and a content header's fixed part.
constexpr size_t properties_max = wire::frame_min_size - wire::frame_overhead - wire::content_header_fixed_size;

std::vector<uint8_t> encoded(const FieldTable& headers, wire::Properties properties) {
  std::vector<uint8_t> table(wire::table_size(headers));
  base::Writer table_writer(table);
  wire::emit_table(table_writer, headers);
  properties.headers.bytes = base::Bytes(table).subspan(sizeof(uint32_t));
  properties.set(wire::Property::headers);
  std::vector<uint8_t> out(table.size() + 64);
  base::Writer writer(out);
  wire::emit_properties(writer, properties);
  if (!table_writer.ok() || !writer.ok() || writer.size() > properties_max) return {};
  out.resize(writer.size());
  return out;
}

// What clients and operators may make as long as they like: texts are cut, tables and lists left out.
void clip(FieldTable& headers, size_t octets_max) {
  std::erase_if(headers, [&](base::FieldEntry& entry) {
    if (auto* text = std::get_if<std::string>(&entry.value.value))
      text->resize(wire::clipped(*text, octets_max).size());
    const auto* table = std::get_if<FieldTable>(&entry.value.value);
    const auto* array = std::get_if<base::FieldArray>(&entry.value.value);
    return (table && wire::table_size(*table) > octets_max) ||
           (array && wire::table_size({{"", entry.value}}) > octets_max);
  });
}

FieldTable with(FieldTable first, std::initializer_list<base::FieldEntry> more) {
  first.insert(first.end(), more);
  return first;
}

Field text(std::string_view value) { return {std::string(value)}; }
Field number(int64_t value) { return {value}; }
Field texts(const std::vector<std::string>& values) {
  base::FieldArray array;
  for (const std::string& value : values) array.push_back(text(value));
  return {std::move(array)};
}
Field table_of(const OperatorLimits& limits) {
  FieldTable table;
  for (const auto& [name, value] : limits) table.emplace_back(name, number(value));
  return {std::move(table)};
}

}  // namespace

const Exchange* Plane::listened_to(std::string_view name) const {
  if (loading_) return nullptr;
  const Vhost* vhost = catalog_.vhost("/");
  const Exchange* exchange = vhost ? Catalog::exchange(*vhost, name) : nullptr;
  return exchange && !exchange->outgoing.empty() ? exchange : nullptr;
}

void Plane::announce(const Exchange& exchange, std::string_view key, FieldTable headers, std::string_view content_type,
                     std::string body) {
  const auto wall =
      std::chrono::floor<std::chrono::milliseconds>(now_.time_since_epoch() + options_.wall_clock_ahead).count();
  headers.emplace_back("timestamp_in_ms", number(wall));
  wire::Properties properties;
  properties.delivery_mode = 2;
  properties.set(wire::Property::delivery_mode);
  properties.timestamp = static_cast<uint64_t>(wall / 1000);
  properties.set(wire::Property::timestamp);
  if (!content_type.empty()) {
    properties.content_type = content_type;
    properties.set(wire::Property::content_type);
  }
  auto made = std::make_unique<broker::Announcement>();
  made->vhost = exchange.vhost->id;
  made->exchange = exchange.name;
  made->routing_key = key;
  made->properties = encoded(headers, properties);
  // Of some events only the shortest form fits.
  for (const size_t octets_max : {255, 32}) {
    if (!made->properties.empty()) break;
    if (octets_max == 255) headers.emplace_back("truncated", Field{true});
    clip(headers, octets_max);
    made->properties = encoded(headers, properties);
  }
  CHECK(!made->properties.empty());  // no event has more than two dozen headers
  made->body = std::move(body);
  command(0, worker::Announce{made.release()});
}

template <class Make>
void Plane::event(std::string_view key, Make&& headers) {
  const Exchange* exchange = listened_to(event_exchange);
  if (!exchange) return;
  FieldTable table = headers();
  table.emplace_back("user_who_performed_action", text(acting_.empty() ? operators_name : acting_));
  announce(*exchange, key, std::move(table), "", "");
}

void Plane::log_line(std::string_view level, std::string_view line) {
  if (const Exchange* exchange = listened_to(log_exchange))
    announce(*exchange, level, FieldTable{{"level", text(level)}}, "text/plain",
             std::string(line.substr(0, log_line_max)));
}

void Plane::port_changed(uint8_t port, std::string_view name, bool up, uint32_t speed_mbps) {
  if (up)
    for (broker::WorkerIndex index = 0; index < workers(); index++) command(index, worker::LinkUp{port});
  const Acting by_itself(*this, brokers_name);
  event(up ? "port.up" : "port.down", [&] {
    return FieldTable{{"name", text(name)}, {"speed_mbps", number(speed_mbps)}};
  });
}

// Each worker says whether its message memory is short; a change that is over before anybody looks is not told.
void Plane::watch_pressure() {
  if (!options_.pressure) return;
  for (broker::WorkerIndex index = 0; index < workers(); index++) {
    const bool pressed = options_.pressure->workers[index].pressed.value() != 0;
    if (pressed == workers_[index].pressed) continue;
    workers_[index].pressed = pressed;
    const Acting by_itself(*this, brokers_name);
    event(pressed ? "alarm.set" : "alarm.cleared", [&] {
      return FieldTable{{"resource", text("memory")}, {"worker", number(index)}};
    });
  }
}

void Plane::look(const Queue& queue, Alert& alert, std::string_view what, uint64_t value) {
  if (!alert.look(value)) return;
  const Acting by_itself(*this, brokers_name);
  event(alert.raised ? "threshold.up" : "threshold.down", [&] {
    return FieldTable{{"name", text(queue.name)},
                      {"vhost", text(queue.vhost->name)},
                      {"of", text(what)},
                      {"threshold", number(static_cast<int64_t>(alert.raised ? alert.limit.up : alert.limit.down))},
                      {"messages_ready", number(static_cast<int64_t>(queue.counters->ready.value()))},
                      {"message_bytes_ready", number(static_cast<int64_t>(queue.counters->bytes_ready.value()))}};
  });
}

// A bounded number of queues, in turn.
void Plane::watch_thresholds() {
  for (size_t done = 0; done < alerts_per_poll && done < watched_queues_.size(); done++) {
    if (next_watched_ >= watched_queues_.size()) next_watched_ = 0;
    Queue* queue = catalog_.queue(watched_queues_[next_watched_]);
    if (!queue || !queue->alerts) {
      if (queue) queue->watched = false;
      watched_queues_[next_watched_] = watched_queues_.back();
      watched_queues_.pop_back();
      continue;
    }
    next_watched_++;
    if (queue->alerts->messages) look(*queue, *queue->alerts->messages, "messages", queue->counters->ready.value());
    if (queue->alerts->bytes) look(*queue, *queue->alerts->bytes, "bytes", queue->counters->bytes_ready.value());
  }
}

// ---- topology -------------------------------------------------------------------------------------------------------

void Plane::tell(std::string_view key, const Vhost& vhost) {
  event(key, [&] {
    return FieldTable{
        {"name", text(vhost.name)}, {"description", text(vhost.description)}, {"tags", texts(vhost.tags)}};
  });
}

void Plane::tell(std::string_view key, const Exchange& exchange) {
  event(key, [&] {
    return FieldTable{{"name", text(exchange.name)},
                      {"vhost", text(exchange.vhost->name)},
                      {"type", text(type_name(exchange.type))},
                      {"durable", {exchange.durable}},
                      {"auto_delete", {exchange.auto_delete}},
                      {"internal", {exchange.internal}},
                      {"arguments", {exchange.arguments}}};
  });
}

void Plane::tell(std::string_view key, const Queue& queue) {
  event(key, [&] {
    return FieldTable{{"name", text(queue.name)},
                      {"vhost", text(queue.vhost->name)},
                      {"type", text("classic")},
                      {"durable", {queue.durable}},
                      {"auto_delete", {queue.auto_delete}},
                      {"exclusive", {queue.owner != nullptr}},
                      {"owner_pid", text(queue.owner ? connection_pid(queue.owner->address) : "")},
                      {"arguments", {queue.arguments}}};
  });
}

void Plane::tell(std::string_view key, const Binding& binding) {
  event(key, [&] {
    return FieldTable{{"source_name", text(binding.source->name)},
                      {"source_kind", text("exchange")},
                      {"destination_name", text(binding.destination())},
                      {"destination_kind", text(binding.queue ? "queue" : "exchange")},
                      {"routing_key", text(binding.key)},
                      {"vhost", text(binding.vhost().name)},
                      {"arguments", {binding.arguments}}};
  });
}

// ---- clients --------------------------------------------------------------------------------------------------------

void Plane::tell_login(bool good, const broker::Authenticate& request) {
  event(good ? "user.authentication.success" : "user.authentication.failure", [&] {
    return FieldTable{{"name", text(request.user)},
                      {"auth_mechanism", text(request.mechanism)},
                      {"connection_name", text(request.peer)}};
  });
}

void Plane::tell(std::string_view key, const Connection& connection) {
  event(key, [&] {
    const broker::OpenConnection& opened = connection.opened;
    return FieldTable{{"pid", text(connection_pid(connection.address))},
                      {"name", text(opened.peer)},
                      {"user", text(opened.user)},
                      {"vhost", text(opened.vhost)},
                      {"protocol", text(opened.protocol)},
                      {"channel_max", number(opened.channel_max)},
                      {"frame_max", number(opened.frame_max)},
                      {"timeout", number(opened.heartbeat)},
                      {"client_properties", {opened.client_properties}}};
  });
}

void Plane::tell(std::string_view key, const Connection& connection, uint16_t channel) {
  event(key, [&] {
    return FieldTable{{"pid", text(channel_pid(connection, channel))},
                      {"name", text(connection.opened.peer + " (" + std::to_string(channel) + ")")},
                      {"connection", text(connection_pid(connection.address))},
                      {"number", number(channel)},
                      {"user", text(connection.opened.user)},
                      {"vhost", text(connection.opened.vhost)}};
  });
}

void Plane::tell(std::string_view key, const Connection& connection, uint16_t channel, const std::string& tag,
                 const Consumer& consumer) {
  event(key, [&] {
    const Queue* queue = catalog_.queue(consumer.queue);
    return FieldTable{{"consumer_tag", text(tag)},
                      {"channel", text(channel_pid(connection, channel))},
                      {"queue", text(queue ? queue->name : "")},
                      {"vhost", text(connection.opened.vhost)},
                      {"ack_required", {!consumer.no_ack}},
                      {"exclusive", {consumer.exclusive}},
                      {"prefetch_count", number(consumer.prefetch)},
                      {"arguments", {consumer.arguments}}};
  });
}

// Its consumers go with it, and nobody else says so.
void Plane::tell_end(const Connection& connection, uint16_t number, const Channel& channel) {
  for (const auto& [tag, consumer] : channel.consumers) tell("consumer.deleted", connection, number, tag, consumer);
  tell("channel.closed", connection, number);
}

// ---- accounts -------------------------------------------------------------------------------------------------------

void Plane::tell_user(std::string_view key, const User& user) {
  event(key, [&] { return FieldTable{{"name", text(user.name)}, {"tags", texts(user.tags)}}; });
}

void Plane::tell_limits(std::string_view key, std::string_view kind, const std::string& name,
                        const OperatorLimits& limits) {
  event(key, [&] { return FieldTable{{std::string(kind), text(name)}, {"limits", table_of(limits)}}; });
}

void Plane::tell_permission(std::string_view key, const PermissionRow& row) {
  event(key, [&] {
    return FieldTable{{"user", text(row.user)},
                      {"vhost", text(row.vhost)},
                      {"configure", text(row.configure)},
                      {"write", text(row.write)},
                      {"read", text(row.read)}};
  });
}

void Plane::tell_permission(std::string_view key, const TopicPermissionRow& row) {
  event(key, [&] {
    return FieldTable{{"user", text(row.user)},
                      {"vhost", text(row.vhost)},
                      {"exchange", text(row.exchange)},
                      {"write", text(row.write)},
                      {"read", text(row.read)}};
  });
}

void Plane::tell_policy(std::string_view key, const PolicyRow& row) {
  event(key, [&] {
    FieldTable headers{{"name", text(row.name)}, {"vhost", text(row.vhost)}};
    if (key != "policy.set") return headers;
    return with(std::move(headers), {{"pattern", text(row.pattern)},
                                     {"apply-to", text(row.apply_to)},
                                     {"priority", number(row.priority)},
                                     {"definition", {row.definition}}});
  });
}

}  // namespace talaria::control
