// Frames to whom they belong: connection or channel, method or content (specification 4.2.3 to 4.2.6; reference section
// 5: #4, #5).
#pragma once

#include "core/amqp091/session/connection.h"
#include "core/amqp091/wire/frame.h"

namespace talaria::amqp091::session {

// A whole frame. `wait`: nothing happened, it comes again.
Step on_frame(Connection& connection, const wire::Frame& frame);
// A body frame whose payload comes in pieces: whose it is. The connection may have failed afterwards.
void begin_body_frame(Connection& connection, uint16_t number, uint32_t size);
// An answer from the control plane to what the connection asked last.
void on_control_answer(Connection& connection, broker::Answer&& answer);

// Tells the control plane what channels show: prefetch, confirms, transactions.
void notify_changed(Channel& channel);

}  // namespace talaria::amqp091::session
