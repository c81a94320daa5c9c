// One session as the control thread may read it at any time, without asking the worker: single-writer counters in a
// fixed array, indexed by the session's slot. A reader compares `generation` before and after it reads the rest.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/cache_line.h"
#include "core/base/counters.h"

namespace talaria::amqp091::session {

//   accepted --> greeting --> authenticating --> tuning --> opening --> open --> closing --> vacant
//                    '--------------'----------------'----------'--------> refused --> vacant
enum class SessionState : uint8_t {
  vacant,
  greeting,        // the protocol header, then start-ok, is awaited
  authenticating,  // the control plane looks at the credentials
  tuning,          // tune-ok, then open, is awaited
  opening,         // the control plane looks at the vhost
  open,
  closing,  // close was sent or received; channels, consumers and exclusive queues go
  refused,  // never opened: waits for the end of the silence
};
std::string_view to_text(SessionState state);

struct alignas(base::cache_line) SessionInfo {
  base::Counter generation;  // of broker::SessionId; 0: the slot is vacant
  base::Counter state;       // SessionState
  base::Counter channels;
  base::Counter consumers;
  base::Counter bytes_in, bytes_out;        // of the AMQP stream
  base::Counter messages_in, messages_out;  // published; delivered and got
  base::Counter unacknowledged;             // deliveries the client has not settled
  base::Counter blocked;                    // 1 while its input waits for room
  // Of its TCP connection, refreshed every few seconds.
  base::Counter send_buffered, smoothed_rtt_ns, congestion_window, peer_window, retransmissions, segment_size;
  base::Counter out_of_order, reordered, zero_window_ns, last_stall, last_stall_at_ns;  // last_stall: tcp::Stall
};
static_assert(base::has_lines_of_its_own<SessionInfo>);

}  // namespace talaria::amqp091::session
