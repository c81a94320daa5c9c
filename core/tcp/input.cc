// A segment comes in: header, checksum and connection in phases over the burst, then RFC 9293 3.10.7 for each.
#include "core/base/check.h"
#include "core/tcp/stack.h"

namespace talaria::tcp {
namespace {

// PAWS does not judge a connection that was idle this long: the peer's clock may have wrapped (RFC 7323 5.5).
constexpr base::Duration timestamp_validity = std::chrono::hours(24 * 24);

}  // namespace

void Stack::on_segments(std::span<net::Datagram> datagrams, base::Time now, InterfaceIndex interface) {
  now_ = now;
  interface_in_hand_ = interface;
  while (!datagrams.empty()) {
    size_t count = std::min(datagrams.size(), net::burst_max);
    on_burst(datagrams.first(count));
    datagrams = datagrams.subspan(count);
  }
  for (const net::IcmpError& error : interfaces_[interface].host->take_icmp_errors()) on_icmp_error(error, now);
}

// In phases, so that what the next phase needs is on its way into the cache while this one works on other segments.
void Stack::on_burst(std::span<net::Datagram> burst) {
  // A burst is mostly runs of segments of one connection, which is looked up once.
  const Arrival* last = nullptr;
  for (size_t i = 0; i < burst.size(); i++) {
    const net::Datagram& datagram = burst[i];
    Arrival& arrival = arrivals_[i];
    arrival.valid = false;
    if (!parse_segment(datagram.l4(), arrival.segment)) {
      counters_.drop_bad_header.add();
      continue;
    }
    net::ChecksumVerdict verdict = datagram.packet.l4_checksum;
    if (verdict == net::ChecksumVerdict::bad ||
        (verdict == net::ChecksumVerdict::unknown &&
         !verify_segment_checksum(datagram.l4(), datagram.source, datagram.destination))) {
      counters_.drop_bad_checksum.add();
      continue;
    }
    arrival.valid = true;
    arrival.tuple = tuple_of({datagram.destination, datagram.source}, arrival.segment.destination_port,
                             arrival.segment.source_port, secrets_.address_key());
    arrival.of_last = last && last->tuple == arrival.tuple;
    if (arrival.of_last) {
      arrival.hash = last->hash;
    } else {
      arrival.hash = hash(arrival.tuple);
      index_.prefetch(arrival.hash);
    }
    last = &arrival;
  }
  last = nullptr;
  for (size_t i = 0; i < burst.size(); i++) {
    Arrival& arrival = arrivals_[i];
    if (!arrival.valid) continue;
    arrival.slot = arrival.of_last ? last->slot : index_.find(arrival.tuple, arrival.hash);
    const bool fresh = !arrival.of_last && arrival.slot != base::none;
    last = &arrival;
    if (!fresh) continue;
    __builtin_prefetch(&connections_[arrival.slot].send);
    __builtin_prefetch(&connections_[arrival.slot].timer);
  }
  counters_.segments_received.add(burst.size());
  net::Host& host = *interfaces_[interface_in_hand_].host;
  for (size_t i = 0; i < burst.size(); i++) {
    const Arrival& arrival = arrivals_[i];
    net::Packet packet = std::exchange(burst[i].packet, {});
    if (arrival.valid && arrival.tuple.is_ipv6()) ipv6_in_hand_ = {burst[i].destination, burst[i].source};
    if (arrival.valid) {
      // A segment before this one may have opened or closed the connection.
      Connection* connection = arrival.slot == base::none ? nullptr : &connections_[arrival.slot];
      if (connection && connection->receive.state != State::closed && connection->tuple() == arrival.tuple)
        on_segment(*connection, arrival.segment, packet);
      else
        dispatch(arrival.tuple, arrival.hash, arrival.segment, packet);
    }
    host.release(packet);
  }
}

// No connection was found in the burst's look-up: a handshake, an echo of the past, or nobody.
void Stack::dispatch(const Tuple& tuple, uint64_t hash, const Segment& segment, net::Packet& packet) {
  if (uint32_t slot = index_.find(tuple, hash); slot != base::none)
    return on_segment(connections_[slot], segment, packet);
  if (HalfOpen* entry = half_open_.find(tuple, hash)) return on_half_open(*entry, hash, segment, packet);
  if (TimeWait* entry = time_wait_.find(tuple, hash)) {
    on_time_wait(*entry, hash, segment);
    return;
  }
  if (is_listening(tuple.local_port)) return on_listen(tuple, hash, segment, packet);
  counters_.drop_no_connection.add();
  reset_stranger(tuple, segment);
}

void Stack::on_segment(Connection& connection, const Segment& segment, net::Packet& packet) {
  connection.segments_received++;
  if (connection.receive.state == State::syn_sent) return on_syn_sent(connection, segment);
  if (predicted(connection, segment))
    counters_.predicted.add();
  else if (!acceptable(connection, segment))
    return;
  if (now_ - connection.receive.last_segment >= config_.rto_min) [[unlikely]]
    acknowledge_quickly(connection);
  connection.receive.last_segment = now_;
  if (connection.keepalive_probes != 0) {
    connection.keepalive_probes = 0;
    connection.keepalive_due = now_ + config_.keepalive_idle;
    arm_by(connection, connection.keepalive_due);
  }

  if (!segment.has(flag_ack)) return counters_.drop_no_ack_flag.add();
  if (connection.receive.state == State::syn_received && !on_syn_received(connection, segment)) return;
  if (!on_acknowledgement(connection, segment)) return;
  if (connection.receive.state == State::closed) return;
  take_timestamp(connection, segment);
  if (!segment.payload.empty() || segment.has(flag_fin)) on_payload(connection, segment, packet);
}

// Header prediction: the next segment in order of an established connection, without anything special, needs none of
// the checks below. It may carry data, an acknowledgement, or both.
bool Stack::predicted(const Connection& connection, const Segment& segment) const {
  const auto& receive = connection.receive;
  return receive.state == State::established &&
         (segment.flags & (flag_fin | flag_syn | flag_rst | flag_ack)) == flag_ack &&
         segment.sequence == receive.next && segment.payload.size() <= receive.edge - receive.next &&
         (!receive.timestamps || !segment.has_timestamp || at_or_after(segment.timestamp, receive.recent_timestamp));
}

// RFC 9293 3.10.7.4, first to fourth check, with RFC 7323 5.3 before and RFC 5961 3 and 4 in place of the old RST and
// SYN rules. False: the segment is answered or dropped, and done with.
bool Stack::acceptable(Connection& connection, const Segment& segment) {
  auto& receive = connection.receive;
  bool reset = segment.has(flag_rst);
  if (receive.timestamps && segment.has_timestamp && !reset && before(segment.timestamp, receive.recent_timestamp) &&
      now_ - receive.last_segment < timestamp_validity) {
    counters_.drop_old_timestamp.add();
    answer_unacceptable(connection, segment);
    return false;
  }
  // Not before what was last acknowledged (an ACK that was overtaken by data still counts), not behind the window.
  Sequence end = segment.sequence + segment.sequence_bytes();
  bool in_window = at_or_after(end, receive.last_ack_sent) && at_or_before(segment.sequence, receive.edge);
  // A peer that probes a shut window with its next byte may count that as sent: its acknowledgements then come from one
  // byte behind the window, and without them nothing that we send would ever be acknowledged.
  bool behind_probe = receive.edge == receive.next && segment.sequence == receive.edge + 1 && segment.payload.empty() &&
                      !segment.has(flag_fin);
  if (reset) {
    on_reset(connection, segment);
    return false;
  }
  // The second SYN of a simultaneous open comes with an ACK: it is the peer's half of the handshake.
  if (segment.has(flag_syn) && connection.receive.state == State::syn_received && segment.has(flag_ack) &&
      segment.sequence == connection.initial_receive)
    return true;
  if (segment.has(flag_syn)) {
    challenge(connection);
    return false;
  }
  if (!in_window && !behind_probe) {
    counters_.drop_outside_window.add();
    answer_unacceptable(connection, segment);
    return false;
  }
  return true;
}

// Says where we are. Without a limit if the peer sends data, or probes (one before the next): it needs to know. Others
// are limited, or two confused peers would acknowledge each other for ever.
void Stack::answer_unacceptable(Connection& connection, const Segment& segment) {
  bool probe = segment.sequence + 1 == connection.receive.next;
  if (segment.payload.empty() && !segment.has(flag_fin) && !probe) return challenge(connection);
  if (connection.receive.sack && !segment.payload.empty() &&
      at_or_before(segment.sequence + static_cast<Sequence>(segment.payload.size()), connection.receive.next)) {
    note_duplicate(connection, {segment.sequence, segment.sequence + static_cast<Sequence>(segment.payload.size())});
  }
  connection.receive.ack_now = true;
  mark_output(connection);
}

// RFC 5961 3.2: only the exact next number resets; a near miss is asked to confirm; the rest is noise.
void Stack::on_reset(Connection& connection, const Segment& segment) {
  counters_.resets_received.add();
  auto& receive = connection.receive;
  if (segment.sequence == receive.next) {
    if (receive.state == State::syn_received) return finish(connection, CloseReason::refused);
    // RFC 9293 3.10.7.4 has no "connection reset" here: the peer took everything and forgot us before our FIN was
    // acknowledged, as one does that ends TIME_WAIT early, or whose ACK was lost.
    const bool peer_has_all = receive.finished && connection.send.unacknowledged == connection.send.end;
    return finish(connection,
                  peer_has_all && connection.send.finish ? CloseReason::finished : CloseReason::reset_by_peer);
  }
  if (after(segment.sequence, receive.next) && before(segment.sequence, receive.edge)) challenge(connection);
}

// An ACK that a real peer will answer, and that tells a forger nothing (RFC 5961 7: limited).
void Stack::challenge(Connection& connection) {
  if (!connection.challenges.allow(now_) || !allow_challenge()) return counters_.challenge_acks_limited.add();
  counters_.challenge_acks_sent.add();
  connection.receive.ack_now = true;
  mark_output(connection);
}

bool Stack::allow_challenge() {
  challenges_.set_limit(secrets_.blurred_limit(config_.challenge_acks_per_second, now_));
  return challenges_.allow(now_);
}

// RFC 7323 4.3: the timestamp to echo is that of the segment that begins where the last ACK ended.
void Stack::take_timestamp(Connection& connection, const Segment& segment) {
  auto& receive = connection.receive;
  if (receive.timestamps && segment.has_timestamp && at_or_before(segment.sequence, receive.last_ack_sent) &&
      at_or_after(segment.timestamp, receive.recent_timestamp))
    receive.recent_timestamp = segment.timestamp;
}

}  // namespace talaria::tcp
