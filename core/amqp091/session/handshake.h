// From the protocol header to open-ok (specification 4.2.2, 2.2.4; reference section 5: #1, #3, #20). Cold.
//
//   client                          server
//   AMQP 0 0 9 1          --->
//                         <---      connection.start     mechanisms PLAIN AMQPLAIN
//   connection.start-ok   --->      Authenticate to the control plane
//                         <---      connection.tune      channel-max, frame-max, heartbeat
//   connection.tune-ok    --->
//   connection.open       --->      OpenConnection to the control plane
//                         <---      connection.open-ok
//
// A stranger has 10 seconds, 64 KiB and frames of 8 KiB. Until his credentials are good he gets no frame about what he
// did wrong: his TCP connection closes after a silence.
#pragma once

#include "core/amqp091/session/connection.h"
#include "core/broker/requests.h"

namespace talaria::amqp091::session {

// The first octets. Returns how many were taken.
size_t on_greeting(Connection& connection, base::Bytes first);
// A method on channel 0 before the connection is open.
void on_handshake_method(Connection& connection, base::Bytes payload);
void on_authenticated(Connection& connection, const broker::Answer& answer);
void on_opened(Connection& connection, const broker::Answer& answer);
// Says nothing more; TCP closes when the silence is over. `reason` counts why.
void fall_silent(Connection& connection, base::Counter& reason);

}  // namespace talaria::amqp091::session
