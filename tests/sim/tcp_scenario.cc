// TCP alone: byte streams between the stack and itself, and between the stack and the independent peer, over links that
// do what links do. Everything about the run is drawn from the seed: who talks, how the links are, how scarce memory
// is.

#include <memory>
#include <vector>

#include "tests/sim/environment.h"
#include "tests/sim/peer.h"
#include "tests/sim/run.h"
#include "tests/sim/stack_node.h"
#include "tests/sim/tamper.h"
#include "tests/sim/transfer.h"
#include "tests/sim/wire_observer.h"

namespace talaria::sim {

namespace {

constexpr uint16_t service_port = 5672;
// Faults end at this time at the latest; what is left must then come through before patience ends.
constexpr Duration faults_last_max = 20s;
constexpr Duration patience = 1800s;
// Longer than any timer of a closing connection.
constexpr Duration cool_down = 4000s;

class TcpRun {
 public:
  explicit TcpRun(const RunOptions& options) : options_(options), world_(options.seed), random_(world_.random("tcp")) {
    world_.set_trace(options.trace);
    network_.capture_to(options.capture);
    network_.observe([this](base::Bytes frame) { observer_.on_frame(frame); });
  }

  RunReport run() {
    weather_ = draw_weather(random_);
    const bool peer_serves = random_.chance(0.15);
    peer_serves ? build_peer_server() : build_stack_server();
    const uint64_t clients = random_.between(1, 4);
    for (uint64_t client = 0; client < clients; client++)
      !peer_serves&& random_.chance(0.4) ? build_peer_client(client) : build_stack_client(client);
    world_.after(random_.between(100ms, faults_last_max), [this] { network_.stop_faults(); });

    for (const auto& exchange : exchanges_) {
      exchange->may_be_forgotten = time_wait_is_scarce_;
      exchange->may_be_refused = half_open_is_scarce_;
    }

    const Time limit = world_.now() + faults_last_max + patience;
    const bool came_through = world_.run_until([this] { return all_done(); }, limit);
    if (!came_through) fail_stuck();
    world_.run_for(cool_down);
    for (const auto& node : stacks_) node->check_all_home();
    return report();
  }

 private:
  StackNodeConfig stack_config(std::string name, uint8_t number) {
    StackNodeConfig config;
    config.name = std::move(name);
    config.nic = draw_nic(random_, number);
    config.up = draw_link(random_, weather_);
    config.down = draw_link(random_, weather_);
    config.host.addresses = {{net::Ipv4Address{address_of(number)}, 16}};
    config.tcp = draw_tcp(random_);
    if (config.tcp.time_wait < 64) time_wait_is_scarce_ = true;
    if (config.tcp.half_open < 64) half_open_is_scarce_ = true;
    return config;
  }
  PeerConfig peer_config(std::string name, uint8_t number) {
    PeerConfig config = draw_peer(random_, number);
    config.name = std::move(name);
    config.up = draw_link(random_, weather_);
    config.down = draw_link(random_, weather_);
    return config;
  }

  void build_stack_server() {
    auto config = stack_config("server", server_number);
    stacks_.push_back(std::make_unique<StackNode>(world_, network_, config));
    StackNode& node = *stacks_.back();
    node.listen(service_port, [this](ByteStream& stream) { return serve(stream); });
    world_.add(node, draw_pace(random_));
    if (options_.plant == Plant::lost_segment)
      node.nic().tamper_with(zero_one_segment(world_.random("plant"), planted_));
    server_is_stack_ = true;
  }
  void build_peer_server() {
    peers_.push_back(std::make_unique<PeerHost>(world_, network_, peer_config("server", server_number)));
    peers_.back()->listen(service_port, [this](ByteStream& stream) { return serve(stream); });
    world_.add(*peers_.back());
  }
  void build_stack_client(uint64_t index) {
    const auto number = static_cast<uint8_t>(client_number + index);
    auto config = stack_config("client " + std::to_string(index), number);
    stacks_.push_back(std::make_unique<StackNode>(world_, network_, config));
    StackNode& node = *stacks_.back();
    const tcp::Endpoint server{net::Ipv4Address{address_of(server_number)}, service_port};
    for (uint64_t i = random_.between(1, 6); i > 0; i--)
      add_client(node, true, [&node, server] { return node.connect(server); });
    world_.add(node, draw_pace(random_));
  }
  void build_peer_client(uint64_t index) {
    const auto number = static_cast<uint8_t>(client_number + index);
    peers_.push_back(
        std::make_unique<PeerHost>(world_, network_, peer_config("client " + std::to_string(index), number)));
    PeerHost& node = *peers_.back();
    for (uint64_t i = random_.between(1, 6); i > 0; i--)
      add_client(node, false, [&node] { return node.connect(address_of(server_number), service_port); });
    world_.add(node);
  }

