// One stack on two network ports, each with a neighbour of its own: whoever came by one is answered there, and what
// happens to one does not disturb the other.
#include "tests/unit/tcp/world.h"

namespace talaria::tcp {
namespace {

constexpr net::MacAddress mac(uint8_t last) { return {2, 0, 0, 0, 0, last}; }
const net::IpAddress left_address = net::Ipv4Address{0xc6120001}, left_peer = net::Ipv4Address{0xc6120002};
const net::IpAddress right_address = net::Ipv4Address{0xc6120101}, right_peer = net::Ipv4Address{0xc6120102};

Config small() {
  Config config;
  config.connections = 4;
  config.half_open = 4;
  config.time_wait = 4;
  config.keepalive_idle = 0s;
  return config;
}

// A port of the stack, and the node at the other end of its link.
struct Side {
  Side(const net::IpPrefix& own, const net::IpAddress& peer, uint8_t number, uint16_t mtu,
       std::vector<net::Route> routes)
      : device(mac(number), mtu),
        host({.addresses = {own}, .routes = std::move(routes), .announce = false, .transmit_queue_max = 64}, device,
             {number, 1}),
        neighbor(peer, mac(static_cast<uint8_t>(number + 1)), small(), mtu) {}

  net::FakeDevice device;
  net::Host host;
  Node neighbor;
  bool is_cut = false;
  std::vector<net::Frame> seen;  // of the stack, on this link
};

class Interfaces : public testing::Test {
 protected:
  void start(uint16_t right_mtu = 1500, uint8_t bits = 24, Config config = small(),
             std::vector<net::Route> right_routes = {}) {
    left.emplace(net::IpPrefix{left_address, bits}, left_peer, 1, 1500, std::vector<net::Route>{});
    right.emplace(net::IpPrefix{right_address, bits}, right_peer, 3, right_mtu, std::move(right_routes));
    stack.emplace(config, std::array{&left->host, &right->host}, base::HashKey{3, 4});
    stack->listen(5672);
  }
  void TearDown() override {
    stack->check_invariants();
    stack.reset();
    for (auto* side : {&left, &right}) {
      net::FakeDevice* device = &(*side)->device;
      EXPECT_EQ((*side)->host.packets_held(), 0u);
      EXPECT_EQ(device->outstanding, 0u) << "a packet did not come home";
    }
  }
  // A turn of the stack, then one of each neighbour, until nobody has anything to say.
  void settle() {
    for (int round = 0; round < 30; round++) {
      turn();
      for (Side* side : {&*left, &*right}) {
        side->neighbor.begin_turn(now);
        for (const Event& event : side->neighbor.stack.events())
          if (event.connected || event.accepted) ids[side] = event.id;
        side->neighbor.end_turn(now);
        carry(*side);
      }
    }
  }
  void turn() {
    for (InterfaceIndex index = 0; index < 2; index++) {
      Side& side = index == 0 ? *left : *right;
      while (side.host.receive(now) > 0) stack->on_segments(side.host.datagrams(), now, index);
      side.host.on_time(now);
    }
    stack->on_time(now);
    for (const Event& event : stack->events()) {
      events.push_back(event);
      if (event.accepted) accepted.push_back(event.id);
    }
    stack->clear_events();
    stack->end_input(now);
    stack->output(now);
    left->host.flush();
    right->host.flush();
    stack->check_invariants();
    carry(*left);
    carry(*right);
  }
  void carry(Side& side) {
    for (net::Frame& frame : std::exchange(side.device.sent, {})) {
      side.seen.push_back(frame);
      if (!side.is_cut) side.neighbor.device.arriving.push_back(std::move(frame));
    }
    for (net::Frame& frame : std::exchange(side.neighbor.device.sent, {}))
      if (!side.is_cut) side.device.arriving.push_back(std::move(frame));
  }
  // From a neighbour to the stack.
  ConnectionId connect(Side& side, const net::IpAddress& to, uint16_t port = 5672) {
    auto id = side.neighbor.stack.connect({to, port}, {}, now);
    EXPECT_TRUE(id);
    settle();
    return *id;
  }
  // The congestion window grows beyond what the queue towards the port takes.
  void warm_up(Side& side, ConnectionId from, ConnectionId to) {
    const std::string much(200'000, 'w');
    ASSERT_TRUE(stack->send(from, base::as_bytes(much)));
    size_t got = 0;
    for (int i = 0; i < 100 && got < much.size(); i++) {
      settle();
      got += text_at(side, to).size();
      now += 1ms;
    }
    ASSERT_EQ(got, much.size());
  }
  // How many TCP segments of the stack went over this link; all of them from this address.
  size_t segments(const Side& side, const net::IpAddress& from) {
    size_t count = 0;
    for (const net::Frame& frame : side.seen) {
      if (base::load_be16(frame.data() + 12) != net::ethertype_ipv4) continue;
      auto ip = net::parse_ipv4(base::Bytes(frame).subspan(14));
      EXPECT_EQ(net::IpAddress(ip->source), from);
      count++;
    }
    return count;
  }
  std::string text_at(Side& side, ConnectionId id) {
    std::string text;
    Stack& peer = side.neighbor.stack;
    for (base::Bytes bytes = peer.input(id); !bytes.empty(); bytes = peer.input(id)) {
      text += base::as_text(bytes);
      peer.consume(id, bytes.size());
    }
    return text;
  }

  base::Time now{100s};
  std::optional<Side> left, right;
  std::optional<Stack> stack;
  std::vector<Event> events;
  std::vector<ConnectionId> accepted;
  std::map<Side*, ConnectionId> ids;
};

TEST_F(Interfaces, EachConnectionIsAnsweredWhereItCame) {
  start();
  const ConnectionId at_left = connect(*left, left_address), at_right = connect(*right, right_address);
  ASSERT_EQ(accepted.size(), 2u);
  EXPECT_EQ(stack->info(accepted[0], now)->local.address, left_address);
  EXPECT_EQ(stack->info(accepted[1], now)->local.address, right_address);
  ASSERT_TRUE(stack->send(accepted[0], base::as_bytes("left")));
  ASSERT_TRUE(stack->send(accepted[1], base::as_bytes("right")));
  settle();
  EXPECT_EQ(text_at(*left, at_left), "left");
  EXPECT_EQ(text_at(*right, at_right), "right");
  EXPECT_GE(segments(*left, left_address), 2u);
  EXPECT_GE(segments(*right, right_address), 2u);
}

// Both ports in one network: by the route each of them would do, by the address only its own.
TEST_F(Interfaces, ConnectionsOfOneNetworkStayOnTheirPorts) {
  start(1500, 16);
  connect(*left, left_address);
  connect(*right, right_address);
  ASSERT_EQ(accepted.size(), 2u);
  EXPECT_GE(segments(*left, left_address), 1u);
  EXPECT_GE(segments(*right, right_address), 1u);
}

TEST_F(Interfaces, AnAddressIsOfOnePortAlone) {
  start(1500, 16);
  const auto id = left->neighbor.stack.connect({right_address, 5672}, {}, now);
  ASSERT_TRUE(id);
  settle();
  EXPECT_TRUE(accepted.empty());  // nobody answers for it on the left
  EXPECT_EQ(stack->counters().syn_received.value(), 0u);
}

TEST_F(Interfaces, AFullPortHoldsUpItsOwnConnectionsAlone) {
  start();
  connect(*left, left_address);
  const ConnectionId at_left = ids[&*left];
  const ConnectionId at_right = connect(*right, right_address);
  ASSERT_EQ(accepted.size(), 2u);
  warm_up(*left, accepted[0], at_left);
  left->device.transmit_room = 0;
  const std::string much(100'000, 'l');
  ASSERT_TRUE(stack->send(accepted[0], base::as_bytes(much)));
  turn();
  ASSERT_EQ(left->host.transmit_room(), 0u);
  ASSERT_TRUE(stack->send(accepted[0], base::as_bytes("more")));
  ASSERT_TRUE(stack->send(accepted[1], base::as_bytes("at once")));
  right->seen.clear();
  turn();
  EXPECT_TRUE(stack->has_output());
  EXPECT_EQ(segments(*right, right_address), 1u) << "in the same turn";
  settle();
  EXPECT_EQ(text_at(*right, at_right), "at once");
  EXPECT_EQ(text_at(*left, at_left), "");

  left->device.transmit_room = SIZE_MAX;
  std::string got;
  for (int i = 0; i < 50 && got.size() < much.size() + 4; i++) {
    settle();
    got += text_at(*left, at_left);
    now += 1ms;
  }
  EXPECT_EQ(got, much + "more");
  EXPECT_EQ(stack->counters().retransmitted_segments.value(), 0u) << "what waits for the port is not lost";
}

TEST_F(Interfaces, ALinkThatIsDownDoesNotDisturbTheOther) {
  start();
  connect(*left, left_address);
  const ConnectionId at_right = connect(*right, right_address);
  left->is_cut = true;
  ASSERT_TRUE(stack->send(accepted[0], base::as_bytes("lost for now")));
  std::string got;
  for (int i = 0; i < 100; i++) {
    ASSERT_TRUE(stack->send(accepted[1], base::as_bytes("x")));
    settle();
    got += text_at(*right, at_right);
    now += 100ms;
  }
  EXPECT_EQ(got, std::string(100, 'x'));
  EXPECT_EQ(stack->info(accepted[1], now)->retransmits, 0u);
  EXPECT_GT(stack->info(accepted[0], now)->retransmits, 0u);
  left->is_cut = false;
  for (int i = 0; i < 100; i++) {
    settle();
    now += 100ms;
  }
  EXPECT_EQ(text_at(*left, ids[&*left]), "lost for now");
}

TEST_F(Interfaces, EachHasItsOwnSegmentSize) {
  start(9000);
  const ConnectionId at_left = connect(*left, left_address), at_right = connect(*right, right_address);
  EXPECT_EQ(stack->info(accepted[0], now)->receive_mss, 1460u);
  EXPECT_EQ(stack->info(accepted[1], now)->receive_mss, 8960u);
  EXPECT_EQ(left->neighbor.stack.info(at_left, now)->send_mss, 1460u);
  EXPECT_EQ(right->neighbor.stack.info(at_right, now)->send_mss, 8960u);
}

TEST_F(Interfaces, AHandshakeIsAnsweredAgainWhereItCame) {
  start();
  const auto id = right->neighbor.stack.connect({right_address, 5672}, {}, now);
  ASSERT_TRUE(id);
  // The neighbour learns who we are, its SYN arrives, and then nothing comes back.
  for (int i = 0; i < 3 && stack->counters().syn_received.value() == 0; i++) {
    right->neighbor.begin_turn(now);
    right->neighbor.end_turn(now);
    carry(*right);
    turn();
  }
  ASSERT_EQ(stack->counters().syn_received.value(), 1u);
  right->is_cut = true;
  right->seen.clear();
  connect(*left, left_address);  // whatever was last dealt with stood on the left
  left->seen.clear();
  now += 1100ms;
  turn();
  EXPECT_EQ(segments(*right, right_address), 1u);
  EXPECT_EQ(segments(*left, left_address), 0u);
}

TEST_F(Interfaces, StrangersAreResetWhereTheyCame) {
  start();
  connect(*left, left_address);
  left->seen.clear();
  connect(*right, right_address, 81);
  EXPECT_EQ(segments(*right, right_address), 1u);
  EXPECT_EQ(segments(*left, left_address), 0u);
  EXPECT_EQ(stack->counters().resets_sent.value(), 1u);
}

// The handshake tables are empty: cookies, which know no interface.
TEST_F(Interfaces, CookiesOpenConnectionsWhereTheyCame) {
  Config config = small();
  config.half_open = 0;
  start(1500, 24, config);
  connect(*left, left_address);
  const ConnectionId at_right = connect(*right, right_address);
  EXPECT_EQ(stack->counters().cookies_accepted.value(), 2u);
  ASSERT_EQ(accepted.size(), 2u);
  ASSERT_TRUE(stack->send(accepted[1], base::as_bytes("right")));
  settle();
  EXPECT_EQ(text_at(*right, at_right), "right");
}

TEST_F(Interfaces, TimeWaitAnswersWhereTheConnectionWas) {
  start();
  const ConnectionId at_right = connect(*right, right_address);
  stack->close(accepted[0]);
  settle();
  right->is_cut = true;  // our last acknowledgement will not arrive
  right->neighbor.stack.close(at_right);
  right->neighbor.end_turn(now);
  for (net::Frame& frame : std::exchange(right->neighbor.device.sent, {}))
    right->device.arriving.push_back(std::move(frame));
  turn();
  ASSERT_EQ(stack->counters().time_wait_entered.value(), 1u);
  connect(*left, left_address);
  left->seen.clear();
  right->seen.clear();
  right->is_cut = false;
  now += 1s;
  settle();
  EXPECT_EQ(segments(*right, right_address), 1u);
  EXPECT_EQ(segments(*left, left_address), 0u);
  EXPECT_FALSE(right->neighbor.stack.alive(at_right));
}

// A block that still stands in one port's list is taken by a connection of the other.
TEST_F(Interfaces, ABlockMovesFromPortToPort) {
  Config config = small();
  config.connections = 1;
  start(1500, 24, config);
  const ConnectionId at_left = connect(*left, left_address);
  warm_up(*left, accepted[0], at_left);
  left->device.transmit_room = 0;
  const std::string much(100'000, 'l');
  ASSERT_TRUE(stack->send(accepted[0], base::as_bytes(much)));
  turn();
  ASSERT_TRUE(stack->has_output());
  stack->abort(accepted[0]);
  turn();
  left->neighbor.stack.abort(at_left);
  const ConnectionId at_right = connect(*right, right_address);
  ASSERT_EQ(accepted.size(), 2u);
  ASSERT_TRUE(stack->send(accepted[1], base::as_bytes("right")));
  settle();
  EXPECT_EQ(text_at(*right, at_right), "right");
  left->device.transmit_room = SIZE_MAX;
  settle();
  ASSERT_TRUE(stack->send(accepted[1], base::as_bytes("still")));
  settle();
  EXPECT_EQ(text_at(*right, at_right), "still");
  EXPECT_FALSE(stack->has_output());
}

TEST_F(Interfaces, AnActiveOpenLeavesWhereTheRoutesLead) {
  start(1500, 24, small(), {net::default_route(right_peer), {{net::Ipv4Address{0xc6120040}, 26}, right_peer}});
  right->neighbor.stack.listen(80);
  left->neighbor.stack.listen(80);
  const auto local_of = [&](const net::IpAddress& remote) {
    const auto id = stack->connect({remote, 80}, {}, now);
    EXPECT_TRUE(id);
    const net::IpAddress local = stack->info(*id, now)->local.address;
    stack->abort(*id);
    turn();
    return local;
  };
  EXPECT_EQ(local_of(left_peer), left_address);
  EXPECT_EQ(local_of(right_peer), right_address);
  EXPECT_EQ(local_of(net::Ipv4Address{0x08080808}), right_address);  // the default route
  EXPECT_EQ(local_of(net::Ipv4Address{0xc6120041}), right_address);  // a route within the left's network
  EXPECT_EQ(stack->connect({right_address, 80}, {}, now).error(), ConnectError::bad_address);
  EXPECT_EQ(stack->connect({left_address, 80}, {}, now).error(), ConnectError::bad_address);

  const auto id = stack->connect({right_peer, 80}, {}, now);
  ASSERT_TRUE(id);
  settle();
  EXPECT_EQ(stack->info(*id, now)->state, State::established);
}

}  // namespace
}  // namespace talaria::tcp
