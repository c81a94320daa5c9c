// The payload of a segment, on its way to the application: in order it stays in the packet until it is read (or the
// turn ends), out of order it is put at its place; and the window that says how much may come.
#include <algorithm>

#include "core/base/check.h"
#include "core/tcp/stack.h"

namespace talaria::tcp {
namespace {

// The window of every connection while receive memory is short.
constexpr uint32_t pressure_window = 16 * 1024;
constexpr uint8_t duplicate_acks_due_max = 64;

// A FIN in front of bytes that came, or bytes behind a FIN that did: one of them is a lie, and the first one counts.
bool contradicts(const Connection& connection, Sequence end, bool fin) {
  if (connection.pending_finish &&
      (after(end, connection.finish_sequence) || (fin && end != connection.finish_sequence)))
    return true;
  const auto& known = connection.reassembly;
  return fin && std::any_of(known.ranges.begin(), known.ranges.begin() + known.range_count,
                            [&](const Range& range) { return after(range.end, end); });
}

}  // namespace

// RFC 9293 3.10.7.4, seventh and eighth step: text and FIN, trimmed to what is new and within the window.
void Stack::on_payload(Connection& connection, const Segment& segment, net::Packet& packet) {
  auto& receive = connection.receive;
  if (!connection.receives()) {
    // Behind its FIN the peer has nothing to say: it did not hear that we have it.
    receive.ack_now = true;
    return mark_output(connection);
  }
  Sequence at = segment.sequence;
  base::Bytes payload = segment.payload;
  bool fin = segment.has(flag_fin);
  // What a port or a kernel joined counts for more than one: the peer waits for an answer to each second.
  if (payload.size() > receive.segment_max)
    receive.segment_max = static_cast<uint16_t>(std::min<size_t>(payload.size(), interface_of(connection).local_mss));

  if (before(at, receive.next)) {
    size_t known = std::min<size_t>(receive.next - at, payload.size());
    if (known > 0) note_duplicate(connection, {at, at + static_cast<Sequence>(known)});
    note_loss(connection);
    receive.ack_now = true;
    mark_output(connection);
    payload = payload.subspan(known);
    at += static_cast<Sequence>(known);
    if (at != receive.next) return;  // a FIN we have
  }
  uint32_t room = distance(at, receive.edge);
  if (payload.size() > room) {
    counters_.drop_outside_window.add();
    payload = payload.first(room);
    fin = false;
    receive.ack_now = true;
    mark_output(connection);
  }
  const Sequence end = at + static_cast<Sequence>(payload.size());
  if (contradicts(connection, end, fin)) [[unlikely]] {
    counters_.drop_outside_window.add();
    receive.ack_now = true;
    return mark_output(connection);
  }
  if (fin) {
    connection.pending_finish = true;
    connection.finish_sequence = end;
  }
  if (!payload.empty()) {
    if (at != receive.next) return take_out_of_order(connection, at, payload);
    if (!take_in_order(connection, payload, packet)) return;
  } else if (fin && at != receive.next) {
    receive.ack_now = true;
    mark_output(connection);
  }
  if (connection.pending_finish && receive.next == connection.finish_sequence) on_finish(connection);
}

// The connection is young, or its peer was silent for a timeout: its window is small, and what is lost now costs a
// whole timeout. No delay is added to that.
void Stack::acknowledge_quickly(Connection& connection) {
  connection.quick_until = connection.segments_received - 1 + config_.quick_acks;
}

// Something was lost on the way here, or, when what came already comes again, an acknowledgement on the way back. A
// burst that arrives in one turn has one acknowledgement, which nothing follows until the peer hears it: without it the
// peer waits for its probe, which must not wait in turn, or for a timeout.
void Stack::note_loss(Connection& connection) {
  connection.lossy_until = connection.segments_received + config_.lossy_segments;
}

// The next ACK reports it (RFC 2883). A run of such segments in one turn is one block: whoever sent them again should
// hear of all of them, or he takes some for lost.
void Stack::note_duplicate(Connection& connection, const Range& range) {
  counters_.duplicate_segments.add();
  if (connection.duplicate.size() > 0 && connection.duplicate.end == range.start)
    connection.duplicate.end = range.end;
  else
    connection.duplicate = range;
}

// False if there is no memory: as if the segment were lost.
bool Stack::take_in_order(Connection& connection, base::Bytes payload, net::Packet& packet) {
  auto& receive = connection.receive;
  bool gaps = connection.reassembly.range_count > 0;
  if (gaps || !hold(connection, payload, packet)) {
    if (!settle_held(connection) || !receive_memory_.put(connection.reassembly, receive.next, payload)) {
      counters_.drop_receive_memory.add();
      return false;
    }
  }
  Sequence before_it = receive.next;
  receive.next += static_cast<Sequence>(payload.size());
  if (gaps) receive.next = ReceiveMemory::advance(connection.reassembly, receive.next);
  uint32_t arrived = receive.next - before_it;
  connection.bytes_received += arrived;
  counters_.bytes_received.add(arrived);
  if (receive.state == State::fin_wait_2)
    connection.close_deadline = std::min(now_ + config_.fin_wait_2_timeout, connection.half_closed_until);
  event_of(connection).readable = true;

  // RFC 9293 3.8.6.3, RFC 5681 4.2: at least every second full segment, and at once when a gap was filled. While the
  // peer's window is small (see acknowledge_quickly) a single segment may be all that it sends.
  if (gaps || receive.next - receive.last_ack_sent >= 2u * receive.segment_max ||
      connection.segments_received <= std::max(connection.quick_until, connection.lossy_until)) {
    receive.ack_now = true;
    mark_output(connection);
  } else if (receive.ack_deadline == base::never) {
    receive.ack_deadline = now_ + config_.delayed_ack;
    arm_by(connection, receive.ack_deadline);
  }
  return true;
}

// Put at its place, and told to the peer at once: each such ACK is a duplicate that counts (RFC 5681 4.2).
void Stack::take_out_of_order(Connection& connection, Sequence at, base::Bytes payload) {
  auto& receive = connection.receive;
  connection.out_of_order++;
  counters_.out_of_order.add();
  note_loss(connection);
  receive.ack_now = true;
  if (connection.duplicate_acks_due < duplicate_acks_due_max) connection.duplicate_acks_due++;
  mark_output(connection);
  Range range{at, at + static_cast<Sequence>(payload.size())};
  if (!ReceiveMemory::has_room_for(connection.reassembly, range)) return counters_.drop_reassembly_full.add();
  for (size_t i = 0; i < connection.reassembly.range_count; i++) {
    const Range& known = connection.reassembly.ranges[i];
    if (at_or_before(known.start, range.start) && at_or_before(range.end, known.end)) {
      // Known already, and told to the peer: these bytes stay as they are.
      return note_duplicate(connection, range);
    }
  }
  // Held bytes lie before this gap; once there is one, everything is in the reassembly.
  if (!settle_held(connection) || !receive_memory_.put(connection.reassembly, at, payload))
    return counters_.drop_receive_memory.add();
  CHECK(ReceiveMemory::add_range(connection.reassembly, range));
}

// The peer's FIN is next. What is held is copied first: unlike bytes, a FIN cannot be un-received at the end of the
// turn.
void Stack::on_finish(Connection& connection) {
  auto& receive = connection.receive;
  receive.ack_now = true;
  mark_output(connection);
  if (!settle_held(connection)) return counters_.drop_receive_memory.add();
  receive.next++;
  receive.edge = later(receive.edge, receive.next);
  receive.finished = true;
  connection.pending_finish = false;
  event_of(connection).peer_finished = true;
  switch (receive.state) {
    case State::established: receive.state = State::close_wait; break;
    case State::fin_wait_1: receive.state = State::closing; break;
    case State::fin_wait_2: enter_time_wait(connection); break;
    default: CHECK(false);
  }
}

// Keeps the packet for the turn. False if there is no place for it.
bool Stack::hold(Connection& connection, base::Bytes payload, net::Packet& packet) {
  if (held_count_ == held_.size()) return false;
  auto& receive = connection.receive;
  auto at = static_cast<uint16_t>(held_count_++);
  held_[at] = {.packet = std::exchange(packet, {}),
               .sequence = receive.next,
               .slot = connections_.index_of(connection),
               .offset = 0,
               .length = static_cast<uint16_t>(payload.size()),
               .interface = receive.interface};
  held_[at].offset = static_cast<uint16_t>(payload.data() - held_[at].packet.data);
  (receive.held_last == held_none ? receive.held_first : held_[receive.held_last].next) = at;
  receive.held_last = at;
  return true;
}

// Copies what the connection holds in packets into its reassembly, from the front. False if memory ran out on the way.
bool Stack::settle_held(Connection& connection) {
  auto& receive = connection.receive;
  while (receive.held_first != held_none) {
    Held& held = held_[receive.held_first];
    base::Bytes bytes{held.packet.data + held.offset, held.length};
    if (!receive_memory_.put(connection.reassembly, held.sequence, bytes)) return false;
    held.length = 0;
    receive.held_first = held.next;
  }
  receive.held_last = held_none;
  return true;
}

// Takes back what was held from `from` on: nothing of it was acknowledged yet, so the peer sends it again.
void Stack::unreceive(Connection& connection, uint16_t from) {
  auto& receive = connection.receive;
  CHECK(!receive.finished && before(held_[from].sequence, receive.next));
  CHECK(at_or_before(receive.last_ack_sent, held_[from].sequence));
  connection.bytes_received -= receive.next - held_[from].sequence;
  receive.next = held_[from].sequence;
  for (uint16_t at = from; at != held_none; at = held_[at].next) held_[at].length = 0;
  receive.held_first = receive.held_last = held_none;
}

void Stack::end_input(base::Time now) {
  now_ = now;
  for (size_t i = 0; i < held_count_; i++) {
    Held& held = held_[i];
    if (held.length > 0) {
      Connection& connection = connections_[held.slot];
      CHECK(connection.receive.held_first == i);
      if (connection.receive.state == State::closed) {
        unreceive(connection, static_cast<uint16_t>(i));
      } else if (!settle_held(connection)) {
        counters_.drop_receive_memory.add();
        unreceive(connection, connection.receive.held_first);
        connection.receive.ack_now = true;
        mark_output(connection);
      }
    }
    interfaces_[held.interface].host->release(held.packet);
  }
  held_count_ = 0;
  update_gauges();
}

// ---- the application's side
// ------------------------------------------------------------------------------------------

base::Bytes Stack::input(ConnectionId id) {
  Connection* connection = find(id);
  if (!connection || connection->unread() == 0) return {};
  const auto& receive = connection->receive;
  if (receive.held_first != held_none) {
    const Held& held = held_[receive.held_first];
    if (held.sequence == receive.read) return {held.packet.data + held.offset, held.length};
    return receive_memory_.view(connection->reassembly, receive.read, held.sequence);
  }
  return receive_memory_.view(connection->reassembly, receive.read, receive.read + connection->unread());
}

void Stack::consume(ConnectionId id, size_t n) {
  Connection* connection = find(id);
  if (!connection || n == 0) return;
  auto& receive = connection->receive;
  CHECK(n <= connection->unread());
  if (receive.held_first != held_none && held_[receive.held_first].sequence == receive.read) {
    Held& held = held_[receive.held_first];
    CHECK(n <= held.length);
    held.offset = static_cast<uint16_t>(held.offset + n);
    held.length = static_cast<uint16_t>(held.length - n);
    held.sequence += static_cast<Sequence>(n);
    receive.read += static_cast<Sequence>(n);
    if (held.length == 0) {
      receive.held_first = held.next;
      if (held.next == held_none) receive.held_last = held_none;
    }
  } else {
    receive.read += static_cast<Sequence>(n);
  }
  release_read(*connection);
  if (window_update_due(*connection)) {
    counters_.window_updates_sent.add();
    receive.ack_now = true;
    mark_output(*connection);
  }
}

// Chunks that were read through go back, and the last one with them when nothing in it is still to be read.
void Stack::release_read(Connection& connection) {
  if (connection.reassembly.chunk_count == 0) return;
  const auto& receive = connection.receive;
  bool all_read =
      receive.held_first != held_none ? held_[receive.held_first].sequence == receive.read : connection.unread() == 0;
  if (all_read && connection.reassembly.range_count == 0)
    receive_memory_.release_all(connection.reassembly);
  else
    receive_memory_.release_before(connection.reassembly, receive.read);
}

size_t Stack::unread(ConnectionId id) const {
  const Connection* connection = find(id);
  return connection ? connection->unread() : 0;
}

// ---- the window
// ------------------------------------------------------------------------------------------------------

// As far as the peer lets us say it: without the window scale option 64 KiB.
uint32_t Stack::receive_window_max(const Connection& connection) const {
  return std::min<uint32_t>(config_.receive_window, 65535u << connection.receive.scale);
}

// Bytes that may come beyond receive.next.
uint32_t Stack::receive_room(const Connection& connection) const {
  uint32_t limit = receive_window_max(connection);
  if (receive_memory_.under_pressure()) limit = std::min(limit, pressure_window);
  uint32_t unread = connection.unread();
  return limit > unread ? limit - unread : 0;
}

// RFC 9293 3.8.6.2.2: a window that was nearly shut reopens by a segment or half the buffer; one that is open is
// announced by the ACKs that leave anyway, unless half of the buffer came free.
bool Stack::window_update_due(const Connection& connection) const {
  if (!connection.receives()) return false;
  const auto& receive = connection.receive;
  uint32_t gain = distance(receive.edge, receive.next + receive_room(connection));
  uint32_t half = receive_window_max(connection) / 2;
  uint32_t open = distance(receive.next, receive.edge);
  const uint32_t local_mss = interface_of(connection).local_mss;
  return gain >= half || (open < 2u * local_mss && gain >= std::min(local_mss, half));
}

// The window field of the segment about to leave. The right edge moves by a segment or half the buffer, or not at all
// (silly windows), and never back. The field counts in units of the scale: it is rounded up as long as the buffer's
// bound allows, so that rounding does not move the edge back either.
uint16_t Stack::advertise(Connection& connection) {
  auto& receive = connection.receive;
  uint32_t unit = 1u << receive.scale;
  if (connection.receives() || connection.receive.state == State::syn_received) {
    uint32_t step = std::min<uint32_t>(interface_of(connection).local_mss, config_.receive_window / 2);
    Sequence candidate = receive.next + receive_room(connection);
    if (after(candidate, receive.edge) && candidate - receive.edge >= step) receive.edge = candidate;
  }
  uint32_t open = distance(receive.next, receive.edge);
  uint32_t field = std::min((open + unit - 1) >> receive.scale, 65535u);
  Sequence announced = receive.next + (field << receive.scale);
  if (after(announced, receive.edge)) {
    if (announced - receive.read <= config_.receive_window + unit)
      receive.edge = announced;
    else
      field = open >> receive.scale;
  }
  if (field == 0 && connection.receives()) [[unlikely]]
    connection.stalls.note(Stall::own_window, now_);
  return static_cast<uint16_t>(field);
}

}  // namespace talaria::tcp
