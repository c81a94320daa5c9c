// Exchanges, queues and bindings: methods become requests to the control plane, its answers become methods (reference
// section 5: #6 to #10). Cold.
#pragma once

#include "core/amqp091/session/connection.h"
#include "core/amqp091/wire/methods.h"
#include "core/broker/requests.h"

namespace talaria::amqp091::session {

void on_declare(Channel& channel, const wire::exchange::Declare& method);
void on_delete(Channel& channel, const wire::exchange::Delete& method);
void on_bind(Channel& channel, const wire::exchange::Bind& method);
void on_unbind(Channel& channel, const wire::exchange::Unbind& method);
void on_declare(Channel& channel, const wire::queue::Declare& method);
void on_delete(Channel& channel, const wire::queue::Delete& method);
void on_bind(Channel& channel, const wire::queue::Bind& method);
void on_unbind(Channel& channel, const wire::queue::Unbind& method);

// The answers. `pending` is what asked; the channel is still there.
void on_done(Channel& channel, const Pending& pending);
void on_queue_declared(Channel& channel, const Pending& pending, const broker::QueueDeclared& answer);
void on_queue_deleted(Channel& channel, const Pending& pending, const broker::QueueDeleted& answer);

}  // namespace talaria::amqp091::session
