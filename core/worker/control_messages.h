// What the control plane tells a worker, and what a worker tells the control plane: two closed sets of small values,
// one mailbox each way for every worker. Protocol-neutral.
//
// Everything here is trivially copyable, so that it can lie in a mailbox. Where a raw pointer stands, the field says
// who owns what it points at: `passes` means that the receiver deletes it (with `delete`), `lent` that the sender keeps
// it until it has been told that nobody looks any more. Commands are taken in the order they were sent; a worker drains
// its mailbox with a bound each turn. What cannot be sent at once waits with the sender: neither side ever drops a
// message.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <variant>

#include "core/broker/address.h"
#include "core/broker/announcement.h"
#include "core/broker/operations.h"
#include "core/broker/requests.h"
#include "core/broker/topology.h"

namespace talaria::net {
class FrameWatcher;
}

namespace talaria::worker {

// ---- commands: control plane -> worker ------------------------------------------------------------------------------

// Apply the change to this worker's replica, then report Applied. Sequences are the same for every worker and go up by
// one from 1. `change` is lent: the control plane keeps it until every worker has reported it applied.
struct Apply {
  uint64_t sequence = 0;
  const broker::TopologyChange* change = nullptr;
};
// The answer to a session's request. It passes. When the session is gone (its generation differs) it is just deleted.
struct PassAnswer {
  broker::Answer* answer = nullptr;
};
// To the queue's home: may it go? Reported back with DeleteChecked, whether it may or not. With both conditions false
// it asks only for the number of ready messages. The result is true at that moment: what comes in between it and the
// RemoveQueue that follows goes with the queue.
struct CheckDelete {
  uint64_t token = 0;
  broker::QueueId queue;
  bool if_unused = false;
  bool if_empty = false;
};
// To the queue's home: drop all ready messages, then report Purged.
struct PurgeQueue {
  uint64_t token = 0;
  broker::QueueId queue;
};
// The control plane ends this connection. `text` passes. No report of its own: the session's CloseConnection request
// follows. A session that is gone is ignored.
struct CloseSession {
  broker::SessionAddress session;
  broker::CloseCause cause = broker::CloseCause::forced;
  std::string* text = nullptr;
};
// The control plane ends one consumer. It passes. A session that is gone, or has no such consumer, takes no notice.
struct RevokeConsumer {
  broker::SessionAddress session;
  broker::RevokedConsumer* consumer = nullptr;
};
// Publish it. It passes.
struct Announce {
  broker::Announcement* announcement = nullptr;
};
// The link of one of its ports came up.
struct LinkUp {
  uint8_t port = 0;
};
// Who sees every frame of this worker's ports from now on; null: nobody. Reported with FramesWatched; `watcher` is lent
// until another one's was.
struct WatchFrames {
  net::FrameWatcher* watcher = nullptr;
};
// SIGTERM: accept no more connections, close every one that stands (320), report Drained when the last has gone. Its
// requests, CloseConnection among them, are still sent and answered meanwhile.
struct Drain {};
// End the loop. The last command; nothing is reported after it.
struct Stop {};

using ControlCommand = std::variant<Apply, PassAnswer, CheckDelete, PurgeQueue, CloseSession, RevokeConsumer, Announce,
                                    LinkUp, WatchFrames, Drain, Stop>;

// ---- reports: worker -> control plane -------------------------------------------------------------------------------

// A session's request. It passes. Requests of one session come in the order the session made them.
struct Asked {
  broker::Request* request = nullptr;
};
// Every change up to and including `sequence` is in this worker's replica (one report may stand for many changes).
struct Applied {
  uint64_t sequence = 0;
};
enum class DeleteVerdict : uint8_t { may_go, in_use, not_empty, no_such_queue };
struct DeleteChecked {
  uint64_t token = 0;
  DeleteVerdict verdict = DeleteVerdict::may_go;
  uint32_t ready = 0;  // messages that would be deleted (unacknowledged ones are not counted)
};
struct Purged {
  uint64_t token = 0;
  uint32_t count = 0;  // 0 as well when there is no such queue any more
};
struct FramesWatched {};
struct Drained {};
// All traffic of a queue homed here comes from and goes to that worker. Only a wish: said again if nothing comes of it.
struct MoveWished {
  broker::QueueId queue;
  broker::WorkerIndex to = 0;
};
// The move that a MoveQueue change began is over here. Every worker reports every one, all with the same outcome.
struct MoveEnded {
  uint32_t move = 0;
  broker::MoveOutcome outcome = broker::MoveOutcome::moved;
};

// Nobody used a queue homed here for as long as it may be unused (x-expires). Said again if nothing comes of it.
struct QueueUnused {
  broker::QueueId queue;
};
// An address or a route came or went, in words; the text passes. Of the worker that announces.
struct NetworkChanged {
  std::string* text = nullptr;
};

using ControlReport = std::variant<Asked, Applied, DeleteChecked, Purged, FramesWatched, Drained, MoveWished, MoveEnded,
                                   QueueUnused, NetworkChanged>;

static_assert(std::is_trivially_copyable_v<ControlCommand> && sizeof(ControlCommand) <= 32);
static_assert(std::is_trivially_copyable_v<ControlReport> && sizeof(ControlReport) <= 32);

}  // namespace talaria::worker
