// The control plane: the only writer of topology truth. It takes the sessions' requests and the operators' verbs,
// checks them, makes durable what must be durable, tells every worker, and answers when every worker has applied it.
//
// One thread (talariad's control thread, or the simulator) calls everything here. The plane has no thread, clock or
// randomness of its own: `poll(now)` does bounded work and returns; the store and the links are given. So the simulator
// runs the real one with a MemoryStore. talariad's main is this loop, which sleeps only while there is nothing to do:
//
//     control::SqliteStore store(data_dir / "talaria.db");
//     control::Plane plane(store, links, options);
//     control::Commands commands(plane, statistics, version);
//     control::ControlSocket socket(path, commands);
//     while (!plane.drained()) {
//       bool busy = plane.poll(clock.now());
//       socket.poll(clock.now(), busy ? 0ms : 1ms);  // waits in epoll
//       commands.poll(clock.now());                  // a sample for the rates, now and then
//       if (commands.stop_requested() || signalled) plane.drain();
//     }
//     plane.stop();
//     while (!plane.flushed()) plane.poll(clock.now());
//     // join the workers
//
// The life of a change: rules are checked against the catalog -> the store saves (what is durable is on disk) -> the
// catalog changes -> Apply goes to all workers with the next sequence -> each reports Applied -> answers that waited
// for that sequence leave. An answer waits for every change made before it, its own or not, so whatever it says is true
// on every core. Requests of one connection are answered in their order.
//
// Bounds: `Limits` on things; one request a connection under way (the front end's promise); `poll` takes at most
// `reports_per_poll` reports from each worker. Commands that do not fit into a worker's mailbox wait here, in order.
// Refusals carry the texts clients know (docs/PROTOCOL.md); AMQP 0-9-1 semantics are RabbitMQ's.
#pragma once

#include <array>
#include <deque>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/catalog.h"
#include "control/password.h"
#include "control/removal.h"
#include "control/store.h"
#include "control/worker_link.h"
#include "core/base/time.h"
#include "core/broker/engine.h"
#include "core/broker/requests.h"

namespace talaria::control {

struct Limits {
  size_t vhosts = 1024;
  size_t exchanges = 64 * 1024;
  size_t queues = 1024 * 1024;
  size_t bindings = 4 * 1024 * 1024;
  size_t users = 64 * 1024;
  size_t policies_of_a_vhost = 1024;
};

struct PlaneOptions {
  // A queue whose publishers and consumers all sit on another worker moves there, but not again before that time.
  bool move_queues = true;
  base::Duration move_interval = std::chrono::seconds(10);
  bool demo_account = false;  // make user guest with password guest, administrator, all permissions in "/"
  Limits limits;
  bool management = false;  // somebody takes commands that come as messages
  // The time of day, since 1970, is the time that is passed in and this.
  base::Duration wall_clock_ahead{};
  // Where workers say that their message memory is short; none: nobody tells of it.
  const broker::PressureBoard* pressure = nullptr;
  // Fills with unpredictable bytes: names of queues, salts of passwords. Must be set.
  std::function<void(std::span<uint8_t>)> random;
};

// Why an operator's verb was not done.
enum class Fault : uint8_t {
  bad_argument,
  not_found,
  no_such_user,
  no_such_vhost,
  already_exists,
  in_use,
  not_empty,
  store_failed,
};
struct OperatorError {
  Fault fault = Fault::bad_argument;
  std::string message;
};
// `count`: messages that were deleted or purged, connections that were told to close.
using OperatorResult = std::expected<uint32_t, OperatorError>;
// Names a verb under way.
using Ticket = uint64_t;

class Plane {
 public:
  static constexpr unsigned reports_per_poll = 256;
  static constexpr size_t alerts_per_poll = 256;  // queues that are looked at, see alerts.h
  static constexpr size_t log_line_max = 8192;    // octets of a line that is published

