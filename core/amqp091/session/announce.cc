#include "core/amqp091/session/announce.h"

#include <optional>
#include <span>
#include <utility>

#include "core/amqp091/session/own_messages.h"
#include "core/amqp091/session/reply_to.h"
#include "core/amqp091/session/shared.h"
#include "core/base/bytes.h"
#include "core/broker/vhost.h"

namespace talaria::amqp091::session {
namespace {

size_t octets_of(const broker::Announcement& announcement) {
  return sizeof announcement + announcement.exchange.size() + announcement.routing_key.size() +
         announcement.properties.size() + announcement.body.size();
}

enum class Told : uint8_t { yes, to_nobody, no_room };

// `may_go`: otherwise only whether somebody listens.
Told tell(Shared& shared, const broker::Announcement& announcement, bool may_go) {
  broker::Vhost* vhost = shared.engine.find_vhost(announcement.vhost);
  broker::Exchange* exchange = vhost ? vhost->find_exchange(announcement.exchange) : nullptr;
  if (!exchange) return Told::to_nobody;
  const auto targets = route_own(shared, *exchange, announcement.routing_key, announcement.properties);
  // The answer to a command may await no queue but a session.
  const auto consumer =
      targets.empty() && exchange->is_default() ? find_reply_consumer(shared, announcement.routing_key) : std::nullopt;
  if (targets.empty() && !consumer) return Told::to_nobody;
  if (!may_go) return Told::no_room;
  const broker::Room room =
      consumer ? shared.engine.room_for(consumer->channel.worker) : shared.engine.room_for_accepted(targets);
  if (!room) return Told::no_room;

  broker::MessageHead head;
  head.exchange = announcement.exchange;
  head.routing_key = announcement.routing_key;
  head.format = broker::PropertiesFormat::amqp091;
  head.properties = announcement.properties;
  head.body_size = announcement.body.size();
  head.persistent = announcement.persistent;
  head.received = shared.now;
  auto builder = shared.pool.begin(head);
  if (!builder || !builder->append(base::as_bytes(announcement.body))) return Told::no_room;
  shared.counters.announcements_published.add();
  if (consumer)
    shared.engine.hand_over(*consumer, builder->finish());
  else
    publish_own(shared, targets, builder->finish());
  return Told::yes;
}

}  // namespace

void Announcements::take(Shared& shared, broker::Announcement announcement) {
  Line& line = announcement.exchange.empty() ? answers_ : told_;
  if (tell(shared, announcement, line.empty()) != Told::no_room) return;
  const size_t octets = octets_of(announcement);
  if (announcement.body.size() > shared.pool.body_size_max() ||  // there will never be room
      told_.size() + answers_.size() >= shared.config.announcements_waiting ||
      octets_ + octets > shared.config.announcement_octets_waiting)
    return shared.counters.announcements_lost.add();
  octets_ += octets;
  line.push_back(std::move(announcement));
}

void Announcements::work(Shared& shared) {
  work(shared, told_);
  work(shared, answers_);
}

void Announcements::work(Shared& shared, Line& line) {
  for (uint32_t done = 0; done < shared.config.announcements_per_turn && !line.empty(); done++) {
    if (tell(shared, line.front(), true) == Told::no_room) return;
    octets_ -= octets_of(line.front());
    line.pop_front();
  }
}

}  // namespace talaria::amqp091::session
