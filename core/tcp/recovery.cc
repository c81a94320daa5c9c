// Recovery from loss where the peer has SACK and so the flight is tracked: RACK-TLP (RFC 8985) says what is lost, the
// pipe (RFC 6675) and proportional rate reduction (RFC 9937) say how much may leave.
//
//                        RACK: overdue
//          +--------------------------------------------------> fast ----+
//        none <----------- `recover` acknowledged ----------------|------+
//          ^                                                      | timer
//          +---------- `recover` acknowledged ----- timeout <-----+
//
// The send timer has one deadline and one reason: what is overdue soon is lost then (reordering), else the last segment
// goes again so that a loss at the end shows itself (tail probe), else the retransmission timeout.
#include <algorithm>

#include "core/base/check.h"
#include "core/tcp/congestion.h"
#include "core/tcp/stack.h"

namespace talaria::tcp {
namespace {

constexpr uint8_t duplicate_threshold = 3;  // DupThresh
constexpr base::Duration tail_probe_min = std::chrono::milliseconds(10);
// How long a peer may keep the acknowledgement of less than two segments (RFC 8985 7.2 WCDelAckT).
constexpr base::Duration delayed_ack_max = std::chrono::milliseconds(200);

}  // namespace

void Stack::on_tracked_acknowledgement(Connection& connection, const Segment& segment) {
  auto& send = connection.send;
  Tidings tidings{.deliveries = {connection.rack, now_}, .sacked_before = connection.flight.sacked};
  if (segment.has_timestamp && connection.receive.timestamps) {
    tidings.deliveries.echoes(segment.timestamp_echo - connection.timestamp_offset);
    if (send.recovery != Recovery::none && after(segment.acknowledgement, send.unacknowledged))
      look_for_the_original(connection, segment);
  }
  if (segment.sack_count > 0) take_sacks(connection, segment, tidings);
  update_window(connection, segment);
  if (segment.acknowledgement != send.unacknowledged) return on_new_acknowledgement(connection, segment, &tidings);
  if (connection.in_flight() == 0) {
    if (connection.tail_probe_out) on_tail_probe_answer(connection, segment, false, tidings);
    return;
  }
  // A peer that answers with a shut window is alive: it is never given up by count (RFC 9293 3.8.6.1).
  if (send.window == 0) connection.timeouts = 0;
  if (tidings.newly_sacked > 0) {
    counters_.duplicate_acks.add();
    if (send.duplicate_acks < UINT8_MAX) send.duplicate_acks++;
    if (send.recovery == Recovery::none && send.duplicate_acks < duplicate_threshold)
      counters_.limited_transmits.add();  // the pipe is smaller: something new may leave (RFC 3042)
  }
  const base::Duration overdue_in = on_delivery(connection, segment, 0, connection.in_flight(), tidings);
  if (send.recovery == Recovery::none && connection.flight.sacked == 0) return;  // it says nothing
  schedule_send_timer(connection, overdue_in);
  mark_output(connection);
}

// Blocks that make no sense are counted and ignored; a block at or below the acknowledgement number, or within the
// second one, reports a duplicate (RFC 2883).
void Stack::take_sacks(Connection& connection, const Segment& segment, Tidings& tidings) {
  auto& send = connection.send;
  Sequence floor = later(send.unacknowledged, segment.acknowledgement);
  for (size_t i = 0; i < segment.sack_count; i++) {
    Range block = segment.sacks[i];
    if (at_or_after(block.start, block.end) || after(block.end, send.max) ||
        before(block.start, send.unacknowledged - connection.window_max)) {
      counters_.bad_sacks.add();
      continue;
    }
    const bool inside_next = i == 0 && segment.sack_count > 1 && at_or_after(block.start, segment.sacks[1].start) &&
                             at_or_before(block.end, segment.sacks[1].end);
    if (at_or_before(block.end, segment.acknowledgement) || inside_next) {
      if (i > 0) continue;
      tidings.duplicate_reported = true;
      on_duplicate_report(connection, block);
      connection.rack.on_duplicate(send.unacknowledged, send.max);
      continue;
    }
    if (at_or_before(block.end, floor)) continue;
    tidings.newly_sacked += flight_memory_.sack(connection.flight, send.unacknowledged,
                                                {later(block.start, floor), block.end}, tidings.deliveries);
    if (connection.timing && before(block.start, connection.timed_end) && at_or_before(connection.timed_end, block.end))
      end_timing(connection);  // it arrived, whatever is missing before it
  }
}

// Something arrived, or is said to have: what does that mean for what did not? `acknowledged` bytes are new below the
// first unacknowledged one, `flight` were in flight before. Returns when more may be lost, from now; 0 if nothing is in
// question.
base::Duration Stack::on_delivery(Connection& connection, const Segment& segment, uint32_t acknowledged,
                                  uint32_t flight, const Tidings& tidings) {
  auto& send = connection.send;
  Flight& tracked = connection.flight;
  if (connection.tail_probe_out) on_tail_probe_answer(connection, segment, acknowledged > 0, tidings);
  if (send.recovery == Recovery::none && tracked.sacked == 0) {
    // Nothing is missing.
    if (acknowledged == 0) return {};
    send.duplicate_acks = 0;
    grow_congestion_window(connection, acknowledged, flight);
    return {};
  }
  if (send.recovery != Recovery::none && at_or_after(send.unacknowledged, connection.recover))
    leave_recovery(connection);
  if (flight_memory_.first_is_sacked(tracked)) flight_memory_.forget_sacked(tracked, send.unacknowledged);
  const uint32_t lost_before = tracked.lost;
  const base::Duration overdue_in = find_losses(connection);
  const bool lost_more = tracked.lost > lost_before;
  if (send.recovery == Recovery::none && tracked.lost > 0) enter_recovery(connection);
  switch (send.recovery) {
    case Recovery::none:
      if (acknowledged == 0) break;
      send.duplicate_acks = 0;
      grow_congestion_window(connection, acknowledged, flight);
      break;
    case Recovery::fast:
      reduce_proportionally(connection, acknowledged + tracked.sacked - tidings.sacked_before,
                            acknowledged > 0 && !lost_more);
      break;
    case Recovery::timeout: grow_window(connection, std::min<uint32_t>(acknowledged, send.mss)); break;
  }
  return overdue_in;
}

// RFC 8985 6.2 step 5. Returns when more may be lost, from now; 0 if nothing is in question.
base::Duration Stack::find_losses(Connection& connection) {
  const auto& send = connection.send;
  const bool many_duplicates =
      send.duplicate_acks >= duplicate_threshold || connection.flight.sacked > (duplicate_threshold - 1u) * send.mss;
  const base::Duration window =
      connection.rack.window(connection.round_trip.smoothed, send.recovery != Recovery::none, many_duplicates);
  return flight_memory_.lose_overdue(connection.flight, send.unacknowledged, connection.rack, window, now_);
}

void Stack::enter_recovery(Connection& connection) {
  auto& send = connection.send;
  counters_.fast_retransmits.add();
  remember_window(connection);
  send.threshold = connection.congestion.threshold_after_loss(connection.in_flight(), send.mss);
  send.recovery = Recovery::fast;
  connection.recover = send.max;
  connection.reduction = {.flight = connection.in_flight()};
  connection.tail_probe_due = false;
}

void Stack::leave_recovery(Connection& connection) {
  auto& send = connection.send;
  if (send.recovery == Recovery::fast) send.congestion_window = send.threshold;
  send.end_recovery();
  connection.rack.on_recovery_over();
}

// RFC 9937 5: what may leave follows what arrives, so that by the end the window is the threshold. Never less than one
// retransmission at once; while the pipe is below the threshold no more than arrives, or a little more if nothing else
// got lost.
void Stack::reduce_proportionally(Connection& connection, uint32_t delivered, bool safe) {
  auto& send = connection.send;
  RateReduction& reduction = connection.reduction;
  reduction.delivered += delivered;
  const uint32_t pipe = connection.pipe();
  const uint32_t ahead = reduction.delivered > reduction.sent ? reduction.delivered - reduction.sent : 0;
  uint32_t allowance = 0;
  if (pipe > send.threshold) {
    const uint64_t due =
        (uint64_t{reduction.delivered} * send.threshold + reduction.flight - 1) / std::max(reduction.flight, 1u);
    if (due > reduction.sent)
      allowance = static_cast<uint32_t>(std::min<uint64_t>(due - reduction.sent, send.threshold));
  } else {
    // Several ACKs of one turn each grant their own.
    const uint32_t unused = reduction.granted > reduction.sent ? reduction.granted - reduction.sent : 0;
    const uint32_t limit = std::max(ahead, delivered + unused) + (safe ? send.mss : 0u);
    allowance = std::min(send.threshold - pipe, limit);
  }
  if (reduction.sent == 0) allowance = std::max<uint32_t>(allowance, send.mss);
  reduction.granted = reduction.sent + allowance;
  send.congestion_window = std::clamp<uint32_t>(pipe + allowance, send.mss, Congestion::window_max);
}

// ---- when nothing had been lost -------------------------------------------------------------------------------------

void Stack::remember_window(Connection& connection) {
  const auto& send = connection.send;
  connection.undo = {.window = send.congestion_window, .threshold = send.threshold, .from = send.unacknowledged};
}

// The Eifel detection (RFC 3522): the first segment that was sent again is acknowledged, and what is echoed is older
// than that: it was the original that arrived, late or behind others.
void Stack::look_for_the_original(Connection& connection, const Segment& segment) {
  const Undo& undo = connection.undo;
  if (undo.window == 0 || !undo.sent_again || connection.send.unacknowledged != undo.from) return;
  if (flight_memory_.first_went_again(connection.flight) && before(segment.timestamp_echo, undo.timestamp))
    undo_recovery(connection);
}

// The peer had a range twice (RFC 3708). When that is true of all that was sent again, none of it had been needed.
void Stack::on_duplicate_report(Connection& connection, Range block) {
  Undo& undo = connection.undo;
  if (undo.window == 0 || undo.again == 0 || before(block.start, undo.from) || after(block.end, connection.recover))
    return;
  undo.again -= std::min(undo.again, block.size());
  if (undo.again == 0) undo_recovery(connection);
}

// RFC 4015 and RFC 9438 4.9: as it was before. The path reorders.
void Stack::undo_recovery(Connection& connection) {
  auto& send = connection.send;
  counters_.recoveries_undone.add();
  send.congestion_window = std::max(send.congestion_window, connection.undo.window);
  send.threshold = std::max(send.threshold, connection.undo.threshold);
  connection.undo.window = 0;
  connection.rack.overtaken++;
  if (send.recovery == Recovery::none) return;
  send.end_recovery();
  flight_memory_.forget_lost(connection.flight, send.unacknowledged);
}

// ---- timers ---------------------------------------------------------------------------------------------------------

// What the peer sacked is believed once more, but not a second time (RFC 2018 8).
void Stack::on_tracked_timeout(Connection& connection) {
  auto& send = connection.send;
  if (connection.timeouts > 1 || flight_memory_.first_is_sacked(connection.flight))
    flight_memory_.forget_sacked(connection.flight, send.unacknowledged);
  const Rack& rack = connection.rack;
  const base::Duration patience = rack.round_trip + rack.window(connection.round_trip.smoothed, true, false);
  flight_memory_.lose_at_timeout(connection.flight, send.unacknowledged, patience, now_);
  send.retransmit_now = true;
  connection.tail_probe_due = connection.tail_probe_out = false;
}

void Stack::on_reordering_timeout(Connection& connection) {
  counters_.reordering_timeouts.add();
  const base::Duration overdue_in = find_losses(connection);
  if (connection.flight.lost > 0) {
    if (connection.send.recovery == Recovery::none) enter_recovery(connection);
    if (connection.send.recovery == Recovery::fast) reduce_proportionally(connection, 0, false);
    mark_output(connection);
  }
  schedule_send_timer(connection, overdue_in);
}

// RFC 8985 7.3: what is sent now makes the peer say whether the end of the flight arrived.
void Stack::on_tail_probe_due(Connection& connection) {
  connection.tail_probe_due = host_of(connection).has_left(connection.last_place);  // else it is only late
  arm_send_timer(connection);
  mark_output(connection);
}

// RFC 8985 7.4.2: a probe that was a retransmission and repaired a loss hides it from the congestion window, unless it
// is accounted for here.
void Stack::on_tail_probe_answer(Connection& connection, const Segment& segment, bool advanced,
                                 const Tidings& tidings) {
  auto& send = connection.send;
  if (before(segment.acknowledgement, connection.tail_probe_end)) return;
  if (!connection.tail_probe_again || tidings.duplicate_reported) {
    connection.tail_probe_out = false;  // nothing was lost
  } else if (after(segment.acknowledgement, connection.tail_probe_end)) {
    connection.tail_probe_out = false;
    counters_.tail_losses_repaired.add();
    if (send.recovery != Recovery::none) return;
    send.threshold = connection.congestion.threshold_after_loss(connection.in_flight(), send.mss);
    send.congestion_window = std::min(send.congestion_window, send.threshold);
  } else if (!advanced && segment.sack_count == 0) {
    connection.tail_probe_out = false;  // both arrived
  }
}

// ---- what leaves ----------------------------------------------------------------------------------------------------

// A segment of a tracked flight has left.
void Stack::note_sent(Connection& connection, const Pick& pick, Sequence end, bool again) {
  auto& send = connection.send;
  Flight& flight = connection.flight;
  if (!again) {
    // In recovery what is new and what goes again take turns: each knows its own time.
    const base::Duration grain =
        send.recovery == Recovery::none ? connection.round_trip.smoothed / 64 : base::Duration{};
    flight_memory_.sent(flight, end, now_, grain);
  } else {
    flight_memory_.sent_again(flight, send.unacknowledged, {pick.sequence, end}, send.max, now_, {});
  }
  if (send.recovery == Recovery::fast) connection.reduction.sent += end - pick.sequence;
  if (again && send.recovery != Recovery::none) {
    Undo& undo = connection.undo;
    undo.again += end - pick.sequence;
    if (!undo.sent_again) undo.timestamp = connection.retransmit_timestamp;
    undo.sent_again = true;
  }
  if (again && pick.sequence == send.unacknowledged) {
    // A full timeout for the retransmission (RFC 6675 5, as RFC 6298 5.3 for an ACK).
    connection.retransmit_at = now_ + connection.round_trip.backed_off(config_.rto_max);
    if (send.timer != base::never && connection.send_timer == SendTimer::retransmission)
      send.timer = connection.retransmit_at;
  }
  if (connection.tail_probe_due) {
    connection.tail_probe_due = false;
    connection.tail_probe_out = true;
    connection.tail_probe_again = again;
    connection.tail_probe_end = later(send.max, end);
    counters_.tail_probes.add();
  }
  if (flight.tracked) return;
  counters_.flights_untracked.add();
  connection.tail_probe_out = false;
  // After a timeout everything behind this segment goes again.
  send.next = send.recovery == Recovery::timeout ? end : later(send.max, end);
}

// What was sent while track was lost is acknowledged.
void Stack::track_again(Connection& connection) {
  const auto& send = connection.send;
  if (before(send.unacknowledged, connection.flight.tracked_again_at) || send.recovery != Recovery::none ||
      send.next != send.max)
    return;
  flight_memory_.track(connection.flight, send.unacknowledged, send.max, now_);
}

// When the send timer fires, and why: at the retransmission timeout, or before.
void Stack::schedule_send_timer(Connection& connection, base::Duration overdue_in) {
  auto& send = connection.send;
  send.timer = connection.retransmit_at;
  connection.send_timer = SendTimer::retransmission;
  if (!connection.flight.tracked) return;
  base::Time early = base::never;
  SendTimer reason = SendTimer::reordering;
  if (overdue_in.count() > 0) {
    early = now_ + overdue_in;
  } else if (send.recovery == Recovery::none && connection.flight.sacked == 0 && !connection.tail_probe_out &&
             !connection.tail_probe_due && connection.round_trip.backoff == 0 &&
             connection.round_trip.smoothed.count() > 0) {
    reason = SendTimer::tail_probe;
    base::Duration patience = std::max(2 * connection.round_trip.smoothed, tail_probe_min);
    if (connection.in_flight() < 2u * send.mss) patience += delayed_ack_max;
    early = now_ + patience;
  }
  if (early >= send.timer) return;
  send.timer = early;
  connection.send_timer = reason;
}

}  // namespace talaria::tcp
