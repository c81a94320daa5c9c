// Active opening, and the simultaneous one (RFC 9293 3.5, 3.10.7.3).
#include "core/base/check.h"
#include "core/tcp/congestion.h"
#include "core/tcp/stack.h"

namespace talaria::tcp {
namespace {

constexpr uint16_t ephemeral_first = 49152;
constexpr uint32_t ephemeral_count = 65536 - ephemeral_first;

}  // namespace

std::expected<ConnectionId, ConnectError> Stack::connect(Endpoint remote, std::optional<uint16_t> local_port,
                                                         base::Time now) {
  now_ = now;
  const net::IpAddress local = choose_interface(remote.address);
  if (remote.port == 0 || !remote.address.is_unicast() || local.is_unspecified() || (local_port && *local_port == 0))
    return std::unexpected(ConnectError::bad_address);
  ipv6_in_hand_ = {local, remote.address};
  Tuple tuple = tuple_of(ipv6_in_hand_, 0, remote.port, secrets_.address_key());
  if (local_port) {
    tuple.local_port = *local_port;
    if (tuple_in_use(tuple)) return std::unexpected(ConnectError::port_in_use);
  } else {
    uint32_t start = secrets_.port_offset(remote) + next_port_++;
    uint32_t tried = 0;
    do {
      if (tried == ephemeral_count) return std::unexpected(ConnectError::no_port);
      tuple.local_port = static_cast<uint16_t>(ephemeral_first + (start + tried++) % ephemeral_count);
    } while (tuple_in_use(tuple));
  }
  Connection* connection = open(tuple, hash(tuple));
  if (!connection) return std::unexpected(ConnectError::no_connection);
  auto& send = connection->send;
  connection->active = true;
  connection->receive.state = State::syn_sent;
  connection->initial_send = secrets_.initial_sequence(tuple, now);
  send.unacknowledged = send.next = send.max = connection->initial_send;
  send.end = connection->initial_send + 1;
  connection->recover = connection->initial_send;
  mark_output(*connection);
  return id_of(*connection);
}

// Takes the interface in hand whose routes lead to `remote` by the longest prefix, and answers with the address that
// speaks to it there; unspecified if there is none, or `remote` is one of ours.
net::IpAddress Stack::choose_interface(const net::IpAddress& remote) {
  net::IpAddress local;
  int best = -2;
  for (size_t index = 0; index < interfaces_.size(); index++) {
    const net::Routing& routing = interfaces_[index].host->routing();
    if (routing.is_ours(remote)) return {};
    const net::IpAddress source = routing.source_for(remote);
    const int bits = routing.prefix_towards(remote);
    if (source.is_unspecified() || bits <= best) continue;
    best = bits;
    local = source;
    interface_in_hand_ = static_cast<InterfaceIndex>(index);
  }
  return local;
}

bool Stack::tuple_in_use(const Tuple& tuple) {
  uint64_t key = hash(tuple);
  return is_listening(tuple.local_port) || index_.find(tuple, key) != base::none || half_open_.find(tuple, key) ||
         time_wait_.find(tuple, key);
}

// RFC 9293 3.10.7.3.
void Stack::on_syn_sent(Connection& connection, const Segment& segment) {
  auto& receive = connection.receive;
  auto& send = connection.send;
  bool acknowledged = false;
  if (segment.has(flag_ack)) {
    acknowledged =
        after(segment.acknowledgement, send.unacknowledged) && at_or_before(segment.acknowledgement, send.max);
    if (!acknowledged) {
      counters_.drop_bad_ack.add();
      return reset_stranger(connection.tuple(), segment);
    }
  }
  if (segment.has(flag_rst)) {
    counters_.resets_received.add();
    if (acknowledged) finish(connection, CloseReason::refused);
    return;
  }
  if (!segment.has(flag_syn)) return counters_.drop_no_connection.add();

  connection.initial_receive = segment.sequence;
  receive.next = receive.read = receive.last_ack_sent = segment.sequence + 1;
  receive.edge = receive.next + std::min<uint32_t>(config_.receive_window, 65535);
  receive.last_segment = now_;
  set_options(connection, segment.mss, segment);
  send.window = segment.window;  // a SYN's window is not scaled
  send.window_sequence = segment.sequence;
  send.window_acknowledgement = segment.acknowledgement;
  connection.window_max = send.window;
  if (!acknowledged) {
    // Both sides opened at once: our SYN again, with an ACK for theirs.
    receive.state = State::syn_received;
    send.next = connection.initial_send;
    return mark_output(connection);
  }
  sample_round_trip(connection, segment);
  send.unacknowledged = segment.acknowledgement;
  become_established(connection);
  event_of(connection).connected = true;
  receive.ack_now = true;
  mark_output(connection);
}

// The answer to our SYN-ACK of a simultaneous open. False: the segment is done with.
bool Stack::on_syn_received(Connection& connection, const Segment& segment) {
  auto& send = connection.send;
  if (!after(segment.acknowledgement, send.unacknowledged) || after(segment.acknowledgement, send.max)) {
    counters_.drop_bad_ack.add();
    reset_stranger(connection.tuple(), segment);
    return false;
  }
  sample_round_trip(connection, segment);
  send.unacknowledged = segment.acknowledgement;
  bool with_syn = segment.has(flag_syn);
  send.window = static_cast<uint32_t>(segment.window) << (with_syn ? 0 : send.scale);
  connection.window_max = std::max(connection.window_max, send.window);
  send.window_sequence = segment.sequence;
  send.window_acknowledgement = segment.acknowledgement;
  become_established(connection);
  event_of(connection).connected = true;
  if (!with_syn) return true;
  connection.receive.ack_now = true;
  mark_output(connection);
  return false;  // nothing else is in the peer's SYN-ACK
}

// The handshake is over, whoever began it.
void Stack::become_established(Connection& connection) {
  auto& send = connection.send;
  connection.receive.state = State::established;
  connection.receive.last_segment = now_;
  send.next = send.max = later(send.max, send.unacknowledged);
  send.timer = base::never;
  connection.timeouts = 0;
  connection.round_trip.backoff = 0;
  send.congestion_window = Congestion::initial_window(send.mss);
  if (connection.retransmits > 0) send.congestion_window = send.mss;  // RFC 5681 3.1: a lost SYN is a loss
  send.threshold = Congestion::window_max;
  connection.last_sent = now_;
  connection.congestion.choose(config_.congestion_control);
  connection.flight.tracked = connection.receive.sack;
  connection.rack.highest = send.unacknowledged;
  if (config_.keepalive_idle.count() > 0) connection.keepalive_due = now_ + config_.keepalive_idle;
  if (connection.active) counters_.connections_opened_active.add();
  if (send.end != send.next) mark_output(connection);
  arm(connection);
}

}  // namespace talaria::tcp
