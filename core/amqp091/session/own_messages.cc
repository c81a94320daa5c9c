#include "core/amqp091/session/own_messages.h"

#include <string>
#include <vector>

#include "core/amqp091/session/rewriting.h"
#include "core/amqp091/session/shared.h"
#include "core/broker/vhost.h"

namespace talaria::amqp091::session {

std::span<broker::QueueRecord* const> route_own(Shared& shared, broker::Exchange& exchange,
                                                std::string_view routing_key, base::Bytes properties) {
  broker::RouteFacts facts;
  if (exchange.vhost().needs_facts()) facts = facts_in(properties, shared.headers);
  broker::route(exchange.vhost(), exchange, routing_key, facts, shared.targets);
  return shared.targets.queues();
}

std::span<broker::QueueRecord* const> route_held(Shared& shared, broker::Exchange& exchange,
                                                 const broker::Message& message, std::span<const std::string> copies) {
  broker::RouteFacts facts;
  std::vector<uint8_t> properties;
  if (exchange.vhost().needs_facts()) {
    properties = whole_properties(message);
    facts = facts_in(properties, shared.headers);
  }
  std::vector<std::string_view> keys{message.routing_key()};
  keys.insert(keys.end(), copies.begin(), copies.end());
  broker::route(exchange.vhost(), exchange, keys, facts, shared.targets);
  return shared.targets.queues();
}

void publish_own(Shared& shared, std::span<broker::QueueRecord* const> targets, broker::Message* message) {
  broker::ChannelAddress nobody;
  nobody.worker = shared.self;
  shared.engine.publish(targets, message, nobody, 0);
}

}  // namespace talaria::amqp091::session
