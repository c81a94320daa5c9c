// The whole broker: any number of workers and the control plane, clients of both kinds that do what they please over
// links that do what links do, and the model that knows what must come of it. Then the faults end, everybody finishes
// what he began, the steward empties the queues, and nothing may be left.

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "tests/sim/amqp_client.h"
#include "tests/sim/broker_node.h"
#include "tests/sim/environment.h"
#include "tests/sim/peer.h"
#include "tests/sim/run.h"
#include "tests/sim/stack_node.h"
#include "tests/sim/steward.h"
#include "tests/sim/warden.h"
#include "tests/sim/wire_observer.h"
#include "tests/sim/witness.h"

namespace talaria::sim {

namespace {

constexpr uint16_t amqp_port = 5672;
constexpr uint8_t steward_number = 9, witness_number = 8, warden_number = 7;
constexpr Duration setup_patience = 1800s;
// A client whose last words were lost is noticed by keepalive, and what it held comes back only then.
constexpr Duration patience = 1800s;
// Probes of an idle connection: on the worst link most are lost on the way there or back.
constexpr uint32_t keepalive_probes = 20;
// So long a client waits while its connection is blocked.
constexpr Duration blocked_patience = 300s;
constexpr Duration cool_down = 600s;
// Of the conversation, whose frames are lost one at a time, or in which a client dies after each of its frames: the
// same each time.
constexpr uint64_t conversation_seed = 1;
constexpr std::array ways_to_die{Death::reset, Death::finish, Death::silence};
// Whoever dies in "deaths"; there is another one beside it.
constexpr uint64_t doomed = 1;

class AmqpRun {
 public:
  explicit AmqpRun(const RunOptions& options)
      : options_(options),
        deaths_(options.scenario == "deaths"),
        conversation_(deaths_ || options.scenario == "conversation"),
        world_(conversation_ ? conversation_seed : options.seed),
        random_(world_.random("amqp")),
        people_(world_.random("people")),
        model_(world_) {
    world_.set_trace(options.trace);
    world_.check_every(8);
    if (conversation_ && !deaths_ && options.seed > 0) network_.lose_frame(options.seed - 1);
    network_.capture_to(options.capture);
    network_.observe([this](base::Bytes frame) { observer_.on_frame(frame); });
  }

