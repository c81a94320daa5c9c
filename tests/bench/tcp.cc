// TCP alone: two stacks joined by a pipe, one writes full segments, the other reads and drops them. What the receiver
// and the sender spend is counted apart, each with its network layer: receiving is from the port to the bytes being
// consumed and acknowledged, sending from the application's write to the port, and taking the acknowledgements.
//
// Then a crowd: small segments that come from one connection, or from another of 1,000 or 100,000 each, and what it
// takes to open and to close one beside so many others. What grows with their number is what lies in no cache any more.
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

struct Side {
  Side(net::Device& device, net::Ipv4Address address, const tcp::Config& config = {})
      : host({.addresses = {{address, 24}}, .announce = false}, device, {1, address.value}),
        stack(config, host, {2, address.value}) {}

  void receive(base::Time now) {
    while (host.receive(now) != 0) stack.on_segments(host.datagrams(), now);
    host.on_time(now);
    stack.on_time(now);
  }
  void transmit(base::Time now) {
    stack.clear_events();
    stack.end_input(now);
    stack.output(now);
    host.flush();
  }

  net::Host host;
  tcp::Stack stack;
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

  struct Turn {
    uint64_t send = 0, receive = 0;  // cycles
  };
  Turn turn() {
    const uint64_t start = cycles_now();
    sender_.receive(now_);
    for (size_t i = 0; i < segments_per_turn; i++) CHECK(sender_.stack.send(out_, Bytes(data_).first(payload_)));
    sender_.transmit(now_);
    const uint64_t middle = cycles_now();
    receiver_.receive(now_);
    for (Bytes in = receiver_.stack.input(in_); !in.empty(); in = receiver_.stack.input(in_))
      receiver_.stack.consume(in_, in.size());
    receiver_.transmit(now_);
    const uint64_t end = cycles_now();
    now_ += 50us;
    return {middle - start, end - middle};
  }
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

void transfer(benchmark::State& state, uint64_t Transfer::Turn::*side) {
  Transfer transfer(state.range(0) != 0);
  const uint64_t received = transfer.received();
  uint64_t cycles = 0, turns = 0, all_turns = 0;
  for (auto _ : state) {
    Transfer::Turn batch;
    undisturbed([&] {
      batch = {};
      for (int i = 0; i < 16; i++, all_turns++) {
        const Transfer::Turn turn = transfer.turn();
        batch.send += turn.send;
        batch.receive += turn.receive;
      }
    });
    cycles += batch.*side;
    turns += 16;
    state.SetIterationTime(static_cast<double>(batch.*side) / tsc_hz());
  }
  // Nothing but full segments, none of them twice.
  CHECK(transfer.received() - received == all_turns * segments_per_turn);
  state.counters["cycles"] = static_cast<double>(cycles) / static_cast<double>(turns * segments_per_turn);
  state.SetItemsProcessed(static_cast<int64_t>(turns * segments_per_turn));
}
void TcpReceive(benchmark::State& state) { transfer(state, &Transfer::Turn::receive); }
void TcpSend(benchmark::State& state) { transfer(state, &Transfer::Turn::send); }
BENCHMARK(TcpReceive)->ArgName("port_checksums")->Arg(1)->Arg(0)->UseManualTime();
BENCHMARK(TcpSend)->ArgName("port_checksums")->Arg(1)->Arg(0)->UseManualTime();

// ---- a crowd --------------------------------------------------------------------------------------------------------

class Crowd {
 public:
  static constexpr size_t per_turn = 16;  // connections that are busy in a turn: segments, or handshakes

  struct Turn {
    uint64_t client = 0, server = 0;  // cycles
  };

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
  Turn send() {
    const uint64_t start = cycles_now();
    client_.receive(now_);
    for (size_t i = 0; i < per_turn; i++, next_ = (next_ + stride) % open_.size())
      CHECK(client_.stack.send(open_[next_], Bytes(data_)));
    client_.transmit(now_);
    const uint64_t middle = cycles_now();
    serve();
    const uint64_t end = cycles_now();
    now_ += 50us;
    return {middle - start, end - middle};
  }

  // Nobody says anything.
  Turn idle() {
    const uint64_t start = cycles_now();
    serve();
    const uint64_t end = cycles_now();
    now_ += 1us;
    return {0, end - start};
  }

