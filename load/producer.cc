#include "load/producer.h"

#include <algorithm>
#include <bit>

#include "core/base/check.h"

namespace talaria::load {

namespace wire = amqp091::wire;

Producer::Producer(Connection& connection, tcp::Stack& stack, const Plan& plan, const Publishes& publishes,
                   uint32_t index, std::vector<uint64_t>& sequences, base::FineHistogram& confirm_latency)
    : connection_(connection),
      stack_(stack),
      plan_(plan),
      publishes_(publishes),
      sequences_(sequences),
      confirm_latency_(confirm_latency),
      index_(index),
      route_(index % publishes.routes()),
      stride_(plan.producers < publishes.routes() ? plan.producers : 0),
      unconfirmed_(plan.confirm_window == 0 ? 0 : std::bit_ceil(plan.confirm_window)) {}

// ---- out ------------------------------------------------------------------------------------------------------------

uint64_t Producer::publish(base::Time now, uint64_t count) {
  return publish_with(count, [now](uint64_t) { return now; });
}

uint64_t Producer::publish(const Schedule& schedule, uint64_t count) {
  return publish_with(count, [&](uint64_t n) { return schedule.due(n * plan_.producers + index_); });
}

uint64_t Producer::confirm_room() const {
  return plan_.confirm_window == 0 ? UINT64_MAX : plan_.confirm_window - (published_ - settled_below_);
}

bool Producer::stuck() const {
  return !connection_.is_open() || connection_.blocked() || connection_.has_unsent() || confirm_room() == 0 ||
         stack_.send_room(connection_.id()) == 0;
}

template <class DueOf>
uint64_t Producer::publish_with(uint64_t count, DueOf due_of) {
  if (!connection_.is_open() || connection_.blocked() || connection_.has_unsent()) return 0;
  count = std::min(count, confirm_room());
  uint64_t written = 0;
  while (written < count) {
    const size_t room = stack_.send_room(connection_.id());
    if (room == 0) break;
    const size_t first = next_bytes();
    if (first > tcp::reserve_max) {
      if (!publish_large(due_of(published_))) break;
      written++;
      continue;
    }
    const size_t wanted = std::clamp<size_t>((count - written) * first, first, tcp::reserve_max);
    const base::MutableBytes space = stack_.reserve(connection_.id(), wanted);
    if (space.empty()) break;
    size_t used = 0;
    do {
      used += store_next(space.data() + used, due_of(published_));
      written++;
    } while (written < count && used + next_bytes() <= space.size());
    stack_.commit(connection_.id(), used);
  }
  return written;
}

// Encodes the next message and counts it as published.
size_t Producer::store_next(uint8_t* at, base::Time due) {
  const uint32_t size = publishes_.size_index(published_);
  const size_t bytes = publishes_.bytes(route_, size);
  const uint32_t stream = plan_.stream_of(index_, publishes_.queue_of(route_));
  publishes_.store(at, route_, size, {due, stream, sequences_[stream]++});
  if (!unconfirmed_.empty()) unconfirmed_[published_ & (unconfirmed_.size() - 1)] = {due, false};
  published_++;
  route_ += stride_;
  if (route_ >= publishes_.routes()) route_ -= publishes_.routes();
  return bytes;
}

// More than fits a reservation. All of it goes, or nothing of it and the message is still the next.
bool Producer::publish_large(base::Time due) {
  large_.resize(publishes_.bytes_max());
  const uint32_t route = route_;
  const size_t bytes = store_next(large_.data(), due);
  if (stack_.send(connection_.id(), base::Bytes(large_).first(bytes))) return true;
  published_--;
  route_ = route;
  sequences_[plan_.stream_of(index_, publishes_.queue_of(route_))]--;
  return false;
}

// ---- in -------------------------------------------------------------------------------------------------------------

struct Producer::Incoming {
  Producer& producer;
  base::Time now;
  const Window& window;

  void on_method(base::Bytes payload) const {
    switch (wire::load_method_id(payload)) {
      case wire::basic::Ack::id:
      case wire::basic::Nack::id: {
        if (payload.size() != 13) return producer.connection_.fail("a confirm cannot be read");
        const bool refused = wire::load_method_id(payload) == wire::basic::Nack::id;
        return producer.on_confirm(base::load_be64(payload.data() + 4), payload[12] & 1, refused, now, window);
      }
      case wire::basic::Return::id: producer.returned_++; return;
      case wire::confirm::SelectOk::id: producer.confirm_selected_ = true; return;
      default: return;
    }
  }
  // Of messages that came back.
  void on_header(uint64_t) const {}
  void on_body(base::Bytes) const {}
  void on_body_end(uint32_t) const {}
};

void Producer::read(base::Time now, const Window& window) {
  Incoming incoming{*this, now, window};
  connection_.read(incoming);
}

void Producer::select_confirms() {
  if (select_sent_) return;
  select_sent_ = true;
  connection_.send(the_channel, wire::confirm::Select{});
}

void Producer::on_confirm(uint64_t tag, bool multiple, bool refused, base::Time now, const Window& window) {
  if (tag > published_ || unconfirmed_.empty()) return connection_.fail("a confirm of what was never published");
  const auto settle = [&](uint64_t one) {
    Unconfirmed& entry = unconfirmed_[(one - 1) & (unconfirmed_.size() - 1)];
    if (entry.settled) return;
    entry.settled = true;
    (refused ? refused_ : confirmed_)++;
    if (window.contains(entry.due)) confirm_latency_.record(static_cast<uint64_t>((now - entry.due).count()));
  };
  if (multiple) {
    while (settled_below_ < tag) settle(++settled_below_);
  } else if (tag > settled_below_) {
    settle(tag);
    while (settled_below_ < published_ && unconfirmed_[settled_below_ & (unconfirmed_.size() - 1)].settled)
      settled_below_++;
  }
}

}  // namespace talaria::load
