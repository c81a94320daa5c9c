// A connection: its state, its input, and what it waits for.
//
//                  C: connection.close, ours or theirs; every state may lose its TCP
//
//   greeting --header--> starting --start-ok--> authenticating --yes--> tuning --tune-ok--> tuned --open--> opening
//      |                    |                        |                    |                   |              |
//      | wrong: answered    | out of place           | no                 | wrong value: C    |              | no: C
//      | with the header    v                        v                    |                   |              v yes
//      '----------------> refused <------------------'                    '-------------------'-----> C <-- open
//                           | silence is over                                                         |
//                           v                                                                         v
//                         vacant <-- all given back, CloseConnection answered, TCP closed -------- closing
//
// Before `open` there are no channels; in `closing` everything the peer sends is dropped but close and close-ok. A
// session in `closing` may outlive its TCP connection: its slot is vacant when nothing of it is left anywhere.
//
// While `pending` awaits an answer, or `stalled` waits for room, or a frame that has
// to be answered comes while the output is full, input stays in TCP.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/amqp091/session/channel.h"
#include "core/amqp091/session/output.h"
#include "core/amqp091/session/shared.h"
#include "core/amqp091/wire/frame.h"
#include "core/amqp091/wire/reply.h"
#include "core/base/bytes.h"
#include "core/broker/requests.h"

namespace talaria::broker {
class Vhost;
}

namespace talaria::amqp091::session {

using wire::ReplyCode;

enum class Stage : uint8_t {
  vacant,
  greeting,
  starting,
  authenticating,
  tuning,
  tuned,
  opening,
  open,
  closing,
  refused,
};

// What became of a frame.
enum class Step : uint8_t {
  taken,
  wait,  // not now: it stays where it is and comes again when the connection goes on
};

// What the connection's input waits for: an answer of the control plane (with a token) or of a queue.
enum class Awaited : uint8_t {
  nothing,
  // of the control plane
  authenticate,
  open_connection,
  close_connection,
  authorize,
  authorize_key,
  impersonate,
  reauthenticate,
  managed,  // a command in a message
  done,     // Done answers with `method`
  queue_declared,
  queue_deleted,
  unused_queue_deleted,  // after basic.cancel
  // of a queue, or another session
  counted,
  subscribed,
  unsubscribed,
  got,
  purged,
  transaction,  // committed, or rolled back
  probed,
  reply_taken,
};

constexpr bool asks_a_queue(Awaited what) { return what >= Awaited::counted; }

struct Pending {
  Awaited what = Awaited::nothing;
  uint16_t channel = 0;
  uint32_t incarnation = 0;
  uint32_t method = 0;  // the one that asked
  bool no_wait = false;
  bool no_ack = false;
  uint32_t consumer = 0;
  broker::QueueId queue;
  std::string name;  // of what was asked about: a queue, an exchange, a consumer tag, an exchange with a routing key
};

// A request on its way: the control plane takes one of a connection at a time.
struct Asked {
  std::unique_ptr<broker::Request> request;
  uint16_t channel = 0;      // the one that asked without the connection's waiting for it
  uint32_t incarnation = 0;  // its; 0: the connection itself asked
};

// Answered by the control plane, until permissions change.
struct Permission {
  broker::Access access = broker::Access::read;
  bool exchange = false;
  bool allowed = false;
  bool keys_decide = false;  // a topic exchange's: see KeyPermissions
  std::string name;
  std::string refusal;  // the text, when it is not allowed
};

// Likewise of routing keys, by exchange and key; the text when it is not allowed.
using KeyPermissions = std::unordered_map<std::string, std::optional<std::string>>;

// What a publisher that is not read waits for.
struct Stall {
  enum class For : uint8_t {
    broker,       // what `room` says
    commit,       // likewise, of a transaction's queues
    confirms,     // as many messages of a channel as may be are unconfirmed
    own_reading,  // a message has to be returned, and the output is full
    entrusted,    // an exchange's home has not said what became of messages before
  };