  // Handshakes, until both sides have them.
  Turn open(size_t count = per_turn) {
    Turn sum;
    const uint64_t start = cycles_now();
    for (size_t i = 0; i < count; i++) {
      const auto port = static_cast<uint16_t>(first_port + open_.size() % ports);
      const auto id = client_.stack.connect({receiver_address, port}, std::nullopt, now_);
      CHECK(id.has_value());
      open_.push_back(*id);
    }
    sum.client += cycles_now() - start;
    exchange(sum);
    return sum;
  }
  // The latest are closed by both sides, and forgotten by the server, whom the client's FIN comes to first.
  Turn close() {
    Turn sum;
    const uint64_t start = cycles_now();
    for (size_t i = 0; i < per_turn; i++, open_.pop_back()) client_.stack.close(open_.back());
    sum.client += cycles_now() - start;
    exchange(sum);
    now_ += 61s;      // the client's TIME_WAIT is over: its ports are free again
    Turn much_later;  // with the timers of a minute: not counted
    exchange(much_later);
    return sum;
  }

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
    server_.receive(now_);
    for (const tcp::Event& event : server_.stack.events()) {
      for (Bytes in = server_.stack.input(event.id); !in.empty(); in = server_.stack.input(event.id))
        server_.stack.consume(event.id, in.size());
      if (event.peer_finished) server_.stack.close(event.id);
    }
    server_.transmit(now_);
  }
  void exchange(Turn& sum) {
    for (int i = 0; i < 4; i++) {
      const uint64_t start = cycles_now();
      client_.receive(now_);
      client_.stack.events();  // looked at: what is closed is given back
      client_.transmit(now_);
      const uint64_t middle = cycles_now();
      serve();
      sum.client += middle - start;
      sum.server += cycles_now() - middle;
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

using CrowdTurn = Crowd::Turn (*)(Crowd&);

enum class Item : uint8_t { segment, handshake, turn };

// `measured` is what counts, `undo` what brings the crowd back to its size. An item is a handshake, or a segment (what
// one connection writes in a turn leaves in fewer).
void crowd(benchmark::State& state, CrowdTurn measured, CrowdTurn undo, uint64_t Crowd::Turn::*side, Item item) {
  Crowd crowd(static_cast<size_t>(state.range(0)));
  CHECK(crowd.at_server() == static_cast<size_t>(state.range(0)));
  uint64_t cycles = 0, items = 0;
  for (auto _ : state) {
    uint64_t batch = 0, batch_items = 0;
    undisturbed([&] {
      batch = 0;
      const uint64_t received = crowd.received();
      for (int i = 0; i < 16; i++) {
        batch += measured(crowd).*side;
        if (undo != nullptr) undo(crowd);
      }
      batch_items = item == Item::segment     ? crowd.received() - received
                    : item == Item::handshake ? 16 * Crowd::per_turn
                                              : 16;
    });
    cycles += batch;
    items += batch_items;
    state.SetIterationTime(static_cast<double>(batch) / tsc_hz());
  }
  CHECK(crowd.at_server() == static_cast<size_t>(state.range(0)));
  state.counters["cycles"] = static_cast<double>(cycles) / static_cast<double>(items);
  state.SetItemsProcessed(static_cast<int64_t>(items));
}

Crowd::Turn send_turn(Crowd& crowd) { return crowd.send(); }
Crowd::Turn idle_turn(Crowd& crowd) { return crowd.idle(); }
Crowd::Turn open_turn(Crowd& crowd) { return crowd.open(); }
Crowd::Turn close_turn(Crowd& crowd) { return crowd.close(); }
// Closing comes second: what was opened for it is the undoing of the turn before.
Crowd::Turn open_and_close(Crowd& crowd) {
  crowd.open();
  return crowd.close();
}

void TcpCrowdReceive(benchmark::State& state) { crowd(state, send_turn, nullptr, &Crowd::Turn::server, Item::segment); }
void TcpCrowdSend(benchmark::State& state) { crowd(state, send_turn, nullptr, &Crowd::Turn::client, Item::segment); }
void TcpCrowdAccept(benchmark::State& state) {
  crowd(state, open_turn, close_turn, &Crowd::Turn::server, Item::handshake);
}
void TcpCrowdConnect(benchmark::State& state) {
  crowd(state, open_turn, close_turn, &Crowd::Turn::client, Item::handshake);
}
void TcpCrowdClose(benchmark::State& state) {
  crowd(state, open_and_close, nullptr, &Crowd::Turn::server, Item::handshake);
}
void TcpCrowdIdle(benchmark::State& state) { crowd(state, idle_turn, nullptr, &Crowd::Turn::server, Item::turn); }
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
