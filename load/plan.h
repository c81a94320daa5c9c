// What a run does: who publishes what to whom, how fast, and for how long. Values only; `find_contradiction` says what
// cannot be.
//
// Producer p publishes over routes p, p + P, p + 2P, ... when there are more routes than producers, else over route
// p mod R alone. Consumer c takes from queue c mod Q or, when there are more queues than consumers, from queues c, c +
// C, c + 2C, ... A route leads to one queue, or (fanout) to all of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/time.h"

namespace talaria::load {

using base::operator""ms;
using base::operator""s;

enum class ExchangeKind : uint8_t {
  none,     // the default exchange: the routing key is the queue's name
  direct,   // a key for each binding
  fanout,   // every queue gets every message
  topic,    // a pattern for each binding, keys with a word more
  headers,  // x-match all, two headers
};
std::string_view to_text(ExchangeKind kind);

enum class Acks : uint8_t {
  none,      // no_ack
  single,    // a basic.ack for each delivery
  multiple,  // one basic.ack a turn, for all that came
};
std::string_view to_text(Acks acks);

struct BodySize {
  uint32_t bytes = 100;
  uint32_t weight = 1;
};
// "100", "16,100,1024", "16:8,65536:1"; nothing: it is none of these.
std::optional<std::vector<BodySize>> parse_body_sizes(std::string_view text);

struct Plan {
  uint32_t producers = 1;
  uint32_t consumers = 1;
  uint32_t queues = 1;
  ExchangeKind exchange = ExchangeKind::none;
  uint32_t bindings = 0;  // of the exchange, in all; 0: one a queue
  std::vector<BodySize> sizes{BodySize{}};
  Acks acks = Acks::none;
  uint16_t prefetch = 0;        // 0: no bound
  uint32_t confirm_window = 0;  // publishes a producer may have unconfirmed; 0: no confirms
  uint64_t in_flight = 0;       // messages published and not yet delivered to everybody, at most; 0: no bound
  double rate = 0;              // messages a second, all producers together; 0: flat out
  uint64_t at_rest = 0;         // so many are published while nobody consumes, then all are taken; 0: both at once

  base::Duration warm_up = 500ms;
  base::Duration window = 5s;           // what is measured
  base::Duration drain_patience = 2s;   // without a delivery, after the end: what is missing then is lost
  base::Duration setup_patience = 10s;  // without an answer, before the beginning

  bool leaves_topology = false;  // what was declared is not deleted at the end: the broker ends with the run

  std::string prefix = "talaria-load";  // of the names of queues and exchange
  std::string user = "guest";
  std::string password = "guest";
  std::string vhost = "/";

  bool paced() const { return rate > 0; }
  bool to_all() const { return exchange == ExchangeKind::fanout; }
  uint32_t deliveries_per_message() const { return to_all() ? queues : 1; }
  uint32_t binding_count() const { return bindings != 0 ? bindings : queues; }
  bool shared_queues() const { return consumers > queues; }
  // What one producer sends to one place; see stamp.h. Producers that have one place each have one stream each.
  bool one_route_each() const { return !to_all() && producers >= binding_count(); }
  bool one_stream_each() const { return to_all() || one_route_each(); }
  uint64_t streams() const { return one_stream_each() ? producers : uint64_t{producers} * queues; }
  uint32_t stream_of(uint32_t producer, uint32_t queue) const {
    return one_stream_each() ? producer : producer * queues + queue;
  }
  uint32_t producer_of(uint32_t stream) const { return one_stream_each() ? stream : stream / queues; }
  double mean_body_bytes() const;
  // Connections that declare and delete.
  uint32_t stewards() const { return std::min(32u, 1 + (queues + bindings) / 256); }
  size_t connections() const { return size_t{producers} + consumers + stewards(); }

  std::string queue_name(uint32_t queue) const;
  std::string exchange_name() const;  // empty: the default exchange
};

// Why the plan cannot be carried out, as a sentence.
std::optional<std::string> find_contradiction(const Plan& plan);

}  // namespace talaria::load
