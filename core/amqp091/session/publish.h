// basic.publish, its content header and its body: the way in of a message (reference section 5: #4, #8, #12, #20).
//
//   publish   the exchange is looked up (or known), its user may write
//   header    memory for the message is promised, the properties are copied
//   body      octets are copied where they will stay, frame by frame, also when a frame straddles packets
//   complete  route -> queues, mandatory, confirm
//
// There is one copy of the body. When there is no room the frame (or, at the end, the message) waits, and with it the
// connection's input.
#pragma once

#include "core/amqp091/session/connection.h"

namespace talaria::amqp091::session {

// There is room for it in all of `queues`, of which there is one at least.
void store(Channel& channel, broker::Message* message, std::span<broker::QueueRecord* const> queues);
// No queue is to answer for a message: it is confirmed now.
void confirm_at_once(Channel& channel);
Step on_publish(Channel& channel, base::Bytes payload);
Step on_content_header(Channel& channel, base::Bytes payload);
// The next octets of a body frame; the caller has checked that the channel takes that many.
Step on_body(Channel& channel, base::Bytes octets);
// The hot way: the method and the header of a message, and its body if that lies behind them in one frame, all at once.
// Returns the octets taken; 0: it is something else, or there is something to say about it, and its frames are to be
// read one by one. For connections that are open.
size_t publish_at_once(Connection& connection, base::Bytes in);
// Tries again to hand over the channel's complete message, if one waits for room. False: it waits on, and `why` says
// for what.
bool resume_waiting(Channel& channel, Stall& why);
// What was being published is forgotten.
void abandon_publishing(Channel& channel);

// A message that no queue wants may be a direct reply ...
enum class Reply : uint8_t {
  none,  // or it is not, or nobody awaits it any more
  waits,
  handed_over,
};
Reply hand_over_reply(Channel& channel, broker::Message* message, bool mandatory, Stall& why);
// One that queues want by its CC or BCC is a direct reply besides, if its routing key is an address. There is room for
// the queues. False: there is none at the one who awaits the reply, and nothing was done.
bool hand_over_reply_besides(Channel& channel, broker::Message& message, Stall& why);
// Otherwise it is dropped, and returned if it is mandatory.
void drop_unroutable(Channel& channel, broker::Message* message, bool mandatory);
// For whoever has the vhost traced. The message is being taken.
inline void trace(const Channel& channel, broker::Message& message, std::span<broker::QueueRecord* const> queues) {
  Shared& shared = *channel.connection.shared;
  if (shared.engine.tracing()) [[unlikely]]
    shared.traces.published(channel, message, queues);
}
// Confirms of a turn, as few frames as it takes.
void flush_confirms(Channel& channel);

}  // namespace talaria::amqp091::session
