// A worker's message memory: builds messages out of bytes as they come in, and takes their memory back.
//
// One a worker, on the worker's arena, which it shares with the engine's queue entries. What is free is watched at
// three marks (of whole empty blocks, so fragmentation is on the safe side):
//
//   0 ........ reserve ........ high ........ low ............ capacity
//              |                |             '- Pressure::high ends when more than this is free
//              |                '- Pressure::high begins when less than this is free: publishers stop being read
//              '- no message is begun below this, Engine::room_for says no: what was accepted can be stored
//
// A body that needs more than one slot is promised its memory when it is begun, so two half-received bodies can never
// starve each other; a promise counts as used for all three marks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "core/base/arena.h"
#include "core/base/counters.h"
#include "core/broker/message.h"
#include "core/broker/outbox.h"

namespace talaria::broker {

// What is known when a content header has been read.
struct MessageHead {
  std::string_view exchange;     // at most 255 bytes, as on every wire Talaria speaks
  std::string_view routing_key;  // at most 255 bytes
  PropertiesFormat format = PropertiesFormat::none;
  base::Bytes properties;
  uint64_t body_size = 0;
  bool persistent = false;
  uint8_t priority = 0;
  base::Time received;
  uint64_t expiration_ms = Message::never_expires;
  bool dead_lettered = false;
};

// A message whose body is still coming in. Abandons what was not finished.
class MessageBuilder {
 public:
  MessageBuilder(MessageBuilder&& other) noexcept
      : pool_(other.pool_),
        message_(std::exchange(other.message_, nullptr)),
        last_(other.last_),
        at_(other.at_),
        room_(other.room_),
        missing_(other.missing_),
        promised_(std::exchange(other.promised_, 0)) {}
  MessageBuilder& operator=(MessageBuilder&& other) noexcept;
  ~MessageBuilder() { abandon(); }

  // Body bytes still to come.
  size_t missing() const { return missing_; }
  // Copies the next bytes of the body, at most `missing()` of them. False when there was no memory although it had been
  // promised (never seen; counted by the pool): the caller abandons and answers with an internal error.
  [[nodiscard]] bool append(base::Bytes bytes) {
    if (bytes.size() <= room_ && bytes.size() <= missing_) [[likely]] {
      copy(bytes);
      return true;
    }
    return append_over_parts(bytes);
  }
  // Nothing is missing any more: the message, with one reference, which is the caller's.
  Message* finish();
  void abandon();

 private:
  friend class MessagePool;
  MessageBuilder(MessagePool& pool, Message* message) : pool_(&pool), message_(message) {}
  void copy(base::Bytes bytes) {
    if (bytes.empty()) return;
    std::memcpy(at_, bytes.data(), bytes.size());
    at_ += bytes.size();
    room_ -= bytes.size();
    missing_ -= bytes.size();
  }
  bool append_over_parts(base::Bytes bytes);
  bool add_part(size_t payload_left);

  MessagePool* pool_;
  Message* message_;
  MessagePart* last_ = nullptr;
  uint8_t* at_ = nullptr;  // where the next byte of the payload goes
  size_t room_ = 0;        // left in the slot that `at_` points into
  size_t missing_ = 0;
  size_t promised_ = 0;  // bytes of the arena
};

// Written by the pool, read by anyone.
struct PoolCounters {
  base::Counter messages;         // of this home that exist, built ones and those being built; a gauge
  base::Counter refused_begins;   // times a message found no room: its publisher waits
  base::Counter broken_promises;  // promised memory that was not there, which is never seen

  // Calls `visit(name, value)` for each, in the order above.
  template <class Visitor>
  void for_each(Visitor&& visit) const;
};

template <class Visitor>
void PoolCounters::for_each(Visitor&& visit) const {
  static_assert(sizeof(PoolCounters) == 3 * sizeof(base::Counter), "a counter is missing below");
  visit("messages", messages.value());
  visit("refused_begins", refused_begins.value());
  visit("broken_promises", broken_promises.value());
}

enum class Pressure : uint8_t { ok, high };

class MessagePool {
 public:
  // In bytes of the arena; 0 takes a share of its capacity.
  struct Marks {
    size_t reserve = 0;  // an eighth; the engine raises it to what it must cover (Engine::reserve_bytes)
    size_t high = 0;     // an eighth above the reserve
    size_t low = 0;      // a quarter above the reserve
  };

  // Arena and outbox outlive the pool. `self`: the worker whose pool this is.
  MessagePool(base::Arena& arena, Outbox& outbox, WorkerIndex self, Marks marks);
  MessagePool(const MessagePool&) = delete;
  MessagePool& operator=(const MessagePool&) = delete;

  // nullopt below the reserve: the caller stops reading and tries again in a later turn. Bodies above `body_size_max()`
  // never fit: the caller refuses those beforehand with an error.
  std::optional<MessageBuilder> begin(const MessageHead& head);
  // A message that is here as a whole, with one reference, which is the caller's. nullptr: it takes more than one slot,
  // or there is no room; `begin` knows.
  Message* make(const MessageHead& head, base::Bytes body);
  // The greatest body that an otherwise empty pool takes.
  size_t body_size_max() const;

  // Gives one reference up, on any worker's own pool. The last one frees the memory at home; elsewhere it goes into
  // outbox.releases[home].
  void release(Message* message) {
    if (message->drop_reference()) last_reference_gone(message);
  }
  // At home: a message whose last reference a peer gave up (from its outbox.releases).
  void take_back(Message* message);

  // Whether publishers should be read. Has a memory (hysteresis); cheap enough to ask at every publish.
  Pressure pressure();
  // Free memory above the reserve: what may still be accepted.
  size_t room() const {
    size_t free = arena_.free_bytes(), kept = marks_.reserve + promised_;
    return free > kept ? free - kept : 0;
  }

  // Keeps memory for what is to come, a queue that moves here. False: it would stop publishers, or there is none.
  bool promise(size_t bytes) {
    if (room() <= bytes + (marks_.low - marks_.reserve)) return false;
    promised_ += bytes;
    return true;
  }
  void unpromise(size_t bytes) { promised_ -= bytes; }

  // At start: the reserve becomes at least this, and the other marks keep above it. All must fit the arena.
  void raise_reserve(size_t bytes);

  base::Arena& arena() { return arena_; }
  const Marks& marks() const { return marks_; }
  WorkerIndex self() const { return self_; }

  const PoolCounters& counters() const { return counters_; }
  uint64_t messages() const { return counters_.messages.value(); }
  uint64_t refused_begins() const { return counters_.refused_begins.value(); }
  uint64_t broken_promises() const { return counters_.broken_promises.value(); }

 private:
  friend class MessageBuilder;
  Message* put_head(void* memory, const MessageHead& head, bool split) const;
  void last_reference_gone(Message* message);
  void free(Message* message);

  base::Arena& arena_;
  Outbox& outbox_;
  WorkerIndex self_;
  Marks marks_;
  Pressure pressure_ = Pressure::ok;
  size_t promised_ = 0;
  PoolCounters counters_;
};

}  // namespace talaria::broker
