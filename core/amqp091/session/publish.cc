#include "core/amqp091/session/publish.h"

#include <algorithm>
#include <expected>
#include <optional>
#include <utility>

#include "core/amqp091/session/closing.h"
#include "core/amqp091/session/consume.h"
#include "core/amqp091/session/deliver.h"
#include "core/amqp091/session/header_requests.h"
#include "core/amqp091/session/manage.h"
#include "core/amqp091/session/reply_to.h"
#include "core/amqp091/session/stall.h"
#include "core/amqp091/session/transaction.h"
#include "core/amqp091/wire/deliver.h"
#include "core/amqp091/wire/methods.h"
#include "core/amqp091/wire/properties.h"
#include "core/amqp091/wire/table.h"
#include "core/broker/exchange.h"
#include "core/broker/vhost.h"

namespace talaria::amqp091::session {
namespace {

// ---- no room --------------------------------------------------------------------------------------------------------

Stall for_memory_here(const Shared& shared) { return {Stall::For::broker, 0, {broker::Shortage::memory, shared.self}}; }

// ---- the exchange ---------------------------------------------------------------------------------------------------

bool is_known(const Shared& shared, const KnownExchange& known, std::string_view name) {
  return known.epoch == shared.engine.topology_epoch() && known.exchange->name() == name;
}

// Whether it is one of those the channel published to last, and its user may; it is the one used last then.
bool recall_exchange(Channel& channel, std::string_view name) {
  const Shared& shared = *channel.connection.shared;
  if (is_known(shared, channel.known_exchanges[channel.last_known], name)) [[likely]]
    return true;
  for (size_t i = 0; i < channel.known_exchanges.size(); i++) {
    if (!is_known(shared, channel.known_exchanges[i], name)) continue;
    channel.last_known = static_cast<uint8_t>(i);
    return true;
  }
  return false;
}

// Cold: an exchange that the channel did not publish to lately, or a key of a topic exchange where keys decide, or
// topology changed. False with `step` `taken`: the channel has failed.
bool look_up_exchange(Channel& channel, std::string_view name, std::string_view key, Step& step) {
  Connection& connection = channel.connection;
  constexpr uint32_t method = wire::basic::Publish::id;
  switch (authorized(channel, broker::Access::write, true, name, method)) {
    case Allowed::yes: break;
    case Allowed::no: return false;
    case Allowed::asked: step = Step::wait; return false;
  }
  broker::Vhost* vhost = connection.vhost_record();
  broker::Exchange* exchange = vhost ? vhost->find_exchange(name) : nullptr;
  if (exchange == nullptr) {
    fail_channel(channel, ReplyCode::not_found, no_such("exchange", name, connection), method);
    return false;
  }
  if (exchange->internal()) {
    std::string text =
        "cannot publish to internal exchange '" + std::string(name) + "' in vhost '" + connection.vhost_name + "'";
    fail_channel(channel, ReplyCode::access_refused, text, method);
    return false;
  }
  const bool by_key = exchange->type() == broker::ExchangeType::topic && keys_decide(connection, name);
  if (by_key) {
    switch (authorized_key(channel, name, key, method)) {
      case Allowed::yes: break;
      case Allowed::no: return false;
      case Allowed::asked: step = Step::wait; return false;
    }
  }
  channel.last_known = channel.next_known;
  channel.next_known = static_cast<uint8_t>((channel.next_known + 1) % channel.known_exchanges.size());
  channel.known_exchanges[channel.last_known] = {connection.shared->engine.topology_epoch(), exchange, by_key};
  return true;
}

// ---- a complete message ---------------------------------------------------------------------------------------------

// What exchanges may ask about a message, where it lies. False: they are malformed, the connection has
// failed.
bool find_facts(Connection& connection, const broker::Message& message, broker::RouteFacts& out) {
  Shared& shared = *connection.shared;
  Bytes raw = message.whole_properties();
  if (raw.empty()) {
    shared.whole.clear();
    for (broker::PayloadCursor cursor = message.properties(); !cursor.done();) {
      Bytes piece = cursor.next();
      shared.whole.insert(shared.whole.end(), piece.begin(), piece.end());
    }
    raw = shared.whole;
  }
  auto properties = wire::parse_properties(raw);
  if (!properties) {
    fail(connection, properties.error());
    return false;
  }
  out.correlation_id = properties->correlation_id;
  out.message_id = properties->message_id;
  out.timestamp = properties->timestamp;
  if (!properties->has(wire::Property::headers)) return true;
  auto headers = wire::parse_all_headers(properties->headers, shared.headers);
  if (!headers) {
    fail(connection, headers.error());
    return false;
  }
  out.headers = *headers;
  return true;
}

// Ten years, as the time to live of queues.
constexpr uint64_t expiration_ms_max = 315'360'000'000;
// A publish that leads to more queues is routed each time.
constexpr size_t remembered_queues_max = 64;

// The exchange of the last method, while topology and what the user may are what they were; else nullptr.
broker::Exchange* known_exchange(const Channel& channel) {
  const KnownExchange& known = channel.known_exchanges[channel.last_known];
  return is_known(*channel.connection.shared, known, channel.publishing.front.exchange()) ? known.exchange : nullptr;
}

// The same by its name, where something changed between the method and what follows it; nullptr: it is gone.
broker::Exchange* exchange_of(const Channel& channel) {
  if (broker::Exchange* known = known_exchange(channel)) [[likely]]
    return known;
  broker::Vhost* vhost = channel.connection.vhost_record();
  return vhost ? vhost->find_exchange(channel.publishing.front.exchange()) : nullptr;
}

// Where the last method leads, by what is known about it. False: that is not enough.
bool route_known(Channel& channel, std::span<broker::QueueRecord* const>& queues) {
  Shared& shared = *channel.connection.shared;
  Publishing& publishing = channel.publishing;
  const uint64_t epoch = shared.engine.topology_epoch();
  if (publishing.routed_epoch == epoch) [[likely]] {
    queues = publishing.queues;
    return true;
  }
  broker::Exchange* exchange = known_exchange(channel);
  if (exchange == nullptr || exchange->delays() || exchange->remembers() || !exchange->vhost().remembers_routes() ||
      shared.engine.tracing()) [[unlikely]]
    return false;
  broker::route(exchange->vhost(), *exchange, publishing.front.routing_key(), {}, shared.targets);
  queues = shared.targets.queues();
  if (queues.size() <= remembered_queues_max) {
    publishing.queues.assign(queues.begin(), queues.end());
    publishing.routed_epoch = epoch;
  }
  return true;
}

// Where the message goes. False: nowhere, the channel or the connection has failed.
bool route(Channel& channel, const broker::Message& message, std::span<broker::QueueRecord* const>& queues) {
  const bool has_copies = !channel.publishing.copies.empty();
  if (!has_copies && route_known(channel, queues)) [[likely]]
    return true;
  Connection& connection = channel.connection;
  Shared& shared = *connection.shared;
  broker::Exchange* exchange = exchange_of(channel);
  if (exchange == nullptr) {
    fail_channel(channel, ReplyCode::not_found, no_such("exchange", message.exchange(), connection),
                 wire::basic::Publish::id);
    return false;
  }
  broker::Vhost& vhost = exchange->vhost();
  broker::RouteFacts facts;
  if (vhost.needs_facts() && !find_facts(connection, message, facts)) return false;
  if (has_copies) {
    std::vector<std::string_view> keys{message.routing_key()};
    keys.insert(keys.end(), channel.publishing.copies.begin(), channel.publishing.copies.end());
    broker::route(vhost, *exchange, keys, facts, shared.targets);
  } else {
    broker::route(vhost, *exchange, message.routing_key(), facts, shared.targets);
  }
  queues = shared.targets.queues();
  return true;
}

// What others will route finds its publisher no more: it is looked into now. False: the connection has failed.
bool may_be_asked(Connection& connection, const broker::Message& message) {
  const broker::Vhost* vhost = connection.vhost_record();
  broker::RouteFacts facts;
  return vhost == nullptr || !vhost->needs_facts() || find_facts(connection, message, facts);
}

}  // namespace

void store(Channel& channel, broker::Message* message, std::span<broker::QueueRecord* const> queues) {
  uint64_t sequence = 0;
  if (channel.confirms.selected()) {
    sequence = channel.confirms.begin(static_cast<uint32_t>(queues.size()));
    channel.counters->unconfirmed.add();
  }
  channel.connection.shared->engine.publish(queues, message, channel.address(), sequence);
}

namespace {

// The broker has taken it.
void count_published(Connection& connection) {
  connection.shared->counters.messages_published.add();
  connection.info->messages_in.add();
}

// It waits in its exchange; or there are too many that do.
void delay(Channel& channel, broker::Message* message) {
  Connection& connection = channel.connection;
  Shared& shared = *connection.shared;
  const Publishing& publishing = channel.publishing;
  if (!shared.delayed) shared.delayed = std::make_unique<DelayedMessages>();
  if (shared.delayed->has_room_for(shared, *message, publishing.copies)) {
    if (channel.transaction) return keep_delayed(channel, message, {publishing.delay_ms, publishing.copies});
    trace(channel, *message, {});
    shared.delayed->keep(shared, message, connection.vhost, publishing.delay_ms, publishing.copies);
    return confirm_at_once(channel);
  }
  shared.counters.delayed_refused.add();
  shared.pool.release(message);
  if (!channel.confirms.selected())
    return fail_channel(channel, ReplyCode::precondition_failed,
                        "too many messages are delayed on worker " + std::to_string(shared.self),
                        wire::basic::Publish::id);
  channel.confirms.stored(channel.confirms.begin(1), true);
  channel.counters->unconfirmed.add();
  shared.confirming.add(channel, channel.confirming_listed);
}

// Routes the message and hands it to its queues. False: it has to wait, and `why` says for what.
bool hand_over(Channel& channel, broker::Message* message, Stall& why) {
  Connection& connection = channel.connection;
  Shared& shared = *connection.shared;
  if (has_entrusted(connection.entrusted) && !channel.publishing.through_memory) [[unlikely]] {
    why = wait_for_entrusted(*connection.entrusted);
    return false;
  }
  if (channel.publishing.delay_ms != 0) [[unlikely]] {
    delay(channel, message);
    count_published(connection);
    return true;
  }
  if (channel.publishing.through_memory) [[unlikely]] {
    if (!may_be_asked(connection, *message)) {
      shared.pool.release(message);
      return true;
    }
    if (!pass_through(channel, message, why)) return false;
    count_published(connection);
    return true;
  }
  std::span<broker::QueueRecord* const> queues;
  if (!route(channel, *message, queues)) [[unlikely]] {
    shared.pool.release(message);
    return true;
  }
  if (queues.empty() && is_command(*message)) [[unlikely]] {
    trace(channel, *message, {});
    on_command(channel, *message);
    shared.pool.release(message);
  } else if (channel.transaction) [[unlikely]] {
    keep(channel, message, queues, channel.publishing.front.mandatory());
  } else if (queues.empty()) [[unlikely]] {
    const bool mandatory = channel.publishing.front.mandatory();
    switch (hand_over_reply(channel, message, mandatory, why)) {
      case Reply::none: break;
      case Reply::waits: return false;
      case Reply::handed_over: count_published(connection); return true;
    }
    if (mandatory && connection.output.full()) {
      why = {Stall::For::own_reading, 0, {}};
      return false;
    }
    drop_unroutable(channel, message, mandatory);
  } else {
    if (const broker::Room room = shared.engine.room_for(queues); !room) [[unlikely]] {
      why = {Stall::For::broker, 0, room};
      return false;
    }
    if (!channel.publishing.copies.empty() && !hand_over_reply_besides(channel, *message, why)) [[unlikely]]
      return false;
    trace(channel, *message, queues);
    store(channel, message, queues);
  }
  count_published(connection);
  return true;
}

Step on_complete(Channel& channel) {
  Publishing& publishing = channel.publishing;
  broker::Message* message = publishing.builder->finish();
  publishing.builder.reset();
  publishing.stage = Publishing::Stage::idle;
  Stall why;
  if (!hand_over(channel, message, why)) [[unlikely]] {
    publishing.message = message;
    publishing.stage = Publishing::Stage::waiting;
    stall(channel.connection, &channel, why);
  }
  return Step::taken;
}

// A user may only sign with his own name, unless he is an impersonator.
Allowed is_signed_rightly(Channel& channel, const wire::ContentScan& scan) {
  const auto properties = wire::parse_properties(scan.raw);
  return properties ? may_sign_as(channel, properties->user_id, wire::basic::Publish::id) : Allowed::yes;
}

// The property `expiration`: milliseconds as text. What is wrong with it is told in RabbitMQ's words, which are
// Erlang's.
std::expected<uint64_t, std::string> parse_expiration(std::string_view text) {
  const bool negative = text.starts_with('-');
  std::string_view digits = text.substr(negative || text.starts_with('+') ? 1 : 0);
  const size_t count = std::min(digits.find_first_not_of("0123456789"), digits.size());
  if (count == 0) return std::unexpected("no_integer");
  if (count != digits.size()) return std::unexpected("{leftover_string,\"" + std::string(digits.substr(count)) + "\"}");
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size()));
  if (negative && !digits.empty()) return std::unexpected("{value_negative,-" + std::string(digits) + "}");
  uint64_t value = 0;
  for (char digit : digits) {
    value = value * 10 + static_cast<uint64_t>(digit - '0');
    if (value > expiration_ms_max) return std::unexpected("{value_too_large," + std::string(digits) + "}");
  }
  return value;
}