  // Loads the store and queues what it holds for the workers. On an empty store it makes the vhost "/" and the
  // predeclared exchanges. Throws StoreError, or std::runtime_error when the rows contradict each other.
  Plane(Store& store, const std::vector<WorkerLink*>& links, PlaneOptions options);
  ~Plane();
  Plane(const Plane&) = delete;

  // Bounded work; true if there was any (poll again soon).
  bool poll(base::Time now);

  // A command that a session passes on (Manage), to be carried out by who takes it and answered once.
  struct Command {
    broker::SessionAddress session;
    uint64_t token = 0;
    std::string user, vhost;  // the connection's
    broker::Manage request;
  };
  std::optional<Command> take_command();
  void answer_command(const Command& command, std::string text);
  // While it lives what is done is done by that user, not by an operator: so events say.
  class Acting {
   public:
    Acting(Plane& plane, const std::string& user) : plane_(plane) { plane_.acting_ = user; }
    ~Acting() { plane_.acting_.clear(); }
    Acting(const Acting&) = delete;

   private:
    Plane& plane_;
  };

  // Shutting down, a step at a time. `drain`: tell all workers to close their connections; `drained`: all have. `stop`:
  // end their loops; `flushed`: nothing waits for room in a mailbox any more.
  void drain();
  bool drained() const;
  void stop();
  bool flushed() const;

  // Every change made so far is applied by every worker.
  bool settled() const { return applied_everywhere() == last_sequence_; }

  const Catalog& catalog() const { return catalog_; }
  broker::WorkerIndex workers() const { return static_cast<broker::WorkerIndex>(workers_.size()); }
  base::Time now() const { return now_; }
  struct Counts {
    uint64_t requests = 0;  // sessions' requests and notices
    uint64_t commands = 0;  // of these: commands in messages
    uint64_t refusals = 0;  // requests answered with a Refusal
    uint64_t logins_refused = 0;
    uint64_t strays = 0;  // notices and reports about what is not there (any more)
    uint64_t store_failures = 0;
    uint64_t queues_expired = 0;  // deleted since nobody used them
    // Moves of queues from worker to worker, and wishes for one that came to nothing.
    uint64_t moves_made = 0;
    uint64_t moves_refused_off = 0;        // PlaneOptions::move_queues
    uint64_t moves_refused_busy = 0;       // another queue was moving
    uint64_t moves_refused_too_soon = 0;   // after its last move
    uint64_t moves_refused_too_long = 0;   // it had more entries or subscriptions than a move carries
    uint64_t moves_refused_no_memory = 0;  // the other worker had none to spare
    uint64_t moves_refused_gone = 0;       // it was deleted
  };
  const Counts& counts() const { return counts_; }

  // A line of the log, for whoever listens to the log exchange; does not log itself. `level`: "info", ...
  void log_line(std::string_view level, std::string_view line);
  // The link of a network port went up or down: for whoever listens to events, and for the workers, who announce
  // themselves again. `port` is the number that workers know it by.
  void port_changed(uint8_t port, std::string_view name, bool up, uint32_t speed_mbps);

