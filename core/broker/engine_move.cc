// The engine's part in a move: see move.h, in the order of which this is written.

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/broker/engine.h"

namespace talaria::broker {
namespace {

// Entries of whole blocks, a block that is half used already, and one to spare.
size_t bytes_for(uint32_t entries) {
  constexpr size_t entries_per_block = (base::Arena::block_bytes - base::Arena::header_bytes) / sizeof(QueueEntry);
  return (entries / entries_per_block + 2) * base::Arena::block_bytes;
}

}  // namespace

// ---- who should move ------------------------------------------------------------------------------------------------

void Engine::consider_move(const Queue& queue, WorkerIndex to) {
  if (queue.consumers() == 0 || queue.stays()) return;
  for (const Subscription* subscription : queue.subscriptions())
    if (subscription->consumer.channel.worker != to) return;
  // It may grow until it leaves.
  if (queue.weight() > limits_.move_entries_max / 2 || queue.consumers() > limits_.move_subscriptions_max) {
    counters_.moves_too_long.add();
    return;
  }
  if (board_.workers[to].pressed.value() != 0) {
    counters_.moves_no_memory.add();
    return;
  }
  outbox_.move_wishes.push_back({queue.record().id, to});
}

// ---- everybody ------------------------------------------------------------------------------------------------------

Move& Engine::move_numbered(uint32_t number) {
  if (move_.number != number) {
    CHECK(!move_.under_way && number > move_.number);
    move_ = Move{};
    move_.number = number;
  }
  return move_;
}

void Engine::apply_one(const MoveQueue& change) {
  QueueRecord* record = find_queue(change.id);
  CHECK(record && record->home == change.from && change.from != change.to && change.to < workers_);
  Move& move = move_numbered(change.move);
  move.under_way = true;
  move.queue = change.id;
  move.from = change.from;
  move.to = change.to;
  record->home = nowhere;
  if (self_ == move.from) return leave_if_due();
  LastOperation last;
  if (self_ == move.to && pool_.promise(bytes_for(limits_.move_entries_max))) {
    move.bytes_promised = bytes_for(limits_.move_entries_max);
    last.entries_promised = limits_.move_entries_max;
  }
  outbox_.operations[move.from].push_back(MoveStep{move.number, last});
}

void Engine::on_queue_left(const QueueLeft& event) {
  CHECK(move_.under_way && event.move == move_.number);
  if (event.outcome != MoveOutcome::moved) return end_move(event.outcome);
  if (self_ == move_.to) return take_step(LastEventSeen{});
  outbox_.operations[move_.to].push_back(MoveStep{move_.number, LastEventSeen{}});
}

void Engine::take_step(const QueueArrived&) { end_move(MoveOutcome::moved); }

void Engine::end_move(MoveOutcome outcome) {
  CHECK(!move_.leaving);
  if (outcome != MoveOutcome::moved) pool_.unpromise(std::exchange(move_.bytes_promised, 0));
  if (QueueRecord* record = find_queue(move_.queue))
    record->home = outcome == MoveOutcome::moved ? move_.to : move_.from;
  move_.under_way = false;
  outbox_.move_ends.push_back({move_.number, outcome});
  resume_held();
}

// ---- the old home ---------------------------------------------------------------------------------------------------

void Engine::take_step(const LastOperation& step) {
  move_.last_operations++;
  move_.entries_promised = std::max(move_.entries_promised, step.entries_promised);
  leave_if_due();
}

void Engine::leave_if_due() {
  if (!move_.under_way || move_.last_operations + 1 != workers_) return;
  const QueueRecord* record = find_queue(move_.queue);
  Queue* queue = record ? record->local : nullptr;
  MoveOutcome outcome = MoveOutcome::moved;
  if (!queue) {
    outcome = MoveOutcome::gone;
  } else if (move_.entries_promised == 0) {
    outcome = MoveOutcome::no_memory;
    counters_.moves_no_memory.add();
  } else if (queue->weight() > move_.entries_promised || queue->consumers() > limits_.move_subscriptions_max) {
    outcome = MoveOutcome::too_long;
    counters_.moves_too_long.add();
  } else {
    move_.leaving = queue;
    queue->leave(outbox_.operations[move_.to], move_.number);
    counters_.queues_left.add();
  }
  for (WorkerIndex worker = 0; worker < workers_; worker++)
    home_.tell(worker, QueueLeft{move_.queue, move_.number, outcome});
}

// As much as may wait in front of the mailbox.
void Engine::hand_over_some() {
  std::vector<Operation>& out = outbox_.operations[move_.to];
  if (out.size() >= limits_.move_entries_per_turn) return;
  const auto room = static_cast<uint32_t>(limits_.move_entries_per_turn - out.size());
  if (move_.leaving->hand_over_entries(out, move_.number, room)) return;
  out.push_back(MoveStep{move_.number, HandOverEnd{true}});
  move_.leaving->has_left();
  delete std::exchange(move_.leaving, nullptr);
  find_queue(move_.queue)->local = nullptr;
}

// ---- the new home ---------------------------------------------------------------------------------------------------

void Engine::take_step(const QueueHandOver& step) {
  QueueRecord* record = find_queue(move_.queue);
  if (!record) return;
  CHECK(!record->local);
  record->local = new Queue(*record, home_);
  record->local->arrive(step);
}

void Engine::take_step(const SubscriptionHandOver& step) {
  if (Queue* queue = local(move_.queue))
    queue->take_over(step);
  else
    home_.tell(step.consumer.channel.worker, Cancelled{step.consumer, move_.queue});
}

void Engine::take_step(const EntryHandOver& step) {
  Queue* queue = local(move_.queue);
  if (queue) {
    // There is memory: it was promised, and kept.
    CHECK(queue->take_over(step));
    return;
  }
  pool_.release(step.message);
  counters_.dropped_with_queue.add();
}

void Engine::take_step(const HandOverEnd& step) {
  move_.all_here = true;
  move_.whole = step.whole;
  arrive_if_due();
}

void Engine::take_step(const LastEventSeen&) {
  move_.last_events_seen++;
  arrive_if_due();
}

void Engine::arrive_if_due() {
  if (!move_.all_here || move_.last_events_seen != workers_) return;
  QueueRecord* record = find_queue(move_.queue);
  // The old home has been told that the queue is removed. So will this one.
  if (record && !move_.whole) return;
  pool_.unpromise(std::exchange(move_.bytes_promised, 0));
  if (record) {
    record->local->has_arrived();
    counters_.queues_arrived.add();
  }
  for (WorkerIndex worker = 0; worker < workers_; worker++)
    if (worker != self_) outbox_.operations[worker].push_back(MoveStep{move_.number, QueueArrived{}});
  end_move(MoveOutcome::moved);
}

void Engine::perform(const MoveStep& step) {
  Move& move = move_numbered(step.move);
  CHECK(move.under_way || std::holds_alternative<LastOperation>(step.step));
  std::visit([this](const auto& one) { take_step(one); }, step.step);
}

// ---- removed meanwhile ----------------------------------------------------------------------------------------------

// The record has gone from this worker, and what the queue had here with it.
void Engine::removed_while_moving() {
  if (std::exchange(move_.leaving, nullptr))
    outbox_.operations[move_.to].push_back(MoveStep{move_.number, HandOverEnd{false}});
  if (self_ == move_.to) arrive_if_due();
  resume_held();
}

}  // namespace talaria::broker
