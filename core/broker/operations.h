// What a session asks of a queue, and what a queue tells a session: the two closed sets of values that cross between
// workers when they are not on the same one. Trivially copyable, at most 64 bytes: one cache line in a mailbox.
//
// Operations go to the queue's home, events to the session's worker. A few are between engines, while a queue moves
// from one home to another. On one worker the same calls are made directly and
// only what must be told later becomes an event in the outbox. Operations of one session on one queue keep their order,
// events of one queue to one session keep theirs.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "core/base/time.h"
#include "core/broker/address.h"

namespace talaria::broker {

struct Message;

// What becomes of an unacknowledged message.
enum class Outcome : uint8_t {
  acknowledged,
  requeued,  // back to its position, redelivered
  rejected,  // dropped (dead-lettered, once that exists)
};

// ---- operations: session -> queue
// ------------------------------------------------------------------------------------

// Whether a full queue may refuse a message (Overflow::reject_publish).
enum class Admission : uint8_t {
  asked,
  accepted,  // it was decided that it goes in: part of a transaction
  promised,  // likewise, and the queue has kept a place for it (Reservation)
};
// Takes over one reference to the message. Answered with Stored when `sequence` is not 0.
struct Publish {
  QueueId queue;
  Message* message = nullptr;
  ChannelAddress publisher;
  uint64_t sequence = 0;
  Admission admission = Admission::asked;
};
struct Subscribe {
  QueueId queue;
  ConsumerAddress consumer;  // not subscribed to that queue before
  uint32_t credit = 0;       // unacknowledged messages allowed at a time; 0: no limit
  int32_t priority = 0;
  bool no_ack = false;
  bool exclusive = false;
};
// Messages already delivered stay unacknowledged: the channel settles each. Answered with Unsubscribed.
struct Unsubscribe {
  QueueId queue;
  ConsumerAddress consumer;
};
// The credit of a subscription changes; what it holds already counts.
struct Credit {
  QueueId queue;
  ConsumerAddress consumer;
  uint32_t credit = 0;  // as in Subscribe
};
// The transport's back-pressure: a paused consumer gets nothing until it is resumed.
struct Pause {
  QueueId queue;
  ConsumerAddress consumer;
  bool paused = true;
};
// The consumer's session has passed on `count` deliveries (see Engine: the hand-over window of consumers elsewhere).
struct Passed {
  QueueId queue;
  ConsumerAddress consumer;
  uint32_t count = 0;
};
struct Settle {
  QueueId queue;
  EntryId entry;
  Outcome outcome = Outcome::acknowledged;
};
struct Get {
  QueueId queue;
  ChannelAddress channel;
  bool no_ack = false;
};
struct Count {
  QueueId queue;
  ChannelAddress channel;
};
struct Purge {
  QueueId queue;
  ChannelAddress channel;
};
// Places within the limits of a queue that refuses what exceeds them, for messages that will come with
// Admission::promised. Answered with Reserved; or (`given_back`) they will not come, which is not answered.
struct Reservation {
  QueueId queue;
  ChannelAddress channel;
  uint32_t messages = 0;
  bool given_back = false;
  uint64_t bytes = 0;  // of their bodies
};
// To an exchange that remembers, at its home: to be decided about, routed and published there. Takes over one
// reference. Answered with Entrusted.
struct Entrust {
  ExchangeId exchange;
  Message* message = nullptr;
  ChannelAddress publisher;
  uint64_t sequence = 0;
  const std::vector<std::string>* keys = nullptr;  // more routing keys; passes to whoever takes the message
};
// One alternative for what is rare, which keeps the operations of every day few enough for a switch.
struct RareOperation {
  std::variant<Purge, Reservation, Entrust> what;
};

// ---- engine -> engine: a queue moves (move.h draws it)
// -----------------------------------------------------------------

// To the old home, behind the last operation of this worker on the queue. The new home says how many entries it has
// kept room for; 0: none.
struct LastOperation {
  uint32_t entries_promised = 0;
};
// From the old home to the new one, in this order: the queue, its subscriptions, its entries, and that it was all.
struct QueueHandOver {
  uint64_t next_position = 0;
  uint32_t unacknowledged = 0;
  uint32_t reserved_messages = 0;
  uint64_t reserved_bytes = 0;
};
struct SubscriptionHandOver {
  ConsumerAddress consumer;
  uint32_t credit = 0;
  uint32_t in_transit = 0;
  int32_t priority = 0;
  bool no_ack = false;
  bool paused = false;
  bool exclusive = false;
  bool waiting = false;  // another one is the single active consumer
  uint32_t joined = 0;   // their order
};
// Carries one reference to the message.
struct EntryHandOver {
  Message* message = nullptr;
  uint64_t position : 52 = 0;
  uint64_t deliveries : 8 = 0;
  uint64_t redelivered : 1 = 0;
  uint64_t state : 2 = 0;  // EntryState
  EntryId id;              // unacknowledged: as its session names it
  uint32_t holder = 0;     // unacknowledged: place of its subscription in the order of hand-over, from 1; 0: none
  base::Time deadline = base::never;
};
struct HandOverEnd {
  bool whole = true;  // false: the queue was removed meanwhile
};
// To the new home: the old one's last event of the queue has been taken up here.
struct LastEventSeen {};
// From the new home to everybody: operations on the queue go there now.
struct QueueArrived {};

// One alternative for all of them, which keeps the operations of every day few enough for a switch.
struct MoveStep {
  uint32_t move = 0;  // which one: all engines know of what queue
  std::variant<LastOperation, QueueHandOver, SubscriptionHandOver, EntryHandOver, HandOverEnd, LastEventSeen,
               QueueArrived>
      step;
};

using Operation =
    std::variant<Publish, Subscribe, Unsubscribe, Credit, Pause, Passed, Settle, Get, Count, RareOperation, MoveStep>;

// ---- events: queue -> session
// ----------------------------------------------------------------------------------------

// Carries one reference to the message. `entry` is void for a no_ack consumer.
struct Deliver {
  ConsumerAddress consumer;
  QueueId queue;
  EntryId entry;
  Message* message = nullptr;
  bool redelivered = false;
  bool remote = false;  // its queue waits for Passed
  uint8_t returns = 0;  // in a queue that limits them: how often it came back
};
// The message is as safe as the queue promises. `refused`: the queue did not take it (the publisher gets a nack).
struct Stored {
  ChannelAddress publisher;
  uint64_t sequence = 0;
  bool refused = false;
};
enum class SubscribeResult : uint8_t { subscribed, no_such_queue, exclusive_conflict };
struct Subscribed {
  ConsumerAddress consumer;
  QueueId queue;
  SubscribeResult result = SubscribeResult::subscribed;
};
struct Unsubscribed {
  ConsumerAddress consumer;
  QueueId queue;
  bool unused_auto_delete =
      false;  // it was the last consumer of an auto-delete queue: the session asks for its removal
};
// The queue is gone, and the subscription with it.
struct Cancelled {
  ConsumerAddress consumer;
  QueueId queue;
};
// The consumer keeps up less than its queue demands (SlowConsumers). `cancelled`: its subscription is gone, too.
struct ConsumerSlow {
  ConsumerAddress consumer;
  QueueId queue;
  bool cancelled = false;
};
// Carries one reference when there is a message; `message` is nullptr when the queue is empty (or gone).
struct Got {
  ChannelAddress channel;
  QueueId queue;
  EntryId entry;
  Message* message = nullptr;
  uint32_t remaining = 0;  // ready messages behind this one
  bool redelivered = false;
  uint8_t returns = 0;  // as of Deliver
};
struct Counted {
  ChannelAddress channel;
  QueueId queue;
  uint32_t ready = 0;
  uint32_t consumers = 0;
};
struct Purged {
  ChannelAddress channel;
  QueueId queue;
  uint32_t count = 0;
};

// `granted`: places for so many messages are kept. Otherwise the queue is full.
struct Reserved {
  ChannelAddress channel;
  QueueId queue;
  uint32_t messages = 0;
  bool granted = false;
  uint64_t bytes = 0;
};

// What became of a message that was entrusted to an exchange.
struct Entrusted {
  enum class Outcome : uint8_t {
    stored,   // in all queues, or they are gone
    refused,  // by one of them
    unroutable,
  };
  ChannelAddress publisher;
  uint64_t sequence = 0;
  Outcome outcome = Outcome::stored;
};
// Between sessions, about a consumer that no queue knows: is it there?
struct Probe {
  enum class Step : uint8_t { question, there, gone };
  ConsumerAddress consumer;
  ChannelAddress asker;
  Step step = Step::question;
};

// A direct reply that comes back if nobody takes it, to another worker's session. Carries one reference. Answered with
// ReplyTaken.
struct MandatoryReply {
  ConsumerAddress consumer;
  ChannelAddress publisher;
  Message* message = nullptr;
  uint64_t sequence = 0;
};
struct ReplyTaken {
  ChannelAddress publisher;
  Message* message = nullptr;  // nobody was there: with the reference
  uint64_t sequence = 0;
};

// What became of a queue's move.
enum class MoveOutcome : uint8_t {
  moved,
  too_long,   // more entries or subscriptions than one move carries
  no_memory,  // the new home had no room to spare
  gone,       // the queue was removed before it could leave
};
// To the worker's engine, not to a session: behind it comes no event of the queue from its old home, or, if it did not
// move, the queue is there again.
struct QueueLeft {
  QueueId queue;
  uint32_t move = 0;
  MoveOutcome outcome = MoveOutcome::moved;
};

using Event = std::variant<Deliver, Stored, Subscribed, Unsubscribed, Cancelled, ConsumerSlow, Got, Counted, Purged,
                           Reserved, Entrusted, Probe, MandatoryReply, ReplyTaken, QueueLeft>;

static_assert(std::is_trivially_copyable_v<Operation> && sizeof(Operation) <= 64);
static_assert(std::is_trivially_copyable_v<Event> && sizeof(Event) <= 64);

}  // namespace talaria::broker
