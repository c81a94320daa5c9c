// What a session asks of the control plane, and the answers: the cold conversations (who are you, declare, bind, may
// I). Protocol-neutral: a front end turns them into its own methods and codes. They own their strings; a request is
// made by the session, sent once, and answered exactly once, unless it is a notice. While it waits, that one
// connection's input waits; nothing else does. What the answer says about topology has been applied by every worker
// before it is sent.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/cache_line.h"
#include "core/base/counters.h"
#include "core/base/field.h"
#include "core/broker/address.h"
#include "core/broker/topology.h"

namespace talaria::broker {

// ---- requests
// --------------------------------------------------------------------------------------------------------

// SASL, one step: PLAIN, AMQPLAIN (already decoded by the front end to name and password).
struct Authenticate {
  std::string mechanism;
  std::string user;
  std::string password;
  std::string peer;  // "198.18.0.1:54321", for the log
};
// After authentication: enter a vhost. Counted against limits, listed from here on.
struct OpenConnection {
  std::string user;
  std::string vhost;
  std::string peer;
  std::string protocol;  // "AMQP 0-9-1"
  base::FieldTable client_properties;
  uint32_t frame_max = 0;
  uint16_t channel_max = 0;
  uint16_t heartbeat = 0;  // seconds, 0: none
};
// The connection ends: exclusive queues go, then the answer comes. Sent for every opened connection exactly once.
struct CloseConnection {};

struct DeclareExchange {
  std::string name;
  std::string type;
  bool passive = false, durable = false, auto_delete = false, internal = false;
  base::FieldTable arguments;
};
struct DeleteExchange {
  std::string name;
  bool if_unused = false;
};
struct DeclareQueue {
  std::string name;  // "": the server names it
  bool passive = false, durable = false, exclusive = false, auto_delete = false;
  base::FieldTable arguments;
};
// The control plane asks the queue's home about if_unused and if_empty and tells the number of ready messages deleted.
struct DeleteQueue {
  std::string name;
  bool if_unused = false, if_empty = false;
  bool unused_auto_delete = false;  // the engine's own wish: no permission needed, only still true or not
};
struct Bind {
  std::string source;
  std::string destination;
  bool destination_is_queue = true;
  bool remove = false;  // unbind
  std::string key;
  base::FieldTable arguments;
};
// May this user do that? For what has no topology change: publish (write on the exchange), consume, get, purge (read on
// the queue). The session keeps the answer until PermissionsChanged.
enum class Access : uint8_t { configure, write, read };
struct Authorize {
  Access access = Access::read;
  bool exchange = false;
  std::string name;
  // Of a publish to a topic exchange whose KeysDecide: may it have this one?
  std::optional<std::string> routing_key = {};
};
// May the user put another's name on his messages? As with Authorize, the session keeps a yes.
struct Impersonate {
  std::string claimed;
};
// update-secret: authenticate again and keep the connection.
struct Reauthenticate {
  std::string user;
  std::string password;
};

// A command as operators give them, in a message to the exchange below. Answered with Done when it is done and its own
// answer is on its way to `reply_to`.
inline constexpr std::string_view management_exchange = "amq.talaria.management";
struct Manage {
  static constexpr size_t arguments_max = 1 << 20;

  std::string command;    // the message's routing key
  std::string arguments;  // its body
  std::string reply_to;
  bool reply_is_direct = false;  // to a session, not to a queue by that name
  std::string correlation_id;
};

// Notices: no answer. They feed list_channels and list_consumers.

// Of one channel. Written by its worker only, read by anyone; goes with the last who holds it.
struct alignas(base::cache_line) ChannelCounters {
  base::Counter unacknowledged;  // deliveries the client has not settled, a gauge
  base::Counter unconfirmed;     // publishes not yet answered with a confirm, a gauge
};
// Written with every message, whatever the heap puts beside it.
static_assert(base::has_lines_of_its_own<ChannelCounters>);
struct ChannelOpened {
  uint16_t channel = 0;
  std::shared_ptr<const ChannelCounters> counters = {};
};
struct ChannelClosed {
  uint16_t channel = 0;
};
struct ChannelChanged {
  uint16_t channel = 0;
  uint32_t prefetch = 0;         // per consumer
  uint32_t global_prefetch = 0;  // per channel
  bool confirms = false;
  bool transactional = false;
};
struct ConsumerAdded {
  uint16_t channel = 0;
  QueueId queue;
  std::string tag;
  bool no_ack = false, exclusive = false;
  uint32_t prefetch = 0;
  base::FieldTable arguments;
};
// It keeps up less than its queue demands.
struct ConsumerFoundSlow {
  uint16_t channel = 0;
  std::string tag;
};
struct ConsumerRemoved {
  uint16_t channel = 0;
  std::string tag;
};

// Its copies are made in requests.cc alone, for the compile time of all who hold one.
struct Request {
  Request();
  Request(const Request&);
  Request(Request&&) noexcept;
  Request& operator=(const Request&);
  Request& operator=(Request&&) noexcept;
  ~Request();

  SessionAddress from;
  uint64_t token = 0;  // comes back in the answer; 0 for notices
  std::variant<Authenticate, OpenConnection, CloseConnection, DeclareExchange, DeleteExchange, DeclareQueue,
               DeleteQueue, Bind, Authorize, Impersonate, Reauthenticate, Manage, ChannelOpened, ChannelClosed,
               ChannelChanged, ConsumerAdded, ConsumerFoundSlow, ConsumerRemoved>
      body;
};

// The other way round, and not asked for: this consumer ends, since its user may not read the queue any more. One of
// that tag that consumes from another queue is another one.
struct RevokedConsumer {
  uint16_t channel = 0;
  QueueId queue;
  std::string tag;
  std::string text;  // why, for the client
};

// ---- answers --------------------------------------------------------------------------------------------------------

// Why the broker ends a connection.
enum class CloseCause : uint8_t {
  forced,  // an operator's wish, or the broker's own end (AMQP 0-9-1: 320 CONNECTION_FORCED)
  limit,   // it has more than it may have (530 NOT_ALLOWED)
};

enum class RefusalReason : uint8_t {
  access_refused,       // 403
  not_found,            // 404
  resource_locked,      // 405
  precondition_failed,  // 406
  not_allowed,          // 530
  not_implemented,      // 540
  internal_error,       // 541
};
// `text` is what the client reads after the code's name, in the words clients know.
struct Refusal {
  RefusalReason reason = RefusalReason::internal_error;
  std::string text;
};
struct Done {};
// He may publish to the exchange; if that is a topic exchange, each routing key has to be asked for.
struct KeysDecide {};
// The default exchange included, every worker knows it now.
struct ConnectionOpened {
  VhostId vhost;
};
struct QueueDeclared {
  QueueId queue;
  WorkerIndex home = 0;
  std::string name;
  bool created = false;  // counts are 0; otherwise the session asks the queue's home
};
struct QueueDeleted {
  uint32_t messages = 0;
};

struct Answer {
  SessionAddress to;
  uint64_t token = 0;
  std::variant<Done, Refusal, ConnectionOpened, QueueDeclared, QueueDeleted, KeysDecide> body;
};

}  // namespace talaria::broker
