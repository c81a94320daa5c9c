// How large a segment the path takes (RFC 1191, RFC 5927, RFC 2923).
#include "core/net/icmp.h"
#include "tests/unit/tcp/peer.h"

namespace talaria::tcp {
namespace {

class TcpPathMtu : public StackTest {
 protected:
  void fly(size_t segments) {
    peer_sack = true;
    accept();
    write(std::string(segments * 1460, 'x'));
    ASSERT_EQ(sent.size(), segments);
  }
  // A router says that the segment with this number was too big.
  void too_big(Sequence sequence, uint16_t mtu, uint8_t code = net::icmp_code_fragmentation_needed) {
    uint8_t body[4 + 20 + 8] = {};
    base::store_be16(body + 2, mtu);
    net::emit_ipv4({.total_bytes = 1500, .protocol = 6, .source = our_address, .destination = peer_address}, body + 4,
                   true);
    base::store_be16(body + 24, our_port);
    base::store_be16(body + 26, 40000);
    base::store_be32(body + 28, sequence);
    net::Frame frame(34 + 4 + sizeof body);
    net::emit_ethernet({.destination = our_mac, .source = peer_mac, .vlan = {}, .type = net::ethertype_ipv4},
                       frame.data());
    net::emit_ipv4({.total_bytes = static_cast<uint16_t>(frame.size() - 14),
                    .protocol = 1,
                    .source = {0xc61200fe},
                    .destination = our_address},
                   frame.data() + 14, true);
    net::emit_icmp({.type = net::icmp_unreachable, .code = code, .body = {body, sizeof body}}, frame.data() + 34);
    device.arriving.push_back(frame);
    turn();
  }
  uint64_t ignored() { return stack->counters().icmp_ignored.value(); }
};

TEST_F(TcpPathMtu, IsTakenFromARouterAndWhatWasTooBigGoesAgain) {
  start();
  fly(4);
  const uint32_t window = info().congestion_window;
  const Sequence first = our_next;
  too_big(first, 1000);
  EXPECT_EQ(info().send_mss, 960);
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent[0].sequence, first);
  EXPECT_EQ(sent[0].bytes.size(), 960u);
  size_t turns = 0;
  for (; info().in_flight > 0 && turns < 50; turns++) {
    for (const Wire& wire : sent) {
      EXPECT_LE(wire.bytes.size(), 960u);
      our_next = later(our_next, wire.sequence + static_cast<Sequence>(wire.bytes.size()));
    }
    deliver(data());
  }
  EXPECT_EQ(our_next, first + 4 * 1460);
  EXPECT_LT(turns, 10u);
  EXPECT_GE(info().congestion_window, window - 1460) << "that was no congestion";
  EXPECT_EQ(stack->counters().timeouts.value(), 0u);
}

TEST_F(TcpPathMtu, IsNotTakenFromAForger) {
  start();
  fly(4);
  too_big(our_next - 1, 1000);
  too_big(our_next + 4 * 1460, 1000);
  EXPECT_EQ(ignored(), 2u) << "nothing in flight has that number";
  too_big(our_next, 67);
  too_big(our_next, 1);
  EXPECT_EQ(ignored(), 4u) << "no link takes so little";
  too_big(our_next, 1500);
  too_big(our_next, 9000);
  EXPECT_EQ(ignored(), 6u) << "changes nothing";
  EXPECT_EQ(info().send_mss, 1460);
  EXPECT_EQ(info().retransmits, 0u);
}

TEST_F(TcpPathMtu, IsNeverBelievedToBeTiny) {
  start();
  fly(1);
  too_big(our_next, 68);
  EXPECT_EQ(info().send_mss, 512);
}

TEST_F(TcpPathMtu, OfAnOldRouterIsGuessed) {
  start();
  fly(1);
  too_big(our_next, 0);
  EXPECT_EQ(info().send_mss, 1024);
}

TEST_F(TcpPathMtu, OtherErrorsAreSoft) {
  start();
  fly(1);
  for (const uint8_t code : std::array<uint8_t, 6>{0, 1, 2, 3, 5, 13}) too_big(our_next, 0, code);
  EXPECT_EQ(state(), State::established);
  EXPECT_EQ(ignored(), 6u);
}

TEST_F(TcpPathMtu, ShrinksWhereFullSegmentsVanish) {
  start();
  fly(4);
  const Sequence first = our_next;
  size_t largest = 0;
  for (int i = 0; i < 10000 && largest != 1024; i++) {
    after(10ms);
    for (const Wire& wire : sent) largest = wire.bytes.size();
  }
  EXPECT_EQ(stack->counters().timeouts.value(), 4u);
  EXPECT_EQ(stack->counters().black_holes.value(), 1u);
  our_next = first + 1024;
  deliver(data());
  ASSERT_FALSE(sent.empty());
  for (const Wire& wire : sent) EXPECT_LE(wire.bytes.size(), 1024u);
  our_next = first + 4 * 1460;
  deliver(data());
  now += 11min;
  write(std::string(1460, 'y'));
  ASSERT_EQ(sent.size(), 1u) << "the route may be another one by now";
  EXPECT_EQ(info().send_mss, 1460);
}

TEST_F(TcpPathMtu, DoesNotShrinkForSmallSegments) {
  start();
  peer_sack = true;
  accept();
  write("small");
  for (int i = 0; i < 3000; i++) after(10ms);
  EXPECT_EQ(info().send_mss, 1460);
}

TEST_F(TcpPathMtu, WithoutSackToo) {
  start();
  accept();
  write(std::string(4 * 1460, 'x'));
  const Sequence first = our_next;
  too_big(first, 1000);
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent[0].sequence, first);
  for (const Wire& wire : sent) EXPECT_LE(wire.bytes.size(), 960u);
}

TEST_F(TcpPathMtu, PacketsAreNotToBeFragmented) {
  start();
  accept();
  turn([&] { stack->send(id, base::as_bytes("x")); });
  write("y");
  stack->send(id, base::as_bytes("z"));
  stack->output(now);
  host->flush();
  ASSERT_EQ(device.sent.size(), 1u);
  EXPECT_EQ(base::load_be16(device.sent[0].data() + 20), 0x4000);
}

}  // namespace
}  // namespace talaria::tcp
