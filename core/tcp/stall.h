// What last kept a connection from sending, or its peer, and for how long the peer's window was shut: for the operator
// who asks why one client is slow. Noted where the walk leaves the steady path anyway.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/time.h"

namespace talaria::tcp {

enum class Stall : uint8_t {
  none,
  peer_window,  // there is data, and the peer does not take it: its application does not read
  timeout,      // nothing came back until the retransmission timer fired
  port,         // the port's queue was full
  packets,      // no packet to send in
  memory,       // of the send queues: who writes waits
  own_window,   // the application does not read: the window that the peer was told is shut
};
constexpr std::string_view to_text(Stall stall) {
  switch (stall) {
    case Stall::none: return "none";
    case Stall::peer_window: return "peer_window";
    case Stall::timeout: return "timeout";
    case Stall::port: return "port";
    case Stall::packets: return "packets";
    case Stall::memory: return "memory";
    case Stall::own_window: return "own_window";
  }
  return "none";
}

struct Stalls {
  Stall last = Stall::none;
  base::Time last_at{};                 // when it was noted last
  base::Time shut_since = base::never;  // the peer's window, while there is data
  base::Duration shut{};                // in all, before that

  void note(Stall stall, base::Time now) {
    last = stall;
    last_at = now;
  }
  void on_shut(base::Time now) {
    if (shut_since != base::never) return;
    note(Stall::peer_window, now);
    shut_since = now;
  }
  void on_open(base::Time now) {
    if (shut_since == base::never) return;
    shut += now - shut_since;
    shut_since = base::never;
  }
  base::Duration shut_for(base::Time now) const {
    return shut + (shut_since == base::never ? base::Duration{} : now - shut_since);
  }
};

}  // namespace talaria::tcp