  // ---- operators' verbs. Each gives a ticket; its result is there once every worker has applied what it changed. Take
  // it or forget it, once.
  Ticket add_user(const std::string& name, const std::string& password);
  Ticket delete_user(const std::string& name);
  Ticket change_password(const std::string& name, const std::string& password);
  Ticket set_user_tags(const std::string& name, const std::vector<std::string>& tags);
  Ticket add_vhost(const VhostRow& row);
  // What is given takes the place of what was.
  Ticket update_vhost(const std::string& name, const std::optional<std::string>& description,
                      const std::optional<std::vector<std::string>>& tags);
  Ticket delete_vhost(const std::string& name);
  Ticket set_permissions(const PermissionRow& row);
  Ticket clear_permissions(const std::string& name, const std::string& vhost);
  Ticket set_topic_permissions(const TopicPermissionRow& row);
  // Whether copies of what is published and delivered there go to the vhost's trace exchange. Not kept over a restart.
  Ticket trace(const std::string& vhost, bool on);
  // Of one exchange, or, where none is named, of all in the vhost.
  Ticket clear_topic_permissions(const std::string& name, const std::string& vhost,
                                 const std::optional<std::string>& exchange);
  // All of the vhost's limits; of the user's those that are given, the others stay. `clear`: one of them, or all
  // ("all").
  Ticket set_vhost_limits(const std::string& name, const OperatorLimits& limits);
  Ticket set_user_limits(const std::string& name, const OperatorLimits& limits);
  Ticket clear_user_limits(const std::string& name, const std::string& limit);
  Ticket set_policy(const PolicyRow& row);
  Ticket clear_policy(const std::string& vhost, const std::string& name, bool of_operators);
  Ticket close_connection(const broker::SessionAddress& session, const std::string& reason);
  Ticket delete_queue(const std::string& vhost, const std::string& name, bool if_unused, bool if_empty);
  Ticket purge_queue(const std::string& vhost, const std::string& name);
  // Definitions, all in one: what can be is made, users and permissions are replaced, exchanges, queues and bindings
  // that are there already stay as they are. `report` gets a sentence for everything that was left out or kept though
  // it differs. An error (and nothing changed) only when the definitions are wrong in themselves.
  Ticket import(const StoreContents& definitions, std::vector<std::string>& report);

  // Begins to move a queue, whatever its traffic, unless it is gone or there already, another one moves, or the broker
  // drains. The outcome shows in `counts`, and in the queue's home.
  bool move_queue(broker::QueueId id, broker::WorkerIndex to);
  bool moving() const { return move_.has_value(); }

  // One watcher a worker, or null. Those of before are not used any more when `watch_settled`.
  void watch_frames(const std::vector<net::FrameWatcher*>& watchers);
  bool watch_settled() const { return watches_under_way_ == 0; }

  // nullopt: not yet. A result is given once.
  std::optional<OperatorResult> take_result(Ticket ticket);
  void forget(Ticket ticket);

 private:
  using Body = decltype(broker::Answer::body);
  // Whom to tell what became of a request: a session, or the holder of a ticket.
  struct ReplyTo {
    broker::SessionAddress session;
    uint64_t token = 0;
    Ticket ticket = 0;  // not 0: an operator
    bool nobody() const { return ticket == 0 && !session.session; }
  };
  struct Import;  // plane_import.cc
  // What is under way until the queue's home has reported.
  struct Check {
    ReplyTo to;  // nobody: the queue expired
    broker::QueueId queue;
    std::string text;     // "queue 'q' in vhost '/'", should it have to be refused
    bool unused = false;  // the broker's own wish: only while nobody consumes from it
    std::string acting = {};
  };
  // Who acts if it is no client's user: programs that read events know RabbitMQ's names for them.
  static constexpr std::string_view operators_name = "rmq-cli";
  static constexpr const char* brokers_name = "rmq-internal";
  struct Worker {
    WorkerLink* link = nullptr;
    std::deque<worker::ControlCommand> waiting;
    uint64_t applied = 0;
    bool drained = false;
    bool pressed = false;  // its memory was short when somebody looked last
  };
  struct WaitingAnswer {
    uint64_t sequence = 0;
    std::unique_ptr<broker::Answer> answer;
  };
  struct WaitingResult {
    bool ready = false;
    uint64_t sequence = 0;
    OperatorResult result;
  };
  // A question to a queue's home that waits until the queue has moved.
  struct Question {
    Check check;
    bool purge = false;
    bool if_unused = false;
    bool if_empty = false;
  };
  struct Move {
    broker::QueueId queue;
    broker::WorkerIndex to = 0;
    size_t ended = 0;  // workers
    broker::MoveOutcome outcome = broker::MoveOutcome::moved;
    std::vector<Question> questions;
  };
  // Gone from the catalog, still in some worker's replica.
  struct Retired {
    uint64_t sequence = 0;
    std::variant<broker::VhostId, broker::ExchangeId, broker::QueueId> id;
    std::unique_ptr<broker::QueueCounters> counters;
  };
  // plane.cc: the round
  void take(const worker::ControlReport& report, broker::WorkerIndex from);
  void on_request(std::unique_ptr<broker::Request> request);
  void serve(std::unique_ptr<broker::Request> request);
  // Nothing: no answer now (a notice, or a worker must be asked first).
  std::optional<Body> respond(const ReplyTo& to, broker::Request& request);
  void release_held(const broker::SessionAddress& session);
  bool flush(Worker& worker);
  void release_answers();
  void recycle_retired();
  uint64_t applied_everywhere() const;
  void command(broker::WorkerIndex to, const worker::ControlCommand& command);
  void broadcast(broker::TopologyChange change);
  void answer(const ReplyTo& to, Body body);
  Ticket new_ticket();
  void resolve(Ticket ticket, OperatorResult result);
  // The rows are on disk, or nothing has happened and the reason is returned.
  std::expected<void, broker::Refusal> save(std::span<const Edit> edits);
  void load(const StoreContents& contents);
  std::string unused_name(const Vhost& vhost);
  PasswordSalt fresh_salt();

