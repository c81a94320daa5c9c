// Segments out: cutting, windows, retransmission, recovery, probes (RFC 9293 3.8, RFC 5681, 6298, 6582, 6675, 3042).
#include "tests/unit/tcp/peer.h"

namespace talaria::tcp {
namespace {

class TcpSend : public StackTest {};
class TcpSegmentation : public StackTest {
 protected:
  // A port that cuts packets of up to 20,000 bytes, and an open connection with a window for 20 segments.
  void SetUp() override {
    device.capabilities_.transmit_segmentation = 20'000;
    start();
    peer_timestamps = true;
    accept();
    write(std::string(10 * full, 'x'));
    our_next += 10 * full;
    deliver(data());
  }
  // Slow start: a window's worth arrives.
  void double_the_window() {
    write(std::string(20 * full, 'x'));
    our_next += 20 * full;
    deliver(data());
    sent.clear();
  }
  static constexpr uint32_t full = 1460 - 12;
};
class TcpWindowOfPeer : public StackTest {};
class TcpRetransmit : public StackTest {};
class TcpRecovery : public StackTest {
 protected:
  // An open connection with `segments` full ones in flight, numbered from 0.
  void fly(size_t segments) {
    accept();
    first = our_next;
    write(std::string(segments * 1460, 'x'));
    ASSERT_EQ(sent.size(), segments);
  }
  Sequence at(size_t segment) { return first + static_cast<Sequence>(segment * 1460); }
  Range block(size_t from, size_t to) { return {at(from), at(to)}; }
  Sequence first = 0;
};

TEST_F(TcpSend, WritesOfOneTurnAreOneSegment) {
  start();
  accept();
  turn([&] {
    for (int i = 0; i < 3; i++) {
      base::MutableBytes space = stack->reserve(id, 100);
      std::memset(space.data(), 'a' + i, 4);
      stack->commit(id, 4);
    }
    stack->send(id, base::as_bytes("dddd"));
  });
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].text(), "aaaabbbbccccdddd");
  EXPECT_TRUE(sent[0].has(flag_psh));
}

TEST_F(TcpSend, SmallWritesAreNotHeldBack) {
  start();
  accept();
  write("one");
  EXPECT_EQ(sent.size(), 1u);
  write("two");
  ASSERT_EQ(sent.size(), 1u) << "no Nagle";
  EXPECT_EQ(sent[0].text(), "two");
}

TEST_F(TcpSend, SegmentsAreThePeersMssLessOptions) {
  start();
  peer_mss = 1000;
  peer_timestamps = true;
  accept();
  write(std::string(3000, 'x'));
  ASSERT_EQ(sent.size(), 4u);
  EXPECT_EQ(sent[0].bytes.size(), 988u);
  EXPECT_FALSE(sent[0].has(flag_psh));
  EXPECT_TRUE(sent[3].has(flag_psh));
}

TEST_F(TcpSend, InitialWindowIsTenSegments) {
  start();
  accept();
  write(std::string(40 * 1460, 'x'));
  EXPECT_EQ(sent.size(), 10u);
}

TEST_F(TcpSend, SlowStartDoublesOnlyWhileTheWindowIsUsed) {
  start();
  accept();
  write(std::string(40 * 1460, 'x'));
  our_next += 10 * 1460;
  deliver(data());
  EXPECT_EQ(sent.size(), 20u);
  our_next += 30 * 1460;
  deliver(data());
  turn();
  uint32_t window = info().congestion_window;
  for (int i = 0; i < 20; i++) {  // one small write at a time: nothing is learned about the network
    write("x");
    our_next++;
    deliver(data());
  }
  EXPECT_EQ(info().congestion_window, window);
}

TEST_F(TcpSend, AfterAnIdleTimeTheWindowIsTheInitialOneAgain) {
  start();
  accept();
  write(std::string(40 * 1460, 'x'));
  for (Sequence segments : {10, 20, 10}) {
    our_next += segments * 1460;
    deliver(data());
  }
  ASSERT_EQ(info().in_flight, 0u);
  ASSERT_GT(info().congestion_window, 20u * 1460);
  now += 10s;
  write(std::string(40 * 1460, 'x'));
  EXPECT_EQ(sent.size(), 10u) << "RFC 5681 4.1";
}