// False: it is no number, the channel has failed.
bool take_expiration(Channel& channel, const wire::ContentScan& scan, uint64_t& out) {
  if (!scan.has(wire::Property::expiration)) [[likely]]
    return true;
  auto parsed = parse_expiration(scan.expiration);
  if (!parsed) {
    fail_channel(channel, ReplyCode::precondition_failed,
                 "invalid expiration '" + std::string(scan.expiration) + "': " + parsed.error(),
                 wire::basic::Publish::id);
    return false;
  }
  out = *parsed;
  return true;
}

// ---- what the frames say --------------------------------------------------------------------------------------------

// These say no to all that is not as usual. What it is the others below find out, answer and wait for.

[[gnu::noinline]] bool learn_method(Channel& channel, Bytes payload) {
  auto method = wire::parse<wire::basic::Publish>(payload);
  if (!method || method->immediate || !recall_exchange(channel, method->exchange) ||
      channel.known_exchanges[channel.last_known].keys_decide) [[unlikely]]
    return false;
  channel.publishing.keep_method(payload, *method);
  return true;
}

inline bool knows_method(Channel& channel, Bytes payload) {
  const Publishing& publishing = channel.publishing;
  if (!publishing.front.method_is(payload)) [[unlikely]]
    return learn_method(channel, payload);
  return publishing.routed_epoch == channel.connection.shared->engine.topology_epoch() || known_exchange(channel);
}

