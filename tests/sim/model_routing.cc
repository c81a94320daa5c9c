// Where the model takes messages to be routed; see model.h.

#include <algorithm>

#include "tests/sim/model.h"

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

// What a delayed message may come too late by: turns, stalls, queues without room.
constexpr Duration lateness_max = 10s;
// Ways in which one message may be routed. Beyond that all of them are one that says nothing.
constexpr size_t routes_max = 64;

}  // namespace

std::string identity_of(const ModelBinding& binding) {
  std::string text =
      binding.source + (binding.to_queue ? " queue " : " exchange ") + binding.destination + " " + binding.key;
  for (const auto& [name, value] : binding.arguments) text += " " + name + "=" + value;
  return text;
}

std::string label_of(const ModelBinding& binding) {
  return (binding.to_queue ? "queue " : "exchange ") + binding.destination + " by " + binding.key;
}

std::vector<std::string> Model::Message::keys() const {
  std::vector<std::string> all{what.key};
  all.insert(all.end(), what.copies.begin(), what.copies.end());
  all.insert(all.end(), what.blind_copies.begin(), what.blind_copies.end());
  return all;
}

struct Model::Walk {
  const Message& message;
  Window window;
  Certainty certainty;
  std::map<std::string, std::string> choices;
  bool every_choice = false;  // as if exchanges did not choose
  std::set<std::string> visited = {}, queues = {};
  std::string undecided = {};  // an exchange that chooses, and has not
};

Model::Window Model::window_of(const Message& message) const {
  Window window{message.sent, message.certain() ? taken_by(message) : world_.now()};
  if (!message.what.delay) return window;
  window.from = message.begun() + *message.what.delay;
  if (message.certain()) window.to = message.accepted + *message.what.delay + lateness_max;
  return window;
}

const std::vector<Model::Route>& Model::routes(const Message& message) const {
  if (message.routes_final) return message.routes;
  const Window window = window_of(message);
  message.routes.clear();
  const bool decides = by_exchange_.contains(message.what.exchange);
  const bool deduplicates = decides && exchanges_.at(message.what.exchange).deduplicates;
  if (!deduplicates || !is_duplicate_for_sure(number_of(message))) enumerate(message, window, {}, message.routes);
  if (deduplicates && is_duplicate_perhaps(number_of(message))) message.routes.emplace_back().dropped = true;
  if (message.routes.size() > routes_max) {
    Walk all{message, window, Certainty::may, {}, true};
    follow(all, message.what.exchange);
    Route any;
    any.may = std::move(all.queues);
    message.routes = {any};
  }
  // What clients do from now on changes nothing about then.
  message.routes_final = message.certain() && window.to < world_.now();
  if (has_history(message)) message.routes_final &= forgotten_for_sure(number_of(message), world_.now());
  return message.routes;
}

// Perhaps, whatever is chosen and forgotten: a queue that refuses what is too much.
bool Model::reaches_refusals(const Message& message) const {
  Walk all{message, window_of(message), Certainty::may, {}, true};
  follow(all, message.what.exchange);
  return std::ranges::any_of(all.queues, [&](const std::string& name) { return traits_of(name).rejects_publishes; });
}

void Model::enumerate(const Message& message, Window window, Route route, std::vector<Route>& out) const {
  Walk may{message, window, Certainty::may, route.choices};
  follow(may, message.what.exchange);
  if (may.undecided.empty()) {
    Walk must{message, window, Certainty::must, route.choices};
    follow(must, message.what.exchange);
    route.may = std::move(may.queues);
    route.must = std::move(must.queues);
    out.push_back(std::move(route));
    return;
  }
  bool never_none = false;
  std::set<std::string> candidates;
  for (const ModelBinding& binding : bindings_) {
    if (binding.source != may.undecided) continue;
    const Chances there = chances(binding, window);
    if (there.perhaps) candidates.insert(label_of(binding));
    never_none |= there.surely;
  }
  if (!never_none) candidates.insert("");
  for (const std::string& candidate : candidates) {
    if (out.size() > routes_max) return;
    route.choices[may.undecided] = candidate;
    enumerate(message, window, route, out);
  }
}

void Model::follow(Walk& walk, const std::string& name) const {
  if (name.empty()) return follow_names(walk);
  if (!walk.visited.insert(name).second) return;
  const TopologyExchange& exchange = exchanges_.at(name);
  if (exchange.chooses()) return follow_choice(walk, exchange);
  // Its alternate is tried when no binding matches: what must reach it depends on what may match here.
  bool may_match = false, must_match = false;
  for (const ModelBinding& binding : bindings_) {
    if (binding.source != name || !matches(exchange, binding, walk.message)) continue;
    const Chances there = chances_to_get(binding, walk.window, walk.message);
    must_match |= there.surely;
    may_match |= there.perhaps;
    if (walk.certainty == Certainty::must ? there.surely : there.perhaps) follow_binding(walk, binding);
  }
  const bool use_alternate = walk.certainty == Certainty::must ? !may_match : !must_match;
  if (use_alternate && !exchange.alternate.empty()) follow(walk, exchange.alternate);
}

