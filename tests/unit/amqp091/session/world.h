// A broker's worker without the worker, and clients, joined by two real TCP stacks: real octets of an AMQP conversation
// go in and come out. The control plane is played by a script that says yes to nearly everything; a second engine
// stands for another worker, so that queues named "far..." are homed elsewhere.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/amqp091/session/sessions.h"
#include "core/base/check.h"
#include "core/broker/engine.h"
#include "core/net/host.h"
#include "core/tcp/stack.h"
#include "tests/support/pipe_device.h"

namespace talaria::amqp091::session {

using base::Time;
using namespace base;  // literals

// ---- one worker's broker --------------------------------------------------------------------------------------------

struct Broker {
  Broker(broker::WorkerIndex self, broker::PressureBoard& board, size_t blocks)
      : memory((blocks + 1) * base::Arena::block_bytes),
        arena(memory),
        outbox(2),
        pool(arena, outbox, self, {}),
        engine(self, 2, pool, outbox, board) {}

  std::vector<uint8_t> memory;
  base::Arena arena;
  broker::Outbox outbox;
  broker::MessagePool pool;
  broker::Engine engine;
};

// ---- the control plane ----------------------------------------------------------------------------------------------

// Users: guest/guest. Vhosts: "/". Names that begin with "secret" are refused to everybody.
class Script {
 public:
  explicit Script(std::vector<broker::Engine*> engines) : engines_(std::move(engines)) {
    apply(broker::AddVhost{vhost_, "/"});
    add_exchange("", broker::ExchangeType::direct);
    add_exchange("amq.direct", broker::ExchangeType::direct);
    add_exchange("amq.fanout", broker::ExchangeType::fanout);
    add_exchange("amq.topic", broker::ExchangeType::topic);
    add_exchange("amq.headers", broker::ExchangeType::headers);
    add_exchange("inner", broker::ExchangeType::fanout, true);
  }

  void add_exchange(const std::string& name, broker::ExchangeType type, bool internal = false,
                    std::shared_ptr<const broker::ExchangeSettings> its_settings = {}) {
    broker::ExchangeId id{static_cast<uint32_t>(exchanges_.size()), 1};
    exchanges_[name] = id;
    if (its_settings) special_.insert(name);
    const broker::WorkerIndex home = name.starts_with("far") ? 1 : 0;
    apply(broker::AddExchange{vhost_, id, name, type, internal, "", std::move(its_settings), home});
  }
  broker::QueueId add_queue(const std::string& name, bool auto_delete = false, broker::SessionAddress owner = {}) {
    Queue& queue = queues_[name];
    queue.id = {next_queue_++, 1};
    queue.home = name.starts_with("far") ? broker::WorkerIndex{1} : broker::WorkerIndex{0};
    queue.owner = owner;
    queue.counters = std::make_unique<broker::QueueCounters>();
    broker::AddQueue add{vhost_, queue.id, name, false, auto_delete, owner, {}, queue.home, queue.counters.get()};
    if (auto wanted = settings.find(name); wanted != settings.end())
      add.settings = std::make_shared<const broker::QueueSettings>(wanted->second);
    apply(add);
    return queue.id;
  }
  void remove_queue(const std::string& name) {
    auto found = queues_.find(name);
    std::erase_if(bindings_, [&](const broker::Binding& binding) {
      if (binding.queue != found->second.id) return false;
      apply(broker::RemoveBinding{binding});
      return true;
    });
    apply(broker::RemoveQueue{vhost_, found->second.id});
    graveyard_.push_back(std::move(found->second.counters));
    queues_.erase(found);
  }
  void bind(const std::string& exchange, const std::string& queue, const std::string& key,
            base::FieldTable arguments = {}) {
    broker::Binding binding{vhost_, exchanges_.at(exchange), queues_.at(queue).id, {}, key, std::move(arguments)};
    bindings_.push_back(binding);
    apply(broker::AddBinding{binding});
  }
  // Copies of what goes by go to that exchange; "": nowhere.
  void trace(const std::string& exchange) {
    apply(broker::TraceVhost{vhost_, exchange.empty() ? broker::ExchangeId{} : exchanges_.at(exchange)});
  }
  std::vector<std::string> queue_names() const {
    std::vector<std::string> names;
    for (const auto& [name, queue] : queues_) names.push_back(name);
    return names;
  }
  void remove_exchange(const std::string& name) {
    apply(broker::RemoveExchange{vhost_, exchanges_.at(name)});
    exchanges_.erase(name);
    gone_exchanges_++;
  }
  // Those with settings, when nothing is bound to them any more.
  void remove_special_exchanges() {
    for (const std::string& name : std::exchange(special_, {}))
      if (exchanges_.contains(name)) remove_exchange(name);
  }
  bool has_queue(const std::string& name) const { return queues_.contains(name); }
  const broker::QueueCounters& counters(const std::string& name) const { return *queues_.at(name).counters; }

