// A slow and obvious model of a broker, told everything that clients send and get, which holds the broker to account:
//
// - nothing lost: what is certainly published is delivered from every queue it is certainly routed to, and settled
// - nothing doubled: a message is held once; once settled for sure it never comes back
// - nothing reordered: first deliveries to one consumer keep the order of each publishing channel
// - nothing invented: a delivery is bit for bit what was published, from a queue it may be routed to; not before its
//   delay is over; not where a later value has taken its place, or an earlier one keeps it out; not while another
//   consumer holds some of its group
// - nothing split: where an exchange chooses among its bindings one choice explains where a message is found, and the
//   same one all messages that hash the same; where one remembers, each queue has each message once, by its history or
//   not, and of duplicates one is taken
// - nothing unsaid: what was delivered before is marked redelivered; unroutable mandatory messages are returned before
//   they are confirmed, routable ones are not
// - nobody reads what he may not, or signs with a name that he may not; who may is let
// - what dies does so with a reason, and not before its time; where a queue's dead have somewhere to go, all of them
//   come there, once, and tell how they died
//
// Clients do not know when the broker takes something up, only when they sent it and when it was answered. So topology
// has lives with a soft beginning and end, and every question has two answers: what *must* be and what *may* be.
// A connection that dies leaves things open: then both are right, but one of them, everywhere.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "core/base/bytes.h"
#include "tests/sim/dialect.h"
#include "tests/sim/world.h"

namespace talaria::sim {

// From when to when something is there. Every one of the four may not have come yet.
struct Life {
  Time add_sent = base::never, added = base::never;
  Time remove_sent = base::never, removed = base::never;
  bool surely(Time from, Time to) const { return added <= from && to < remove_sent; }
  bool perhaps(Time from, Time to) const { return add_sent <= to && from <= removed; }
};

struct TopologyExchange {
  std::string name;
  std::string type;  // how it routes
  std::string alternate;
  bool delays = false;
  // How it hashes, if it does: by this header, by the message's id, or else by the routing key.
  std::string hash_header;
  bool hashes_ids = false;
  // As many of the messages that were published to it are for whoever is bound next.
  size_t history = 0;
  // Of those published to it with one x-deduplication-header it takes the first.
  bool deduplicates = false;

  bool remembers() const { return history != 0 || deduplicates; }
  // It gives each message to one of its bindings.
  bool chooses() const { return type.starts_with("x-"); }
  bool hashes() const { return type == "x-consistent-hash" || type == "x-modulus-hash"; }
};

struct ModelBinding {
  std::string source, destination;
  bool to_queue = true;
  std::string key;
  TextTable arguments;
  Life life;
};
// What tells it from all others.
std::string identity_of(const ModelBinding& binding);
// What tells it from others of its source, which has no arguments to look at.
std::string label_of(const ModelBinding& binding);

// What a queue asks of its consumers.
struct PaceLimit {
  int64_t threshold = 1;  // messages a second
  std::chrono::milliseconds period{};
  bool cancels = false;

  // Settled in a period.
  uint64_t wanted() const { return std::max<int64_t>(1, threshold * period.count() / 1000); }
};

// What a queue was declared with.
struct QueueTraits {
  std::optional<std::chrono::milliseconds> message_ttl;
  std::optional<int64_t> max_length;
  std::optional<uint8_t> max_priority;
  bool single_active_consumer = false;  // the engine's own sums say that it is one at a time
  bool rejects_publishes = false;       // when it is full; otherwise the oldest go
  std::string dead_queue;               // its own, for what dies; "": that is gone
  std::string dead_exchange;
  std::optional<std::string> dead_key;
  std::string last_value_header;  // "": it keeps all values
  bool deduplicates = false;      // by the header x-deduplication-header; it forgets no value in a run
  std::optional<int64_t> flow_stop;
  std::optional<std::chrono::milliseconds> consumer_timeout;
  std::string group_header;  // "": it keeps no groups
  std::optional<PaceLimit> pace;
  bool by_policy = false;  // lifetime, limit and the dead are a policy's, not the declaration's

