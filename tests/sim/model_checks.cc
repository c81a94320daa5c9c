// What the model compares: values that keep others out, choices among bindings, counts, and what is missing in the end;
// see model.h.

#include <algorithm>
#include <cmath>

#include "tests/sim/model.h"

namespace talaria::sim {

namespace {

const std::string deduplication_header = "x-deduplication-header";
// Of what is drawn fairly a share is farther off than so many standard deviations once in 10^10 runs.
constexpr double deviations_max = 6.5;
constexpr size_t drawn_min = 100;
// What a look at consumers may come too late by: turns and stalls.
constexpr Duration look_late_max = 300ms;

const std::string* value_of(const TextTable& headers, const std::string& name) {
  for (const auto& [key, value] : headers)
    if (key == name) return &value;
  return nullptr;
}

}  // namespace

// ---- values ---------------------------------------------------------------------------------------------------------

bool Model::surely_before(uint64_t first, uint64_t second) const {
  const Message& one = messages_[first - 1];
  const Message& other = messages_[second - 1];
  if (one.what.delay || has_history(one)) return false;
  if (one.what.channel == other.what.channel && first < second && !other.what.delay) return true;
  return one.stored && one.accepted <= other.begun() + other.what.delay.value_or(std::chrono::milliseconds(0));
}

const std::vector<uint64_t>& Model::of_same_value(const std::string& header, const Message& message) const {
  static const std::vector<uint64_t> none;
  const std::string* value = value_of(message.what.headers, header);
  const auto found = value ? by_value_.find({header, *value}) : by_value_.end();
  return found == by_value_.end() ? none : found->second;
}

// Whoever began to take messages when a later value was there cannot get this one, unless it comes back.
uint64_t Model::superseded_for_sure(const std::string& name, uint64_t number, Identity holder) const {
  const auto began = began_.find(holder);
  if (began == began_.end()) return 0;
  const QueueTraits& traits = traits_of(name);
  const auto& same = of_same_value(traits.last_value_header, messages_[number - 1]);
  const auto found = std::ranges::find_if(same, [&](uint64_t later) {
    const Message& other = messages_[later - 1];
    if (traits.deduplicates && duplicate_perhaps(name, later)) return false;
    return other.stored && other.accepted <= began->second && !other.what.expiration && !other.what.delay &&
           !has_history(other) && surely_before(number, later) && must_be_in(other, name);
  });
  return found == same.end() ? 0 : *found;
}

bool Model::replaced_perhaps(const std::string& name, uint64_t number) const {
  if (traits_of(name).last_value_header.empty()) return false;
  const auto& same = of_same_value(traits_of(name).last_value_header, messages_[number - 1]);
  return std::any_of(same.rbegin(), same.rend(), [&](uint64_t later) {
    const Message& other = messages_[later - 1];
    return later != number && !other.what.kept && !surely_before(later, number) && may_be_in(other, name);
  });
}

bool Model::duplicate_perhaps(const std::string& name, uint64_t number) const {
  const auto& same = of_same_value(deduplication_header, messages_[number - 1]);
  return std::ranges::any_of(same, [&](uint64_t earlier) {
    const Message& other = messages_[earlier - 1];
    if (earlier == number || surely_before(number, earlier) || !may_be_in(other, name)) return false;
    return other.seen_in.contains(name) || gone_otherwise(name, other) || replaced_perhaps(name, earlier);
  });
}

void Model::check_values(const std::string& name, uint64_t number, Identity holder, bool redelivered) const {
  const QueueTraits& traits = traits_of(name);
  if (traits.deduplicates)
    for (const uint64_t other : of_same_value(deduplication_header, messages_[number - 1]))
      if (other != number && messages_[other - 1].seen_in.contains(name))
        fail("queue %s delivered message %lu, a duplicate of message %lu", name.c_str(), number, other);
  if (traits.last_value_header.empty() || redelivered) return;
  if (const uint64_t later = superseded_for_sure(name, number, holder))
    fail("queue %s delivered message %lu, whose place message %lu has taken", name.c_str(), number, later);
}

bool Model::was_surely_settled(const Copy& copy, Time by) const {
  return copy.state == State::settled && copy.settled_at < by && !copy.perhaps_settled && !copy.disputed &&
         !in_question(copy.holder);
}

// ---- exchanges that remember ----------------------------------------------------------------------------------------

// At least one of those with one value is on its way.
void Model::check_one_taken() const {
  for (const auto& [name, numbers] : by_exchange_) {
    if (!exchanges_.at(name).deduplicates) continue;
    std::map<std::string, std::vector<uint64_t>> certain;
    std::set<std::string> taken;
    for (const uint64_t number : numbers) {
      const Message& message = messages_[number - 1];
      const std::string* value = value_of(message.what.headers, deduplication_header);
      if (!value) continue;
      if (value_may_be_forgotten(number)) continue;
      if (message.certain()) certain[*value].push_back(number);
      if (std::ranges::any_of(routes(message),
                              [&](const Route& route) { return !route.dropped && explains(route, number); }))
        taken.insert(*value);
    }
    for (const auto& [value, all] : certain)
      if (!taken.contains(value))
        fail("'%s' dropped all of %zu messages with the value %s, message %lu the first", name.c_str(), all.size(),
             value.c_str(), all.front());
  }
}

// What a queue refused has not been seen; not even if another one took it, or if its duplicate was dropped meanwhile.
bool Model::value_may_be_forgotten(uint64_t number) const {
  const Message& message = messages_[number - 1];
  return std::ranges::any_of(of_same_value(deduplication_header, message), [&](uint64_t other) {
    return messages_[other - 1].what.exchange == message.what.exchange && !messages_[other - 1].stored &&
           reaches_refusals(messages_[other - 1]);
  });
}

// Somebody has it now.
void Model::check_taken_once(uint64_t number) const {
  const Message& message = messages_[number - 1];
  if (!by_exchange_.contains(message.what.exchange) || !exchanges_.at(message.what.exchange).deduplicates) return;
  if (value_may_be_forgotten(number)) return;
  for (const uint64_t other : of_same_value(deduplication_header, message))
    if (other != number && messages_[other - 1].what.exchange == message.what.exchange &&
        !messages_[other - 1].seen_in.empty())
      fail("'%s' let message %lu pass, a duplicate of message %lu", message.what.exchange.c_str(), number, other);
}

bool Model::is_duplicate_for_sure(uint64_t number) const {
  const Message& message = messages_[number - 1];
  const auto& same = of_same_value(deduplication_header, message);
  const bool came = std::ranges::any_of(same, [&](uint64_t other) {
    return other != number && messages_[other - 1].what.exchange == message.what.exchange &&
           decided_before(other, number);
  });
  return came && !value_may_be_forgotten(number);
}

bool Model::is_duplicate_perhaps(uint64_t number) const {
  const Message& message = messages_[number - 1];
  return std::ranges::any_of(of_same_value(deduplication_header, message), [&](uint64_t other) {
    return other != number && messages_[other - 1].what.exchange == message.what.exchange &&
           !decided_before(number, other);
  });
}

// ---- groups ---------------------------------------------------------------------------------------------------------

// What is unacknowledged of a group is one consumer's; of what is got it is one message. Whoever has the next one has
// it because the one before was settled: so the group is in order, whoever it went to.
void Model::check_group(const std::string& name, uint64_t number, Identity holder, bool no_ack, const Reply& reply) {
  const std::string& header = traits_of(name).group_header;
  const Message& message = messages_[number - 1];
  const std::string* group = value_of(message.what.headers, header);
  // What nobody acknowledges may be on its way for as long as it likes.
  if (!group || no_ack) return;
  const bool got = reply.id == method::basic_get_ok;
  for (const auto& [other, copy] : queue(name).copies) {
    if (other == number || copy.state != State::held || (copy.holder == holder && !got)) continue;
    const std::string* its_group = value_of(messages_[other - 1].what.headers, header);
    if (its_group && *its_group == *group && !may_be_disputed(name, copy, holder))
      fail("queue %s %s message %lu%s while another (%lu, and not %lu) holds message %lu of its group", name.c_str(),
           got ? "gave" : "delivered", number, reply.redelivered ? ", redelivered," : "", copy.holder, holder, other);
  }
  if (reply.redelivered || message.what.delay || has_history(message)) return;
  uint64_t& newest = newest_[{name, 0, message.what.channel, *group}];
  if (newest > number && !may_have_come_back_unseen(name))
    fail("queue %s delivered message %lu after %lu of the same channel and group", name.c_str(), number, newest);
  newest = std::max(newest, number);
}

// ---- counts ---------------------------------------------------------------------------------------------------------

void Model::counted(const std::string& name, uint32_t ready, Time asked) const {
  const QueueTraits& traits = traits_of(name);
  if (traits.max_length && ready > *traits.max_length)
    fail("queue %s has %u messages, more than its limit of %ld", name.c_str(), ready, *traits.max_length);
  // What was on its way to somebody who has ended asks nobody whether it may come back.
  const bool flow = traits.flow_stop && one_worker_ && !may_have_come_back_unseen(name);
  if (traits.last_value_header.empty() && !flow) return;
  // What does not have the header; what was delivered once, delayed or committed and so asked nobody whether it may.
  uint64_t plain = 0, unasked = 0;
  std::set<std::string> values;
  for (uint64_t number = 1; number <= messages_.size(); number++) {
    const Message& message = messages_[number - 1];
    if (message.what.kept || !may_be_in(message, name)) continue;
    const auto& copies = queue(name).copies;
    const auto copy = copies.find(number);
    unasked += copy != copies.end() || message.transaction != 0 || message.what.delay || has_history(message);
    if (copy != copies.end() && was_surely_settled(copy->second, asked)) continue;
    if (const std::string* value = value_of(message.what.headers, traits.last_value_header))
      values.insert(*value);
    else
      plain++;
  }
  if (!traits.last_value_header.empty() && ready > plain + values.size())
    fail("queue %s has %u messages: %lu without the header %s and %zu values of it", name.c_str(), ready, plain,
         traits.last_value_header.c_str(), values.size());
  if (flow && ready > static_cast<uint64_t>(*traits.flow_stop) + unasked)
    fail("queue %s has %u messages, and stops its publishers at %ld", name.c_str(), ready, *traits.flow_stop);
}

// ---- what the broker says of itself ---------------------------------------------------------------------------------

void Model::timed_out(const std::set<std::string>& queues, uint16_t channel, Duration open,
                      const std::string& text) const {
  for (const std::string& name : queues) {
    const auto& timeout = traits_of(name).consumer_timeout;
    if (!timeout || open < *timeout) continue;
    if (text == "PRECONDITION_FAILED - delivery acknowledgement on channel " + std::to_string(channel) +
                    " timed out. Timeout value used: " + std::to_string(timeout->count()) +
                    " ms. This timeout value can be configured, see consumers doc guide to learn more")
      return;
  }
  fail("a channel that was open for %ld ms was closed: %s", static_cast<long>(open / 1ms), text.c_str());
}

// Two looks, a period apart.
void Model::cancelled_by_broker(const std::string& tag, Duration since_asked) {
  const Consumption& consumer = consumers_.at(tag);
  if (may_be_revoked(consumer)) return;
  const std::string& name = consumer.queue;
  cancelled_as_slow_.insert(tag);
  const auto& pace = traits_of(name).pace;
  if (!pace || !pace->cancels || since_asked < pace->period)
    fail("a consumer of %s was cancelled after %ld ms", name.c_str(), static_cast<long>(since_asked / 1ms));
}

// A queue that moves begins to look anew.
void Model::held_in_peace(const std::string& name, Duration so_long) const {
  const auto& pace = traits_of(name).pace;
  if (one_worker_ && pace && pace->cancels && so_long > 2 * pace->period + look_late_max)
    fail("a consumer of %s held what it was given for %ld ms, and was not cancelled", name.c_str(),
         static_cast<long>(so_long / 1ms));
}

std::string Model::blocked(const std::string& reason) const {
  for (const char* known : {"low on memory (worker ", "worker ", "a queue is moving", "too many unconfirmed messages"})
    if (reason.starts_with(known)) return {};
  for (const auto& [name, traits] : traits_)
    if (traits.flow_stop && reason == "queue '" + name + "' has reached x-flow-stop") return name;
  fail("a connection is blocked: %s", reason.c_str());
}

// ---- choices --------------------------------------------------------------------------------------------------------

bool Model::explains(const Route& route, uint64_t number) const {
  const Message& message = messages_[number - 1];
  return std::ranges::includes(route.may, message.seen_in) &&
         std::ranges::all_of(route.must,
                             [&](const std::string& name) { return done(name, number) || excused(name, message); });
}

// Of a message that was published to an exchange that hashes, while its bindings stayed as they were.
void Model::learn_choice(uint64_t number, std::map<std::string, Choices>& values) const {
  const Message& message = messages_[number - 1];
  const TopologyExchange& exchange = exchanges_.at(message.what.exchange);
  std::set<std::string> bindings;
  for (const ModelBinding& binding : bindings_) {
    if (binding.source != exchange.name) continue;
    const Chances there = chances(binding, window_of(message));
    if (there.perhaps && !there.surely) return;
    if (there.surely) bindings.insert(label_of(binding));
  }
  std::set<std::string> possible;
  for (const Route& route : routes(message)) {
    const auto choice = route.choices.find(exchange.name);
    if (choice == route.choices.end()) return;
    if (explains(route, number)) possible.insert(choice->second);
  }
  std::string value = message.what.key;
  if (exchange.hashes_ids) value = message.what.id;
  if (!exchange.hash_header.empty()) {
    const std::string* header = value_of(message.what.headers, exchange.hash_header);
    value = header ? "+" + *header : "";
  }
  const auto [known, is_new] = values[value].emplace(bindings, possible);
  if (!is_new) std::erase_if(known->second, [&](const std::string& one) { return !possible.contains(one); });
  if (known->second.empty())
    fail("message %lu went another way through '%s' than others that hash as '%s'", number, exchange.name.c_str(),
         value.c_str());
}

void Model::check_choices() const {
  std::map<std::string, std::map<std::string, Choices>> learnt;  // by exchange and by what it hashes
  for (uint64_t number = 1; number <= messages_.size(); number++) {
    const Message& message = messages_[number - 1];
    const auto exchange = exchanges_.find(message.what.exchange);
    if (exchange == exchanges_.end() || !exchange->second.hashes()) continue;
    if (message.what.expiration) continue;
    if (message.certain() || !message.seen_in.empty()) learn_choice(number, learnt[exchange->first]);
  }
  for (const auto& [name, values] : learnt) {
    if (exchanges_.at(name).type != "x-consistent-hash") continue;
    for (const auto& [value, choices] : values)
      for (const auto& [more, among_more] : choices)
        for (const auto& [fewer, among_fewer] : choices) {
          if (among_more.size() != 1 || among_fewer.size() != 1 || !std::ranges::includes(more, fewer)) continue;
          const std::string& choice = *among_more.begin();
          if (fewer.contains(choice) && choice != *among_fewer.begin())
            fail("'%s' moved what hashes as '%s' for a binding that has nothing to do with it", name.c_str(),
                 value.c_str());
        }
    check_shares(exchanges_.at(name), values);
  }
}

bool Model::stays_whole(const std::string& name) const {
  const Queue& queue = this->queue(name);
  return !queue.may_lose && !queue.purging && queue.purged_until == Time::min() &&
         queue.life.remove_sent == base::never;
}

// Each binding has a share in proportion to its weight.
void Model::check_shares(const TopologyExchange& exchange, const std::map<std::string, Choices>& values) const {
  std::map<std::set<std::string>, std::map<std::string, size_t>> drawn;
  for (const auto& [value, choices] : values)
    for (const auto& [bindings, possible] : choices)
      if (possible.size() == 1) drawn[bindings][*possible.begin()]++;
  for (const auto& [bindings, counts] : drawn) {
    double weights = 0, all = 0;
    bool telling = true;  // where each went is known
    std::map<std::string, double> weight;
    std::set<std::string> queues;
    for (const ModelBinding& binding : bindings_) {
      if (binding.source != exchange.name || !bindings.contains(label_of(binding))) continue;
      if (weight.contains(label_of(binding))) continue;
      telling &=
          binding.to_queue && !traits_.contains(binding.destination) && queues.insert(binding.destination).second;
      telling = telling && stays_whole(binding.destination);
      weights += weight[label_of(binding)] = std::stod(binding.key);
    }
    for (const auto& [binding, count] : counts) all += static_cast<double>(count);
    if (!telling || all < drawn_min) continue;
    for (const auto& [binding, its_weight] : weight) {
      const double share = its_weight / weights;
      const auto found = counts.find(binding);
      const double off = (found == counts.end() ? 0 : static_cast<double>(found->second)) - all * share;
      if (std::abs(off) > deviations_max * std::sqrt(all * share * (1 - share)) + 1)
        fail("'%s' gave '%s' %.0f of %.0f values more than its weight", exchange.name.c_str(), binding.c_str(), off,
             all);
    }
  }
}

// ---- the end --------------------------------------------------------------------------------------------------------

bool Model::gone_otherwise(const std::string& name, const Message& message) const {
  const Queue& queue = this->queue(name);
  const QueueTraits& traits = traits_of(name);
  if (queue.replies_to != 0) return queue.may_lose;
  if (traits.rejects_publishes) return true;
  // What dies there is gone.
  if (traits.dead_queue.empty() && (traits.message_ttl || traits.max_length || message.what.expiration)) return true;
  return queue.may_lose || queue.purging || message.sent <= queue.purged_until || queue.life.remove_sent != base::never;
}

bool Model::excused(const std::string& name, const Message& message) const {
  if (gone_otherwise(name, message)) return true;
  const QueueTraits& traits = traits_of(name);
  const auto number = static_cast<uint64_t>(&message - messages_.data()) + 1;
  return replaced_perhaps(name, number) || (traits.deduplicates && duplicate_perhaps(name, number));
}

// Settled there; where the dead have somewhere to go, a rejected or vanished one must be settled there instead.
bool Model::done(const std::string& name, uint64_t number) const {
  const auto settled = [&](const std::string& where, bool rejected_too) {
    const auto& copies = queue(where).copies;
    const auto copy = copies.find(number);
    if (copy == copies.end()) return false;
    return copy->second.disputed || (copy->second.state == State::settled && (rejected_too || !copy->second.rejected));
  };
  const std::string& dead = traits_of(name).dead_queue;
  return settled(name, dead.empty()) || (!dead.empty() && settled(dead, true));
}

// What nobody accepted may not have arrived at all; but if one queue has it, all have. Nor of a transaction: if anybody
// has had a part of it, it was committed as a whole.
bool Model::due(uint64_t number, const std::set<uint64_t>& seen_transactions) const {
  const Message& message = messages_[number - 1];
  return message.certain() || !message.seen_in.empty() ||
         (message.transaction != 0 && seen_transactions.contains(message.transaction));
}

template <class Visit>
void Model::for_each_missing(Visit&& visit) const {
  std::set<uint64_t> seen_transactions;
  for (const Message& message : messages_)
    if (!message.seen_in.empty()) seen_transactions.insert(message.transaction);
  for (uint64_t number = 1; number <= messages_.size(); number++) {
    const Message& message = messages_[number - 1];
    if (!due(number, seen_transactions)) continue;
    const auto missing = [&](const std::string& name) { return !done(name, number) && !excused(name, message); };
    // What somebody has seen must be settled in the end, even where it only may have been routed to.
    std::set<std::string> wanted = message.seen_in;
    for (const std::string& name : message.seen_in)
      if (const std::string& dead = traits_of(name).dead_queue; !dead.empty() && queue(dead).copies.contains(number))
        wanted.insert(dead);
    const auto& ways = routes(message);
    if (std::ranges::none_of(ways, [&](const Route& route) { return explains(route, number); })) {
      const auto fits = std::ranges::find_if(
          ways, [&](const Route& route) { return std::ranges::includes(route.may, message.seen_in); });
      const Route& way = fits == ways.end() ? ways.front() : *fits;
      wanted.insert(way.must.begin(), way.must.end());
    }
    for (const std::string& name : wanted)
      if (missing(name)) visit(number, name);
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
  check_choices();
  check_one_taken();
}

}  // namespace talaria::sim
