// Recovery where the peer has SACK: RACK, the tail probe, proportional rate reduction (RFC 8985, RFC 9937).
#include "tests/unit/tcp/peer.h"

namespace talaria::tcp {
namespace {

constexpr uint32_t segment = 1460;

class SackTest : public StackTest {
 protected:
  // A handshake that takes a round trip.
  void accept_after(base::Duration round_trip) {
    peer_sack = true;
    deliver(syn());
    our_start = sent.at(0).sequence;
    our_clock = sent.at(0).timestamp;
    our_next = our_start + 1;
    peer_next = peer_start + 1;
    after(round_trip);
    deliver(data());
    ASSERT_TRUE(events.at(0).accepted);
  }
  // An open connection with `segments` full ones in flight, numbered from 0.
  void fly(size_t segments, base::Duration round_trip = 40ms) {
    accept_after(round_trip);
    first = our_next;
    write(std::string(segments * segment, 'x'));
    ASSERT_EQ(sent.size(), std::min<size_t>(segments, 10));
  }
  Sequence at(size_t number) { return first + static_cast<Sequence>(number * segment); }
  Range block(size_t from, size_t to) { return {at(from), at(to)}; }
  std::vector<size_t> sent_numbers() {
    std::vector<size_t> numbers;
    for (const Wire& wire : sent)
      if (!wire.bytes.empty()) numbers.push_back((wire.sequence - first) / segment);
    return numbers;
  }
  uint64_t timeouts() { return stack->counters().timeouts.value(); }
  using Numbers = std::vector<size_t>;