TEST_F(TcpSend, SharedBytesComeBackOnceWhenAcknowledged) {
  start();
  accept();
  std::string body(5000, 'b');
  int owner = 0;
  turn([&] {
    stack->send(id, base::as_bytes("head"));
    ASSERT_TRUE(stack->send_shared(id, base::as_bytes(body), &owner));
    stack->send(id, base::as_bytes("tail"));
  });
  std::string all;
  for (const Wire& wire : sent) all += wire.text();
  EXPECT_EQ(all, "head" + body + "tail");
  our_next += 5003;
  deliver(data());
  EXPECT_TRUE(stack->take_released().empty()) << "one byte is missing";
  our_next += 1;
  deliver(data());
  auto released = stack->take_released();
  ASSERT_EQ(released.size(), 1u);
  EXPECT_EQ(released[0], &owner);
  EXPECT_TRUE(stack->take_released().empty());
}

TEST_F(TcpSend, SharedBytesComeBackWhenTheConnectionIsGone) {
  start();
  accept();
  int owner = 0;
  turn([&] { stack->send_shared(id, base::as_bytes("body"), &owner); });
  deliver(make(flag_rst, peer_next, 0));
  ASSERT_EQ(stack->take_released().size(), 1u);
}

TEST_F(TcpSend, NoMemoryIsAnAnswerAndTheWriterIsTold) {
  Config config = small();
  config.send_chunks = 4;
  start(config);
  accept();
  std::string bytes(3 * 4096, 'x');
  turn([&] {
    EXPECT_TRUE(stack->send(id, base::as_bytes(bytes)));
    EXPECT_FALSE(stack->send(id, base::as_bytes(bytes))) << "all or nothing";
    EXPECT_FALSE(stack->reserve(id, 4096).empty());
    stack->commit(id, 4096);
    EXPECT_TRUE(stack->reserve(id, 1).empty());
  });
  EXPECT_EQ(stack->queued(id), 4u * 4096);
  EXPECT_EQ(stack->counters().no_send_memory.value(), 2u);
  EXPECT_TRUE(events.empty());
  our_next += 10 * 1460;
  deliver(data());
  our_next += 4 * 4096 - 10 * 1460;
  deliver(data());
  turn();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].writable);
}

TEST_F(TcpSend, ScarceMemoryIsSharedSoThatTheNextOneFindsSome) {
  Config config = small();
  config.send_chunks = 64;
  config.send_high_watermark = 1024 * 1024;
  config.send_low_watermark = 512 * 1024;
  start(config);
  accept();
  // A writer that stops where it is told to leaves as much again as it took, times two.
  while (stack->send_room(id) > 0) write(std::string(1000, 'x'));
  EXPECT_NEAR(static_cast<double>(stack->queued(id)), 64 * 4096 / 3, 4096);
  // It goes on when its queue is half of what it may be by then, though it never came near the low watermark.
  uint32_t queued = 0;
  for (bool writable = false; !writable;) {
    our_next += stack->info(id, now)->in_flight;
    deliver(data());
    queued = static_cast<uint32_t>(stack->queued(id));
    writable = !events.empty() && events[0].writable;
    ASSERT_TRUE(writable || queued > 0);
  }
  EXPECT_LE(queued, 64 * 4096 / 5u);
  EXPECT_GT(queued, 0u);
}

TEST_F(TcpSend, WritableComesAtTheLowWatermark) {
  Config config = small();
  config.send_high_watermark = 8000;
  config.send_low_watermark = 4000;
  start(config);
  accept();
  write(std::string(7999, 'x'));
  EXPECT_EQ(stack->send_room(id), 1u);
  our_next += 7000;
  deliver(data());
  EXPECT_TRUE(events.empty()) << "it never was above the high one";
  write(std::string(9000, 'x'));
  EXPECT_EQ(stack->send_room(id), 0u);
  our_next += 5998;
  deliver(data());
  EXPECT_TRUE(events.empty());
  our_next += 1;
  deliver(data());
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].writable);
}

TEST_F(TcpSend, BusyPortIsWaitingNotLoss) {
  start();
  accept();
  device.transmit_room = 0;
  std::string bytes(400 * 100, 'x');
  for (int i = 0; i < 400; i++) write("1234567890");
  EXPECT_EQ(host->transmit_room(), 0u);
  uint64_t segments = info().segments_sent;
  after(1s);
  EXPECT_EQ(info().timeouts, 0u);
  EXPECT_EQ(info().segments_sent, segments);
  device.transmit_room = SIZE_MAX;
  host->flush();
  turn();
  turn();
  EXPECT_EQ(info().retransmits, 0u);
  EXPECT_EQ(stack->queued(id), 4000u);
}

