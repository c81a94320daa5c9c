#include "tests/sim/model.h"

#include <algorithm>

#include "core/amqp091/wire/properties.h"
#include "core/amqp091/wire/table.h"

namespace talaria::sim {

// ---- topology -------------------------------------------------------------------------------------------------------

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

void Model::remove_exchange_sent(const std::string& name) {
  for (ModelBinding& binding : bindings_)
    if (binding.source == name) binding.life.remove_sent = std::min(binding.life.remove_sent, world_.now());
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

// ---- publishing -----------------------------------------------------------------------------------------------------

uint64_t Model::published(Published message) {
  changes_++;
  messages_.push_back({.what = std::move(message), .sent = world_.now()});
  const uint64_t number = messages_.size();
  Published& what = messages_.back().what;
  if (what.arriving.empty()) what.arriving = what.properties;
  CHECK(by_properties_.emplace(what.properties, number).second);
  by_properties_.emplace(what.arriving, number);
  by_id_[what.id] = number;
  for (const auto& header : what.headers) by_value_[header].push_back(number);
  if (const auto found = exchanges_.find(what.exchange); found != exchanges_.end() && found->second.remembers())
    by_exchange_[what.exchange].push_back(number);
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
  if (message.what.delay) fail("message %lu was returned, and is delayed", number);
  // A history may have brought it to somebody since.
  if (!has_history(message) &&
      std::ranges::none_of(routes(message), [](const Route& route) { return route.must.empty(); }))
    fail("message %lu was returned, but is routed to '%s'", number, routes(message).front().must.begin()->c_str());
  message.was_returned = true;
}

void Model::accepted(uint64_t number, bool stored) {
  changes_++;
  Message& message = messages_[number - 1];
  if (message.certain()) return;
  message.accepted = world_.now();
  message.stored = stored;
  if (message.what.mandatory && !message.was_returned && !message.may_go_unreturned && !message.what.delay &&
      std::ranges::all_of(routes(message), [](const Route& route) { return route.may.empty(); }))
    fail("message %lu is mandatory, has nowhere to go, and was accepted without having been returned", number);
}

void Model::answers_end(uint64_t number) {
  Message& message = messages_[number - 1];
  if (one_worker_ || !by_exchange_.contains(message.what.exchange)) return;
  const TopologyExchange& exchange = exchanges_.at(message.what.exchange);
  message.may_go_unreturned = exchange.deduplicates || exchange.history != 0;
}

void Model::refused(uint64_t number) {
  changes_++;
  if (!may_be_refused(number)) fail("message %lu was refused, and no queue may do so", number);
}

bool Model::may_be_refused(uint64_t number) const {
  for (const Route& route : routes(messages_[number - 1]))
    for (const std::string& name : route.may)
      if (traits_of(name).rejects_publishes) return true;
  return false;
}

void Model::commit_sent(const std::vector<uint64_t>& messages) {
  changes_++;
  last_transaction_++;
  for (const uint64_t number : messages) {
    messages_[number - 1].what.kept = false;
    messages_[number - 1].transaction = last_transaction_;
    messages_[number - 1].committed = world_.now();
  }
}

void Model::commit_refused(const std::vector<uint64_t>& messages) {
  changes_++;
  bool may = false;
  for (const uint64_t number : messages) {
    may |= may_be_refused(number);
    take_back(number, "whose transaction was refused");
  }
  if (!may) fail("a transaction was refused, and no queue may do so");
}

void Model::unheard(uint64_t number) {
  changes_++;
  take_back(number, "which came behind an error");
}

void Model::take_back(uint64_t number, const char* why) {
  Message& message = messages_[number - 1];
  message.what.kept = true;
  if (message.was_returned) fail("message %lu was returned, %s", number, why);
  if (message.certain()) fail("message %lu was accepted, %s", number, why);
  for (const auto& [name, queue] : queues_)
    if (queue.copies.contains(number)) fail("queue %s delivered message %lu, %s", name.c_str(), number, why);
}

// ---- delivering -----------------------------------------------------------------------------------------------------

Model::Delivery Model::take(const std::string& queue_name, Identity holder, bool no_ack, const Reply& reply,
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
  if (!std::ranges::equal(properties, message.what.arriving))
    fail("queue %s delivered message %lu with the header of one that was not delayed", from, number);
  if (message.what.delay && world_.now() - message.begun() < *message.what.delay)
    fail("queue %s delivered message %lu before its delay of %ld ms was over", from, number,
         static_cast<long>(message.what.delay->count()));
  if (!may_be_in(message, queue_name)) fail("queue %s delivered message %lu, which is not routed there", from, number);
  check_values(queue_name, number, holder, reply.redelivered);
  return hold(queue_name, number, holder, no_ack, reply);
}

// The broker has taken it back from somebody who does not know yet: he kept it, or another of his channel's, for too
// long, or was silent for too long; or he has settled it, and was not heard. Or it is that holder who gets it only now.
bool Model::may_be_disputed(const std::string& name, const Copy& copy, Identity holder) const {
  if (copy.disputed) return true;
  const auto cut_off = [&](Identity one) { return cut_off_.contains(one) || in_question(one); };
  if (!traits_of(name).consumer_timeout && !cut_off(copy.holder) && !cut_off(holder)) return false;
  return copy.state == State::held || (copy.state == State::settled && settlements_.contains(copy.settler)) ||
         copy.seen || copy.died;
}

// From a channel that has ended, or a consumer that was too slow; their clients may not know.
bool Model::may_have_come_back_unseen(const std::string& name) const {
  if (queue(name).may_return_unseen || (traits_of(name).pace && traits_of(name).pace->cancels)) return true;
  const auto takers = takers_.find(name);
  return takers != takers_.end() && std::ranges::any_of(takers->second, [&](Identity taker) {
           return cut_off_.contains(taker) || in_question(taker);
         });
}

Model::Delivery Model::hold(const std::string& queue_name, uint64_t number, Identity holder, bool no_ack,
                            const Reply& reply) {
  const char* from = queue_name.c_str();
  Message& message = messages_[number - 1];
  if (message.what.kept) fail("queue %s delivered message %lu, which was not committed", from, number);
  check_may_read(message, queue_name, holder);
  Queue& source = queue(queue_name);
  Copy& copy = source.copies[number];
  const char* wrong = nullptr;
  if (copy.state == State::held) wrong = ", which somebody holds already";
  if (copy.state == State::settled && !copy.perhaps_settled) wrong = " again after it was settled";
  if (copy.seen && !reply.redelivered) wrong = " again without marking it redelivered";
  if (copy.died) wrong = ", which died there";
  if (wrong) {
    if (!may_be_disputed(queue_name, copy, holder)) fail("queue %s delivered message %lu%s", from, number, wrong);
    copy.disputed = true;
  }
  // It need not have come back: it may have been on its way to this holder since before somebody else settled it.
  if (copy.state == State::settled && copy.perhaps_settled && may_be_disputed(queue_name, copy, holder))
    copy.disputed = true;
  // A channel that ends by one queue's timeout gives back what was on its way to it of all.
  const auto has_timeout = [](const auto& traits) { return traits.second.consumer_timeout.has_value(); };
  if (!copy.seen && reply.redelivered && !may_have_come_back_unseen(queue_name) &&
      std::ranges::none_of(traits_, has_timeout))
    fail("queue %s marked message %lu redelivered, and nobody has had it", from, number);

  check_group(queue_name, number, holder, no_ack, reply);
  const bool dead = dead_of_.contains(queue_name);
  if (!dead) message.seen_in.insert(queue_name);
  check_taken_once(number);
  if (!dead && std::ranges::none_of(routes(message), [&](const Route& route) {
        return std::ranges::includes(route.may, message.seen_in);
      }))
    fail("queue %s delivered message %lu, which an exchange that chooses gave to another", from, number);
  if (!reply.redelivered && !dead && !message.what.delay) {
    const QueueTraits& traits = traits_of(queue_name);
    std::string lane = has_history(message) ? message.what.exchange : "";
    lane += std::to_string(std::min(message.what.priority, traits.max_priority.value_or(0)));
    // A last value takes an older one's place.
    if (!traits.last_value_header.empty())
      for (const auto& [name, value] : message.what.headers)
        if (name == traits.last_value_header) lane += " " + value;
    // One group goes past another, whose owner takes nothing.
    for (const auto& [name, value] : message.what.headers)
      if (name == traits.group_header) lane += " " + value;
    uint64_t& newest = newest_[{queue_name, holder, message.what.channel, lane}];
    if (newest > number) fail("queue %s delivered message %lu after %lu of the same channel", from, number, newest);
    newest = number;
  }
  copy.seen = true;
  copy.perhaps_settled = copy.rejected = false;
  copy.state = no_ack ? State::settled : State::held;
  copy.settled_at = world_.now();  // if it is
  copy.holder = holder;
  copy.lease = ++last_lease_;
  if (is_traced_ && source.replies_to == 0) deliveries_by_queue_[{queue_name, number}].heard++;
  return {queue_name, number, copy.lease, ""};
}

// ---- the dead -------------------------------------------------------------------------------------------------------

Model::Delivery Model::delivered_dead(const std::string& queue_name, const std::string& source, Identity holder,
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
  messages_[number - 1].seen_in.insert(source);
  Copy& origin = queue(source).copies[number];
  if (!origin.died) deaths_++;
  origin.died = true;
  return hold(queue_name, number, holder, false, reply);
}

// That it may have died of what it says, and says all it should.
void Model::check_dead(const std::string& source, uint64_t number, const Reply& reply, base::Bytes raw) {
  const char* from = source.c_str();
  const Message& message = messages_[number - 1];
  const QueueTraits& traits = traits_of(source);
  if (reply.exchange != traits.dead_exchange || reply.key != traits.dead_key.value_or(message.what.key))
    fail("dead message %lu of %s came with exchange '%s' and key '%s'", number, from, reply.exchange.c_str(),
         reply.key.c_str());
  if (!may_be_in(message, source)) fail("message %lu died in %s, and is not routed there", number, from);
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

  std::vector<std::string> keys{message.what.key};
  keys.insert(keys.end(), message.what.copies.begin(), message.what.copies.end());
  const base::Field* told_keys = base::find(*death, "routing-keys");
  const auto* array = told_keys ? std::get_if<base::FieldArray>(&told_keys->value) : nullptr;
  if (!array || !std::ranges::equal(*array, keys, [](const base::Field& one, const std::string& key) {
        return one.text() && *one.text() == key;
      }))
    fail("dead message %lu of %s does not tell its keys", number, from);
  const bool has_copies = base::find(*headers, "CC") != nullptr;
  if (base::find(*headers, "BCC") || (traits.dead_key ? has_copies : keys.size() > 1 && !has_copies))
    fail("dead message %lu of %s has the wrong keys still", number, from);

  const auto found = queue(source).copies.find(number);
  const Copy copy = found == queue(source).copies.end() ? Copy{} : found->second;
  const bool disputed = may_be_disputed(source, copy, 0);
  if (copy.state == State::held && !disputed) fail("message %lu died in %s while somebody held it", number, from);
  if (reason == "rejected") {
    if (!copy.rejected) fail("message %lu died in %s, rejected by nobody", number, from);
    return;
  }
  if (copy.state == State::settled && !copy.perhaps_settled && !disputed)
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

Model::Copy& Model::copy_of(const Delivery& delivery) { return queue(delivery.queue).copies.at(delivery.message); }

Model::Copy* Model::copy_in_force(const Delivery& delivery) {
  changes_++;
  Copy& copy = copy_of(delivery);
  if (copy.disputed) return nullptr;
  CHECK(copy.state == State::held && copy.lease == delivery.lease);
  return &copy;
}

void Model::settled(const Delivery& delivery, Identity by) {
  Copy* copy = copy_in_force(delivery);
  if (!copy) return;
  copy->state = State::settled;
  copy->settled_at = world_.now();
  copy->settler = by;
  settlements_[by].emplace_back(delivery.queue, delivery.message);
}

void Model::rejected(const Delivery& delivery, Identity by) {
  settled(delivery, by);
  copy_of(delivery).rejected = true;
}

void Model::requeued(const Delivery& delivery) {
  if (Copy* copy = copy_in_force(delivery)) copy->state = State::waiting;
}

void Model::perhaps_settled(const Delivery& delivery, Identity by, bool rejected) {
  settled(delivery, by);
  Copy& copy = copy_of(delivery);
  copy.perhaps_settled = true;
  copy.rejected = rejected;
}

void Model::surely_settled(const Delivery& delivery, Identity by) {
  changes_++;
  Copy& copy = copy_of(delivery);
  if (copy.disputed) return;
  if (copy.state != State::settled || copy.settler != by)
    fail("queue %s delivered message %lu again after its settlement was committed", delivery.queue.c_str(),
         delivery.message);
  copy.perhaps_settled = false;
}

void Model::not_settled(const Delivery& delivery, Identity by) {
  changes_++;
  Copy& copy = copy_of(delivery);
  // Not if somebody has had it since.
  if (copy.disputed || copy.lease != delivery.lease || copy.state != State::settled || copy.settler != by) return;
  copy.state = State::waiting;
  copy.perhaps_settled = copy.rejected = false;
}

void Model::channel_ended(Identity channel, bool in_good_order) {
  changes_++;
  questions_.erase(channel);
  const auto mine = settlements_.extract(channel);
  if (!mine || in_good_order) return;
  for (const auto& [queue_name, number] : mine.mapped()) {
    Copy& copy = queue(queue_name).copies.at(number);
    if (copy.state == State::settled && copy.settler == channel) copy.perhaps_settled = true;
  }
}

}  // namespace talaria::sim
