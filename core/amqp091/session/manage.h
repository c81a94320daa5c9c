// Commands as messages: what a client publishes to the management exchange goes to the control plane, and its answer
// comes to the message's `reply-to`. The routing key is the command, the body a JSON object of its arguments
// (docs/OPERATING.md, docs/decisions/0011).
//
// The exchange has no bindings, so that such a message is found where a route has been looked for in vain: others pay
// nothing. The connection is not read until the control plane has taken the command, has done what it asks and has sent
// the answer on its way: one at a time of each connection. Then comes the confirm.
#pragma once

#include "core/amqp091/session/connection.h"
#include "core/broker/message.h"

namespace talaria::amqp091::session {

bool is_command(const broker::Message& message);
// The caller keeps the reference. The channel may have failed.
void on_command(Channel& channel, const broker::Message& message);

}  // namespace talaria::amqp091::session
