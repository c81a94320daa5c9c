// A client that does what clients do, at random: opens channels, publishes with and without confirms, consumes,
// acknowledges, gives back, gets, cancels, binds and unbinds, makes and deletes queues, provokes errors, stops reading,
// closes, and dies without a word. Everything it does and sees it tells the model.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/amqp_connection.h"
#include "tests/sim/model.h"
#include "tests/sim/offences.h"
#include "tests/sim/topology.h"

namespace talaria::sim {

struct ClientPlan {
  std::string name;
  const Dialect* dialect = nullptr;
  AmqpConnection::Options options;
  uint64_t actions = 100;  // in all, on open channels
  Duration interval_max = 10ms;
  size_t channels_max = 3;
  size_t body_max = 2000;
  uint64_t burst_max = 10;  // messages published in one action
  // Shares of what it does; the rest follows from them.
  unsigned publish = 50, consume = 20;
  double no_ack = 0.1;
  double death = 0.01, stop_reading = 0.01, offence = 0.01, new_secrets = 0;
  double requests = 0, replies = 0;             // messages
  double signed_own = 0, signed_otherwise = 0;  // messages, actions: by name, and by another's
  bool changes_topology = true;
};

// How a process ends that does not say goodbye.
enum class Death : uint8_t {
  reset,   // its kernel has no connection any more
  finish,  // its kernel closes what it left open, in order
  silence  // its host is gone
};

class AmqpClient final : public Application, public AmqpListener {
 public:
  using Connect = std::function<ByteStream*()>;
  AmqpClient(World& world, Random random, Model& model, Topology& topology, ClientPlan plan, Connect connect,
             Time start);

  bool poll(Time now) override;
  Time next_deadline() const override;

  // No more adventures: cancels, settles what it holds, awaits its confirms, closes.
  void finish() { finishing_ = true; }
  bool finished() const { return finished_; }
  // For good.
  void end(Death how);
  // The queue whose x-flow-stop keeps its connection from being read; "": none, as far as it was told.
  std::string stopped_by() const;
  // What it still waits for.
  std::string describe() const;

 private:
  struct Consumer {
    std::string queue;
    Identity identity = 0;
    bool no_ack = false, confirmed = false, cancelling = false, cancelled = false;
    bool replies = false;  // direct ones; the queue is the model's
    Time asked{};          // to be one
    // It settles nothing until it leaves, or something else puts an end to that.
    bool lazy = false;
    uint64_t kept = 0;               // then: what it holds
    Time kept_enough = base::never;  // then: since when it holds what a whole period wants
    Time kept_until = base::never;   // then: when that ended
  };
  using Held = Model::Delivery;
  // A synchronous method under way.
  struct Pending {
    uint32_t reply = 0, other_reply = 0;
    bool reads = false;   // one needs the right to read a queue
    uint64_t behind = 0;  // messages up to this one were published before
    std::function<void(const Reply& reply, base::Bytes properties, base::Bytes body)> then;
  };
  struct Channel {
    enum class Phase : uint8_t { opening, open, failing, closing };
    uint16_t number = 0;
    Identity identity = 0;
    Phase phase = Phase::opening;
    bool confirms = false;
    uint64_t published = 0;                    // with confirms: the sequence number of the last one
    std::map<uint64_t, uint64_t> unconfirmed;  // sequence -> message
    std::vector<uint64_t> unaccepted;          // messages whose fate is open
    std::optional<Pending> pending;
    std::map<std::string, Consumer> consumers;  // by tag
    std::map<uint64_t, Held> held;              // by delivery tag
    std::set<uint64_t> kept_long;               // of these, those of lazy consumers
    uint64_t delivered = 0;                     // the last delivery tag
    uint16_t expected_error = 0;
    std::string expected_text;  // of it; "": whatever it is
    Time opened{};
    std::set<std::string> queues;  // from which it has consumed or got: what it settled may not have been heard
    bool ended = false;            // the broker closed it while the client's close was on its way
    bool recovering = false;
    std::function<void()> when_lost;  // what it gambles on
    std::string getting;              // the queue of a get under way
    std::set<std::string> glimpsed;   // queues of what came when it was about to end: it holds them, too
    bool getting_no_ack = false;
    std::set<Identity> holders;  // that take deliveries, or did
    bool has_timeout = false;    // of a queue from which it takes

    // What a transactional channel has not committed, and what it has asked to be.
    struct Settlement {
      uint64_t tag = 0;
      Held held;
      std::optional<bool> requeue;
    };
    struct Work {
      std::vector<uint64_t> messages;
      std::vector<Settlement> settlements;
      size_t bytes = 0;  // of the messages' bodies
      bool empty() const { return messages.empty() && settlements.empty(); }
    };
    bool transactional = false, committing = false;
    Work kept, under_way;
  };
  struct PrivateQueue {
    std::string name;
    bool exclusive = false, declared = false, deleting = false;
  };

