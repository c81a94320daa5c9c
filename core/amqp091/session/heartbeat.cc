#include "core/amqp091/session/heartbeat.h"

#include <algorithm>

#include "core/amqp091/session/ack_timeouts.h"
#include "core/amqp091/session/closing.h"
#include "core/amqp091/wire/frame.h"

namespace talaria::amqp091::session {
namespace {

// How often an open connection is looked at: often enough for its heartbeat, and for the operator's figures.
constexpr base::Duration figures_interval = std::chrono::seconds(5);

base::Duration tick_of(const Connection& connection) {
  base::Duration tick = figures_interval;
  if (connection.heartbeat != 0) tick = std::min(tick, base::Duration(std::chrono::seconds(connection.heartbeat)) / 4);
  return tick;
}

void refresh_figures(Connection& connection) {
  auto info = connection.shared->stack.info(connection.tcp, connection.shared->now);
  if (!info) return;
  connection.info->send_buffered.set(info->queued);
  connection.info->smoothed_rtt_ns.set(static_cast<uint64_t>(std::max<int64_t>(0, info->rtt.count())));
  connection.info->congestion_window.set(info->congestion_window);
  connection.info->peer_window.set(info->send_window);
  connection.info->retransmissions.set(info->retransmits);
  connection.info->segment_size.set(info->send_mss);
  connection.info->out_of_order.set(info->out_of_order);
  connection.info->reordered.set(info->reordered);
  connection.info->zero_window_ns.set(static_cast<uint64_t>(info->zero_window.count()));
  connection.info->last_stall.set(static_cast<uint64_t>(info->last_stall));
  connection.info->last_stall_at_ns.set(static_cast<uint64_t>(info->last_stall_at.time_since_epoch().count()));
}

void give_up(Connection& connection, base::Counter& counter) {
  counter.add();
  connection.cut = true;
  hang_up_if_due(connection);
}

// Both directions, from the flags the hot path left since the last tick.
void tick(Connection& connection) {
  Shared& shared = *connection.shared;
  refresh_figures(connection);
  if (connection.output.take_wrote()) connection.last_output = shared.now;
  // What came in but is not read, because we wait for something, is a sign of life too; unless the peer left it behind.
  const bool unread = shared.stack.unread(connection.tcp) != 0;
  const bool alive = connection.got_input || (unread && !connection.peer_finished);
  connection.got_input = false;
  if (alive) connection.last_input = shared.now;
  const base::Duration silence = shared.now - connection.last_input;
  // Its consumers take what nobody will acknowledge: what it waits for may be the room that they keep others from
  // making.
  if (connection.peer_finished && silence >= shared.config.finished_patience)
    return give_up(connection, shared.counters.finished_abandoned);
  if (connection.heartbeat == 0) return;
  const base::Duration interval = std::chrono::seconds(connection.heartbeat);
  if (silence >= 2 * interval) return give_up(connection, shared.counters.heartbeats_missed);
  if (shared.now - connection.last_output >= interval / 2 && !connection.output.full()) {
    connection.output.write(wire::heartbeat_frame);
    shared.counters.frames_out.add();
  }
}

void on_deadline(Connection& connection) {
  Shared& shared = *connection.shared;
  connection.deadline = base::never;
  // A handshake that is too slow, a silence that is over, a peer that never said close-ok.
  if (connection.before_open()) shared.counters.refused_slow.add();
  const bool orderly = connection.stage != Stage::closing || connection.input.unreadable;
  if (orderly && !connection.hang_up)
    connection.hang_up = true;
  else
    connection.cut = true;
  hang_up_if_due(connection);
}

}  // namespace

void set_deadline(Connection& connection, base::Time deadline) {
  Shared& shared = *connection.shared;
  connection.deadline = deadline;
  if (deadline == base::never)
    shared.timers.disarm(connection.timer);
  else
    shared.timers.arm(connection.timer, deadline, shared.now);
}

void start_ticking(Connection& connection) {
  Shared& shared = *connection.shared;
  connection.deadline = base::never;
  connection.last_input = connection.last_output = shared.now;
  shared.timers.arm(connection.timer, shared.now + tick_of(connection), shared.now);
}

void on_timer(Connection& connection) {
  Shared& shared = *connection.shared;
  if (!connection.tcp) return;
  if (connection.stage == Stage::open) {
    tick(connection);
    look_for_late_acknowledgements(connection);
    if (connection.stage == Stage::open)
      shared.timers.arm(connection.timer, shared.now + tick_of(connection), shared.now);
    return;
  }
  if (shared.now >= connection.deadline) return on_deadline(connection);
  if (connection.deadline != base::never) shared.timers.arm(connection.timer, connection.deadline, shared.now);
}

}  // namespace talaria::amqp091::session