// A port that is late, with room left in its queue: what stands there was not lost on the way.
TEST_F(TcpSend, WhatThePortHasNotTakenIsNotSentAgain) {
  for (bool sack : {false, true}) {
    start();
    peer_sack = sack;
    accept();
    device.transmit_room = 0;
    write(std::string(3000, 'x'));
    ASSERT_GT(host->transmit_room(), 0u);
    for (int i = 0; i < 30; i++) after(100ms);
    EXPECT_EQ(info().timeouts, 0u);
    EXPECT_EQ(info().retransmits, 0u);
    device.transmit_room = SIZE_MAX;
    host->flush();
    for (int i = 0; i < 100 && info().timeouts == 0; i++) after(100ms);
    EXPECT_GT(info().retransmits, 0u) << "now it was lost";
    EXPECT_EQ(info().last_stall, Stall::timeout);
  }
}

TEST_F(TcpSend, WithoutPacketsItWaitsAndGoesOn) {
  start();
  accept();
  device.packets_max = device.outstanding;
  write("held up");
  EXPECT_TRUE(sent.empty());
  EXPECT_TRUE(stack->has_output());
  device.packets_max = 100000;
  turn();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].text(), "held up");
  EXPECT_EQ(info().retransmits, 0u);
}

TEST_F(TcpSegmentation, ThePortCutsWhatIsLongerThanASegment) {
  write(std::string(5 * full + 7, 'y'));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].text(), std::string(5 * full + 7, 'y'));
  EXPECT_EQ(device.cut_into.back(), full);
  EXPECT_EQ(stack->counters().segments_sent.value(), 1u + 10 + 6) << "a SYN-ACK, and what is on the wire";
}

TEST_F(TcpSegmentation, WhatWasLostInOnePieceGoesAgainInOne) {
  start();
  peer_sack = true;
  accept();
  const Sequence first = our_next;
  write(std::string(5 * full, 'y'));
  now += 1ms;
  write(std::string(5 * full, 'z'));
  ASSERT_EQ(sent.size(), 1u);
  now += 40ms;
  deliver(sacked(first, {{first + 5 * full, first + 10 * full}}));
  for (int i = 0; i < 50 && sent.empty(); i++) after(1ms);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].text(), std::string(5 * full, 'y'));
  EXPECT_EQ(device.cut_into.back(), full);
  EXPECT_EQ(info().timeouts, 0u);
}

TEST_F(TcpSegmentation, OneSegmentGoesAsItIs) {
  write(std::string(full, 'y'));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(device.cut_into.back(), 0u);
}

TEST_F(TcpSegmentation, APacketHoldsWholeSegmentsAndAtMostWhatThePortTakes) {
  double_the_window();
  write(std::string(14 * full + 100, 'y'));
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].bytes.size(), 13 * full) << "19,900 bytes hold so many";
  EXPECT_FALSE(sent[0].has(flag_psh));
  EXPECT_EQ(sent[1].bytes.size(), full + 100);
  EXPECT_TRUE(sent[1].has(flag_psh));
}

TEST_F(TcpSegmentation, APacketHoldsAtMostHalfOfTheCongestionWindow) {
  const uint32_t half = info().congestion_window / 2 / full;
  ASSERT_LT(half, 13u) << "the port takes so many";
  write(std::string((half + 4) * full, 'y'));
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].bytes.size(), half * full);
  EXPECT_EQ(sent[1].bytes.size(), 4 * full);
}

TEST_F(TcpSegmentation, TheCongestionWindowCountsBytes) {
  const uint32_t window = info().congestion_window;
  write(std::string(60 * full, 'y'));
  size_t bytes = 0;
  for (const Wire& segment : sent) bytes += segment.bytes.size();
  EXPECT_LE(bytes, window);
  EXPECT_GT(bytes, window - 2 * full);
}

