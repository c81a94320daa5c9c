// Deliveries that are not acknowledged in time: x-consumer-timeout, of queues and of consumers (reference section 2.1).
// Their channel is closed, so that they go back.
//
// No delivery is stamped. A channel that takes from such a queue marks, with its connection's tick (heartbeat.h), how
// far its tags had come, and what is still unacknowledged of those before a mark is at least as old as that. So one is
// found late up to two ticks and a sixteenth of its time too late, and channels without such a queue do nothing.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "core/base/time.h"
#include "core/broker/address.h"

namespace talaria::broker {
struct QueueRecord;
}

namespace talaria::amqp091::session {

struct Channel;
struct Unacked;
struct Connection;

class AckTimeouts {
 public:
  // Whatever the channel gets of the queue; of a consumer only what that gets.
  void watch(broker::QueueId queue, std::optional<uint32_t> consumer, uint64_t timeout_ms);
  // The time, in milliseconds, that somebody had and did not keep.
  std::optional<uint64_t> look(const Channel& channel);

 private:
  struct Mark {
    base::Time when;
    uint64_t last_tag = 0;
  };
  struct Watch {
    broker::QueueId queue;
    std::optional<uint32_t> consumer;
    uint64_t timeout_ms = 0;
    std::deque<Mark> marks = {};  // a sixteenth of the time apart, but for the first none is older than it
  };
  bool is_of(const Unacked& delivery, const Watch& watch) const;
  bool is_late(const Channel& channel, Watch& watch) const;
  static bool is_over(const Channel& channel, const Watch& watch);

  std::vector<Watch> watches_;
};

// Of a consumer that is there, or (no consumer) of a channel that gets: what its queue wants.
void watch_queue(Channel& channel, const broker::QueueRecord& queue);
void watch_consumer(Channel& channel, broker::QueueId queue, uint32_t consumer, uint64_t timeout_ms);
// With each tick of an open connection.
void look_for_late_acknowledgements(Connection& connection);

}  // namespace talaria::amqp091::session
