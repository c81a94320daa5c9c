#include "core/amqp091/session/channel.h"

#include "core/amqp091/session/connection.h"
#include "core/base/check.h"

namespace talaria::amqp091::session {

Consumer::Consumer(Channel& channel_, uint32_t number_, std::string_view tag)
    : channel(channel_), number(number_), frames(channel_.number, tag) {}

broker::ConsumerAddress Consumer::address() const { return {channel.address(), number}; }

Channel::Channel(Connection& connection_, uint16_t number_, uint32_t incarnation_)
    : connection(connection_), number(number_), incarnation(incarnation_) {}

broker::ChannelAddress Channel::address() const {
  return {connection.id, connection.shared->self, number, incarnation};
}

// A number is a slot and how often the slot was used before: a name of its own for as long as anything may be under
// way.
Consumer& Channel::add_consumer(std::string_view tag) {
  uint16_t slot;
  if (!vacant_consumers.empty()) {
    slot = vacant_consumers.back();
    vacant_consumers.pop_back();
  } else {
    CHECK(consumers.size() < 65536);
    slot = static_cast<uint16_t>(consumers.size());
    consumers.emplace_back();
    consumer_generations.push_back(0);
  }
  uint16_t generation = ++consumer_generations[slot];
  // UINT32_MAX stands for basic.get.
  if (generation == UINT16_MAX) generation = consumer_generations[slot] = 1;
  consumers[slot] = std::make_unique<Consumer>(*this, uint32_t{generation} << 16 | slot, tag);
  Consumer& consumer = *consumers[slot];
  by_tag.emplace(consumer.tag(), &consumer);
  connection.shared->counters.consumers.add();
  connection.info->consumers.add();
  return consumer;
}

void Channel::remove_consumer(Consumer& consumer) {
  if (reply_consumer && reply_consumer->number == consumer.number) reply_consumer.reset();
  Shared& shared = *connection.shared;
  shared.passed.drop(consumer, consumer.passed_listed);
  shared.counters.consumers.subtract();
  connection.info->consumers.subtract();
  by_tag.erase(consumer.tag());
  auto slot = static_cast<uint16_t>(consumer.number & 0xFFFF);
  consumers[slot].reset();
  vacant_consumers.push_back(slot);
}

}  // namespace talaria::amqp091::session
