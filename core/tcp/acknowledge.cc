// What an acknowledgement says: bytes that may be forgotten, the peer's window, how long a round trip takes. What it
// says about loss is in recovery.cc for a flight that is tracked, in new_reno.cc for one that is not.
#include <algorithm>

#include "core/base/check.h"
#include "core/tcp/congestion.h"
#include "core/tcp/stack.h"

namespace talaria::tcp {

// RFC 9293 3.10.7.4, fifth check, with RFC 5961 5.2. False: the segment is not processed further.
bool Stack::on_acknowledgement(Connection& connection, const Segment& segment) {
  auto& send = connection.send;
  Sequence acknowledgement = segment.acknowledgement;
  if (after(acknowledgement, send.max) || before(acknowledgement, send.unacknowledged - connection.window_max)) {
    counters_.drop_bad_ack.add();
    challenge(connection);
    return false;
  }
  connection.probes = 0;                                          // whatever it says, the peer is there
  if (before(acknowledgement, send.unacknowledged)) return true;  // old; its text may be new
  if (connection.flight.tracked) {
    on_tracked_acknowledgement(connection, segment);
    return true;
  }

  uint32_t window_before = send.window;
  update_window(connection, segment);
  if (acknowledgement != send.unacknowledged) {
    on_new_acknowledgement(connection, segment, nullptr);
  } else if (connection.in_flight() > 0) {
    bool plain = segment.payload.empty() && !segment.has(flag_fin) && send.window == window_before;
    if (plain) on_duplicate_acknowledgement(connection);
    // A peer that answers with a shut window is alive: it is never given up by count (RFC 9293 3.8.6.1).
    if (send.window == 0) connection.timeouts = 0;
  }
  return true;
}

// RFC 9293 3.10.7.4: only from a segment that is not older than the one the window was last taken from. One that
// acknowledges something new is never older, even if it is a retransmission and its sequence number says so: the window
// counts from what it acknowledges, and with the old one the right edge would move beyond what was offered.
void Stack::update_window(Connection& connection, const Segment& segment) {
  auto& send = connection.send;
  const bool older =
      before(segment.sequence, send.window_sequence) ||
      (segment.sequence == send.window_sequence && before(segment.acknowledgement, send.window_acknowledgement));
  if (older && !after(segment.acknowledgement, send.unacknowledged)) return;
  send.window_sequence = segment.sequence;
  send.window_acknowledgement = segment.acknowledgement;
  uint32_t window = static_cast<uint32_t>(segment.window) << send.scale;
  if (window == send.window) return;
  bool grew = window > send.window;
  send.window = window;
  connection.window_max = std::max(connection.window_max, window);
  if (!grew) return;
  connection.stop_persisting(now_);
  mark_output(connection);
}

// `tidings` if the flight is tracked.
void Stack::on_new_acknowledgement(Connection& connection, const Segment& segment, Tidings* tidings) {
  auto& send = connection.send;
  Sequence acknowledgement = segment.acknowledgement;
  uint32_t flight = connection.in_flight();
  uint32_t acknowledged = acknowledgement - send.unacknowledged;
  sample_round_trip(connection, segment);
  if (tidings) flight_memory_.acknowledge(connection.flight, send.unacknowledged, acknowledgement, tidings->deliveries);

  send.unacknowledged = acknowledgement;
  if (before(send.next, acknowledgement)) send.next = acknowledgement;
  send_memory_.release_before(send.queue, connection.tail, earlier(acknowledgement, send.end));
  connection.timeouts = 0;
  if (connection.wants_close) connection.close_deadline = now_ + config_.linger_timeout;  // progress

  base::Duration overdue_in{};
  if (tidings) {
    overdue_in = on_delivery(connection, segment, acknowledged, flight, *tidings);
  } else if (send.recovery == Recovery::none) {
    send.duplicate_acks = 0;
    grow_congestion_window(connection, acknowledged, flight);
  } else {
    recover_from(connection, acknowledged);
  }
  if (!connection.flight.tracked && connection.receive.sack) track_again(connection);
  // RFC 6298 5.2, 5.3: only an ACK of something new restarts the timer.
  send.timer = base::never;
  if (connection.in_flight() > 0) arm_send_timer(connection, overdue_in);
  mark_output(connection);

  if (connection.above_high && connection.queued() <= std::min(config_.send_low_watermark, send_limit() / 2)) {
    connection.above_high = false;
    event_of(connection).writable = true;
  }
  if (send.finish && connection.fin_acknowledged()) on_finish_acknowledged(connection);
}

// One segment a round trip is timed: never one that was sent twice (Karn), nor by an ACK that waited for a gap before
// it. In recovery, when none such comes by, the timestamp option tells, if the echo is that of a retransmission: an
// older one may have waited for an ACK that was lost, and would make the timeout feed on itself.
void Stack::sample_round_trip(Connection& connection, const Segment& segment) {
  if (connection.timing && at_or_after(segment.acknowledgement, connection.timed_end)) {
    if (connection.flight.sacked == 0 && connection.send.duplicate_acks == 0) return end_timing(connection);
    connection.timing = false;
  } else if ((connection.round_trip.backoff > 0 || connection.send.recovery != Recovery::none) &&
             connection.receive.timestamps && segment.has_timestamp) {
    if (before(segment.timestamp_echo, connection.retransmit_timestamp)) return;
    uint32_t elapsed = timestamp_clock(connection.timestamp_offset) - segment.timestamp_echo;
    if (elapsed > 10 * 60 * 1000) return;  // no timestamp of ours
    connection.round_trip.sample(std::chrono::milliseconds(std::max(elapsed, 1u)), config_.rto_min, config_.rto_max);
  }
}

void Stack::end_timing(Connection& connection) {
  connection.timing = false;
  connection.round_trip.sample(now_ - connection.timed_at, config_.rto_min, config_.rto_max);
}

// Not while the application, not the window, is what limits (RFC 5681 4.1, RFC 7661).
void Stack::grow_congestion_window(Connection& connection, uint32_t acknowledged, uint32_t flight) {
  auto& send = connection.send;
  bool slow_start = send.congestion_window < send.threshold;
  bool used = connection.window_limited || (slow_start && send.congestion_window < 2 * flight);
  if (used) grow_window(connection, acknowledged);
}

void Stack::grow_window(Connection& connection, uint32_t acknowledged) {
  auto& send = connection.send;
  connection.congestion.grow(send.congestion_window, send.threshold, acknowledged, send.mss, now_,
                             connection.round_trip.smoothed);
}

// RFC 9293 3.10.7.4: our FIN is acknowledged.
void Stack::on_finish_acknowledged(Connection& connection) {
  switch (connection.receive.state) {
    case State::fin_wait_1:
      connection.receive.state = State::fin_wait_2;
      connection.close_deadline = now_ + config_.fin_wait_2_timeout;
      arm_by(connection, connection.close_deadline);
      break;
    case State::closing: enter_time_wait(connection); break;
    case State::last_ack: finish(connection, CloseReason::finished); break;
    default: CHECK(false);
  }
}

}  // namespace talaria::tcp
