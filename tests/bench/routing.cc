// Routing: from exchange and routing key to queues, each exchange type with a table of the size people have.
#include <array>
#include <string>
#include <vector>

#include "tests/bench/broker.h"
#include "tests/bench/cycles.h"

namespace talaria::bench {
namespace {

using broker::ExchangeType;

// Routes one key of `keys` after the other. Every message must reach `expected` queues.
void run(benchmark::State& state, Broker& broker, broker::ExchangeId id, const std::vector<std::string>& keys,
         size_t expected, std::span<const base::HeaderView> headers = {}) {
  broker::Vhost& vhost = *broker.engine.find_vhost(broker.vhost);
  broker::Exchange& exchange = *broker.engine.find_exchange(id);
  broker::RouteTargets targets;
  size_t next = 0, reached = 0;
  {
    CycleCounter cycles(state);
    for (auto _ : state) {
      broker::route(vhost, exchange, keys[next], headers, targets);
      reached += targets.queues().size();
      if (++next == keys.size()) next = 0;
    }
  }
  CHECK(reached == expected * static_cast<size_t>(state.iterations()));
}

void RouteDefault(benchmark::State& state) {
  Broker broker;
  std::vector<std::string> keys;
  for (int i = 0; i < 1000; i++) {
    keys.push_back("queue-" + std::to_string(i));
    broker.add_queue(keys.back());
  }
  run(state, broker, {0, 1}, keys, 1);
}
BENCHMARK(RouteDefault);

void RouteDirect(benchmark::State& state) {
  Broker broker;
  const auto exchange = broker.add_exchange("direct", ExchangeType::direct);
  const auto queue = broker.add_queue("q");
  std::vector<std::string> keys;
  for (int i = 0; i < state.range(0); i++) {
    keys.push_back("customer." + std::to_string(i * 7919) + ".order");
    broker.bind(exchange, queue, keys.back());
  }
  run(state, broker, exchange, keys, 1);
}
BENCHMARK(RouteDirect)->Arg(1)->Arg(10'000);

// Half the bindings name a device, a quarter end in `*`, a quarter in `#`; a key meets one of each.
void RouteTopic(benchmark::State& state) {
  Broker broker;
  const auto exchange = broker.add_exchange("topic", ExchangeType::topic);
  const std::array queues{broker.add_queue("exact"), broker.add_queue("star"), broker.add_queue("hash")};
  std::vector<std::string> keys;
  for (int i = 0; i < state.range(0) / 4; i++) {
    const std::string site = "site" + std::to_string(i) + ".device" + std::to_string(i % 97);
    keys.push_back(site + ".temperature");
    broker.bind(exchange, queues[0], site + ".temperature");
    broker.bind(exchange, queues[0], site + ".pressure");
    broker.bind(exchange, queues[1], site + ".*");
    broker.bind(exchange, queues[2], "site" + std::to_string(i) + ".#");
  }
  run(state, broker, exchange, keys, 3);
}
BENCHMARK(RouteTopic)->Arg(4)->Arg(10'000);

void RouteHeaders(benchmark::State& state) {
  Broker broker;
  const auto exchange = broker.add_exchange("headers", ExchangeType::headers);
  const auto queue = broker.add_queue("q");
  for (int64_t i = 0; i < state.range(0); i++)
    broker.bind(exchange, queue, "", {{"region", {std::string("eu")}}, {"number", {i}}});
  const auto text = [](std::string_view bytes) { return base::FieldView{base::FieldKind::text, {}, bytes}; };
  const std::array<base::HeaderView, 3> headers{
      {{"region", text("eu")}, {"number", {base::FieldKind::integer, {.integer = 0}, {}}}, {"other", text("ignored")}}};
  run(state, broker, exchange, {"any"}, 1, headers);
}
BENCHMARK(RouteHeaders)->Arg(100);

void RouteFanout(benchmark::State& state) {
  Broker broker;
  const auto exchange = broker.add_exchange("fanout", ExchangeType::fanout);
  for (int64_t i = 0; i < state.range(0); i++) broker.bind(exchange, broker.add_queue("q" + std::to_string(i)), "");
  run(state, broker, exchange, {"any"}, static_cast<size_t>(state.range(0)));
}
BENCHMARK(RouteFanout)->Arg(8);

}  // namespace
}  // namespace talaria::bench
