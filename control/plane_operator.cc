// What operators may do: accounts, vhosts, permissions, connections, queues.

#include <spdlog/spdlog.h>

#include <algorithm>

#include "control/plane.h"
#include "control/printable.h"
#include "control/refusals.h"

namespace talaria::control {
namespace {

constexpr char no_name[] = "a name has 1 to 255 bytes of UTF-8 and no control characters";

std::string no_user(const std::string& name) { return "user '" + name + "' does not exist"; }
std::string no_vhost(const std::string& name) { return "virtual host '" + name + "' does not exist"; }

std::string tag_fault(const std::vector<std::string>& tags) {
  for (const std::string& tag : tags)
    if (!is_name(tag) || tag.find_first_of(", ") != std::string::npos)
      return "tag '" + tag + "' has characters that a tag cannot have";
  return {};
}

}  // namespace

Ticket Plane::new_ticket() {
  Ticket ticket = ++last_ticket_;
  results_.emplace(ticket, WaitingResult{});
  return ticket;
}

// Forgotten tickets get no result.
void Plane::resolve(Ticket ticket, OperatorResult result) {
  auto waiting = results_.find(ticket);
  if (waiting != results_.end()) waiting->second = {true, last_sequence_, std::move(result)};
}

Ticket Plane::done(uint32_t count) {
  Ticket ticket = new_ticket();
  resolve(ticket, count);
  return ticket;
}

Ticket Plane::failed(Fault fault, std::string message) {
  Ticket ticket = new_ticket();
  resolve(ticket, std::unexpected(OperatorError{fault, std::move(message)}));
  return ticket;
}

std::optional<OperatorResult> Plane::take_result(Ticket ticket) {
  auto waiting = results_.find(ticket);
  CHECK(waiting != results_.end());
  if (!waiting->second.ready || waiting->second.sequence > applied_everywhere()) return std::nullopt;
  OperatorResult result = std::move(waiting->second.result);
  results_.erase(waiting);
  return result;
}

void Plane::forget(Ticket ticket) { results_.erase(ticket); }

PasswordSalt Plane::fresh_salt() {
  PasswordSalt salt{};
  options_.random(salt);
  return salt;
}

std::vector<Edit> Plane::keep(const User& user) {
  std::vector<Edit> edits{Put<UserRow>{row_of(user)}};
  if (!user.stored)
    for (const auto& [vhost, permission] : user.permissions)
      edits.push_back(Put<PermissionRow>{row_of(user, vhost, permission)});
  if (!user.stored)
    for (const auto& [of, permission] : user.topic_permissions)
      edits.push_back(Put<TopicPermissionRow>{row_of(user, of, permission)});
  return edits;
}

Ticket Plane::add_user(const std::string& name, const std::string& password) {
  if (!is_name(name)) return failed(Fault::bad_argument, no_name);
  if (password.empty()) return failed(Fault::bad_argument, "a password cannot be blank");
  if (catalog_.user(name)) return failed(Fault::already_exists, "user '" + name + "' already exists");
  if (catalog_.users().size() >= options_.limits.users) return failed(Fault::bad_argument, "too many users");
  auto user = std::make_unique<User>();
  user->name = name;
  user->hashing_algorithm = sha256_hashing;
  user->password_hash = hash_password(sha256_hashing, fresh_salt(), password);
  if (auto saved = save(keep(*user)); !saved) return failed(Fault::store_failed, saved.error().text);
  tell_user("user.created", catalog_.add(std::move(user)));
  spdlog::info("user '{}' was added", printable(name));
  return done();
}

Ticket Plane::delete_user(const std::string& name) {
  User* user = catalog_.user(name);
  if (!user) return failed(Fault::no_such_user, no_user(name));
  std::vector<Edit> edits{Erase<UserRow>{row_of(*user)}};
  for (const auto& [vhost, permission] : user->permissions)
    edits.push_back(Erase<PermissionRow>{row_of(*user, vhost, permission)});
  for (const auto& [of, permission] : user->topic_permissions)
    edits.push_back(Erase<TopicPermissionRow>{row_of(*user, of, permission)});
  if (auto saved = save(edits); !saved) return failed(Fault::store_failed, saved.error().text);
  tell_user("user.deleted", *user);
  catalog_.remove(*user);
  broadcast(broker::PermissionsChanged{});
  spdlog::info("user '{}' was deleted", printable(name));
  return done(close_sessions("user '" + name + "' is deleted",
                             [&](const Connection& connection) { return connection.opened.user == name; }));
}

Ticket Plane::change_password(const std::string& name, const std::string& password) {
  User* user = catalog_.user(name);
  if (!user) return failed(Fault::no_such_user, no_user(name));
  if (password.empty()) return failed(Fault::bad_argument, "a password cannot be blank");
  User changed = *user;
  changed.hashing_algorithm = sha256_hashing;
  changed.password_hash = hash_password(sha256_hashing, fresh_salt(), password);
  return replace(*user, std::move(changed), "user.password.changed");
}

Ticket Plane::set_user_tags(const std::string& name, const std::vector<std::string>& tags) {
  User* user = catalog_.user(name);
  if (!user) return failed(Fault::no_such_user, no_user(name));
  if (std::string fault = tag_fault(tags); !fault.empty()) return failed(Fault::bad_argument, fault);
  User changed = *user;
  changed.tags = tags;
  // One of them, impersonator, is a permission.
  broadcast(broker::PermissionsChanged{});
  return replace(*user, std::move(changed), "user.tags.set");
}

// From now on the user is in the store, whatever it was before.
Ticket Plane::replace(User& user, User changed, std::string_view event) {
  if (auto saved = save(keep(changed)); !saved) return failed(Fault::store_failed, saved.error().text);
  user = std::move(changed);
  user.stored = true;
  if (event.starts_with("user.limits"))
    tell_limits(event, "name", user.name, user.limits);
  else
    tell_user(event, user);
  return done();
}

Ticket Plane::set_vhost_limits(const std::string& name, const OperatorLimits& limits) {
  Vhost* vhost = catalog_.vhost(name);
  if (!vhost) return failed(Fault::no_such_vhost, no_vhost(name));
  for (const auto& [limit, value] : limits)
    if (auto fault = limit_fault(LimitsOf::vhost, limit)) return failed(Fault::bad_argument, *fault);
  VhostRow row = row_of(*vhost);
  row.limits = limits;
  if (auto saved = save(std::vector<Edit>{Put<VhostRow>{row}}); !saved)
    return failed(Fault::store_failed, saved.error().text);
  vhost->limits = limits;
  tell_limits(limits.empty() ? "vhost.limits.cleared" : "vhost.limits.set", "name", name, limits);
  return done();
}

Ticket Plane::set_user_limits(const std::string& name, const OperatorLimits& limits) {
  User* user = catalog_.user(name);
  if (!user) return failed(Fault::no_such_user, no_user(name));
  User changed = *user;
  for (const auto& [limit, value] : limits) {
    if (auto fault = limit_fault(LimitsOf::user, limit)) return failed(Fault::bad_argument, *fault);
    changed.limits.insert_or_assign(limit, value);
  }
  return replace(*user, std::move(changed), "user.limits.set");
}

Ticket Plane::clear_user_limits(const std::string& name, const std::string& limit) {
  User* user = catalog_.user(name);
  if (!user) return failed(Fault::no_such_user, no_user(name));
  User changed = *user;
  if (limit == "all") {
    changed.limits.clear();
  } else {
    if (auto fault = limit_fault(LimitsOf::user, limit)) return failed(Fault::bad_argument, *fault);
    changed.limits.erase(limit);
  }
  return replace(*user, std::move(changed), "user.limits.cleared");
}

Ticket Plane::add_vhost(const VhostRow& row) {
  if (!is_name(row.name)) return failed(Fault::bad_argument, no_name);
  if (std::string fault = tag_fault(row.tags); !fault.empty()) return failed(Fault::bad_argument, fault);
  if (catalog_.vhost(row.name)) return failed(Fault::already_exists, "virtual host '" + row.name + "' already exists");
  if (catalog_.vhosts().size() >= options_.limits.vhosts) return failed(Fault::bad_argument, "too many virtual hosts");
  if (auto saved = save(std::vector<Edit>{Put<VhostRow>{row}}); !saved)
    return failed(Fault::store_failed, saved.error().text);
  enter(row);
  spdlog::info("virtual host '{}' was added", printable(row.name));
  return done();
}

Ticket Plane::update_vhost(const std::string& name, const std::optional<std::string>& description,
                           const std::optional<std::vector<std::string>>& tags) {
  Vhost* vhost = catalog_.vhost(name);
  if (!vhost) return failed(Fault::no_such_vhost, no_vhost(name));
  VhostRow row = row_of(*vhost);
  if (description) row.description = *description;
  if (tags) row.tags = *tags;
  if (std::string fault = tag_fault(row.tags); !fault.empty()) return failed(Fault::bad_argument, fault);
  if (auto saved = save(std::vector<Edit>{Put<VhostRow>{row}}); !saved)
    return failed(Fault::store_failed, saved.error().text);
  vhost->description = row.description;
  vhost->tags = row.tags;
  tell("vhost.updated", *vhost);
  return done();
}

Ticket Plane::delete_vhost(const std::string& name) {
  Vhost* vhost = catalog_.vhost(name);
  if (!vhost) return failed(Fault::no_such_vhost, no_vhost(name));
  Removal removal;
  removal.add(*vhost);
  removal.spread();
  std::vector<Edit> edits;
  for (const auto& [user_name, user] : catalog_.users())
    if (auto permission = user->permissions.find(name); permission != user->permissions.end())
      edits.push_back(Erase<PermissionRow>{row_of(*user, name, permission->second)});
  for (const auto& [user_name, user] : catalog_.users())
    for (const auto& [of, permission] : user->topic_permissions)
      if (of.first == name) edits.push_back(Erase<TopicPermissionRow>{row_of(*user, of, permission)});
  std::string text = name;  // the caller's may be the vhost's own
  if (auto removed = carry_out(removal, std::move(edits)); !removed)
    return failed(Fault::store_failed, removed.error().text);
  for (const auto& [user_name, user] : catalog_.users())
    if (auto permission = user->permissions.find(text); permission != user->permissions.end())
      user->permissions.erase(permission);
  for (const auto& [user_name, user] : catalog_.users())
    std::erase_if(user->topic_permissions, [&](const auto& each) { return each.first.first == text; });
  auto in_it = [&](const Connection& connection) { return connection.vhost && connection.opened.vhost == text; };
  uint32_t closed = close_sessions("vhost '" + text + "' is deleted", in_it);
  for (const auto& [address, connection] : catalog_.connections())
    if (in_it(*connection)) connection->vhost = nullptr;
  broadcast(broker::PermissionsChanged{});
  spdlog::info("virtual host '{}' was deleted", printable(text));
  return done(closed);
}

Ticket Plane::trace(const std::string& name, bool on) {
  Vhost* vhost = catalog_.vhost(name);
  if (!vhost) return failed(Fault::no_such_vhost, no_vhost(name));
  if (vhost->traced == on) return done();
  vhost->traced = on;
  broadcast(broker::TraceVhost{vhost->id, on ? Catalog::exchange(*vhost, trace_exchange)->id : broker::ExchangeId{}});
  spdlog::info("virtual host '{}' is {}", printable(name), on ? "traced" : "no longer traced");
  return done();
}

Ticket Plane::set_permissions(const PermissionRow& row) {
  User* user = catalog_.user(row.user);
  if (!user) return failed(Fault::no_such_user, no_user(row.user));
  if (!catalog_.vhost(row.vhost)) return failed(Fault::no_such_vhost, no_vhost(row.vhost));
  auto permission = Permission::compile(row.configure, row.write, row.read);
  if (!permission) return failed(Fault::bad_argument, permission.error());
  User changed = *user;
  changed.permissions.insert_or_assign(row.vhost, *std::move(permission));
  std::vector<Edit> edits = keep(changed);
  edits.push_back(Put<PermissionRow>{row});
  if (auto saved = save(edits); !saved) return failed(Fault::store_failed, saved.error().text);
  *user = std::move(changed);
  user->stored = true;
  permissions_changed([&](const Connection& connection) { return connection.opened.user == row.user; });
  tell_permission("permission.created", row);
  return done();
}

Ticket Plane::clear_permissions(const std::string& name, const std::string& vhost) {
  User* user = catalog_.user(name);
  if (!user) return failed(Fault::no_such_user, no_user(name));
  if (!catalog_.vhost(vhost)) return failed(Fault::no_such_vhost, no_vhost(vhost));
  auto permission = user->permissions.find(vhost);
  if (permission == user->permissions.end()) return done();
  std::vector<Edit> edits;
  if (user->stored) edits.push_back(Erase<PermissionRow>{row_of(*user, vhost, permission->second)});
  if (auto saved = save(edits); !saved) return failed(Fault::store_failed, saved.error().text);
  tell_permission("permission.deleted", row_of(*user, vhost, permission->second));
  user->permissions.erase(permission);
  permissions_changed([&](const Connection& connection) { return connection.opened.user == name; });
  return done();
}

// What sessions have learnt is void, and whoever consumes from a queue that he may not read any more does so no longer.
void Plane::permissions_changed(const std::function<bool(const Connection&)>& of) {
  broadcast(broker::PermissionsChanged{});
  for (const auto& [address, connection] : catalog_.connections()) {
    if (!connection->vhost || !of(*connection)) continue;
    size_t revoked = 0;
    for (const auto& [number, channel] : connection->channels)
      for (const auto& [tag, consumer] : channel.consumers)
        revoked += revoke_if_refused(*connection, number, tag, consumer);
    if (revoked != 0)
      spdlog::info("{}: user '{}' may not read any more from the queues of {} of its consumers: they are cancelled",
                   printable(connection->opened.peer), printable(connection->opened.user), revoked);
  }
}

bool Plane::revoke_if_refused(const Connection& connection, uint16_t channel, const std::string& tag,
                              const Consumer& consumer) {
  const Queue* queue = catalog_.queue(consumer.queue);
  if (!queue) return false;
  auto refusal = refused(connection, broker::Access::read, false, queue->name);
  if (!refusal) return false;
  command(connection.address.worker,
          worker::RevokeConsumer{connection.address,
                                 new broker::RevokedConsumer{channel, consumer.queue, tag, std::move(refusal->text)}});
  return true;
}

Ticket Plane::set_topic_permissions(const TopicPermissionRow& row) {
  User* user = catalog_.user(row.user);
  if (!user) return failed(Fault::no_such_user, no_user(row.user));
  if (!catalog_.vhost(row.vhost)) return failed(Fault::no_such_vhost, no_vhost(row.vhost));
  if (row.exchange.size() > UINT8_MAX) return failed(Fault::bad_argument, "an exchange's name is not valid");
  auto permission = TopicPermission::compile(row.user, row.vhost, row.write, row.read);
  if (!permission) return failed(Fault::bad_argument, permission.error());
  User changed = *user;
  changed.topic_permissions.insert_or_assign({row.vhost, row.exchange}, *std::move(permission));
  std::vector<Edit> edits = keep(changed);
  edits.push_back(Put<TopicPermissionRow>{row});
  if (auto saved = save(edits); !saved) return failed(Fault::store_failed, saved.error().text);
  *user = std::move(changed);
  user->stored = true;
  broadcast(broker::PermissionsChanged{});
  tell_permission("topic.permission.created", row);
  return done();
}

Ticket Plane::clear_topic_permissions(const std::string& name, const std::string& vhost,
                                      const std::optional<std::string>& exchange) {
  User* user = catalog_.user(name);
  if (!user) return failed(Fault::no_such_user, no_user(name));
  if (!catalog_.vhost(vhost)) return failed(Fault::no_such_vhost, no_vhost(vhost));
  const auto meant = [&](const std::pair<std::string, std::string>& of) {
    return of.first == vhost && (!exchange || of.second == *exchange);
  };
  std::vector<Edit> edits;
  for (const auto& [of, permission] : user->topic_permissions)
    if (user->stored && meant(of)) edits.push_back(Erase<TopicPermissionRow>{row_of(*user, of, permission)});
  if (auto saved = save(edits); !saved) return failed(Fault::store_failed, saved.error().text);
  for (const auto& [of, permission] : user->topic_permissions)
    if (meant(of)) tell_permission("topic.permission.deleted", row_of(*user, of, permission));
  std::erase_if(user->topic_permissions, [&](const auto& each) { return meant(each.first); });
  broadcast(broker::PermissionsChanged{});
  return done();
}

void Plane::close_session(const Connection& connection, broker::CloseCause cause, const std::string& text) {
  command(connection.address.worker, worker::CloseSession{connection.address, cause, new std::string(text)});
}

uint32_t Plane::close_sessions(const std::string& text, const std::function<bool(const Connection&)>& chosen) {
  uint32_t count = 0;
  for (const auto& [address, connection] : catalog_.connections()) {
    if (!chosen(*connection)) continue;
    close_session(*connection, broker::CloseCause::forced, text);
    count++;
  }
  return count;
}

Ticket Plane::close_connection(const broker::SessionAddress& session, const std::string& reason) {
  if (!catalog_.connection(session)) return failed(Fault::not_found, "there is no such connection");
  return done(
      close_sessions(printable(reason), [&](const Connection& connection) { return connection.address == session; }));
}

Ticket Plane::delete_queue(const std::string& vhost_name, const std::string& name, bool if_unused, bool if_empty) {
  const Vhost* vhost = catalog_.vhost(vhost_name);
  if (!vhost) return failed(Fault::no_such_vhost, no_vhost(vhost_name));
  const Queue* queue = Catalog::queue(*vhost, name);
  std::string what = queue_text(name, vhost_name);
  if (!queue) return failed(Fault::not_found, "no " + what);
  Ticket ticket = new_ticket();
  ask_home({{ReplyTo{{}, 0, ticket}, queue->id, what}, false, if_unused, if_empty}, *queue);
  return ticket;
}

Ticket Plane::purge_queue(const std::string& vhost_name, const std::string& name) {
  const Vhost* vhost = catalog_.vhost(vhost_name);
  if (!vhost) return failed(Fault::no_such_vhost, no_vhost(vhost_name));
  const Queue* queue = Catalog::queue(*vhost, name);
  std::string what = queue_text(name, vhost_name);
  if (!queue) return failed(Fault::not_found, "no " + what);
  Ticket ticket = new_ticket();
  ask_home({{ReplyTo{{}, 0, ticket}, queue->id, what}, true}, *queue);
  return ticket;
}

}  // namespace talaria::control