[[gnu::noinline]] bool learn_header(Channel& channel, Bytes payload) {
  auto scan = wire::scan_content_header(payload);
  if (!scan || scan->has(wire::Property::user_id)) [[unlikely]]
    return false;
  if (may_ask_for_more(*scan)) return false;
  uint64_t expiration_ms = broker::Message::never_expires;
  if (scan->has(wire::Property::expiration)) {
    const auto parsed = parse_expiration(scan->expiration);
    if (!parsed) return false;
    expiration_ms = *parsed;
  }
  Front& front = channel.publishing.front;
  front.keep_header(*scan, expiration_ms);
  return !front.properties().empty();
}

inline bool knows_header(Channel& channel, Bytes payload) {
  return channel.publishing.front.header_is(payload) || learn_header(channel, payload);
}

// Cold. False: the channel or the connection has failed, or (`step`) the frame waits for an answer.
bool find_out_method(Channel& channel, Bytes payload, Step& step) {
  auto method = wire::parse<wire::basic::Publish>(payload);
  if (!method) {
    fail(channel.connection, method.error());
    return false;
  }
  if (method->immediate) {
    fail_connection(channel.connection, ReplyCode::not_implemented, "immediate=true", method->id);
    return false;
  }
  if (!look_up_exchange(channel, method->exchange, method->routing_key, step)) return false;
  channel.publishing.keep_method(payload, *method);
  return true;
}

