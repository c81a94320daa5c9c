#include "tests/sim/model.h"

#include <algorithm>

#include "core/amqp091/wire/properties.h"
#include "core/amqp091/wire/table.h"

namespace talaria::sim {

namespace {

std::vector<std::string> words_of(const std::string& key) {
  std::vector<std::string> words(1);
  for (char c : key)
    if (c == '.')
      words.emplace_back();
    else
      words.back() += c;
  return words;
}

// `*` is one word, `#` any number of them.
bool topic_matches(const std::vector<std::string>& pattern, size_t p, const std::vector<std::string>& key, size_t k) {
  if (p == pattern.size()) return k == key.size();
  if (pattern[p] == "#") {
    for (size_t skip = k; skip <= key.size(); skip++)
      if (topic_matches(pattern, p + 1, key, skip)) return true;
    return false;
  }
  return k < key.size() && (pattern[p] == "*" || pattern[p] == key[k]) && topic_matches(pattern, p + 1, key, k + 1);
}

const std::string* find(const TextTable& table, const std::string& name) {
  for (const auto& [key, value] : table)
    if (key == name) return &value;
  return nullptr;
}

bool headers_match(const TextTable& pattern, const TextTable& headers) {
  const std::string* mode = find(pattern, "x-match");
  const bool any = mode && *mode == "any";
  size_t wanted = 0, found = 0;
  for (const auto& [name, value] : pattern) {
    if (name.starts_with("x-")) continue;
    wanted++;
    const std::string* header = find(headers, name);
    if (header && *header == value) found++;
  }
  return any ? found > 0 : found == wanted;
}

}  // namespace

// ---- topology -------------------------------------------------------------------------------------------------------

void Model::add_exchange(const std::string& name, const std::string& type, const std::string& alternate) {
  changes_++;
  exchanges_[name] = {type, alternate};
}
void Model::add_queue_sent(const std::string& name) {
  changes_++;
  queues_[name].life.add_sent = world_.now();
}
void Model::queue_added(const std::string& name) {
  changes_++;
  queue(name).life.added = world_.now();
}
void Model::set_traits(const std::string& name, const QueueTraits& traits) {
  traits_[name] = traits;
  if (!traits.dead_queue.empty()) dead_of_[traits.dead_queue] = name;
}
void Model::remove_queue_sent(const std::string& name) {
  changes_++;
  Life& life = queue(name).life;
  life.remove_sent = std::min(life.remove_sent, world_.now());
}
void Model::queue_removed(const std::string& name) {
  changes_++;
  queue(name).life.removed = world_.now();
}

bool Model::may_be_gone(const std::string& name) const {
  const Life& life = queue(name).life;
  return life.added == base::never || life.remove_sent != base::never;
}

size_t Model::add_binding_sent(const ModelBinding& binding) {
  changes_++;
  bindings_.push_back(binding);
  bindings_.back().life = {.add_sent = world_.now()};
  return bindings_.size() - 1;
}
void Model::binding_added(size_t binding) {
  changes_++;
  bindings_[binding].life.added = world_.now();
}
void Model::remove_binding_sent(size_t binding) {
  changes_++;
  bindings_[binding].life.remove_sent = world_.now();
}
void Model::binding_removed(size_t binding) {
  changes_++;
  bindings_[binding].life.removed = world_.now();
}

void Model::purge_sent(const std::string& name) {
  changes_++;
  queue(name).purging = true;
}
void Model::purged(const std::string& name) {
  changes_++;
  queue(name).purging = false;
  queue(name).purged_until = world_.now();
}
void Model::may_lose(const std::string& name) {
  changes_++;
  queue(name).may_lose = true;
}
void Model::may_return_unseen(const std::string& name) { queue(name).may_return_unseen = true; }

Model::Queue& Model::queue(const std::string& name) {
  const auto found = queues_.find(name);
  CHECK(found != queues_.end());
  return found->second;
}
const Model::Queue& Model::queue(const std::string& name) const { return const_cast<Model*>(this)->queue(name); }

// ---- routing --------------------------------------------------------------------------------------------------------

std::set<std::string> Model::route(const Message& message, Certainty certainty, Time to) const {
  std::set<std::string> visited, queues;
  if (message.what.exchange.empty()) {
    // The default exchange: every queue is bound by its name.
    const auto found = queues_.find(message.what.key);
    if (found == queues_.end()) return queues;
    const Life& life = found->second.life;
    if (certainty == Certainty::must ? life.surely(message.sent, to) : life.perhaps(message.sent, to))
      queues.insert(message.what.key);
    return queues;
  }
  route_from(message.what.exchange, message, certainty, to, visited, queues);
  return queues;
}

void Model::route_from(const std::string& name, const Message& message, Certainty certainty, Time to,
                       std::set<std::string>& visited, std::set<std::string>& queues) const {
  if (!visited.insert(name).second) return;
  const Exchange& exchange = exchanges_.at(name);
  // Its alternate is tried when no binding matches: what must reach it depends on what may match here.
  bool may_match = false, must_match = false;
  // One that gives each message to one of its bindings: to which, nobody knows but when there is one.
  const bool chooses = exchange.type.starts_with("x-");
  size_t choices = 0;
  for (const ModelBinding& binding : bindings_)
    choices += chooses && binding.source == name && binding.life.perhaps(message.sent, to);
  for (const ModelBinding& binding : bindings_) {
    if (binding.source != name || !matches(exchange, binding, message)) continue;
    const Life* target = binding.to_queue ? &queue(binding.destination).life : nullptr;
    const bool surely =
        binding.life.surely(message.sent, to) && (target == nullptr || target->surely(message.sent, to));
    const bool perhaps =
        binding.life.perhaps(message.sent, to) && (target == nullptr || target->perhaps(message.sent, to));
    must_match |= surely;
    may_match |= perhaps;
    if (!(certainty == Certainty::must ? surely && choices <= 1 : perhaps)) continue;
    if (binding.to_queue)
      queues.insert(binding.destination);
    else
      route_from(binding.destination, message, certainty, to, visited, queues);
  }
  const bool use_alternate = certainty == Certainty::must ? !may_match : !must_match;
  if (use_alternate && !exchange.alternate.empty())
    route_from(exchange.alternate, message, certainty, to, visited, queues);
}

bool Model::matches(const Exchange& exchange, const ModelBinding& binding, const Message& message) const {
  if (exchange.type == "fanout" || exchange.type.starts_with("x-")) return true;
  if (exchange.type == "direct") return binding.key == message.what.key;
  if (exchange.type == "topic") return topic_matches(words_of(binding.key), 0, words_of(message.what.key), 0);
  return headers_match(binding.arguments, message.what.headers);
}

// ---- publishing -----------------------------------------------------------------------------------------------------

uint64_t Model::published(Published message) {
  changes_++;
  messages_.push_back({.what = std::move(message), .sent = world_.now()});
  const uint64_t number = messages_.size();
  CHECK(by_properties_.emplace(messages_.back().what.properties, number).second);
  by_id_[messages_.back().what.id] = number;
  return number;
}

void Model::returned(Identity channel, const Reply& reply, base::Bytes properties, base::Bytes body) {
  const uint64_t number = find(properties);
  if (number == 0) fail("a message was returned that nobody published");
  Message& message = messages_[number - 1];
  if (message.what.channel != channel) fail("message %lu was returned to a channel that did not publish it", number);
  if (message.was_returned) fail("message %lu was returned twice", number);
  if (message.what.kept) fail("message %lu was returned without having been committed", number);
  if (message.certain()) fail("message %lu was returned after it was confirmed", number);
  if (!message.what.mandatory) fail("message %lu was returned, and is not mandatory", number);
  if (!std::ranges::equal(body, message.what.body)) fail("message %lu was returned with another body", number);
  if (reply.code != 312 || reply.exchange != message.what.exchange || reply.key != message.what.key)
    fail("message %lu was returned with %u '%s' '%s'", number, reply.code, reply.exchange.c_str(), reply.key.c_str());
  if (const auto queues = route(message, Certainty::must, world_.now()); !queues.empty())
    fail("message %lu was returned, but is routed to '%s'", number, queues.begin()->c_str());
  message.was_returned = true;
}

void Model::accepted(uint64_t number) {
  changes_++;
  Message& message = messages_[number - 1];
  if (message.certain()) return;
  message.accepted = world_.now();
  if (message.what.mandatory && !message.was_returned && route(message, Certainty::may, world_.now()).empty())
    fail("message %lu is mandatory, has nowhere to go, and was accepted without having been returned", number);
}

void Model::refused(uint64_t number) {
  changes_++;
  if (!may_be_refused(number)) fail("message %lu was refused, and no queue may do so", number);
}

bool Model::may_be_refused(uint64_t number) const {
  for (const std::string& name : route(messages_[number - 1], Certainty::may, world_.now()))
    if (traits_of(name).rejects_publishes) return true;
  return false;
}

void Model::commit_sent(const std::vector<uint64_t>& messages) {
  changes_++;
  last_transaction_++;
  for (const uint64_t number : messages) {
    messages_[number - 1].what.kept = false;
    messages_[number - 1].transaction = last_transaction_;
  }
}

void Model::commit_refused(const std::vector<uint64_t>& messages) {
  changes_++;
  bool may = false;
  for (const uint64_t number : messages) {
    Message& message = messages_[number - 1];
    may |= may_be_refused(number);
    message.what.kept = true;
    if (message.was_returned) fail("message %lu was returned, and its transaction refused", number);
    for (const auto& [name, queue] : queues_)
      if (queue.copies.contains(number))
        fail("queue %s delivered message %lu, whose transaction was refused", name.c_str(), number);
  }
  if (!may) fail("a transaction was refused, and no queue may do so");
}

uint64_t Model::find(base::Bytes properties) const {
  const auto found = by_properties_.find(Buffer(properties.begin(), properties.end()));
  return found == by_properties_.end() ? 0 : found->second;
}

// ---- delivering -----------------------------------------------------------------------------------------------------

uint64_t Model::delivered(const std::string& queue_name, Identity holder, bool no_ack, const Reply& reply,
                          base::Bytes properties, base::Bytes body) {
  changes_++;
  deliveries_++;
  const char* from = queue_name.c_str();
  if (const auto dead = dead_of_.find(queue_name); dead != dead_of_.end())
    return delivered_dead(queue_name, dead->second, holder, reply, properties, body);
  const uint64_t number = find(properties);
  if (number == 0) fail("queue %s delivered a message with properties that nobody published", from);
  const Message& message = messages_[number - 1];
  if (!std::ranges::equal(body, message.what.body))
    fail("queue %s delivered message %lu with another body", from, number);
  if (reply.exchange != message.what.exchange || reply.key != message.what.key)
    fail("queue %s delivered message %lu with exchange '%s' and key '%s'", from, number, reply.exchange.c_str(),
         reply.key.c_str());
  const Time routed_by = std::min(message.accepted, world_.now());
  if (!route(message, Certainty::may, routed_by).contains(queue_name))
    fail("queue %s delivered message %lu, which is not routed there", from, number);
  hold(queue_name, number, holder, no_ack, reply);
  return number;
}

void Model::hold(const std::string& queue_name, uint64_t number, Identity holder, bool no_ack, const Reply& reply) {
  const char* from = queue_name.c_str();
  const Message& message = messages_[number - 1];
  if (message.what.kept) fail("queue %s delivered message %lu, which was not committed", from, number);
  Queue& source = queue(queue_name);
  Copy& copy = source.copies[number];
  if (copy.died) fail("queue %s delivered message %lu, which died there", from, number);
  if (copy.state == State::held) fail("queue %s delivered message %lu, which somebody holds already", from, number);
  if (copy.state == State::settled && !copy.perhaps_settled)
    fail("queue %s delivered message %lu again after it was settled", from, number);
  if (copy.seen && !reply.redelivered)
    fail("queue %s delivered message %lu again without marking it redelivered", from, number);
  if (!copy.seen && reply.redelivered && !source.may_return_unseen)
    fail("queue %s marked message %lu redelivered, and nobody has had it", from, number);

  if (!reply.redelivered && !dead_of_.contains(queue_name)) {
    const uint8_t priority = std::min(message.what.priority, traits_of(queue_name).max_priority.value_or(0));
    uint64_t& newest = newest_[{queue_name, holder, message.what.channel, priority}];
    if (newest > number) fail("queue %s delivered message %lu after %lu of the same channel", from, number, newest);
    newest = number;
  }
  copy.seen = true;
  copy.perhaps_settled = copy.rejected = false;
  copy.state = no_ack ? State::settled : State::held;
  copy.holder = holder;
}

// ---- the dead -------------------------------------------------------------------------------------------------------

uint64_t Model::delivered_dead(const std::string& queue_name, const std::string& source, Identity holder,
                               const Reply& reply, base::Bytes properties, base::Bytes body) {
  const char* from = queue_name.c_str();
  const auto parsed = amqp091::wire::parse_properties(properties);
  if (!parsed) fail("queue %s delivered malformed properties", from);
  const auto found = by_id_.find(std::string(parsed->message_id));
  if (found == by_id_.end()) fail("queue %s delivered a message that nobody published", from);
  const uint64_t number = found->second;
  if (!std::ranges::equal(body, messages_[number - 1].what.body))
    fail("queue %s delivered message %lu with another body", from, number);
  check_dead(source, number, reply, properties);
  Copy& origin = queue(source).copies[number];
  if (!origin.died) deaths_++;
  origin.died = true;
  hold(queue_name, number, holder, false, reply);
  return number;
}

// That it may have died of what it says, and says all it should.
void Model::check_dead(const std::string& source, uint64_t number, const Reply& reply, base::Bytes raw) {
  const char* from = source.c_str();
  const Message& message = messages_[number - 1];
  const QueueTraits& traits = traits_of(source);
  if (reply.exchange != traits.dead_exchange || reply.key != traits.dead_key.value_or(message.what.key))
    fail("dead message %lu of %s came with exchange '%s' and key '%s'", number, from, reply.exchange.c_str(),
         reply.key.c_str());
  const Time routed_by = std::min(message.accepted, world_.now());
  if (!route(message, Certainty::may, routed_by).contains(source))
    fail("message %lu died in %s, and is not routed there", number, from);
  const auto properties = amqp091::wire::parse_properties(raw);
  const auto headers = amqp091::wire::decode_table(properties->headers);
  if (!headers || !properties->expiration.empty()) fail("dead message %lu of %s has wrong properties", number, from);
  for (const auto& [name, value] : message.what.headers) {
    const base::Field* header = base::find(*headers, name);
    if (!header || !header->text() || *header->text() != value)
      fail("dead message %lu of %s has lost a header", number, from);
  }
  const base::Field* told = base::find(*headers, "x-death");
  const auto* deaths = told ? std::get_if<base::FieldArray>(&told->value) : nullptr;
  const auto* death = deaths && deaths->size() == 1 ? std::get_if<base::FieldTable>(&deaths->front().value) : nullptr;
  if (!death) fail("dead message %lu of %s does not tell of one death", number, from);
  const auto text = [&](const base::FieldTable& table, const char* name) {
    const base::Field* field = base::find(table, name);
    return field && field->text() ? *field->text() : std::string("?");
  };
  const std::string reason = text(*death, "reason");
  if (text(*death, "queue") != source || text(*death, "exchange") != message.what.exchange ||
      base::find(*death, "count")->integer() != 1 || text(*headers, "x-first-death-reason") != reason ||
      text(*headers, "x-last-death-queue") != source)
    fail("dead message %lu of %s does not tell how it died", number, from);

  const auto found = queue(source).copies.find(number);
  const Copy copy = found == queue(source).copies.end() ? Copy{} : found->second;
  if (copy.state == State::held) fail("message %lu died in %s while somebody held it", number, from);
  if (reason == "rejected") {
    if (!copy.rejected) fail("message %lu died in %s, rejected by nobody", number, from);
    return;
  }
  if (copy.state == State::settled && !copy.perhaps_settled)
    fail("message %lu died in %s (%s) after it was settled", number, from, reason.c_str());
  if (reason == "maxlen") {
    if (!traits.max_length) fail("message %lu died in %s of a limit that it does not have", number, from);
    return;
  }
  if (reason != "expired") fail("message %lu died in %s of '%s'", number, from, reason.c_str());
  auto time = traits.message_ttl;
  if (message.what.expiration && (!time || *message.what.expiration < *time)) time = message.what.expiration;
  if (!time || world_.now() - message.sent < *time) fail("message %lu died in %s before its time", number, from);
}

const QueueTraits& Model::traits_of(const std::string& name) const {
  static const QueueTraits none;
  const auto found = traits_.find(name);
  return found == traits_.end() ? none : found->second;
}

void Model::glimpsed(const std::string& queue_name, base::Bytes properties, base::Bytes body) {
  const uint64_t number = find(properties);
  if (number == 0 || !std::ranges::equal(body, messages_[number - 1].what.body))
    fail("queue %s delivered a message that nobody published", queue_name.c_str());
  if (messages_[number - 1].what.kept)
    fail("queue %s delivered message %lu, which was not committed", queue_name.c_str(), number);
}

void Model::settled(const std::string& queue_name, uint64_t number, Identity by) {
  changes_++;
  Copy& copy = queue(queue_name).copies.at(number);
  CHECK(copy.state == State::held);
  copy.state = State::settled;
  copy.settler = by;
  settlements_[by].emplace_back(queue_name, number);
}

void Model::rejected(const std::string& queue_name, uint64_t number, Identity by) {
  settled(queue_name, number, by);
  queue(queue_name).copies.at(number).rejected = true;
}

void Model::requeued(const std::string& queue_name, uint64_t number) {
  changes_++;
  Copy& copy = queue(queue_name).copies.at(number);
  CHECK(copy.state == State::held);
  copy.state = State::waiting;
}

void Model::perhaps_settled(const std::string& queue_name, uint64_t number, Identity by, bool rejected) {
  settled(queue_name, number, by);
  Copy& copy = queue(queue_name).copies.at(number);
  copy.perhaps_settled = true;
  copy.rejected = rejected;
}

void Model::surely_settled(const std::string& queue_name, uint64_t number, Identity by) {
  changes_++;
  Copy& copy = queue(queue_name).copies.at(number);
  if (copy.state != State::settled || copy.settler != by)
    fail("queue %s delivered message %lu again after its settlement was committed", queue_name.c_str(), number);
  copy.perhaps_settled = false;
}

void Model::not_settled(const std::string& queue_name, uint64_t number, Identity by) {
  changes_++;
  Copy& copy = queue(queue_name).copies.at(number);
  if (copy.state != State::settled || copy.settler != by) return;  // somebody has had it since
  copy.state = State::waiting;
  copy.perhaps_settled = copy.rejected = false;
}

void Model::channel_ended(Identity channel, bool in_good_order) {
  changes_++;
  const auto mine = settlements_.extract(channel);
  if (!mine || in_good_order) return;
  for (const auto& [queue_name, number] : mine.mapped()) {
    Copy& copy = queue(queue_name).copies.at(number);
    if (copy.state == State::settled && copy.settler == channel) copy.perhaps_settled = true;
  }
}

// ---- the end --------------------------------------------------------------------------------------------------------

bool Model::excused(const std::string& name, const Message& message) const {
  const Queue& queue = this->queue(name);
  const QueueTraits& traits = traits_of(name);
  if (traits.rejects_publishes) return true;
  // What dies there is gone.
  if (traits.dead_queue.empty() && (traits.message_ttl || traits.max_length || message.what.expiration)) return true;
  return queue.may_lose || queue.purging || message.sent <= queue.purged_until || queue.life.remove_sent != base::never;
}

// Settled there; where the dead have somewhere to go, a rejected or vanished one must be settled there instead.
bool Model::done(const std::string& name, uint64_t number) const {
  const auto settled = [&](const std::string& where, bool rejected_too) {
    const auto& copies = queue(where).copies;
    const auto copy = copies.find(number);
    return copy != copies.end() && copy->second.state == State::settled && (rejected_too || !copy->second.rejected);
  };
  const std::string& dead = traits_of(name).dead_queue;
  return settled(name, dead.empty()) || (!dead.empty() && settled(dead, true));
}

template <class Visit>
void Model::for_each_missing(Visit&& visit) const {
  // Nor of a transaction: if anybody has had a part of it, it was committed as a whole.
  std::set<uint64_t> seen_transactions;
  for (const auto& [name, source] : queues_)
    for (const auto& [number, copy] : source.copies) seen_transactions.insert(messages_[number - 1].transaction);
  for (uint64_t number = 1; number <= messages_.size(); number++) {
    const Message& message = messages_[number - 1];
    const Time to = message.certain() ? message.accepted : world_.now();
    const auto queues = route(message, Certainty::must, to);
    // What nobody accepted may not have arrived at all; but if one queue has it, all have.
    bool due = message.certain() || (message.transaction != 0 && seen_transactions.contains(message.transaction));
    for (const std::string& name : queues) due |= queue(name).copies.contains(number);
    if (!due) continue;
    for (const std::string& name : queues)
      if (!done(name, number) && !excused(name, message)) visit(number, name);
  }
  // What somebody has seen must be settled in the end, even where it only may have been routed to.
  for (const auto& [name, source] : queues_)
    for (const auto& [number, copy] : source.copies) {
      const Message& message = messages_[number - 1];
      if (done(name, number) || excused(name, message)) continue;
      const Time to = message.certain() ? message.accepted : world_.now();
      if (!route(message, Certainty::must, to).contains(name)) visit(number, name);
    }
}

size_t Model::outstanding() const {
  if (counted_at_ == changes_) return outstanding_;
  counted_at_ = changes_;
  outstanding_ = 0;
  for_each_missing([&](uint64_t, const std::string&) { outstanding_++; });
  return outstanding_;
}

std::string Model::describe_outstanding(size_t limit) const {
  std::string text;
  size_t count = 0;
  for_each_missing([&](uint64_t number, const std::string& name) {
    if (count++ >= limit) return;
    const Message& message = messages_[number - 1];
    const auto& copies = queue(name).copies;
    const auto copy = copies.find(number);
    text += (text.empty() ? "" : ", ") + std::to_string(number) + " (" + std::to_string(message.what.body.size()) +
            " bytes to '" + message.what.exchange + "' '" + message.what.key + "') in " + name +
            (copy == copies.end()                ? ", never delivered"
             : copy->second.state == State::held ? ", held"
                                                 : ", given back");
  });
  return std::to_string(count) + " copies: " + text;
}

void Model::check_complete() const {
  if (outstanding() > 0) fail("lost: %s", describe_outstanding(5).c_str());
}

}  // namespace talaria::sim
