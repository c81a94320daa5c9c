// Time: heartbeats both ways, the handshake's deadline, the silence before a refusal, the wait for close-ok
// (specification 4.2.7). One timer a connection; the hot path only leaves a flag behind.
#pragma once

#include "core/amqp091/session/connection.h"

namespace talaria::amqp091::session {

// Something must have happened until then. base::never: no such thing.
void set_deadline(Connection& connection, base::Time deadline);
// The connection is open: from now on it ticks.
void start_ticking(Connection& connection);
void on_timer(Connection& connection);

}  // namespace talaria::amqp091::session