// No message is begun on the channel now.
inline bool is_short(const Channel& channel) {
  const Shared& shared = *channel.connection.shared;
  return shared.pool.pressure() != broker::Pressure::ok ||
         channel.confirms.outstanding() >= shared.config.confirms_outstanding;
}

// Of a channel that is short.
Stall shortage_of(const Channel& channel) {
  const Shared& shared = *channel.connection.shared;
  if (shared.pool.pressure() != broker::Pressure::ok) return for_memory_here(shared);
  return {Stall::For::confirms, channel.number, {}};
}

// The message that the channel's frames announce.
broker::MessageHead head_of(const Front& front, Bytes properties, uint64_t body_size, base::Time received) {
  broker::MessageHead head;
  head.exchange = front.exchange();
  head.routing_key = front.routing_key();
  head.format = broker::PropertiesFormat::amqp091;
  head.properties = properties;
  head.body_size = body_size;
  head.persistent = front.persistent();
  head.priority = front.priority();
  head.received = received;
  head.expiration_ms = front.expiration_ms();
  return head;
}

}  // namespace

void confirm_at_once(Channel& channel) {
  if (!channel.confirms.selected()) return;
  channel.confirms.begin(0);
  channel.counters->unconfirmed.add();
  channel.connection.shared->confirming.add(channel, channel.confirming_listed);
}

