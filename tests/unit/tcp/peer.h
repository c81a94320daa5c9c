// One stack and a peer in the test's hands: segments are written field by field, and what the stack sends is read the
// same way. No link, no second stack: what a test says is what is on the wire.
#pragma once

#include <gtest/gtest.h>

#include <functional>

#include "core/net/arp.h"
#include "core/tcp/stack.h"
#include "tests/unit/net/fake_device.h"

namespace talaria::tcp {

using namespace std::chrono_literals;

inline constexpr net::MacAddress our_mac{2, 0, 0, 0, 0, 1};
inline constexpr net::MacAddress peer_mac{2, 0, 0, 0, 0, 2};
inline constexpr net::Ipv4Address our_address{0xc6120001};
inline constexpr net::Ipv4Address peer_address{0xc6120002};
inline constexpr uint16_t our_port = 5672;

// A segment with its payload's bytes.
struct Wire : Segment {
  std::vector<uint8_t> bytes;
  std::string text() const { return {bytes.begin(), bytes.end()}; }
};

class StackTest : public testing::Test {
 protected:
  void start(Config config = small()) {
    host.emplace(net::HostConfig{.addresses = {{our_address, 24}}, .announce = false, .transmit_queue_max = 256},
                 device, base::HashKey{1, 2});
    stack.emplace(config, *host, base::HashKey{3, 4});
    stack->listen(our_port);
    introduce_peer();
    turn();
  }
  static Config small() {
    Config config;
    config.connections = 8;
    config.half_open = 4;
    config.time_wait = 4;
    config.send_chunks = 64;
    config.shared_slices = 16;
    config.receive_chunks = 128;
    config.keepalive_idle = 0s;
    config.quick_acks = 0;
    return config;
  }
  void TearDown() override {
    if (!stack) return;
    stack->check_invariants();
    EXPECT_EQ(stack->packets_held(), 0u);
    stack.reset();
    host.reset();
    EXPECT_EQ(device.outstanding, 0u) << "a packet did not come home";
  }

  // ---- the wire -----------------------------------------------------------------------------------------------------
  // A segment from the peer, with a good checksum, into the port. It is taken in by the next turn.
  void arrive(const Segment& segment, std::string_view payload = {}, uint16_t peer_port = 40000) {
    net::Frame frame(34 + tcp_header_bytes_max);
    net::emit_ethernet({.destination = our_mac, .source = peer_mac, .vlan = {}, .type = net::ethertype_ipv4},
                       frame.data());
    Segment copy = segment;
    copy.source_port = peer_port;
    if (copy.destination_port == 0) copy.destination_port = our_port;
    size_t header = emit_segment(copy, frame.data() + 34);
    frame.resize(34 + header);
    frame.insert(frame.end(), payload.begin(), payload.end());
    write_segment_checksum({frame.data() + 34, frame.size() - 34}, peer_address, our_address, false);
    net::emit_ipv4({.total_bytes = static_cast<uint16_t>(frame.size() - 14),
                    .protocol = 6,
                    .source = peer_address,
                    .destination = our_address},
                   frame.data() + 14, true);
    device.arriving.push_back(std::move(frame));
  }
  // One turn; afterwards `events` and `sent` hold what happened in it.
  void turn(std::function<void()> application = {}) {
    events.clear();
    while (host->receive(now) > 0) stack->on_segments(host->datagrams(), now);
    host->on_time(now);
    stack->on_time(now);
    for (const Event& event : stack->events()) {
      events.push_back(event);
      if (event.accepted || event.connected) id = event.id;
    }
    if (application) application();
    stack->clear_events();
    stack->end_input(now);
    stack->output(now);
    host->flush();
    stack->check_invariants();
    sent.clear();
    for (const net::Frame& frame : std::exchange(device.sent, {})) {
      if (base::load_be16(frame.data() + 12) == net::ethertype_arp) {
        introduce_peer();
        continue;
      }
      auto ip = net::parse_ipv4(base::Bytes(frame).subspan(14));
      ASSERT_TRUE(ip);
      base::Bytes l4 = base::Bytes(frame).subspan(34, ip->total_bytes - 20u);
      EXPECT_TRUE(verify_segment_checksum(l4, ip->source, ip->destination));
      Wire wire;
      ASSERT_TRUE(parse_segment(l4, wire));
      wire.bytes.assign(wire.payload.begin(), wire.payload.end());
      sent.push_back(std::move(wire));
    }
  }
  void after(base::Duration duration) {
    now += duration;
    turn();
  }
  // A segment arrives and a turn is made of it.
  void deliver(const Segment& segment, std::string_view payload = {}) {
    arrive(segment, payload);
    turn();
  }