TEST_F(TcpSegmentation, WithoutALongPacketItWaitsAndNothingIsLost) {
  device.long_packets_left = 0;
  write(std::string(5 * full, 'y'));
  EXPECT_EQ(sent.size(), 0u);
  device.long_packets_left = SIZE_MAX;
  turn();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].bytes.size(), 5 * full);
}

TEST_F(TcpSegmentation, AfterATimeoutOneSegmentGoesAgainThenWhatTheWindowAllows) {
  const Sequence first = our_next;
  write(std::string(9 * full, 'y'));
  after(2s);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].bytes.size(), full);
  EXPECT_EQ(device.cut_into.back(), 0u);
  for (uint32_t arrived = 1; arrived < 9 && info().congestion_window < 4 * full; arrived++) {
    our_next = first + arrived * full;
    deliver(data());
  }
  ASSERT_FALSE(sent.empty());
  EXPECT_GT(sent.back().bytes.size(), full) << "half of the window is two segments now, and they go in one piece";
  EXPECT_EQ(sent.back().bytes.size() % full, 0u);
}

// ---- the peer's window
// -------------------------------------------------------------------------------------------------

TEST_F(TcpWindowOfPeer, IsRespected) {
  start();
  peer_window = 3000;
  accept();
  write(std::string(10000, 'x'));
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1].bytes.size(), 1460u) << "80 bytes more would be silly";
}

TEST_F(TcpWindowOfPeer, SmallerThanASegmentStillMakesProgress) {
  start();
  peer_window = 500;
  accept();
  write(std::string(2000, 'x'));
  size_t arrived = 0;
  for (int i = 0; i < 10 && arrived < 2000; i++) {
    for (const Wire& wire : sent) arrived += wire.bytes.size();
    our_next = our_start + 1 + static_cast<Sequence>(arrived);
    deliver(data());
  }
  EXPECT_EQ(arrived, 2000u);
}

TEST_F(TcpWindowOfPeer, SillyWindowIsUsedWhenThePersistTimerFires) {
  start();
  accept();
  peer_window = 10;
  write("");
  deliver(data());
  write(std::string(1000, 'x'));
  EXPECT_TRUE(sent.empty());
  after(1s);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].bytes.size(), 10u);
}

TEST_F(TcpWindowOfPeer, ShutWindowIsProbedWithBackOffAndForEver) {
  start();
  accept();
  peer_window = 0;
  deliver(data());
  write("data");
  EXPECT_TRUE(sent.empty());
  std::vector<base::Duration> gaps;
  base::Time last = now;
  for (int probes = 0, turns = 0; probes < 40 && turns < 50000; turns++) {
    after(100ms);
    for (const Wire& wire : sent) {
      EXPECT_EQ(wire.sequence, our_next - 1);
      EXPECT_TRUE(wire.bytes.empty());
      gaps.push_back(now - last);
      last = now;
      probes++;
      arrive(data());  // still shut, but alive
    }
  }
  ASSERT_EQ(gaps.size(), 40u);
  for (size_t i = 1; i < gaps.size(); i++) EXPECT_GE(gaps[i] + 100ms, gaps[i - 1]);
  EXPECT_GT(gaps[3], 3 * gaps[0]);
  EXPECT_LE(gaps.back(), 61s);
  EXPECT_EQ(state(), State::established);
  EXPECT_EQ(info().last_stall, Stall::peer_window);
  const base::Duration shut = info().zero_window;
  EXPECT_EQ(shut, now - info().last_stall_at);
  EXPECT_GT(shut, gaps.back());
  peer_window = 1000;
  deliver(data());
  now += 10s;
  EXPECT_EQ(info().zero_window, shut) << "it is open";
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].text(), "data");
}

TEST_F(TcpWindowOfPeer, UnansweredProbesEndTheConnection) {
  Config config = small();
  config.retransmits_max = 3;
  start(config);
  accept();
  peer_window = 0;
  deliver(data());
  write("data");
  for (int i = 0; i < 1000 && stack->alive(id); i++) after(100ms);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].reason, CloseReason::timed_out);
}

TEST_F(TcpWindowOfPeer, ShrunkWindowStopsNewDataOnly) {
  start();
  accept();
  write(std::string(2 * 1460, 'x'));
  peer_window = 100;
  deliver(data());  // the right edge moved back behind what is in flight
  write("new");
  EXPECT_TRUE(sent.empty());
  after(1s);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].sequence, our_next) << "the old is sent again";
}