// ---- of transactions, too -------------------------------------------------------------------------------------------

void drop_unroutable(Channel& channel, broker::Message* message, bool mandatory) {
  Shared& shared = *channel.connection.shared;
  trace(channel, *message, {});
  shared.counters.messages_unroutable.add();
  // The return goes before the confirm.
  if (mandatory) write_return(channel, *message, ReplyCode::no_route);
  confirm_at_once(channel);
  shared.pool.release(message);
}

// To another worker, where it may turn out that the consumer is gone. Until then input waits; or the commit does.
static void hand_over_mandatory(Channel& channel, const broker::ConsumerAddress& consumer, broker::Message* message) {
  uint64_t sequence = 0;
  if (channel.transaction) {
    sequence = channel.confirms.begin(1);
  } else {
    channel.connection.pending = awaiting(Awaited::reply_taken, channel, wire::basic::Publish::id);
    if (channel.confirms.selected()) {
      sequence = channel.confirms.begin(1);
      channel.counters->unconfirmed.add();
    }
  }
  channel.connection.shared->engine.hand_over({consumer, channel.address(), message, sequence});
}

static std::optional<broker::ConsumerAddress> find_awaiting(Shared& shared, const broker::Message& message) {
  if (!message.exchange().empty() || !is_reply_address(message.routing_key())) return std::nullopt;
  return find_reply_consumer(shared, message.routing_key());
}

bool hand_over_reply_besides(Channel& channel, broker::Message& message, Stall& why) {
  Shared& shared = *channel.connection.shared;
  const auto consumer = find_awaiting(shared, message);
  if (!consumer) return true;
  if (const broker::Room room = shared.engine.room_for(consumer->channel.worker); !room) {
    why = {Stall::For::broker, 0, room};
    return false;
  }
  message.add_references();
  shared.engine.hand_over(*consumer, &message);
  return true;
}

