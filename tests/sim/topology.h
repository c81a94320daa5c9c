// What the clients of a run know of the broker's topology: names to choose from. Drawn at random, declared by the
// steward before there is traffic; clients add bindings and queues of their own.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/model.h"
#include "tests/sim/plant.h"

namespace talaria::sim {

// A queue to which another's dead messages go, and nothing else.
struct DeadQueue {
  std::string name;
  std::string exchange;  // a fanout of its own; "": the default exchange, with its name as the key
};

struct Topology {
  std::vector<TopologyExchange> exchanges;
  std::vector<std::string> queues;            // that stay for the whole run
  std::map<std::string, QueueTraits> traits;  // of those that have any
  std::vector<DeadQueue> dead_queues;         // they stay as well
  std::vector<ModelBinding> bindings;
  bool deduplicates = false;    // one of the queues does, or of the exchanges
  uint64_t hashed_keys = 1000;  // keys for exchanges that hash
  double copies = 0;            // how often a message has more keys than one
  Plant plant = Plant::none;    // what is declared otherwise than the model is told
  // Queues of clients, present and past: keys for the default exchange.
  std::vector<std::string> private_queues;
  // For direct replies, of consumers present and past.
  std::vector<std::string> addresses;
  // Bindings that are there, or may be: nobody makes one twice.
  std::set<std::string> used;

  const TopologyExchange& exchange(const std::string& name) const;
  DeclareExchange declaration(const TopologyExchange& exchange) const;
  // The declaration of a queue that stays.
  DeclareQueue declaration(const std::string& queue) const;
  // What the policy of a queue that has one says, as JSON.
  std::string policy(const std::string& queue) const;
  void learn_address(const std::string& address);
  // True if nobody has it yet; then it is taken.
  bool claim(const ModelBinding& binding);
  // Somebody may make it again; but not one that would bring a history twice.
  void give_up(const ModelBinding& binding);
};

// Values that messages for queues which deduplicate are drawn from: a queue forgets none of so many.
inline constexpr uint64_t deduplication_values = 200;
// And for exchanges that do: some of these.
inline constexpr uint64_t exchange_values = 12;

Topology draw_topology(Random& random);
// What brokers of other makes have.
void draw_extensions(Random random, Topology& topology);
// One that many messages come by.
void add_exchange_that_remembers(Random random, Topology& topology, bool history);
// From an exchange to a queue, with a key or arguments of the exchange's kind.
ModelBinding draw_binding(Random& random, const TopologyExchange& source, const std::string& queue);
std::string draw_key(Random& random);
// For CC and BCC: names and keys, for whatever exchange it will be.
std::vector<std::string> draw_more_keys(Random& random, const Topology& topology);
TextTable draw_headers(Random& random);

}  // namespace talaria::sim
