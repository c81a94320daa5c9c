// What sessions may do to the topology: declare, bind, delete. The order of the checks is the one clients see.

#include <algorithm>

#include "control/arguments.h"
#include "control/plane.h"
#include "control/refusals.h"

namespace talaria::control {
namespace {

// RabbitMQ takes line ends out of names before it looks at them.
void strip_line_ends(std::string& name) {
  std::erase_if(name, [](char c) { return c == '\r' || c == '\n'; });
}

bool is_reserved(std::string_view name) { return name.starts_with("amq."); }

broker::Refusal reserved_name(std::string_view kind, const std::string& name) {
  return access_refused(std::string(kind) + " name '" + name + "' contains reserved prefix 'amq.*'");
}

broker::Refusal default_exchange() { return access_refused("operation not permitted on the default exchange"); }

broker::Refusal limit_reached(const std::string& what, std::string_view kind, size_t limit) {
  return precondition_failed("cannot declare " + what + ": " + std::string(kind) + " limit (" + std::to_string(limit) +
                             ") is reached");
}

// An exclusive queue is its own connection's.
bool locked_for(const Queue& queue, const Connection& connection) { return queue.owner && queue.owner != &connection; }

std::string base64_for_names(std::span<const uint8_t> bytes) {
  static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out;
  uint32_t pool = 0;
  unsigned held = 0;
  for (uint8_t byte : bytes) {
    pool = pool << 8 | byte;
    held += 8;
    for (; held >= 6; held -= 6) out += digits[pool >> (held - 6) & 63];
  }
  if (held) out += digits[pool << (6 - held) & 63];
  return out;
}

}  // namespace

// 128 random bits: that a name is in use already does not happen twice, unless the source of randomness is broken.
std::string Plane::unused_name(const Vhost& vhost) {
  for (int attempt = 0;; attempt++) {
    CHECK(attempt < 8);
    std::array<uint8_t, 16> bytes{};
    options_.random(bytes);
    std::string name = "amq.gen-" + base64_for_names(bytes);
    if (!Catalog::queue(vhost, name)) return name;
  }
}

Plane::Body Plane::on(Connection& connection, broker::DeclareExchange& request) {
  strip_line_ends(request.name);
  Vhost& vhost = *connection.vhost;
  request.name = own_name(vhost.name, request.name);
  std::string what = exchange_text(request.name, vhost.name);
  Exchange* existing = Catalog::exchange(vhost, request.name);

  if (request.passive) {
    if (auto refusal = refused_any(connection, true, request.name)) return *std::move(refusal);
    if (!existing) return not_found(what);
    return broker::Done{};
  }

  broker::ExchangeType type{};
  if (!type_from_name(request.type, type)) return precondition_failed("invalid exchange type '" + request.type + "'");
  if (request.name.empty()) return default_exchange();
  if (auto refusal = refused(connection, broker::Access::configure, true, request.name)) return *std::move(refusal);

  if (existing) {
    if (auto refusal = check_same("type", request.type, type_name(existing->type), what)) return *std::move(refusal);
    if (auto refusal = check_same("durable", request.durable, existing->durable, what)) return *std::move(refusal);
    if (auto refusal = check_same("auto_delete", request.auto_delete, existing->auto_delete, what))
      return *std::move(refusal);
    if (auto refusal = check_same("internal", request.internal, existing->internal, what)) return *std::move(refusal);
    if (auto refusal = check_exchange_arguments_same(existing->type, request.arguments, existing->arguments, what))
      return *std::move(refusal);
    return broker::Done{};
  }

  if (is_reserved(request.name)) return reserved_name("exchange", request.name);
  if (auto refusal = check_exchange_arguments(type, request.arguments, what)) return *std::move(refusal);
  if (base::find(request.arguments, "alternate-exchange")) {
    std::string alternate = alternate_of(request.arguments);
    if (auto refusal = refused(connection, broker::Access::read, true, request.name)) return *std::move(refusal);
    if (auto refusal = refused(connection, broker::Access::write, true, alternate)) return *std::move(refusal);
  }
  if (catalog_.exchange_count() >= options_.limits.exchanges)
    return limit_reached(what, "exchange", options_.limits.exchanges);

  auto exchange = std::make_unique<Exchange>();
  exchange->vhost = &vhost;
  exchange->name = std::move(request.name);
  exchange->type = type;
  exchange->durable = request.durable;
  exchange->auto_delete = request.auto_delete;
  exchange->internal = request.internal;
  exchange->arguments = std::move(request.arguments);
  if (exchange->durable)
    if (auto saved = save(std::vector<Edit>{Put<ExchangeRow>{row_of(*exchange)}}); !saved) return saved.error();
  enter(std::move(exchange));
  return broker::Done{};
}

Plane::Body Plane::on(Connection& connection, broker::DeleteExchange& request) {
  strip_line_ends(request.name);
  std::string what = exchange_text(request.name, connection.vhost->name);
  if (request.name.empty()) return default_exchange();
  if (is_reserved(request.name)) return access_refused("deletion of system " + what + " not allowed");
  if (auto refusal = refused(connection, broker::Access::configure, true, request.name)) return *std::move(refusal);
  Exchange* exchange = Catalog::exchange(*connection.vhost, request.name);
  if (!exchange) return broker::Done{};
  if (request.if_unused && !exchange->outgoing.empty()) return precondition_failed(what + " in use");
  Removal removal;
  removal.add(*exchange);
  removal.spread();
  if (auto removed = carry_out(removal); !removed) return removed.error();
  return broker::Done{};
}

Plane::Body Plane::on(Connection& connection, broker::DeclareQueue& request) {
  strip_line_ends(request.name);
  Vhost& vhost = *connection.vhost;
  bool server_named = request.name.empty() && !request.passive;
  if (server_named) request.name = unused_name(vhost);
  std::string what = queue_text(request.name, vhost.name);
  Queue* existing = Catalog::queue(vhost, request.name);

  if (request.passive) {
    if (auto refusal = refused_any(connection, false, request.name)) return *std::move(refusal);
    if (!existing) return not_found(what);
    if (locked_for(*existing, connection)) return resource_locked(what);
    return broker::QueueDeclared{existing->id, existing->home, existing->name, false};
  }

  if (!existing && !server_named && is_reserved(request.name)) return reserved_name("queue", request.name);
  if (auto refusal = refused(connection, broker::Access::configure, false, request.name)) return *std::move(refusal);
  // An exclusive queue never outlives its connection, let alone a restart.
  bool durable = request.durable && !request.exclusive;

  if (existing) {
    if (existing->owner != (request.exclusive ? &connection : nullptr)) return resource_locked(what);
    if (auto refusal = check_same("durable", durable, existing->durable, what)) return *std::move(refusal);
    if (auto refusal = check_same("auto_delete", request.auto_delete, existing->auto_delete, what))
      return *std::move(refusal);
    if (auto refusal = check_queue_arguments_same(request.arguments, existing->arguments, what))
      return *std::move(refusal);
    return broker::QueueDeclared{existing->id, existing->home, existing->name, false};
  }

  if (catalog_.queue_count() >= options_.limits.queues) return limit_reached(what, "queue", options_.limits.queues);
  if (const auto limit = control::limit_reached(vhost.limits, max_queues, vhost.queues.size()))
    return precondition_failed("cannot declare queue '" + request.name + "': queue limit in vhost '" + vhost.name +
                               "' (" + std::to_string(*limit) + ") is reached");
  if (auto refusal = check_dead_letter_exchange(request.arguments, what)) return *std::move(refusal);
  if (const base::Field* exchange = base::find(request.arguments, "x-dead-letter-exchange")) {
    if (auto refusal = refused(connection, broker::Access::read, false, request.name)) return *std::move(refusal);
    if (auto refusal = refused(connection, broker::Access::write, true, *exchange->text())) return *std::move(refusal);
  }
  if (auto refusal = check_queue_arguments(request.arguments, what)) return *std::move(refusal);

  auto made = std::make_unique<Queue>();
  made->vhost = &vhost;
  made->name = std::move(request.name);
  made->durable = durable;
  made->auto_delete = request.auto_delete;
  made->owner = request.exclusive ? &connection : nullptr;
  made->arguments = std::move(request.arguments);
  // What one connection made for itself lives on that connection's core.
  made->home = request.exclusive || server_named ? connection.address.worker : home_of(vhost, made->name);
  if (durable)
    if (auto saved = save(std::vector<Edit>{Put<QueueRow>{row_of(*made)}}); !saved) return saved.error();
  Queue& queue = enter(std::move(made));
  return broker::QueueDeclared{queue.id, queue.home, queue.name, true};
}

Plane::Body Plane::on(Connection& connection, broker::Bind& request) {
  strip_line_ends(request.source);
  strip_line_ends(request.destination);
  Vhost& vhost = *connection.vhost;
  request.source = own_name(vhost.name, request.source);
  bool to_queue = request.destination_is_queue;
  if (auto refusal = refused(connection, broker::Access::write, !to_queue, request.destination))
    return *std::move(refusal);
  if (request.source.empty() || (!to_queue && request.destination.empty())) return default_exchange();
  if (request.source == broker::management_exchange)
    return access_refused("nothing can be bound to exchange '" + request.source + "'");
  if (auto refusal = refused(connection, broker::Access::read, true, request.source)) return *std::move(refusal);

  Exchange* source = Catalog::exchange(vhost, request.source);
  if (source && routing_type_of(source->type, source->arguments) == broker::ExchangeType::topic)
    if (auto refusal = key_refused(connection, broker::Access::read, request.source, request.key))
      return *std::move(refusal);
  Queue* queue = to_queue ? Catalog::queue(vhost, request.destination) : nullptr;
  Exchange* exchange = to_queue ? nullptr : Catalog::exchange(vhost, request.destination);
  if (!source || (!queue && !exchange)) {
    // What is not there is not bound.
    if (request.remove) return broker::Done{};
    if (!source) return not_found(exchange_text(request.source, vhost.name));
    return not_found(resource(to_queue ? "queue" : "exchange", request.destination, vhost.name));
  }
  if (queue && locked_for(*queue, connection)) return resource_locked(queue_text(queue->name, vhost.name));

  Binding* existing = Catalog::binding(*source, queue, exchange, request.key, request.arguments);
  if (request.remove) {
    if (!existing) return broker::Done{};
    Removal removal;
    removal.add(*existing);
    removal.spread();
    if (auto removed = carry_out(removal); !removed) return removed.error();
    return broker::Done{};
  }

  if (existing) return broker::Done{};
  // What comes that way it could not remember.
  if (exchange && remembers(exchange->type, exchange->arguments))
    return precondition_failed("cannot bind " + exchange_text(exchange->name, vhost.name) +
                               " to another exchange: it remembers what is published to it");
  if (auto refusal =
          check_binding(routing_type_of(source->type, source->arguments), to_queue, request.key, request.arguments))
    return *std::move(refusal);
  if (catalog_.binding_count() >= options_.limits.bindings)
    return precondition_failed("cannot bind: binding limit (" + std::to_string(options_.limits.bindings) +
                               ") is reached");
  auto binding = std::make_unique<Binding>();
  binding->source = source;
  binding->queue = queue;
  binding->exchange = exchange;
  binding->key = std::move(request.key);
  binding->arguments = std::move(request.arguments);
  if (binding->durable())
    if (auto saved = save(std::vector<Edit>{Put<BindingRow>{row_of(*binding)}}); !saved) return saved.error();
  enter(std::move(binding));
  return broker::Done{};
}

std::optional<Plane::Body> Plane::on(Connection& connection, const ReplyTo& to, broker::DeleteQueue& request) {
  strip_line_ends(request.name);
  std::string what = queue_text(request.name, connection.vhost->name);
  bool engine = request.unused_auto_delete;
  if (!engine)
    if (auto refusal = refused(connection, broker::Access::configure, false, request.name)) return *std::move(refusal);
  Queue* queue = Catalog::queue(*connection.vhost, request.name);
  if (!queue || (engine && !queue->auto_delete)) return broker::QueueDeleted{0};
  if (locked_for(*queue, connection)) {
    if (engine) return broker::QueueDeleted{0};
    return resource_locked(what);
  }
  connection.busy = true;
  ask_home({{to, queue->id, what, engine}, false, request.if_unused || engine, request.if_empty && !engine}, *queue);
  return std::nullopt;
}

// Whether anybody consumes from a queue and how much is in it only its home knows.
void Plane::ask_home(Question question, const Queue& queue) {
  if (question.check.acting.empty()) question.check.acting = acting_;
  if (move_ && move_->queue == queue.id) return move_->questions.push_back(std::move(question));
  uint64_t token = ++last_token_;
  if (question.purge)
    command(queue.home, worker::PurgeQueue{token, queue.id});
  else
    command(queue.home, worker::CheckDelete{token, queue.id, question.if_unused, question.if_empty});
  checks_.emplace(token, std::move(question.check));
}

void Plane::on_checked(const worker::DeleteChecked& report) {
  auto node = checks_.extract(report.token);
  if (node.empty()) {
    counts_.strays++;
    return;
  }
  const Check& check = node.mapped();
  Queue* queue = catalog_.queue(check.queue);
  using enum worker::DeleteVerdict;
  // Somebody else was faster, or the unused queue has a consumer again.
  if (!queue || report.verdict == no_such_queue || (report.verdict == in_use && check.unused)) return finish(check, 0);
  if (report.verdict == in_use)
    return finish(check, std::unexpected(OperatorError{Fault::in_use, check.text + " in use"}));
  if (report.verdict == not_empty)
    return finish(check, std::unexpected(OperatorError{Fault::not_empty, check.text + " not empty"}));
  Removal removal;
  removal.add(*queue);
  removal.spread();
  acting_ = check.acting;
  const auto removed = carry_out(removal);
  acting_.clear();
  if (!removed) return finish(check, std::unexpected(OperatorError{Fault::store_failed, removed.error().text}));
  if (check.to.nobody()) counts_.queues_expired++;
  finish(check, report.ready);
}

void Plane::on_purged(const worker::Purged& report) {
  auto node = checks_.extract(report.token);
  if (node.empty())
    counts_.strays++;
  else
    finish(node.mapped(), report.count);
}

// x-expires. Whether it is moving or being deleted, and by whom, the usual way finds out.
void Plane::on_unused(const worker::QueueUnused& report) {
  const Queue* queue = catalog_.queue(report.queue);
  if (!queue || drain_sent_) return;
  Question question{{{}, queue->id, queue_text(queue->name, queue->vhost->name), true}, false, true, false};
  question.check.acting = brokers_name;
  ask_home(std::move(question), *queue);
}

void Plane::finish(const Check& check, OperatorResult result) {
  if (check.to.nobody()) return;
  if (check.to.ticket) return resolve(check.to.ticket, std::move(result));
  if (result) {
    answer(check.to, broker::QueueDeleted{*result});
  } else {
    bool ours = result.error().fault == Fault::store_failed;
    answer(check.to,
           broker::Refusal{ours ? broker::RefusalReason::internal_error : broker::RefusalReason::precondition_failed,
                           result.error().message});
  }
  if (Connection* connection = catalog_.connection(check.to.session)) connection->busy = false;
  release_held(check.to.session);
}

}  // namespace talaria::control
