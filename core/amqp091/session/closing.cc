#include "core/amqp091/session/closing.h"

#include <algorithm>
#include <utility>

#include "core/amqp091/session/acknowledge.h"
#include "core/amqp091/session/deliver.h"
#include "core/amqp091/session/handshake.h"
#include "core/amqp091/session/heartbeat.h"
#include "core/amqp091/session/publish.h"
#include "core/amqp091/session/transaction.h"
#include "core/amqp091/wire/methods.h"

namespace talaria::amqp091::session {
namespace {

// Its consumers go first, so that nothing comes back to it. Each answers, even if its queue is gone.
void unsubscribe(Channel& channel, size_t& budget) {
  Shared& shared = *channel.connection.shared;
  for (; channel.unsubscribe_next < channel.consumers.size() && budget != 0; channel.unsubscribe_next++, budget--) {
    Consumer* consumer = channel.consumers[channel.unsubscribe_next].get();
    if (consumer == nullptr) continue;
    channel.awaited++;
    if (consumer->state == Consumer::State::cancelling) continue;  // is on its way out
    consumer->state = Consumer::State::cancelling;
    shared.engine.unsubscribe({.queue = consumer->queue, .consumer = consumer->address()});
  }
}

// Takes an open channel off its number and has it taken apart.
void end_channel(Channel& channel) {
  Connection& connection = channel.connection;
  Shared& shared = *connection.shared;
  if (channel.ending) return;
  channel.ending = true;
  abandon_publishing(channel);
  shared.confirming.drop(channel, channel.confirming_listed);
  shared.parked.drop(channel, channel.parked_listed);
  if (channel.transaction) abandon_transaction(channel);
  if (connection.bulk.incarnation == channel.incarnation) connection.bulk = {};
  if (connection.credit_change.incarnation == channel.incarnation) connection.credit_change = {};
  // A queue's answer finds nobody any more; the control plane's is still to come.
  if (connection.pending.incarnation == channel.incarnation && asks_a_queue(connection.pending.what)) {
    connection.pending = {};
    go_on(connection);
  }
  connection.ending.push_back(std::move(connection.channels[channel.number].channel));
  shared.counters.channels_open.subtract();
  connection.info->channels.subtract();
  notify(connection, broker::ChannelClosed{channel.number});
  // At once, before the queues hand out more; what is left, and all that is unsettled, has its turn later.
  size_t budget = shared.config.settle_per_turn;
  unsubscribe(channel, budget);
  shared.closing.add(connection, connection.closing_listed);
}

void end_all_channels(Connection& connection) {
  for (ChannelSlot& slot : connection.channels)
    if (slot.channel) end_channel(*slot.channel);
}

// Nothing is done for the peer any more. What it held goes back step by step.
void begin_closing(Connection& connection) {
  Shared& shared = *connection.shared;
  if (connection.stage == Stage::closing) return;
  if (connection.stage == Stage::open) {
    shared.counters.connections_open.subtract();
    shared.counters.connections_closed.add();
  }
  connection.stage = Stage::closing;
  connection.stalled = false;
  shared.stalled.drop(connection, connection.stalled_listed);
  connection.info->blocked.set(0);
  connection.input.body_incarnation = 0;
  if (connection.entrusted) connection.entrusted->abandon(shared.pool);
  end_all_channels(connection);
  shared.closing.add(connection, connection.closing_listed);
}

template <class Close>
void send_close(Connection& connection, uint16_t channel, ReplyCode code, std::string_view text, uint32_t method) {
  wire::Error error{code, wire::class_of(method), wire::method_of(method), text};
  Close close;
  close.reply_code = static_cast<uint16_t>(code);
  std::array<char, wire::shortstr_max> space;
  close.reply_text = wire::compose_reply_text(space, error);
  close.class_id = error.class_id;
  close.method_id = error.method_id;
  connection.output.method(channel, close);
}

// ---- taking a channel apart -----------------------------------------------------------------------------------------

// One step. True when nothing of the channel is left anywhere.
bool take_apart(Channel& channel, size_t& budget) {
  Shared& shared = *channel.connection.shared;
  unsubscribe(channel, budget);
  if (channel.unsubscribe_next < channel.consumers.size()) return false;
  for (; !channel.parked.empty() && budget != 0; budget--) {
    give_back(shared, channel.parked.front());
    channel.parked.pop_front();
  }
  if (channel.transaction && !finish_transaction(channel, budget)) return false;
  size_t settled = channel.unacked.take_up_to(
      UINT64_MAX, budget, [&](const Unacked& delivery) { settle(channel, delivery, broker::Outcome::requeued); });
  budget -= settled;
  return channel.parked.empty() && channel.unacked.empty() && channel.awaited == 0;
}

void finish_channel(Connection& connection, Channel& channel) {
  if (channel.owes_close_ok) {
    connection.output.method(channel.number, wire::channel::CloseOk{});
    connection.channels[channel.number].ending = false;
  }
}

// ---- taking a connection apart --------------------------------------------------------------------------------------

void vacate(Connection& connection) {
  Shared& shared = *connection.shared;
  CHECK(connection.ending.empty() && connection.asked_token == 0 && !connection.tcp);
  drop_backlog(connection);
  shared.timers.disarm(connection.timer);
  shared.more_input.drop(connection, connection.more_input_listed);
  shared.stalled.drop(connection, connection.stalled_listed);
  shared.full.drop(connection, connection.full_listed);
  shared.closing.drop(connection, connection.closing_listed);
  shared.settling.drop(connection, connection.settling_listed);
  uint32_t slot = connection.id.slot;
  uint32_t generation = connection.last_generation;
  connection.info->state.set(static_cast<uint64_t>(SessionState::vacant));
  connection.info->generation.set(0);
  SessionInfo* info = connection.info;
  std::destroy_at(&connection);
  std::construct_at(&connection);
  connection.shared = &shared;
  connection.info = info;
  connection.last_generation = generation;
  shared.vacant.push_back(slot);
}

}  // namespace

// ---- errors ---------------------------------------------------------------------------------------------------------

ReplyCode code_of(broker::RefusalReason reason) {
  switch (reason) {
    case broker::RefusalReason::access_refused: return ReplyCode::access_refused;
    case broker::RefusalReason::not_found: return ReplyCode::not_found;
    case broker::RefusalReason::resource_locked: return ReplyCode::resource_locked;
    case broker::RefusalReason::precondition_failed: return ReplyCode::precondition_failed;
    case broker::RefusalReason::not_allowed: return ReplyCode::not_allowed;
    case broker::RefusalReason::not_implemented: return ReplyCode::not_implemented;
    case broker::RefusalReason::internal_error: return ReplyCode::internal_error;
  }
  return ReplyCode::internal_error;
}

void fail_channel(Channel& channel, ReplyCode code, std::string_view text, uint32_t method) {
  Connection& connection = channel.connection;
  if (channel.ending || connection.stage != Stage::open) return;
  connection.shared->counters.channel_errors.add(code);
  flush_confirms(channel);
  send_close<wire::channel::Close>(connection, channel.number, code, text, method);
  connection.channels[channel.number].awaits_close_ok = true;
  end_channel(channel);
}

void fail_connection(Connection& connection, ReplyCode code, std::string_view text, uint32_t method) {
  if (connection.stage == Stage::closing || connection.stage == Stage::refused) return;
  Shared& shared = *connection.shared;
  shared.counters.connection_errors.add(code);
  for (ChannelSlot& slot : connection.channels)
    if (slot.channel) flush_confirms(*slot.channel);
  send_close<wire::connection::Close>(connection, 0, code, text, method);
  connection.awaits_close_ok = true;
  begin_closing(connection);
  set_deadline(connection, shared.now + shared.config.close_timeout);
}

void fail(Channel& channel, const wire::Error& error) {
  if (wire::is_hard(error.code)) return fail(channel.connection, error);
  fail_channel(channel, error.code, error.text, wire::id_of(error.class_id, error.method_id));
}

void fail(Connection& connection, const wire::Error& error) {
  fail_connection(connection, error.code, error.text, wire::id_of(error.class_id, error.method_id));
}

void refuse(Connection& connection, Channel* channel, const broker::Refusal& refusal, uint32_t method) {
  ReplyCode code = code_of(refusal.reason);
  if (wire::is_hard(code)) return fail_connection(connection, code, refusal.text, method);
  if (channel != nullptr) fail_channel(*channel, code, refusal.text, method);
}

void lose_stream(Connection& connection) {
  connection.input.unreadable = true;
  connection.input.gathered = {};
  // His close-ok will not be recognised: he has that long to take note of our close.
  Shared& shared = *connection.shared;
  if (connection.tcp) set_deadline(connection, shared.now + shared.config.silent_close_delay);
}

// ---- methods --------------------------------------------------------------------------------------------------------

void on_channel_close(Channel& channel) {
  flush_confirms(channel);
  channel.owes_close_ok = true;
  channel.connection.channels[channel.number].ending = true;
  end_channel(channel);
}

void on_connection_close(Connection& connection) {
  if (connection.stage == Stage::closing) {
    // Both said close at once. We answer and go on waiting for the other's answer, as he does.
    if (connection.awaits_close_ok && !std::exchange(connection.answered_close, true))
      connection.output.method(0, wire::connection::CloseOk{});
    return;
  }
  Shared& shared = *connection.shared;
  if (connection.before_open()) shared.counters.refused_gone.add();
  connection.owes_close_ok = true;
  begin_closing(connection);
  set_deadline(connection, base::never);
}

void on_connection_close_ok(Connection& connection) {
  if (connection.awaits_close_ok) connection.hang_up = true;
}

// ---- ending ---------------------------------------------------------------------------------------------------------

void on_transport_gone(Connection& connection) {
  Shared& shared = *connection.shared;
  if (!connection.tcp) return;
  // Unless it goes because we hung up: the peer's half of it may still stand.
  if (!connection.hang_up && !connection.cut) {
    if (connection.stage == Stage::open) shared.counters.connections_cut.add();
    if (connection.before_open()) shared.counters.refused_gone.add();
    shared.stack.close(connection.tcp);
  }
  shared.by_tcp_slot[connection.tcp.slot] = 0;
  connection.tcp = {};
  connection.output.stop();
  drop_backlog(connection);
  shared.timers.disarm(connection.timer);
  connection.deadline = base::never;
  begin_closing(connection);
  shared.closing.add(connection, connection.closing_listed);
}

void on_channel_answer(Connection& connection, Channel& channel) {
  CHECK(channel.awaited > 0);
  channel.awaited--;
  connection.shared->closing.add(connection, connection.closing_listed);
}

void take_apart(Connection& connection) {
  Shared& shared = *connection.shared;
  size_t budget = shared.config.settle_per_turn;
  for (size_t i = 0; i < connection.ending.size();) {
    Channel& channel = *connection.ending[i];
    if (!take_apart(channel, budget)) {
      i++;
      continue;
    }
    finish_channel(connection, channel);
    connection.ending.erase(connection.ending.begin() + static_cast<std::ptrdiff_t>(i));
  }
  if (budget == 0) return shared.closing.add(connection, connection.closing_listed);
  if (connection.stage != Stage::closing || !connection.ending.empty() || connection.asked_token != 0) return;
  if (connection.opened) {
    // Exclusive queues are gone before close-ok says so.
    Pending pending;
    pending.what = Awaited::close_connection;
    return ask(connection, std::move(pending), broker::CloseConnection{});
  }
  if (connection.owes_close_ok) {
    connection.owes_close_ok = false;
    connection.output.method(0, wire::connection::CloseOk{});
    connection.hang_up = true;
    set_deadline(connection, shared.now + shared.config.close_timeout);
  }
  if (connection.tcp) hang_up_if_due(connection);
  if (!connection.tcp) vacate(connection);
}

void drop_backlog(Connection& connection) {
  Shared& shared = *connection.shared;
  std::unique_ptr<Backlog> backlog = connection.output.take_backlog();
  if (!backlog) return;
  while (!backlog->empty()) {
    const BacklogItem item = backlog->pop_front();
    if (const auto* content = std::get_if<HeldContent>(&item)) shared.pool.release(content->message);
    if (const auto* held = std::get_if<HeldDelivery>(&item)) shared.pool.release(held->deliver.message);
  }
  shared.backlogs.give(std::move(backlog));
}

}  // namespace talaria::amqp091::session
