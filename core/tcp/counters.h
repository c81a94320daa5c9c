// What one stack counts. Written by its worker, read by anybody.
#pragma once

#include "core/base/counters.h"

namespace talaria::tcp {

struct StackCounters {
  base::Counter segments_received, segments_sent, bytes_received, bytes_sent;  // bytes of payload
  base::Counter predicted;  // segments that took the short way through input

  base::Counter drop_bad_header, drop_bad_checksum, drop_no_connection;
  base::Counter drop_outside_window, drop_old_timestamp, drop_no_ack_flag, drop_bad_ack;
  base::Counter drop_receive_memory, drop_reassembly_full, drop_listen_refused;

  base::Counter connections_opened_passive, connections_opened_active, connections_closed;
  base::Counter closed_finished, closed_reset, closed_refused, closed_timed_out, closed_keepalive, closed_linger,
      closed_aborted;
  base::Counter syn_received, syn_dropped_no_connection, half_open_full, half_open_expired;
  base::Counter syn_dropped_source, half_open_source_full;  // see Config::connections_per_source
  base::Counter cookies_sent, cookies_accepted, cookies_rejected;
  base::Counter time_wait_entered, time_wait_recycled, time_wait_reused;

  base::Counter retransmitted_segments, fast_retransmits, timeouts, limited_transmits;
  base::Counter tail_probes, tail_losses_repaired, reordering_timeouts, recoveries_undone, flights_untracked;
  base::Counter path_mtu_cuts, black_holes, icmp_ignored;
  base::Counter out_of_order, duplicate_segments, duplicate_acks, bad_sacks;
  base::Counter zero_window_probes, keepalive_probes, delayed_acks, pure_acks_sent, window_updates_sent;
  base::Counter challenge_acks_sent, challenge_acks_limited, resets_sent, resets_limited, resets_received;
  base::Counter no_send_memory, no_packet, port_busy;

  base::Counter connections_open;  // goes up and down, as do the next ones
  base::Counter half_open_entries, time_wait_entries, send_chunks_used, shared_slices_used, receive_chunks_used,
      flight_records_used;

  // Calls `visit(name, value)` for each, in the order above.
  template <class Visitor>
  void for_each(Visitor&& visit) const;
};

template <class Visitor>
void StackCounters::for_each(Visitor&& visit) const {
  static_assert(sizeof(StackCounters) == 73 * sizeof(base::Counter), "a counter is missing below");
  visit("segments_received", segments_received.value());
  visit("segments_sent", segments_sent.value());
  visit("bytes_received", bytes_received.value());
  visit("bytes_sent", bytes_sent.value());
  visit("predicted", predicted.value());
  visit("drop_bad_header", drop_bad_header.value());
  visit("drop_bad_checksum", drop_bad_checksum.value());
  visit("drop_no_connection", drop_no_connection.value());
  visit("drop_outside_window", drop_outside_window.value());
  visit("drop_old_timestamp", drop_old_timestamp.value());
  visit("drop_no_ack_flag", drop_no_ack_flag.value());
  visit("drop_bad_ack", drop_bad_ack.value());
  visit("drop_receive_memory", drop_receive_memory.value());
  visit("drop_reassembly_full", drop_reassembly_full.value());
  visit("drop_listen_refused", drop_listen_refused.value());
  visit("connections_opened_passive", connections_opened_passive.value());
  visit("connections_opened_active", connections_opened_active.value());
  visit("connections_closed", connections_closed.value());
  visit("closed_finished", closed_finished.value());
  visit("closed_reset", closed_reset.value());
  visit("closed_refused", closed_refused.value());
  visit("closed_timed_out", closed_timed_out.value());
  visit("closed_keepalive", closed_keepalive.value());
  visit("closed_linger", closed_linger.value());
  visit("closed_aborted", closed_aborted.value());
  visit("syn_received", syn_received.value());
  visit("syn_dropped_no_connection", syn_dropped_no_connection.value());
  visit("half_open_full", half_open_full.value());
  visit("half_open_expired", half_open_expired.value());
  visit("syn_dropped_source", syn_dropped_source.value());
  visit("half_open_source_full", half_open_source_full.value());
  visit("cookies_sent", cookies_sent.value());
  visit("cookies_accepted", cookies_accepted.value());
  visit("cookies_rejected", cookies_rejected.value());
  visit("time_wait_entered", time_wait_entered.value());
  visit("time_wait_recycled", time_wait_recycled.value());
  visit("time_wait_reused", time_wait_reused.value());
  visit("retransmitted_segments", retransmitted_segments.value());
  visit("fast_retransmits", fast_retransmits.value());
  visit("timeouts", timeouts.value());
  visit("limited_transmits", limited_transmits.value());
  visit("tail_probes", tail_probes.value());
  visit("tail_losses_repaired", tail_losses_repaired.value());
  visit("reordering_timeouts", reordering_timeouts.value());
  visit("recoveries_undone", recoveries_undone.value());
  visit("flights_untracked", flights_untracked.value());
  visit("path_mtu_cuts", path_mtu_cuts.value());
  visit("black_holes", black_holes.value());
  visit("icmp_ignored", icmp_ignored.value());
  visit("out_of_order", out_of_order.value());
  visit("duplicate_segments", duplicate_segments.value());
  visit("duplicate_acks", duplicate_acks.value());
  visit("bad_sacks", bad_sacks.value());
  visit("zero_window_probes", zero_window_probes.value());
  visit("keepalive_probes", keepalive_probes.value());
  visit("delayed_acks", delayed_acks.value());
  visit("pure_acks_sent", pure_acks_sent.value());
  visit("window_updates_sent", window_updates_sent.value());
  visit("challenge_acks_sent", challenge_acks_sent.value());
  visit("challenge_acks_limited", challenge_acks_limited.value());
  visit("resets_sent", resets_sent.value());
  visit("resets_limited", resets_limited.value());
  visit("resets_received", resets_received.value());
  visit("no_send_memory", no_send_memory.value());
  visit("no_packet", no_packet.value());
  visit("port_busy", port_busy.value());
  visit("connections_open", connections_open.value());
  visit("half_open_entries", half_open_entries.value());
  visit("time_wait_entries", time_wait_entries.value());
  visit("send_chunks_used", send_chunks_used.value());
  visit("shared_slices_used", shared_slices_used.value());
  visit("receive_chunks_used", receive_chunks_used.value());
  visit("flight_records_used", flight_records_used.value());
}

}  // namespace talaria::tcp