  Sequence first = 0;
};

class TcpRack : public SackTest {};
class TcpTailProbe : public SackTest {};
class TcpRateReduction : public SackTest {};
class TcpUndo : public SackTest {
 protected:
  static constexpr uint32_t full = segment - timestamp_option_bytes;
  // So many bytes in flight, whose time the peer can echo.
  void fly_with_timestamps(size_t bytes) {
    peer_timestamps = true;
    accept_after(40ms);
    first = our_next;
    write(std::string(bytes, 'x'));
    our_clock = sent[0].timestamp;
  }
};
class TcpUntracked : public SackTest {};

TEST_F(TcpRack, OneSackedSegmentIsEnoughWhenTheWindowHasPassed) {
  start();
  fly(4);
  now += 40ms;
  deliver(sacked(first, {block(1, 2)}));
  EXPECT_EQ(sent_numbers(), Numbers{}) << "it may have been overtaken";
  after(9ms);
  EXPECT_EQ(sent_numbers(), Numbers{});
  after(2ms);  // a quarter of the round trip
  EXPECT_EQ(sent_numbers(), Numbers{0});
  EXPECT_EQ(stack->counters().reordering_timeouts.value(), 1u);
  EXPECT_EQ(timeouts(), 0u);
}

TEST_F(TcpRack, OvertakenSegmentsAreNotSentAgain) {
  start();
  fly(4);
  now += 40ms;
  deliver(sacked(first, {block(1, 2)}));
  after(5ms);
  our_next = at(4);
  deliver(data());
  after(100ms);
  EXPECT_EQ(info().retransmits, 0u);
}

TEST_F(TcpRack, AfterReorderingThreeDuplicatesAreNoProof) {
  start();
  fly(10);
  now += 40ms;
  deliver(sacked(first, {block(1, 3)}));
  our_next = at(10);
  deliver(data());  // 0 came late: this path reorders
  first = our_next;
  write(std::string(10 * segment, 'y'));
  now += 40ms;
  deliver(sacked(first, {block(1, 9)}));
  EXPECT_EQ(sent_numbers(), Numbers{});
  after(11ms);
  EXPECT_EQ(sent_numbers(), Numbers{0});
}

TEST_F(TcpRack, LostRetransmissionIsFoundWithoutATimeout) {
  start();
  fly(10);
  write(std::string(20 * segment, 'x'));
  now += 40ms;
  deliver(sacked(first, {block(1, 8)}));
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent_numbers()[0], 0u);
  const Numbers later = sent_numbers();
  ASSERT_GT(later.size(), 1u) << "something new leaves with it";
  now += 40ms;
  deliver(
      sacked(first, {block(1, 8), block(10, later.back() + 1)}));  // what left later arrived, 8 and 9 did not either
  turn();
  EXPECT_EQ(timeouts(), 0u);
  EXPECT_GE(info().retransmits, 2u);
  uint64_t again = 0;
  after(15ms);
  again = info().retransmits;
  EXPECT_GE(again, 2u);
  EXPECT_EQ(timeouts(), 0u);
}

TEST_F(TcpRack, DuplicatesReportedMakeItMorePatient) {
  start();
  fly(8);
  now += 40ms;
  deliver(sacked(first, {block(1, 5)}));
  EXPECT_EQ(sent_numbers(), Numbers{0});
  our_next = at(8);
  deliver(data());                           // all had arrived
  deliver(sacked(our_next, {block(0, 1)}));  // and the first one twice
  now += 1s;
  first = our_next;
  write(std::string(6 * segment, 'y'));
  now += 40ms;
  deliver(sacked(first, {block(1, 2)}));
  after(12ms);
  EXPECT_EQ(sent_numbers(), Numbers{}) << "two quarters now";
  after(10ms);
  EXPECT_EQ(sent_numbers(), Numbers{0});
}

TEST_F(TcpRack, APeerThatGoesBackOnWhatItSackedGetsItAgain) {
  start();
  fly(6);
  now += 40ms;
  deliver(sacked(first, {block(1, 6)}));
  EXPECT_EQ(sent_numbers(), Numbers{0});
  now += 40ms;
  our_next = at(1);
  deliver(data());  // it threw 1 to 5 away
  Numbers again = sent_numbers();
  for (int i = 0; i < 10 && again.size() < 5; i++) {
    our_next += segment;
    deliver(data());
    for (size_t number : sent_numbers()) again.push_back(number);
  }
  EXPECT_EQ(again, (Numbers{1, 2, 3, 4, 5}));
  EXPECT_EQ(timeouts(), 0u);
}

TEST_F(TcpRack, AfterATimeoutWhatWasSackedStaysUntilTheSecond) {
  start();
  fly(6);
  now += 40ms;
  deliver(sacked(first, {block(2, 4)}));
  ASSERT_TRUE(sent.empty());
  device.transmit_room = 0;  // so that nothing but the timer can act
  after(1ms);
  device.transmit_room = SIZE_MAX;
  Numbers again;
  for (int i = 0; i < 2000 && timeouts() == 0; i++) {
    after(1ms);
    for (size_t number : sent_numbers()) again.push_back(number);
  }
  ASSERT_EQ(timeouts(), 1u);
  our_next = at(2);
  now += 40ms;
  deliver(sacked(at(2), {}));  // without a word on 2 and 3, which lie at the edge now: they are gone
  for (size_t number : sent_numbers()) again.push_back(number);
  EXPECT_TRUE(std::find(again.begin(), again.end(), 2u) != again.end());
}

TEST_F(TcpTailProbe, ShowsALostTailBeforeTheTimeout) {
  start();
  fly(6);
  now += 40ms;
  our_next = at(3);
  deliver(data());
  after(79ms);
  EXPECT_EQ(sent_numbers(), Numbers{});
  after(2ms);  // two round trips
  EXPECT_EQ(sent_numbers(), Numbers{5}) << "the last one";
  EXPECT_EQ(stack->counters().tail_probes.value(), 1u);
  now += 40ms;
  deliver(sacked(at(3), {block(5, 6)}));
  EXPECT_EQ(sent_numbers(), (Numbers{3})) << "one retransmission at once";
  now += 40ms;
  our_next = at(4);
  deliver(sacked(at(4), {block(5, 6)}));
  EXPECT_EQ(sent_numbers(), (Numbers{4}));
  our_next = at(6);
  deliver(data());
  EXPECT_EQ(timeouts(), 0u);
  EXPECT_EQ(info().in_flight, 0u);
}

TEST_F(TcpTailProbe, SendsSomethingNewIfThereIsAny) {
  start();
  fly(20);  // ten leave
  after(81ms);
  EXPECT_EQ(sent_numbers(), Numbers{10});
  EXPECT_EQ(info().retransmits, 0u);
  after(150ms);
  EXPECT_EQ(stack->counters().tail_probes.value(), 1u) << "one at a time";
}

TEST_F(TcpTailProbe, ThatRepairedTheLossIsCongestionAllTheSame) {
  start();
  fly(4);
  after(81ms);
  EXPECT_EQ(sent_numbers(), Numbers{3});
  our_next = at(4);
  deliver(data());
  EXPECT_EQ(stack->counters().tail_losses_repaired.value(), 0u) << "not known yet";
  const uint32_t window = info().congestion_window;
  write(std::string(segment, 'y'));
  our_next = at(5);
  deliver(data());
  EXPECT_EQ(stack->counters().tail_losses_repaired.value(), 1u);
  EXPECT_LT(info().congestion_window, window);
}

TEST_F(TcpTailProbe, ThatWasNotNeededCostsNothing) {
  start();
  fly(4);
  after(81ms);
  our_next = at(4);
  deliver(data());
  deliver(sacked(at(4), {block(3, 4)}));  // it came twice
  const uint32_t window = info().congestion_window;
  write(std::string(segment, 'y'));
  our_next = at(5);
  deliver(data());
  EXPECT_EQ(stack->counters().tail_losses_repaired.value(), 0u);
  EXPECT_GE(info().congestion_window, window);
}

TEST_F(TcpTailProbe, OfOneSegmentWaitsForADelayedAcknowledgement) {
  start();
  accept_after(10ms);
  write("x");
  after(150ms);
  EXPECT_TRUE(sent.empty());
}

TEST_F(TcpTailProbe, IsFollowedByTheTimeout) {
  start();
  fly(4);
  after(81ms);
  EXPECT_EQ(sent_numbers(), Numbers{3});
  after(199ms);
  EXPECT_TRUE(sent.empty());
  after(30ms);
  EXPECT_EQ(sent_numbers(), Numbers{0});
  EXPECT_EQ(timeouts(), 1u);
}

TEST_F(TcpTailProbe, OfAFin) {
  start();
  fly(3);
  turn([&] { stack->close(id); });
  ASSERT_EQ(sent.size(), 1u);
  after(81ms);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_TRUE(sent[0].has(flag_fin));
  EXPECT_EQ(sent[0].sequence + sent[0].bytes.size(), at(3));
  our_next = at(3) + 1;
  deliver(data());
  EXPECT_EQ(state(), State::fin_wait_2);
}

// What leaves during recovery follows what arrives, and ends at the threshold.
TEST_F(TcpRateReduction, SpreadsTheReductionOverTheRoundTrip) {
  start();
  peer_scale = 4;
  fly(10);
  now += 40ms;
  our_next = at(10);
  write(std::string(60 * segment, 'x'));
  deliver(data());
  ASSERT_EQ(info().in_flight, 20 * segment);
  now += 40ms;
  size_t left = 0;
  for (size_t arrived = 12; arrived <= 30; arrived++) {  // all but 10, one by one
    deliver(sacked(at(10), {block(11, arrived)}));
    left += sent.size();
    EXPECT_LE(sent.size(), 3u) << "no burst";
  }
  EXPECT_EQ(stack->counters().fast_retransmits.value(), 1u);
  const uint32_t threshold = info().slow_start_threshold;
  EXPECT_NEAR(static_cast<double>(left * segment), threshold, 2.0 * segment);
  our_next = at(30);
  deliver(data());
  EXPECT_EQ(info().congestion_window, threshold);
}

// What each ACK lets out doubles a round trip's segments, in however few turns they are looked at.
TEST_F(TcpRateReduction, EachAckOfATurnGrantsItsOwn) {
  start();
  fly(10);
  now += 40ms;
  deliver(sacked(first, {block(9, 10)}));
  after(15ms);
  ASSERT_EQ(sent_numbers(), Numbers{0});
  now += 40ms;
  deliver(sacked(at(1), {block(9, 10)}));
  ASSERT_EQ(sent_numbers(), (Numbers{1, 2}));
  now += 40ms;
  arrive(sacked(at(2), {block(9, 10)}));
  deliver(sacked(at(3), {block(9, 10)}));
  EXPECT_EQ(sent_numbers(), (Numbers{3, 4, 5, 6}));
}

// The ACK echoes the original's timestamp: it came late, behind others.
TEST_F(TcpUndo, AnOldEchoSaysThatTheOriginalArrived) {
  start();
  fly_with_timestamps(10 * full);
  const uint32_t window = info().congestion_window;
  now += 40ms;
  deliver(sacked(first, {{first + full, first + 8 * full}}));
  ASSERT_EQ(info().retransmits, 1u);
  EXPECT_LT(info().slow_start_threshold, window);
  now += 5ms;
  our_next = first + 8 * full;
  deliver(data());
  EXPECT_EQ(stack->counters().recoveries_undone.value(), 1u);
  EXPECT_GE(info().congestion_window, window);
  EXPECT_GT(info().slow_start_threshold, window);
}

TEST_F(TcpUndo, TheRetransmissionsEchoDoesNot) {
  start();
  fly_with_timestamps(10 * full);
  const uint32_t window = info().congestion_window;
  now += 40ms;
  deliver(sacked(first, {{first + full, first + 10 * full}}));
  ASSERT_EQ(sent.size(), 1u);
  our_clock = sent[0].timestamp;
  now += 40ms;
  our_next = first + 10 * full;
  deliver(data());
  EXPECT_EQ(stack->counters().recoveries_undone.value(), 0u);
  EXPECT_LT(info().congestion_window, window);
}

TEST_F(TcpUndo, WhenEverythingSentAgainHadArrivedTwice) {
  start();
  fly(10);
  const uint32_t window = info().congestion_window;
  now += 40ms;
  deliver(sacked(first, {block(1, 8)}));
  ASSERT_EQ(info().retransmits, 1u);
  our_next = at(10);
  deliver(data());
  EXPECT_LT(info().congestion_window, window);
  deliver(sacked(at(10), {block(0, 1)}));
  EXPECT_EQ(stack->counters().recoveries_undone.value(), 1u);
  EXPECT_GE(info().congestion_window, window);
}

TEST_F(TcpUndo, OfATimeoutThatCameTooSoon) {
  start();
  fly_with_timestamps(1);
  const uint32_t window = info().congestion_window;
  for (int i = 0; i < 1000 && timeouts() == 0; i++) after(1ms);
  ASSERT_EQ(timeouts(), 1u);
  EXPECT_LT(info().congestion_window, window);
  our_next = first + 1;
  deliver(data());
  EXPECT_EQ(stack->counters().recoveries_undone.value(), 1u);
  EXPECT_EQ(info().congestion_window, window);
}

TEST_F(TcpUntracked, RecoversAsWithoutSack) {
  Config config = small();
  config.connections = 1;
  config.flight_records = 0;  // one record
  start(config);
  fly(10);
  now += 40ms;
  deliver(sacked(first, {block(1, 3)}));
  EXPECT_EQ(stack->counters().flights_untracked.value(), 0u) << "the block is not remembered, that is all";
  for (int i = 0; i < 2000 && stack->counters().flights_untracked.value() == 0; i++) {
    after(1ms);
    deliver(sacked(first, {block(1, 3)}));
  }
  EXPECT_GT(stack->counters().flights_untracked.value(), 0u);
  for (int i = 0; i < 200 && info().in_flight > 0; i++) {
    for (const Wire& wire : sent)
      if (wire.sequence == our_next) our_next += static_cast<Sequence>(wire.bytes.size());
    deliver(data());
    if (sent.empty()) after(50ms);
  }
  EXPECT_EQ(info().in_flight, 0u);
  write(std::string(2 * segment, 'y'));
  EXPECT_EQ(stack->counters().flight_records_used.value(), 1u) << "track is kept again";
}

}  // namespace
}  // namespace talaria::tcp