  RunReport run() {
    weather_ = draw_weather(random_);
    if (conversation_) weather_ = {};
    topology_ = draw_topology(random_);
    draw_extensions(world_.random("extensions"), topology_);
    topology_.plant = options_.plant;
    make_occasions();
    Random replies = world_.random("replies");
    if (options_.plant == Plant::dropped_reply)
      requests_ = 0.6;
    else if (replies.chance(0.3) && !conversation_)
      requests_ = replies.chance(0.5) ? 0.2 : 0.6;
    body_max_ = draw_body_max();
    model_.set_whole_histories(body_max_ <= 20'000);
    build_broker();
    build_witness();
    build_warden();
    build_steward();
    if (!world_.run_until([this] { return steward_->ready(); }, world_.now() + setup_patience))
      fail("no progress: the topology is not declared; %s", steward_->describe().c_str());

    const uint64_t clients = deaths_ ? 2 : conversation_ ? 1 : random_.between(1, 8);
    for (uint64_t client = clients; client > 0; client--) build_client(client);
    if (deaths_) prepare_death();
    world_.run_for(conversation_ ? 500ms : random_.between(500ms, weather_.slow ? 8s : 4s));
    network_.stop_faults();
    for (const auto& client : clients_) client->finish();
    if (warden_) warden_->finish();
    steward_->drain();
    const Time limit = world_.now() + patience;
    while (!world_.run_until([this] { return clients_finished() && (!warden_ || warden_->closed()); },
                             world_.now() + blocked_patience)) {
      if (world_.now() >= limit) fail_stuck();
      give_up();
    }
    // What was lost of the last words of a client that is gone comes once more, and is published all the same.
    if (!world_.run_until([this] { return broker_->sessions() <= (witness_ ? 2 : 1); }, limit)) fail_stuck();
    if (broker_->replies_dropped() != 0) model_.replies_dropped();
    steward_->drain_private_queues();
    if (!world_.run_until([this] { return steward_->drained() && model_.outstanding() == 0; }, limit)) fail_stuck();
    steward_->forget_histories();
    // What nobody accepted need not have arrived. If it did, it may still come back from a client that is gone. And
    // what is delayed may have a queue that would not have kept it anyway.
    if (!world_.run_until([this] { return steward_->ready() && broker_->messages() == 0; }, limit)) fail_stuck();
    model_.check_complete();
    hear_witness();
    broker_->stop_moves();
    steward_->close();
    if (witness_) witness_->close();
    world_.run_for(cool_down);
    if (!steward_->closed()) fail("the steward's connection does not close");
    if (witness_ && !witness_->closed()) fail("the witness' connection does not close");
    broker_->check_all_home();
    for (const auto& node : stacks_)
      if (node.get() != gone_) node->check_all_home();
    return report();
  }

 private:
  // Few queues have what these bugs are about.
  void make_occasions() {
    if (options_.plant == Plant::random_hash) topology_.hashed_keys = 50;
    if (options_.plant == Plant::no_copies) topology_.copies = 0.3;
    if (options_.plant == Plant::no_history || options_.plant == Plant::repeats)
      add_exchange_that_remembers(world_.random("occasion"), topology_, options_.plant == Plant::no_history);
    for (const std::string& queue : topology_.queues) {
      if (options_.plant == Plant::no_flow_limit) topology_.traits[queue].flow_stop = 5;
      if (options_.plant == Plant::short_patience)
        topology_.traits[queue].consumer_timeout = std::chrono::milliseconds(400);
      if (options_.plant == Plant::no_groups && topology_.traits[queue].can_keep_groups())
        topology_.traits[queue].group_header = "h1";
      if (options_.plant == Plant::short_pace || options_.plant == Plant::endless_pace)
        topology_.traits[queue].pace = {1, 200ms, true};
    }
  }

  // Seed 1: after its first frame, in the first way; 2: in the second; ...
  void prepare_death() {
    const uint64_t number = options_.seed - 1;
    network_.watch(mac_of(client_number + doomed), [this, number](uint64_t frame) {
      doomed_frames_ = frame;
      if (options_.seed == 0 || frame != number / ways_to_die.size() + 1) return;
      world_.after(0ns, [this, how = ways_to_die[number % ways_to_die.size()]] {
        clients_.back()->end(how);
        if (how != Death::silence) return;
        network_.cut(mac_of(client_number + doomed));
        gone_ = stacks_.back().get();
      });
    });
  }

  size_t draw_body_max() {
    if (conversation_) return 500;  // each frame of it is a run
    const std::vector<size_t> sizes{200, 2000, 20'000, 300'000};
    return sizes[random_.below(weather_.slow ? 3 : 4)];
  }

  void build_broker() {
    BrokerConfig config;
    const bool needs_peers = spoils_mailboxes(options_.plant) || options_.plant == Plant::early_answer;
    config.workers = static_cast<broker::WorkerIndex>(random_.between(needs_peers ? 2 : 1, 4));
    if (options_.plant == Plant::no_flow_limit || options_.plant == Plant::endless_pace) config.workers = 1;
    config.nic = draw_nic(random_, server_number);
    config.nic.queues = config.workers;
    config.up = draw_link(random_, weather_);
    config.down = draw_link(random_, weather_);
    config.address = address_of(server_number);
    config.tcp = draw_tcp(random_);
    config.tcp.keepalive_probes = keepalive_probes;
    config.tcp.send_high_watermark = std::max(config.tcp.send_high_watermark, 16u * 1024);
    config.tcp.send_low_watermark = config.tcp.send_high_watermark / 2;
    config.tcp.fin_wait_2_timeout = config.tcp.linger_timeout = 60s;
    config.session.sessions = 64;
    config.session.frame_max = static_cast<uint32_t>(random_.between(4096, 131072));
    config.message_bytes = 64 << 20;
    config.pace = draw_pace(random_);
    if (random_.chance(0.8)) config.move_every = random_.between(20us, 50ms);
    // So that a worker that waits for its port lets time pass.
    config.pace.turn_cost = std::max<Duration>(config.pace.turn_cost, 1us);
    model_.set_one_worker(config.workers == 1);
    broker_ = std::make_unique<BrokerNode>(world_, network_, config, options_.plant);
  }

  StackNodeConfig stack_config(Random& random, std::string name, uint8_t number) {
    StackNodeConfig config;
    config.name = std::move(name);
    config.nic = draw_nic(random, number);
    config.up = draw_link(random, weather_);
    config.down = draw_link(random, weather_);
    config.host.addresses = {{net::Ipv4Address{address_of(number)}, 16}};
    config.tcp = draw_tcp(random);
    config.tcp.keepalive_probes = keepalive_probes;
    config.tcp.fin_wait_2_timeout = config.tcp.linger_timeout = 60s;
    return config;
  }
  StackNode& build_stack_node(Random& random, std::string name, uint8_t number) {
    stacks_.push_back(std::make_unique<StackNode>(world_, network_, stack_config(random, std::move(name), number)));
    world_.add(*stacks_.back(), draw_pace(random));
    return *stacks_.back();
  }
  PeerHost& build_peer_node(std::string name, uint8_t number) {
    PeerConfig config = draw_peer(random_, number);
    config.name = std::move(name);
    config.up = draw_link(random_, weather_);
    config.down = draw_link(random_, weather_);
    peers_.push_back(std::make_unique<PeerHost>(world_, network_, config));
    world_.add(*peers_.back());
    return *peers_.back();
  }

  // Of its own randomness, so that a run without it is what it was.
  void build_witness() {
    Random random = world_.random("witness");
    WitnessPlan plan;
    plan.events = random.chance(0.25) && !conversation_;
    plan.asks = random.chance(0.25) && !conversation_;
    plan.ask_every_max = random.between(5ms, 300ms);
    plan.traces = random.chance(0.25) && !conversation_ && body_max_ <= 2000;
    if (options_.plant == Plant::lost_event) plan = {.events = true};
    if (options_.plant == Plant::half_traced) plan = {.traces = true, .traced = "publish.#"};
    if (options_.plant == Plant::secret_queue) plan = {.asks = true};
    if (!plan.any()) return;
    plan.traces_lost = [this] { return broker_->traces_lost(); };
    plan.events_lost = [this] { return broker_->announcements_lost(); };
    StackNode& node = build_stack_node(random, "witness", witness_number);
    auto witness = std::make_unique<Witness>(world_, world_.random("what the witness does"), model_, plan,
                                             [&node] { return node.connect(broker_endpoint()); });
    witness_ = witness.get();
    node.add(std::move(witness));
    if (!world_.run_until([this] { return witness_->ready(); }, world_.now() + setup_patience))
      fail("no progress: the witness is not ready");
  }

  // Of its own randomness as well, and whoever is somebody because of it.
  void build_warden() {
    const bool needed = options_.plant == Plant::unrevoked || options_.plant == Plant::any_name;
    if (!needed && (conversation_ || !people_.chance(0.25))) return;
    WardenPlan plan;
    people_names_ = needed ? std::vector<std::string>{"ann"} : std::vector<std::string>{"ann", "bob", "guest"};
    plan.users = people_names_;
    std::erase(plan.users, "guest");
    plan.queues = topology_.queues;
    plan.any_name = options_.plant == Plant::any_name;
    plan.pause_max = needed ? 200ms : people_.between(5ms, 500ms);
    StackNode& node = build_stack_node(people_, "warden", warden_number);
    auto warden = std::make_unique<Warden>(world_, world_.random("what the warden does"), model_, plan,
                                           [&node] { return node.connect(broker_endpoint()); });
    warden_ = warden.get();
    node.add(std::move(warden));
    if (!world_.run_until([this] { return warden_->ready(); }, world_.now() + setup_patience))
      fail("no progress: the warden is not ready");
  }
  void draw_person(ClientPlan& plan) {
    plan.requests = requests_;
    plan.replies = requests_ / 2;
    if (!warden_) return;
    plan.options.user = people_.pick(people_names_);
    plan.options.password = plan.options.user;
    plan.new_secrets = people_.chance(0.5) ? 0.02 : 0;
    plan.signed_own = people_.chance(0.5) ? 0.2 : 0;
    plan.signed_otherwise = people_.chance(0.5) ? 0.05 : 0;
  }

  void hear_witness() {
    if (!witness_) return;
    witness_->finish();
    if (!world_.run_until([this] { return witness_->satisfied(); }, world_.now() + patience))
      fail("%s", witness_->describe().c_str());
  }

  void build_steward() {
    StackNode& node = build_stack_node(random_, "steward", steward_number);
    auto steward = std::make_unique<Steward>(world_, world_.random("steward"), model_, topology_,
                                             [&node] { return node.connect(broker_endpoint()); });
    steward_ = steward.get();
    node.add(std::move(steward));
  }

  void build_client(uint64_t index) {
    const std::string name = "client " + std::to_string(index);
    const auto number = static_cast<uint8_t>(client_number + index);
    const bool on_peer = random_.chance(0.3) && !deaths_;
    ClientPlan plan = draw_plan(name);
    draw_person(plan);
    const Time start = world_.now() + random_.between(0ns, 200ms);
    const auto make = [&](AmqpClient::Connect connect) {
      auto client =
          std::make_unique<AmqpClient>(world_, world_.random(name), model_, topology_, plan, std::move(connect), start);
      clients_.push_back(client.get());
      return client;
    };
    if (on_peer) {
      PeerHost& node = build_peer_node(name, number);
      node.add(make([&node] { return node.connect(address_of(server_number), amqp_port); }));
    } else {
      StackNode& node = build_stack_node(random_, name, number);
      node.add(make([&node] { return node.connect(broker_endpoint()); }));
    }
  }

  ClientPlan draw_plan(const std::string& name) {
    ClientPlan plan;
    plan.name = name;
    plan.dialect = random_.chance(0.5) ? &wire_dialect() : &hand_dialect();
    plan.options.frame_max = static_cast<uint32_t>(random_.between(4096, 131072));
    plan.actions = random_.between(20, 400);
    plan.interval_max = random_.between(1ms, 20ms);
    plan.burst_max = random_.between(1, body_max_ > 20'000 ? 3 : 20);
    plan.channels_max = random_.between(1, 4);
    plan.body_max = body_max_;
    // Publishers, consumers, and everything between.
    plan.publish = static_cast<unsigned>(random_.between(10, 80));
    plan.consume = static_cast<unsigned>(random_.between(0, 40));
    plan.no_ack = random_.chance(0.3) ? 0.3 : 0;
    plan.death = random_.chance(0.5) ? 0.02 : 0;
    plan.stop_reading = random_.chance(0.3) ? 0.02 : 0;
    plan.offence = random_.chance(0.5) ? 0.02 : 0;
    // Seconds: with it the broker looks more often whether deliveries are settled in time.
    if (random_.chance(0.3) && !conversation_) plan.options.heartbeat = static_cast<uint16_t>(random_.between(1, 4));
    if (options_.plant == Plant::short_patience) plan.options.heartbeat = 1;
    plan.changes_topology = random_.chance(0.5) || options_.plant == Plant::no_history;
    if (conversation_) {
      plan.actions = 40;
      plan.interval_max = 5ms;
      plan.publish = 60;
      plan.consume = 30;
      plan.changes_topology = deaths_;
      plan.death = plan.stop_reading = plan.offence = 0;
    }
    return plan;
  }

  static tcp::Endpoint broker_endpoint() { return {net::Ipv4Address{address_of(server_number)}, amqp_port}; }

  // Who consumes on one connection from what he publishes to may wait for himself when that stops him, with his
  // connection.close unread: such clients hang up in time, one at a time.
  void give_up() {
    for (AmqpClient* client : clients_) {
      const std::string queue = client->stopped_by();
      if (queue.empty()) continue;
      const auto resume = static_cast<uint64_t>(*topology_.traits[queue].flow_stop / 2);
      if (broker_->ready(queue) <= resume)
        fail("%s is stopped by %s, which has %lu messages", client->describe().c_str(), queue.c_str(),
             broker_->ready(queue));
      return client->end(random_.chance(0.5) ? Death::reset : Death::finish);
    }
  }

  bool clients_finished() const {
    return std::ranges::all_of(clients_, [](const AmqpClient* client) { return client->finished(); });
  }

  void fail_stuck() const {
    std::string text = "no progress, long after the faults ended: " + steward_->describe() + "; missing " +
                       model_.describe_outstanding(3) +
                       "; messages in the broker: " + std::to_string(broker_->messages());
    for (const AmqpClient* client : clients_)
      if (!client->finished()) text += "; " + client->describe();
    if (warden_) text += "; " + warden_->describe();
    throw Failure(text);
  }

  RunReport report() const {
    char text[320];
    const NetworkCounters& wire = network_.counters();
    std::snprintf(text, sizeof text,
                  "amqp: %zu workers, %zu clients, %zu messages, %zu deliveries, %zu deaths, %lu frames (%lu lost, %lu "
                  "corrupt, %lu "
                  "late), %lu queues moved, %lu turns",
                  broker_->workers(), clients_.size(), model_.messages(), model_.deliveries(), model_.deaths(),
                  wire.sent, wire.lost, wire.corrupted, wire.reordered, broker_->plane().counts().moves_made,
                  world_.turns());
    const auto figure = static_cast<double>(deaths_ ? doomed_frames_ * ways_to_die.size() : wire.sent);
    return {world_.fingerprint(), broker_->planted(), text, figure};
  }

  RunOptions options_;
  bool deaths_, conversation_;
  uint64_t doomed_frames_ = 0;
  const StackNode* gone_ = nullptr;
  World world_;
  Network network_{world_};
  WireObserver observer_;
  Random random_, people_;
  double requests_ = 0;                    // how often clients ask for direct replies
  std::vector<std::string> people_names_;  // of clients
  Weather weather_;
  Topology topology_;
  Model model_;
  size_t body_max_ = 0;
  std::unique_ptr<BrokerNode> broker_;
  std::vector<std::unique_ptr<StackNode>> stacks_;
  std::vector<std::unique_ptr<PeerHost>> peers_;
  Steward* steward_ = nullptr;
  Witness* witness_ = nullptr;
  Warden* warden_ = nullptr;
  std::vector<AmqpClient*> clients_;
};

}  // namespace

RunReport run_amqp(const RunOptions& options) { return AmqpRun(options).run(); }

}  // namespace talaria::sim
