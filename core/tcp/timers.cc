// Time passes. Each connection has one node in the wheel, armed no later than the earliest of its deadlines; deadlines
// that move later leave it where it is, and the node, when it fires early, is armed again.
#include "core/base/check.h"
#include "core/tcp/congestion.h"
#include "core/tcp/stack.h"

namespace talaria::tcp {

void Stack::on_time(base::Time now) {
  now_ = now;
  uint32_t left = config_.timers_per_turn;
  for (; left > 0; left--) {
    base::TimerNode* node = wheel_.pop_expired(now);
    if (!node) break;
    on_timer(connections_[node->owner]);
  }
  for (; left > 0; left--) {
    HalfOpen* entry = half_open_.expired(now);
    if (!entry) break;
    on_half_open_expired(*entry);
  }
  for (; left > 0; left--) {
    TimeWait* entry = time_wait_.expired(now);
    if (!entry) break;
    time_wait_.remove(*entry);
  }
}

base::Time Stack::next_deadline() const {
  return std::min({wheel_.next_deadline(), half_open_.next_deadline(), time_wait_.next_deadline()});
}

// Several deadlines may have passed; each is looked at again here, so what was settled meanwhile does nothing.
void Stack::on_timer(Connection& connection) {
  auto& receive = connection.receive;
  CHECK(receive.state != State::closed);
  if (receive.ack_deadline <= now_) {
    receive.ack_deadline = base::never;
    receive.ack_now = true;
    counters_.delayed_acks.add();
    mark_output(connection);
  }
  if (connection.send.timer <= now_) {
    connection.send.timer = base::never;
    on_send_timer(connection);
    if (receive.state == State::closed) return;
  }
  if (connection.close_deadline <= now_) return give_up(connection, CloseReason::linger_timeout);
  if (connection.keepalive_due <= now_) on_keepalive_due(connection);
  if (receive.state == State::closed) return;
  arm(connection);
}

void Stack::on_send_timer(Connection& connection) {
  switch (connection.send_timer) {
    case SendTimer::retransmission: return on_retransmission_timeout(connection);
    case SendTimer::persist: return on_persist_timeout(connection);
    case SendTimer::reordering: return on_reordering_timeout(connection);
    case SendTimer::tail_probe: return on_tail_probe_due(connection);
  }
}

// RFC 6298 5.4 to 5.7, RFC 5681 3.1, RFC 8985 6.3.
void Stack::on_retransmission_timeout(Connection& connection) {
  auto& send = connection.send;
  CHECK(connection.in_flight() > 0);
  // What still stands in the queue towards the port is not lost.
  if (!host_of(connection).has_left(connection.last_place)) return arm_send_timer(connection);
  counters_.timeouts.add();
  connection.timeouts_total++;
  connection.stalls.note(Stall::timeout, now_);
  bool opening = connection.receive.state == State::syn_sent || connection.receive.state == State::syn_received;
  if (++connection.timeouts > (opening ? config_.syn_retransmits_max : config_.retransmits_max))
    return give_up(connection, CloseReason::timed_out);
  connection.round_trip.back_off();
  connection.timing = false;
  if (!opening) {
    if (connection.timeouts >= 4 && connection.timeouts % 2 == 0) suspect_black_hole(connection);
    if (connection.timeouts == 1) {
      if (send.recovery == Recovery::none) remember_window(connection);
      send.threshold = connection.congestion.threshold_after_loss(connection.in_flight(), send.mss);
    }
    send.congestion_window = send.mss;
    send.recovery = Recovery::timeout;
    send.retransmit_now = false;
    send.duplicate_acks = 0;
    connection.recover = send.max;
  }
  if (connection.flight.tracked) {
    on_tracked_timeout(connection);
  } else {
    send.next = send.unacknowledged;
  }
  arm_send_timer(connection);
  mark_output(connection);
}

// RFC 9293 3.8.6.1: ask about the shut window, ever more seldom, and for ever as long as there are answers. A window
// that is open but smaller than what is worth sending is used now.
void Stack::on_persist_timeout(Connection& connection) {
  auto& send = connection.send;
  if (connection.in_flight() > 0) return arm_send_timer(connection);
  if (host_of(connection).transmit_room() == 0) return mark_output(connection);
  if (++connection.probes > config_.retransmits_max) return give_up(connection, CloseReason::timed_out);
  if (send.window > 0) {
    connection.force = true;
  } else {
    connection.probe_due = true;
    connection.zero_window_probes++;
    counters_.zero_window_probes.add();
  }
  connection.round_trip.back_off();
  arm_persist_timer(connection);
  mark_output(connection);
}

// RFC 9293 3.8.4. Not while data is in flight: its retransmission finds out sooner.
void Stack::on_keepalive_due(Connection& connection) {
  base::Time idle_since = connection.receive.last_segment;
  if (connection.keepalive_probes == 0 && idle_since + config_.keepalive_idle > now_) {
    connection.keepalive_due = idle_since + config_.keepalive_idle;
    return;
  }
  connection.keepalive_due = now_ + config_.keepalive_interval;
  if (connection.in_flight() > 0 || connection.persisting()) return;
  if (connection.keepalive_probes >= config_.keepalive_probes)
    return give_up(connection, CloseReason::keepalive_timeout);
  connection.keepalive_probes++;
  counters_.keepalive_probes.add();
  connection.probe_due = true;
  mark_output(connection);
}

void Stack::on_half_open_expired(HalfOpen& entry) {
  if (!half_open_.move_on(entry, now_)) {
    counters_.half_open_expired.add();
    forget(entry, hash(entry.key));
    return;
  }
  counters_.retransmitted_segments.add();
  interface_in_hand_ = entry.interface;
  if (entry.key.is_ipv6()) ipv6_in_hand_ = half_open_.addresses(entry);
  send_syn_ack(entry);
}

// The retransmission timeout begins anew. `overdue_in`: when more may be lost, from now; 0 if nothing is in question.
void Stack::arm_send_timer(Connection& connection, base::Duration overdue_in) {
  connection.retransmit_at = now_ + connection.round_trip.backed_off(config_.rto_max);
  schedule_send_timer(connection, overdue_in);
}

void Stack::arm_persist_timer(Connection& connection) {
  connection.send.timer = now_ + connection.round_trip.backed_off(config_.rto_max);
  connection.send_timer = SendTimer::persist;
  if (connection.send.window == 0) connection.stalls.on_shut(now_);
}

base::Time Stack::deadline_of(const Connection& connection) const {
  return std::min(
      {connection.receive.ack_deadline, connection.send.timer, connection.close_deadline, connection.keepalive_due});
}

void Stack::arm(Connection& connection) { arm_by(connection, deadline_of(connection)); }

void Stack::arm_by(Connection& connection, base::Time deadline) {
  if (deadline == base::never) return;
  if (connection.timer.armed() && base::TimerWheel::deadline_of(connection.timer) <= deadline) return;
  wheel_.arm(connection.timer, deadline, now_);
}

}  // namespace talaria::tcp