Reply hand_over_reply(Channel& channel, broker::Message* message, bool mandatory, Stall& why) {
  Shared& shared = *channel.connection.shared;
  const auto consumer = find_awaiting(shared, *message);
  if (!consumer) return Reply::none;
  if (const broker::Room room = shared.engine.room_for(consumer->channel.worker); !room) {
    why = {Stall::For::broker, 0, room};
    return Reply::waits;
  }
  const bool may_return = mandatory && consumer->channel.worker != shared.self && !channel.ending;
  if (may_return && channel.connection.output.full()) {
    why = {Stall::For::own_reading, 0, {}};
    return Reply::waits;
  }
  trace(channel, *message, {});
  if (may_return) {
    hand_over_mandatory(channel, *consumer, message);
    return Reply::handed_over;
  }
  shared.engine.hand_over(*consumer, message);
  confirm_at_once(channel);
  return Reply::handed_over;
}

// ---- frame by frame -------------------------------------------------------------------------------------------------

Step on_publish(Channel& channel, Bytes payload) {
  if (!knows_method(channel, payload)) [[unlikely]] {
    Step step = Step::taken;
    if (!find_out_method(channel, payload, step)) return step;
  }
  if (is_short(channel)) [[unlikely]]
    return wait_for_room(channel.connection, shortage_of(channel));
  channel.publishing.stage = Publishing::Stage::header;
  return Step::taken;
}

Step on_content_header(Channel& channel, Bytes payload) {
  Connection& connection = channel.connection;
  Shared& shared = *connection.shared;
  Publishing& publishing = channel.publishing;
  auto scan = wire::scan_content_header(payload);
  if (!scan) [[unlikely]] {
    fail(connection, scan.error());
    return Step::taken;
  }
  const uint64_t most = shared.message_size_max;
  if (scan->body_size > most) [[unlikely]] {
    fail_channel(channel, ReplyCode::precondition_failed,
                 "message size " + std::to_string(scan->body_size) + " is larger than configured max size " +
                     std::to_string(most),
                 wire::basic::Publish::id);
    return Step::taken;
  }
  if (scan->has(wire::Property::user_id) && is_signed_rightly(channel, *scan) == Allowed::asked) [[unlikely]]
    return Step::wait;
  uint64_t expiration_ms = broker::Message::never_expires;
  if (!take_expiration(channel, *scan, expiration_ms)) [[unlikely]]
    return Step::taken;
  publishing.front.keep_header(*scan, expiration_ms);
  publishing.copies.clear();
  publishing.delay_ms = 0;
  Bytes raw = scan->raw;
  const broker::Exchange* exchange = exchange_of(channel);
  const bool delays = exchange != nullptr && exchange->delays();
  publishing.through_memory = exchange != nullptr && exchange->remembers();
  if (delays || may_ask_for_more(*scan)) [[unlikely]] {
    const std::optional<Bytes> changed = take_requests(channel, *scan, delays);
    if (!changed) return Step::taken;
    raw = *changed;
    publishing.front.forget_header();
    if (channel.known_exchanges[channel.last_known].keys_decide) {
      switch (authorized_copies(channel)) {
        case Allowed::yes: break;
        case Allowed::no: return Step::taken;
        case Allowed::asked: return Step::wait;
      }
    }
  }
  const broker::MessageHead head = head_of(publishing.front, raw, scan->body_size, shared.latency.moment());
  publishing.builder = shared.pool.begin(head);
  if (!publishing.builder) [[unlikely]]
    return wait_for_room(connection, for_memory_here(shared));
  publishing.stage = Publishing::Stage::body;
  return publishing.builder->missing() == 0 ? on_complete(channel) : Step::taken;
}

Step on_body(Channel& channel, Bytes octets) {
  broker::MessageBuilder& builder = *channel.publishing.builder;
  if (!builder.append(octets)) [[unlikely]] {
    fail_connection(channel.connection, ReplyCode::internal_error, "out of message memory", wire::basic::Publish::id);
    return Step::taken;
  }
  return builder.missing() == 0 ? on_complete(channel) : Step::taken;
}

// ---- all at once ----------------------------------------------------------------------------------------------------

