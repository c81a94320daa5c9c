// Passive opening: SYN, SYN-ACK, ACK, with a compact entry for each handshake that is under way and, when those are all
// taken, with cookies and none (RFC 4987). A connection block is taken when the handshake is complete.
#include <algorithm>

#include "core/base/check.h"
#include "core/tcp/stack.h"

namespace talaria::tcp {
namespace {

// An option that asks for less would make more headers than data (RFC 9293 3.7.1 sets no floor; CVE-2019-11479 shows
// why).
constexpr uint16_t mss_floor = 64;
constexpr uint16_t mss_default = 536;

}  // namespace

bool Stack::listen(uint16_t port) {
  if (is_listening(port)) return true;
  if (port == 0 || listeners_.size() == config_.listeners) return false;
  listeners_.push_back(port);
  return true;
}

void Stack::stop_listening(uint16_t port) { std::erase(listeners_, port); }

bool Stack::is_listening(uint16_t port) const {
  return std::find(listeners_.begin(), listeners_.end(), port) != listeners_.end();
}

// RFC 9293 3.10.7.2.
void Stack::on_listen(const Tuple& tuple, uint64_t hash, const Segment& segment, net::Packet& packet) {
  if (segment.has(flag_rst)) return counters_.resets_received.add();
  if (segment.has(flag_ack)) {
    if (!segment.has(flag_syn) && accept_cookie(tuple, hash, segment, packet)) return;
    counters_.drop_no_connection.add();
    return reset_stranger(tuple, segment);
  }
  if (!segment.has(flag_syn) || segment.has(flag_fin)) return counters_.drop_listen_refused.add();
  on_syn(tuple, hash, segment);
}

// Data that comes with the SYN is not taken: the peer sends it again behind the handshake.
void Stack::on_syn(const Tuple& tuple, uint64_t hash, const Segment& segment) {
  counters_.syn_received.add();
  // Better no answer, and the peer tries again, than a handshake that ends nowhere.
  if (connections_.free() == 0) return counters_.syn_dropped_no_connection.add();
  if (!source_has_room(tuple)) return;
  const uint64_t source = source_hash(tuple, ipv6_in_hand_);
  if (config_.handshakes_per_source != 0 && handshakes_by_source_.of(source) >= config_.handshakes_per_source) {
    counters_.half_open_source_full.add();
    return send_cookie(tuple, segment);
  }
  HalfOpen* entry = half_open_.add(tuple, hash, now_);
  if (!entry) {
    counters_.half_open_full.add();
    return send_cookie(tuple, segment);
  }
  if (config_.handshakes_per_source != 0) handshakes_by_source_.add(source);
  if (tuple.is_ipv6()) half_open_.addresses(*entry) = ipv6_in_hand_;
  entry->interface = interface_in_hand_ & 15;
  entry->initial_receive = segment.sequence;
  entry->initial_send = secrets_.initial_sequence(tuple, now_);
  entry->peer_mss = segment.mss;
  entry->has_window_scale = segment.has_window_scale;
  entry->window_scale = segment.window_scale & 15;
  entry->has_timestamp = segment.has_timestamp && config_.timestamps;
  entry->recent_timestamp = segment.timestamp;
  entry->sack_permitted = segment.sack_permitted && config_.selective_acknowledgement;
  send_syn_ack(*entry);
}

void Stack::forget(HalfOpen& entry, uint64_t hash) {
  if (config_.handshakes_per_source != 0) {
    const AddressPair ipv6 = entry.key.is_ipv6() ? half_open_.addresses(entry) : AddressPair{};
    handshakes_by_source_.remove(source_hash(entry.key, ipv6));
  }
  half_open_.remove(entry, hash);
}

// One address of IPv4; of IPv6 the network, since whoever has one address there has 2^64 of them.
uint64_t Stack::source_hash(const Tuple& tuple, const AddressPair& ipv6) const {
  uint8_t bytes[8];
  base::store_be64(bytes, tuple.is_ipv6() ? ipv6.remote.high : tuple.remote_address);
  return base::siphash24(secrets_.table_key(), bytes);
}

// May its address have one more connection? Counted if not.
bool Stack::source_has_room(const Tuple& tuple) {
  if (config_.connections_per_source == 0) return true;
  if (connections_by_source_.of(source_hash(tuple, ipv6_in_hand_)) < config_.connections_per_source) return true;
  counters_.syn_dropped_source.add();
  return false;
}

// Options only in answer to the peer's (RFC 7323 2.2, RFC 2018 2). The window of a SYN is not scaled.
void Stack::send_syn_ack(const HalfOpen& entry) {
  Segment segment;
  segment.flags = flag_syn | flag_ack;
  segment.sequence = entry.initial_send;
  segment.acknowledgement = entry.initial_receive + 1;
  segment.window = static_cast<uint16_t>(std::min<uint32_t>(config_.receive_window, 65535));
  segment.mss = local_mss(interface_in_hand_, entry.key);
  segment.has_window_scale = entry.has_window_scale;
  segment.window_scale = local_scale_;
  segment.has_timestamp = entry.has_timestamp;
  segment.timestamp = timestamp_clock(secrets_.timestamp_offset(entry.key));
  segment.timestamp_echo = entry.recent_timestamp;
  segment.sack_permitted = entry.sack_permitted;
  send_bare(entry.key, segment);
}

// Where we are, as a connection would say it.
void Stack::challenge_half_open(const HalfOpen& entry) {
  if (!allow_challenge()) return counters_.challenge_acks_limited.add();
  Segment segment;
  segment.flags = flag_ack;
  segment.sequence = entry.initial_send + 1;
  segment.acknowledgement = entry.initial_receive + 1;
  segment.window = static_cast<uint16_t>(std::min<uint32_t>(config_.receive_window, 65535));
  segment.has_timestamp = entry.has_timestamp;
  segment.timestamp = timestamp_clock(secrets_.timestamp_offset(entry.key));
  segment.timestamp_echo = entry.recent_timestamp;
  if (send_bare(entry.key, segment)) counters_.challenge_acks_sent.add();
}

// A SYN-ACK that remembers nothing: the number carries the MSS, the timestamp the other options.
void Stack::send_cookie(const Tuple& tuple, const Segment& syn) {
  CookieOptions options{.peer_mss = syn.mss == 0 ? mss_default : syn.mss,
                        .sack_permitted = syn.sack_permitted && config_.selective_acknowledgement,
                        .has_window_scale = syn.has_window_scale,
                        .window_scale = syn.window_scale};
  Segment segment;
  segment.flags = flag_syn | flag_ack;
  segment.sequence = secrets_.cookie(tuple, syn.sequence, options.peer_mss, now_);
  segment.acknowledgement = syn.sequence + 1;
  segment.window = static_cast<uint16_t>(std::min<uint32_t>(config_.receive_window, 65535));
  segment.mss = local_mss(interface_in_hand_, tuple);
  if (syn.has_timestamp && config_.timestamps) {
    segment.has_timestamp = true;
    segment.timestamp = Secrets::timestamp_with(timestamp_clock(secrets_.timestamp_offset(tuple)), options);
    segment.timestamp_echo = syn.timestamp;
    segment.has_window_scale = syn.has_window_scale;
    segment.window_scale = local_scale_;
    segment.sack_permitted = options.sack_permitted;
  }
  if (!send_bare(tuple, segment)) return;
  counters_.cookies_sent.add();
  cookies_until_ = now_ + 2 * Secrets::cookie_lifetime;
}

// An ACK that nothing is known of: it may bring a cookie back, if any are out. True if it did.
bool Stack::accept_cookie(const Tuple& tuple, uint64_t hash, const Segment& segment, net::Packet& packet) {
  if (now_ >= cookies_until_) return false;
  HalfOpen handshake{
      .key = tuple, .initial_receive = segment.sequence - 1, .initial_send = segment.acknowledgement - 1};
  auto mss = secrets_.check_cookie(handshake.initial_send, tuple, handshake.initial_receive, now_);
  if (!mss) {
    counters_.cookies_rejected.add();
    return false;
  }
  handshake.peer_mss = *mss;
  if (segment.has_timestamp && config_.timestamps) {
    CookieOptions options;
    Secrets::options_from(segment.timestamp_echo, options);
    handshake.has_timestamp = 1;
    handshake.recent_timestamp = segment.timestamp;
    handshake.has_window_scale = options.has_window_scale;
    handshake.window_scale = options.window_scale & 15;
    handshake.sack_permitted = options.sack_permitted;
  }
  Connection* connection = accept(handshake, hash, segment);
  if (!connection) return true;  // no block: the peer's next segment may find one
  counters_.cookies_accepted.add();
  on_segment(*connection, segment, packet);
  return true;
}

// RFC 9293 3.10.7.4 in SYN-RECEIVED, of a passive open.
void Stack::on_half_open(HalfOpen& entry, uint64_t hash, const Segment& segment, net::Packet& packet) {
  Sequence next = entry.initial_receive + 1;
  Sequence edge = next + std::min<uint32_t>(config_.receive_window, 65535);
  bool in_window = at_or_after(segment.sequence, next) && at_or_before(segment.sequence, edge);
  if (segment.has(flag_rst)) {
    counters_.resets_received.add();
    // RFC 5961 3.2 holds here too: a near miss is asked to confirm.
    if (segment.sequence == next)
      forget(entry, hash);
    else if (in_window)
      challenge_half_open(entry);
    return;
  }
  if (segment.has(flag_syn)) {
    if (segment.sequence == entry.initial_receive && !segment.has(flag_ack)) return send_syn_ack(entry);
    if (!in_window) {
      if (!allow_challenge()) return counters_.challenge_acks_limited.add();
      counters_.challenge_acks_sent.add();
      return send_syn_ack(entry);
    }
    forget(entry, hash);  // back to LISTEN: the peer began anew
    return;
  }
  if (!segment.has(flag_ack)) return counters_.drop_no_ack_flag.add();
  if (segment.acknowledgement != entry.initial_send + 1) {
    // The peer's first SYN may have been answered with a cookie, and this entry been made for the second: an answer to
    // either opens the connection. (Not one to an earlier SYN: that is an echo of another connection.)
    const Tuple tuple = entry.key;
    const bool to_this_syn = segment.sequence == next;
    if (!to_this_syn || !accept_cookie(tuple, hash, segment, packet)) return reset_stranger(tuple, segment);
    return forget(entry, hash);
  }
  if (!in_window) {
    counters_.drop_outside_window.add();
    return send_syn_ack(entry);
  }
  if (entry.has_timestamp && segment.has_timestamp && before(segment.timestamp, entry.recent_timestamp))
    return counters_.drop_old_timestamp.add();
  HalfOpen handshake = entry;
  Connection* connection = accept(handshake, hash, segment);
  if (!connection) return;  // no block now: the entry waits for the peer's next segment
  forget(entry, hash);
  on_segment(*connection, segment, packet);
}

// The handshake is complete: a connection, established. The segment that completed it is processed by the caller.
Connection* Stack::accept(const HalfOpen& handshake, uint64_t hash, const Segment& segment) {
  if (!source_has_room(handshake.key)) return nullptr;
  Connection* connection = open(handshake.key, hash);
  if (!connection) {
    counters_.syn_dropped_no_connection.add();
    return nullptr;
  }
  auto& receive = connection->receive;
  auto& send = connection->send;
  connection->initial_receive = handshake.initial_receive;
  connection->initial_send = handshake.initial_send;
  receive.next = receive.read = receive.last_ack_sent = handshake.initial_receive + 1;
  receive.edge = receive.next + std::min<uint32_t>(config_.receive_window, 65535);
  send.unacknowledged = send.next = send.max = send.end = handshake.initial_send + 1;
  connection->recover = handshake.initial_send;

  Segment syn;
  syn.has_window_scale = handshake.has_window_scale;
  syn.window_scale = handshake.window_scale;
  syn.has_timestamp = handshake.has_timestamp;
  syn.timestamp = handshake.recent_timestamp;
  syn.sack_permitted = handshake.sack_permitted;
  set_options(*connection, handshake.peer_mss, syn);
  send.window_sequence = segment.sequence;
  send.window_acknowledgement = segment.acknowledgement;
  send.window = static_cast<uint32_t>(segment.window) << send.scale;
  connection->window_max = send.window;
  // The first step's SYN-ACK left one first timeout before its deadline; a later one's answer could be to either, and
  // one that brings data may have waited for the application.
  if (handshake.step == 0 && segment.payload.empty() && handshake.deadline != base::Time{})
    connection->round_trip.sample(now_ - (handshake.deadline - config_.rto_initial), config_.rto_min, config_.rto_max);
  counters_.connections_opened_passive.add();
  become_established(*connection);
  event_of(*connection).accepted = true;
  return connection;
}

// What the peer's SYN asked for, as far as we agree.
void Stack::set_options(Connection& connection, uint16_t peer_mss, const Segment& syn) {
  auto& receive = connection.receive;
  auto& send = connection.send;
  receive.timestamps = syn.has_timestamp && config_.timestamps;
  receive.recent_timestamp = syn.timestamp;
  receive.sack = syn.sack_permitted && config_.selective_acknowledgement;
  if (syn.has_window_scale) {
    receive.scale = local_scale_;
    send.scale = std::min(syn.window_scale, window_scale_max);
  }
  uint16_t mss = peer_mss == 0 ? mss_default : std::max(peer_mss, mss_floor);
  send.mss = std::min<uint16_t>(mss, segment_max(receive.interface, connection.tuple().family()));
}

}  // namespace talaria::tcp
