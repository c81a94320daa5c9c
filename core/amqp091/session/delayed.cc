#include "core/amqp091/session/delayed.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <span>
#include <string_view>
#include <utility>

#include "core/amqp091/session/own_messages.h"
#include "core/amqp091/session/shared.h"
#include "core/broker/exchange.h"
#include "core/broker/vhost.h"

namespace talaria::amqp091::session {
namespace {

// RabbitMQ's: what Erlang's timers take. Longer ones are none.
constexpr int64_t delay_ms_max = UINT32_MAX;

int64_t milliseconds_of(const base::Field& header) {
  if (header.is_integer()) return header.integer();
  if (const auto* number = std::get_if<double>(&header.value))
    return *number > 0 && *number < 1e12 ? static_cast<int64_t>(*number) : 0;
  if (const auto* number = std::get_if<float>(&header.value))
    return *number > 0 && *number < 1e12f ? static_cast<int64_t>(*number) : 0;
  if (const std::string* text = header.text()) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (error == std::errc() && end == text->data() + text->size()) return number;
  }
  return 0;
}

}  // namespace

uint64_t delay_of(const base::Field& header) {
  const int64_t milliseconds = milliseconds_of(header);
  return milliseconds > 0 && milliseconds <= delay_ms_max ? static_cast<uint64_t>(milliseconds) : 0;
}

bool DelayedMessages::has_room_for(const Shared& shared, const broker::Message& message,
                                   const std::vector<std::string>& keys) const {
  return items_.size() - vacant_.size() < shared.config.delayed_messages &&
         octets_ + octets_of(message, keys) <= shared.pool.arena().capacity() / 4;
}

void DelayedMessages::keep(Shared& shared, broker::Message* message, broker::VhostId vhost, uint64_t delay_ms,
                           const std::vector<std::string>& keys) {
  if (vacant_.empty()) {
    vacant_.push_back(static_cast<uint32_t>(items_.size()));
    items_.emplace_back();
  }
  const uint32_t place = vacant_.back();
  vacant_.pop_back();
  Item& item = items_[place];
  item.timer.owner = place;
  item.message = message;
  item.vhost = vhost;
  item.keys = keys;
  octets_ += octets_of(*message, keys);
  timers_.arm(item.timer, shared.now + std::chrono::milliseconds(delay_ms), shared.now);
  shared.counters.delayed_waiting.add();
}

void DelayedMessages::work(Shared& shared) {
  const size_t most = shared.config.delayed_per_turn;
  for (size_t fired = 0; fired < most; fired++) {
    base::TimerNode* timer = timers_.pop_expired(shared.now);
    if (timer == nullptr) break;
    due_.push_back(timer->owner);
  }
  for (size_t done = 0; done < most && !due_.empty(); done++) {
    Item& item = items_[due_.front()];
    const uint64_t octets = octets_of(*item.message, item.keys);
    if (!publish(shared, item)) return;
    item.message = nullptr;
    item.keys = {};
    octets_ -= octets;
    shared.counters.delayed_waiting.subtract();
    vacant_.push_back(due_.front());
    due_.pop_front();
  }
}

base::Time DelayedMessages::next_deadline(base::Time now) const {
  if (!due_.empty()) return now + base::Duration(std::chrono::milliseconds(1));
  return timers_.next_deadline();
}

// False: there is no room now.
bool DelayedMessages::publish(Shared& shared, Item& item) {
  broker::Vhost* vhost = shared.engine.find_vhost(item.vhost);
  broker::Exchange* exchange = vhost ? vhost->find_exchange(item.message->exchange()) : nullptr;
  if (exchange == nullptr) {
    shared.counters.delayed_no_exchange.add();
    shared.pool.release(item.message);
    return true;
  }
  const auto targets = route_held(shared, *exchange, *item.message, item.keys);
  if (!targets.empty() && !shared.engine.room_for_accepted(targets)) return false;
  (targets.empty() ? shared.counters.messages_unroutable : shared.counters.delayed_published).add();
  publish_own(shared, targets, item.message);
  return true;
}

void DelayedMessages::abandon(broker::MessagePool& pool) {
  for (Item& item : items_) {
    timers_.disarm(item.timer);
    if (item.message) pool.release(std::exchange(item.message, nullptr));
  }
  due_.clear();
}

}  // namespace talaria::amqp091::session
