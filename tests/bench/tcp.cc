// TCP alone: two stacks joined by a pipe, one writes full segments, the other reads and drops them. What the receiver
// and the sender spend is counted apart, each with its network layer: receiving is from the port to the bytes being
// consumed and acknowledged, sending from the application's write to the port, and taking the acknowledgements.
//
// Then a crowd: small segments that come from one connection, or from another of 1,000 or 100,000 each, and what it
// takes to open and to close one beside so many others. What grows with their number is what lies in no cache any more.
//
// Beside the cycles of each stands where they went: `Steps`.
#include <vector>

#include "core/net/host.h"
#include "core/tcp/stack.h"
#include "tests/bench/cycles.h"
#include "tests/support/pipe_device.h"

namespace talaria::bench {
namespace {

using namespace base;  // literals

constexpr net::Ipv4Address receiver_address{0xc6120001};  // 198.18.0.1
constexpr net::Ipv4Address sender_address{0xc6120002};
constexpr size_t segments_per_turn = 16;
constexpr size_t timestamp_bytes = 12;  // the option that every segment carries (RFC 7323)

// Cycles of one side.
struct Steps {
  uint64_t ip_in = 0;        // from the port to datagrams that are valid and ours
  uint64_t tcp_in = 0;       // segments and timers
  uint64_t application = 0;  // its calls: opening, writing, reading, closing
  uint64_t tcp_out = 0;      // segments that are made, with what they acknowledge
  uint64_t ip_out = 0;       // to the port

  uint64_t all() const { return ip_in + tcp_in + application + tcp_out + ip_out; }
  Steps& operator+=(const Steps& more) {
    ip_in += more.ip_in;
    tcp_in += more.tcp_in;
    application += more.application;
    tcp_out += more.tcp_out;
    ip_out += more.ip_out;
    return *this;
  }
};

// A stack with its network layer, which counts what it spends. A turn is begun, then receive, application, transmit.
struct Side {
  Side(net::Device& device, net::Ipv4Address address, const tcp::Config& config = {})
      : host({.addresses = {{address, 24}}, .announce = false}, device, {1, address.value}),
        stack(config, host, {2, address.value}) {}

  void begin() { lap_ = cycles_now(); }
  void receive(base::Time now) {
    while (host.receive(now) != 0) {
      count(steps.ip_in);
      stack.on_segments(host.datagrams(), now);
      count(steps.tcp_in);
    }
    host.on_time(now);
    count(steps.ip_in);
    stack.on_time(now);
    count(steps.tcp_in);
  }
  // What the application did since then.
  void count_application() { count(steps.application); }
  void transmit(base::Time now) {
    stack.clear_events();
    stack.end_input(now);
    stack.output(now);
    count(steps.tcp_out);
    host.flush();
    count(steps.ip_out);
  }

  net::Host host;
  tcp::Stack stack;
  Steps steps;

 private:
  void count(uint64_t& step) {
    const uint64_t now = cycles_now();
    step += now - lap_;
    lap_ = now;
  }

  uint64_t lap_ = 0;
};

class Transfer {
 public:
  explicit Transfer(bool port_checksums)
      : pipe_(port_checksums), receiver_(pipe_.right, receiver_address), sender_(pipe_.left, sender_address) {
    CHECK(receiver_.stack.listen(5672));
    const auto id = sender_.stack.connect({receiver_address, 5672}, std::nullopt, now_);
    CHECK(id.has_value());
    out_ = *id;
    for (int i = 0; i < 100 && !in_; i++) {
      sender_.receive(now_);
      sender_.transmit(now_);
      receiver_.receive(now_);
      for (const tcp::Event& event : receiver_.stack.events())
        if (event.accepted) in_ = event.id;
      receiver_.transmit(now_);
      now_ += 10us;
    }
    CHECK(in_);
    payload_ = sender_.stack.info(out_, now_)->send_mss - timestamp_bytes;
    for (int i = 0; i < 1000; i++) turn();
  }

  void turn() {
    sender_.begin();
    sender_.receive(now_);
    for (size_t i = 0; i < segments_per_turn; i++) CHECK(sender_.stack.send(out_, Bytes(data_).first(payload_)));
    sender_.count_application();
    sender_.transmit(now_);
    receiver_.begin();
    receiver_.receive(now_);
    for (Bytes in = receiver_.stack.input(in_); !in.empty(); in = receiver_.stack.input(in_))
      receiver_.stack.consume(in_, in.size());
    receiver_.count_application();
    receiver_.transmit(now_);
    now_ += 50us;
  }
  Side& receiver() { return receiver_; }
  Side& sender() { return sender_; }
  uint64_t received() const { return receiver_.stack.counters().segments_received.value(); }