  bool can_keep_groups() const { return !max_priority && !single_active_consumer && last_value_header.empty(); }
};

// Who publishes, and who holds deliveries: channels and consumers, each with a number of its own for the whole run.
using Identity = uint64_t;

class Model {
 public:
  // With one worker what is published is in its queue at once.
  Model(World& world) : world_(world) {}
  void set_one_worker(bool one) { one_worker_ = one; }
  // Histories are never forgotten for want of memory.
  void set_whole_histories(bool whole) { whole_histories_ = whole; }

  Identity new_identity() { return ++last_identity_; }

  // ---- topology: `_sent` when the client sends it, the rest when it is answered -------------------------------------
  // Exchanges are declared before there is traffic, and stay.
  void add_exchange(const TopologyExchange& exchange) { exchanges_[exchange.name] = exchange; }
  void add_queue_sent(const std::string& name);
  void queue_added(const std::string& name);
  void set_traits(const std::string& name, const QueueTraits& traits);
  void remove_queue_sent(const std::string& name);
  void queue_removed(const std::string& name);
  // Its declaration was not answered, or its deletion was asked for.
  bool may_be_gone(const std::string& name) const;
  // With the bindings of which it is the source. What was published there is not forgotten.
  void remove_exchange_sent(const std::string& name);
  size_t add_binding_sent(const ModelBinding& binding);
  void binding_added(size_t binding);
  void remove_binding_sent(size_t binding);
  void binding_removed(size_t binding);
  void purge_sent(const std::string& queue);
  void purged(const std::string& queue);
  // Whoever consumed without acknowledging has died: what was on the way to him is gone.
  void may_lose(const std::string& queue);
  // A channel that held or awaited deliveries has ended: messages may come back that nobody has seen.
  void may_return_unseen(const std::string& queue);

  // ---- publishing ---------------------------------------------------------------------------------------------------
  struct Published {
    Identity channel = 0;
    std::string exchange, key;
    TextTable headers;
    std::vector<std::string> copies, blind_copies;  // more keys, the second untold
    bool mandatory = false;
    std::optional<std::chrono::milliseconds> expiration;
    uint8_t priority = 0;
    std::optional<std::chrono::milliseconds> delay;  // before it is routed
    std::string id;
    Buffer properties;  // as on the wire; no two messages have the same
    Buffer arriving;    // as consumers get them; "": the same
    Buffer body;
    std::string replies_to;  // where: add_replies_sent; "": it is no request
    bool kept = false;       // in a transaction: nobody may see it before its commit is asked for
  };
  // Gives the message's number.
  uint64_t published(Published message);
  // The client has asked for their commit: from now on all of them may be there, or none.
  void commit_sent(const std::vector<uint64_t>& messages);
  // It was refused: none is, nor ever will be.
  void commit_refused(const std::vector<uint64_t>& messages);
  // It came behind what cost its channel, and so do all later ones of that.
  void unheard(uint64_t number);
  bool may_be_refused(uint64_t number) const;
  void returned(Identity channel, const Reply& reply, base::Bytes properties, base::Bytes body);
  // The broker has taken it, because what followed it on the channel was answered; or, `stored`, by a confirm: then it
  // is in its queues.
  void accepted(uint64_t number, bool stored);
  // Its connection was closed for an offence: what another worker says of it may come too late.
  void answers_end(uint64_t number);
  // A queue has not taken it.
  void refused(uint64_t number);

