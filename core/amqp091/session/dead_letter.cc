#include "core/amqp091/session/dead_letter.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <utility>

#include "core/amqp091/session/own_messages.h"
#include "core/amqp091/session/rewriting.h"
#include "core/amqp091/session/shared.h"
#include "core/amqp091/wire/properties.h"
#include "core/broker/exchange.h"
#include "core/broker/vhost.h"

namespace talaria::amqp091::session {
namespace {

using base::Bytes;
using base::Field;
using base::FieldArray;
using base::FieldTable;

std::string_view name_of(broker::DeathReason reason) {
  switch (reason) {
    case broker::DeathReason::rejected: return "rejected";
    case broker::DeathReason::expired: return "expired";
    case broker::DeathReason::over_limit: return "maxlen";
    case broker::DeathReason::over_deliveries: return "delivery_limit";
  }
  return "";
}

bool is_about_death(std::string_view header) {
  return header == "x-death" || header.starts_with("x-first-death-") || header.starts_with("x-last-death-");
}

void set(FieldTable& table, std::string name, Field value) {
  for (base::FieldEntry& entry : table)
    if (entry.name == name) {
      entry.value = std::move(value);
      return;
    }
  table.emplace_back(std::move(name), std::move(value));
}

bool has_text(const FieldTable& table, std::string_view name, std::string_view value) {
  const Field* field = base::find(table, name);
  return field && field->text() && *field->text() == value;
}

}  // namespace

void DeadLetters::take(std::vector<broker::DeadMessage>& dead) {
  if (dead.empty()) [[likely]]
    return;
  for (broker::DeadMessage& one : dead) waiting_.push_back(std::move(one));
  dead.clear();
  blocked_ = false;
}

void DeadLetters::work(Shared& shared) {
  blocked_ = false;
  size_t budget = shared.config.dead_letter_bytes_per_turn;
  for (uint32_t done = 0; done < shared.config.dead_letters_per_turn && !waiting_.empty(); done++) {
    const Copying progress = one(shared, budget);
    blocked_ = progress == Copying::blocked;
    if (progress != Copying::done) return;
    shared.pool.release(waiting_.front().message);
    waiting_.pop_front();
  }
}

void DeadLetters::abandon(broker::MessagePool& pool) {
  copy_.abandon();
  if (made_) pool.release(std::exchange(made_, nullptr));
  for (const broker::DeadMessage& dead : waiting_) pool.release(dead.message);
  waiting_.clear();
}

Copying DeadLetters::one(Shared& shared, size_t& budget) {
  const broker::DeadMessage& dead = waiting_.front();
  if (!made_ && !copy_.under_way()) {
    broker::Vhost* vhost = shared.engine.find_vhost(dead.vhost);
    if (!vhost || !vhost->find_exchange(dead.settings->dead_lettering->exchange)) {
      shared.counters.dead_letters_no_exchange.add();
      return Copying::done;
    }
    if (!describe(shared)) {
      shared.counters.dead_letters_too_long.add();
      return Copying::done;
    }
    if (!begin(shared)) return Copying::blocked;
  }
  if (copy_.under_way()) {
    const Copying copied = copy_.work(budget, made_);
    if (copied != Copying::done) return copied;
  }
  return hand_over(shared);
}

// Properties and headers of the new message. False: they became too long for any frame.
bool DeadLetters::describe(const Shared& shared) {
  const broker::DeadMessage& dead = waiting_.front();
  const broker::Message& message = *dead.message;
  const broker::DeadLettering& where = *dead.settings->dead_lettering;
  const std::string& queue = dead.settings->queue;
  const std::string reason{name_of(dead.reason)};
  const std::string exchange{message.exchange()};
  routing_key_ = where.routing_key ? *where.routing_key : std::string(message.routing_key());

  Rewriting rewriting(message);
  FieldTable& headers = rewriting.headers;
  FieldArray keys;
  keys.push_back({std::string(message.routing_key())});
  append_copies(headers, keys);
  copies_.clear();
  if (!where.routing_key)
    for (size_t i = 1; i < keys.size(); i++)
      if (keys[i].text()->size() <= wire::shortstr_max) copies_.push_back(*keys[i].text());
  // The new key stands for all of the old ones.
  if (where.routing_key) std::erase_if(headers, [](const auto& entry) { return entry.name == "CC"; });

  deaths_.clear();
  if (!message.dead_lettered())
    std::erase_if(headers, [](const auto& entry) { return is_about_death(entry.name); });
  else if (const Field* before = base::find(headers, "x-death"))
    if (const auto* array = std::get_if<FieldArray>(&before->value)) deaths_ = *array;

  const auto same = std::find_if(deaths_.begin(), deaths_.end(), [&](const Field& death) {
    const auto* table = std::get_if<FieldTable>(&death.value);
    return table && has_text(*table, "queue", queue) && has_text(*table, "reason", reason);
  });
  if (same != deaths_.end()) {
    auto& table = std::get<FieldTable>(same->value);
    const Field* count = base::find(table, "count");
    set(table, "count", {int64_t{count ? count->integer() + 1 : 1}});
    std::rotate(deaths_.begin(), same, same + 1);
  } else {
    const auto seconds =
        std::chrono::floor<std::chrono::seconds>(shared.now.time_since_epoch() + shared.config.wall_clock_ahead);
    FieldTable table{{"count", {int64_t{1}}},  {"reason", {reason}},
                     {"queue", {queue}},       {"time", {base::Timestamp{static_cast<uint64_t>(seconds.count())}}},
                     {"exchange", {exchange}}, {"routing-keys", {std::move(keys)}}};
    if (rewriting.properties.has(wire::Property::expiration))
      table.emplace_back("original-expiration", Field{std::string(rewriting.properties.expiration)});
    deaths_.insert(deaths_.begin(), Field{std::move(table)});
  }
  rewriting.set_header("x-death", {deaths_});
  if (!base::find(headers, "x-first-death-reason")) {
    rewriting.set_header("x-first-death-reason", {reason});
    rewriting.set_header("x-first-death-queue", {queue});
    rewriting.set_header("x-first-death-exchange", {exchange});
  }
  rewriting.set_header("x-last-death-reason", {reason});
  rewriting.set_header("x-last-death-queue", {queue});
  rewriting.set_header("x-last-death-exchange", {exchange});

  rewriting.properties.expiration = {};
  rewriting.properties.clear(wire::Property::expiration);
  // Nothing that a client with the greatest frames could not be sent.
  properties_ = rewriting.encoded(wire::properties_max(shared.config.frame_max));
  return !properties_.empty();
}

// False: there is no memory now.
bool DeadLetters::begin(Shared& shared) {
  const broker::DeadMessage& dead = waiting_.front();
  broker::MessageHead head;
  head.exchange = dead.settings->dead_lettering->exchange;
  head.routing_key = routing_key_;
  head.format = broker::PropertiesFormat::amqp091;
  head.properties = properties_;
  head.body_size = dead.message->body_size();
  head.persistent = dead.message->persistent();
  head.priority = dead.message->priority();
  head.received = shared.now;
  head.dead_lettered = true;
  return copy_.begin(shared.pool, head, *dead.message);
}

// A cycle that no client has a part in would never end.
bool DeadLetters::died_without_rejection_in(std::string_view queue) const {
  for (const Field& death : deaths_) {
    const auto* table = std::get_if<FieldTable>(&death.value);
    if (!table || has_text(*table, "reason", "rejected")) return false;
    if (has_text(*table, "queue", queue)) return true;
  }
  return false;
}

Copying DeadLetters::hand_over(Shared& shared) {
  const broker::DeadMessage& dead = waiting_.front();
  broker::Vhost* vhost = shared.engine.find_vhost(dead.vhost);
  broker::Exchange* exchange = vhost ? vhost->find_exchange(made_->exchange()) : nullptr;
  if (!exchange) {
    shared.counters.dead_letters_no_exchange.add();
    shared.pool.release(std::exchange(made_, nullptr));
    return Copying::done;
  }
  const auto matched = route_held(shared, *exchange, *made_, copies_);
  std::vector<broker::QueueRecord*> targets(matched.begin(), matched.end());
  const size_t found = targets.size();
  if (dead.reason != broker::DeathReason::rejected)
    std::erase_if(targets,
                  [this](const broker::QueueRecord* target) { return died_without_rejection_in(target->name); });
  if (!targets.empty() && !shared.engine.room_for_accepted(targets)) return Copying::blocked;
  if (found != targets.size()) shared.counters.dead_letters_in_circles.add(found - targets.size());
  if (found == 0) shared.counters.dead_letters_unroutable.add();
  if (!targets.empty()) shared.counters.dead_letters_published.add();
  publish_own(shared, targets, std::exchange(made_, nullptr));
  return Copying::done;
}

}  // namespace talaria::amqp091::session