  // ---- the peer's side of one connection
  // ------------------------------------------------------------------------------
  Segment make(uint8_t flags, Sequence sequence, Sequence acknowledgement, uint16_t window = 65535) {
    Segment segment;
    segment.sequence = sequence;
    segment.acknowledgement = acknowledgement;
    segment.flags = flags;
    segment.window = window;
    return segment;
  }
  Segment syn() {
    Segment segment = make(flag_syn, peer_start, 0);
    segment.mss = peer_mss;
    segment.sack_permitted = peer_sack;
    segment.has_timestamp = peer_timestamps;
    segment.timestamp = peer_clock;
    segment.has_window_scale = peer_scale >= 0;
    segment.window_scale = static_cast<uint8_t>(std::max(peer_scale, 0));
    return segment;
  }
  // The peer's next segment: everything it has seen acknowledged.
  Segment data(uint8_t flags = flag_ack) { return with_timestamp(make(flags, peer_next, our_next, peer_window)); }
  Segment ack(Sequence acknowledgement) {
    return with_timestamp(make(flag_ack, peer_next, acknowledgement, peer_window));
  }
  Segment with_timestamp(Segment segment) {
    segment.has_timestamp = peer_timestamps;
    segment.timestamp = peer_clock;
    segment.timestamp_echo = our_clock;
    return segment;
  }
  Segment sacked(Sequence acknowledgement, std::vector<Range> blocks) {
    Segment segment = ack(acknowledgement);
    for (Range block : blocks) segment.sacks[segment.sack_count++] = block;
    return segment;
  }
  // A whole passive handshake; `id`, `our_start` and `our_next` are set.
  void accept() {
    deliver(syn());
    ASSERT_EQ(sent.size(), 1u);
    ASSERT_EQ(sent[0].flags, flag_syn | flag_ack);
    our_start = sent[0].sequence;
    our_clock = sent[0].timestamp;
    our_next = our_start + 1;
    peer_next = peer_start + 1;
    deliver(data());
    ASSERT_EQ(events.size(), 1u);
    ASSERT_TRUE(events[0].accepted);
  }
  // The peer sends bytes in order.
  void say(std::string_view text) {
    arrive(data(flag_ack | flag_psh), text);
    peer_next += static_cast<Sequence>(text.size());
  }
  // The application writes and the segments leave.
  void write(std::string_view text) {
    turn([&] { ASSERT_TRUE(stack->send(id, base::as_bytes(text))); });
  }
  std::string read_all() {
    std::string all;
    for (base::Bytes bytes = stack->input(id); !bytes.empty(); bytes = stack->input(id)) {
      all += base::as_text(bytes);
      stack->consume(id, bytes.size());
    }
    return all;
  }
  State state() { return stack->info(id, now)->state; }
  ConnectionInfo info() { return *stack->info(id, now); }

  net::FakeDevice device{our_mac};
  std::optional<net::Host> host;
  std::optional<Stack> stack;
  base::Time now{100s};
  std::vector<Event> events;
  std::vector<Wire> sent;
  ConnectionId id;

  Sequence peer_start = 1000;
  Sequence peer_next = 0;
  Sequence our_start = 0;
  Sequence our_next = 0;  // what the peer acknowledges
  uint16_t peer_mss = 1460;
  uint16_t peer_window = 65535;
  int peer_scale = -1;  // none
  bool peer_sack = false;
  bool peer_timestamps = false;
  uint32_t peer_clock = 5000;
  uint32_t our_clock = 0;

 private:
  // The peer asks who we are, and so says who it is.
  void introduce_peer() {
    net::Frame frame(14 + net::arp_bytes);
    net::emit_ethernet({.destination = net::broadcast_mac, .source = peer_mac, .vlan = {}, .type = net::ethertype_arp},
                       frame.data());
    net::emit_arp({.operation = net::ArpOperation::request,
                   .sender_mac = peer_mac,
                   .sender_address = peer_address,
                   .target_address = our_address},
                  frame.data() + 14);
    device.arriving.push_back(frame);
  }
};

}  // namespace talaria::tcp
