#include "tests/sim/warden.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace talaria::sim {

namespace {

constexpr uint16_t only_channel = 1;
constexpr size_t decrees_max = 4;

}  // namespace

Warden::Warden(World& world, Random random, Model& model, WardenPlan plan, Connect connect)
    : LastingClient("warden", world, random, std::move(connect)), model_(model), plan_(std::move(plan)) {
  for (const std::string& user : plan_.users) {
    orders_.push_back({user, "user.created", "add_user", nlohmann::json{{"user", user}, {"password", user}}.dump()});
    orders_.push_back(permissions_of(user));
    if (plan_.any_name) orders_.push_back(tags_of(user));
  }
}

// ---- its connection -------------------------------------------------------------------------------------------------

void Warden::begin() {
  model_.connected();
  connection_->send(only_channel, OpenChannel{});
}

void Warden::on_reply(uint16_t, const Reply& reply, base::Bytes, base::Bytes body) {
  switch (reply.id) {
    case method::channel_open_ok:
      return connection_->send(only_channel, Consume{.queue = reply_queue, .tag = "w.orders", .no_ack = true});
    case method::basic_consume_ok: return next_order();
    case method::basic_deliver: break;
    default: fail("warden: method %u.%u answers nothing", reply.id >> 16, reply.id & 65535);
  }
  const auto answer = nlohmann::json::parse(base::as_text(body), nullptr, false);
  if (!awaiting_ || !answer.is_object() || !answer.value("ok", false))
    fail("warden: it was answered %s", std::string(base::as_text(body)).c_str());
  awaiting_ = false;
  if (!ready_) {
    orders_.pop_front();
    return next_order();
  }
  next_decree_ = world_.now() + random_.between(1us, plan_.pause_max);
  if (repealing_)
    model_.repealed(repealing_->number);
  else
    model_.decreed(decrees_.back().number);
  repealing_.reset();
}

void Warden::next_order() {
  ready_ = orders_.empty();
  if (!ready_) give(orders_.front());
}

void Warden::give(const Order& order) {
  awaiting_ = true;
  model_.orders(order.event, order.user);
  give_command(only_channel, order.verb, order.body);
}

// ---- what it decrees ------------------------------------------------------------------------------------------------

bool Warden::work(Time now) {
  if (!ready_ || awaiting_ || closing_) return false;
  if (finishing_ && decrees_.empty()) {
    closing_ = true;
    connection_->close();
    return true;
  }
  if (now < next_decree_ && !finishing_) return false;
  if (finishing_ || decrees_.size() >= decrees_max || (!decrees_.empty() && random_.chance(0.4)))
    repeal(random_.below(decrees_.size()));
  else
    decree();
  return true;
}

void Warden::decree() {
  Decree next{random_.pick(plan_.users), random_.chance(0.3) ? "" : random_.pick(plan_.queues)};
  const auto same = [&](const Decree& other) { return other.user == next.user && other.queue == next.queue; };
  if (std::ranges::any_of(decrees_, same)) {
    next_decree_ = world_.now() + random_.between(1us, plan_.pause_max);
    return;
  }
  world_.trace("warden: %s may %s %s", next.user.c_str(), next.queue.empty() ? "sign with any name" : "not read",
               next.queue.c_str());
  next.number = model_.decree_sent(next.user, next.queue);
  decrees_.push_back(next);
  give(next.queue.empty() ? tags_of(next.user) : permissions_of(next.user));
}

void Warden::repeal(size_t index) {
  repealing_ = decrees_[index];
  decrees_.erase(decrees_.begin() + static_cast<ptrdiff_t>(index));
  world_.trace("warden: %s may %s %s again", repealing_->user.c_str(),
               repealing_->queue.empty() ? "sign with his own name alone" : "read", repealing_->queue.c_str());
  model_.repeal_sent(repealing_->number);
  give(repealing_->queue.empty() ? tags_of(repealing_->user) : permissions_of(repealing_->user));
}

Warden::Order Warden::permissions_of(const std::string& user) const {
  std::string names;
  for (const Decree& decree : decrees_)
    if (decree.user == user && !decree.queue.empty()) names += (names.empty() ? "" : "|") + decree.queue;
  const std::string read = names.empty() ? ".*" : "^(?!(" + names + ")$)";
  return {user, "permission.created", "set_permissions",
          nlohmann::json{{"user", user}, {"configure", ".*"}, {"write", ".*"}, {"read", read}}.dump()};
}

Warden::Order Warden::tags_of(const std::string& user) const {
  const auto tag = [&](const Decree& decree) { return decree.user == user && decree.queue.empty(); };
  nlohmann::json tags = nlohmann::json::array();
  if (plan_.any_name || std::ranges::any_of(decrees_, tag)) tags.push_back("impersonator");
  return {user, "user.tags.set", "set_user_tags", nlohmann::json{{"user", user}, {"tags", tags}}.dump()};
}

std::string Warden::describe() const {
  if (closed()) return "the warden is gone";
  return "the warden has " + std::to_string(decrees_.size()) + " decrees in force" + (awaiting_ ? ", and waits" : "");
}

}  // namespace talaria::sim
