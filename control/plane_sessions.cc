// Who comes and goes: logging in, entering a vhost, permissions, channels and consumers, leaving.

#include <spdlog/spdlog.h>

#include <algorithm>

#include "control/plane.h"
#include "control/printable.h"
#include "control/refusals.h"

namespace talaria::control {
namespace {

// The tag of who may.
constexpr std::string_view impersonator = "impersonator";

std::string access_text(std::string_view access, const std::string& what, const std::string& user) {
  std::string out(access);
  return out + "access to " + what + " refused for user '" + user + "'";
}

std::string named(bool exchange, std::string_view name, const Connection& connection) {
  return resource(exchange ? "exchange" : "queue", exchange ? permission_name(name) : name, connection.vhost->name);
}

}  // namespace

bool Plane::password_holds(const std::string& name, const std::string& password) const {
  const User* user = catalog_.user(name);
  if (user) return password_matches(user->hashing_algorithm, user->password_hash, password);
  // Who does not exist takes as long to refuse as who does.
  static const std::string nobody = hash_password(sha256_hashing, PasswordSalt{}, "nobody's");
  (void)password_matches(sha256_hashing, nobody, password);
  return false;
}

Plane::Body Plane::on(broker::Authenticate& request) {
  const bool good = password_holds(request.user, request.password);
  acting_ = request.user;
  tell_login(good, request);
  if (good) return broker::Done{};
  counts_.logins_refused++;
  spdlog::warn("{}: {} login refused: user '{}' - invalid credentials", printable(request.peer),
               printable(request.mechanism), printable(request.user));
  return access_refused("Login was refused using authentication mechanism " + request.mechanism +
                        ". For details see the broker logfile.");
}

Plane::Body Plane::on(const broker::SessionAddress& session, broker::OpenConnection& request) {
  CHECK(!catalog_.connection(session));
  Vhost* vhost = catalog_.vhost(request.vhost);
  const User* user = catalog_.user(request.user);
  if (!vhost || !user || !user->permissions.contains(request.vhost)) {
    counts_.logins_refused++;
    spdlog::warn("{}: user '{}' was refused access to vhost '{}'", printable(request.peer), printable(request.user),
                 printable(request.vhost));
    if (!vhost) return not_allowed("vhost " + request.vhost + " not found");
    return not_allowed("access to vhost '" + request.vhost + "' refused for user '" + request.user + "'");
  }
  if (auto refusal = over_limit(*vhost, *user)) {
    counts_.logins_refused++;
    spdlog::warn("{}: {}", printable(request.peer), printable(refusal->text));
    return *std::move(refusal);
  }
  auto connection = std::make_unique<Connection>();
  connection->address = session;
  connection->vhost = vhost;
  connection->opened = std::move(request);
  connection->since = now_;
  tell("connection.created", catalog_.add(std::move(connection)));
  return broker::ConnectionOpened{vhost->id};
}

std::optional<broker::Refusal> Plane::over_limit(const Vhost& vhost, const User& user) const {
  if (const auto limit = limit_reached(vhost.limits, max_connections, catalog_.connections_in(vhost.name)))
    return not_allowed("access to vhost '" + vhost.name + "' refused for user '" + user.name + "': connection limit (" +
                       std::to_string(*limit) + ") is reached");
  if (const auto limit = limit_reached(user.limits, max_connections, catalog_.connections_of(user.name)))
    return not_allowed("connection refused for user '" + user.name + "': user connection limit (" +
                       std::to_string(*limit) + ") is reached");
  return std::nullopt;
}

Plane::Body Plane::on(Connection& connection, broker::Reauthenticate& request) {
  const User* user = catalog_.user(connection.opened.user);
  if (!user || request.user != connection.opened.user || !password_holds(request.user, request.password)) {
    counts_.logins_refused++;
    spdlog::warn("{}: user '{}' offered a new secret that was refused", printable(connection.opened.peer),
                 printable(request.user));
    return not_allowed("New secret was refused by one of the backends");
  }
  if (!user->permissions.contains(connection.vhost->name))
    return not_allowed("access to vhost '" + connection.vhost->name + "' refused for user '" + user->name + "'");
  return broker::Done{};
}

std::optional<broker::Refusal> Plane::refused(const Connection& connection, broker::Access access, bool exchange,
                                              std::string_view name) const {
  if (const User* user = catalog_.user(connection.opened.user)) {
    auto permission = user->permissions.find(connection.vhost->name);
    if (permission != user->permissions.end() && permission->second.allows(access, name)) return std::nullopt;
  }
  return access_refused(
      access_text(std::string(access_name(access)) + " ", named(exchange, name, connection), connection.opened.user));
}

std::optional<broker::Refusal> Plane::refused_any(const Connection& connection, bool exchange,
                                                  std::string_view name) const {
  using enum broker::Access;
  for (broker::Access access : {configure, write, read})
    if (!refused(connection, access, exchange, name)) return std::nullopt;
  return access_refused(access_text("", named(exchange, name, connection), connection.opened.user));
}

Plane::Body Plane::on(Connection& connection, broker::Authorize& request) {
  if (auto refusal = refused(connection, request.access, request.exchange, request.name)) return *std::move(refusal);
  if (!request.exchange || request.access != broker::Access::write) return broker::Done{};
  if (request.routing_key) {
    if (auto refusal = key_refused(connection, request.access, request.name, *request.routing_key))
      return *std::move(refusal);
    return broker::Done{};
  }
  // Whether it is a topic exchange the session looks up: this is remembered by the name, whatever has it later.
  const User* user = catalog_.user(connection.opened.user);
  if (user && user->topic_permissions.contains({connection.vhost->name, request.name})) return broker::KeysDecide{};
  return broker::Done{};
}

Plane::Body Plane::on(Connection& connection, broker::Impersonate& request) {
  const std::string& name = connection.opened.user;
  const User* user = catalog_.user(name);
  if (user && std::ranges::find(user->tags, impersonator) != user->tags.end()) return broker::Done{};
  return precondition_failed("user_id property set to '" + request.claimed + "' but authenticated user was '" + name +
                             "'");
}

std::optional<broker::Refusal> Plane::key_refused(const Connection& connection, broker::Access access,
                                                  const std::string& exchange, std::string_view key) const {
  const User* user = catalog_.user(connection.opened.user);
  const std::string& vhost = connection.vhost->name;
  if (user) {
    const auto found = user->topic_permissions.find({vhost, exchange});
    if (found == user->topic_permissions.end()) return std::nullopt;
    if ((access == broker::Access::write ? found->second.write : found->second.read).matches(key)) return std::nullopt;
  }
  return access_refused(access_text(
      std::string(access_name(access)) + " ",
      "topic '" + std::string(key) + "' in exchange " + resource("topic", exchange, vhost), connection.opened.user));
}

Plane::Body Plane::close_connection_of(const broker::SessionAddress& session) {
  Connection* connection = catalog_.connection(session);
  if (!connection) {
    counts_.strays++;
    return broker::Done{};
  }
  for (const auto& [number, channel] : connection->channels) tell_end(*connection, number, channel);
  Removal removal;
  for (auto& [id, queue] : connection->exclusive_queues) removal.add(*queue);
  removal.spread();
  // An exclusive queue is in no store; a durable auto-delete exchange that goes with it may be. The connection is gone
  // whether that can be stored or not: at worst the exchange is back, without bindings, after a restart.
  if (!carry_out(removal)) take_out(removal);
  tell("connection.closed", *connection);
  catalog_.remove(*connection);
  return broker::Done{};
}

void Plane::note(Connection& connection, broker::ChannelOpened& notice) {
  Channel channel;
  channel.counters = std::move(notice.counters);
  const std::string& name = connection.opened.user;
  const User* user = catalog_.user(name);
  const auto limit = user ? limit_reached(user->limits, max_channels, catalog_.channels_of(name)) : std::nullopt;
  catalog_.add_channel(connection, notice.channel, std::move(channel));
  tell("channel.created", connection, notice.channel);
  // The channel is open by now: its connection goes, as it would have if it had been asked about first.
  if (limit)
    close_session(connection, broker::CloseCause::limit,
                  "number of channels opened for user '" + name + "' has reached the maximum allowed user limit of " +
                      std::to_string(*limit));
}

void Plane::note(Connection& connection, broker::ChannelClosed& notice) {
  const auto channel = connection.channels.find(notice.channel);
  if (channel == connection.channels.end()) {
    counts_.strays++;
    return;
  }
  tell_end(connection, notice.channel, channel->second);
  catalog_.remove_channel(connection, notice.channel);
}

void Plane::note(Connection& connection, broker::ChannelChanged& notice) {
  auto channel = connection.channels.find(notice.channel);
  if (channel == connection.channels.end()) {
    counts_.strays++;
    return;
  }
  channel->second.prefetch = notice.prefetch;
  channel->second.global_prefetch = notice.global_prefetch;
  channel->second.confirms = notice.confirms;
  channel->second.transactional = notice.transactional;
}

void Plane::note(Connection& connection, broker::ConsumerAdded& notice) {
  auto channel = connection.channels.find(notice.channel);
  if (channel == connection.channels.end()) {
    counts_.strays++;
    return;
  }
  const auto added = channel->second.consumers.insert_or_assign(
      notice.tag,
      Consumer{notice.queue, notice.no_ack, notice.exclusive, notice.prefetch, std::move(notice.arguments)});
  tell("consumer.created", connection, notice.channel, notice.tag, added.first->second);
  // Its session asked before the user's permissions changed.
  if (connection.vhost) revoke_if_refused(connection, notice.channel, notice.tag, added.first->second);
}

// nullptr: a stray.
Consumer* Plane::consumer_of(Connection& connection, uint16_t number, const std::string& tag) {
  const auto channel = connection.channels.find(number);
  if (channel != connection.channels.end()) {
    const auto consumer = channel->second.consumers.find(tag);
    if (consumer != channel->second.consumers.end()) return &consumer->second;
  }
  counts_.strays++;
  return nullptr;
}

void Plane::note(Connection& connection, broker::ConsumerFoundSlow& notice) {
  if (const Consumer* consumer = consumer_of(connection, notice.channel, notice.tag))
    tell("consumer.slow", connection, notice.channel, notice.tag, *consumer);
}

void Plane::note(Connection& connection, broker::ConsumerRemoved& notice) {
  const Consumer* consumer = consumer_of(connection, notice.channel, notice.tag);
  if (!consumer) return;
  tell("consumer.deleted", connection, notice.channel, notice.tag, *consumer);
  connection.channels.at(notice.channel).consumers.erase(notice.tag);
}

}  // namespace talaria::control
