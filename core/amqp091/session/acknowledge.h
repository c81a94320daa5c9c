// basic.ack, nack, reject and recover: what the client says became of deliveries (reference section 5: #11, #15).
#pragma once

#include "core/amqp091/session/connection.h"

namespace talaria::amqp091::session {

Step on_ack(Channel& channel, base::Bytes payload);
Step on_nack(Channel& channel, base::Bytes payload);
Step on_reject(Channel& channel, base::Bytes payload);
void on_recover(Channel& channel, bool requeue, bool answer, uint32_t method);
// Goes on with a long `multiple`.
void settle_more(Connection& connection);
// One delivery that was taken out of the ring.
void settle(Channel& channel, const Unacked& delivery, broker::Outcome outcome);

}  // namespace talaria::amqp091::session
