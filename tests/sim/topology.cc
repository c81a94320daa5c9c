#include "tests/sim/topology.h"

#include <algorithm>

namespace talaria::sim {

namespace {

constexpr size_t addresses_max = 30;

// Few words, so that keys and patterns meet often.
const std::vector<std::string>& words() {
  static const std::vector<std::string> few{"a", "b", "c", ""};
  return few;
}

std::string draw_pattern(Random& random) {
  std::string pattern;
  for (uint64_t i = random.between(1, 3); i > 0; i--) {
    if (!pattern.empty()) pattern += '.';
    const uint64_t kind = random.below(5);
    pattern += kind == 0 ? "#" : kind == 1 ? "*" : random.pick(words());
  }
  return pattern;
}

}  // namespace

const TopologyExchange& Topology::exchange(const std::string& name) const {
  for (const TopologyExchange& candidate : exchanges)
    if (candidate.name == name) return candidate;
  fail("no exchange %s in the topology", name.c_str());
}

DeclareExchange Topology::declaration(const TopologyExchange& exchange) const {
  DeclareExchange command{.name = exchange.name, .type = exchange.type};
  if (plant == Plant::every_choice && exchange.chooses() && !exchange.hashes()) command.type = "fanout";
  if (plant == Plant::random_hash && exchange.hashes()) command.type = "x-random";
  if (!exchange.hash_header.empty()) command.arguments.emplace_back("hash-header", exchange.hash_header);
  if (exchange.hashes_ids) command.arguments.emplace_back("hash-property", "message_id");
  if (exchange.history != 0 && plant != Plant::no_history) {
    command.type = "x-recent-history";
    command.numbers.emplace_back("x-recent-history-length", static_cast<int64_t>(exchange.history));
  }
  if (exchange.deduplicates && plant != Plant::repeats) {
    command.numbers.emplace_back("x-cache-size", deduplication_values);
    if (command.type == "fanout")
      command.type = "x-message-deduplication";
    else
      command.flags.emplace_back("x-message-deduplication", true);
  }
  if (exchange.delays) {
    command.arguments.emplace_back("x-delayed-type", command.type);
    command.type = "x-delayed-message";
  }
  if (!exchange.alternate.empty()) command.arguments.emplace_back("alternate-exchange", exchange.alternate);
  return command;
}

DeclareQueue Topology::declaration(const std::string& queue) const {
  DeclareQueue command;
  command.name = queue;
  const auto found = traits.find(queue);
  if (found == traits.end()) return command;
  const QueueTraits& has = found->second;
  if (has.message_ttl && !has.by_policy) command.numbers.emplace_back("x-message-ttl", has.message_ttl->count());
  if (has.max_length && !has.by_policy) command.numbers.emplace_back("x-max-length", *has.max_length);
  if (has.max_priority) command.numbers.emplace_back("x-max-priority", *has.max_priority);
  if (has.single_active_consumer) command.flags.emplace_back("x-single-active-consumer", true);
  if (has.rejects_publishes && !has.by_policy) command.arguments.emplace_back("x-overflow", "reject-publish");
  if (!has.last_value_header.empty() && plant != Plant::all_values)
    command.arguments.emplace_back("x-last-value-key", has.last_value_header);
  if (has.deduplicates && plant != Plant::duplicates) {
    command.flags.emplace_back("x-message-deduplication", true);
    command.numbers.emplace_back("x-cache-size", deduplication_values);
  }
  if (has.flow_stop && plant != Plant::no_flow_limit) {
    command.numbers.emplace_back("x-flow-stop", *has.flow_stop);
    command.numbers.emplace_back("x-flow-resume", *has.flow_stop / 2);
  }
  if (!has.group_header.empty() && plant != Plant::no_groups)
    command.arguments.emplace_back("x-group-key", has.group_header);
  if (has.pace && plant != Plant::endless_pace) {
    const int64_t divisor = plant == Plant::short_pace ? 10 : 1;
    command.numbers.emplace_back("x-slow-consumer-threshold", has.pace->threshold);
    command.numbers.emplace_back("x-slow-consumer-check-period", has.pace->period.count() / divisor);
    command.arguments.emplace_back("x-slow-consumer-policy", has.pace->cancels ? "close" : "notify");
  }
  if (has.consumer_timeout) {
    const int64_t divisor = plant == Plant::short_patience ? 10 : 1;
    command.numbers.emplace_back("x-consumer-timeout", has.consumer_timeout->count() / divisor);
  }
  if (!has.dead_queue.empty() && !has.by_policy) {
    command.arguments.emplace_back("x-dead-letter-exchange", has.dead_exchange);
    if (has.dead_key) command.arguments.emplace_back("x-dead-letter-routing-key", *has.dead_key);
  }
  return command;
}

std::string Topology::policy(const std::string& queue) const {
  const QueueTraits& has = traits.at(queue);
  std::string definition;
  const auto add = [&](const std::string& name, const std::string& value) {
    definition += (definition.empty() ? "\"" : ",\"") + name + "\":" + value;
  };
  const auto quoted = [](const std::string& text) { return "\"" + text + "\""; };
  if (has.message_ttl) add("message-ttl", std::to_string(has.message_ttl->count()));
  if (has.max_length) add("max-length", std::to_string(*has.max_length));
  if (has.rejects_publishes) add("overflow", quoted("reject-publish"));
  if (!has.dead_queue.empty()) add("dead-letter-exchange", quoted(has.dead_exchange));
  if (has.dead_key) add("dead-letter-routing-key", quoted(*has.dead_key));
  return R"({"name":")" + queue + R"(","pattern":"^)" + queue + R"($","apply-to":"queues","definition":{)" +
         definition + "}}";
}

void Topology::learn_address(const std::string& address) {
  if (std::ranges::find(addresses, address) != addresses.end()) return;
  if (addresses.size() >= addresses_max) addresses.erase(addresses.begin());
  addresses.push_back(address);
}

bool Topology::claim(const ModelBinding& binding) { return used.insert(identity_of(binding)).second; }
void Topology::give_up(const ModelBinding& binding) {
  if (exchange(binding.source).history == 0) used.erase(identity_of(binding));
}

std::string draw_key(Random& random) {
  std::string key;
  for (uint64_t i = random.between(1, 3); i > 0; i--) {
    if (!key.empty()) key += '.';
    key += random.pick(words());
  }
  return key;
}

std::vector<std::string> draw_more_keys(Random& random, const Topology& topology) {
  std::vector<std::string> keys;
  for (uint64_t i = random.between(0, 3); i > 0; i--) {
    const uint64_t kind = random.below(4);
    keys.push_back(kind == 0                                       ? draw_key(random)
                   : kind == 1 && !topology.private_queues.empty() ? random.pick(topology.private_queues)
                                                                   : random.pick(topology.queues));
  }
  return keys;
}

TextTable draw_headers(Random& random) {
  TextTable headers;
  for (const char* name : {"h1", "h2", "h3"})
    if (random.chance(0.5)) headers.emplace_back(name, random.chance(0.5) ? "yes" : "no");
  return headers;
}

ModelBinding draw_binding(Random& random, const TopologyExchange& source, const std::string& queue) {
  ModelBinding binding;
  binding.source = source.name;
  binding.destination = queue;
  if (source.type == "topic") binding.key = draw_pattern(random);
  if (source.type == "direct") binding.key = draw_key(random);
  if (source.type == "x-modulus-hash") binding.key = draw_key(random);
  if (source.type == "x-consistent-hash") binding.key = std::to_string(random.between(1, 3));
  if (source.type == "headers") {
    binding.arguments = draw_headers(random);
    if (random.chance(0.7)) binding.arguments.emplace_back("x-match", random.chance(0.5) ? "all" : "any");
  }
  return binding;
}

namespace {

// What looks at headers, or at its publishers.
void draw_extras(Random& random, Topology& topology, const std::string& queue) {
  if (random.chance(0.1)) topology.traits[queue].last_value_header = "h1";
  if (random.chance(0.1)) topology.deduplicates = topology.traits[queue].deduplicates = true;
  if (random.chance(0.12))
    topology.traits[queue].consumer_timeout = std::chrono::milliseconds(random.between(20, 1500));
  if (random.chance(0.08)) topology.traits[queue].flow_stop = static_cast<int64_t>(random.between(1, 30));
}

// Lifetimes, limits, and a queue for what dies.
void draw_traits(Random& random, Topology& topology, const std::string& queue) {
  if (!random.chance(0.4)) return draw_extras(random, topology, queue);
  QueueTraits traits;
  if (random.chance(0.5)) traits.message_ttl = std::chrono::milliseconds(random.between(0, 1500));
  if (random.chance(0.4)) {
    traits.max_length = static_cast<int64_t>(random.between(0, 30));
    traits.rejects_publishes = random.chance(0.3);
  }
  if (random.chance(0.3)) traits.max_priority = static_cast<uint8_t>(random.below(12));
  traits.single_active_consumer = random.chance(0.2);
  if (random.chance(0.7)) {
    traits.dead_queue = "d." + queue;
    if (random.chance(0.5)) {
      traits.dead_exchange = "x.d." + queue;
    } else {
      traits.dead_key = traits.dead_queue;
    }
    topology.dead_queues.push_back({traits.dead_queue, traits.dead_exchange});
  }
  traits.by_policy = (traits.message_ttl || traits.max_length || !traits.dead_queue.empty()) && random.chance(0.3);
  topology.traits[queue] = traits;
  if (random.chance(0.2)) draw_extras(random, topology, queue);
}

TopologyExchange draw_exchange(Random& random, const std::string& type, uint64_t number) {
  TopologyExchange exchange;
  exchange.name = "x." + type + "." + std::to_string(number);
  exchange.type = type;
  if (type == "x-delayed-message") {
    exchange.delays = true;
    exchange.type = random.pick(std::vector<std::string>{"direct", "fanout", "topic", "headers", "x-consistent-hash",
                                                         "x-random", "x-modulus-hash"});
  }
  if (exchange.type == "x-consistent-hash") {
    if (random.chance(0.2))
      exchange.hash_header = "h1";
    else
      exchange.hashes_ids = random.chance(0.2);
  }
  return exchange;
}

}  // namespace

Topology draw_topology(Random& random) {
  Topology topology;
  const std::vector<std::string> types{
      "direct",   "fanout",         "topic",          "headers",          "x-consistent-hash",
      "x-random", "x-modulus-hash", "x-local-random", "x-delayed-message"};
  for (const std::string& type : types)
    for (uint64_t i = random.between(type.starts_with("x-") ? 0 : 1, 2); i > 0; i--)
      topology.exchanges.push_back(draw_exchange(random, type, i));
  // An alternate is one that was made before: no cycle of alternates alone.
  for (size_t i = 1; i < topology.exchanges.size(); i++)
    if (random.chance(0.2)) topology.exchanges[i].alternate = topology.exchanges[random.below(i)].name;
  for (uint64_t i = random.between(1, 8); i > 0; i--) topology.queues.push_back("q." + std::to_string(i));
  for (const std::string& queue : topology.queues) draw_traits(random, topology, queue);
  for (uint64_t i = random.between(4, 28); i > 0; i--) {
    ModelBinding binding = draw_binding(random, random.pick(topology.exchanges), random.pick(topology.queues));
    // Now and then from exchange to exchange; cycles are welcome.
    if (random.chance(0.2) && topology.exchange(binding.source).type != "x-local-random") {
      binding.to_queue = false;
      binding.destination = random.pick(topology.exchanges).name;
    }
    if (topology.claim(binding)) topology.bindings.push_back(binding);
  }
  return topology;
}

// Nothing is bound to it, but it may be an alternate.
void draw_exchange_that_remembers(Random& random, Topology& topology, uint64_t number, bool history) {
  TopologyExchange exchange;
  if (history) {
    exchange.type = "fanout";
    exchange.history = random.between(1, 10);
    exchange.name = "x.history." + std::to_string(number);
  } else {
    exchange.type = random.pick(std::vector<std::string>{"fanout", "fanout", "direct", "topic", "headers"});
    exchange.deduplicates = topology.deduplicates = true;
    exchange.name = "x.once." + std::to_string(number);
    if (random.chance(0.3)) exchange.alternate = random.pick(topology.exchanges).name;
  }
  for (TopologyExchange& other : topology.exchanges)
    if (other.alternate.empty() && !other.remembers() && random.chance(0.1)) other.alternate = exchange.name;
  topology.exchanges.push_back(exchange);
  for (uint64_t i = random.between(0, 4); i > 0; i--) {
    const ModelBinding binding = draw_binding(random, exchange, random.pick(topology.queues));
    if (topology.claim(binding)) topology.bindings.push_back(binding);
  }
}

void add_exchange_that_remembers(Random random, Topology& topology, bool history) {
  for (uint64_t number = 11; number < 14; number++) draw_exchange_that_remembers(random, topology, number, history);
}

void draw_extensions(Random random, Topology& topology) {
  if (random.chance(0.3)) topology.copies = 0.2;
  for (uint64_t i = random.chance(0.2) ? random.between(1, 3) : 0; i > 0; i--)
    draw_exchange_that_remembers(random, topology, i, random.chance(0.5));
  for (const std::string& queue : topology.queues) {
    if (random.chance(0.1) && topology.traits[queue].can_keep_groups())
      topology.traits[queue].group_header = random.chance(0.5) ? "h1" : "h2";
    if (random.chance(0.1))
      topology.traits[queue].pace = {static_cast<int64_t>(random.between(1, 20)),
                                     std::chrono::milliseconds(random.between(20, 400)), random.chance(0.8)};
  }
}

}  // namespace talaria::sim
