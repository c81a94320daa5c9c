// What was published to an exchange of the type x-delayed-message, for as long as its header `x-delay` says.
//
//   publish --x-delay > 0--> kept here, a timer each --time is over--> due, oldest first
//                                                                        |  there is room in the queues
//                                                                        v
//                                                    routed by the exchange's inner type, as of then: Engine::publish
//
// It is its publisher's worker that keeps it, in memory. It is confirmed when it is kept, and never returned. The
// header is passed on with its sign turned, as RabbitMQ's plugin does: a message that comes by again is not delayed
// again.
//
// One a worker, owned by Shared, made with the first message. Bounds: Config::delayed_messages, and a quarter of the
// message memory; what exceeds them is refused. A turn publishes Config::delayed_per_turn.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "core/base/field.h"
#include "core/base/time.h"
#include "core/base/timer_wheel.h"
#include "core/broker/address.h"
#include "core/broker/message_pool.h"

namespace talaria::amqp091::session {

struct Shared;

class DelayedMessages {
 public:
  DelayedMessages() = default;
  DelayedMessages(const DelayedMessages&) = delete;
  DelayedMessages& operator=(const DelayedMessages&) = delete;

  bool has_room_for(const Shared& shared, const broker::Message& message, const std::vector<std::string>& keys) const;
  // Takes over the reference. `keys`: more routing keys, those of CC and BCC.
  void keep(Shared& shared, broker::Message* message, broker::VhostId vhost, uint64_t delay_ms,
            const std::vector<std::string>& keys);
  // A turn's work.
  void work(Shared& shared);
  // When there is something to do; what is due and finds no room looks again soon.
  base::Time next_deadline(base::Time now) const;
  void abandon(broker::MessagePool& pool);

 private:
  struct Item {
    base::TimerNode timer;  // its owner: the place in items_
    broker::Message* message = nullptr;
    broker::VhostId vhost;
    std::vector<std::string> keys;
  };

  bool publish(Shared& shared, Item& item);

  std::deque<Item> items_;  // they do not move
  std::vector<uint32_t> vacant_;
  std::deque<uint32_t> due_;
  uint64_t octets_ = 0;
  base::TimerWheel timers_;
};

// Whether a message with that header waits, and how long: a number of milliseconds above 0, as an integer of any width,
// a floating one or a text; anything else is no delay. 0: it does not.
uint64_t delay_of(const base::Field& header);

}  // namespace talaria::amqp091::session