// The default exchange: every queue is bound by its name.
void Model::follow_names(Walk& walk) const {
  for (const std::string& key : walk.message.keys()) {
    const auto found = queues_.find(key);
    if (found == queues_.end()) continue;
    const Life& life = found->second.life;
    if (walk.certainty == Certainty::must ? life.surely(walk.window.from, walk.window.to)
                                          : life.perhaps(walk.window.from, walk.window.to))
      walk.queues.insert(key);
  }
  // Addresses among CC and BCC lead nowhere.
  const std::string replies = replies_of(walk.message.what.exchange, walk.message.what.key);
  if (!replies.empty() && is_there(replies, walk.certainty, walk.window)) walk.queues.insert(replies);
}

// With several keys it may choose several bindings: of that nothing is known but what there is to choose from.
void Model::follow_choice(Walk& walk, const TopologyExchange& exchange) const {
  const bool every_choice = walk.every_choice || walk.message.keys().size() > 1;
  if (every_choice && walk.certainty == Certainty::must) return;
  const auto choice = walk.choices.find(exchange.name);
  if (choice == walk.choices.end() && !every_choice) {
    if (walk.undecided.empty()) walk.undecided = exchange.name;
    return;
  }
  for (const ModelBinding& binding : bindings_) {
    if (binding.source != exchange.name || !chances(binding, walk.window).perhaps) continue;
    if (!every_choice && label_of(binding) != choice->second) continue;
    follow_binding(walk, binding);
    // That it was chosen says that it was there. One that was removed and made again is there twice, and the same.
    if (!every_choice) return;
  }
  if (!exchange.alternate.empty() && (every_choice || choice->second.empty())) follow(walk, exchange.alternate);
}

void Model::follow_binding(Walk& walk, const ModelBinding& binding) const {
  if (binding.to_queue)
    walk.queues.insert(binding.destination);
  else
    follow(walk, binding.destination);
}

// A queue that goes takes its bindings along.
Model::Chances Model::chances(const ModelBinding& binding, Window window) const {
  Chances there{binding.life.surely(window.from, window.to), binding.life.perhaps(window.from, window.to)};
  if (!binding.to_queue) return there;
  const Life& target = queue(binding.destination).life;
  there.surely &= target.surely(window.from, window.to);
  there.perhaps &= target.perhaps(window.from, window.to);
  return there;
}

// ---- exchanges that remember ----------------------------------------------------------------------------------------

const std::vector<uint64_t>& Model::published_to(const std::string& exchange) const {
  static const std::vector<uint64_t> none;
  const auto found = by_exchange_.find(exchange);
  return found == by_exchange_.end() ? none : found->second;
}

bool Model::has_history(const Message& message) const {
  return by_exchange_.contains(message.what.exchange) && exchanges_.at(message.what.exchange).history != 0;
}

// The connection is not read until it is.
bool Model::decided_before(uint64_t first, uint64_t second) const {
  const Message& one = messages_[first - 1];
  const Message& other = messages_[second - 1];
  if (one.what.channel == other.what.channel) return first < second;
  return one.accepted <= other.sent;
}

bool Model::forgotten_for_sure(uint64_t number, Time by) const {
  const std::string& exchange = messages_[number - 1].what.exchange;
  const auto later = std::ranges::count_if(published_to(exchange), [&](uint64_t other) {
    return other != number && messages_[other - 1].accepted <= by && decided_before(number, other);
  });
  return static_cast<size_t>(later) >= exchanges_.at(exchange).history;
}

bool Model::forgotten_perhaps(uint64_t number, Time by) const {
  if (!whole_histories_) return true;
  const std::string& exchange = messages_[number - 1].what.exchange;
  const auto later = std::ranges::count_if(published_to(exchange), [&](uint64_t other) {
    return other != number && messages_[other - 1].sent <= by && !decided_before(other, number);
  });
  return static_cast<size_t>(later) >= exchanges_.at(exchange).history;
}

// A history brings it to whoever was bound later, too; and it comes by one way or the other if that was at the same
// time.
Model::Chances Model::chances_to_get(const ModelBinding& binding, Window window, const Message& message) const {
  Chances there = chances(binding, window);
  if (binding.source != message.what.exchange || !has_history(message)) return there;
  const Life& life = binding.life;
  const uint64_t number = number_of(message);
  there.perhaps |= life.add_sent != base::never && window.from <= life.added &&
                   (life.add_sent <= window.to || !forgotten_for_sure(number, life.add_sent));
  there.surely |= life.added != base::never && window.to < life.remove_sent && !forgotten_perhaps(number, life.added);
  return there;
}

bool Model::matches(const TopologyExchange& exchange, const ModelBinding& binding, const Message& message) const {
  if (exchange.type == "fanout") return true;
  const auto any_key = [&](const auto& fits) { return std::ranges::any_of(message.keys(), fits); };
  if (exchange.type == "direct") return any_key([&](const std::string& key) { return binding.key == key; });
  if (exchange.type == "topic")
    return any_key([&](const std::string& key) { return topic_matches(words_of(binding.key), 0, words_of(key), 0); });
  return headers_match(binding.arguments, message.what.headers);
}

bool Model::may_be_in(const Message& message, const std::string& queue) const {
  return std::ranges::any_of(routes(message), [&](const Route& route) { return route.may.contains(queue); });
}

bool Model::must_be_in(const Message& message, const std::string& queue) const {
  return std::ranges::all_of(routes(message), [&](const Route& route) { return route.must.contains(queue); });
}

}  // namespace talaria::sim
