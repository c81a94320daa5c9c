#include "core/amqp091/session/trace.h"

#include <utility>

#include "core/amqp091/session/connection.h"
#include "core/amqp091/session/own_messages.h"
#include "core/amqp091/session/rewriting.h"
#include "core/amqp091/wire/properties.h"
#include "core/amqp091/wire/reply.h"
#include "core/broker/exchange.h"
#include "core/broker/vhost.h"

namespace talaria::amqp091::session {
namespace {

using base::Field;
using base::FieldArray;
using base::FieldTable;

Field text(std::string_view value) { return {std::string(value)}; }

// The properties that the message has, by their names.
FieldTable table_of(Rewriting& message) {
  const wire::Properties& properties = message.properties;
  FieldTable out;
  const auto add_text = [&](wire::Property property, const char* name, std::string_view value) {
    if (properties.has(property)) out.emplace_back(name, text(value));
  };
  const auto add_number = [&](wire::Property property, const char* name, uint64_t value) {
    if (properties.has(property)) out.emplace_back(name, Field{static_cast<int64_t>(value)});
  };
  using enum wire::Property;
  add_text(content_type, "content_type", properties.content_type);
  add_text(content_encoding, "content_encoding", properties.content_encoding);
  if (properties.has(headers)) out.emplace_back("headers", Field{std::move(message.headers)});
  add_number(delivery_mode, "delivery_mode", properties.delivery_mode);
  add_number(priority, "priority", properties.priority);
  add_text(correlation_id, "correlation_id", properties.correlation_id);
  add_text(reply_to, "reply_to", properties.reply_to);
  add_text(expiration, "expiration", properties.expiration);
  add_text(message_id, "message_id", properties.message_id);
  add_number(timestamp, "timestamp", properties.timestamp);
  add_text(type, "type", properties.type);
  add_text(user_id, "user_id", properties.user_id);
  add_text(app_id, "app_id", properties.app_id);
  add_text(cluster_id, "cluster_id", properties.cluster_id);
  return out;
}

// Empty: they are longer than any frame, or a message's own headers are nested as deep as they may be: here they lie
// two deeper.
std::vector<uint8_t> properties_of(const FieldTable& headers, const Config& config) {
  const std::vector<uint8_t> table = encoded_headers(headers);
  if (table.empty()) return {};
  wire::Properties properties;
  properties.headers.bytes = table;
  properties.set(wire::Property::headers);
  return encoded(properties, wire::properties_max(config.frame_max));
}

// A routing key has at most 255 octets, and no half character at its end.
std::string key_of(std::string_view what, std::string_view name) {
  std::string key(what);
  key.append(".").append(name);
  return std::string(wire::clipped(key));
}

}  // namespace

void Traces::published(const Channel& channel, broker::Message& message, std::span<broker::QueueRecord* const> queues) {
  FieldArray names;
  for (const broker::QueueRecord* queue : queues) names.push_back(text(queue->name));
  FieldTable more;
  more.emplace_back("routed_queues", Field{std::move(names)});
  add(channel, "publish", message.exchange(), message, std::move(more));
}

void Traces::delivered(const Channel& channel, std::string_view queue, broker::Message& message, bool redelivered) {
  FieldTable more;
  more.emplace_back("redelivered", Field{int32_t{redelivered}});
  add(channel, "deliver", queue, message, std::move(more));
}

void Traces::add(const Channel& channel, std::string_view what, std::string_view name, broker::Message& message,
                 FieldTable more) {
  const Connection& connection = channel.connection;
  Shared& shared = *connection.shared;
  const broker::Vhost* vhost = connection.vhost_record();
  const broker::Exchange* exchange = vhost ? vhost->traced_to() : nullptr;
  if (!exchange || exchange->bindings() == 0 || message.exchange() == exchange->name()) return;
  if (waiting_.size() >= waiting_max || waiting_bytes_ >= waiting_bytes_max) return shared.counters.traces_lost.add();

  Rewriting source(message);
  FieldArray keys;
  keys.push_back(text(message.routing_key()));
  // At a commit it is long ago that its frames were read, and BCC has been taken out.
  if (what == "publish" && !channel.transaction)
    for (const std::string& copy : channel.publishing.copies) keys.push_back(text(copy));
  else
    append_copies(source.headers, keys);

  FieldTable headers;
  headers.emplace_back("exchange_name", text(message.exchange()));
  headers.emplace_back("routing_keys", Field{std::move(keys)});
  headers.emplace_back("properties", Field{table_of(source)});
  headers.emplace_back("node", text(shared.config.cluster_name));
  headers.emplace_back("vhost", text(vhost->name()));
  headers.emplace_back("connection", text(connection.peer));
  headers.emplace_back("channel", Field{int32_t{channel.number}});
  headers.emplace_back("user", text(connection.user));
  for (base::FieldEntry& entry : more) headers.push_back(std::move(entry));

  Waiting waiting{vhost->id(), &message, key_of(what, name), properties_of(headers, shared.config)};
  if (waiting.properties.empty()) {
    // What clients may make as long as they like is left out, and that is said.
    std::erase_if(headers,
                  [](const auto& entry) { return entry.name == "properties" || entry.name == "routed_queues"; });
    headers[1].value = Field{FieldArray{text(message.routing_key())}};
    headers.emplace_back("truncated", Field{true});
    waiting.properties = properties_of(headers, shared.config);
    if (waiting.properties.empty()) return shared.counters.traces_lost.add();
  }
  message.add_references();
  waiting_bytes_ += waiting.properties.size();
  waiting_.push_back(std::move(waiting));
}

void Traces::work(Shared& shared) {
  size_t budget = shared.config.trace_bytes_per_turn;
  for (uint32_t done = 0; done < shared.config.traces_per_turn && !waiting_.empty(); done++) {
    const Copying progress = one(shared, budget);
    if (progress == Copying::out_of_budget) return;
    if (progress == Copying::blocked) shared.counters.traces_lost.add();
    copy_.abandon();
    shared.pool.release(waiting_.front().message);
    waiting_bytes_ -= waiting_.front().properties.size();
    waiting_.pop_front();
  }
}

Copying Traces::one(Shared& shared, size_t& budget) {
  const Waiting& first = waiting_.front();
  broker::Vhost* vhost = shared.engine.find_vhost(first.vhost);
  broker::Exchange* exchange = vhost ? vhost->traced_to() : nullptr;
  if (!exchange || route_own(shared, *exchange, first.routing_key, first.properties).empty()) return Copying::done;
  if (!copy_.under_way()) {
    broker::MessageHead head;
    head.exchange = exchange->name();
    head.routing_key = first.routing_key;
    head.format = broker::PropertiesFormat::amqp091;
    head.properties = first.properties;
    head.body_size = first.message->body_size();
    head.received = shared.now;
    if (shared.pool.pressure() != broker::Pressure::ok || !copy_.begin(shared.pool, head, *first.message))
      return Copying::blocked;
  }
  broker::Message* made = nullptr;
  if (const Copying progress = copy_.work(budget, made); progress != Copying::done) return progress;
  const auto targets = shared.targets.queues();
  if (!shared.engine.room_for_accepted(targets)) {
    shared.pool.release(made);
    return Copying::blocked;
  }
  shared.counters.traces_published.add();
  publish_own(shared, targets, made);
  return Copying::done;
}

void Traces::abandon(broker::MessagePool& pool) {
  copy_.abandon();
  for (const Waiting& waiting : waiting_) pool.release(waiting.message);
  waiting_.clear();
  waiting_bytes_ = 0;
}

}  // namespace talaria::amqp091::session
