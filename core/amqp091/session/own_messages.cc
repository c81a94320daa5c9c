#include "core/amqp091/session/own_messages.h"

#include "core/amqp091/session/rewriting.h"
#include "core/amqp091/session/shared.h"
#include "core/broker/vhost.h"

namespace talaria::amqp091::session {

std::span<broker::QueueRecord* const> route_own(Shared& shared, broker::Exchange& exchange,
                                                std::string_view routing_key, base::Bytes properties) {
  broker::RouteFacts facts;
  if (exchange.vhost().needs_facts()) facts = own_facts(properties, shared.headers);
  broker::route(exchange.vhost(), exchange, routing_key, facts, shared.targets);
  return shared.targets.queues();
}

}  // namespace talaria::amqp091::session