TEST_F(TcpWindowOfPeer, StaleUpdateIsIgnored) {
  start();
  accept();
  Segment old = data();
  old.window = 10;
  say("x");
  turn([&] { read_all(); });
  after(40ms);
  EXPECT_EQ(info().send_window, 65535u);
  deliver(old);  // overtaken: its number is before that of the last update
  EXPECT_EQ(info().send_window, 65535u);
}

// The window counts from what the segment acknowledges: with the old one the right edge would move beyond what was
// offered.
TEST_F(TcpWindowOfPeer, ComesWithEveryNewAcknowledgementEvenARetransmissions) {
  start();
  accept();
  Segment again = data(flag_ack | flag_psh);
  say("first");
  say("second");
  turn([&] { read_all(); });
  write(std::string(3000, 'x'));
  again.acknowledgement = our_next + 3000;
  again.window = 1000;
  say("third");
  turn([&] { read_all(); });
  deliver(again, "firstsecond");
  EXPECT_EQ(info().in_flight, 0u);
  EXPECT_EQ(info().send_window, 1000u);
}

// ---- the timer
// -----------------------------------------------------------------------------------------------------------

TEST_F(TcpRetransmit, BacksOffAndGivesUp) {
  Config config = small();
  config.retransmits_max = 4;
  start(config);
  accept();
  write("x");
  base::Duration timeout = info().rto;
  EXPECT_EQ(timeout, 200ms) << "from the handshake, and no less";
  for (int i = 0; i < 4; i++) {
    after(timeout - 1ms);
    EXPECT_TRUE(sent.empty());
    after(1ms);
    ASSERT_EQ(sent.size(), 1u) << i;
    EXPECT_EQ(sent[0].text(), "x");
    timeout *= 2;
  }
  after(timeout);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].reason, CloseReason::timed_out);
}

TEST_F(TcpRetransmit, RestartsOnlyWhenSomethingNewIsAcknowledged) {
  start();
  accept();
  write("first");
  now += 100ms;
  write("second");
  our_next += 5;
  deliver(data());  // restarts: 200 ms from here
  now += 150ms;
  deliver(data());  // says nothing new
  after(49ms);
  EXPECT_TRUE(sent.empty());
  after(1ms);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].text(), "second");
}

TEST_F(TcpRetransmit, KarnsBackOffStaysUntilACleanSample) {
  start();
  accept();
  write("x");
  after(200ms);
  our_next += 1;
  deliver(data());
  EXPECT_EQ(info().rto, 400ms) << "the ACK may be of either";
  write("y");
  now += 10ms;
  our_next += 1;
  deliver(data());
  EXPECT_EQ(info().rto, 200ms);
}

TEST_F(TcpRetransmit, CollapsesToOneSegmentAndGoesOn) {
  Config config = small();
  config.congestion_control = CongestionControl::newreno;
  start(config);
  accept();
  write(std::string(10 * 1460, 'x'));
  after(200ms);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].sequence, our_next);
  EXPECT_EQ(info().slow_start_threshold, 5u * 1460);
  our_next += 1460;
  deliver(data());
  EXPECT_EQ(sent.size(), 2u);
  our_next += 9 * 1460;  // the others had arrived
  deliver(data());
  EXPECT_TRUE(sent.empty());
  EXPECT_EQ(info().in_flight, 0u);
}

TEST_F(TcpRetransmit, CutsAgainAndTakesNewDataAlong) {
  start();
  accept();
  write("one");
  write("two");
  after(200ms);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].text(), "onetwo");
}

TEST_F(TcpRetransmit, TimeoutForgetsWhatWasSacked) {
  start();
  peer_sack = true;
  accept();
  Sequence first = our_next;
  write(std::string(4 * 1460, 'x'));
  deliver(sacked(first, {{first + 1460, first + 2 * 1460}}));
  after(300ms);
  our_next = first + 1460;
  deliver(data());
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent[0].sequence, first + 1460) << "the peer may have gone back on it";
}

// ---- recovery
// ------------------------------------------------------------------------------------------------------------

