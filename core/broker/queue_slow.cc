// Consumers that do not keep up (x-slow-consumer-threshold; Artemis has the idea and the names).
//
// Every check period a queue looks at its consumers. One is slow if it settled fewer messages since the last look than
// the threshold wants of the time between them, and lack of work is no excuse, which is either of these:
//
//   it could take no more at both looks (its credit is used up, or its client does not read), and there were ready
//   messages all the while in between;
//   it held as many at the last look as the whole period wants.
//
// What needs no acknowledgement is settled when it has been handed over. A round of looks at very many takes more than
// one turn. Nothing is counted for this but how many
// messages a subscription was handed.

#include <algorithm>

#include "core/broker/queue.h"

namespace talaria::broker {
namespace {

constexpr size_t looks_per_turn = 1024;

uint64_t wanted(const SlowConsumers& limit) {
  return std::max<uint64_t>(1, limit.threshold * limit.check_period_ms / 1000);
}

uint32_t settled(const Subscription& subscription) {
  return subscription.handed - (subscription.no_ack ? subscription.in_transit : subscription.unacknowledged);
}

// It takes no more, of its own accord.
bool is_stuck(const Subscription& subscription) {
  return !subscription.in_rota && !subscription.is(Subscription::waiting);
}

}  // namespace

void Queue::arm_paces() {
  if (!record_.settings || !record_.settings->slow_consumers || subscriptions_.empty() || extras_->paces.armed())
    return;
  extras_->paces.owner = extras_->timers | 1;
  const auto period =
      extras_->looks_left != 0
          ? base::Duration{1}
          : base::Duration{std::chrono::milliseconds(record_.settings->slow_consumers->check_period_ms)};
  home_.timers.arm(extras_->paces, home_.now + period, home_.now);
}

bool Queue::is_slow(const Subscription& subscription, const SlowConsumers& limit) const {
  const Subscription::Pace& before = subscription.pace;
  if (!before.looked_at || settled(subscription) - before.settled >= wanted(limit)) return false;
  const bool work_waited = ready_ != 0 && !extras_->ran_dry;
  return (work_waited && before.stuck && is_stuck(subscription)) || before.held >= wanted(limit);
}

void Queue::look_at_paces() {
  if (!record_.settings || !record_.settings->slow_consumers) return;
  const SlowConsumers limit = *record_.settings->slow_consumers;
  if (extras_->looks_left == 0) {
    extras_->looks_left = subscriptions_.size();
    extras_->look_round++;
    extras_->ran_dry_since = ready_ == 0;
  }
  std::vector<ConsumerAddress> slow;
  // Downwards: who takes the place of one that left has been looked at.
  size_t place = std::min(extras_->looks_left, subscriptions_.size());
  for (size_t looks = 0; place != 0 && looks < looks_per_turn; looks++) {
    Subscription* one = subscriptions_[--place];
    if (one->pace.looked_at && one->pace.round == extras_->look_round) continue;
    const bool found = is_slow(*one, limit);
    if (found && !one->pace.told) slow.push_back(one->consumer);
    one->pace = {true, is_stuck(*one), found, extras_->look_round, settled(*one), one->unacknowledged};
  }
  extras_->looks_left = place;
  if (place == 0) extras_->ran_dry = extras_->ran_dry_since;
  for (const ConsumerAddress& consumer : slow) {
    home_.counters.consumers_slow.add();
    if (limit.cancels) unsubscribe(consumer);
    home_.tell(consumer.channel.worker, ConsumerSlow{consumer, record_.id, limit.cancels});
  }
  if (limit.cancels && !slow.empty() && record_.auto_delete && subscriptions_.empty())
    home_.outbox.unused_queues.push_back(record_.id);
  arm_paces();
}

}  // namespace talaria::broker
