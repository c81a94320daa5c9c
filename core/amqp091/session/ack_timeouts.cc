#include "core/amqp091/session/ack_timeouts.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>

#include "core/amqp091/session/closing.h"
#include "core/amqp091/session/connection.h"
#include "core/broker/queue_record.h"

namespace talaria::amqp091::session {
namespace {

// Nothing is taken for late before this many marks fit into its time.
constexpr int marks_per_timeout = 16;

base::Duration duration_of(uint64_t timeout_ms) { return std::chrono::milliseconds(timeout_ms); }

AckTimeouts& timeouts_of(Channel& channel) {
  if (!channel.ack_timeouts) channel.ack_timeouts = std::make_unique<AckTimeouts>();
  return *channel.ack_timeouts;
}

}  // namespace

void AckTimeouts::watch(broker::QueueId queue, std::optional<uint32_t> consumer, uint64_t timeout_ms) {
  for (Watch& watch : watches_) {
    if (watch.queue != queue || watch.consumer != consumer) continue;
    watch.timeout_ms = timeout_ms;
    return;
  }
  watches_.push_back({queue, consumer, timeout_ms});
}

std::optional<uint64_t> AckTimeouts::look(const Channel& channel) {
  for (Watch& watch : watches_)
    if (is_late(channel, watch)) return watch.timeout_ms;
  std::erase_if(watches_, [&](const Watch& watch) { return is_over(channel, watch); });
  return std::nullopt;
}

// A consumer's own time stands in the place of its queue's.
bool AckTimeouts::is_of(const Unacked& delivery, const Watch& watch) const {
  if (delivery.queue != watch.queue) return false;
  if (watch.consumer) return delivery.consumer == *watch.consumer;
  return std::ranges::none_of(watches_, [&](const Watch& other) {
    return other.queue == watch.queue && other.consumer && *other.consumer == delivery.consumer;
  });
}

bool AckTimeouts::is_late(const Channel& channel, Watch& watch) const {
  const base::Time now = channel.connection.shared->now;
  const base::Duration timeout = duration_of(watch.timeout_ms);
  std::deque<Mark>& marks = watch.marks;
  while (marks.size() > 1 && marks[1].when + timeout <= now) marks.pop_front();
  if (!marks.empty() && marks.front().when + timeout <= now) {
    const auto is_its = [&](const Unacked& delivery) { return is_of(delivery, watch); };
    if (channel.unacked.oldest_up_to(marks.front().last_tag, is_its) != nullptr) return true;
  }
  if (marks.empty() || marks.back().when + timeout / marks_per_timeout <= now) marks.push_back({now, channel.last_tag});
  return false;
}

// The consumer has gone, and has settled what it had; or the queue has.
bool AckTimeouts::is_over(const Channel& channel, const Watch& watch) {
  if (channel.connection.shared->engine.find_queue(watch.queue) == nullptr) return true;
  if (!watch.consumer || channel.consumer(*watch.consumer) != nullptr) return false;
  return channel.unacked.oldest_up_to(channel.last_tag, [&](const Unacked& delivery) {
    return delivery.consumer == *watch.consumer;
  }) == nullptr;
}

void watch_queue(Channel& channel, const broker::QueueRecord& queue) {
  if (queue.settings && queue.settings->consumer_timeout_ms)
    timeouts_of(channel).watch(queue.id, std::nullopt, *queue.settings->consumer_timeout_ms);
}

void watch_consumer(Channel& channel, broker::QueueId queue, uint32_t consumer, uint64_t timeout_ms) {
  timeouts_of(channel).watch(queue, consumer, timeout_ms);
}

void look_for_late_acknowledgements(Connection& connection) {
  Shared& shared = *connection.shared;
  // They may be among what we have not read.
  if (connection.stalled || shared.stack.unread(connection.tcp) != 0 || connection.bulk.incarnation != 0 ||
      connection.credit_change.incarnation != 0)
    return;
  for (size_t number = 0; number < connection.channels.size() && connection.stage == Stage::open; number++) {
    Channel* channel = connection.channels[number].channel.get();
    if (channel == nullptr || !channel->ack_timeouts) continue;
    const std::optional<uint64_t> timeout_ms = channel->ack_timeouts->look(*channel);
    if (!timeout_ms) continue;
    shared.counters.acknowledgements_late.add();
    fail_channel(*channel, ReplyCode::precondition_failed,
                 "delivery acknowledgement on channel " + std::to_string(number) +
                     " timed out. Timeout value used: " + std::to_string(*timeout_ms) +
                     " ms. This timeout value can be configured, see consumers doc guide to learn more",
                 0);
  }
}

}  // namespace talaria::amqp091::session