  // ---- delivering ---------------------------------------------------------------------------------------------------
  // From now on it takes what is there: it consumes, or gets.
  void began(Identity holder, const std::string& queue) {
    began_[holder] = world_.now();
    takers_[queue].insert(holder);
  }
  // What somebody holds.
  struct Delivery {
    std::string queue;
    uint64_t message = 0;
    uint64_t lease = 0;   // of its deliveries in this run, which one
    std::string address;  // for replies; "": none are wanted
  };
  // `holder` is the consumer, or the channel of a get.
  Delivery delivered(const std::string& queue, Identity holder, bool no_ack, const Reply& reply, base::Bytes properties,
                     base::Bytes body);
  // A delivery to a channel that has asked for its end, or for a recover: somebody else may have had it since.
  void glimpsed(const std::string& queue, base::Bytes properties, base::Bytes body);
  // `by` will tell how it ended: channel_ended.
  void settled(const Delivery& delivery, Identity by);
  // As settled, for good.
  void rejected(const Delivery& delivery, Identity by);
  void requeued(const Delivery& delivery);
  // Of a transaction whose commit was asked for: it is settled or not. Then which of them.
  void perhaps_settled(const Delivery& delivery, Identity by, bool rejected);
  void surely_settled(const Delivery& delivery, Identity by);
  void not_settled(const Delivery& delivery, Identity by);
  // The broker may find the holder silent, and take back what it holds before it knows.
  void may_be_cut_off(Identity holder) { cut_off_.insert(holder); }
  // In good order: what it settled is settled. Otherwise nobody knows what arrived of it.
  void channel_ended(Identity channel, bool in_good_order);

  // A channel of these queues was closed because a delivery was not settled in time; it has been open for so long.
  void timed_out(const std::set<std::string>& queues, uint16_t channel, Duration open, const std::string& text) const;
  // A consumer that had asked to be one so long ago was cancelled.
  void cancelled_by_broker(const std::string& tag, Duration since_asked);
  // A consumer held as many as a whole period wants for so long, settled none ever, and nobody cancelled it.
  void held_in_peace(const std::string& queue, Duration so_long) const;
  // ---- direct replies: model_replies.cc -----------------------------------------------------------------------------
  // He wants to consume them. That he does, and the end of it, is told as of any queue.
  void add_replies_sent(const std::string& name, Identity holder);
  // Some were, for want of memory: that is nobody's fault.
  void replies_dropped();
  // It was asked then whether somebody is there.
  void address_found(const std::string& address, Time asked) const;
  void address_not_found(const std::string& address, Time asked) const;

  // ---- what users may do: model_users.cc ----------------------------------------------------------------------------
  // That the user may not read the queue; or, if it is "", that he may sign with any name. The decree's number.
  size_t decree_sent(const std::string& user, const std::string& queue);
  void decreed(size_t decree);
  void repeal_sent(size_t decree);
  void repealed(size_t decree);
  // Asks for what needs the right to read the queue; else it costs the channel, on which these hold deliveries, before
  // its client knows.
  void asks_to_read(Identity channel, const std::set<Identity>& holders, const std::string& user,
                    const std::string& queue);
  void was_let(Identity channel);
  void was_refused(Identity channel, const std::string& text);
  // A message that he signed then with another's name was taken, or not.
  void could_sign(const std::string& user, Time signed_at) const;
  void could_not_sign(const std::string& user, Time signed_at) const;
  // It asked for its own end, and the broker had told it of none.
  void cancelled_unrevoked(const std::string& tag) const;

  // ---- what it tells of itself: model_accounts.cc -------------------------------------------------------------------
  // Consumers, by tags that nobody else has.
  void consume_sent(const std::string& tag, const std::string& queue, Identity identity, const std::string& user);
  void consuming(const std::string& tag) { consumers_.at(tag).life.added = world_.now(); }
  void cancel_sent(const std::string& tag);
  void cancelled(const std::string& tag);
  void connected() { connections_opened_++; }
  void sets_policy(const std::string& name) { policies_.insert(name); }
  // What is done to a user, by the name of its event.
  void orders(const std::string& event, const std::string& user) { orders_.insert(event + " " + user); }

  // Answers to questions asked then: everything that is there for sure, and nothing that cannot be.
  void listed_queues(const std::map<std::string, uint32_t>& ready, Time asked) const;
  void listed_bindings(const std::set<std::string>& identities, Time asked) const;
  void listed_consumers(const std::map<std::string, std::string>& queues_by_tag, Time asked) const;