TEST_F(TcpRecovery, LimitedTransmitThenFastRetransmit) {
  Config config = small();
  config.congestion_control = CongestionControl::newreno;
  start(config);
  accept();
  first = our_next;
  write(std::string(20 * 1460, 'x'));
  ASSERT_EQ(sent.size(), 10u);
  deliver(ack(first));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].sequence, at(10)) << "RFC 3042";
  deliver(ack(first));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].sequence, at(11));
  deliver(ack(first));
  ASSERT_GE(sent.size(), 1u);
  EXPECT_EQ(sent[0].sequence, first) << "three duplicates";
  EXPECT_EQ(stack->counters().fast_retransmits.value(), 1u);
  EXPECT_EQ(info().slow_start_threshold, 6u * 1460);
}

TEST_F(TcpRecovery, NewRenoPartialAckSendsTheNextHole) {
  start();
  fly(10);
  for (int i = 0; i < 3; i++) deliver(ack(first));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].sequence, first);
  deliver(ack(at(4)));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].sequence, at(4)) << "without another three duplicates";
  deliver(ack(at(10)));
  EXPECT_TRUE(sent.empty());
  EXPECT_EQ(stack->counters().fast_retransmits.value(), 1u);
  EXPECT_LE(info().congestion_window, 5u * 1460);
}

TEST_F(TcpRecovery, SackResendsOnlyTheHoles) {
  start();
  peer_sack = true;
  fly(10);
  // 0, 3 and 5 are lost.
  deliver(sacked(first, {block(1, 3)}));
  EXPECT_TRUE(sent.empty());
  std::vector<Sequence> again;
  auto note = [&] {
    for (const Wire& wire : sent) again.push_back(wire.sequence);
  };
  deliver(sacked(first, {block(4, 5), block(1, 3)}));
  note();
  deliver(sacked(first, {block(6, 10), block(4, 5), block(1, 3)}));
  note();
  turn();
  note();
  EXPECT_EQ(again, (std::vector<Sequence>{at(0), at(3), at(5)}));
  deliver(ack(at(10)));
  EXPECT_EQ(info().in_flight, 0u);
  EXPECT_EQ(info().retransmits, 3u);
}

TEST_F(TcpRecovery, SackedBytesAloneShowTheLoss) {
  start();
  peer_sack = true;
  fly(6);
  deliver(sacked(first, {block(1, 5)}));  // one ACK for a burst
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent[0].sequence, first);
}

TEST_F(TcpRecovery, ReorderingBelowTheThresholdResendsNothing) {
  start();
  peer_sack = true;
  fly(4);
  deliver(sacked(first, {block(1, 2)}));
  EXPECT_TRUE(sent.empty());
  deliver(sacked(first, {block(1, 3)}));
  EXPECT_TRUE(sent.empty());
  deliver(ack(at(4)));
  EXPECT_EQ(info().retransmits, 0u);
}

TEST_F(TcpRecovery, SenselessBlocksAreIgnored) {
  start();
  peer_sack = true;
  fly(4);
  deliver(sacked(first, {{at(2), at(2)}, {at(3), at(1)}, {at(3), at(9)}}));
  deliver(sacked(first, {{at(3) + 0x80000000u, at(3)}}));
  EXPECT_EQ(stack->counters().bad_sacks.value(), 4u);
  EXPECT_TRUE(sent.empty());
  EXPECT_EQ(stack->counters().duplicate_acks.value(), 0u);
}

TEST_F(TcpRecovery, DuplicateCountDoesNotOverflow) {
  start();
  fly(10);
  for (int i = 0; i < 600; i++) deliver(ack(first));
  EXPECT_EQ(stack->counters().fast_retransmits.value(), 1u);
}

TEST_F(TcpRecovery, DuplicatesOfAFinishedRecoveryDoNotBeginOne) {
  start();
  fly(10);
  for (int i = 0; i < 3; i++) deliver(ack(first));
  deliver(ack(at(10)));
  our_next = at(10);
  write(std::string(1460, 'y'));
  for (int i = 0; i < 4; i++) deliver(ack(at(10)));
  EXPECT_EQ(stack->counters().fast_retransmits.value(), 1u);
}

TEST_F(TcpRecovery, WindowUpdatesAreNotDuplicates) {
  start();
  fly(4);
  for (uint16_t i = 0; i < 5; i++) {
    peer_window = static_cast<uint16_t>(60000 + i);
    deliver(ack(first));
  }
  EXPECT_EQ(stack->counters().duplicate_acks.value(), 0u);
}

}  // namespace
}  // namespace talaria::tcp
