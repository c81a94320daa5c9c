// Names and values that cross the border of the TCP layer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/id.h"
#include "core/base/time.h"
#include "core/net/ip_address.h"
#include "core/tcp/stall.h"

namespace talaria::tcp {

// One connection for as long as it lives. A stale id is safe everywhere: calls with it do nothing and answer empty.
using ConnectionId = base::Id<struct ConnectionTag>;

// One of a stack's hosts, each of which is a network port (RFC 1122 calls it an interface) with addresses of its own.
using InterfaceIndex = uint8_t;
inline constexpr size_t interfaces_max = 16;

struct Endpoint {
  net::IpAddress address;
  uint16_t port = 0;

  auto operator<=>(const Endpoint&) const = default;
};
std::string to_text(const Endpoint& endpoint);  // "198.18.0.1:5672", "[2001:db8::1]:5672"

enum class State : uint8_t {
  closed,
  syn_sent,
  syn_received,  // of a simultaneous open only: a passive open waits in the half-open table, without a connection
  established,
  fin_wait_1,
  fin_wait_2,
  close_wait,
  closing,
  last_ack,
};
std::string_view to_text(State state);

enum class CloseReason : uint8_t {
  none,
  finished,  // both sides sent FIN and everything was acknowledged
  reset_by_peer,
  refused,    // active open: the peer answered the SYN with RST
  timed_out,  // retransmissions were not acknowledged (R2), or the SYN was not answered
  keepalive_timeout,
  linger_timeout,  // close() was called and the peer did not take the rest, or never sent its FIN
  aborted,         // abort() was called here
};
std::string_view to_text(CloseReason reason);

enum class ConnectError : uint8_t {
  no_connection,  // all Config::connections are taken
  no_port,        // every ephemeral port towards that peer is taken
  port_in_use,    // the local port asked for is taken towards that peer
  bad_address,
};

// What happened to one connection since the last turn. There is at most one of these per connection and turn: look at
// the flags in the order they stand in.
struct Event {
  ConnectionId id;
  bool accepted = false;       // a new connection to a listener
  bool connected = false;      // an active open succeeded
  bool readable = false;       // new bytes arrived in order: ask `input`
  bool writable = false;       // after send_room was 0: the queue fell to half of what it may be
  bool peer_finished = false;  // the peer's FIN is in order: after what `input` still holds nothing follows
  bool closed = false;         // gone, for `reason`; the id is dead after clear_events()
  CloseReason reason = CloseReason::none;
};

// A picture of one connection for the operator.
struct ConnectionInfo {
  Endpoint local;
  Endpoint remote;
  State state = State::closed;
  uint16_t send_mss = 0;
  uint16_t receive_mss = 0;
  base::Duration rtt{};  // smoothed; 0 before the first sample
  base::Duration rtt_variation{};
  base::Duration rto{};
  uint32_t congestion_window = 0;  // bytes
  uint32_t slow_start_threshold = 0;
  uint32_t in_flight = 0;       // sent, not acknowledged
  uint64_t queued = 0;          // written, not acknowledged
  uint32_t send_window = 0;     // the peer's
  uint32_t receive_window = 0;  // ours, as last advertised
  uint32_t unread = 0;          // arrived, not consumed
  uint64_t bytes_sent = 0;      // payload, first transmissions
  uint64_t bytes_received = 0;  // payload, in order
  uint64_t segments_sent = 0;
  uint64_t segments_received = 0;
  uint64_t retransmits = 0;  // segments
  uint64_t timeouts = 0;
  uint64_t out_of_order = 0;  // segments received
  uint64_t zero_window_probes = 0;
  uint64_t reordered = 0;        // segments sent, as far as the peer's acknowledgements tell
  base::Duration zero_window{};  // the peer's, while there was something to send
  Stall last_stall = Stall::none;
  base::Time last_stall_at{};
  base::Duration age{};
};

}  // namespace talaria::tcp
