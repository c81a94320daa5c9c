// How large a segment the path takes: what routers say (RFC 1191), believed only if it fits what is in flight (RFC
// 5927), and what is found out when they say nothing and full segments vanish (RFC 2923). What was cut is tried again
// after ten minutes (RFC 1191 6.3): routes change.
#include <algorithm>

#include "core/tcp/stack.h"

namespace talaria::tcp {
namespace {

constexpr uint32_t headers_bytes = net::ipv4_header_bytes + tcp_header_bytes;
constexpr uint32_t mtu_min = 68;  // every link of the Internet takes that much (RFC 791): less is a lie
// Nobody is made to send smaller segments than these, whatever comes: dust would cost more than the path is worth.
constexpr uint32_t path_mss_min = 512;
constexpr base::Duration restore_after = std::chrono::minutes(10);
// Segments to try, one after the other, where larger ones vanish.
constexpr uint32_t plateaus[] = {4312, 1460, 1024, 536};

uint32_t plateau_below(uint32_t mss) {
  for (uint32_t plateau : plateaus)
    if (plateau < mss) return plateau;
  return mss;
}

}  // namespace

// Errors other than "too big" are soft: routes come back (RFC 5927 5.2, RFC 9293 3.9.2.2).
void Stack::on_icmp_error(const net::IcmpError& error, base::Time now) {
  now_ = now;
  const Tuple tuple{error.destination.value, error.source.value, error.destination_port, error.source_port};
  const uint32_t slot = index_.find(tuple, hash(tuple));
  if (slot == base::none) return;  // a colleague's, or nobody's
  if (error.code != net::icmp_code_fragmentation_needed) return counters_.icmp_ignored.add();
  Connection& connection = connections_[slot];
  const auto& send = connection.send;
  const bool in_flight = at_or_after(error.sequence, send.unacknowledged) && before(error.sequence, send.max);
  if (!connection.synchronized() || !in_flight) return counters_.icmp_ignored.add();
  on_packet_too_big(connection, error.next_hop_mtu);
}

void Stack::on_packet_too_big(Connection& connection, uint32_t mtu) {
  auto& send = connection.send;
  if (mtu == 0) mtu = plateau_below(send.mss) + headers_bytes;  // RFC 1191 5
  const uint32_t mss = mtu < mtu_min ? send.mss : std::max(mtu - headers_bytes, path_mss_min);
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
  const uint32_t smaller = plateau_below(send.mss);
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
