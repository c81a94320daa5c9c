// Segments go out: once a turn each connection that has something to say is visited, and says all that the windows, the
// port's queue and the packets at hand allow. An acknowledgement rides on what is sent, or goes alone.
#include "core/base/check.h"
#include "core/tcp/congestion.h"
#include "core/tcp/stack.h"

namespace talaria::tcp {
namespace {

// Segments of one connection in one turn, so that a bulk transfer does not keep the others waiting.
constexpr uint64_t segments_per_turn = 64;

// Several segments in one piece: full ones, and behind them what is left if that is all there is.
uint32_t for_the_port_to_cut(uint32_t longest, uint32_t bytes, uint32_t available, uint32_t full) {
  const uint32_t most = std::max(longest / full, 1u) * full;
  if (bytes == available && bytes <= most) return bytes;
  return std::min(bytes, most) / full * full;
}

}  // namespace

void Stack::output(base::Time now) {
  now_ = now;
  if (held_count_ > 0) end_input(now);
  tell_waiting_writers();
  for (size_t index = 0; index < interfaces_.size(); index++) output_through(static_cast<InterfaceIndex>(index));
  update_gauges();
}

void Stack::output_through(InterfaceIndex index) {
  Interface& interface = interfaces_[index];
  for (size_t left = interface.output.size(); left > 0; left--) {
    if (interface.host->transmit_room() == 0) {
      counters_.port_busy.add();
      break;
    }
    Connection& connection = connections_[interface.output.pop()];
    if (connection.receive.interface != index) [[unlikely]] {
      connection.stale_output &= static_cast<uint16_t>(~(1u << index));
      continue;
    }
    connection.send.in_output = false;
    if (connection.receive.state == State::closed) continue;
    Sent sent = output_connection(connection);
    arm(connection);
    if (sent != Sent::nothing_left) mark_output(connection);
    if (sent == Sent::blocked) break;
  }
}

void Stack::mark_output(Connection& connection) {
  if (connection.send.in_output) return;
  connection.send.in_output = true;
  interface_of(connection).output.push(connections_.index_of(connection));
}

Stack::Sent Stack::output_connection(Connection& connection) {
  auto& send = connection.send;
  auto& receive = connection.receive;
  if (receive.state == State::syn_sent || receive.state == State::syn_received) {
    bool syn_due = send.next == connection.initial_send;
    bool sent = syn_due ? send_syn(connection) : send_acknowledgements(connection);
    return sent ? Sent::nothing_left : Sent::blocked;
  }
  if (connection.mss_cut && now_ >= connection.mss_restore_at) restore_mss(connection);
  // After an idle time as long as the timeout the old window says nothing any more (RFC 5681 4.1).
  if (connection.in_flight() == 0 && before(send.next, send.end) &&
      now_ - connection.last_sent > connection.round_trip.timeout)
    send.congestion_window = std::min(send.congestion_window, Congestion::initial_window(send.mss));

  // Duplicates count for a peer without SACK only if they carry nothing (RFC 5681 2): they go before the data.
  if (!receive.sack && connection.duplicate_acks_due > 0 && !send_acknowledgements(connection)) return Sent::blocked;
  const uint64_t sent_before = connection.segments_sent;
  for (Pick pick; choose(connection, pick);) {
    if (connection.segments_sent - sent_before >= segments_per_turn) return Sent::more;
    if (host_of(connection).transmit_room() == 0) {
      counters_.port_busy.add();
      connection.stalls.note(Stall::port, now_);
      return Sent::blocked;
    }
    if (!send_pick(connection, pick)) return Sent::blocked;
  }
  connection.force = false;
  // The probe for the tail is due some time after the last segment that left.
  if (connection.segments_sent != sent_before && connection.send_timer != SendTimer::reordering)
    schedule_send_timer(connection, {});
  if (!send_acknowledgements(connection)) return Sent::blocked;

  // Nothing in flight and something that cannot be sent: only the peer's window can be in the way. It is asked about.
  bool waiting = before(send.next, send.end) || (send.finish && !connection.fin_sent());
  if (connection.in_flight() == 0 && waiting && send.timer == base::never) arm_persist_timer(connection);
  return Sent::nothing_left;
}

// ---- what to send next ----------------------------------------------------------------------------------------------

bool Stack::choose(Connection& connection, Pick& pick) const {
  const auto& send = connection.send;
  if (connection.flight.tracked) return choose_tracked(connection, pick);
  if (send.retransmit_now) return choose_first_unacknowledged(connection, pick);

  uint32_t allowed = send.congestion_window;
  // Limited transmit (RFC 3042): the first two duplicate ACKs each let a new segment out.
  if (send.recovery == Recovery::none) allowed += std::min<uint32_t>(send.duplicate_acks, 2) * send.mss;
  uint32_t pipe = send.next - send.unacknowledged;
  uint32_t room = allowed > pipe ? allowed - pipe : 0;
  if (before(send.next, send.max)) {
    if (room < send.mss && pipe > 0) return false;
    return choose_again(connection, room, pick);
  }
  return choose_new(connection, room, pick);
}

// What RACK says is lost goes first, then what is new, as far as the pipe leaves room.
bool Stack::choose_tracked(Connection& connection, Pick& pick) const {
  auto& send = connection.send;
  const Flight& flight = connection.flight;
  if (connection.tail_probe_due) {
    if (choose_tail_probe(connection, pick)) return true;
    connection.tail_probe_due = false;
  }
  const uint32_t pipe = connection.pipe();
  const uint32_t room = send.congestion_window > pipe ? send.congestion_window - pipe : 0;
  if (flight.lost > 0) {
    const Range lost = flight_memory_.first_lost(flight, send.unacknowledged);
    const uint32_t whole = distance(lost.start, earlier(lost.end, send.end));
    const uint32_t full = payload_max(connection);
    uint32_t bytes = std::min(full, whole);
    if (room < bytes && !send.retransmit_now) return false;
    // What left in one piece goes again in one piece: many small ones would be as many chances to be lost once more.
    if (const uint32_t longest = interface_of(connection).segmentation_bytes;
        whole > full && room > full && longest > 0)
      bytes = for_the_port_to_cut(longest, std::min(whole, room), whole, full);
    pick = {lost.start, bytes, lost.end == send.end + 1 && lost.start + bytes == send.end};
    return true;
  }
  send.retransmit_now = false;  // what it was meant for has arrived
  return choose_new(connection, room, pick);
}

// Something new, even beyond the congestion window, else the last segment again (RFC 8985 7.3). False: not needed now.
bool Stack::choose_tail_probe(Connection& connection, Pick& pick) const {
  const auto& send = connection.send;
  const Flight& flight = connection.flight;
  if (send.recovery != Recovery::none || flight.sacked > 0 || flight.first == base::none) return false;
  if (choose_new(connection, send.mss, pick)) return true;
  const Sequence data_end = earlier(send.max, send.end);
  const Sequence start = flight_memory_.last_start(flight, send.unacknowledged);
  const uint32_t bytes = std::min(payload_max(connection), distance(start, data_end));
  pick = {data_end - bytes, bytes, connection.fin_sent()};
  return true;
}

// Data bytes of a segment: what the options leave of the MSS.
uint32_t Stack::payload_max(const Connection& connection) const {
  uint32_t options = connection.receive.timestamps ? timestamp_option_bytes : 0;
  size_t blocks = connection.reassembly.range_count + (connection.duplicate.size() > 0 ? 1u : 0u);
  if (connection.receive.sack && blocks > 0)
    options += static_cast<uint32_t>(sack_option_bytes(std::min<size_t>(blocks, options > 0 ? 3 : 4)));
  return connection.send.mss - options;
}

// The segment at the left edge, as recovery demands, whatever the windows say.
bool Stack::choose_first_unacknowledged(const Connection& connection, Pick& pick) const {
  const auto& send = connection.send;
  Sequence data_end = earlier(send.end, send.max);
  pick.sequence = send.unacknowledged;
  pick.bytes = std::min(payload_max(connection), distance(send.unacknowledged, data_end));
  pick.fin = connection.fin_sent() && pick.sequence + pick.bytes == send.end;
  return true;
}

// After a timeout everything between next and max is sent again.
bool Stack::choose_again(const Connection& connection, uint32_t congestion_room, Pick& pick) const {
  const auto& send = connection.send;
  const uint32_t available = distance(send.next, earlier(send.end, send.max));
  pick.sequence = send.next;
  pick.bytes = piece_of(connection, std::min(available, std::max(congestion_room, payload_max(connection))), available);
  pick.fin = connection.fin_sent() && pick.sequence + pick.bytes == send.end;
  return true;
}

// A segment of the `bytes` that may leave of `available`, or several in one piece where the port cuts them. Half of the
// congestion window at most: a piece may get lost whole, and it takes another one behind it to make the peer say so.
uint32_t Stack::piece_of(const Connection& connection, uint32_t bytes, uint32_t available) const {
  const uint32_t full = payload_max(connection);
  const uint32_t longest = interface_of(connection).segmentation_bytes;
  if (bytes <= full) return bytes;
  if (longest == 0) return full;
  return for_the_port_to_cut(std::min(longest, connection.send.congestion_window / 2), bytes, available, full);
}

// RFC 9293 3.8.6.2.1: a full segment, or all there is (there is no Nagle here: a turn's writes are one already), or at
// least half of the largest window the peer ever offered; the persist timer overrides.
bool Stack::choose_new(Connection& connection, uint32_t congestion_room, Pick& pick) const {
  const auto& send = connection.send;
  uint32_t available = distance(send.max, send.end);
  uint32_t window = distance(send.max, send.unacknowledged + send.window);
  bool fin_due = send.finish && !connection.fin_sent();
  connection.window_limited = congestion_room < window && congestion_room < available;
  if (available == 0) {
    if (!fin_due || window == 0) return false;
    pick = {send.max, 0, true};
    return true;
  }
  uint32_t full = payload_max(connection);
  uint32_t bytes = std::min({available, window, congestion_room});
  bool worthwhile = bytes >= full || bytes == available || bytes >= connection.window_max / 2 || connection.force;
  if (bytes == 0 || !worthwhile) return false;
  bytes = piece_of(connection, bytes, available);
  pick = {send.max, bytes, fin_due && bytes == available && bytes < window};
  return true;
}

// ---- sending
// ---------------------------------------------------------------------------------------------------------

bool Stack::send_pick(Connection& connection, const Pick& pick) {
  auto& send = connection.send;
  uint8_t flags = flag_ack;
  if (pick.fin) flags |= flag_fin;
  if (pick.bytes > 0 && pick.sequence + pick.bytes == send.end) flags |= flag_psh;
  if (!send_segment(connection, flags, pick.sequence, pick.bytes)) return false;
  Sequence end = pick.sequence + pick.bytes + (pick.fin ? 1 : 0);
  connection.last_sent = now_;
  connection.last_place = host_of(connection).transmit_place();

  const bool again = before(pick.sequence, send.max);
  if (again) {
    connection.retransmits++;
    counters_.retransmitted_segments.add();
    if (before(pick.sequence, connection.timed_end)) connection.timing = false;
    connection.retransmit_timestamp = timestamp_clock(connection.timestamp_offset);
  }
  const bool tracked = connection.flight.tracked;
  if (send.retransmit_now) {
    send.retransmit_now = false;
    send.timer = base::never;  // a full timeout for the retransmission
  } else if (!tracked || !again) {
    send.next = end;
  }
  if (tracked) note_sent(connection, pick, end, again);
  if (after(end, send.max)) {
    uint32_t fresh = end - send.max;
    if (!connection.timing && (send.recovery == Recovery::none || connection.receive.sack)) {
      connection.timing = true;
      connection.timed_end = end;
      connection.timed_at = now_;
    }
    send.max = end;
    connection.bytes_sent += fresh;
    counters_.bytes_sent.add(fresh);
  }
  connection.stop_persisting(now_);
  if (send.timer == base::never) arm_send_timer(connection);
  return true;
}

// How often: a peer without SACK counts duplicates, so each is sent (RFC 5681 4.2). To one with SACK a copy says
// nothing new, and is there in case the first is lost (see note_loss).
static uint8_t acknowledgements_due(const Connection& connection) {
  const auto& receive = connection.receive;
  if (!receive.sack) return std::max<uint8_t>(connection.duplicate_acks_due, 1);
  const bool covers_many = receive.next - receive.last_ack_sent >= 4u * receive.segment_max;
  return covers_many && connection.segments_received <= connection.lossy_until ? 2 : 1;
}

// What is due and did not ride on data.
bool Stack::send_acknowledgements(Connection& connection) {
  auto& receive = connection.receive;
  if (connection.probe_due) {
    // One before the first unacknowledged: nobody can take it for anything but a question (RFC 9293 3.8.4).
    if (host_of(connection).transmit_room() == 0 ||
        !send_segment(connection, flag_ack, connection.send.unacknowledged - 1, 0))
      return false;
    connection.probe_due = false;
  }
  if (!receive.ack_now) return true;
  for (uint8_t count = acknowledgements_due(connection); count > 0; count--) {
    if (host_of(connection).transmit_room() == 0 || !send_segment(connection, flag_ack, connection.send.max, 0)) {
      receive.ack_now = true;
      connection.duplicate_acks_due = count;
      return false;
    }
    counters_.pure_acks_sent.add();
  }
  return true;
}

bool Stack::send_syn(Connection& connection) {
  auto& send = connection.send;
  uint8_t flags = connection.receive.state == State::syn_received ? flag_syn | flag_ack : flag_syn;
  if (host_of(connection).transmit_room() == 0 || !send_segment(connection, flags, connection.initial_send, 0))
    return false;
  connection.last_place = host_of(connection).transmit_place();
  if (send.max == connection.initial_send) {
    connection.timing = true;
    connection.timed_end = connection.initial_send + 1;
    connection.timed_at = now_;
  } else {
    connection.timing = false;
    connection.retransmits++;
    counters_.retransmitted_segments.add();
  }
  send.next = send.max = connection.initial_send + 1;
  if (send.timer == base::never) arm_send_timer(connection);
  return true;
}

// Builds a segment afresh, headers, options and payload, and hands it to the host. False if there is no packet.
bool Stack::send_segment(Connection& connection, uint8_t flags, Sequence sequence, uint32_t payload) {
  const Interface& interface = interface_of(connection);
  net::Host& host = *interface.host;
  const uint32_t full = interface.segmentation_bytes == 0 ? payload : payload_max(connection);
  const bool is_cut = payload > full;
  net::Packet packet = is_cut ? host.allocate_long() : host.allocate();
  if (!packet) {
    counters_.no_packet.add();
    connection.stalls.note(Stall::packets, now_);
    return false;
  }
  auto& receive = connection.receive;
  Segment segment;
  segment.source_port = receive.tuple.local_port;
  segment.destination_port = receive.tuple.remote_port;
  segment.sequence = sequence;
  segment.flags = flags;
  if ((flags & flag_syn) != 0) {
    bool answer = (flags & flag_ack) != 0;
    segment.mss = local_mss(receive.interface, receive.tuple);
    segment.sack_permitted = answer ? receive.sack : config_.selective_acknowledgement;
    segment.has_timestamp = answer ? receive.timestamps : config_.timestamps;
    segment.has_window_scale = !answer || receive.scale > 0 || connection.send.scale > 0;
    segment.window_scale = local_scale_;
    segment.window = static_cast<uint16_t>(std::min<uint32_t>(config_.receive_window, 65535));
  } else {
    segment.has_timestamp = receive.timestamps;
  }
  if (segment.has_timestamp) {
    segment.timestamp = timestamp_clock(connection.timestamp_offset);
    segment.timestamp_echo = (flags & flag_ack) != 0 ? receive.recent_timestamp : 0;
  }
  if ((flags & flag_ack) != 0) {
    segment.acknowledgement = receive.next;
    if ((flags & flag_syn) == 0) segment.window = advertise(connection);
    if (receive.sack) {
      if (connection.duplicate.size() > 0) segment.sacks[segment.sack_count++] = connection.duplicate;
      size_t most = receive.timestamps ? 3 : 4;
      for (size_t i = 0; i < connection.reassembly.range_count && segment.sack_count < most; i++)
        segment.sacks[segment.sack_count++] = connection.reassembly.ranges[i];
    }
    connection.duplicate = {};
    connection.duplicate_acks_due = 0;
    receive.last_ack_sent = receive.next;
    receive.ack_now = false;
    receive.ack_deadline = base::never;
  }
  const size_t l4_at = host.l4_offset(receive.tuple.family());
  uint8_t* l4 = packet.data + l4_at;
  size_t header_bytes = emit_segment(segment, l4);
  if (payload > 0) send_memory_.copy(connection.send.queue, sequence, payload, l4 + header_bytes);
  size_t total = header_bytes + payload;
  packet.length = static_cast<uint16_t>(l4_at + total);
  if (is_cut) packet.segment_bytes = static_cast<uint16_t>(full);
  packet.offload_l4_checksum = host.capabilities().transmit_l4_checksum;
  const net::IpAddress local = connection.local_address(), remote = connection.remote_address();
  write_segment_checksum({l4, total}, local, remote, packet.offload_l4_checksum);
  host.send(packet, local, remote, net::IpProtocol::tcp, now_);
  const uint32_t segments = is_cut ? (payload + full - 1) / full : 1;
  connection.segments_sent += segments;
  counters_.segments_sent.add(segments);
  return true;
}

}  // namespace talaria::tcp
