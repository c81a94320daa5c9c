#include "core/amqp091/session/handshake.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/amqp091/session/closing.h"
#include "core/amqp091/session/consume.h"
#include "core/amqp091/session/heartbeat.h"
#include "core/amqp091/wire/methods.h"
#include "core/amqp091/wire/table.h"
#include "core/base/field.h"

namespace talaria::amqp091::session {
namespace {

// ---- start ----------------------------------------------------------------------------------------------------------

// Only what works. A client decides by these names, and by the product's, how to speak to us.
base::FieldTable server_properties(const Config& config) {
  base::FieldTable capabilities;
  for (const char* name : {"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
                           "connection.blocked", "consumer_priorities", "authentication_failure_close",
                           "per_consumer_qos", "direct_reply_to"})
    capabilities.push_back({name, {true}});
  base::FieldTable properties;
  properties.push_back({"capabilities", {std::move(capabilities)}});
  auto add = [&](const char* name, std::string text) { properties.push_back({name, {std::move(text)}}); };
  add("product", config.product);
  add("version", config.version);
  add("platform", config.platform);
  add("cluster_name", config.cluster_name);
  add("information", "A kernel-bypass AMQP broker");
  return properties;
}

void send_start(Connection& connection) {
  base::FieldTable properties = server_properties(connection.shared->config);
  std::vector<uint8_t> encoded(wire::table_size(properties));
  base::Writer out(encoded);
  wire::emit_table(out, properties);
  CHECK(out.ok());
  wire::connection::Start start;
  start.server_properties.bytes = Bytes(encoded).subspan(4);
  start.mechanisms = base::as_bytes("PLAIN AMQPLAIN");
  start.locales = base::as_bytes("en_US");
  connection.output.method(0, start);
  connection.stage = Stage::starting;
}

// ---- start-ok -------------------------------------------------------------------------------------------------------

struct Credentials {
  std::string user;
  std::string password;
};

// RFC 4616: [who to act as] NUL name NUL password.
std::optional<Credentials> parse_plain(Bytes response) {
  std::string_view text = base::as_text(response);
  size_t first = text.find('\0');
  if (first == std::string_view::npos) return std::nullopt;
  size_t second = text.find('\0', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  return Credentials{std::string(text.substr(first + 1, second - first - 1)), std::string(text.substr(second + 1))};
}

// A field table with LOGIN and PASSWORD, without the length in front.
std::optional<Credentials> parse_amqplain(Bytes response) {
  auto table = wire::decode_table({response});
  if (!table) return std::nullopt;
  const base::Field* login = base::find(*table, "LOGIN");
  const base::Field* password = base::find(*table, "PASSWORD");
  if (login == nullptr || password == nullptr || login->text() == nullptr || password->text() == nullptr)
    return std::nullopt;
  return Credentials{*login->text(), *password->text()};
}

void learn_capabilities(Connection& connection) {
  const base::Field* field = base::find(connection.client_properties, "capabilities");
  if (field == nullptr) return;
  const auto* capabilities = std::get_if<base::FieldTable>(&field->value);
  if (capabilities == nullptr) return;
  auto has = [&](std::string_view name) {
    const base::Field* value = base::find(*capabilities, name);
    return value != nullptr && value->boolean() != nullptr && *value->boolean();
  };
  connection.can_blocked = has("connection.blocked");
  connection.can_cancel_notify = has("consumer_cancel_notify");
  connection.can_close_on_failure = has("authentication_failure_close");
}

void on_start_ok(Connection& connection, const wire::connection::StartOk& method) {
  SessionCounters& counters = connection.shared->counters;
  auto properties = wire::decode_table(method.client_properties);
  if (!properties) return fall_silent(connection, counters.refused_frame);
  connection.client_properties = std::move(*properties);
  learn_capabilities(connection);
  std::optional<Credentials> credentials;
  if (method.mechanism == "PLAIN") credentials = parse_plain(method.response);
  if (method.mechanism == "AMQPLAIN") credentials = parse_amqplain(method.response);
  if (!credentials) return fall_silent(connection, counters.refused_mechanism);
  connection.mechanism = method.mechanism;
  connection.user = std::move(credentials->user);
  connection.stage = Stage::authenticating;
  Pending pending;
  pending.what = Awaited::authenticate;
  pending.method = method.id;
  ask(connection, std::move(pending),
      broker::Authenticate{connection.mechanism, connection.user, std::move(credentials->password), connection.peer});
}

// ---- tune, open -----------------------------------------------------------------------------------------------------

void on_tune_ok(Connection& connection, const wire::connection::TuneOk& method) {
  Shared& shared = *connection.shared;
  const Config& config = shared.config;
  auto wrong = [&](std::string_view what, uint32_t theirs, uint32_t ours, std::string_view how) {
    shared.counters.refused_tune.add();
    std::string text = "negotiated ";
    text += what;
    text += " = " + std::to_string(theirs) + " is ";
    text += how;
    text += " (" + std::to_string(ours) + ")";
    fail_connection(connection, ReplyCode::not_allowed, text, method.id);
  };
  // 0 asks for no limit, where we have one.
  if (method.channel_max == 0 || method.channel_max > config.channel_max)
    return wrong("channel_max", method.channel_max, config.channel_max, "higher than the maximum allowed value");
  if (method.frame_max == 0 || method.frame_max > config.frame_max)
    return wrong("frame_max", method.frame_max, config.frame_max, "higher than the maximum allowed value");
  if (method.frame_max < wire::frame_min_size)
    return wrong("frame_max", method.frame_max, wire::frame_min_size, "lower than the minimum allowed value");
  connection.channel_max = method.channel_max;
  connection.frame_max = method.frame_max;
  connection.heartbeat = method.heartbeat;
  connection.stage = Stage::tuned;
}

void on_open(Connection& connection, const wire::connection::Open& method) {
  connection.vhost_name = method.virtual_host;
  connection.stage = Stage::opening;
  connection.opened = true;  // until the answer says otherwise: CloseConnection would be due
  Pending pending;
  pending.what = Awaited::open_connection;
  pending.method = method.id;
  broker::OpenConnection request;
  request.user = connection.user;
  request.vhost = connection.vhost_name;
  request.peer = connection.peer;
  request.protocol = "AMQP 0-9-1";
  request.client_properties = connection.client_properties;
  request.frame_max = connection.frame_max;
  request.channel_max = connection.channel_max;
  request.heartbeat = connection.heartbeat;
  ask(connection, std::move(pending), std::move(request));
}

}  // namespace

size_t on_greeting(Connection& connection, Bytes first) {
  Shared& shared = *connection.shared;
  std::vector<uint8_t>& seen = connection.input.gathered;
  size_t taken = std::min(first.size(), wire::protocol_header.size() - seen.size());
  seen.insert(seen.end(), first.begin(), first.begin() + static_cast<std::ptrdiff_t>(taken));
  wire::Greeting greeting = wire::recognise_greeting(seen);
  if (greeting == wire::Greeting::incomplete) return taken;
  seen.clear();
  if (greeting == wire::Greeting::amqp091) {
    send_start(connection);
    return taken;
  }
  // Reference section 5, #1: exactly eight octets, then the end. Browsers and TLS clients cannot read them.
  if (greeting == wire::Greeting::http || greeting == wire::Greeting::tls) {
    (greeting == wire::Greeting::http ? shared.counters.refused_http : shared.counters.refused_tls).add();
  } else {
    shared.counters.refused_greeting.add();
    connection.output.write(wire::protocol_header);
  }
  connection.stage = Stage::refused;
  connection.hang_up = true;
  return taken;
}

void on_handshake_method(Connection& connection, Bytes payload) {
  SessionCounters& counters = connection.shared->counters;
  const uint32_t id = wire::load_method_id(payload);
  auto checked = wire::check_method(payload);
  if (connection.stage == Stage::starting) {
    if (!checked) return fall_silent(connection, counters.refused_frame);
    if (id == wire::connection::StartOk::id)
      return on_start_ok(connection, *wire::parse<wire::connection::StartOk>(payload));
    return fall_silent(connection, counters.refused_out_of_place);
  }
  // His credentials are good: he is told what is wrong.
  if (!checked) return fail(connection, checked.error());
  if (connection.stage == Stage::tuning && id == wire::connection::TuneOk::id)
    return on_tune_ok(connection, *wire::parse<wire::connection::TuneOk>(payload));
  if (connection.stage == Stage::tuned && id == wire::connection::Open::id)
    return on_open(connection, *wire::parse<wire::connection::Open>(payload));
  counters.refused_out_of_place.add();
  fail_connection(connection, ReplyCode::command_invalid, "unexpected method while the connection opens", id);
}

void on_authenticated(Connection& connection, const broker::Answer& answer) {
  if (connection.stage != Stage::authenticating) return;
  Shared& shared = *connection.shared;
  if (std::holds_alternative<broker::Refusal>(answer.body)) {
    shared.counters.refused_credentials.add();
    if (!connection.can_close_on_failure) {
      connection.stage = Stage::refused;
      set_deadline(connection, shared.now + shared.config.silent_close_delay);
      return;
    }
    return fail_connection(connection, ReplyCode::access_refused,
                           "Login was refused using authentication mechanism " + connection.mechanism +
                               ". For details see the broker logfile.",
                           0);
  }
  connection.stage = Stage::tuning;
  wire::connection::Tune tune;
  tune.channel_max = shared.config.channel_max;
  tune.frame_max = shared.config.frame_max;
  tune.heartbeat = shared.config.heartbeat;
  connection.output.method(0, tune);
}

void on_opened(Connection& connection, const broker::Answer& answer) {
  Shared& shared = *connection.shared;
  if (const auto* refusal = std::get_if<broker::Refusal>(&answer.body)) {
    connection.opened = false;
    if (connection.stage != Stage::opening) return;
    shared.counters.refused_vhost.add();
    return fail_connection(connection, code_of(refusal->reason), refusal->text, wire::connection::Open::id);
  }
  const auto* opened = std::get_if<broker::ConnectionOpened>(&answer.body);
  CHECK(opened != nullptr);
  if (connection.stage != Stage::opening) return;  // gone meanwhile: CloseConnection follows
  connection.vhost = opened->vhost;
  connection.stage = Stage::open;
  connection.permissions_epoch = shared.permissions_epoch;
  shared.counters.connections_opened.add();
  shared.counters.connections_open.add();
  connection.output.method(0, wire::connection::OpenOk{});
  connection.input.gathered = {};
  start_ticking(connection);
}

void fall_silent(Connection& connection, base::Counter& reason) {
  reason.add();
  connection.stage = Stage::refused;
  Shared& shared = *connection.shared;
  set_deadline(connection, shared.now + shared.config.silent_close_delay);
}

}  // namespace talaria::amqp091::session