 private:
  tests::Pipe pipe_;
  Side receiver_, sender_;
  tcp::ConnectionId in_, out_;
  size_t payload_ = 0;  // of a full segment
  const std::vector<uint8_t> data_ = std::vector<uint8_t>(1500, 'x');
  base::Time now_{1s};
};

// What the kernel gave the core away in is measured again.
template <class Measure>
void undisturbed(Measure&& measure) {
  uint64_t before = 0;
  do {
    before = preemptions();
    measure();
  } while (preemptions() != before);
}

void report(benchmark::State& state, const Steps& steps, uint64_t items) {
  const auto each = [&](uint64_t cycles) { return static_cast<double>(cycles) / static_cast<double>(items); };
  state.counters["cycles"] = each(steps.all());
  state.counters["ip_in"] = each(steps.ip_in);
  state.counters["tcp_in"] = each(steps.tcp_in);
  state.counters["application"] = each(steps.application);
  state.counters["tcp_out"] = each(steps.tcp_out);
  state.counters["ip_out"] = each(steps.ip_out);
  state.SetItemsProcessed(static_cast<int64_t>(items));
}

void transfer(benchmark::State& state, Side& (Transfer::*side)()) {
  Transfer transfer(state.range(0) != 0);
  Side& measured = (transfer.*side)();
  const uint64_t received = transfer.received();
  Steps steps;
  uint64_t turns = 0, all_turns = 0;
  for (auto _ : state) {
    undisturbed([&] {
      measured.steps = {};
      for (int i = 0; i < 16; i++, all_turns++) transfer.turn();
    });
    steps += measured.steps;
    turns += 16;
    state.SetIterationTime(static_cast<double>(measured.steps.all()) / tsc_hz());
  }
  // Nothing but full segments, none of them twice.
  CHECK(transfer.received() - received == all_turns * segments_per_turn);
  report(state, steps, turns * segments_per_turn);
}
void TcpReceive(benchmark::State& state) { transfer(state, &Transfer::receiver); }
void TcpSend(benchmark::State& state) { transfer(state, &Transfer::sender); }
BENCHMARK(TcpReceive)->ArgName("port_checksums")->Arg(1)->Arg(0)->UseManualTime();
BENCHMARK(TcpSend)->ArgName("port_checksums")->Arg(1)->Arg(0)->UseManualTime();

// ---- a crowd --------------------------------------------------------------------------------------------------------

class Crowd {
 public:
  static constexpr size_t per_turn = 16;  // connections that are busy in a turn: segments, or handshakes

  explicit Crowd(size_t connections)
      : pipe_(true),
        server_(pipe_.right, receiver_address, config_for(connections)),
        client_(pipe_.left, sender_address, config_for(connections)) {
    for (uint16_t port = 0; port < ports; port++) CHECK(server_.stack.listen(static_cast<uint16_t>(first_port + port)));
    open(1);  // alone: while the server's address is asked for, few packets wait
    while (open_.size() < connections) open(std::min(per_turn, connections - open_.size()));
    for (int i = 0; i < 100; i++) send();
  }

  // One small segment on each of the next connections, in another order than they were opened in.
  void send() {
    client_.begin();
    client_.receive(now_);
    for (size_t i = 0; i < per_turn; i++, next_ = (next_ + stride) % open_.size())
      CHECK(client_.stack.send(open_[next_], Bytes(data_)));
    client_.count_application();
    client_.transmit(now_);
    serve();
    now_ += 50us;
  }

  // Nobody says anything.
  void idle() {
    serve();
    now_ += 1us;
  }

  // Handshakes, until both sides have them.
  void open_some() { open(per_turn); }
  void open(size_t count) {
    client_.begin();
    for (size_t i = 0; i < count; i++) {
      const auto port = static_cast<uint16_t>(first_port + open_.size() % ports);
      const auto id = client_.stack.connect({receiver_address, port}, std::nullopt, now_);
      CHECK(id.has_value());
      open_.push_back(*id);
    }
    client_.count_application();
    exchange();
  }
  // The latest are closed by both sides, and forgotten by the server, whom the client's FIN comes to first.
  void close() {
    client_.begin();
    for (size_t i = 0; i < per_turn; i++, open_.pop_back()) client_.stack.close(open_.back());
    client_.count_application();
    exchange();
    now_ += 61s;  // the client's TIME_WAIT is over: its ports are free again
    uncounted([this] { exchange(); });
  }

  // What it spends in there counts for neither side.
  template <class Action>
  void uncounted(Action&& action) {
    const Steps client = client_.steps, server = server_.steps;
    action();
    client_.steps = client;
    server_.steps = server;
  }
  Side& client() { return client_; }
  Side& server() { return server_; }
  uint64_t received() const { return server_.stack.counters().segments_received.value(); }
  size_t at_server() const { return server_.stack.connection_count(); }