  broker::Answer answer(const broker::Request& request) {
    asked.push_back(request);
    broker::Answer answer{request.from, request.token, broker::Done{}};
    std::visit([&](const auto& body) { on(body, request, answer); }, request.body);
    return answer;
  }
  void apply(const broker::TopologyChange& change) {
    for (broker::Engine* engine : engines_) engine->apply(change, now);
  }
  template <class Body>
  size_t count_asked() const {
    size_t count = 0;
    for (const broker::Request& request : asked) count += std::holds_alternative<Body>(request.body);
    return count;
  }

  Time now{};
  std::vector<broker::Request> asked;                     // everything, in order
  std::map<std::string, broker::QueueSettings> settings;  // of queues that are declared by that name
  std::set<std::string> limited;                          // exchanges: to routing keys that begin with "mine."
  bool impersonators = false;                             // everybody is one
  std::set<std::string> forbidden;                        // to everybody, from the next time somebody asks

 private:
  struct Queue {
    broker::QueueId id;
    broker::WorkerIndex home = 0;
    broker::SessionAddress owner;
    std::unique_ptr<broker::QueueCounters> counters;
  };

  static void refuse(broker::Answer& answer, broker::RefusalReason reason, std::string text) {
    answer.body = broker::Refusal{reason, std::move(text)};
  }
  void on(const broker::Authenticate& body, const broker::Request&, broker::Answer& answer) {
    if (body.user != "guest" || body.password != "guest")
      refuse(answer, broker::RefusalReason::access_refused, "wrong");
  }
  void on(const broker::OpenConnection& body, const broker::Request&, broker::Answer& answer) {
    if (body.vhost == "/")
      answer.body = broker::ConnectionOpened{vhost_};
    else
      refuse(answer, broker::RefusalReason::not_allowed, "vhost " + body.vhost + " not found");
  }
  void on(const broker::CloseConnection&, const broker::Request& request, broker::Answer&) {
    std::vector<std::string> names;
    for (const auto& [name, queue] : queues_)
      if (queue.owner.session && queue.owner == request.from) names.push_back(name);
    for (const std::string& name : names) remove_queue(name);
  }
  void on(const broker::DeclareExchange& body, const broker::Request&, broker::Answer& answer) {
    if (body.type == "strange")
      return refuse(answer, broker::RefusalReason::precondition_failed, "invalid exchange type 'strange'");
    if (!exchanges_.contains(body.name)) {
      if (body.passive)
        return refuse(answer, broker::RefusalReason::not_found, "no exchange '" + body.name + "' in vhost '/'");
      add_exchange(body.name, body.type == "fanout" ? broker::ExchangeType::fanout : broker::ExchangeType::direct);
    }
  }
  void on(const broker::DeleteExchange& body, const broker::Request&, broker::Answer&) {
    auto found = exchanges_.find(body.name);
    if (found == exchanges_.end()) return;
    apply(broker::RemoveExchange{vhost_, found->second});
    gone_exchanges_++;
    exchanges_.erase(found);
  }
  void on(const broker::DeclareQueue& body, const broker::Request& request, broker::Answer& answer) {
    std::string name = body.name.empty() ? "amq.gen-" + std::to_string(next_queue_) : body.name;
    bool created = !queues_.contains(name);
    if (created) {
      if (body.passive) return refuse(answer, broker::RefusalReason::not_found, "no queue '" + name + "' in vhost '/'");
      add_queue(name, body.auto_delete, body.exclusive ? request.from : broker::SessionAddress{});
    }
    answer.body = broker::QueueDeclared{queues_.at(name).id, queues_.at(name).home, name, created};
  }
  void on(const broker::DeleteQueue& body, const broker::Request&, broker::Answer& answer) {
    broker::QueueDeleted deleted;
    if (queues_.contains(body.name)) {
      deleted.messages = static_cast<uint32_t>(counters(body.name).ready.value());
      remove_queue(body.name);
    }
    answer.body = deleted;
  }
  void on(const broker::Bind& body, const broker::Request&, broker::Answer& answer) {
    if (!exchanges_.contains(body.source))
      return refuse(answer, broker::RefusalReason::not_found, "no exchange '" + body.source + "' in vhost '/'");
    if (body.destination_is_queue && !body.remove) bind(body.source, body.destination, body.key, body.arguments);
  }
  void on(const broker::Authorize& body, const broker::Request&, broker::Answer& answer) {
    if (body.name.starts_with("secret") || forbidden.contains(body.name))
      return refuse(answer, broker::RefusalReason::access_refused, "access to '" + body.name + "' refused");
    if (!limited.contains(body.name)) return;
    if (!body.routing_key)
      answer.body = broker::KeysDecide{};
    else if (!body.routing_key->starts_with("mine."))
      refuse(answer, broker::RefusalReason::access_refused, "access to topic '" + *body.routing_key + "' refused");
  }
  void on(const broker::Impersonate& body, const broker::Request&, broker::Answer& answer) {
    if (impersonators) return;
    refuse(answer, broker::RefusalReason::precondition_failed,
           "user_id property set to '" + body.claimed + "' but authenticated user was 'guest'");
  }
  void on(const broker::Manage& body, const broker::Request&, broker::Answer& answer) {
    if (body.command == "refused") refuse(answer, broker::RefusalReason::not_implemented, "no");
  }
  void on(const broker::Reauthenticate& body, const broker::Request&, broker::Answer& answer) {
    if (body.password != "new secret") refuse(answer, broker::RefusalReason::not_allowed, "New secret was refused");
  }
  template <class Notice>
  void on(const Notice&, const broker::Request&, broker::Answer&) {}

