// Who is who, across workers: plain values that fit in a mailbox message.
//
// A session is a front end's connection, a channel is one of its conversations, a consumer is a subscription of a
// channel to a queue. The engine never looks behind these names; it hands them back.
#pragma once

#include <cstdint>

#include "core/base/id.h"

namespace talaria::broker {

using WorkerIndex = uint16_t;
inline constexpr WorkerIndex workers_max = 64;
// The home of a queue that is on its way from one worker to another (move.h).
inline constexpr WorkerIndex nowhere = UINT16_MAX;

using VhostId = base::Id<struct VhostTag>;
using ExchangeId = base::Id<struct ExchangeTag>;
using QueueId = base::Id<struct QueueTag>;
using SessionId = base::Id<struct SessionTag>;  // on one worker

struct SessionAddress {
  SessionId session;
  WorkerIndex worker = 0;
  auto operator<=>(const SessionAddress&) const = default;
};

// `incarnation` tells a channel from the one that had its number before, so that what is still under way for the old
// one is dropped at the door.
struct ChannelAddress {
  SessionId session;
  WorkerIndex worker = 0;
  uint16_t channel = 0;
  uint32_t incarnation = 0;
  auto operator<=>(const ChannelAddress&) const = default;
};

// `consumer` is unique within the channel's incarnation.
struct ConsumerAddress {
  ChannelAddress channel;
  uint32_t consumer = 0;
  auto operator<=>(const ConsumerAddress&) const = default;
};

// One message in one queue, as its home worker names it while it is unacknowledged.
using EntryId = base::Id<struct EntryTag>;

}  // namespace talaria::broker
