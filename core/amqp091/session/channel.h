// A channel: one conversation of a connection, with what is being published on it, what awaits its confirm, what was
// delivered and is not settled, and its consumers.
//
// A channel that ends, by either side or with its connection, moves to Connection::ending and is taken apart there in
// bounded steps: its consumers are unsubscribed, its unsettled deliveries go back to their queues, auto-delete queues
// it leaves unused are deleted; then close-ok goes out, if the client asked. Its number may name a new channel
// meanwhile: `incarnation` tells them apart.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/amqp091/session/ack_timeouts.h"
#include "core/amqp091/session/confirms.h"
#include "core/amqp091/session/publishing.h"
#include "core/amqp091/session/transaction.h"
#include "core/amqp091/session/unacked.h"
#include "core/amqp091/wire/deliver.h"
#include "core/broker/address.h"
#include "core/broker/operations.h"
#include "core/broker/requests.h"

namespace talaria::broker {
class Exchange;
}

namespace talaria::amqp091::session {

struct Connection;
struct Channel;

// A subscription of a channel to a queue.
//
//   subscribing --Subscribed--> subscribed --basic.cancel--> cancelling --Unsubscribed--> gone
//        '--refused--> gone          '--Cancelled (the queue is gone)--> gone
struct Consumer {
  enum class State : uint8_t { subscribing, subscribed, cancelling };

  Consumer(Channel& channel_, uint32_t number_, std::string_view tag);

  Channel& channel;
  const uint32_t number;  // as in broker::ConsumerAddress
  State state = State::subscribing;
  bool no_ack = false;
  bool exclusive = false;
  bool paused = false;   // the queue was told so
  bool revoked = false;  // its user may not read the queue any more: it is to be cancelled
  bool passed_listed = false;
  uint32_t passed = 0;    // deliveries taken since the queue was last told
  uint16_t prefetch = 0;  // its own; 0: none
  uint32_t credit = 0;    // what the queue was told: the lesser of its own and the channel's
  int32_t priority = 0;
  broker::QueueId queue;
  wire::DeliverTemplate frames;
  std::string queue_name;

  std::string_view tag() const { return frames.consumer_tag(); }
  // The tag, for a delivery that may be written when the consumer is gone.
  const std::shared_ptr<const std::string>& kept_tag() {
    if (!kept_tag_) kept_tag_ = std::make_shared<const std::string>(tag());
    return kept_tag_;
  }
  broker::ConsumerAddress address() const;

 private:
  std::shared_ptr<const std::string> kept_tag_;
};

// The exchanges a channel published to last, and that its user may: one comparison for the one used last.
struct KnownExchange {
  uint64_t epoch = 0;  // of the engine's topology, which rises with permissions too; 0: never valid
  broker::Exchange* exchange = nullptr;
  bool keys_decide = false;  // being allowed to publish there says nothing of another routing key
};

struct Channel {
  Channel(Connection& connection_, uint16_t number_, uint32_t incarnation_);

  Connection& connection;
  const uint16_t number;
  const uint32_t incarnation;
  const std::shared_ptr<broker::ChannelCounters> counters = std::make_shared<broker::ChannelCounters>();

  // ---- publishing ----
  Publishing publishing;
  std::array<KnownExchange, 4> known_exchanges;
  uint8_t last_known = 0;  // index of the one used last
  uint8_t next_known = 0;  // index of the one to replace next
  Confirms confirms;       // of a transactional channel: what is being committed, which the client is not told
  bool confirming_listed = false;
  bool transacting_listed = false;
  std::unique_ptr<Transaction> transaction;  // once the client has selected it

  // ---- consuming ----
  UnackedRing unacked;
  uint64_t last_tag = 0;
  uint32_t counted = 0;         // unsettled deliveries to consumers: what the channel-wide prefetch counts
  uint32_t prefetch_limit = 0;  // channel-wide (basic.qos global=1); 0: none
  uint16_t prefetch = 0;        // of each later consumer; 0: none
  // Deliveries beyond the channel-wide prefetch, in the order they came: each goes out when another is settled. (Sent
  // back to their queues they would be overtaken by younger ones.) At most the credit of the channel's consumers.
  std::deque<broker::Deliver> parked;
  bool parked_listed = false;
  std::vector<std::unique_ptr<Consumer>> consumers;  // by the low 16 bits of their number
  std::vector<uint16_t> consumer_generations;        // the high 16 bits
  std::vector<uint16_t> vacant_consumers;
  std::map<std::string_view, Consumer*, std::less<>> by_tag;
  // That of direct replies, and the address it has (reply_to.h).
  struct ReplyConsumer {
    uint32_t number;
    std::string address;
  };
  std::optional<ReplyConsumer> reply_consumer;
  std::unique_ptr<AckTimeouts> ack_timeouts;  // once there is need for them

  // ---- declaring ----
  std::string last_queue;  // "the last declared queue" of an empty name

  // ---- ending ----
  bool ending = false;
  bool owes_close_ok = false;     // the client asked for it
  uint32_t unsubscribe_next = 0;  // consumers below were told to go
  uint32_t awaited = 0;           // answers: Unsubscribed, or the deletion of an unused queue

  broker::ChannelAddress address() const;
  Consumer* consumer(uint32_t number_) const {
    size_t slot = number_ & 0xFFFF;
    if (slot >= consumers.size()) return nullptr;
    Consumer* found = consumers[slot].get();
    return found != nullptr && found->number == number_ ? found : nullptr;
  }
  Consumer* find_consumer(std::string_view tag) const {
    auto found = by_tag.find(tag);
    return found == by_tag.end() ? nullptr : found->second;
  }
  Consumer& add_consumer(std::string_view tag);
  void remove_consumer(Consumer& consumer);
};

}  // namespace talaria::amqp091::session