  template <class Node>
  void add_client(Node& node, bool is_stack, TransferClient::Connect connect) {
    exchanges_.push_back(std::make_unique<Exchange>());
    Exchange& exchange = *exchanges_.back();
    exchange.number = exchanges_.size();
    exchange.client = draw_end();
    exchange.client.bytes += sizeof exchange.number;
    exchange.client.keepalive = is_stack;
    exchange.server = draw_end();
    exchange.server.keepalive = server_is_stack_;
    // If both waited for the other to close first, neither would.
    if (!exchange.client.close_early) exchange.server.close_early = true;
    if (random_.chance(0.1)) {
      EndPlan& coward = random_.chance(0.5) ? exchange.client : exchange.server;
      const uint64_t expected = &coward == &exchange.client ? exchange.server.bytes : exchange.client.bytes;
      coward.abort_at = random_.below(expected + 1);
    }
    const Time start = world_.now() + random_.between(0ns, 2s);
    node.add(std::make_unique<TransferClient>(world_, world_.random("client app " + std::to_string(exchange.number)),
                                              exchange, std::move(connect), start));
  }

  EndPlan draw_end() {
    EndPlan plan;
    plan.bytes = random_.chance(0.1) ? 0 : random_.skewed(weather_.slow ? 20'000 : 300'000);
    plan.write_max = random_.between(1, 20'000);
    plan.read_max = random_.between(1, 20'000);
    if (plan.bytes > 20'000) plan.write_max += 100, plan.read_max += 100;
    if (random_.chance(0.3)) plan.pause_chance = 0.02;
    plan.close_early = random_.chance(0.5);
    return plan;
  }

  std::unique_ptr<Application> serve(ByteStream& stream) {
    return std::make_unique<TransferServer>(
        world_.random("server app " + std::to_string(served_++)), stream, [this](uint64_t number) -> Exchange* {
          return number >= 1 && number <= exchanges_.size() ? exchanges_[number - 1].get() : nullptr;
        });
  }

  bool all_done() const {
    for (const auto& exchange : exchanges_)
      if (!exchange->done()) return false;
    return true;
  }

  void fail_stuck() const {
    std::string who;
    for (const auto& exchange : exchanges_)
      if (!exchange->done())
        who += " " + std::to_string(exchange->number) + (exchange->accepted ? "" : " (not accepted)") +
               (exchange->client_done ? "" : " client") + (exchange->server_done ? "" : " server");
    fail("no progress: long after the faults ended these exchanges still wait:%s", who.c_str());
  }

  RunReport report() const {
    uint64_t bytes = 0;
    for (const auto& exchange : exchanges_) bytes += exchange->client.bytes + exchange->server.bytes;
    char text[256];
    const NetworkCounters& wire = network_.counters();
    std::snprintf(text, sizeof text,
                  "tcp: %zu exchanges, %lu bytes, %lu frames (%lu lost, %lu corrupt, %lu late), %lu turns",
                  exchanges_.size(), bytes, wire.sent, wire.lost, wire.corrupted, wire.reordered, world_.turns());
    return {world_.fingerprint(), planted_, text, 0};
  }

  RunOptions options_;
  World world_;
  Network network_{world_};
  WireObserver observer_;
  Random random_;
  Weather weather_;
  bool server_is_stack_ = false;
  bool time_wait_is_scarce_ = false, half_open_is_scarce_ = false;
  bool planted_ = false;
  uint64_t served_ = 0;
  std::vector<std::unique_ptr<Exchange>> exchanges_;
  std::vector<std::unique_ptr<StackNode>> stacks_;
  std::vector<std::unique_ptr<PeerHost>> peers_;
};

}  // namespace

RunReport run_tcp(const RunOptions& options) { return TcpRun(options).run(); }

}  // namespace talaria::sim
