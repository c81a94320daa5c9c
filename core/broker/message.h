// A message: immutable once it is published, readable from every worker, counted by references.
//
//   | Message 24 B | exchange | routing key | payload |
//   | Message 24 B | exchange | routing key | payload, the beginning | more |--> | Part | payload ... |--> ...
//
// The payload is the properties, as the front end encoded them (`format` says which one did), followed by the body.
// What does not fit into one slot continues in parts of at most Arena::allocation_max bytes, so that a body of
// 128 MiB needs no contiguous memory; only properties beyond 32 KiB are ever split. Few messages are split: only their
// first slot, which is then a greatest one, ends with a pointer to the next. The few that expire say when in eight
// bytes behind all that their first slot holds.
//
// References. While a message has never left its home worker it is counted with a plain load and store. Before a
// reference crosses to another worker, `mark_shared` is called; from then on the count is a locked instruction. Memory
// goes back to the pool it came from: only MessagePool::release gives a reference up.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/base/arena.h"
#include "core/base/bytes.h"
#include "core/base/check.h"
#include "core/base/time.h"
#include "core/broker/address.h"

namespace talaria::broker {

class MessageBuilder;
class MessagePool;
struct MessageHead;

// Who encoded the properties: a front end that meets another's message translates.
enum class PropertiesFormat : uint8_t { none = 0, amqp091 = 1 };

struct MessagePart {
  MessagePart* next = nullptr;
  uint32_t size = 0;  // bytes filled

  uint8_t* bytes() { return reinterpret_cast<uint8_t*>(this + 1); }
  const uint8_t* bytes() const { return reinterpret_cast<const uint8_t*>(this + 1); }
};

// Walks a stretch of a payload as contiguous spans. Valid while the caller holds a reference to the message.
class PayloadCursor {
 public:
  bool done() const { return left_ == 0; }
  size_t remaining() const { return left_; }
  // The next contiguous bytes, at most `most` of them; empty only when done (or most is 0).
  base::Bytes next(size_t most = SIZE_MAX) {
    if (here_.empty() && left_ != 0) enter(following_);
    base::Bytes out = here_.first(std::min({here_.size(), left_, most}));
    here_ = here_.subspan(out.size());
    left_ -= out.size();
    return out;
  }

 private:
  friend struct Message;
  PayloadCursor(base::Bytes here, const MessagePart* following, size_t left)
      : here_(here), following_(following), left_(left) {}
  void enter(const MessagePart* part) {
    CHECK(part);
    here_ = {part->bytes(), part->size};
    following_ = part->next;
  }
  void skip(size_t count) {
    while (count != 0) count -= next(count).size();
  }

  base::Bytes here_;
  const MessagePart* following_;
  size_t left_;
};

struct Message {
  std::string_view exchange() const { return {text(), exchange_size_}; }
  std::string_view routing_key() const { return {text() + exchange_size_, routing_key_size_}; }
  PropertiesFormat format() const { return format_; }
  size_t properties_size() const { return properties_size_; }
  size_t body_size() const { return body_size_; }
  base::Time received() const { return received_; }
  bool persistent() const { return persistent_; }
  uint8_t priority() const { return priority_; }
  WorkerIndex home() const { return home_; }
  bool shared() const { return shared_; }
  // The broker made it of one that died, and its properties tell how.
  bool dead_lettered() const { return dead_lettered_; }
  // Its publisher said how long it may wait in a queue, in milliseconds.
  bool expires() const { return expires_; }
  uint64_t expiration_ms() const {
    if (!expires_) return never_expires;
    uint64_t out;
    std::memcpy(&out, expiration_at(), sizeof out);
    return out;
  }
  static constexpr uint64_t never_expires = UINT64_MAX;
  uint32_t references() const { return references_.load(std::memory_order_relaxed); }

  PayloadCursor properties() const { return {first_piece(), following(), properties_size_}; }
  PayloadCursor body() const {
    if (!split_) [[likely]]
      return {whole_body(), nullptr, body_size_};
    PayloadCursor cursor{first_piece(), following(), size_t{properties_size_} + body_size_};
    cursor.skip(properties_size_);
    return cursor;
  }
  // The properties (respectively the body) in one piece; empty when they are in several (see properties(), body()).
  base::Bytes whole_properties() const {
    if (split_ && properties_size_ > first_piece().size()) [[unlikely]]
      return {};
    return {payload(), properties_size_};
  }
  base::Bytes whole_body() const {
    if (split_) [[unlikely]]
      return {};
    return {payload() + properties_size_, body_size_};
  }

  // The caller holds a reference already.
  void add_references(uint32_t count = 1) {
    if (shared_)
      references_.fetch_add(count, std::memory_order_relaxed);
    else
      references_.store(references_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }
  // Before a reference crosses to another worker. Only the home worker ever writes (a message elsewhere is shared).
  void mark_shared() {
    if (!shared_) shared_ = true;
  }

 private:
  friend class MessageBuilder;
  friend class MessagePool;

  Message(const MessageHead& head, WorkerIndex home, bool split);

  // Gives one reference up: true when it was the last.
  bool drop_reference() {
    if (shared_) return references_.fetch_sub(1, std::memory_order_acq_rel) == 1;
    uint32_t left = references_.load(std::memory_order_relaxed) - 1;
    references_.store(left, std::memory_order_relaxed);
    return left == 0;
  }
  const char* text() const { return reinterpret_cast<const char*>(this + 1); }
  const uint8_t* payload() const {
    return reinterpret_cast<const uint8_t*>(this + 1) + exchange_size_ + routing_key_size_;
  }
  // What of the payload is in this slot.
  base::Bytes first_piece() const {
    if (split_) [[unlikely]]
      return {payload(), reinterpret_cast<const uint8_t*>(link()) - (expires_ ? sizeof(uint64_t) : 0)};
    return {payload(), size_t{properties_size_} + body_size_};
  }
  const uint8_t* expiration_at() const {
    const base::Bytes here = first_piece();
    return here.data() + here.size();
  }
  // Of a message that is split.
  MessagePart** link() { return reinterpret_cast<MessagePart**>(reinterpret_cast<uint8_t*>(this) + link_at); }
  MessagePart* const* link() const { return const_cast<Message*>(this)->link(); }
  MessagePart* following() const { return split_ ? *link() : nullptr; }

  static constexpr size_t properties_max = (size_t{1} << 24) - 1;
  static constexpr size_t link_at = base::Arena::allocation_max - sizeof(MessagePart*);
  static_assert(link_at % alignof(MessagePart*) == 0);

  std::atomic<uint32_t> references_{1};
  uint32_t body_size_;
  base::Time received_;
  uint32_t properties_size_ : 24;
  uint32_t exchange_size_ : 8;
  uint8_t routing_key_size_;
  uint8_t home_;
  uint8_t priority_;
  PropertiesFormat format_ : 2;
  bool persistent_ : 1;
  bool split_ : 1;
  bool shared_ : 1 = false;
  bool expires_ : 1;
  bool dead_lettered_ : 1;
};
static_assert(workers_max <= UINT8_MAX);
static_assert(sizeof(Message) == 24);

}  // namespace talaria::broker
