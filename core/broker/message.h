// A message: immutable once it is published, readable from every worker, counted by references.
//
//   | Message 40 B | exchange | routing key | payload, the beginning |--> | Part | payload ... |--> ...
//
// The payload is the properties, as the front end encoded them (`format` says which one did), followed by the body.
// What does not fit into the first slot continues in parts of at most Arena::allocation_max bytes, so that a body of
// 128 MiB needs no contiguous memory; only properties beyond 32 KiB are ever split.
//
// References. While a message has never left its home worker it is counted with a plain load and store. Before a
// reference crosses to another worker, `mark_shared` is called; from then on the count is a locked instruction. Memory
// goes back to the pool it came from: only MessagePool::release gives a reference up.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "core/base/bytes.h"
#include "core/base/check.h"
#include "core/base/time.h"
#include "core/broker/address.h"

namespace talaria::broker {

class MessageBuilder;
class MessagePool;

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
  uint32_t references() const { return references_.load(std::memory_order_relaxed); }

  PayloadCursor properties() const { return {{payload(), first_size_}, more_, properties_size_}; }
  PayloadCursor body() const {
    // Almost always the properties end in the first slot.
    if (properties_size_ <= first_size_) [[likely]]
      return {{payload() + properties_size_, first_size_ - properties_size_}, more_, body_size_};
    PayloadCursor cursor{{payload(), first_size_}, more_, size_t{properties_size_} + body_size_};
    cursor.skip(properties_size_);
    return cursor;
  }
  // The properties (respectively the body) in one piece; empty when they are in several (see properties(), body()).
  base::Bytes whole_properties() const {
    return properties_size_ <= first_size_ ? base::Bytes{payload(), properties_size_} : base::Bytes{};
  }
  base::Bytes whole_body() const {
    return size_t{properties_size_} + body_size_ == first_size_ ? base::Bytes{payload() + properties_size_, body_size_}
                                                                : base::Bytes{};
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
  uint8_t* payload() { return reinterpret_cast<uint8_t*>(this + 1) + exchange_size_ + routing_key_size_; }

  std::atomic<uint32_t> references_{1};
  WorkerIndex home_ = 0;
  bool shared_ = false;
  bool persistent_ = false;
  base::Time received_;
  uint32_t body_size_ = 0;
  uint32_t properties_size_ = 0;
  uint32_t first_size_ = 0;  // payload bytes in the first slot
  uint8_t exchange_size_ = 0;
  uint8_t routing_key_size_ = 0;
  PropertiesFormat format_ = PropertiesFormat::none;
  uint8_t priority_ = 0;
  MessagePart* more_ = nullptr;
};
static_assert(sizeof(Message) == 40);

}  // namespace talaria::broker
