// The floor under latencies that are measured through the kernel's TCP: a relay in a broker's place, one sleeping
// thread, which speaks as much AMQP as it takes to let clients in and passes what is published on to whoever consumes,
// byte for byte. It has no queues and forgets nothing, since it knows nothing. What a client measures against it is the
// kernel's, the machine's and the client's own.
#pragma once

#include <cstdint>

namespace talaria::bench {

// Listens on 127.0.0.1 until it is killed; returns if it cannot.
void run_relay(uint16_t port);

}  // namespace talaria::bench