  // An event: something (its kind and name) began, or ended.
  void began_to_be(const std::string& kind, const std::string& name);
  void ended_to_be(const std::string& kind, const std::string& name);
  void found_slow(const std::string& tag, const std::string& queue);
  void logged_in() { logins_told_++; }
  void policy_told(const std::string& name) { policies_.erase(name); }
  void order_told(const std::string& event, const std::string& user);
  // The firehose. From the start, unless copies were lost.
  struct Traced {
    std::string id, exchange;
    std::vector<std::string> keys;
    Buffer body;
    std::string queue;                // it was delivered from
    bool redelivered = false;         // then
    std::vector<std::string> routed;  // otherwise: where it was to go
  };
  void set_traced() { is_traced_ = true; }
  void published_by_trace(const Traced& traced);
  void delivered_by_trace(const Traced& traced);
  // What the firehose lacks; "": nothing.
  std::string untraced() const;

  // What has not been told of, now that all but `connections` are gone; "": nothing.
  std::string untold(size_t connections) const;

  // A connection was told why it is not read: the queue that stops it, or "" if it is something else.
  std::string blocked(const std::string& reason) const;
  // What a declare-ok said.
  // `asked`: when. The answer counts what was ready then, or later.
  void counted(const std::string& queue, uint32_t ready, Time asked) const;

  // ---- the end ------------------------------------------------------------------------------------------------------
  // Copies that must still be delivered and settled. Slow, but counted again only when something has happened.
  size_t outstanding() const;
  std::string describe_outstanding(size_t limit) const;
  // Throws Failure if anything is lost.
  void check_complete() const;

  size_t messages() const { return messages_.size(); }
  size_t deliveries() const { return deliveries_; }
  size_t deaths() const { return deaths_; }

 private:
  // One way in which it may have been routed: by which bindings exchanges that choose did it (their identities; "": by
  // none), and where it must and may be then.
  struct Route {
    std::map<std::string, std::string> choices;
    std::set<std::string> must, may;
    bool dropped = false;  // as a duplicate, by its exchange
  };
  struct Window {
    Time from, to;
  };
  struct Message {
    Published what;
    Time sent{};
    Time accepted = base::never;
    bool was_returned = false, may_go_unreturned = false;
    bool stored = false;                 // by the time it was accepted it was in its queues
    uint64_t transaction = 0;            // of which it is a part; 0: none
    Time committed{};                    // then: when that was asked for
    std::set<std::string> seen_in = {};  // queues that delivered it, or in which it died
    mutable std::vector<Route> routes = {};
    mutable bool routes_final = false;
    std::vector<std::string> keys() const;
    bool certain() const { return accepted != base::never; }
    Time begun() const { return transaction == 0 ? sent : committed; }
  };
  enum class State : uint8_t { waiting, held, settled };
  struct Copy {
    State state = State::waiting;
    Identity holder = 0, settler = 0;
    bool seen = false;             // some client has got it
    bool perhaps_settled = false;  // its settler died: it may come back or not
    bool rejected = false;         // by its settler
    Time settled_at{};
    bool died = false;
    uint64_t lease = 0;
    // The broker took it from a holder who did not know yet: which of two has it, and whose word counts, only the
    // broker knows. That in the end it is gone its queues say.
    bool disputed = false;
  };
  struct Consumption {
    std::string queue;
    Identity identity = 0;
    std::string user;
    Life life;
  };
  struct Decree {
    std::string user, queue;
    Life life;
  };
  // Under way.
  struct Question {
    std::set<Identity> holders;
    std::string user, queue;
    Time asked{};
  };
  // Of one kind and name.
  struct Told {
    size_t begun = 0, ended = 0;
  };
  struct Queue {
    Life life;
    std::map<uint64_t, Copy> copies;  // that were delivered at least once; by message
    bool may_lose = false, may_return_unseen = false;
    Time purged_until = Time::min();  // messages sent up to then may have been purged
    bool purging = false;
    Identity replies_to = 0;  // who takes them; 0: it is a queue like any other
    std::string address;      // then, if it is known
  };
  enum class Certainty : uint8_t { must, may };