  std::vector<broker::Engine*> engines_;
  broker::VhostId vhost_{0, 1};
  std::map<std::string, broker::ExchangeId> exchanges_;
  std::set<std::string> special_;
  std::map<std::string, Queue> queues_;
  std::vector<broker::Binding> bindings_;
  std::vector<std::unique_ptr<broker::QueueCounters>> graveyard_;
  uint32_t next_queue_ = 0;
  uint32_t gone_exchanges_ = 0;
};

// ---- both sides -----------------------------------------------------------------------------------------------------

struct Side {
  Side(net::Device& device, uint32_t address, const tcp::Config& config)
      : host(
            [&] {
              net::HostConfig host_config;
              host_config.addresses = {{net::Ipv4Address{address}, 24}};
              return host_config;
            }(),
            device, {1, address}),
        stack(config, host, {2, address}) {}

  void receive(Time now) {
    while (host.receive(now) != 0) stack.on_segments(host.datagrams(), now);
    stack.on_time(now);
    host.on_time(now);
  }
  void transmit(Time now) {
    stack.end_input(now);
    stack.output(now);
    host.flush();
  }

  net::Host host;
  tcp::Stack stack;
};

struct WorldOptions {
  Config session;
  tcp::Config server_tcp, client_tcp;
  size_t blocks = 64;  // of 128 KiB, of message memory
  uint16_t mtu = 1500;
  base::Duration tick = 10us;  // of the clock, a turn
};

inline constexpr uint32_t server_address = 0xC6120001;

class World {
 public:
  explicit World(WorldOptions options = {})
      : tick_(options.tick),
        pipe_(true, options.mtu),
        server(pipe_.right, server_address, options.server_tcp),
        client(pipe_.left, 0xC6120002, options.client_tcp),
        here(0, board_, options.blocks),
        there(1, board_, options.blocks),
        control({&here.engine, &there.engine}),
        sessions(options.session, 0, server.stack, here.engine, here.pool, {3, 4}, &latency, {read_clock, this}) {
    server.stack.listen(5672);
    run(5ms);
  }
  ~World() {
    for (tcp::ConnectionId id : open_clients) client.stack.abort(id);
    sessions.drain(now);
    for (unsigned i = 0; i < 5000 && (!sessions.drained() || server.stack.connection_count() != 0); i++) run(tick_);
    sessions.check_invariants();
    CHECK(sessions.drained());
    take_apart_queues();
    CHECK(here.pool.messages() == 0 && there.pool.messages() == 0);
  }

  // Both sides, turn by turn.
  void run(base::Duration time = 2ms) {
    for (Time until = now + time; now < until; now += tick_) turn();
  }
  // Long times in which nothing but timers matters: a turn a millisecond.
  void wait(base::Duration time) {
    for (Time until = now + time; now < until; now += 1ms) turn();
  }
  // Until nothing more comes to the clients, at most a second.
  void settle() {
    run(3ms);
    sessions.check_invariants();
  }
  void turn() {
    client.receive(now);
    take_client_events();
    client.transmit(now);
    serve();
  }

