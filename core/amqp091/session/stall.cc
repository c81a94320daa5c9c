#include "core/amqp091/session/stall.h"

#include <string>
#include <utility>

#include "core/amqp091/session/publish.h"
#include "core/amqp091/wire/methods.h"

namespace talaria::amqp091::session {

void stall(Connection& connection, const Channel* channel, Stall why) {
  Shared& shared = *connection.shared;
  connection.stalled = true;
  connection.stall = why;
  connection.stalled_channel = channel ? channel->number : uint16_t{0};
  connection.stalled_incarnation = channel ? channel->incarnation : 0;
  if (connection.stalled_since == base::never) {
    connection.stalled_since = shared.now;
    connection.info->blocked.set(1);
    shared.counters.publishers_stalled.add();
  }
  shared.stalled.add(connection, connection.stalled_listed);
}

Step wait_for_room(Connection& connection, Stall why) {
  stall(connection, nullptr, why);
  return Step::wait;
}

// What waits can go on: the message that is complete, or the frame that comes again.
static bool has_room(Connection& connection) {
  Shared& shared = *connection.shared;
  if (connection.stalled_incarnation != 0) {
    Channel* channel = connection.channel(connection.stalled_channel);
    return channel == nullptr || channel->incarnation != connection.stalled_incarnation ||
           resume_waiting(*channel, connection.stall);
  }
  if (connection.stall.what == Stall::For::entrusted) return !has_entrusted(connection.entrusted);
  return connection.stall.what == Stall::For::commit || shared.pool.pressure() == broker::Pressure::ok;
}

static std::string reason_of(const Shared& shared, const Stall& stall) {
  if (stall.what == Stall::For::confirms)
    return "too many unconfirmed messages on channel " + std::to_string(stall.channel);
  if (stall.room.shortage == broker::Shortage::moving) return "a queue is moving";
  if (stall.room.shortage == broker::Shortage::flow) {
    const broker::QueueRecord* queue = shared.engine.find_queue(stall.room.queue);
    return queue ? "queue '" + queue->name + "' has reached x-flow-stop" : "a queue was full";
  }
  const std::string worker = "worker " + std::to_string(stall.room.worker);
  return stall.room.shortage == broker::Shortage::memory ? "low on memory (" + worker + ")" : worker + " is behind";
}

static void tell_blocked(Connection& connection) {
  Shared& shared = *connection.shared;
  if (connection.told_blocked || !connection.can_blocked) return;
  if (connection.stall.what == Stall::For::own_reading) return;  // he would not read it
  // That is pace, not shortage: it goes on as fast as the queue is emptied.
  if (connection.stall.room.shortage == broker::Shortage::queue) return;
  if (shared.now - connection.stalled_since < shared.config.blocked_after) return;
  connection.told_blocked = true;
  connection.output.method(0, wire::connection::Blocked{.reason = reason_of(shared, connection.stall)});
  shared.counters.connections_blocked.add();
}

void resume_publisher(Connection& connection) {
  Shared& shared = *connection.shared;
  if (!connection.stalled) return;
  if (!has_room(connection)) {
    tell_blocked(connection);
    shared.stalled.add(connection, connection.stalled_listed);
    return;
  }
  const uint64_t seen = connection.info->bytes_in.value();
  connection.stalled = false;
  read_input(connection);
  const bool moved = connection.info->bytes_in.value() != seen;
  if (connection.stalled && !moved) return tell_blocked(connection);
  connection.stalled_since = connection.stalled ? shared.now : base::never;
  if (connection.stalled) return;
  connection.info->blocked.set(0);
  if (std::exchange(connection.told_blocked, false)) connection.output.method(0, wire::connection::Unblocked{});
}

}  // namespace talaria::amqp091::session
