// Recovery from loss by duplicate acknowledgements, and after a timeout by going back to the first unacknowledged byte
// (RFC 5681, RFC 6582): for peers without SACK, and for connections that lost track of what is in flight.
#include <algorithm>

#include "core/tcp/congestion.h"
#include "core/tcp/stack.h"

namespace talaria::tcp {
namespace {

constexpr uint8_t duplicate_threshold = 3;  // DupThresh

}  // namespace

void Stack::recover_from(Connection& connection, uint32_t acknowledged) {
  auto& send = connection.send;
  bool whole = at_or_after(send.unacknowledged, connection.recover);
  if (send.recovery == Recovery::timeout) {
    grow_window(connection, std::min<uint32_t>(acknowledged, send.mss));
    if (whole) {
      send.recovery = Recovery::none;
      send.duplicate_acks = 0;
    }
    return;
  }
  if (whole) {
    uint32_t flight = connection.in_flight();
    send.congestion_window = std::min(send.threshold, std::max<uint32_t>(flight, send.mss) + send.mss);
    send.end_recovery();
    return;
  }
  // A partial ACK (RFC 6582 3.2 step 3): the next segment is lost too; the window shrinks by what left the network.
  send.retransmit_now = true;
  uint32_t deflated = send.congestion_window > acknowledged ? send.congestion_window - acknowledged : 0;
  if (acknowledged >= send.mss) deflated += send.mss;
  send.congestion_window = std::max<uint32_t>(deflated, send.mss);
}

void Stack::on_duplicate_acknowledgement(Connection& connection) {
  auto& send = connection.send;
  counters_.duplicate_acks.add();
  if (send.duplicate_acks < UINT8_MAX) send.duplicate_acks++;
  mark_output(connection);
  if (send.recovery == Recovery::timeout) return;
  if (send.recovery == Recovery::fast) {
    send.congestion_window = std::min(send.congestion_window + send.mss, Congestion::window_max);
    return;
  }
  // RFC 6582 3.2 step 2: duplicates that a finished recovery's own retransmissions caused do not begin another one.
  if (send.duplicate_acks >= duplicate_threshold && after(send.unacknowledged, connection.recover))
    return enter_fast_recovery(connection);
  if (send.duplicate_acks < duplicate_threshold) counters_.limited_transmits.add();  // RFC 3042, see `choose`
}

void Stack::enter_fast_recovery(Connection& connection) {
  auto& send = connection.send;
  counters_.fast_retransmits.add();
  send.threshold = connection.congestion.threshold_after_loss(connection.in_flight(), send.mss);
  send.congestion_window = send.threshold + duplicate_threshold * uint32_t{send.mss};
  send.recovery = Recovery::fast;
  send.retransmit_now = true;
  connection.recover = send.max;
}

}  // namespace talaria::tcp
