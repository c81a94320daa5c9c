#include "control/plane.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <type_traits>

#include "control/arguments.h"
#include "control/refusals.h"

namespace talaria::control {
namespace {

template <class T, class... Those>
constexpr bool is_one_of = (std::is_same_v<T, Those> || ...);

template <class T>
constexpr bool is_notice = is_one_of<T, broker::ChannelOpened, broker::ChannelClosed, broker::ChannelChanged,
                                     broker::ConsumerAdded, broker::ConsumerFoundSlow, broker::ConsumerRemoved>;

bool is_notice_body(const broker::Request& request) {
  return std::visit([](const auto& body) { return is_notice<std::decay_t<decltype(body)>>; }, request.body);
}

// What a command owns and nobody took.
void destroy(const worker::ControlCommand& command) {
  if (const auto* pass = std::get_if<worker::PassAnswer>(&command)) delete pass->answer;
  if (const auto* close = std::get_if<worker::CloseSession>(&command)) delete close->text;
  if (const auto* revoke = std::get_if<worker::RevokeConsumer>(&command)) delete revoke->consumer;
  if (const auto* announce = std::get_if<worker::Announce>(&command)) delete announce->announcement;
}

}  // namespace

Plane::Plane(Store& store, const std::vector<WorkerLink*>& links, PlaneOptions options)
    : store_(store), options_(std::move(options)) {
  CHECK(!links.empty() && links.size() <= broker::workers_max && options_.random);
  for (WorkerLink* link : links) workers_.push_back({link, {}, 0, false});
  load(store_.load());
  loading_ = false;
}

Plane::~Plane() {
  for (Worker& worker : workers_)
    for (const worker::ControlCommand& command : worker.waiting) destroy(command);
}

bool Plane::poll(base::Time now) {
  now_ = now;
  bool busy = false;
  for (broker::WorkerIndex index = 0; index < workers(); index++) {
    worker::ControlReport report;
    for (unsigned taken = 0; taken < reports_per_poll && workers_[index].link->receive(report); taken++) {
      take(report, index);
      busy = true;
    }
  }
  recycle_retired();
  watch_pressure();
  watch_thresholds();
  release_answers();
  for (Worker& worker : workers_) busy = flush(worker) || busy;
  return busy;
}

void Plane::take(const worker::ControlReport& report, broker::WorkerIndex from) {
  std::visit(
      [&](const auto& told) {
        using T = std::decay_t<decltype(told)>;
        if constexpr (std::is_same_v<T, worker::Asked>) {
          on_request(std::unique_ptr<broker::Request>(told.request));
        } else if constexpr (std::is_same_v<T, worker::Applied>) {
          CHECK(told.sequence <= last_sequence_);
          workers_[from].applied = std::max(workers_[from].applied, told.sequence);
        } else if constexpr (std::is_same_v<T, worker::DeleteChecked>) {
          on_checked(told);
        } else if constexpr (std::is_same_v<T, worker::Purged>) {
          on_purged(told);
        } else if constexpr (std::is_same_v<T, worker::MoveWished>) {
          on_wish(told, from);
        } else if constexpr (std::is_same_v<T, worker::MoveEnded>) {
          on_move_ended(told);
        } else if constexpr (std::is_same_v<T, worker::NetworkChanged>) {
          spdlog::info("network: {}", *std::unique_ptr<std::string>(told.text));
        } else if constexpr (std::is_same_v<T, worker::FramesWatched>) {
          CHECK(watches_under_way_ > 0);
          watches_under_way_--;
        } else if constexpr (std::is_same_v<T, worker::QueueUnused>) {
          on_unused(told);
        } else {
          workers_[from].drained = true;
        }
      },
      report);
}

void Plane::on_request(std::unique_ptr<broker::Request> request) {
  CHECK(request && request->from.worker < workers_.size());
  counts_.requests++;
  Connection* connection = catalog_.connection(request->from);
  if (connection && connection->busy)
    connection->held.push_back(std::move(request));
  else
    serve(std::move(request));
}

void Plane::serve(std::unique_ptr<broker::Request> request) {
  ReplyTo to{request->from, request->token, 0};
  if (const auto* opening = std::get_if<broker::OpenConnection>(&request->body))
    acting_ = opening->user;
  else if (const Connection* connection = catalog_.connection(request->from))
    acting_ = connection->opened.user;
  if (std::optional<Body> body = respond(to, *request)) answer(to, *std::move(body));
  acting_.clear();
}

std::optional<Plane::Body> Plane::respond(const ReplyTo& to, broker::Request& request) {
  return std::visit(
      [&](auto& body) -> std::optional<Body> {
        using T = std::decay_t<decltype(body)>;
        if constexpr (std::is_same_v<T, broker::Authenticate>) {
          return on(body);
        } else if constexpr (std::is_same_v<T, broker::OpenConnection>) {
          return on(to.session, body);
        } else if constexpr (std::is_same_v<T, broker::CloseConnection>) {
          return close_connection_of(to.session);
        } else {
          Connection* connection = catalog_.connection(to.session);
          if (!connection) {
            counts_.strays++;
            if (is_notice_body(request)) return std::nullopt;
            return not_allowed("the connection is not open");
          }
          if constexpr (is_notice<T>) {
            note(*connection, body);
            return std::nullopt;
          } else {
            // Its closing is under way.
            if (!connection->vhost) return not_allowed("vhost '" + connection->opened.vhost + "' is deleted");
            if constexpr (is_one_of<T, broker::DeleteQueue, broker::Manage>)
              return on(*connection, to, body);
            else
              return on(*connection, body);
          }
        }
      },
      request.body);
}

// Serves what waited while the connection was busy, until it is busy again or has gone.
void Plane::release_held(const broker::SessionAddress& session) {
  while (Connection* connection = catalog_.connection(session)) {
    if (connection->busy || connection->held.empty()) return;
    std::unique_ptr<broker::Request> next = std::move(connection->held.front());
    connection->held.pop_front();
    serve(std::move(next));
  }
}

uint64_t Plane::applied_everywhere() const {
  uint64_t least = last_sequence_;
  for (const Worker& worker : workers_) least = std::min(least, worker.applied);
  return least;
}

void Plane::command(broker::WorkerIndex to, const worker::ControlCommand& command) {
  workers_[to].waiting.push_back(command);
}

void Plane::broadcast(broker::TopologyChange change) {
  in_flight_.push_back({++last_sequence_, std::make_unique<const broker::TopologyChange>(std::move(change))});
  for (Worker& worker : workers_)
    worker.waiting.push_back(worker::Apply{last_sequence_, in_flight_.back().change.get()});
}

void Plane::answer(const ReplyTo& to, Body body) {
  if (std::holds_alternative<broker::Refusal>(body)) counts_.refusals++;
  auto made = std::make_unique<broker::Answer>(broker::Answer{to.session, to.token, std::move(body)});
  answers_.push_back({last_sequence_, std::move(made)});
}

bool Plane::flush(Worker& worker) {
  bool sent = false;
  while (!worker.waiting.empty() && worker.link->send(worker.waiting.front())) {
    worker.waiting.pop_front();
    sent = true;
  }
  return sent;
}

void Plane::release_answers() {
  uint64_t applied = applied_everywhere();
  while (!answers_.empty() && answers_.front().sequence <= applied) {
    broker::Answer* answer = answers_.front().answer.release();
    answers_.pop_front();
    command(answer->to.worker, worker::PassAnswer{answer});
  }
}

// A slot, and what the workers write into for it, is free again when no replica knows it any more.
void Plane::recycle_retired() {
  uint64_t applied = applied_everywhere();
  while (!in_flight_.empty() && in_flight_.front().sequence <= applied) in_flight_.pop_front();
  while (!retired_.empty() && retired_.front().sequence <= applied) {
    std::visit([this](auto id) { catalog_.recycle(id); }, retired_.front().id);
    retired_.pop_front();
  }
}

void Plane::watch_frames(const std::vector<net::FrameWatcher*>& watchers) {
  CHECK(watchers.size() == workers_.size());
  for (broker::WorkerIndex index = 0; index < workers(); index++) command(index, worker::WatchFrames{watchers[index]});
  watches_under_way_ += workers_.size();
}

void Plane::drain() {
  if (drain_sent_) return;
  drain_sent_ = true;
  for (broker::WorkerIndex index = 0; index < workers(); index++) command(index, worker::Drain{});
}

bool Plane::drained() const {
  return std::all_of(workers_.begin(), workers_.end(), [](const Worker& worker) { return worker.drained; });
}

void Plane::stop() {
  for (broker::WorkerIndex index = 0; index < workers(); index++) command(index, worker::Stop{});
}

bool Plane::flushed() const {
  return std::all_of(workers_.begin(), workers_.end(), [](const Worker& worker) { return worker.waiting.empty(); });
}

std::expected<void, broker::Refusal> Plane::save(std::span<const Edit> edits) {
  if (edits.empty()) return {};
  try {
    store_.save(edits);
    return {};
  } catch (const StoreError& error) {
    counts_.store_failures++;
    spdlog::error("a change could not be stored and was refused: {}", error.what());
    return std::unexpected(broker::Refusal{broker::RefusalReason::internal_error, "the change could not be stored"});
  }
}

void Plane::load(const StoreContents& contents) {
  auto vhost_of = [this](const std::string& name) {
    Vhost* vhost = catalog_.vhost(name);
    if (!vhost) throw std::runtime_error("the store speaks of vhost '" + name + "', which it does not hold");
    return vhost;
  };
  auto demand = [](bool holds, const std::string& what, const char* why) {
    if (!holds) throw std::runtime_error("the store's " + what + " " + why);
  };
  auto must_be_fine = [](const std::optional<broker::Refusal>& refusal) {
    if (refusal) throw std::runtime_error("the store asks for what this version does not do: " + refusal->text);
  };

  for (const VhostRow& row : contents.vhosts) enter(row);
  for (const UserRow& row : contents.users) {
    auto user = std::make_unique<User>();
    user->name = row.name;
    user->password_hash = row.password_hash;
    user->hashing_algorithm = row.hashing_algorithm;
    user->tags = row.tags;
    user->limits = row.limits;
    catalog_.add(std::move(user));
  }
  for (const PermissionRow& row : contents.permissions) {
    vhost_of(row.vhost);
    User* user = catalog_.user(row.user);
    demand(user, "permission in vhost '" + row.vhost + "'", "has no user");
    auto permission = Permission::compile(row.configure, row.write, row.read);
    if (!permission)
      throw std::runtime_error("the store's permission of user '" + row.user + "': " + permission.error());
    user->permissions.insert_or_assign(row.vhost, *std::move(permission));
  }
  for (const TopicPermissionRow& row : contents.topic_permissions) {
    vhost_of(row.vhost);
    User* user = catalog_.user(row.user);
    demand(user, "topic permission in vhost '" + row.vhost + "'", "has no user");
    auto permission = TopicPermission::compile(row.user, row.vhost, row.write, row.read);
    if (!permission)
      throw std::runtime_error("the store's topic permission of user '" + row.user + "': " + permission.error());
    user->topic_permissions.insert_or_assign({row.vhost, row.exchange}, *std::move(permission));
  }
  for (const PolicyRow& row : contents.policies) {
    Vhost& vhost = *vhost_of(row.vhost);
    auto policy = compile_policy(row);
    if (!policy) throw std::runtime_error("the store's policy '" + row.name + "': " + policy.error());
    (row.of_operators ? vhost.operator_policies : vhost.user_policies).emplace(row.name, *std::move(policy));
  }
  // The predeclared exchanges are there already.
  for (const auto& [name, vhost] : catalog_.vhosts()) govern(*vhost);
  for (const ExchangeRow& row : contents.exchanges) {
    auto exchange = std::make_unique<Exchange>();
    exchange->vhost = vhost_of(row.vhost);
    exchange->name = row.name;
    demand(type_from_name(row.type, exchange->type), exchange_text(row.name, row.vhost), "has an unknown type");
    must_be_fine(check_exchange_arguments(exchange->type, row.arguments, exchange_text(row.name, row.vhost)));
    exchange->durable = true;
    exchange->auto_delete = row.auto_delete;
    exchange->internal = row.internal;
    exchange->arguments = row.arguments;
    demand(!Catalog::exchange(*exchange->vhost, row.name), exchange_text(row.name, row.vhost), "is there twice");
    enter(std::move(exchange));
  }
  for (const QueueRow& row : contents.queues) {
    must_be_fine(check_queue_arguments(row.arguments, queue_text(row.name, row.vhost)));
    auto queue = std::make_unique<Queue>();
    queue->vhost = vhost_of(row.vhost);
    queue->name = row.name;
    queue->durable = true;
    queue->auto_delete = row.auto_delete;
    queue->arguments = row.arguments;
    queue->home = home_of(*queue->vhost, row.name);
    enter(std::move(queue));
  }
  for (const BindingRow& row : contents.bindings) {
    Vhost* vhost = vhost_of(row.vhost);
    auto binding = std::make_unique<Binding>();
    binding->source = Catalog::exchange(*vhost, row.source);
    binding->queue = row.destination_is_queue ? Catalog::queue(*vhost, row.destination) : nullptr;
    binding->exchange = row.destination_is_queue ? nullptr : Catalog::exchange(*vhost, row.destination);
    demand(binding->source && (binding->queue || binding->exchange), "binding to '" + row.destination + "'",
           "lacks one of its ends");
    binding->key = row.key;
    binding->arguments = row.arguments;
    enter(std::move(binding));
  }

  if (catalog_.vhosts().empty()) {
    VhostRow root{"/", "Default virtual host", {}};
    store_.save(std::vector<Edit>{Put<VhostRow>{root}});
    enter(root);
  }
  if (options_.demo_account && !catalog_.user("guest")) {
    // Never stored: it must not be there the next time, when nobody asks for it.
    auto guest = std::make_unique<User>();
    guest->stored = false;
    guest->name = "guest";
    guest->hashing_algorithm = sha256_hashing;
    guest->password_hash = hash_password(sha256_hashing, fresh_salt(), "guest");
    guest->tags = {"administrator"};
    if (catalog_.vhost("/")) guest->permissions.emplace("/", *Permission::compile(".*", ".*", ".*"));
    catalog_.add(std::move(guest));
  }
}

}  // namespace talaria::control
