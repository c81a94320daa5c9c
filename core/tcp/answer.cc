// Segments without a connection block behind them: resets for strangers, and the last words of TIME_WAIT.
#include "core/base/check.h"
#include "core/tcp/stack.h"

namespace talaria::tcp {

// Ports, checksum, the way out. False if the port or the packets do not allow it now: these answers are never owed, the
// peer asks again.
bool Stack::send_bare(const Tuple& tuple, Segment& segment) {
  net::Host& host = *interfaces_[interface_in_hand_].host;
  if (host.transmit_room() == 0) return false;
  net::Packet packet = host.allocate();
  if (!packet) {
    counters_.no_packet.add();
    return false;
  }
  segment.source_port = tuple.local_port;
  segment.destination_port = tuple.remote_port;
  AddressPair pair{net::Ipv4Address{tuple.local_address}, net::Ipv4Address{tuple.remote_address}};
  if (tuple.is_ipv6()) {
    pair = ipv6_in_hand_;
    CHECK(tuple == tuple_of(pair, tuple.local_port, tuple.remote_port, secrets_.address_key()));
  }
  const size_t l4_at = host.l4_offset(tuple.family());
  uint8_t* l4 = packet.data + l4_at;
  size_t bytes = emit_segment(segment, l4);
  packet.length = static_cast<uint16_t>(l4_at + bytes);
  packet.offload_l4_checksum = host.capabilities().transmit_l4_checksum;
  write_segment_checksum({l4, bytes}, pair.local, pair.remote, packet.offload_l4_checksum);
  host.send(packet, pair.local, pair.remote, net::IpProtocol::tcp, now_);
  counters_.segments_sent.add();
  return true;
}

// RFC 9293 3.10.7.1: nobody is here. A reset is never answered.
void Stack::reset_stranger(const Tuple& tuple, const Segment& segment) {
  if (segment.has(flag_rst)) return;
  if (!resets_.allow(now_)) return counters_.resets_limited.add();
  Segment reset;
  reset.flags = flag_rst;
  if (segment.has(flag_ack)) {
    reset.sequence = segment.acknowledgement;
  } else {
    reset.flags |= flag_ack;
    reset.acknowledgement = segment.sequence + segment.sequence_bytes();
  }
  if (send_bare(tuple, reset)) counters_.resets_sent.add();
}

void Stack::send_reset(const Connection& connection) {
  take_in_hand(connection);
  Segment reset;
  reset.flags = flag_rst | flag_ack;
  reset.sequence = connection.send.max;
  reset.acknowledgement = connection.receive.next;
  if (send_bare(connection.tuple(), reset)) counters_.resets_sent.add();
}

// RFC 9293 3.10.7.4 in TIME-WAIT, RFC 1337 (a reset does not end it), RFC 6191 (a newer SYN does).
void Stack::on_time_wait(TimeWait& entry, uint64_t hash, const Segment& segment) {
  if (entry.spent_cookie) return on_spent_cookie(entry, hash, segment);
  if (segment.has(flag_rst)) return counters_.resets_received.add();
  if (segment.has(flag_syn) && !segment.has(flag_ack)) {
    bool newer = entry.has_timestamp && segment.has_timestamp ? after(segment.timestamp, entry.recent_timestamp)
                                                              : after(segment.sequence, entry.receive_next);
    if (newer && is_listening(entry.key.local_port)) {
      counters_.time_wait_reused.add();
      Tuple tuple = entry.key;
      time_wait_.remove(entry);
      return on_syn(tuple, hash, segment);
    }
  }
  // The peer's FIN again: our last ACK was lost. Anything else that is not exactly next is told where we are, seldom.
  Sequence end = segment.sequence + segment.sequence_bytes();
  if (segment.has(flag_fin) && end == entry.receive_next) {
    time_wait_.restart(entry, now_);
    return acknowledge_time_wait(entry);
  }
  if (segment.sequence == entry.receive_next && segment.sequence_bytes() == 0) return;
  if (!allow_challenge()) return counters_.challenge_acks_limited.add();
  counters_.challenge_acks_sent.add();
  acknowledge_time_wait(entry);
}

void Stack::acknowledge_time_wait(const TimeWait& entry) {
  Segment segment;
  segment.flags = flag_ack;
  segment.sequence = entry.send_next;
  segment.acknowledgement = entry.receive_next;
  segment.window = entry.window;
  segment.has_timestamp = entry.has_timestamp;
  segment.timestamp = timestamp_clock(secrets_.timestamp_offset(entry.key));
  segment.timestamp_echo = entry.recent_timestamp;
  if (send_bare(entry.key, segment)) counters_.pure_acks_sent.add();
}

// Nobody is here, as if the connection had not been; only what opened it does not open another, with the bytes that it
// brings again. A SYN that is not its own begins anew.
void Stack::on_spent_cookie(TimeWait& entry, uint64_t hash, const Segment& segment) {
  if (segment.has(flag_rst)) return counters_.resets_received.add();
  if (segment.has(flag_syn) && !segment.has(flag_ack)) {
    if (segment.sequence + 1 == entry.receive_next || !is_listening(entry.key.local_port))
      return counters_.drop_no_connection.add();
    const Tuple tuple = entry.key;
    time_wait_.remove(entry);
    return on_syn(tuple, hash, segment);
  }
  counters_.drop_no_connection.add();
  reset_stranger(entry.key, segment);
}

TimeWait* Stack::add_time_wait(const Connection& connection) {
  bool recycled = false;
  TimeWait* entry = time_wait_.add(connection.tuple(), hash(connection.tuple()), now_, recycled);
  if (recycled) counters_.time_wait_recycled.add();
  if (entry) counters_.time_wait_entered.add();
  return entry;
}

// May the cookie that opened it come again? It is in the numbers with which the connection began.
bool Stack::opened_by_cookie(const Connection& connection) const {
  return now_ < cookies_until_ && !connection.active &&
         secrets_.check_cookie(connection.initial_send, connection.tuple(), connection.initial_receive, now_);
}

void Stack::remember_cookie(const Connection& connection) {
  TimeWait* entry = add_time_wait(connection);
  if (!entry) return;
  entry->spent_cookie = true;
  entry->receive_next = connection.initial_receive + 1;
}

void Stack::enter_time_wait(Connection& connection) {
  take_in_hand(connection);
  if (TimeWait* entry = add_time_wait(connection)) {
    entry->send_next = connection.send.max;
    entry->receive_next = connection.receive.next;
    entry->recent_timestamp = connection.receive.recent_timestamp;
    entry->has_timestamp = connection.receive.timestamps;
    entry->window = advertise(connection);
    if (connection.receive.ack_now) acknowledge_time_wait(*entry);
  }
  end(connection, CloseReason::finished);
}

}  // namespace talaria::tcp
