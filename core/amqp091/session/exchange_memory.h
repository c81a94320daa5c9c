// Exchanges that remember: x-recent-history keeps its last messages for whoever is bound next, and one with
// x-message-deduplication the values that came lately. What they remember is at one worker, the exchange's home, where
// each message is decided about, routed and given to its queues in one step (docs/decisions/0012).
//
//   publisher's session --here--> pass_through: routed, remembered, stored as any other
//          |
//          '--elsewhere--> Entrust --> home: waits for room in its queues, in order; remembered, routed, published
//                 ^                                                                                        |
//     more for that exchange may          Entrusted, when every queue has answered <----------------------'
//     follow, all else waits
//
// The first one leaves when what the connection published before, past that exchange, has been taken by the workers it
// went to: so it stands before it in every queue, whatever mailboxes lead there.
//
// A queue that is bound to an exchange with a history gets that first, in the same step in which the home learns of it.
// What comes from elsewhere than a client's publish (dead letters, an alternate exchange, ...) passes as if the
// exchange remembered nothing.
//
// One a worker, owned by Shared, made when there is need for it. Bounds: messages of all histories of a worker take
// ExchangeMemories::octets_max of message memory; what waits, Config::entrusted_under_way messages for each connection
// of other workers; a turn works on Config::entrusted_per_turn.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/broker/address.h"
#include "core/broker/exchange_settings.h"
#include "core/broker/keyed_messages.h"
#include "core/broker/message_pool.h"
#include "core/broker/operations.h"
#include "core/broker/outbox.h"

namespace talaria::broker {
class Engine;
class Exchange;
struct QueueRecord;
struct Room;
}  // namespace talaria::broker

namespace talaria::amqp091::session {

struct Channel;
struct Shared;
struct Stall;

class ExchangeMemories {
 public:
  using Keys = std::shared_ptr<const std::vector<std::string>>;  // of CC and BCC; nullptr: none

  explicit ExchangeMemories(const Shared& shared);
  ExchangeMemories(const ExchangeMemories&) = delete;
  ExchangeMemories& operator=(const ExchangeMemories&) = delete;

  // Messages that others have published, in their order.
  void take(std::vector<broker::Entrust>& entrusted);
  // Whoever was bound gets what is remembered.
  void take(Shared& shared, std::vector<broker::Bound>& bound);
  // One of the queues has answered.
  void on_stored(Shared& shared, uint64_t number, bool refused);
  // A turn's work.
  void work(Shared& shared);
  bool has_work() const { return waiting_ != 0; }
  void abandon(broker::MessagePool& pool);

  // ---- for a publisher here ----

  // Others have come first.
  bool is_busy(const broker::Exchange& exchange) const;
  bool is_duplicate(const Shared& shared, const broker::Exchange& exchange, const broker::Message& message) const;
  // It is on its way.
  void remember(Shared& shared, const broker::Exchange& exchange, broker::Message* message, const Keys& keys);
  // To its queues, which have room. The publisher gets one answer for all of them; if one of them refuses it, its value
  // is one that has not been seen.
  void store(Shared& shared, const broker::Exchange& exchange, std::span<broker::QueueRecord* const> queues,
             broker::Message* message, const broker::ChannelAddress& publisher, uint64_t sequence);

 private:
  struct Remembered {
    broker::Message* message = nullptr;
    Keys keys;
  };
  // A message that was entrusted and is to be published.
  struct Publish {
    Remembered what;
    broker::ChannelAddress publisher;
    uint64_t sequence = 0;
  };
  // What was remembered when somebody was bound, to be brought there.
  struct Bring {
    broker::QueueId queue = {};  // only there
    broker::ExchangeId exchange = {};
    uint64_t next = 0, end = 0;  // numbers; what is forgotten by its turn is passed over
  };
  using Job = std::variant<Publish, Bring>;
  struct Memory {
    std::deque<Remembered> history;  // the oldest first
    uint64_t first = 0;              // its number
    std::optional<broker::SeenValues> seen;
    std::deque<Job> jobs;
  };
  struct UnderWay {
    broker::ChannelAddress publisher;
    uint64_t sequence = 0;
    size_t queues = 0;  // that have not answered
    bool refused = false;
    broker::ExchangeId exchange = {};
    std::optional<std::string> value = {};  // that the exchange has seen by it
  };
  enum class Progress : uint8_t { job_done, message_done, no_room };

  Memory& memory_of(const broker::Exchange& exchange);
  Progress do_first(Shared& shared, broker::ExchangeId id, Memory& memory);
  Progress publish(Shared& shared, const Publish& job, broker::Exchange* exchange);
  Progress bring(Shared& shared, Memory& memory, Bring& job, const broker::Exchange* exchange);
  static uint64_t octets_of(const Remembered& one);
  void forget_oldest(Shared& shared, Memory& memory);
  void sweep(Shared& shared);

  broker::SeenTotal seen_total_;  // outlives the memories
  const uint64_t octets_max_;
  uint64_t octets_ = 0;
  uint64_t swept_epoch_ = 0;
  size_t waiting_ = 0;  // jobs
  uint64_t last_number_ = 0;
  broker::ExchangeId worked_on_{};  // the last one: the next turn begins behind it
  std::map<broker::ExchangeId, Memory> memories_;
  std::unordered_map<uint64_t, UnderWay> under_way_;  // by number
};

// What a connection has entrusted to an exchange's home and not heard of. Numbered from 1, in the order it was
// published.
class EntrustedMessages {
 public:
  struct One {
    broker::Message* message = nullptr;  // a reference; only of what may have to be returned
    uint64_t confirm = 0;                // 0: nobody is told
    bool answered = false;
  };

  bool empty() const { return ones_.empty(); }
  size_t size() const { return ones_.size(); }
  broker::ExchangeId exchange() const { return exchange_; }
  broker::WorkerIndex home() const { return home_; }
  // Whether a message can go to that home and come behind all that the connection has published before; otherwise
  // other workers have to take that first. `published`: how many messages the connection has published.
  broker::Room room_behind_others(broker::Engine& engine, broker::WorkerIndex home, uint64_t published);
  // All that are under way are for one exchange.
  uint64_t add(const broker::Exchange& exchange, One one);
  // Nothing: there is none of that number, or it was answered.
  std::optional<One> take(uint64_t number);
  void abandon(broker::MessagePool& pool);

 private:
  std::deque<One> ones_;
  uint64_t first_ = 1;
  broker::ExchangeId exchange_;
  broker::WorkerIndex home_ = 0;
  uint64_t others_ = 0;           // messages of the connection that went elsewhere, when it was looked last
  std::vector<uint64_t> handed_;  // what other workers had been handed then (Engine::handed)
};
// Whether there is something under way that all others wait for; `wait_for_entrusted` says so.
inline bool has_entrusted(const std::unique_ptr<EntrustedMessages>& messages) { return messages && !messages->empty(); }
Stall wait_for_entrusted(const EntrustedMessages& messages);
// Whether that is who publishes what was entrusted, and no channel.
bool is_exchange_memory(const broker::ChannelAddress& address);
// Of a complete message to an exchange that remembers. False: it has to wait, and `why` says for what.
bool pass_through(Channel& channel, broker::Message* message, Stall& why);
void on_event(Shared& shared, const broker::Entrusted& event);

}  // namespace talaria::amqp091::session
