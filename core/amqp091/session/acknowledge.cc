#include "core/amqp091/session/acknowledge.h"

#include <string>

#include "core/amqp091/session/closing.h"
#include "core/amqp091/session/deliver.h"
#include "core/amqp091/session/transaction.h"
#include "core/amqp091/wire/methods.h"

namespace talaria::amqp091::session {
namespace {

void unknown_tag(Channel& channel, uint64_t tag, uint32_t method) {
  fail_channel(channel, ReplyCode::precondition_failed, "unknown delivery tag " + std::to_string(tag), method);
}

// Everything up to its tag, oldest first; what does not fit into this turn is settled in the next ones, and the
// connection's input waits for it.
void settle_up_to(Channel& channel, const BulkSettlement& bulk) {
  Connection& connection = channel.connection;
  Shared& shared = *connection.shared;
  // basic.recover is no part of a transaction.
  const bool kept = channel.transaction && !bulk.recovers;
  channel.unacked.take_up_to(bulk.tag, shared.config.settle_per_turn, [&](const Unacked& delivery) {
    kept ? keep(channel, delivery, bulk.outcome) : settle(channel, delivery, bulk.outcome);
  });
  if (kept && !check_settlements(channel, wire::basic::Ack::id)) return;
  if (channel.unacked.holds_up_to(bulk.tag)) {
    connection.bulk = bulk;
    shared.settling.add(connection, connection.settling_listed);
    return;
  }
  if (bulk.answer_recover) connection.output.method(channel.number, wire::basic::RecoverOk{});
}

[[gnu::cold]] void keep_one(Channel& channel, const Unacked& delivery, broker::Outcome outcome, uint32_t method) {
  keep(channel, delivery, outcome);
  check_settlements(channel, method);
}

Step settle_tag(Channel& channel, uint64_t tag, bool multiple, broker::Outcome outcome, uint32_t method) {
  if (multiple && tag == 0) {
    settle_up_to(channel, {channel.number, channel.incarnation, channel.last_tag, outcome});
    return Step::taken;
  }
  const Unacked* found = channel.unacked.find(tag);
  if (found == nullptr) [[unlikely]]
    unknown_tag(channel, tag, method);
  else if (multiple)
    settle_up_to(channel, {channel.number, channel.incarnation, tag, outcome});
  else if (channel.transaction) [[unlikely]]
    keep_one(channel, channel.unacked.take(found), outcome, method);
  else
    settle(channel, channel.unacked.take(found), outcome);
  return Step::taken;
}

broker::Outcome outcome_of(bool requeue) { return requeue ? broker::Outcome::requeued : broker::Outcome::rejected; }

}  // namespace

Step on_ack(Channel& channel, Bytes payload) {
  auto method = wire::parse<wire::basic::Ack>(payload);
  if (!method) [[unlikely]] {
    fail(channel.connection, method.error());
    return Step::taken;
  }
  return settle_tag(channel, method->delivery_tag, method->multiple, broker::Outcome::acknowledged, method->id);
}

Step on_nack(Channel& channel, Bytes payload) {
  auto method = wire::parse<wire::basic::Nack>(payload);
  if (!method) [[unlikely]] {
    fail(channel.connection, method.error());
    return Step::taken;
  }
  return settle_tag(channel, method->delivery_tag, method->multiple, outcome_of(method->requeue), method->id);
}

Step on_reject(Channel& channel, Bytes payload) {
  auto method = wire::parse<wire::basic::Reject>(payload);
  if (!method) [[unlikely]] {
    fail(channel.connection, method.error());
    return Step::taken;
  }
  return settle_tag(channel, method->delivery_tag, false, outcome_of(method->requeue), method->id);
}

void on_recover(Channel& channel, bool requeue, bool answer, uint32_t method) {
  if (!requeue) return fail_connection(channel.connection, ReplyCode::not_implemented, "requeue=false", method);
  settle_up_to(channel,
               {channel.number, channel.incarnation, channel.last_tag, broker::Outcome::requeued, true, answer});
}

void settle_more(Connection& connection) {
  BulkSettlement bulk = connection.bulk;
  connection.bulk = {};
  Channel* channel = connection.channel(bulk.channel);
  if (channel != nullptr && channel->incarnation == bulk.incarnation) settle_up_to(*channel, bulk);
  go_on(connection);
}

void settle(Channel& channel, const Unacked& delivery, broker::Outcome outcome) {
  Connection& connection = channel.connection;
  Shared& shared = *connection.shared;
  shared.engine.settle({delivery.queue, delivery.entry, outcome});
  connection.info->unacknowledged.subtract();
  channel.counters->unacknowledged.subtract();
  switch (outcome) {
    case broker::Outcome::acknowledged: shared.counters.messages_acknowledged.add(); break;
    case broker::Outcome::requeued: shared.counters.messages_requeued.add(); break;
    case broker::Outcome::rejected: shared.counters.messages_rejected.add(); break;
  }
  if (delivery.consumer == Unacked::got) return;
  channel.counted--;
  if (!channel.parked.empty() && !channel.ending) [[unlikely]]
    shared.parked.add(channel, channel.parked_listed);
}

}  // namespace talaria::amqp091::session