  void serve() {
    here.engine.on_time(now);
    there.engine.on_time(now);
    server.receive(now);
    sessions.on_turn(now);
    for (const tcp::Event& event : server.stack.events()) {
      if (event.accepted) sessions.on_accepted(event.id, now);
      if (event.readable) sessions.on_readable(event.id, now);
      if (event.writable) sessions.on_writable(event.id, now);
      if (event.peer_finished) sessions.on_peer_finished(event.id, now);
      if (event.closed) sessions.on_closed(event.id, event.reason, now);
    }
    server.stack.clear_events();
    sessions.on_released(server.stack.take_released());
    pass_events();
    if (!control_silent) answer_requests();
    pass_events();
    sessions.on_time(now);
    sessions.end_turn(now);
    server.transmit(now);
  }

  void answer_requests() {
    control.now = now;
    std::vector<broker::Answer> answers;
    for (broker::Request* request : sessions.take_requests()) {
      broker::Answer answer = control.answer(*request);
      if (request->token != 0) answers.push_back(std::move(answer));
      delete request;
    }
    // Every worker has applied what the answers say.
    pass_events();
    for (broker::Answer& answer : answers) sessions.on_answer(std::move(answer), now);
  }

  // What the engines have to say, to each other and to the sessions.
  void pass_events() {
    for (unsigned round = 0; round < 4; round++) {
      here.engine.dispatch(now, 1024);
      if (!there_is_held) {
        there.engine.dispatch(now, 1024);
        for (broker::Operation& operation : std::exchange(here.outbox.operations[1], {}))
          there.engine.perform(operation);
      }
      sessions.on_bound(here.outbox.bound, now);
      sessions.on_dead(here.outbox.dead, now);
      sessions.on_entrusted(here.outbox.entrusted, now);
      for (const broker::Event& event : std::exchange(here.outbox.events, {})) sessions.on_event(event, now);
      sessions.on_deliveries(std::exchange(here.outbox.deliveries, {}), now);
      for (const broker::Event& event : std::exchange(there.outbox.events_to[0], {})) sessions.on_event(event, now);
      for (broker::Message* message : std::exchange(here.outbox.releases[1], {})) there.pool.take_back(message);
      for (broker::Message* message : std::exchange(there.outbox.releases[0], {})) here.pool.take_back(message);
    }
  }

  struct Stream {
    std::vector<uint8_t> received;
    bool connected = false;
    bool finished = false;  // the server's FIN came
    bool closed = false;
    bool reads = true;
    tcp::CloseReason reason = tcp::CloseReason::none;
  };

  const base::Duration tick_;
  tests::Pipe pipe_;
  broker::PressureBoard board_;
  Side server, client;
  Broker here, there;
  Script control;
  base::Histogram latency;
  base::Duration reading = 0ns;  // of the clock that measures: how far it is ahead of the turn's, more with each one
  uint64_t readings = 0;
  Sessions sessions;
  Time now{1s};
  bool control_silent = false;
  bool there_is_held = false;          // the other worker takes no turn
  std::map<uint32_t, Stream> streams;  // by the client's slot
  std::vector<tcp::ConnectionId> open_clients;

 private:
  static base::Time read_clock(const void* world) {
    auto& self = *const_cast<World*>(static_cast<const World*>(world));
    return self.now + self.reading * static_cast<int64_t>(++self.readings);
  }
  void take_client_events() {
    for (const tcp::Event& event : client.stack.events()) {
      Stream& stream = streams[event.id.slot];
      stream.connected |= event.connected;
      stream.finished |= event.peer_finished;
      stream.closed |= event.closed;
      if (event.closed) stream.reason = event.reason;
    }
    client.stack.clear_events();
    for (tcp::ConnectionId id : open_clients) {
      Stream& stream = streams[id.slot];
      if (!stream.reads) continue;
      for (Bytes in = client.stack.input(id); !in.empty(); in = client.stack.input(id)) {
        stream.received.insert(stream.received.end(), in.begin(), in.end());
        client.stack.consume(id, in.size());
      }
    }
  }
  void take_apart_queues() {
    for (const std::string& name : control.queue_names()) control.remove_queue(name);
    control.remove_special_exchanges();
    here.engine.dispatch(now, 1024);
    there.engine.dispatch(now, 1024);
    for (unsigned i = 0; i < 200 && here.pool.messages() + there.pool.messages() != 0; i++) turn();
  }
};

}  // namespace talaria::amqp091::session