  // plane_sessions.cc: who comes and goes
  Body on(broker::Authenticate& request);
  Body on(const broker::SessionAddress& session, broker::OpenConnection& request);
  Body on(Connection& connection, broker::Reauthenticate& request);
  Body on(Connection& connection, broker::Authorize& request);
  Body on(Connection& connection, broker::Impersonate& request);
  Body close_connection_of(const broker::SessionAddress& session);
  void note(Connection& connection, broker::ChannelOpened& notice);
  void note(Connection& connection, broker::ChannelClosed& notice);
  void note(Connection& connection, broker::ChannelChanged& notice);
  void note(Connection& connection, broker::ConsumerAdded& notice);
  Consumer* consumer_of(Connection& connection, uint16_t number, const std::string& tag);
  void note(Connection& connection, broker::ConsumerFoundSlow& notice);
  void note(Connection& connection, broker::ConsumerRemoved& notice);
  bool password_holds(const std::string& name, const std::string& password) const;
  std::optional<broker::Refusal> over_limit(const Vhost& vhost, const User& user) const;
  std::optional<broker::Refusal> refused(const Connection& connection, broker::Access access, bool exchange,
                                         std::string_view name) const;
  // A topic exchange's routing key: to bind with (read), or to publish with (write).
  std::optional<broker::Refusal> key_refused(const Connection& connection, broker::Access access,
                                             const std::string& exchange, std::string_view key) const;
  std::optional<broker::Refusal> refused_any(const Connection& connection, bool exchange, std::string_view name) const;

  // plane_manage.cc
  std::optional<Body> on(Connection& connection, const ReplyTo& to, broker::Manage& request);

  // plane_topology.cc: declare, bind, delete
  Body on(Connection& connection, broker::DeclareExchange& request);
  Body on(Connection& connection, broker::DeleteExchange& request);
  Body on(Connection& connection, broker::DeclareQueue& request);
  Body on(Connection& connection, broker::Bind& request);
  // Nothing when a worker must be asked first.
  std::optional<Body> on(Connection& connection, const ReplyTo& to, broker::DeleteQueue& request);
  void on_checked(const worker::DeleteChecked& report);
  void on_purged(const worker::Purged& report);
  void ask_home(Question question, const Queue& queue);
  void finish(const Check& check, OperatorResult result);

  // plane_moves.cc
  void on_wish(const worker::MoveWished& wish, broker::WorkerIndex from);
  void on_move_ended(const worker::MoveEnded& report);
  void on_unused(const worker::QueueUnused& report);

  // plane_changes.cc: changes that have passed every rule. `enter` puts into the catalog and tells the workers what the
  // store holds already, where it must.
  Vhost& enter(const VhostRow& row);
  Exchange& enter(std::unique_ptr<Exchange> made);
  Queue& enter(std::unique_ptr<Queue> made);
  Binding& enter(std::unique_ptr<Binding> made);
  // Of a queue, or of what an exchange remembers.
  broker::WorkerIndex home_of(const Vhost& vhost, const std::string& name) const;
  // Store, then workers and catalog. `more` goes into the same transaction.
  std::expected<void, broker::Refusal> carry_out(const Removal& removal, std::vector<Edit> more = {});
  void take_out(const Removal& removal);

