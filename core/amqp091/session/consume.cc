#include "core/amqp091/session/consume.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/amqp091/session/ack_timeouts.h"
#include "core/amqp091/session/closing.h"
#include "core/amqp091/session/deliver.h"
#include "core/amqp091/session/dispatch.h"
#include "core/amqp091/session/reply_to.h"
#include "core/amqp091/wire/methods.h"
#include "core/amqp091/wire/table.h"
#include "core/base/field.h"
#include "core/broker/vhost.h"

namespace talaria::amqp091::session {
namespace {

// ---- a queue by its name --------------------------------------------------------------------------------------------

// Permission, existence, and that nobody else has it to himself. nullptr with `step` `taken`: the channel has failed.
broker::QueueRecord* readable_queue(Channel& channel, const std::string& name, uint32_t method, Step& step) {
  Connection& connection = channel.connection;
  switch (authorized(channel, broker::Access::read, false, name, method)) {
    case Allowed::yes: break;
    case Allowed::no: return nullptr;
    case Allowed::asked: step = Step::wait; return nullptr;
  }
  broker::Vhost* vhost = connection.vhost_record();
  broker::QueueRecord* queue = vhost ? vhost->find_queue(name) : nullptr;
  if (queue == nullptr) {
    fail_channel(channel, ReplyCode::not_found, no_such("queue", name, connection), method);
    return nullptr;
  }
  if (queue->exclusive_to.session && queue->exclusive_to != connection.address()) {
    fail_channel(channel, ReplyCode::resource_locked,
                 "cannot obtain exclusive access to locked queue '" + name + "' in vhost '" + connection.vhost_name +
                     "'. It could be originally declared on another connection or the exclusive property value does "
                     "not match that of the original declaration.",
                 method);
    return nullptr;
  }
  return queue;
}

// ---- consumers ------------------------------------------------------------------------------------------------------

// Ten years, as the times of queues.
constexpr int64_t consumer_timeout_ms_max = 315'360'000'000;

void refuse_argument(Channel& channel, std::string_view name, const std::string& queue, std::string_view why) {
  fail_channel(channel, ReplyCode::precondition_failed,
               "invalid arg '" + std::string(name) + "' for queue '" + queue + "' in vhost '" +
                   channel.connection.vhost_name + "'" + std::string(why),
               wire::basic::Consume::id);
}

// False: it is there and no integer, the channel has failed.
bool integer_argument(Channel& channel, const base::FieldTable& arguments, const char* name, const std::string& queue,
                      std::optional<int64_t>& out) {
  const base::Field* field = base::find(arguments, name);
  if (field == nullptr) return true;
  if (!field->is_integer()) {
    refuse_argument(channel, name, queue, ": \"unacceptable type\"");
    return false;
  }
  out = field->integer();
  return true;
}

uint32_t credit_of(const Channel& channel, const Consumer& consumer) {
  if (consumer.prefetch == 0) return channel.prefetch_limit;
  return channel.prefetch_limit == 0 ? consumer.prefetch
                                     : std::min<uint32_t>(consumer.prefetch, channel.prefetch_limit);
}

void subscribe(Consumer& consumer) {
  consumer.credit = credit_of(consumer.channel, consumer);
  consumer.paused = false;
  consumer.channel.connection.shared->engine.subscribe({.queue = consumer.queue,
                                                        .consumer = consumer.address(),
                                                        .credit = consumer.no_ack ? 0 : consumer.credit,
                                                        .priority = consumer.priority,
                                                        .no_ack = consumer.no_ack,
                                                        .exclusive = consumer.exclusive});
  update_pause(consumer);
}

// What it is given until the queue has answered is still delivered.
void unsubscribe(Consumer& consumer) {
  consumer.state = Consumer::State::cancelling;
  consumer.channel.connection.shared->engine.unsubscribe({.queue = consumer.queue, .consumer = consumer.address()});
}

void tell_cancelled(Consumer& consumer) {
  Channel& channel = consumer.channel;
  if (!channel.ending && channel.connection.can_cancel_notify)
    channel.connection.output.method(channel.number,
                                     wire::basic::Cancel{.consumer_tag = consumer.tag(), .no_wait = true});
}

void end_consumer(Consumer& consumer) {
  Channel& channel = consumer.channel;
  std::erase_if(channel.parked, [&](const broker::Deliver& delivery) {
    if (delivery.consumer.consumer != consumer.number) return false;
    give_back(*channel.connection.shared, delivery);
    return true;
  });
  // A channel that ends took its consumers along.
  if (!channel.ending && consumer.queue)
    notify(channel.connection, broker::ConsumerRemoved{channel.number, std::string(consumer.tag())});
  channel.remove_consumer(consumer);
}

}  // namespace

bool take_pending(Connection& connection, Awaited what, const broker::ChannelAddress& channel, Pending& out) {
  if (connection.pending.what != what || connection.pending.incarnation != channel.incarnation) return false;
  out = std::exchange(connection.pending, {});
  go_on(connection);
  return true;
}

Channel* find_open_channel(Shared& shared, const broker::ChannelAddress& address) {
  Channel* channel = find_channel(shared, address);
  return channel != nullptr && !channel->ending ? channel : nullptr;
}

bool may_add_consumer(Channel& channel, const wire::basic::Consume& method) {
  const Config& config = channel.connection.shared->config;
  if (channel.find_consumer(method.consumer_tag) != nullptr) {
    fail_connection(channel.connection, ReplyCode::not_allowed,
                    "attempt to reuse consumer tag '" + std::string(method.consumer_tag) + "'", method.id);
    return false;
  }
  if (channel.by_tag.size() >= std::min<size_t>(config.consumers_per_channel, 65535)) {
    fail_connection(channel.connection, ReplyCode::not_allowed,
                    "reached maximum (" + std::to_string(config.consumers_per_channel) + ") of consumers per channel",
                    method.id);
    return false;
  }
  return true;
}

// Never repeated, and nobody guesses the next one.
std::string make_consumer_tag(Shared& shared) {
  static constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string tag = "amq.ctag-";
  uint64_t number = ++shared.tags_made;
  for (uint8_t half = 0; half < 2; half++) {
    std::array<uint8_t, 11> seed;
    base::store_be64(seed.data(), number);
    base::store_be16(seed.data() + 8, shared.self);
    seed[10] = half;
    uint64_t bits = base::siphash24(shared.key, seed);
    for (unsigned i = 0; i < 11; i++) tag += letters[(bits >> (i * 6)) & 63];
  }
  return tag;
}

// ---- qos ------------------------------------------------------------------------------------------------------------

Step on_qos(Channel& channel, const wire::basic::Qos& method) {
  Connection& connection = channel.connection;
  if (method.prefetch_size != 0) {
    fail_connection(connection, ReplyCode::not_implemented,
                    "prefetch_size!=0 (" + std::to_string(method.prefetch_size) + ")", method.id);
    return Step::taken;
  }
  if (method.global) {
    channel.prefetch_limit = method.prefetch_count;
    if (!channel.parked.empty()) connection.shared->parked.add(channel, channel.parked_listed);
  } else {
    channel.prefetch = method.prefetch_count;
  }
  notify_changed(channel);
  if (method.global) {
    connection.credit_change = {channel.number, channel.incarnation, 0};
    change_credits(connection);
  } else {
    connection.output.method(channel.number, wire::basic::QosOk{});
  }
  return Step::taken;
}

// The channel-wide prefetch is another: its consumers hear of it, some each turn, and input waits until all have. A few
// octets ask for it, and there may be many consumers.
void change_credits(Connection& connection) {
  Shared& shared = *connection.shared;
  CreditChange& change = connection.credit_change;
  Channel& channel = *connection.channel(change.channel);
  for (size_t left = shared.config.credits_per_turn; change.next_consumer < channel.consumers.size();
       change.next_consumer++) {
    Consumer* consumer = channel.consumers[change.next_consumer].get();
    if (consumer == nullptr || consumer->no_ack || consumer->state != Consumer::State::subscribed) continue;
    const uint32_t credit = credit_of(channel, *consumer);
    if (consumer->credit == credit) continue;
    if (left-- == 0 || shared.engine.is_behind(consumer->queue))
      return shared.settling.add(connection, connection.settling_listed);
    consumer->credit = credit;
    shared.engine.credit({.queue = consumer->queue, .consumer = consumer->address(), .credit = credit});
  }
  change = {};
  connection.output.method(channel.number, wire::basic::QosOk{});
  go_on(connection);
}

// ---- consume --------------------------------------------------------------------------------------------------------

Step on_consume(Channel& channel, const wire::basic::Consume& method) {
  Connection& connection = channel.connection;
  Shared& shared = *connection.shared;
  if (method.queue == reply_to_name) return on_consume_replies(channel, method);
  std::optional<std::string> name = queue_name(channel, method.queue, method.id);
  if (!name) return Step::taken;
  auto arguments = wire::decode_table(method.arguments);
  if (!arguments) {
    fail(connection, arguments.error());
    return Step::taken;
  }
  Step step = Step::taken;
  broker::QueueRecord* queue = readable_queue(channel, *name, method.id, step);
  if (queue == nullptr) return step;
  if (!may_add_consumer(channel, method)) return Step::taken;
  for (const char* foreign : {"x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered"}) {
    if (base::find(*arguments, foreign) == nullptr) continue;
    refuse_argument(channel, foreign, *name, " of queue type classic");
    return Step::taken;
  }
  std::optional<int64_t> priority, timeout_ms;
  if (!integer_argument(channel, *arguments, "x-priority", *name, priority)) return Step::taken;
  if (!integer_argument(channel, *arguments, "x-consumer-timeout", *name, timeout_ms)) return Step::taken;
  if (timeout_ms && (*timeout_ms < 0 || *timeout_ms > consumer_timeout_ms_max)) {
    refuse_argument(channel, "x-consumer-timeout", *name, ": " + std::to_string(*timeout_ms));
    return Step::taken;
  }
  Consumer& consumer = channel.add_consumer(method.consumer_tag.empty() ? std::string_view(make_consumer_tag(shared))
                                                                        : method.consumer_tag);
  consumer.queue = queue->id;
  consumer.queue_name = *name;
  consumer.no_ack = method.no_ack;
  consumer.exclusive = method.exclusive;
  consumer.prefetch = channel.prefetch;
  consumer.priority = static_cast<int32_t>(std::clamp<int64_t>(priority.value_or(0), INT32_MIN, INT32_MAX));
  if (!consumer.no_ack) {
    watch_queue(channel, *queue);
    if (timeout_ms) watch_consumer(channel, queue->id, consumer.number, static_cast<uint64_t>(*timeout_ms));
  }
  connection.pending = awaiting(Awaited::subscribed, channel, method.id, method.no_wait);
  connection.pending.consumer = consumer.number;
  connection.pending.queue = queue->id;
  subscribe(consumer);
  broker::ConsumerAdded notice{channel.number,   queue->id,        std::string(consumer.tag()), method.no_ack,
                               method.exclusive, channel.prefetch, std::move(*arguments)};
  notify(connection, std::move(notice));
  return Step::taken;
}

void on_event(Shared& shared, const broker::Subscribed& event) {
  Channel* channel = find_open_channel(shared, event.consumer.channel);
  if (channel == nullptr) return;  // its unsubscription is on the way, or done
  Connection& connection = channel->connection;
  Consumer* consumer = channel->consumer(event.consumer.consumer);
  if (consumer == nullptr || consumer->queue != event.queue) {
    shared.counters.events_stale.add();
    return;
  }
  if (consumer->state != Consumer::State::subscribing) return;
  Pending pending;
  CHECK(take_pending(connection, Awaited::subscribed, event.consumer.channel, pending));
  if (event.result == broker::SubscribeResult::subscribed) {
    consumer->state = Consumer::State::subscribed;
    if (!pending.no_wait)
      connection.output.method(channel->number, wire::basic::ConsumeOk{.consumer_tag = consumer->tag()});
    if (consumer->revoked) unsubscribe(*consumer);
    return;
  }
  std::string name = consumer->queue_name;
  end_consumer(*consumer);
  if (event.result == broker::SubscribeResult::no_such_queue)
    return fail_channel(*channel, ReplyCode::not_found, no_such("queue", name, connection), pending.method);
  fail_channel(*channel, ReplyCode::access_refused,
               "queue '" + name + "' in vhost '" + connection.vhost_name + "' in exclusive use", pending.method);
}

// ---- cancel ---------------------------------------------------------------------------------------------------------

Step on_cancel(Channel& channel, const wire::basic::Cancel& method) {
  Connection& connection = channel.connection;
  Consumer* consumer = channel.find_consumer(method.consumer_tag);
  if (consumer == nullptr) {
    if (!method.no_wait)
      connection.output.method(channel.number, wire::basic::CancelOk{.consumer_tag = method.consumer_tag});
    return Step::taken;
  }
  // Cancel-ok follows the last delivery, which the queue's answer does too.
  connection.pending = awaiting(Awaited::unsubscribed, channel, method.id, method.no_wait);
  connection.pending.consumer = consumer->number;
  connection.pending.name = consumer->tag();
  // One that was revoked is on its way out.
  if (consumer->state != Consumer::State::cancelling) unsubscribe(*consumer);
  return Step::taken;
}

static void answer_cancel(Connection& connection, const Pending& pending) {
  Channel* channel = connection.channel(pending.channel);
  if (channel == nullptr || channel->incarnation != pending.incarnation || pending.no_wait) return;
  connection.output.method(pending.channel, wire::basic::CancelOk{.consumer_tag = pending.name});
}

void on_event(Shared& shared, const broker::Unsubscribed& event) {
  Channel* channel = find_channel(shared, event.consumer.channel);
  if (channel == nullptr) return;
  Connection& connection = channel->connection;
  Consumer* consumer = channel->consumer(event.consumer.consumer);
  if (consumer == nullptr) {
    shared.counters.events_stale.add();
    return;
  }
  broker::DeleteQueue wish;
  wish.name = consumer->queue_name;
  wish.unused_auto_delete = true;
  const bool awaited = (consumer->number & 0xFFFF) < channel->unsubscribe_next;
  Pending pending;
  const bool asked_for = connection.pending.consumer == consumer->number &&
                         take_pending(connection, Awaited::unsubscribed, event.consumer.channel, pending);
  if (consumer->revoked && !asked_for) tell_cancelled(*consumer);
  end_consumer(*consumer);
  if (!asked_for) {
    if (event.unused_auto_delete) ask_for_channel(connection, *channel, std::move(wish));
    if (awaited) on_channel_answer(connection, *channel);
    return;
  }
  if (!event.unused_auto_delete) return answer_cancel(connection, pending);
  // The queue goes before the client hears that he left it.
  pending.what = Awaited::unused_queue_deleted;
  ask(connection, std::move(pending), std::move(wish));
}

void on_unused_queue_deleted(Connection& connection) {
  answer_cancel(connection, std::exchange(connection.pending, {}));
}

// One whose queue has something to say of it. One that is cancelling has its Unsubscribed to come.
static Consumer* find_subscribed(Shared& shared, const broker::ConsumerAddress& address, broker::QueueId queue) {
  Channel* channel = find_channel(shared, address.channel);
  Consumer* consumer = channel != nullptr ? channel->consumer(address.consumer) : nullptr;
  const bool stands = consumer != nullptr && consumer->state != Consumer::State::cancelling && consumer->queue == queue;
  return stands ? consumer : nullptr;
}

// The subscription is gone already.
static void cancel(Consumer& consumer) {
  tell_cancelled(consumer);
  end_consumer(consumer);
}

void revoke(Connection& connection, const broker::RevokedConsumer& revoked) {
  Channel* channel = connection.channel(revoked.channel);
  Consumer* consumer = channel != nullptr ? channel->find_consumer(revoked.tag) : nullptr;
  if (consumer == nullptr || consumer->queue != revoked.queue) return;
  // Who cannot be told of a consumer alone is told so.
  if (!connection.can_cancel_notify) return fail_channel(*channel, ReplyCode::access_refused, revoked.text, 0);
  if (std::exchange(consumer->revoked, true)) return;
  // One that is not subscribed yet hears so first.
  if (consumer->state == Consumer::State::subscribed) unsubscribe(*consumer);
}

void on_event(Shared& shared, const broker::Cancelled& event) {
  if (Consumer* consumer = find_subscribed(shared, event.consumer, event.queue)) cancel(*consumer);
}

void on_event(Shared& shared, const broker::ConsumerSlow& event) {
  Consumer* consumer = find_subscribed(shared, event.consumer, event.queue);
  if (consumer == nullptr) return;
  Channel& channel = consumer->channel;
  if (!channel.ending)
    notify(channel.connection, broker::ConsumerFoundSlow{channel.number, std::string(consumer->tag())});
  if (!event.cancelled) return;
  const std::string text = "consumer '" + std::string(consumer->tag()) + "' on queue '" + consumer->queue_name +
                           "' in vhost '" + channel.connection.vhost_name +
                           "' is slower than x-slow-consumer-threshold allows";
  cancel(*consumer);
  // Who cannot be told of a consumer alone is told so.
  if (!channel.connection.can_cancel_notify) fail_channel(channel, ReplyCode::precondition_failed, text, 0);
}

// ---- get ------------------------------------------------------------------------------------------------------------

Step on_get(Channel& channel, const wire::basic::Get& method) {
  Connection& connection = channel.connection;
  std::optional<std::string> name = queue_name(channel, method.queue, method.id);
  if (!name) return Step::taken;
  Step step = Step::taken;
  broker::QueueRecord* queue = readable_queue(channel, *name, method.id, step);
  if (queue == nullptr) return step;
  if (!method.no_ack) watch_queue(channel, *queue);
  connection.pending = awaiting(Awaited::got, channel, method.id);
  connection.pending.no_ack = method.no_ack;
  connection.shared->engine.get({.queue = queue->id, .channel = channel.address(), .no_ack = method.no_ack});
  return Step::taken;
}

void on_event(Shared& shared, const broker::Got& event) {
  Channel* channel = find_open_channel(shared, event.channel);
  Pending pending;
  if (channel == nullptr || !take_pending(channel->connection, Awaited::got, event.channel, pending)) {
    if (event.message == nullptr) return;
    if (event.entry) shared.engine.settle({event.queue, event.entry, broker::Outcome::requeued});
    shared.pool.release(event.message);
    return;
  }
  Connection& connection = channel->connection;
  if (event.message == nullptr) {
    connection.output.method(channel->number, wire::basic::GetEmpty{});
    return;
  }
  uint64_t tag = ++channel->last_tag;
  if (event.entry) {
    channel->unacked.push(tag, event.entry, event.queue, Unacked::got);
    connection.info->unacknowledged.add();
    channel->counters->unacknowledged.add();
  }
  if (shared.engine.tracing()) [[unlikely]] {
    const broker::QueueRecord* queue = shared.engine.find_queue(event.queue);
    if (queue) shared.traces.delivered(*channel, queue->name, *event.message, event.redelivered);
  }
  write_get_ok(*channel, event, tag);
  shared.pool.release(event.message);
}

// ---- purge, count ---------------------------------------------------------------------------------------------------

Step on_purge(Channel& channel, const wire::queue::Purge& method) {
  Connection& connection = channel.connection;
  std::optional<std::string> name = queue_name(channel, method.queue, method.id);
  if (!name) return Step::taken;
  Step step = Step::taken;
  broker::QueueRecord* queue = readable_queue(channel, *name, method.id, step);
  if (queue == nullptr) return step;
  connection.pending = awaiting(Awaited::purged, channel, method.id, method.no_wait);
  connection.shared->engine.purge({.queue = queue->id, .channel = channel.address()});
  return Step::taken;
}

void on_event(Shared& shared, const broker::Purged& event) {
  Channel* channel = find_open_channel(shared, event.channel);
  Pending pending;
  if (channel == nullptr || !take_pending(channel->connection, Awaited::purged, event.channel, pending)) return;
  if (!pending.no_wait)
    channel->connection.output.method(channel->number, wire::queue::PurgeOk{.message_count = event.count});
}

void on_event(Shared& shared, const broker::Counted& event) {
  Channel* channel = find_open_channel(shared, event.channel);
  Pending pending;
  if (channel == nullptr || !take_pending(channel->connection, Awaited::counted, event.channel, pending)) return;
  channel->connection.output.method(
      channel->number,
      wire::queue::DeclareOk{.queue = pending.name, .message_count = event.ready, .consumer_count = event.consumers});
}

// ---- names and permissions ------------------------------------------------------------------------------------------

std::string stripped(std::string_view name) {
  std::string out(name);
  std::erase_if(out, [](char c) { return c == '\r' || c == '\n'; });
  return out;
}

std::string no_such(std::string_view kind, std::string_view name, const Connection& connection) {
  std::string text = "no ";
  text.append(kind).append(" '").append(name).append("' in vhost '").append(connection.vhost_name).append("'");
  return text;
}

std::optional<std::string> queue_name(Channel& channel, std::string_view name, uint32_t method) {
  if (!name.empty()) return stripped(name);
  if (!channel.last_queue.empty()) return channel.last_queue;
  fail_channel(channel, ReplyCode::not_found, "no previously declared queue", method);
  return std::nullopt;
}

static void forget_void_permissions(Connection& connection) {
  const uint64_t epoch = connection.shared->permissions_epoch;
  if (std::exchange(connection.permissions_epoch, epoch) == epoch) return;
  connection.permissions.clear();
  connection.key_permissions.reset();
  connection.impersonates = false;
}

Allowed authorized(Channel& channel, broker::Access access, bool exchange, std::string_view name, uint32_t method) {
  Connection& connection = channel.connection;
  forget_void_permissions(connection);
  for (const Permission& permission : connection.permissions) {
    if (permission.access != access || permission.exchange != exchange || permission.name != name) continue;
    if (permission.allowed) return Allowed::yes;
    fail_channel(channel, ReplyCode::access_refused, permission.refusal, method);
    return Allowed::no;
  }
  Pending pending = awaiting(Awaited::authorize, channel, method);
  pending.name = name;
  ask(connection, std::move(pending), broker::Authorize{access, exchange, std::string(name), {}});
  return Allowed::asked;
}

bool keys_decide(const Connection& connection, std::string_view exchange) {
  return std::any_of(connection.permissions.begin(), connection.permissions.end(), [&](const Permission& permission) {
    return permission.keys_decide && permission.name == exchange;
  });
}

Allowed authorized_key(Channel& channel, std::string_view exchange, std::string_view key, uint32_t method) {
  Connection& connection = channel.connection;
  // Lengths stand before texts, so that no two pairs are the same text.
  const std::string name = std::to_string(exchange.size()) + ":" + std::string(exchange) + std::string(key);
  if (!connection.key_permissions) connection.key_permissions = std::make_unique<KeyPermissions>();
  const auto found = connection.key_permissions->find(name);
  if (found != connection.key_permissions->end()) {
    if (!found->second) return Allowed::yes;
    fail_channel(channel, ReplyCode::access_refused, *found->second, method);
    return Allowed::no;
  }
  Pending pending = awaiting(Awaited::authorize_key, channel, method);
  pending.name = name;
  ask(connection, std::move(pending),
      broker::Authorize{broker::Access::write, true, std::string(exchange), std::string(key)});
  return Allowed::asked;
}

Allowed may_sign_as(Channel& channel, std::string_view name, uint32_t method) {
  Connection& connection = channel.connection;
  forget_void_permissions(connection);
  if (name == connection.user || connection.impersonates) return Allowed::yes;
  ask(connection, awaiting(Awaited::impersonate, channel, method), broker::Impersonate{std::string(name)});
  return Allowed::asked;
}

// Asked again and again, keys that are never the same again must not pile up.
void on_key_authorized(Connection& connection, const broker::Refusal* refusal) {
  if (!connection.key_permissions) return;  // they have changed meanwhile
  KeyPermissions& known = *connection.key_permissions;
  if (known.size() >= connection.shared->config.keys_remembered) known.clear();
  known.insert_or_assign(std::move(connection.pending.name),
                         refusal ? std::optional(refusal->text) : std::optional<std::string>());
}

void on_authorized(Connection& connection, const broker::Answer& answer) {
  const Config& config = connection.shared->config;
  const auto* refusal = std::get_if<broker::Refusal>(&answer.body);
  if (connection.pending.what == Awaited::authorize_key) return on_key_authorized(connection, refusal);
  if (connection.permissions.size() >= config.permissions_remembered) connection.permissions.clear();
  Permission permission;
  permission.name = connection.pending.name;
  permission.exchange = connection.pending.method == wire::basic::Publish::id;
  permission.access = permission.exchange ? broker::Access::write : broker::Access::read;
  permission.allowed = refusal == nullptr;
  permission.keys_decide = std::holds_alternative<broker::KeysDecide>(answer.body);
  if (refusal != nullptr) permission.refusal = refusal->text;
  connection.permissions.push_back(std::move(permission));
}

void forget_permissions(Connection& connection) {
  connection.permissions.clear();
  connection.key_permissions.reset();
  connection.impersonates = false;
  for (const ChannelSlot& slot : connection.channels) {
    if (!slot.channel) continue;
    slot.channel->known_exchanges = {};
    slot.channel->publishing.routed_epoch = 0;
  }
}

}  // namespace talaria::amqp091::session
