// What a queue was declared with, or a policy gives it, beyond its name: limits, lifetimes, and where its dead messages
// go. Typed and checked by the control plane, which makes one for a queue that asks for anything at all, and another
// one when that changes; immutable, shared by the workers' replicas and by dead messages on their way.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/broker/deduplication.h"

namespace talaria::broker {

// What happens when a message comes to a full queue.
enum class Overflow : uint8_t {
  drop_head,           // the oldest ready messages go
  reject_publish,      // it is refused, and its publisher told
  reject_publish_dlx,  // as well, and it is dead-lettered
};

// Dead messages are published to this exchange, if it is there.
struct DeadLettering {
  std::string exchange;
  std::optional<std::string> routing_key = {};  // instead of the message's own

  bool operator==(const DeadLettering&) const = default;
};

// Publishers wait from `stop` on until there are no more than `resume`.
struct FlowLimit {
  uint64_t stop = 0;
  uint64_t resume = 0;

  bool operator==(const FlowLimit&) const = default;
};

// A consumer that settles fewer messages a second than this, though there are enough for it, is slow (queue_slow.cc).
struct SlowConsumers {
  uint64_t threshold = 0;  // messages a second
  uint64_t check_period_ms = 0;
  bool cancels = false;  // it is cancelled; else it is only told of

  bool operator==(const SlowConsumers&) const = default;
};

struct QueueSettings {
  std::string queue = {};  // whose they are
  std::optional<uint64_t> message_ttl_ms =
      {};                                   // a message waits that long at most; 0: it is handed out at once or never
  std::optional<uint64_t> expires_ms = {};  // above 0: a queue that nobody used for that long is deleted
  std::optional<uint64_t> max_length = {};  // ready messages
  std::optional<uint64_t> max_length_bytes = {};  // of their bodies
  Overflow overflow = Overflow::drop_head;
  std::optional<DeadLettering> dead_lettering = {};  // not set: what dies is gone
  std::optional<uint8_t> max_priority = {};          // messages of higher priority go first
  bool single_active_consumer = false;               // only one gets messages, until it leaves
  std::optional<uint64_t> consumer_timeout_ms = {};  // what is not acknowledged by then closes its channel
  std::optional<uint32_t> delivery_limit = {};       // a message that comes back once more often dies

  std::optional<SlowConsumers> slow_consumers = {};
  std::optional<FlowLimit> flow = {};        // ready messages
  std::optional<FlowLimit> flow_bytes = {};  // of their bodies
  std::string group_key = {};                // a header: messages of one value go to one consumer at a time; "": any
  std::string last_value_key = {};           // a header: of each value only the last message stays; "": all do
  std::optional<Deduplication> deduplication = {};

  bool operator==(const QueueSettings&) const = default;
};

// Of what a message died in its queue.
enum class DeathReason : uint8_t { rejected, expired, over_limit, over_deliveries };

}  // namespace talaria::broker