size_t publish_at_once(Connection& connection, Bytes in) {
  if (in.size() < wire::frame_overhead) return 0;
  const uint16_t number = base::load_be16(in.data() + 1);
  const Bytes method = wire::expected_payload(in, wire::FrameType::method, number, connection.frame_max);
  if (method.size() < 4 || wire::load_method_id(method) != wire::basic::Publish::id) return 0;
  Bytes left = in.subspan(wire::frame_overhead + method.size());
  const Bytes header = wire::expected_payload(left, wire::FrameType::header, number, connection.frame_max);
  if (header.size() < wire::content_header_size_min) [[unlikely]]
    return 0;
  left = left.subspan(wire::frame_overhead + header.size());
  Channel* channel = connection.channel(number);
  if (channel == nullptr || channel->publishing.stage != Publishing::Stage::idle) [[unlikely]]
    return 0;
  Shared& shared = *connection.shared;
  Publishing& publishing = channel->publishing;
  std::span<broker::QueueRecord* const> queues;
  if (channel->transaction || has_entrusted(connection.entrusted) || is_short(*channel) ||
      !knows_method(*channel, method) || !knows_header(*channel, header) || !route_known(*channel, queues) ||
      queues.empty()) [[unlikely]]
    return 0;
  const uint64_t body_size = base::load_be64(header.data() + 4);
  if (body_size == 0 || body_size > shared.message_size_max) [[unlikely]]
    return 0;
  const Bytes body = wire::expected_payload(left, wire::FrameType::body, number, connection.frame_max);
  const bool whole = body.size() == body_size;
  if (whole && !shared.engine.room_for(queues)) [[unlikely]]
    return 0;
  const broker::MessageHead head =
      head_of(publishing.front, publishing.front.properties(), body_size, shared.latency.moment());
  if (whole) [[likely]] {
    broker::Message* message = shared.pool.make(head, body);
    if (message == nullptr) [[unlikely]]
      return 0;
    store(*channel, message, queues);
    count_published(connection);
    shared.counters.frames_in.add(3);
    return in.size() - left.size() + wire::frame_overhead + body.size();
  }
  // Its body comes later, or in pieces.
  publishing.copies.clear();
  publishing.delay_ms = 0;
  publishing.through_memory = false;
  publishing.builder = shared.pool.begin(head);
  if (!publishing.builder) [[unlikely]]
    return 0;
  publishing.stage = Publishing::Stage::body;
  shared.counters.frames_in.add(2);
  return in.size() - left.size();
}

bool resume_waiting(Channel& channel, Stall& why) {
  Publishing& publishing = channel.publishing;
  if (publishing.stage != Publishing::Stage::waiting) return true;
  broker::Message* message = std::exchange(publishing.message, nullptr);
  publishing.stage = Publishing::Stage::idle;
  if (hand_over(channel, message, why)) return true;
  publishing.message = message;
  publishing.stage = Publishing::Stage::waiting;
  return false;
}

void abandon_publishing(Channel& channel) {
  Publishing& publishing = channel.publishing;
  publishing.builder.reset();
  if (publishing.message) channel.connection.shared->pool.release(std::exchange(publishing.message, nullptr));
  publishing.stage = Publishing::Stage::idle;
}

void flush_confirms(Channel& channel) {
  Connection& connection = channel.connection;
  Shared& shared = *connection.shared;
  if (!channel.confirms.due()) return;
  if (channel.transaction) return on_transaction_stored(channel);
  if (connection.output.stopped()) return;
  connection.output.measure();
  if (connection.output.full()) return;  // see resume_output
  bool all = channel.confirms.flush([&](uint64_t sequence, uint64_t count, bool refused) {
    MutableBytes out = connection.output.reserve(wire::ack_frame_size);
    if (out.empty()) return false;
    connection.output.commit(refused ? wire::emit_nack(out, channel.number, sequence, count > 1)
                                     : wire::emit_ack(out, channel.number, sequence, count > 1));
    (refused ? shared.counters.messages_refused : shared.counters.messages_confirmed).add(count);
    channel.counters->unconfirmed.subtract(count);
    shared.counters.frames_out.add();
    return true;
  });
  connection.output.settle();
  if (!all) shared.confirming.add(channel, channel.confirming_listed);
}

}  // namespace talaria::amqp091::session