  // When it is routed.
  Window window_of(const Message& message) const;
  // All ways; one, unless exchanges choose.
  const std::vector<Route>& routes(const Message& message) const;
  void enumerate(const Message& message, Window window, Route route, std::vector<Route>& out) const;
  struct Walk;
  void follow(Walk& walk, const std::string& exchange) const;
  void follow_names(Walk& walk) const;
  void follow_choice(Walk& walk, const TopologyExchange& exchange) const;
  void follow_binding(Walk& walk, const ModelBinding& binding) const;
  struct Chances {
    bool surely, perhaps;
  };
  Chances chances(const ModelBinding& binding, Window window) const;
  // To an exchange with a history: whether it may have been pushed out of that by then, or still be in it.
  bool forgotten_for_sure(uint64_t number, Time by) const;
  bool forgotten_perhaps(uint64_t number, Time by) const;
  Chances chances_to_get(const ModelBinding& binding, Window window, const Message& message) const;
  // By its exchange.
  bool has_history(const Message& message) const;
  bool reaches_refusals(const Message& message) const;
  bool value_may_be_forgotten(uint64_t number) const;
  bool is_duplicate_for_sure(uint64_t number) const;
  bool is_duplicate_perhaps(uint64_t number) const;
  void check_taken_once(uint64_t number) const;
  void check_one_taken() const;
  uint64_t number_of(const Message& message) const { return static_cast<uint64_t>(&message - messages_.data()) + 1; }
  const std::vector<uint64_t>& published_to(const std::string& exchange) const;
  // Of two to one exchange that remembers.
  bool decided_before(uint64_t first, uint64_t second) const;
  bool matches(const TopologyExchange& exchange, const ModelBinding& binding, const Message& message) const;
  bool may_be_in(const Message& message, const std::string& queue) const;
  bool must_be_in(const Message& message, const std::string& queue) const;
  bool explains(const Route& route, uint64_t number) const;

  // The first was certainly in any queue of both before the second.
  bool surely_before(uint64_t first, uint64_t second) const;
  const std::vector<uint64_t>& of_same_value(const std::string& header, const Message& message) const;
  uint64_t superseded_for_sure(const std::string& queue, uint64_t number,
                               Identity holder) const;  // by whom; 0: perhaps not
  bool replaced_perhaps(const std::string& queue, uint64_t number) const;
  bool duplicate_perhaps(const std::string& queue, uint64_t number) const;
  void check_values(const std::string& queue, uint64_t number, Identity holder, bool redelivered) const;
  void check_choices() const;
  // Nothing was taken from it but what its consumers took.
  bool stays_whole(const std::string& queue) const;
  // What is known of the messages that hash the same: among such bindings one of those was chosen.
  using Choices = std::map<std::set<std::string>, std::set<std::string>>;
  void learn_choice(uint64_t number, std::map<std::string, Choices>& values) const;
  void check_shares(const TopologyExchange& exchange, const std::map<std::string, Choices>& values) const;

  // At some time between these; and all the time.
  bool perhaps_decreed(const std::string& user, const std::string& queue, Time from, Time to) const;
  bool surely_decreed(const std::string& user, const std::string& queue, Time from, Time to) const;
  // When it was cancelled because its user may not read, at the latest; never: perhaps it was not.
  Time surely_revoked_by(const Consumption& consumer) const;
  bool may_be_revoked(const Consumption& consumer) const;
  // Its channel may have ended already.
  bool in_question(Identity holder) const;
  void check_may_read(const Message& message, const std::string& queue, Identity holder) const;
  // It is nowhere.
  void take_back(uint64_t number, const char* why);

