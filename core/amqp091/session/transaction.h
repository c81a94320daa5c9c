// tx.select, commit, rollback (reference section 5: #19): what a channel publishes and settles is kept until it says
// so, and then happens as a whole, on all queues, on whatever workers they live.
//
//              publish, ack, nack, reject: kept                              all in: the settlements, commit-ok
//   open ------------------------------------.                                     ^
//    ^  |--tx.commit, room--> reserving --every queue has a place--> committing ---'--> open
//    |  |                         '--one is full--> places given back, channel.close 406
//    |  '--tx.rollback--> rolling_back --> open
//    '-- the channel ends in any state but committing: as rolled back. Committing runs to its end.
//
// A message is routed when it is published. Only a queue that refuses what exceeds its limits can say no at the end;
// those are asked for places beforehand, wherever they live, and nothing is done before all have granted them. From
// then on nothing can fail: what remains to be done is done, a bounded number of steps a turn, also when the client has
// gone (docs/decisions/0010).
//
// Bounds (Config): messages with their copies, and settlements, of a transaction; octets of all transactions of a
// worker together, since nobody else can free them. Cold beside what is not transactional.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/amqp091/session/unacked.h"
#include "core/broker/address.h"
#include "core/broker/operations.h"
#include "core/broker/queue_record.h"

namespace talaria::amqp091::wire::tx {
struct Select;
struct Commit;
struct Rollback;
}  // namespace talaria::amqp091::wire::tx

namespace talaria::amqp091::session {

enum class Step : uint8_t;
struct Channel;
struct Connection;
struct Shared;

struct Transaction {
  enum class Phase : uint8_t { open, reserving, committing, rolling_back };

  // Of a message to an exchange that delays it, from the commit on.
  struct Delay {
    uint64_t milliseconds = 0;
    std::vector<std::string> keys;  // further ones
  };
  struct Kept {
    broker::Message* message = nullptr;
    uint32_t copies = 0;  // of `copies`, in order
    bool mandatory = false;
    std::unique_ptr<Delay> delay = {};
  };
  struct Settlement {
    Unacked delivery;
    broker::Outcome outcome = broker::Outcome::acknowledged;
  };
  // What all its messages together bring to a queue.
  struct Share {
    broker::QueueId queue;
    uint32_t messages = 0;
    uint64_t bytes = 0;    // of their bodies
    bool granted = false;  // the queue keeps places for them
  };

  Phase phase = Phase::open;
  std::vector<Kept> messages;
  std::vector<broker::QueueId> copies;         // where the messages go
  std::unordered_map<uint64_t, Share> shares;  // by queue
  std::vector<Settlement> settlements;
  uint64_t octets = 0;  // what the messages take of this worker's memory, or will

  // ---- reserving ----
  uint32_t answers_awaited = 0;
  broker::QueueId full;  // one that refused

  // ---- committing, rolling_back: how far it is ----
  size_t next_message = 0;
  size_t next_copy = 0;
  size_t next_settlement = 0;
  bool lost = false;  // a queue found no memory for a message it had accepted
};

Step on_select(Channel& channel, const wire::tx::Select& method);
Step on_commit(Channel& channel, const wire::tx::Commit& method);
Step on_rollback(Channel& channel, const wire::tx::Rollback& method);

// Takes over the message's reference. It goes to `queues` when the transaction is committed, if they are still there;
// without any it is returned then, or dropped.
void keep(Channel& channel, broker::Message* message, std::span<broker::QueueRecord* const> queues, bool mandatory);
void keep_delayed(Channel& channel, broker::Message* message, const Transaction::Delay& delay);
void keep(Channel& channel, const Unacked& delivery, broker::Outcome outcome);
// False: it keeps more settlements than it may, the channel has failed.
bool check_settlements(Channel& channel, uint32_t method);

void on_event(Shared& shared, const broker::Reserved& event);
// Queues have said Stored, of the messages they were given.
void on_transaction_stored(Channel& channel);
// A bounded piece of what has been decided. Goes on the list again while there is more.
void work_on_transaction(Channel& channel);
// The channel ends: nothing of what was kept happens, unless it was decided already.
void abandon_transaction(Channel& channel);
// A step of an ending channel; true when nothing of its transaction is left.
bool finish_transaction(Channel& channel, size_t& budget);

}  // namespace talaria::amqp091::session
