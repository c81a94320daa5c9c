#include "load/consumer.h"

#include <algorithm>

#include "core/amqp091/wire/deliver.h"

namespace talaria::load {

namespace wire = amqp091::wire;

namespace {

// A consumer tag is the queue's number, eight digits to the base of 16, 'a' the least.
constexpr size_t tag_size = 8;

std::string tag_of(uint32_t queue) {
  std::string tag(tag_size, 'a');
  for (size_t i = 0; i < tag_size; i++) tag[tag_size - 1 - i] = static_cast<char>('a' + (queue >> (4 * i) & 15));
  return tag;
}
uint32_t queue_of(const uint8_t* tag) {
  uint32_t queue = 0;
  for (size_t i = 0; i < tag_size; i++) queue = queue << 4 | static_cast<uint32_t>((tag[i] - 'a') & 15);
  return queue;
}

}  // namespace

Consumer::Consumer(Connection& connection, const Plan& plan, uint32_t index, Arrivals& arrivals)
    : connection_(connection),
      plan_(plan),
      arrivals_(arrivals),
      index_(index),
      queues_(plan.consumers >= plan.queues ? 1 : (plan.queues - index + plan.consumers - 1) / plan.consumers),
      queue_(index % plan.queues),
      order_(plan.shared_queues() ? plan.producers : 0) {}

void Consumer::subscribe() {
  if (plan_.prefetch != 0) connection_.send(the_channel, wire::basic::Qos{.prefetch_count = plan_.prefetch});
  for (uint32_t n = 0; n < queues_; n++) {
    const uint32_t number = (index_ + n * plan_.consumers) % plan_.queues;
    const std::string queue = plan_.queue_name(number);
    const std::string tag = tag_of(number);
    wire::basic::Consume consume;
    consume.queue = queue;
    consume.consumer_tag = tag;
    consume.no_ack = plan_.acks == Acks::none;
    connection_.send(the_channel, consume);
  }
}

uint64_t Consumer::reordered() const {
  uint64_t sum = 0;
  for (const OrderCheck& check : order_) sum += check.reordered();
  return sum;
}

// ---- in -------------------------------------------------------------------------------------------------------------

struct Consumer::Incoming {
  Consumer& consumer;
  base::Time now;
  const Window& window;

  void on_method(base::Bytes payload) {
    switch (wire::load_method_id(payload)) {
      case wire::basic::Deliver::id: {
        // | class, method u32 | tag s | delivery-tag u64 | redelivered u8 | ...
        const size_t tag_at = payload.size() < 5 ? payload.size() : 5u + payload[4];
        if (payload.size() < tag_at + 9) return consumer.connection_.fail("a delivery cannot be read");
        consumer.last_tag_ = base::load_be64(payload.data() + tag_at);
        consumer.redelivered_ += payload[tag_at + 8];
        if (consumer.queues_ > 1) {
          if (payload[4] != tag_size) return consumer.connection_.fail("a delivery for nobody here");
          consumer.queue_ = queue_of(payload.data() + 5);
        }
        consumer.stamped_ = false;
        return;
      }
      case wire::basic::ConsumeOk::id: consumer.subscribed_++; return;
      case wire::basic::Cancel::id: consumer.cancelled_ = true; return;
      default: return;
    }
  }
  void on_header(uint64_t body_size) {
    consumer.body_left_ = body_size;
    if (body_size != 0) return;
    consumer.complete_tag_ = consumer.last_tag_;
    consumer.arrivals_.on_stranger();
  }
  void on_body(base::Bytes first) {
    if (consumer.stamped_ || first.size() < stamp_bytes) return;
    consumer.stamp_ = load_stamp(first.data());
    consumer.stamped_ = true;
  }
  void on_body_end(uint32_t bytes) {
    consumer.body_left_ -= std::min<uint64_t>(bytes, consumer.body_left_);
    if (consumer.body_left_ != 0) return;
    consumer.complete_tag_ = consumer.last_tag_;
    if (!consumer.stamped_) return consumer.arrivals_.on_stranger();
    consumer.arrivals_.on(consumer.queue_, consumer.stamp_, now, window);
    if (!consumer.order_.empty()) {
      const uint32_t producer = consumer.plan_.producer_of(consumer.stamp_.stream);
      if (producer < consumer.order_.size()) consumer.order_[producer].on(consumer.stamp_.sequence);
    }
  }
};

void Consumer::read(base::Time now, const Window& window) {
  Incoming incoming{*this, now, window};
  connection_.read(incoming);
}

// ---- out ------------------------------------------------------------------------------------------------------------

void Consumer::acknowledge() {
  const uint64_t tag = complete_tag_;
  if (tag <= acknowledged_ || plan_.acks == Acks::none || !connection_.is_open()) return;
  std::array<uint8_t, wire::ack_frame_size> frame;
  for (uint64_t next = plan_.acks == Acks::multiple ? tag : acknowledged_ + 1; next <= tag; next++) {
    wire::emit_ack(frame, the_channel, next, plan_.acks == Acks::multiple);
    connection_.write(frame);
  }
  acknowledged_ = tag;
}

}  // namespace talaria::load
