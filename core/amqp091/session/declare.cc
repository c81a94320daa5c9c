#include "core/amqp091/session/declare.h"

#include <optional>
#include <string>
#include <utility>

#include "core/amqp091/session/closing.h"
#include "core/amqp091/session/consume.h"
#include "core/amqp091/session/reply_to.h"
#include "core/amqp091/wire/table.h"
#include "core/base/check.h"

namespace talaria::amqp091::session {
namespace {

// nullopt: they are malformed, the connection has failed.
std::optional<base::FieldTable> decoded(Channel& channel, wire::Table arguments, uint32_t method) {
  auto table = wire::decode_table(arguments);
  if (table) return std::move(*table);
  wire::Error error = table.error();
  fail_connection(channel.connection, error.code, error.text, method);
  return std::nullopt;
}

void ask_bind(Channel& channel, broker::Bind wish, uint32_t method, bool no_wait, wire::Table arguments) {
  auto table = decoded(channel, arguments, method);
  if (!table) return;
  wish.arguments = std::move(*table);
  ask(channel.connection, awaiting(Awaited::done, channel, method, no_wait), std::move(wish));
}

// An empty queue name stands for the one declared last, and an empty key beside it for its name as well.
template <class Method>
std::optional<broker::Bind> queue_binding(Channel& channel, const Method& method) {
  std::optional<std::string> queue = queue_name(channel, method.queue, Method::id);
  if (!queue) return std::nullopt;
  broker::Bind wish;
  wish.source = stripped(method.exchange);
  wish.key = method.queue.empty() && method.routing_key.empty() ? *queue : std::string(method.routing_key);
  wish.destination = std::move(*queue);
  return wish;
}

}  // namespace

// ---- exchanges ------------------------------------------------------------------------------------------------------

void on_declare(Channel& channel, const wire::exchange::Declare& method) {
  auto arguments = decoded(channel, method.arguments, method.id);
  if (!arguments) return;
  ask(channel.connection, awaiting(Awaited::done, channel, method.id, method.no_wait),
      broker::DeclareExchange{stripped(method.exchange), std::string(method.type), method.passive, method.durable,
                              method.auto_delete, method.internal, std::move(*arguments)});
}

void on_delete(Channel& channel, const wire::exchange::Delete& method) {
  ask(channel.connection, awaiting(Awaited::done, channel, method.id, method.no_wait),
      broker::DeleteExchange{stripped(method.exchange), method.if_unused});
}

void on_bind(Channel& channel, const wire::exchange::Bind& method) {
  broker::Bind wish;
  wish.source = stripped(method.source);
  wish.destination = stripped(method.destination);
  wish.destination_is_queue = false;
  wish.key = method.routing_key;
  ask_bind(channel, std::move(wish), method.id, method.no_wait, method.arguments);
}

void on_unbind(Channel& channel, const wire::exchange::Unbind& method) {
  broker::Bind wish;
  wish.source = stripped(method.source);
  wish.destination = stripped(method.destination);
  wish.destination_is_queue = false;
  wish.remove = true;
  wish.key = method.routing_key;
  ask_bind(channel, std::move(wish), method.id, method.no_wait, method.arguments);
}

// ---- queues ---------------------------------------------------------------------------------------------------------

void on_declare(Channel& channel, const wire::queue::Declare& method) {
  auto arguments = decoded(channel, method.arguments, method.id);
  if (!arguments) return;
  std::string name = stripped(method.queue);
  if (method.passive && name.empty()) {
    std::optional<std::string> last = queue_name(channel, {}, method.id);
    if (!last) return;
    name = std::move(*last);
  }
  if (name == reply_to_name || is_reply_address(name))
    return on_declare_reply_address(channel, name, method.id, method.no_wait);
  ask(channel.connection, awaiting(Awaited::queue_declared, channel, method.id, method.no_wait),
      broker::DeclareQueue{std::move(name), method.passive, method.durable, method.exclusive, method.auto_delete,
                           std::move(*arguments)});
}

void on_delete(Channel& channel, const wire::queue::Delete& method) {
  std::optional<std::string> name = queue_name(channel, method.queue, method.id);
  if (!name) return;
  broker::DeleteQueue wish;
  wish.name = std::move(*name);
  wish.if_unused = method.if_unused;
  wish.if_empty = method.if_empty;
  ask(channel.connection, awaiting(Awaited::queue_deleted, channel, method.id, method.no_wait), std::move(wish));
}

void on_bind(Channel& channel, const wire::queue::Bind& method) {
  std::optional<broker::Bind> wish = queue_binding(channel, method);
  if (!wish) return;
  if (wish->destination == reply_to_name || is_reply_address(wish->destination))
    return fail_channel(channel, ReplyCode::access_refused, "operation not permitted on the queue of direct replies",
                        method.id);
  ask_bind(channel, std::move(*wish), method.id, method.no_wait, method.arguments);
}

void on_unbind(Channel& channel, const wire::queue::Unbind& method) {
  std::optional<broker::Bind> wish = queue_binding(channel, method);
  if (!wish) return;
  wish->remove = true;
  ask_bind(channel, std::move(*wish), method.id, false, method.arguments);
}

// ---- answers --------------------------------------------------------------------------------------------------------

void on_done(Channel& channel, const Pending& pending) {
  if (pending.no_wait) return;
  Output& out = channel.connection.output;
  switch (pending.method) {
    case wire::exchange::Declare::id: return out.method(channel.number, wire::exchange::DeclareOk{});
    case wire::exchange::Delete::id: return out.method(channel.number, wire::exchange::DeleteOk{});
    case wire::exchange::Bind::id: return out.method(channel.number, wire::exchange::BindOk{});
    case wire::exchange::Unbind::id: return out.method(channel.number, wire::exchange::UnbindOk{});
    case wire::queue::Bind::id: return out.method(channel.number, wire::queue::BindOk{});
    case wire::queue::Unbind::id: return out.method(channel.number, wire::queue::UnbindOk{});
    default:
      CHECK(pending.method == wire::queue::Delete::id);
      return out.method(channel.number, wire::queue::DeleteOk{});
  }
}

void on_queue_declared(Channel& channel, const Pending& pending, const broker::QueueDeclared& answer) {
  Connection& connection = channel.connection;
  channel.last_queue = answer.name;
  if (pending.no_wait) return;
  if (answer.created) {
    connection.output.method(channel.number, wire::queue::DeclareOk{.queue = answer.name});
    return;
  }
  // It was there already: its home knows how much is in it.
  connection.pending = awaiting(Awaited::counted, channel, pending.method);
  connection.pending.name = answer.name;
  connection.shared->engine.count({.queue = answer.queue, .channel = channel.address()});
}

void on_queue_deleted(Channel& channel, const Pending& pending, const broker::QueueDeleted& answer) {
  if (pending.no_wait) return;
  channel.connection.output.method(channel.number, wire::queue::DeleteOk{.message_count = answer.messages});
}

}  // namespace talaria::amqp091::session
