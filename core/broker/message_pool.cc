#include "core/broker/message_pool.h"

#include <cstring>
#include <new>

namespace talaria::broker {
namespace {

constexpr size_t part_payload_max = base::Arena::allocation_max - sizeof(MessagePart);
// What one greatest slot takes of a block.
constexpr size_t promise_per_part = base::Arena::block_bytes / base::Arena::slots_of_greatest;

// Memory for what is behind the first slot: greatest slots, and for the last part, whose size is its own, a whole block
// (its class may have none).
size_t promise_for(size_t payload_behind_first) {
  if (payload_behind_first == 0) return 0;
  return (payload_behind_first - 1) / part_payload_max * promise_per_part + base::Arena::block_bytes;
}

}  // namespace

inline Message::Message(const MessageHead& head, WorkerIndex home, bool split)
    : body_size_(static_cast<uint32_t>(head.body_size)),
      received_(head.received),
      properties_size_(static_cast<uint32_t>(head.properties.size()) & properties_max),
      exchange_size_(static_cast<uint8_t>(head.exchange.size())),
      routing_key_size_(static_cast<uint8_t>(head.routing_key.size())),
      home_(static_cast<uint8_t>(home)),
      priority_(head.priority),
      format_(head.format),
      persistent_(head.persistent),
      split_(split),
      expires_(head.expiration_ms != Message::never_expires),
      dead_lettered_(head.dead_lettered) {}

// What the slot holds behind names and payload.
static size_t appendix_of(const MessageHead& head) {
  return head.expiration_ms != Message::never_expires ? sizeof head.expiration_ms : 0;
}

// ---- the pool -------------------------------------------------------------------------------------------------------

MessagePool::MessagePool(base::Arena& arena, Outbox& outbox, WorkerIndex self, Marks marks)
    : arena_(arena), outbox_(outbox), self_(self), marks_(marks) {
  size_t capacity = arena.capacity();
  if (marks_.reserve == 0) marks_.reserve = capacity / 8;
  if (marks_.high == 0) marks_.high = marks_.reserve + capacity / 8;
  if (marks_.low == 0) marks_.low = marks_.reserve + capacity / 4;
  CHECK(marks_.reserve < marks_.high && marks_.high < marks_.low && marks_.low < capacity);
}

void MessagePool::raise_reserve(size_t bytes) {
  if (bytes <= marks_.reserve) return;
  const size_t more = bytes - marks_.reserve;
  marks_ = {marks_.reserve + more, marks_.high + more, marks_.low + more};
  CHECK(marks_.low < arena_.capacity());  // the worker's message memory is too small for its number of peers
}

size_t MessagePool::body_size_max() const {
  size_t usable = arena_.capacity() - marks_.low;
  return usable / promise_per_part * part_payload_max / 2;
}

inline Message* MessagePool::put_head(void* memory, const MessageHead& head, bool split) const {
  auto* message = new (memory) Message(head, self_, split);
  uint8_t* at = static_cast<uint8_t*>(memory) + sizeof(Message);
  at = base::copy_short(at, base::as_bytes(head.exchange).data(), head.exchange.size());
  base::copy_short(at, base::as_bytes(head.routing_key).data(), head.routing_key.size());
  if (message->expires_) [[unlikely]]
    std::memcpy(const_cast<uint8_t*>(message->expiration_at()), &head.expiration_ms, sizeof head.expiration_ms);
  return message;
}

std::optional<MessageBuilder> MessagePool::begin(const MessageHead& head) {
  CHECK(head.exchange.size() <= UINT8_MAX && head.routing_key.size() <= UINT8_MAX);
  CHECK(head.properties.size() <= Message::properties_max && head.body_size <= UINT32_MAX - head.properties.size());
  const size_t names = head.exchange.size() + head.routing_key.size();
  const size_t payload = head.properties.size() + static_cast<size_t>(head.body_size);
  const size_t fixed = sizeof(Message) + names;
  const size_t appendix = appendix_of(head);
  const bool split = fixed + payload + appendix > base::Arena::allocation_max;
  const size_t first = split ? Message::link_at - fixed - appendix : payload;
  const size_t promise = promise_for(payload - first);
  void* memory =
      room() > promise ? arena_.allocate(split ? base::Arena::allocation_max : fixed + payload + appendix) : nullptr;
  if (!memory) [[unlikely]] {
    counters_.refused_begins.add();
    return std::nullopt;
  }
  Message* message = put_head(memory, head, split);
  if (split) [[unlikely]]
    *message->link() = nullptr;
  counters_.messages.add();
  promised_ += promise;

  std::optional<MessageBuilder> builder{MessageBuilder(*this, message)};
  builder->at_ = static_cast<uint8_t*>(memory) + fixed;
  builder->room_ = first;
  builder->missing_ = payload;
  builder->promised_ = promise;
  if (!builder->append(head.properties)) [[unlikely]] {
    counters_.refused_begins.add();
    return std::nullopt;
  }
  return builder;
}

Message* MessagePool::make(const MessageHead& head, base::Bytes body) {
  const size_t names = head.exchange.size() + head.routing_key.size();
  const size_t payload = head.properties.size() + body.size();
  const size_t fixed = sizeof(Message) + names;
  const size_t appendix = appendix_of(head);
  if (payload + appendix > base::Arena::allocation_max - fixed || room() == 0) return nullptr;
  void* memory = arena_.allocate(fixed + payload + appendix);
  if (!memory) [[unlikely]]
    return nullptr;
  uint8_t* at = static_cast<uint8_t*>(memory) + fixed;
  at = base::copy_short(at, head.properties.data(), head.properties.size());
  std::memcpy(at, body.data(), body.size());
  counters_.messages.add();
  return put_head(memory, head, false);
}

void MessagePool::last_reference_gone(Message* message) {
  if (message->home_ == self_)
    free(message);
  else
    outbox_.releases[message->home_].push_back(message);
}

void MessagePool::take_back(Message* message) {
  CHECK(message->home_ == self_ && message->references() == 0);
  free(message);
}

void MessagePool::free(Message* message) {
  MessagePart* part = message->following();
  arena_.release(message);
  while (part) [[unlikely]] {
      MessagePart* next = part->next;
      arena_.release(part);
      part = next;
    }
  counters_.messages.subtract();
}

Pressure MessagePool::pressure() {
  size_t free = arena_.free_bytes();
  free = free > promised_ ? free - promised_ : 0;
  if (pressure_ == Pressure::ok && free < marks_.high)
    pressure_ = Pressure::high;
  else if (pressure_ == Pressure::high && free > marks_.low)
    pressure_ = Pressure::ok;
  return pressure_;
}

// ---- the builder ----------------------------------------------------------------------------------------------------

MessageBuilder& MessageBuilder::operator=(MessageBuilder&& other) noexcept {
  if (this == &other) return *this;
  abandon();
  pool_ = other.pool_;
  message_ = std::exchange(other.message_, nullptr);
  last_ = other.last_;
  at_ = other.at_;
  room_ = other.room_;
  missing_ = other.missing_;
  promised_ = std::exchange(other.promised_, 0);
  return *this;
}

bool MessageBuilder::append_over_parts(base::Bytes bytes) {
  CHECK(message_ && bytes.size() <= missing_);
  while (!bytes.empty()) {
    if (room_ == 0 && !add_part(missing_)) return false;
    base::Bytes some = bytes.first(std::min(bytes.size(), room_));
    copy(some);
    bytes = bytes.subspan(some.size());
  }
  return true;
}

bool MessageBuilder::add_part(size_t payload_left) {
  const size_t size = std::min(payload_left, part_payload_max);
  pool_->unpromise(promised_);
  promised_ = promise_for(payload_left - size);
  pool_->promised_ += promised_;
  void* memory = pool_->arena_.allocate(sizeof(MessagePart) + size);
  if (!memory) [[unlikely]] {
    pool_->counters_.broken_promises.add();
    return false;
  }
  auto* part = new (memory) MessagePart;
  part->size = static_cast<uint32_t>(size);
  (last_ ? last_->next : *message_->link()) = part;
  last_ = part;
  at_ = part->bytes();
  room_ = size;
  return true;
}

Message* MessageBuilder::finish() {
  CHECK(message_ && missing_ == 0 && promised_ == 0);
  return std::exchange(message_, nullptr);
}

void MessageBuilder::abandon() {
  if (!message_) return;
  pool_->unpromise(std::exchange(promised_, 0));
  message_->references_.store(0, std::memory_order_relaxed);
  pool_->free(std::exchange(message_, nullptr));
}

}  // namespace talaria::broker
