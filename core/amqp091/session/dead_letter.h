// Dead letters (reference section 2.2): a message that died in a queue of this worker, rejected, expired or over a
// limit, becomes a new message that tells how, and is published to the exchange that its queue names.
//
//   waiting_   oldest first, each with a reference to the message that died
//      |  the exchange is there: properties written anew, body copied, as much as a turn may
//      v
//   made_      routed by what is bound now; queues it has died in before are left out, unless it was rejected there
//      |  there is room in its queues
//      v
//   Engine::publish, and the dead one is let go
//
// Properties stay but for `expiration`, and these headers: `x-death`, an array of one table for each queue and reason,
// newest first; `x-first-death-` and `x-last-death-` `reason`, `queue`, `exchange`. Such headers in a message that a
// client published mean nothing and are replaced.
//
// Memory: publishers stop being read when less is free than the pool's high mark, so what is above the reserve is left
// to what was accepted, and this is it. When there is none, the dead wait. Not confirmed to anybody: at most once.
//
// One a worker, owned by Shared. Bounds: Config::dead_letters_per_turn and dead_letter_bytes_per_turn. Off the fast
// way: tables are decoded, which allocates.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "core/amqp091/session/body_copy.h"
#include "core/base/bytes.h"
#include "core/base/field.h"
#include "core/broker/message_pool.h"
#include "core/broker/outbox.h"

namespace talaria::amqp091::session {

struct Shared;

class DeadLetters {
 public:
  DeadLetters() = default;
  DeadLetters(const DeadLetters&) = delete;
  DeadLetters& operator=(const DeadLetters&) = delete;

  // All of them, references and all.
  void take(std::vector<broker::DeadMessage>& dead);
  // A turn's work.
  void work(Shared& shared);
  // There is more to do, and nothing to wait for.
  bool has_work() const { return !waiting_.empty() && !blocked_; }
  void abandon(broker::MessagePool& pool);

 private:
  Copying one(Shared& shared, size_t& budget);
  bool begin(Shared& shared);
  Copying hand_over(Shared& shared);
  bool describe(const Shared& shared);
  bool died_without_rejection_in(std::string_view queue) const;

  std::deque<broker::DeadMessage> waiting_;
  bool blocked_ = false;
  // Of the first one.
  BodyCopy copy_;
  broker::Message* made_ = nullptr;  // complete, not yet published
  std::vector<uint8_t> properties_;
  base::FieldArray deaths_;
  std::string routing_key_;
  std::vector<std::string> copies_;  // and those of its CC
};

}  // namespace talaria::amqp091::session
