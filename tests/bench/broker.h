// One worker's engine with memory of its own and a vhost, for the benchmarks of routing and queues.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/broker/engine.h"

namespace talaria::bench {

struct Broker {
  explicit Broker(size_t memory_bytes = size_t{64} << 20)
      : memory(memory_bytes), arena(memory), pool(arena, outbox, 0, {}), engine(0, 1, pool, outbox, board) {
    apply(broker::AddVhost{vhost, "/"});
    add_exchange("", broker::ExchangeType::direct);
  }

  void apply(const broker::TopologyChange& change) { engine.apply(change, {}); }
  broker::ExchangeId add_exchange(const std::string& name, broker::ExchangeType type) {
    const broker::ExchangeId id{next_exchange++, 1};
    apply(broker::AddExchange{vhost, id, name, type, false, ""});
    return id;
  }
  broker::QueueId add_queue(const std::string& name) {
    broker::AddQueue add;
    add.vhost = vhost;
    add.id = {next_queue++, 1};
    add.name = name;
    add.counters = &counters.emplace_back();
    apply(add);
    return add.id;
  }
  void bind(broker::ExchangeId from, broker::QueueId to, const std::string& key, base::FieldTable arguments = {}) {
    apply(broker::AddBinding{{vhost, from, to, {}, key, std::move(arguments)}});
  }
  broker::Message* message(std::string_view key, size_t body_size) {
    broker::MessageHead head;
    head.routing_key = key;
    head.body_size = body_size;
    auto builder = pool.begin(head);
    CHECK(builder && builder->append(base::Bytes(body).first(body_size)));
    return builder->finish();
  }

  const broker::VhostId vhost{0, 1};
  const std::vector<uint8_t> body = std::vector<uint8_t>(4096, 'x');
  uint32_t next_exchange = 0, next_queue = 0;
  std::deque<broker::QueueCounters> counters;
  std::vector<uint8_t> memory;
  base::Arena arena;
  broker::Outbox outbox;
  broker::MessagePool pool;
  broker::PressureBoard board;
  broker::Engine engine;
};

}  // namespace talaria::bench
