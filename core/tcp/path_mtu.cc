// How large a segment the path takes: what routers say (RFC 1191, RFC 8201), believed only if it fits what is in flight
// (RFC 5927), and what is found out when they say nothing and full segments vanish (RFC 2923). What was cut is tried
// again after ten minutes (RFC 1191 6.3): routes change.
#include <algorithm>
#include <array>

#include "core/tcp/stack.h"

namespace talaria::tcp {
namespace {

// What differs from one version of IP to the other.
struct Path {
  uint32_t headers_bytes;
  uint32_t mtu_min;  // every link takes that much (RFC 791, RFC 8200 5): less is a lie
  // Nobody is made to send smaller segments than these, whatever comes: dust would cost more than the path is worth.
  uint32_t mss_min;
  std::array<uint32_t, 4> plateaus;  // segments to try, one after the other, where larger ones vanish
};
constexpr Path ipv4{net::ipv4_header_bytes + tcp_header_bytes, 68, 512, {4312, 1460, 1024, 536}};
constexpr Path ipv6{net::ipv6_header_bytes + tcp_header_bytes, net::ipv6_mtu_min, 1220, {4292, 1440, 1220, 1220}};
constexpr base::Duration restore_after = std::chrono::minutes(10);

const Path& path_of(const Connection& connection) { return connection.tuple().is_ipv6() ? ipv6 : ipv4; }

uint32_t plateau_below(const Connection& connection) {
  const uint32_t mss = connection.send.mss;
  for (uint32_t plateau : path_of(connection).plateaus)
    if (plateau < mss) return plateau;
  return mss;
}

}  // namespace

// Errors other than "too big" are soft: routes come back (RFC 5927 5.2, RFC 9293 3.9.2.2).
void Stack::on_icmp_error(const net::IcmpError& error, base::Time now) {
  now_ = now;
  const AddressPair pair{error.source, error.destination};
  const Tuple tuple = tuple_of(pair, error.source_port, error.destination_port, secrets_.address_key());
  const uint32_t slot = index_.find(tuple, hash(tuple));
  if (slot == base::none) return;  // a colleague's, or nobody's
  if (!error.too_big) return counters_.icmp_ignored.add();
  Connection& connection = connections_[slot];
  const auto& send = connection.send;
  const bool in_flight = at_or_after(error.sequence, send.unacknowledged) && before(error.sequence, send.max);
  if (!connection.synchronized() || !in_flight) return counters_.icmp_ignored.add();
  on_packet_too_big(connection, error.next_hop_mtu);
}

void Stack::on_packet_too_big(Connection& connection, uint32_t mtu) {
  auto& send = connection.send;
  const Path& path = path_of(connection);
  if (mtu == 0) mtu = plateau_below(connection) + path.headers_bytes;  // RFC 1191 5
  const uint32_t mss = mtu < path.mtu_min ? send.mss : std::max(mtu - path.headers_bytes, path.mss_min);
  if (mss >= send.mss) return counters_.icmp_ignored.add();
  counters_.path_mtu_cuts.add();
  cut_mss(connection, mss);
  // What was too big did not arrive, and that was no congestion (RFC 1191 6.5).
  if (connection.flight.tracked) {
    flight_memory_.lose_all(connection.flight, send.unacknowledged);
    if (connection.flight.lost > 0 && send.recovery == Recovery::none) {
      send.recovery = Recovery::fast;
      send.threshold = std::max<uint32_t>(send.congestion_window, 2u * send.mss);
      connection.recover = send.max;
      connection.reduction = {.flight = connection.in_flight()};
      connection.undo.window = 0;
    }
    connection.tail_probe_due = connection.tail_probe_out = false;
  } else {
    send.next = send.unacknowledged;
  }
  arm_send_timer(connection);
  mark_output(connection);
}

// Four timeouts in a row or six, eight, ..., and what is lost is larger than what would get through anywhere.
void Stack::suspect_black_hole(Connection& connection) {
  const auto& send = connection.send;
  const uint32_t smaller = plateau_below(connection);
  if (distance(send.unacknowledged, earlier(send.max, send.end)) <= smaller || smaller >= send.mss) return;
  counters_.black_holes.add();
  cut_mss(connection, smaller);
}

void Stack::cut_mss(Connection& connection, uint32_t mss) {
  if (!connection.mss_cut) connection.mss_agreed = connection.send.mss;
  connection.mss_cut = true;
  connection.mss_restore_at = now_ + restore_after;
  connection.send.mss = static_cast<uint16_t>(mss);
  connection.send.congestion_window = std::max<uint32_t>(connection.send.congestion_window, mss);
}

void Stack::restore_mss(Connection& connection) {
  connection.mss_cut = false;
  connection.send.mss = connection.mss_agreed;
  connection.send.congestion_window = std::max<uint32_t>(connection.send.congestion_window, connection.send.mss);
}

}  // namespace talaria::tcp
