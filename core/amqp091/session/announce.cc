// Events, log lines and answers to commands, which the control plane makes.

#include "core/amqp091/session/own_messages.h"
#include "core/amqp091/session/reply_to.h"
#include "core/amqp091/session/sessions.h"
#include "core/amqp091/session/shared.h"
#include "core/base/bytes.h"
#include "core/broker/vhost.h"

namespace talaria::amqp091::session {

void Sessions::announce(const broker::Announcement& announcement, base::Time now) {
  Shared& shared = *shared_;
  shared.now = now;
  broker::Vhost* vhost = shared.engine.find_vhost(announcement.vhost);
  broker::Exchange* exchange = vhost ? vhost->find_exchange(announcement.exchange) : nullptr;
  if (!exchange) return;
  const auto targets = route_own(shared, *exchange, announcement.routing_key, announcement.properties);
  // The answer to a command may await no queue but a session.
  const auto consumer =
      targets.empty() && exchange->is_default() ? find_reply_consumer(shared, announcement.routing_key) : std::nullopt;
  if (targets.empty() && !consumer) return;

  broker::MessageHead head;
  head.exchange = announcement.exchange;
  head.routing_key = announcement.routing_key;
  head.format = broker::PropertiesFormat::amqp091;
  head.properties = announcement.properties;
  head.body_size = announcement.body.size();
  head.persistent = announcement.persistent;
  head.received = now;
  const broker::Room room =
      consumer ? shared.engine.room_for(consumer->channel.worker) : shared.engine.room_for_accepted(targets);
  auto builder = room ? shared.pool.begin(head) : std::nullopt;
  if (!builder || !builder->append(base::as_bytes(announcement.body))) return shared.counters.announcements_lost.add();
  shared.counters.announcements_published.add();
  if (consumer) return shared.engine.hand_over(*consumer, builder->finish());
  publish_own(shared, targets, builder->finish());
}

}  // namespace talaria::amqp091::session
