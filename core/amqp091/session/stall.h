// Publishers for whom there is no room: their connections are not read until there is, and TCP's window tells the
// client. One who waits long, and can, is told why (connection.blocked).
#pragma once

#include "core/amqp091/session/connection.h"

namespace talaria::amqp091::session {

// The connection is not read until there is room again. With a channel: a complete message of it waits.
void stall(Connection& connection, const Channel* channel, Stall why);
// The frame waits, and with it the connection's input.
Step wait_for_room(Connection& connection, Stall why);
// Tries again what waits, once a turn.
void resume_publisher(Connection& connection);

}  // namespace talaria::amqp091::session