  // plane_policies.cc
  std::shared_ptr<const AppliedPolicies> policies_for(Vhost& vhost, PolicySubject subject, const std::string& name);
  void govern(Vhost& vhost);
  void govern(Queue& queue);
  bool decide(Exchange& exchange);
  bool decide(Queue& queue, bool moving);
  void decide_alerts(Queue& queue, const base::FieldTable& arguments);

  // plane_events.cc
  const Exchange* listened_to(std::string_view name) const;
  void announce(const Exchange& exchange, std::string_view key, base::FieldTable headers, std::string_view content_type,
                std::string body);
  // `headers` makes the table, if anybody listens.
  template <class Make>
  void event(std::string_view key, Make&& headers);
  void watch_pressure();
  void watch_thresholds();
  void look(const Queue& queue, Alert& alert, std::string_view what, uint64_t value);
  void tell(std::string_view key, const Vhost& vhost);
  void tell(std::string_view key, const Exchange& exchange);
  void tell(std::string_view key, const Queue& queue);
  void tell(std::string_view key, const Binding& binding);
  void tell(std::string_view key, const Connection& connection);
  void tell(std::string_view key, const Connection& connection, uint16_t channel);
  void tell(std::string_view key, const Connection& connection, uint16_t channel, const std::string& tag,
            const Consumer& consumer);
  void tell_end(const Connection& connection, uint16_t number, const Channel& channel);
  void tell_login(bool good, const broker::Authenticate& request);
  void tell_user(std::string_view key, const User& user);
  void tell_limits(std::string_view key, std::string_view kind, const std::string& name, const OperatorLimits& limits);
  void tell_permission(std::string_view key, const PermissionRow& row);
  void tell_permission(std::string_view key, const TopicPermissionRow& row);
  void tell_policy(std::string_view key, const PolicyRow& row);

  // plane_operator.cc
  Ticket done(uint32_t count = 0);
  Ticket failed(Fault fault, std::string message);
  // The edits that make the store hold the user.
  static std::vector<Edit> keep(const User& user);
  Ticket replace(User& user, User changed, std::string_view event);
  void close_session(const Connection& connection, broker::CloseCause cause, const std::string& text);
  void permissions_changed(const std::function<bool(const Connection&)>& of);
  // Cancels it if its user may not read the queue.
  bool revoke_if_refused(const Connection& connection, uint16_t channel, const std::string& tag,
                         const Consumer& consumer);
  uint32_t close_sessions(const std::string& text, const std::function<bool(const Connection&)>& chosen);

  Store& store_;
  PlaneOptions options_;
  Catalog catalog_;
  std::vector<Worker> workers_;
  base::Time now_{};
  Counts counts_;

  uint64_t last_sequence_ = 0;
  struct InFlight {
    uint64_t sequence = 0;
    std::unique_ptr<const broker::TopologyChange> change;
  };
  std::deque<InFlight> in_flight_;
  std::deque<WaitingAnswer> answers_;  // in the order of their sequences
  std::deque<Retired> retired_;
  uint64_t last_token_ = 0;
  std::unordered_map<uint64_t, Check> checks_;
  std::vector<broker::QueueId> watched_queues_;  // for their alerts; some have none by now, or are gone
  size_t next_watched_ = 0;
  std::optional<Move> move_;
  uint32_t last_move_ = 0;
  Ticket last_ticket_ = 0;
  std::unordered_map<Ticket, WaitingResult> results_;
  size_t watches_under_way_ = 0;  // commands that no worker has reported yet
  std::deque<Command> commands_;
  bool drain_sent_ = false;
  bool loading_ = true;  // nobody is told of what was there before
  std::string acting_;   // the user whose request is being served; empty: an operator
};

}  // namespace talaria::control
