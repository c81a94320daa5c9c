// What the broker publishes itself (events, log lines, copies of what it traces) and for nobody in particular.
#pragma once

#include <span>
#include <string_view>

#include "core/base/bytes.h"
#include "core/broker/exchange.h"
#include "core/broker/queue_record.h"

namespace talaria::amqp091::session {

struct Shared;

// Where it goes, by what is bound to `exchange` now; good until the next message is routed. `properties` are our own,
// and so well formed.
std::span<broker::QueueRecord* const> route_own(Shared& shared, broker::Exchange& exchange,
                                                std::string_view routing_key, base::Bytes properties);

}  // namespace talaria::amqp091::session