 private:
  static constexpr uint16_t first_port = 5000, ports = 12;
  static constexpr size_t stride = 7919;  // a prime: each comes by as often

  static tcp::Config config_for(size_t connections) {
    tcp::Config config;
    config.connections = connections + 2 * per_turn;
    config.half_open = 64;
    config.listeners = ports;
    config.rto_min = 60s;                                // a turn's wait for TIME_WAIT is no timeout
    config.keepalive_idle = std::chrono::hours(10'000);  // and not the silence of those beside it
    config.delayed_ack = 1ms;
    return config;
  }
  void serve() {
    server_.begin();
    server_.receive(now_);
    for (const tcp::Event& event : server_.stack.events()) {
      for (Bytes in = server_.stack.input(event.id); !in.empty(); in = server_.stack.input(event.id))
        server_.stack.consume(event.id, in.size());
      if (event.peer_finished) server_.stack.close(event.id);
    }
    server_.count_application();
    server_.transmit(now_);
  }
  void exchange() {
    for (int i = 0; i < 4; i++) {
      client_.begin();
      client_.receive(now_);
      client_.stack.events();  // looked at: what is closed is given back
      client_.transmit(now_);
      serve();
      now_ += 50us;
    }
  }

  tests::Pipe pipe_;
  Side server_, client_;
  std::vector<tcp::ConnectionId> open_;
  size_t next_ = 0;
  const std::vector<uint8_t> data_ = std::vector<uint8_t>(100, 'x');
  base::Time now_{1s};
};

using CrowdTurn = void (Crowd::*)();
using CrowdSide = Side& (Crowd::*)();

enum class Item : uint8_t { segment, handshake, turn };

// What counts may have something to go before it, or after. An item is a handshake, or a segment (what one connection
// writes in a turn leaves in fewer).
void crowd(benchmark::State& state, CrowdTurn before, CrowdTurn counted, CrowdTurn after, CrowdSide side, Item item) {
  Crowd crowd(static_cast<size_t>(state.range(0)));
  CHECK(crowd.at_server() == static_cast<size_t>(state.range(0)));
  Side& measured = (crowd.*side)();
  const auto aside = [&crowd](CrowdTurn turn) {
    if (turn != nullptr) crowd.uncounted([&] { (crowd.*turn)(); });
  };
  Steps steps;
  uint64_t items = 0;
  for (auto _ : state) {
    uint64_t batch_items = 0;
    undisturbed([&] {
      measured.steps = {};
      const uint64_t received = crowd.received();
      for (int i = 0; i < 16; i++) {
        aside(before);
        (crowd.*counted)();
        aside(after);
      }
      batch_items = item == Item::segment     ? crowd.received() - received
                    : item == Item::handshake ? 16 * Crowd::per_turn
                                              : 16;
    });
    steps += measured.steps;
    items += batch_items;
    state.SetIterationTime(static_cast<double>(measured.steps.all()) / tsc_hz());
  }
  CHECK(crowd.at_server() == static_cast<size_t>(state.range(0)));
  report(state, steps, items);
}

void TcpCrowdReceive(benchmark::State& state) {
  crowd(state, nullptr, &Crowd::send, nullptr, &Crowd::server, Item::segment);
}
void TcpCrowdSend(benchmark::State& state) {
  crowd(state, nullptr, &Crowd::send, nullptr, &Crowd::client, Item::segment);
}
void TcpCrowdAccept(benchmark::State& state) {
  crowd(state, nullptr, &Crowd::open_some, &Crowd::close, &Crowd::server, Item::handshake);
}
void TcpCrowdConnect(benchmark::State& state) {
  crowd(state, nullptr, &Crowd::open_some, &Crowd::close, &Crowd::client, Item::handshake);
}
void TcpCrowdClose(benchmark::State& state) {
  crowd(state, &Crowd::open_some, &Crowd::close, nullptr, &Crowd::server, Item::handshake);
}
void TcpCrowdIdle(benchmark::State& state) { crowd(state, nullptr, &Crowd::idle, nullptr, &Crowd::server, Item::turn); }
void crowd_sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("connections")->Arg(1)->Arg(1000)->Arg(100'000)->UseManualTime();
}
BENCHMARK(TcpCrowdIdle)->Apply(crowd_sizes);
BENCHMARK(TcpCrowdReceive)->Apply(crowd_sizes);
BENCHMARK(TcpCrowdSend)->Apply(crowd_sizes);
BENCHMARK(TcpCrowdAccept)->Apply(crowd_sizes);
BENCHMARK(TcpCrowdConnect)->Apply(crowd_sizes);
BENCHMARK(TcpCrowdClose)->Apply(crowd_sizes);

}  // namespace
}  // namespace talaria::bench