  Chances chances_of(const Consumption& consumer, Window window) const;
  void check_listed(const char* what, const std::set<std::string>& listed,
                    const std::map<std::string, Chances>& known) const;
  std::map<std::string, Chances> bindings_in(Window window) const;
  bool may_begin(const std::string& kind, const std::string& name, size_t times) const;
  bool may_end(const std::string& kind, const std::string& name, size_t times) const;
  uint64_t number_by_trace(const Traced& traced) const;
  void check_traced_route(const Message& message, const std::set<std::string>& routed) const;
  Told told(const std::string& kind, const std::string& name) const;
  bool gone_otherwise(const std::string& queue, const Message& message) const;
  bool excused(const std::string& queue, const Message& message) const;
  bool done(const std::string& queue, uint64_t number) const;
  bool due(uint64_t number, const std::set<uint64_t>& seen_transactions) const;
  const QueueTraits& traits_of(const std::string& queue) const;
  Delivery delivered_dead(const std::string& queue, const std::string& source, Identity holder, const Reply& reply,
                          base::Bytes properties, base::Bytes body);
  Delivery take(const std::string& queue, Identity holder, bool no_ack, const Reply& reply, base::Bytes properties,
                base::Bytes body);
  void learn_address(uint64_t number, const std::string& address);
  std::string replies_of(const std::string& exchange, const std::string& key) const;
  bool is_there(const std::string& name, Certainty certainty, Window window) const;
  Time taken_by(const Message& message) const;
  void check_dead(const std::string& source, uint64_t number, const Reply& reply, base::Bytes properties);
  Delivery hold(const std::string& queue, uint64_t number, Identity holder, bool no_ack, const Reply& reply);
  // Messages that were on the way to somebody.
  bool may_have_come_back_unseen(const std::string& queue) const;
  bool may_be_disputed(const std::string& queue, const Copy& copy, Identity holder) const;
  void check_group(const std::string& queue, uint64_t number, Identity holder, bool no_ack, const Reply& reply);
  bool was_surely_settled(const Copy& copy, Time by) const;
  Copy& copy_of(const Delivery& delivery);
  // Nullptr if it is disputed.
  Copy* copy_in_force(const Delivery& delivery);
  uint64_t find(base::Bytes properties) const;
  Queue& queue(const std::string& name);
  const Queue& queue(const std::string& name) const;

  template <class Visit>
  void for_each_missing(Visit&& visit) const;

  World& world_;
  Identity last_identity_ = 0;
  bool one_worker_ = false, whole_histories_ = false;
  std::map<std::string, TopologyExchange> exchanges_;
  std::map<std::string, Queue> queues_;
  std::map<std::string, QueueTraits> traits_;
  std::vector<ModelBinding> bindings_;
  std::vector<Message> messages_;  // number - 1
  std::map<Buffer, uint64_t> by_properties_;
  std::map<std::string, uint64_t> by_id_;
  std::map<std::string, std::vector<uint64_t>> by_exchange_;  // that remember: numbers
  std::map<std::string, std::string> dead_of_;                // queues for the dead, and whose these are
  std::map<std::pair<std::string, std::string>, std::vector<uint64_t>> by_value_;  // of headers: numbers
  std::map<Identity, Time> began_;
  std::map<std::string, std::set<Identity>> takers_;  // of queues: all that ever began
  std::set<Identity> cut_off_;
  uint64_t last_lease_ = 0;
  // (queue, holder, publisher, lane in that queue) -> number, of first deliveries
  std::map<std::tuple<std::string, Identity, Identity, std::string>, uint64_t> newest_;
  std::map<Identity, std::vector<std::pair<std::string, uint64_t>>> settlements_;  // not yet sure, by settler
  size_t deliveries_ = 0;
  size_t deaths_ = 0;
  std::map<std::string, std::string> addresses_;  // of consumers of direct replies: their names
  std::map<std::string, Consumption> consumers_;  // by tag
  std::map<Identity, std::string> tags_;          // of consumers
  std::vector<Decree> decrees_;
  std::map<Identity, Question> questions_;  // by channel
  std::multiset<std::string> orders_;       // of which nobody has told
  std::map<std::string, std::map<std::string, Told>> told_;
  std::set<std::string> cancelled_as_slow_, told_as_slow_;  // consumers
  std::set<std::string> policies_;                          // of which nobody has told
  size_t connections_opened_ = 0, logins_told_ = 0;
  bool is_traced_ = false;
  std::set<uint64_t> traced_;  // messages whose publishing was
  struct Deliveries {
    size_t heard = 0, traced = 0, traced_as_first = 0;
  };
  std::map<std::pair<std::string, uint64_t>, Deliveries> deliveries_by_queue_;
  uint64_t last_transaction_ = 0;
  uint64_t changes_ = 0;
  mutable uint64_t counted_at_ = UINT64_MAX;  // of changes_
  mutable size_t outstanding_ = 0;
};

}  // namespace talaria::sim
