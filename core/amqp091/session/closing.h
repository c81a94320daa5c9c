// How channels and connections end: errors, close and close-ok both ways, and taking apart what they held.
// Cold. Reference section 5: #4, #5, #15, #20.
#pragma once

#include <string>
#include <string_view>

#include "core/amqp091/session/connection.h"
#include "core/broker/requests.h"

namespace talaria::amqp091::session {

// ---- errors ---------------------------------------------------------------------------------------------------------
// `text` is what follows the code's name. `method`: the one to blame; 0: none.
// Sends channel.close; the channel is taken apart, its frames are dropped until the client says close-ok.
void fail_channel(Channel& channel, ReplyCode code, std::string_view text, uint32_t method);
// Sends connection.close; everything but close-ok is dropped from here on.
void fail_connection(Connection& connection, ReplyCode code, std::string_view text, uint32_t method);
// What a parser said: on the channel or the connection, as the code demands.
void fail(Channel& channel, const wire::Error& error);
void fail(Connection& connection, const wire::Error& error);
// What the control plane said: `channel` may be gone meanwhile (nullptr).
void refuse(Connection& connection, Channel* channel, const broker::Refusal& refusal, uint32_t method);
ReplyCode code_of(broker::RefusalReason reason);
// The stream makes no sense any more: what comes is dropped without looking at it.
void lose_stream(Connection& connection);

// ---- methods --------------------------------------------------------------------------------------------------------
void on_channel_close(Channel& channel);
void on_connection_close(Connection& connection);
void on_connection_close_ok(Connection& connection);

// ---- ending ---------------------------------------------------------------------------------------------------------
// TCP is gone, or the peer will say nothing more.
void on_transport_gone(Connection& connection);
// A bounded step of taking a connection apart, or the ending channels of an open one. Goes on the list again while
// there is more.
void take_apart(Connection& connection);
// An answer that a channel awaits before it has ended is there.
void on_channel_answer(Connection& connection, Channel& channel);
// Drops what output still held.
void drop_backlog(Connection& connection);

}  // namespace talaria::amqp091::session
