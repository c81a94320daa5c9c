// What the broker tells of itself, beside what clients did: listings that somebody asks for, and events; see model.h.

#include <algorithm>

#include "tests/sim/model.h"

namespace talaria::sim {

void Model::consume_sent(const std::string& tag, const std::string& queue, Identity identity, const std::string& user) {
  consumers_[tag] = {queue, identity, user, {.add_sent = world_.now()}};
  tags_[identity] = tag;
  if (may_be_revoked(consumers_[tag])) may_return_unseen(queue);
}
void Model::cancel_sent(const std::string& tag) {
  Life& life = consumers_.at(tag).life;
  life.remove_sent = std::min(life.remove_sent, world_.now());
}
void Model::cancelled(const std::string& tag) {
  cancel_sent(tag);
  consumers_.at(tag).life.removed = world_.now();
}

// ---- listings -------------------------------------------------------------------------------------------------------

void Model::check_listed(const char* what, const std::set<std::string>& listed,
                         const std::map<std::string, Chances>& known) const {
  for (const std::string& name : listed)
    if (const auto found = known.find(name); found == known.end() || !found->second.perhaps)
      fail("a list of %s has '%s', which is not there", what, name.c_str());
  for (const auto& [name, there] : known)
    if (there.surely && !listed.contains(name)) fail("a list of %s lacks '%s'", what, name.c_str());
}

void Model::listed_queues(const std::map<std::string, uint32_t>& ready, Time asked) const {
  std::set<std::string> names;
  for (const auto& [name, count] : ready) names.insert(name);
  std::map<std::string, Chances> known;
  for (const auto& [name, queue] : queues_)
    if (queue.replies_to == 0)
      known[name] = {queue.life.surely(asked, world_.now()), queue.life.perhaps(asked, world_.now())};
  check_listed("queues", names, known);
  for (const auto& [name, count] : ready) counted(name, count, asked);
}

std::map<std::string, Model::Chances> Model::bindings_in(Window window) const {
  std::map<std::string, Chances> known;
  for (const ModelBinding& binding : bindings_) {
    const Chances there = chances(binding, window);
    Chances& all = known.emplace(identity_of(binding), Chances{false, false}).first->second;
    all = {all.surely || there.surely, all.perhaps || there.perhaps};
  }
  return known;
}

void Model::listed_bindings(const std::set<std::string>& identities, Time asked) const {
  check_listed("bindings", identities, bindings_in({asked, world_.now()}));
}

// Whom the broker may cancel by itself is never there for sure.
Model::Chances Model::chances_of(const Consumption& consumer, Window window) const {
  const QueueTraits& traits = traits_of(consumer.queue);
  const bool its_own = !(traits.pace && traits.pace->cancels) && !cut_off_.contains(consumer.identity) &&
                       !may_be_revoked(consumer) && !in_question(consumer.identity);
  const Life& life = queue(consumer.queue).life;
  return {its_own && consumer.life.surely(window.from, window.to) && life.surely(window.from, window.to),
          consumer.life.perhaps(window.from, window.to) && life.perhaps(window.from, window.to) &&
              window.from <= surely_revoked_by(consumer)};
}

void Model::listed_consumers(const std::map<std::string, std::string>& queues_by_tag, Time asked) const {
  std::set<std::string> tags;
  for (const auto& [tag, queue] : queues_by_tag) tags.insert(tag);
  std::map<std::string, Chances> known;
  for (const auto& [tag, consumer] : consumers_) known[tag] = chances_of(consumer, {asked, world_.now()});
  check_listed("consumers", tags, known);
  for (const auto& [tag, queue] : queues_by_tag)
    if (consumers_.at(tag).queue != queue)
      fail("a list of consumers has '%s' of queue '%s'", tag.c_str(), queue.c_str());
}

// ---- events ---------------------------------------------------------------------------------------------------------

// Whether somebody has asked for it so often.
bool Model::may_begin(const std::string& kind, const std::string& name, size_t times) const {
  if (kind == "channel") return true;  // their numbers are used again
  if (kind == "connection") return times == 1;
  if (kind == "queue") return times == 1 && queues_.contains(name);
  if (kind == "consumer") return times == 1 && consumers_.contains(name);
  if (kind == "exchange") return times == 1 && exchanges_.contains(name);
  const auto made = std::ranges::count_if(bindings_, [&](const auto& one) { return identity_of(one) == name; });
  return times <= static_cast<size_t>(made);
}

bool Model::may_end(const std::string& kind, const std::string& name, size_t times) const {
  if (kind == "channel" || kind == "connection" || kind == "exchange") return true;
  if (kind == "queue") return times == 1 && queue(name).life.remove_sent != base::never;
  if (kind == "consumer") return times == 1 && !chances_of(consumers_.at(name), {world_.now(), world_.now()}).surely;
  const auto removed = std::ranges::count_if(bindings_, [&](const ModelBinding& one) {
    return identity_of(one) == name && !chances(one, {world_.now(), world_.now()}).surely;
  });
  return times <= static_cast<size_t>(removed);
}

void Model::began_to_be(const std::string& kind, const std::string& name) {
  Told& told = told_[kind][name];
  if (told.begun++ != told.ended) fail("%s '%s' was made twice, by the events", kind.c_str(), name.c_str());
  if (!may_begin(kind, name, told.begun))
    fail("an event tells of %s '%s', which nobody made", kind.c_str(), name.c_str());
}

void Model::ended_to_be(const std::string& kind, const std::string& name) {
  Told& told = told_[kind][name];
  if (told.begun != ++told.ended)
    fail("an event tells of the end of %s '%s', which was not there", kind.c_str(), name.c_str());
  if (!may_end(kind, name, told.ended)) fail("%s '%s' has ended, by the events", kind.c_str(), name.c_str());
}

void Model::order_told(const std::string& event, const std::string& user) {
  const auto found = orders_.find(event + " " + user);
  if (found == orders_.end()) fail("an event tells of %s for %s, which nobody ordered", event.c_str(), user.c_str());
  orders_.erase(found);
}

void Model::found_slow(const std::string& tag, const std::string& queue) {
  told_as_slow_.insert(tag);
  if (!traits_of(queue).pace) fail("an event tells that '%s' of %s is slow", tag.c_str(), queue.c_str());
}

Model::Told Model::told(const std::string& kind, const std::string& name) const {
  const auto of_kind = told_.find(kind);
  if (of_kind == told_.end()) return {};
  const auto found = of_kind->second.find(name);
  return found == of_kind->second.end() ? Told{} : found->second;
}

std::string Model::untold(size_t connections) const {
  const auto open = [&](const std::string& kind) {
    size_t count = 0;
    if (const auto found = told_.find(kind); found != told_.end())
      for (const auto& [name, told] : found->second) count += told.begun - told.ended;
    return count;
  };
  if (open("connection") != connections) return "the end of a connection";
  if (told_.contains("connection") && told_.at("connection").size() < connections_opened_) return "a connection";
  if (const auto channels = told_.find("channel"); channels != told_.end())
    for (const auto& [pid, told] : channels->second) {
      const Told its_connection = this->told("connection", pid.substr(0, pid.rfind('.')) + ">");
      if (told.begun != told.ended && its_connection.begun == its_connection.ended) return "the end of channel " + pid;
    }
  if (logins_told_ < connections_opened_) return "a login";
  if (!policies_.empty()) return "policy '" + *policies_.begin() + "'";
  if (!orders_.empty()) return "'" + *orders_.begin() + "'";
  for (const auto& [name, exchange] : exchanges_)
    if (told("exchange", name).begun == 0) return "exchange '" + name + "'";
  for (const auto& [name, queue] : queues_) {
    if (queue.replies_to != 0) continue;
    if (queue.life.added != base::never && told("queue", name).begun == 0) return "queue '" + name + "'";
    if (queue.life.removed != base::never && told("queue", name).ended == 0) return "the end of queue '" + name + "'";
  }
  for (const auto& [tag, consumer] : consumers_) {
    const Told told = this->told("consumer", tag);
    if (consumer.life.added != base::never && told.begun == 0) return "consumer '" + tag + "'";
    if (told.begun != told.ended && consumer.life.remove_sent != base::never)
      return "the end of consumer '" + tag + "'";
  }
  for (const std::string& tag : cancelled_as_slow_)
    if (!told_as_slow_.contains(tag)) return "slow consumer '" + tag + "'";
  std::map<std::string, Told> sure;
  for (const ModelBinding& binding : bindings_) {
    Told& told = sure[identity_of(binding)];
    told.begun += binding.life.added != base::never;
    told.ended += binding.life.removed != base::never;
  }
  for (const auto& [identity, least] : sure) {
    const Told told = this->told("binding", identity);
    if (told.begun < least.begun) return "binding '" + identity + "'";
    if (told.ended < least.ended) return "the end of binding '" + identity + "'";
  }
  return "";
}

// ---- the firehose ---------------------------------------------------------------------------------------------------

uint64_t Model::number_by_trace(const Traced& traced) const {
  const auto found = by_id_.find(traced.id);
  if (found == by_id_.end()) fail("a trace of message '%s', which nobody published", traced.id.c_str());
  const Message& message = messages_[found->second - 1];
  if (message.what.kept) fail("a trace of message %lu, which was not committed", found->second);
  if (!std::ranges::equal(traced.body, message.what.body))
    fail("a trace of message %lu with another body", found->second);
  return found->second;
}

// Where it was routed as its route was found; what its exchange decides elsewhere, or later, is not told.
void Model::check_traced_route(const Message& message, const std::set<std::string>& routed) const {
  if (routed.empty() && (message.what.delay || by_exchange_.contains(message.what.exchange))) return;
  // Whoever takes direct replies is no queue.
  if (!replies_of(message.what.exchange, message.what.key).empty()) {
    if (!routed.empty()) fail("a trace of reply %lu with a queue", number_of(message));
    return;
  }
  for (const Route& route : routes(message)) {
    // A queue that is deleted between publish and commit is left out.
    const bool reaches_all = has_history(message) || std::ranges::all_of(route.must, [&](const std::string& name) {
                               return routed.contains(name) || may_be_gone(name);
                             });
    if (reaches_all && std::ranges::includes(route.may, routed)) return;
  }
  std::string names;
  for (const std::string& name : routed) names += " " + name;
  fail("message %lu was routed, by its trace, to%s", number_of(message), names.c_str());
}

void Model::published_by_trace(const Traced& traced) {
  const uint64_t number = number_by_trace(traced);
  const Message& message = messages_[number - 1];
  if (!traced_.insert(number).second) fail("message %lu was traced twice as it was published", number);
  // BCC is gone when a transaction is committed.
  std::vector<std::string> keys = message.keys();
  if (message.transaction != 0) keys.resize(1 + message.what.copies.size());
  if (traced.exchange != message.what.exchange || traced.keys != keys)
    fail("a trace of message %lu with exchange '%s' and %zu keys", number, traced.exchange.c_str(), traced.keys.size());
  check_traced_route(message, {traced.routed.begin(), traced.routed.end()});
}

void Model::delivered_by_trace(const Traced& traced) {
  const uint64_t number = number_by_trace(traced);
  const auto dead = dead_of_.find(traced.queue);
  if (!may_be_in(messages_[number - 1], dead == dead_of_.end() ? traced.queue : dead->second))
    fail("a trace of message %lu from %s, where it is not routed", number, traced.queue.c_str());
  Deliveries& deliveries = deliveries_by_queue_[{traced.queue, number}];
  deliveries.traced++;
  if (!traced.redelivered && ++deliveries.traced_as_first > 1)
    fail("queue %s delivered message %lu a second time as if it were the first, by its traces", traced.queue.c_str(),
         number);
}

std::string Model::untraced() const {
  for (uint64_t number = 1; number <= messages_.size(); number++)
    if (messages_[number - 1].certain() && !traced_.contains(number)) return "message " + std::to_string(number);
  for (const auto& [where, deliveries] : deliveries_by_queue_)
    if (deliveries.traced < deliveries.heard)
      return "delivery of message " + std::to_string(where.second) + " from " + where.first;
  return "";
}

}  // namespace talaria::sim