  For what = For::broker;
  uint16_t channel = 0;  // `confirms`
  broker::Room room;
};

// A number a client may use for a channel.
struct ChannelSlot {
  std::unique_ptr<Channel> channel;
  bool awaits_close_ok = false;  // we closed it: its frames are dropped until the client says close-ok
  bool ending = false;           // the client closed it: close-ok is due
};

// Where the input stands within the stream.
struct Input {
  std::vector<uint8_t> gathered;  // the front of a frame that straddles packets
  uint32_t body_left = 0;         // octets of the body frame that is being streamed
  bool body_end_due = false;      // its last octet
  uint16_t body_channel = 0;
  uint32_t body_incarnation = 0;  // 0: nobody wants it
  bool unreadable = false;        // the stream is lost: what comes is dropped until TCP closes
};

// A long `multiple` that is settled over several turns.
struct BulkSettlement {
  uint16_t channel = 0;
  uint32_t incarnation = 0;  // 0: none
  uint64_t tag = 0;
  broker::Outcome outcome = broker::Outcome::acknowledged;
  bool recovers = false;        // basic.recover
  bool answer_recover = false;  // recover-ok is due at the end
};

// A channel's prefetch that changes for its many consumers, over several turns.
struct CreditChange {
  uint16_t channel = 0;
  uint32_t incarnation = 0;  // 0: none
  size_t next_consumer = 0;
};

struct Connection {
  // ---- hot ----------------------------------------------------------------------------------------------------------
  Shared* shared = nullptr;
  broker::SessionId id;   // generation 0: vacant, last_generation knows the one to come
  tcp::ConnectionId tcp;  // void: gone
  Stage stage = Stage::vacant;
  bool stalled = false;       // waits for room
  bool answer_waits = false;  // the next frame wants an answer, and the output is full
  bool notices_wait = false;  // the control plane has more of its notices to come than it may
  bool paused = false;        // its consumers are, until the output is not full any more
  bool got_input = false;     // since the last tick
  uint16_t channel_max = 0;
  uint32_t frame_max = 0;  // negotiated: what we send, and the payload we take
  Pending pending;
  Output output;
  Input input;
  std::vector<ChannelSlot> channels;  // by number; [0] is never used
  broker::VhostId vhost;
  SessionInfo* info = nullptr;
  std::unique_ptr<EntrustedMessages> entrusted;  // once there is need for them

  // ---- lists it may stand on (see Shared) ---------------------------------------------------------------------------
  bool more_input_listed = false, stalled_listed = false, full_listed = false, closing_listed = false,
       settling_listed = false;

  // ---- cold ---------------------------------------------------------------------------------------------------------
  uint32_t last_generation = 0;
  bool peer_finished = false;    // nothing comes after what is unread
  bool opened = false;           // the control plane counts it: CloseConnection is due
  bool owes_close_ok = false;    // the peer closed
  bool awaits_close_ok = false;  // we closed
  bool answered_close = false;   // and so did the peer at the same time
  bool hang_up = false;          // close TCP as soon as nobody reads its input any more
  bool cut = false;              // reset it instead
  bool told_blocked = false;
  bool can_blocked = false, can_cancel_notify = false, can_close_on_failure = false;
  uint16_t heartbeat = 0;        // seconds; 0: none
  uint16_t stalled_channel = 0;  // whose message is complete and waits; 0: a frame waits
  uint32_t stalled_incarnation = 0;
  size_t bytes_before_open = 0;
  Stall stall;
  base::Time stalled_since = base::never;  // never: it is not
  base::Time last_input{}, last_output{};
  base::Time deadline = base::never;  // of the handshake, the silence, or close-ok
  base::TimerNode timer;
  std::vector<std::unique_ptr<Channel>> ending;
  std::deque<Asked> asked;  // the first one is under way when `asked_token` is not 0
  uint64_t asked_token = 0;
  uint32_t notices = 0;  // not yet on their way
  std::vector<Permission> permissions;
  std::unique_ptr<KeyPermissions> key_permissions;  // once there is need for them
  bool impersonates = false;                        // may sign messages with another's name
  uint64_t permissions_epoch = 0;                   // of the three; when it is not the worker's they are void
  BulkSettlement bulk;
  CreditChange credit_change;
  std::string user, vhost_name, peer, mechanism;
  base::FieldTable client_properties;

