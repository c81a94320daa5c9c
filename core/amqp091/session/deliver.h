// basic.deliver, basic.get-ok and basic.return: the way out of a message (reference section 5: #2, #11, #13).
//
// Small messages are encoded once, straight into the send buffer. Bodies above Config::share_body_from are sent by
// reference and split at the negotiated frame size. When TCP has enough, the output is full (see there): the
// connection's consumers are paused, and a body stops where it is.
#pragma once

#include <span>

#include "core/amqp091/session/connection.h"
#include "core/broker/operations.h"

namespace talaria::amqp091::session {

// Takes over the references of deliveries to one consumer. `channel`: nullptr if it is gone.
void deliver(Shared& shared, Channel* channel, std::span<const broker::Deliver> run);
// There is room under the channel-wide prefetch again: what was parked goes out.
void deliver_parked(Channel& channel);
// Nobody has had it: back to its place in the queue. Marked redelivered all the same, as younger messages may have gone
// to others meanwhile, and only that mark excuses a message from its order (specification 4.7). Takes over the
// reference.
void give_back(Shared& shared, const broker::Deliver& delivery);
// Pauses the consumers of a connection whose output is full.
void pause_if_full(Connection& connection);
// At the end of a turn in which the output became full, or something waits in it.
void on_full(Connection& connection);
// TCP may take more: what waits goes out, and if there is room then the connection goes on.
void resume_output(Connection& connection);
// Writes what waits, as far as it goes.
void flush_backlog(Connection& connection);
// Tells the queue whether the consumer should have messages, if that changed.
void update_pause(Consumer& consumer);
// Tells a queue on another worker how many deliveries went out.
void report_passed(Consumer& consumer);

// Both leave the reference with the caller.
void write_return(Channel& channel, broker::Message& message, ReplyCode code);
void write_get_ok(Channel& channel, const broker::Got& got, uint64_t tag);

}  // namespace talaria::amqp091::session
