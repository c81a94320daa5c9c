// One consumer: a connection that takes from a queue, or from several on one channel, hands every message to Arrivals,
// and acknowledges as planned. Of several queues the consumer tag says which one a message came from.
#pragma once

#include <cstdint>
#include <vector>

#include "load/arrivals.h"
#include "load/connection.h"

namespace talaria::load {

class Consumer {
 public:
  // Everything outlives the consumer.
  Consumer(Connection& connection, const Plan& plan, uint32_t index, Arrivals& arrivals);

  Connection& connection() { return connection_; }

  // basic.qos and basic.consume of each queue; `subscribed` when the broker has answered all.
  void subscribe();
  bool subscribed() const { return subscribed_ == queues_; }

  void read(base::Time now, const Window& window);
  // What came and was not acknowledged, as the plan says. Once a turn.
  void acknowledge();

  // Out of order here, though perhaps not at the queue.
  uint64_t reordered() const;
  uint64_t redelivered() const { return redelivered_; }
  bool cancelled() const { return cancelled_; }

 private:
  struct Incoming;

  Connection& connection_;
  const Plan& plan_;
  Arrivals& arrivals_;
  uint32_t index_;
  uint32_t queues_;          // how many it takes from
  uint32_t subscribed_ = 0;  // how many of them the broker has answered
  bool cancelled_ = false;
  uint64_t redelivered_ = 0;
  uint64_t last_tag_ = 0;
  uint64_t complete_tag_ = 0;  // of the last message that has come whole
  uint64_t acknowledged_ = 0;  // the last tag that was

  // The message that is coming in.
  uint32_t queue_;
  uint64_t body_left_ = 0;
  bool stamped_ = false;
  Stamp stamp_;
  std::vector<OrderCheck> order_;  // of a shared queue: by producer
};

}  // namespace talaria::load
