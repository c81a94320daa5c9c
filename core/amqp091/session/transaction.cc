#include "core/amqp091/session/transaction.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/amqp091/session/acknowledge.h"
#include "core/amqp091/session/closing.h"
#include "core/amqp091/session/connection.h"
#include "core/amqp091/session/dispatch.h"
#include "core/amqp091/session/own_messages.h"
#include "core/amqp091/session/publish.h"
#include "core/amqp091/session/stall.h"
#include "core/amqp091/wire/methods.h"
#include "core/base/check.h"

namespace talaria::amqp091::session {
namespace {

using Phase = Transaction::Phase;

// A message's own, its place in lists, and an entry in each queue.
constexpr uint64_t octets_per_message = 256;
constexpr uint64_t octets_per_copy = 64;

uint64_t octets_of(const Transaction::Kept& kept) {
  return kept.message->body_size() + kept.message->properties_size() + octets_per_message +
         kept.copies * octets_per_copy + (kept.delay ? session::octets_of(kept.delay->keys) : 0);
}

uint64_t key_of(broker::QueueId queue) { return uint64_t{queue.slot} << 32 | queue.generation; }

Shared& shared_of(const Channel& channel) { return *channel.connection.shared; }

void forget_octets(Channel& channel, uint64_t octets) {
  channel.transaction->octets -= octets;
  shared_of(channel).transaction_octets -= octets;
}

// The next one begins.
void begin_anew(Channel& channel) {
  forget_octets(channel, channel.transaction->octets);
  *channel.transaction = {};
}

void input_waits(Channel& channel, uint32_t method) {
  channel.connection.pending = awaiting(Awaited::transaction, channel, method);
}

template <class Answer>
void answer(Channel& channel, const Answer& method) {
  Connection& connection = channel.connection;
  connection.pending = {};
  connection.output.method(channel.number, method);
  go_on(connection);
}

// ---- what it keeps --------------------------------------------------------------------------------------------------

void refuse_too_large(Channel& channel, uint32_t method, const std::string& what) {
  shared_of(channel).counters.transactions_too_large.add();
  fail_channel(channel, ReplyCode::precondition_failed,
               "transaction on channel " + std::to_string(channel.number) + " is too large: " + what, method);
}

// What it would be too large by; empty: it may.
std::string excess(const Channel& channel, size_t copies, uint64_t octets) {
  const Shared& shared = shared_of(channel);
  const Transaction& transaction = *channel.transaction;
  const Config& config = shared.config;
  if (transaction.messages.size() >= config.transaction_messages)
    return "more than " + std::to_string(config.transaction_messages) + " messages";
  if (transaction.copies.size() + copies > config.transaction_copies)
    return "more than " + std::to_string(config.transaction_copies) + " copies in queues";
  if (shared.transaction_octets + octets > shared.transaction_octets_max)
    return "all transactions of worker " + std::to_string(shared.self) + " keep more than " +
           std::to_string(shared.transaction_octets_max) + " octets";
  return {};
}

// ---- deciding -------------------------------------------------------------------------------------------------------

bool may_refuse(const broker::QueueRecord& queue) {
  const broker::QueueSettings* settings = queue.settings.get();
  return settings != nullptr && settings->overflow != broker::Overflow::drop_head &&
         (settings->max_length || settings->max_length_bytes);
}

void give_back(Channel& channel, Transaction::Share& share) {
  if (!std::exchange(share.granted, false)) return;
  shared_of(channel).engine.reserve({share.queue, channel.address(), share.messages, true, share.bytes});
}

void refuse_full(Channel& channel) {
  Shared& shared = shared_of(channel);
  const broker::QueueRecord* queue = shared.engine.find_queue(channel.transaction->full);
  shared.counters.transactions_refused.add();
  fail_channel(channel, ReplyCode::precondition_failed,
               "transaction refused: queue '" + (queue ? queue->name : std::string()) + "' in vhost '" +
                   channel.connection.vhost_name + "' is full",
               wire::tx::Commit::id);
}

void begin_committing(Channel& channel) {
  channel.transaction->phase = Phase::committing;
  work_on_transaction(channel);
}

// ---- doing ----------------------------------------------------------------------------------------------------------

// A message that goes to no queue, as any other. False: not now.
bool pass_unroutable(Channel& channel, Transaction::Kept& kept) {
  Stall why;
  switch (hand_over_reply(channel, kept.message, kept.mandatory, why)) {
    case Reply::none: break;
    case Reply::waits: return false;
    case Reply::handed_over: return true;
  }
  const bool returns = kept.mandatory && !channel.ending;
  if (returns && channel.connection.output.full()) return false;
  drop_unroutable(channel, kept.message, returns);
  return true;
}

void pass_delayed(Channel& channel, const Transaction::Kept& kept) {
  Shared& shared = shared_of(channel);
  trace(channel, *kept.message, {});
  shared.delayed->keep(shared, kept.message, channel.connection.vhost, kept.delay->milliseconds, kept.delay->keys);
}

// False: there is no room for its copies now.
bool pass_on(Channel& channel, Transaction::Kept& kept) {
  Shared& shared = shared_of(channel);
  Transaction& transaction = *channel.transaction;
  std::vector<broker::QueueRecord*> queues;
  std::vector<broker::Admitted> targets;
  for (size_t i = 0; i < kept.copies; i++) {
    const broker::QueueId id = transaction.copies[transaction.next_copy + i];
    broker::QueueRecord* queue = shared.engine.find_queue(id);
    if (queue == nullptr) continue;  // it was deleted since
    queues.push_back(queue);
    targets.push_back({queue, transaction.shares.at(key_of(id)).granted});
  }
  Stall why;
  if (!shared.engine.room_for_accepted(queues) || !hand_over_reply_besides(channel, *kept.message, why)) return false;
  if (targets.empty()) {
    trace(channel, *kept.message, {});
    shared.pool.release(kept.message);
    return true;
  }
  trace(channel, *kept.message, queues);
  const uint64_t sequence = channel.confirms.begin(static_cast<uint32_t>(targets.size()));
  shared.engine.publish_accepted(targets, kept.message, channel.address(), sequence);
  return true;
}

// True when all has been handed to the queues.
bool commit_some(Channel& channel, size_t& budget) {
  Transaction& transaction = *channel.transaction;
  for (; transaction.next_message < transaction.messages.size() && budget != 0; transaction.next_message++) {
    Transaction::Kept& kept = transaction.messages[transaction.next_message];
    const uint64_t octets = octets_of(kept);
    if (kept.delay)
      pass_delayed(channel, kept);
    else if (!(kept.copies == 0 ? pass_unroutable(channel, kept) : pass_on(channel, kept)))
      return false;
    kept.message = nullptr;
    forget_octets(channel, octets);
    transaction.next_copy += kept.copies;
    budget -= std::min<size_t>(budget, std::max(kept.copies, 1u));
  }
  for (; transaction.next_settlement < transaction.settlements.size() && budget != 0; budget--) {
    const auto [delivery, outcome] = transaction.settlements[transaction.next_settlement++];
    settle(channel, delivery, outcome);
  }
  return transaction.next_message == transaction.messages.size() &&
         transaction.next_settlement == transaction.settlements.size();
}

void finish_commit(Channel& channel) {
  const bool lost = channel.transaction->lost;
  begin_anew(channel);
  shared_of(channel).counters.transactions_committed.add();
  if (!lost) return answer(channel, wire::tx::CommitOk{});
  fail_connection(channel.connection, ReplyCode::internal_error, "out of message memory", wire::tx::Commit::id);
}

void finish_if_stored(Channel& channel) {
  const Transaction& transaction = *channel.transaction;
  const bool handed = transaction.next_message == transaction.messages.size() &&
                      transaction.next_settlement == transaction.settlements.size();
  if (transaction.phase == Phase::committing && handed && channel.confirms.outstanding() == 0) finish_commit(channel);
}

// ---- undoing --------------------------------------------------------------------------------------------------------

// Deliveries are unsettled again, at once; the messages go bit by bit.
void begin_rolling_back(Channel& channel) {
  Transaction& transaction = *channel.transaction;
  for (auto& [key, share] : transaction.shares) give_back(channel, share);
  transaction.shares.clear();
  std::vector<Unacked> deliveries;
  deliveries.reserve(transaction.settlements.size());
  for (const Transaction::Settlement& settlement : transaction.settlements) deliveries.push_back(settlement.delivery);
  transaction.settlements.clear();
  channel.unacked.put_back(std::move(deliveries));
  transaction.phase = Phase::rolling_back;
}

bool roll_back_some(Channel& channel, size_t& budget) {
  Transaction& transaction = *channel.transaction;
  for (; transaction.next_message < transaction.messages.size() && budget != 0; transaction.next_message++, budget--)
    shared_of(channel).pool.release(std::exchange(transaction.messages[transaction.next_message].message, nullptr));
  return transaction.next_message == transaction.messages.size();
}

bool is_transactional(Channel& channel, uint32_t method) {
  if (channel.transaction) return true;
  fail_channel(channel, ReplyCode::precondition_failed, "channel is not transactional", method);
  return false;
}

}  // namespace

// ---- methods --------------------------------------------------------------------------------------------------------

Step on_select(Channel& channel, const wire::tx::Select& method) {
  Connection& connection = channel.connection;
  if (channel.confirms.selected()) {
    fail_channel(channel, ReplyCode::precondition_failed, "cannot switch from confirm to tx mode", method.id);
    return Step::taken;
  }
  if (!channel.transaction) {
    channel.transaction = std::make_unique<Transaction>();
    notify_changed(channel);
  }
  connection.output.method(channel.number, wire::tx::SelectOk{});
  return Step::taken;
}

Step on_commit(Channel& channel, const wire::tx::Commit& method) {
  if (!is_transactional(channel, method.id)) return Step::taken;
  Shared& shared = shared_of(channel);
  Transaction& transaction = *channel.transaction;
  CHECK(transaction.phase == Phase::open);
  std::vector<broker::QueueRecord*> queues;
  for (const auto& [key, share] : transaction.shares)
    if (broker::QueueRecord* queue = shared.engine.find_queue(share.queue)) queues.push_back(queue);
  if (const broker::Room room = shared.engine.room_for(queues); !room)
    return wait_for_room(channel.connection, {Stall::For::commit, 0, room});
  input_waits(channel, method.id);
  for (const broker::QueueRecord* queue : queues) {
    if (!may_refuse(*queue)) continue;
    const Transaction::Share& share = transaction.shares.at(key_of(queue->id));
    transaction.answers_awaited++;
    shared.engine.reserve({share.queue, channel.address(), share.messages, false, share.bytes});
  }
  if (transaction.answers_awaited != 0)
    transaction.phase = Phase::reserving;
  else
    begin_committing(channel);
  return Step::taken;
}

Step on_rollback(Channel& channel, const wire::tx::Rollback& method) {
  if (!is_transactional(channel, method.id)) return Step::taken;
  CHECK(channel.transaction->phase == Phase::open);
  shared_of(channel).counters.transactions_rolled_back.add();
  input_waits(channel, method.id);
  begin_rolling_back(channel);
  work_on_transaction(channel);
  return Step::taken;
}

// ---- keeping --------------------------------------------------------------------------------------------------------

// It goes to these queues.
static void keep(Channel& channel, Transaction::Kept kept, std::span<broker::QueueRecord* const> queues) {
  Transaction& transaction = *channel.transaction;
  broker::Message* message = kept.message;
  const uint64_t octets = octets_of(kept);
  if (const std::string what = excess(channel, queues.size(), octets); !what.empty()) {
    shared_of(channel).pool.release(message);
    return refuse_too_large(channel, wire::basic::Publish::id, what);
  }
  transaction.messages.push_back(std::move(kept));
  for (const broker::QueueRecord* queue : queues) {
    transaction.copies.push_back(queue->id);
    Transaction::Share& share = transaction.shares[key_of(queue->id)];
    share.queue = queue->id;
    share.messages++;
    share.bytes += message->body_size();
  }
  transaction.octets += octets;
  shared_of(channel).transaction_octets += octets;
}

void keep(Channel& channel, broker::Message* message, std::span<broker::QueueRecord* const> queues, bool mandatory) {
  keep(channel, {message, static_cast<uint32_t>(queues.size()), mandatory, nullptr}, queues);
}

void keep_delayed(Channel& channel, broker::Message* message, const Transaction::Delay& delay) {
  keep(channel, {message, 0, false, std::make_unique<Transaction::Delay>(delay)}, {});
}

void keep(Channel& channel, const Unacked& delivery, broker::Outcome outcome) {
  channel.transaction->settlements.push_back({delivery, outcome});
}

bool check_settlements(Channel& channel, uint32_t method) {
  const size_t most = shared_of(channel).config.transaction_settlements;
  if (channel.transaction->settlements.size() <= most) return true;
  refuse_too_large(channel, method, "more than " + std::to_string(most) + " settlements");
  return false;
}

// ---- the turn -------------------------------------------------------------------------------------------------------

void on_event(Shared& shared, const broker::Reserved& event) {
  Channel* channel = find_channel(shared, event.channel);
  if (channel == nullptr || !channel->transaction || channel->transaction->phase != Phase::reserving) {
    // Nobody needs the places any more.
    if (event.granted) shared.engine.reserve({event.queue, event.channel, event.messages, true, event.bytes});
    return;
  }
  Transaction& transaction = *channel->transaction;
  if (event.granted)
    transaction.shares.at(key_of(event.queue)).granted = true;
  else
    transaction.full = event.queue;
  if (--transaction.answers_awaited != 0) return;
  if (transaction.full)
    refuse_full(*channel);
  else
    begin_committing(*channel);
}

void on_transaction_stored(Channel& channel) {
  channel.confirms.flush([&](uint64_t, uint64_t, bool refused) {
    channel.transaction->lost |= refused;
    return true;
  });
  if (!channel.ending) shared_of(channel).transacting.add(channel, channel.transacting_listed);
}

void work_on_transaction(Channel& channel) {
  Shared& shared = shared_of(channel);
  if (channel.ending) return shared.closing.add(channel.connection, channel.connection.closing_listed);
  size_t budget = shared.config.transaction_steps_per_turn;
  const bool undoing = channel.transaction->phase == Phase::rolling_back;
  if (!undoing && channel.transaction->phase != Phase::committing) return;
  if (!(undoing ? roll_back_some(channel, budget) : commit_some(channel, budget)))
    return shared.transacting.add(channel, channel.transacting_listed);
  if (!undoing) return finish_if_stored(channel);
  begin_anew(channel);
  answer(channel, wire::tx::RollbackOk{});
}

void abandon_transaction(Channel& channel) {
  Shared& shared = shared_of(channel);
  Transaction& transaction = *channel.transaction;
  shared.transacting.drop(channel, channel.transacting_listed);
  Connection& connection = channel.connection;
  if (connection.pending.what == Awaited::transaction && connection.pending.incarnation == channel.incarnation) {
    connection.pending = {};
    go_on(connection);
  }
  if (transaction.phase == Phase::committing || transaction.phase == Phase::rolling_back) return;
  if (!transaction.messages.empty() || !transaction.settlements.empty()) shared.counters.transactions_rolled_back.add();
  begin_rolling_back(channel);
}

bool finish_transaction(Channel& channel, size_t& budget) {
  Shared& shared = shared_of(channel);
  const bool committing = channel.transaction->phase == Phase::committing;
  if (!(committing ? commit_some(channel, budget) : roll_back_some(channel, budget))) {
    shared.transacting.add(channel, channel.transacting_listed);
    return false;
  }
  shared.transacting.drop(channel, channel.transacting_listed);
  if (committing) shared.counters.transactions_committed.add();
  begin_anew(channel);
  channel.transaction.reset();
  return true;
}

}  // namespace talaria::amqp091::session
