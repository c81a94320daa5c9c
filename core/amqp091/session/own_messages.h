// What the broker publishes itself and for nobody in particular: events, log lines, copies of what it traces, and what
// it held for a while, as dead letters and delayed messages.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/base/bytes.h"
#include "core/broker/exchange.h"
#include "core/broker/message.h"
#include "core/broker/queue_record.h"

namespace talaria::amqp091::session {

struct Shared;

inline uint64_t octets_of(std::span<const std::string> keys) {
  uint64_t octets = 0;
  for (const std::string& key : keys) octets += sizeof(std::string) + key.size();
  return octets;
}
// What a message that is held counts for against its holder's share of memory, with the routing keys that it has
// besides its own: those of BCC are nowhere else.
inline uint64_t octets_of(const broker::Message& message, std::span<const std::string> keys) {
  return message.body_size() + message.properties_size() + sizeof(broker::Message) + octets_of(keys);
}

// Where it goes, by what is bound to `exchange` now; good until the next message is routed. `properties` are our own,
// and so well formed.
std::span<broker::QueueRecord* const> route_own(Shared& shared, broker::Exchange& exchange,
                                                std::string_view routing_key, base::Bytes properties);
// The same for a message that was held: by its routing key and those it had besides.
std::span<broker::QueueRecord* const> route_held(Shared& shared, broker::Exchange& exchange,
                                                 const broker::Message& message, std::span<const std::string> copies);
// There is room for it. Takes over one reference.
void publish_own(Shared& shared, std::span<broker::QueueRecord* const> targets, broker::Message* message);

}  // namespace talaria::amqp091::session
