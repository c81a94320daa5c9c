#include "tests/sim/sabotage.h"

#include <algorithm>
#include <utility>

namespace talaria::sim {

namespace {

constexpr Duration hasty_delay = 200ms;

template <class Value>
std::vector<Value> take_all(base::Mailbox<Value>& mailbox) {
  std::vector<Value> values;
  Value value;
  while (mailbox.pop(value)) values.push_back(value);
  return values;
}

}  // namespace

bool Saboteur::poll(Time) {
  if (done_) return false;
  for (broker::WorkerIndex from = 0; from < mesh_.workers(); from++)
    for (broker::WorkerIndex to = 0; to < mesh_.workers(); to++) {
      if (from == to) continue;
      spoil_operations(from, to);
      spoil_events(from, to);
    }
  return false;
}

void Saboteur::spoil_operations(broker::WorkerIndex from, broker::WorkerIndex to) {
  auto& mailbox = mesh_.lane(from, to).operations;
  std::vector<broker::Operation> operations = take_all(mailbox);
  if (plant_ == Plant::swapped_publishes) swap_publishes(operations);
  if (plant_ == Plant::hasty_last_word) hasten_last_word(operations);
  for (const broker::Operation& operation : operations) {
    const auto* move = std::get_if<broker::MoveStep>(&operation);
    if (plant_ == Plant::lost_in_a_move && move && std::holds_alternative<broker::EntryHandOver>(move->step) &&
        is_occasion())
      continue;
    const auto* settle = std::get_if<broker::Settle>(&operation);
    if (plant_ == Plant::drop_requeue && settle && settle->outcome == broker::Outcome::requeued && is_occasion())
      continue;
    const auto* publish = std::get_if<broker::Publish>(&operation);
    if (plant_ == Plant::lost_publish && publish && publish->sequence != 0 && is_occasion()) {
      mesh_.lane(to, from).events.push(broker::Stored{publish->publisher, publish->sequence, false});
      continue;
    }
    mailbox.push(operation);
  }
}

void Saboteur::swap_publishes(std::vector<broker::Operation>& operations) {
  for (size_t i = 0; i + 1 < operations.size(); i++) {
    auto* first = std::get_if<broker::Publish>(&operations[i]);
    auto* second = std::get_if<broker::Publish>(&operations[i + 1]);
    if (!first || !second || first->queue != second->queue || first->publisher != second->publisher) continue;
    if (!is_occasion()) continue;
    std::swap(operations[i], operations[i + 1]);
    return;
  }
}

// Time and again: what it overtakes need not be about the queue that moves.
void Saboteur::hasten_last_word(std::vector<broker::Operation>& operations) {
  const auto last = std::ranges::find_if(operations, [](const broker::Operation& operation) {
    const auto* move = std::get_if<broker::MoveStep>(&operation);
    return move && std::holds_alternative<broker::LastOperation>(move->step);
  });
  if (last == operations.begin() || last == operations.end()) return;
  std::rotate(operations.begin(), last, last + 1);
  at_it_ = true;
}

void Saboteur::spoil_events(broker::WorkerIndex from, broker::WorkerIndex to) {
  auto& mailbox = mesh_.lane(from, to).events;
  for (broker::Event& event : take_all(mailbox)) {
    auto* deliver = std::get_if<broker::Deliver>(&event);
    if (plant_ == Plant::unmarked_redelivery && deliver && deliver->redelivered && is_occasion())
      deliver->redelivered = false;
    const auto* reply = std::get_if<broker::MandatoryReply>(&event);
    if (plant_ == Plant::dropped_reply && reply) {
      at_it_ = true;
      mesh_.lane(to, from).events.push(broker::ReplyTaken{reply->publisher, nullptr, reply->sequence});
      mailbox.push(broker::Deliver{reply->consumer, {}, {}, reply->message, false, false, 0});
      continue;
    }
    mailbox.push(event);
  }
}

bool HastyLink::send(const worker::ControlCommand& command) {
  const auto* apply = std::get_if<worker::Apply>(&command);
  if (!apply) return lane_.commands.push(command);
  done_ = true;
  copies_.push_back(std::make_unique<broker::TopologyChange>(*apply->change));
  const worker::Apply late{apply->sequence, copies_.back().get()};
  hasty_.push_back(worker::Applied{apply->sequence});
  world_.after(hasty_delay, [this, late] { CHECK(lane_.commands.push(late)); });
  return true;
}

bool HastyLink::receive(worker::ControlReport& report) {
  if (hasty_.empty()) return lane_.reports.pop(report);
  report = hasty_.front();
  hasty_.pop_front();
  return true;
}

bool LenientLink::send(const worker::ControlCommand& command) {
  const auto* revoke = std::get_if<worker::RevokeConsumer>(&command);
  if (!revoke) return lane_.commands.push(command);
  delete revoke->consumer;
  return true;
}

bool ForgetfulLink::send(const worker::ControlCommand& command) {
  const auto* announce = std::get_if<worker::Announce>(&command);
  if (!announce || done_ || --left_ != 0) return lane_.commands.push(command);
  done_ = true;
  delete announce->announcement;
  return true;
}

}  // namespace talaria::sim