  // ---- what happens to it: amqp_client.cc
  void on_open() override;
  void on_reply(uint16_t number, const Reply& reply, base::Bytes properties, base::Bytes body) override;
  void on_blocked(const std::string& reason) override { blocked_by_ = model_.blocked(reason); }
  void on_closed(const std::string& failure) override;
  void on_delivery(Channel& channel, const Reply& reply, base::Bytes properties, base::Bytes body);
  void on_got(Channel& channel, const Reply& reply, base::Bytes properties, base::Bytes body);
  void glimpse(Channel& channel, const std::string& queue, base::Bytes properties, base::Bytes body);
  void on_confirm(Channel& channel, const Reply& reply);
  void on_channel_error(Channel& channel, const Reply& reply);
  void on_timeout(Channel& channel, const Reply& reply);
  void on_refused(Channel& channel, const Reply& reply);
  void on_cancelled(Channel& channel, const Reply& reply);
  void on_cancel_ok(Channel& channel, const Reply& reply);
  void let_go(Channel& channel);
  // Its consumers are on their way out.
  void stop_consuming(Channel& channel);
  void leave(const std::string& tag, const Consumer& consumer);
  void drop_transaction(Channel& channel);
  void end_channel(Channel& channel, bool in_good_order);
  void end_connection(bool in_good_order);
  void connect(Time now);
  void die(Death how);
  void close_connection();
  void let_go_of_all();
  bool wind_up();

  // ---- what it does: amqp_client_actions.cc
  void act(Time now);
  void act_on(Channel& channel);
  void open_channel();
  Buffer arriving(MessageProperties properties, bool delayed) const;
  // As `signer`; "": nobody, or the user. The message; 0: there was none.
  uint64_t publish(Channel& channel, const std::string& signer = "");
  void gamble(Channel& channel, uint16_t code, const std::string& text, std::function<void()> when_lost);
  void win(Channel& channel);
  void sign_otherwise(Channel& channel);
  bool awaits_replies(const Channel& channel) const;
  void await_replies(Channel& channel);
  void look_for_replier(Channel& channel);
  void settle(Channel& channel);
  void keep_no_longer(Channel& channel);
  void settle_one(Channel& channel, uint64_t tag, const Held& held, std::optional<bool> requeue);
  void commit(Channel& channel);
  void on_committed(Channel& channel);
  void on_commit_refused(Channel& channel, const Reply& reply);
  void roll_back(Channel& channel);
  void settle_up_to(Channel& channel, uint64_t tag, bool multiple, std::optional<bool> requeue);
  void begin_to_take(Channel& channel, const std::string& queue, Identity holder);
  void consume(Channel& channel);
  void cancel(Channel& channel, const std::string& tag);
  void get(Channel& channel);
  void recover(Channel& channel);
  void bind(Channel& channel);
  void unbind(Channel& channel);
  void declare_private_queue(Channel& channel);
  void delete_private_queue(Channel& channel);
  void purge(Channel& channel);
  void look(Channel& channel);
  void provoke(Channel& channel);
  void offend();
  void close_channel(Channel& channel);
  void request(Channel& channel, const Command& command, uint32_t reply,
               std::function<void(const Reply&, base::Bytes, base::Bytes)> then = {});
  void request_to_read(Channel& channel, const std::string& queue, const Command& command, uint32_t reply,
                       std::function<void(const Reply&, base::Bytes, base::Bytes)> then);
  std::string draw_queue();

  World& world_;
  Random random_;
  Model& model_;
  Topology& topology_;
  ClientPlan plan_;
  Connect connect_;
  std::unique_ptr<AmqpConnection> connection_;
  bool opened_ = false;     // this connection has been open
  bool closing_ = false;    // connection.close was asked for
  std::string blocked_by_;  // when it was last told so: a queue, or ""
  std::map<uint16_t, Channel> channels_;
  std::vector<PrivateQueue> private_queues_;
  std::vector<size_t> my_bindings_;  // of the model; made by this client and not touched since
  std::map<size_t, ModelBinding> binding_specs_;
  Time next_action_;
  uint64_t actions_left_;
  uint64_t message_count_ = 0;
  bool finishing_ = false, finished_ = false;
  std::optional<Offence> offence_;  // for which this connection will be closed
  std::vector<ByteStream*> left_;   // by processes that are gone: their kernel reads what still comes
};

}  // namespace talaria::sim