  // Its frames are looked at.
  bool reads() const {
    return stage == Stage::closing || stage == Stage::refused ||
           (pending.what == Awaited::nothing && !stalled && !answer_waits && !notices_wait && bulk.incarnation == 0 &&
            credit_change.incarnation == 0);
  }
  bool before_open() const { return stage < Stage::open; }
  Channel* channel(uint16_t number) const {
    return number < channels.size() ? channels[number].channel.get() : nullptr;
  }
  // The channel of that incarnation, be it open or ending.
  Channel* channel(uint16_t number, uint32_t incarnation) const;
  broker::SessionAddress address() const;
  broker::Vhost* vhost_record() const;  // nullptr: it was deleted, we are about to be closed
  size_t octets_per_body_frame() const { return frame_max - wire::frame_overhead; }
};

// ---- connection.cc: who ---------------------------------------------------------------------------------------------
// nullptr if it is gone.
Connection* find_connection(Shared& shared, broker::SessionId id);
// The channel an event is for, be it open or ending; nullptr and counted if it is gone.
Channel* find_channel(Shared& shared, const broker::ChannelAddress& address);

// ---- connection.cc: input -------------------------------------------------------------------------------------------
// Reads and handles what is there, within the budget of a turn.
void read_input(Connection& connection);
// Something that input waited for is there: read on in the next turn.
void go_on(Connection& connection);
// After frames were handled: closes or resets TCP if that was decided meanwhile.
void hang_up_if_due(Connection& connection);

// ---- connection.cc: asking the control plane ------------------------------------------------------------------------
// Input waits until the answer is there.
template <class Body>
void ask(Connection& connection, Pending pending, Body&& body);
// Nobody waits but the channel, when it ends.
template <class Body>
void ask_for_channel(Connection& connection, Channel& channel, Body&& body);
template <class Body>
void notify(Connection& connection, Body&& body);
void post(Connection& connection, Asked asked);
// Sends the first request that waits, if none is under way.
void send_next(Connection& connection);

template <class Body>
std::unique_ptr<broker::Request> make_request(const Connection& connection, Body&& body) {
  auto request = std::make_unique<broker::Request>();
  request->from = connection.address();
  request->body = std::forward<Body>(body);
  return request;
}
template <class Body>
void ask(Connection& connection, Pending pending, Body&& body) {
  connection.pending = std::move(pending);
  post(connection, {make_request(connection, std::forward<Body>(body))});
}
template <class Body>
void ask_for_channel(Connection& connection, Channel& channel, Body&& body) {
  channel.awaited++;
  post(connection, {make_request(connection, std::forward<Body>(body)), channel.number, channel.incarnation});
}
template <class Body>
void notify(Connection& connection, Body&& body) {
  // A connection that ends takes everything along that there was to tell of.
  if (connection.stage != Stage::open) return;
  Shared& shared = *connection.shared;
  shared.requests.push_back(make_request(connection, std::forward<Body>(body)).release());
  if (++connection.notices >= shared.config.notices_waiting) connection.notices_wait = true;
}

// `what` of a method on a channel.
inline Pending awaiting(Awaited what, const Channel& channel, uint32_t method, bool no_wait = false) {
  Pending pending;
  pending.what = what;
  pending.channel = channel.number;
  pending.incarnation = channel.incarnation;
  pending.method = method;
  pending.no_wait = no_wait;
  return pending;
}

}  // namespace talaria::amqp091::session
