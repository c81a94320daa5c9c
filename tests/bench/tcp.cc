// TCP alone: two stacks joined by a pipe, one writes full segments, the other reads and drops them. What the receiver
// and the sender spend is counted apart, each with its network layer: receiving is from the port to the bytes being
// consumed and acknowledged, sending from the application's write to the port, and taking the acknowledgements.
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
  Side(net::Device& device, net::Ipv4Address address)
      : host({.address = address, .prefix_length = 24, .announce = false}, device, {1, address.value}),
        stack({}, host, {2, address.value}) {}

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

// A turn in which the kernel gave the core away is measured again.
void transfer(benchmark::State& state, uint64_t Transfer::Turn::*side) {
  Transfer transfer(state.range(0) != 0);
  const uint64_t received = transfer.received();
  uint64_t cycles = 0, turns = 0, all_turns = 0;
  for (auto _ : state) {
    Transfer::Turn batch;
    for (bool disturbed = true; disturbed;) {
      batch = {};
      const uint64_t before = preemptions();
      for (int i = 0; i < 16; i++, all_turns++) {
        const Transfer::Turn turn = transfer.turn();
        batch.send += turn.send;
        batch.receive += turn.receive;
      }
      disturbed = preemptions() != before;
    }
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

}  // namespace
}  // namespace talaria::bench
