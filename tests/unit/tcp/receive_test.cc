// Segments in on a synchronized connection: order, overlap, windows, acknowledgements due, resets and challenges
// (RFC 9293 3.10.7.4, RFC 5961, RFC 7323, RFC 2018).
#include "tests/unit/tcp/peer.h"

namespace talaria::tcp {
namespace {

class TcpReceive : public StackTest {};
class TcpWindow : public StackTest {};
class TcpReset : public StackTest {};

TEST_F(TcpReceive, InOrderBytesAreReadFromThePacket) {
  start();
  accept();
  say("one");
  say("two");
  std::string first, all;
  turn([&] {
    first = base::as_text(stack->input(id));
    all = read_all();
  });
  ASSERT_EQ(events.size(), 1u) << "readable once a turn";
  EXPECT_TRUE(events[0].readable);
  EXPECT_EQ(first, "one");
  EXPECT_EQ(all, "onetwo");
  EXPECT_EQ(stack->counters().receive_chunks_used.value(), 0u);
  EXPECT_EQ(stack->counters().predicted.value(), 3u) << "the handshake's ACK and two with data";
}

TEST_F(TcpReceive, UnreadBytesStayWithoutFurtherEvents) {
  start();
  accept();
  say("later");
  turn();
  EXPECT_EQ(stack->counters().receive_chunks_used.value(), 1u);
  turn();
  EXPECT_TRUE(events.empty());
  EXPECT_EQ(stack->unread(id), 5u);
  say(" and more");
  std::string all;
  turn([&] { all = read_all(); });
  EXPECT_EQ(all, "later and more");
  EXPECT_EQ(stack->counters().receive_chunks_used.value(), 0u);
}

TEST_F(TcpReceive, PartOfASegmentMayBeConsumed) {
  start();
  accept();
  say("headbody");
  turn([&] { stack->consume(id, 4); });
  EXPECT_EQ(stack->unread(id), 4u);
  EXPECT_EQ(read_all(), "body");
}

TEST_F(TcpReceive, AckIsDelayedThenSent) {
  start();
  accept();
  say("x");
  turn([&] { read_all(); });
  EXPECT_TRUE(sent.empty());
  after(39ms);
  EXPECT_TRUE(sent.empty());
  after(1ms);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].acknowledgement, peer_next);
}

TEST_F(TcpReceive, AckRidesOnData) {
  start();
  accept();
  say("question");
  turn([&] {
    read_all();
    stack->send(id, base::as_bytes("answer"));
  });
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].text(), "answer");
  EXPECT_EQ(sent[0].acknowledgement, peer_next);
  after(50ms);
  EXPECT_TRUE(sent.empty());
}

TEST_F(TcpReceive, TwoFullSegmentsAreAcknowledgedAtOnceAndABurstOnce) {
  start();
  accept();
  std::string full(1460, 'x');
  for (int i = 0; i < 6; i++) say(full);
  turn([&] { read_all(); });
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].acknowledgement, peer_next);
}

TEST_F(TcpReceive, GapIsToldAtOnceNewestBlockFirst) {
  start();
  peer_sack = true;
  accept();
  deliver(make(flag_ack, peer_next + 10, our_next), "later");
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].acknowledgement, peer_next);
  ASSERT_EQ(sent[0].sack_count, 1);
  EXPECT_EQ(sent[0].sacks[0], (Range{peer_next + 10, peer_next + 15}));
  EXPECT_TRUE(events.empty());
  deliver(make(flag_ack, peer_next + 30, our_next), "latest");
  ASSERT_EQ(sent[0].sack_count, 2);
  EXPECT_EQ(sent[0].sacks[0], (Range{peer_next + 30, peer_next + 36}));
  EXPECT_EQ(sent[0].sacks[1], (Range{peer_next + 10, peer_next + 15}));
}

TEST_F(TcpReceive, WithoutSackEachGapSegmentIsADuplicateAck) {
  start();
  accept();
  for (Sequence at : {10u, 20u, 30u}) arrive(make(flag_ack, peer_next + at, our_next), "0123456789");
  turn();
  ASSERT_EQ(sent.size(), 3u) << "the peer counts them";
  for (const Wire& wire : sent) EXPECT_EQ(wire.acknowledgement, peer_next);
}

TEST_F(TcpReceive, FilledGapIsAcknowledgedAtOnce) {
  start();
  peer_sack = true;
  accept();
  deliver(make(flag_ack, peer_next + 4, our_next), "4567");
  arrive(make(flag_ack, peer_next, our_next), "0123");
  std::string all;
  turn([&] { all = read_all(); });
  EXPECT_EQ(all, "01234567");
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].acknowledgement, peer_next + 8);
  EXPECT_EQ(sent[0].sack_count, 0);
}

// Every pair of overlapping segments of a short text, in either order: the bytes are exact.
TEST_F(TcpReceive, OverlapsAreTrimmed) {
  start();
  accept();
  const std::string text = "abcdefgh";
  for (size_t from = 0; from < text.size(); from++) {
    for (size_t size = 1; from + size <= text.size(); size++) {
      arrive(make(flag_ack, peer_next + static_cast<Sequence>(from), our_next), text.substr(from, size));
      arrive(make(flag_ack, peer_next + 2, our_next), text.substr(2, 4));
      arrive(make(flag_ack, peer_next, our_next), text);
      std::string all;
      turn([&] { all = read_all(); });
      ASSERT_EQ(all, text) << from << " " << size;
      peer_next += static_cast<Sequence>(text.size());
    }
  }
}

TEST_F(TcpReceive, DuplicateIsAcknowledgedWithDsack) {
  start();
  peer_sack = true;
  accept();
  say("hello");
  turn([&] { read_all(); });
  after(40ms);
  deliver(make(flag_ack, peer_next - 5, our_next), "hello");
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].acknowledgement, peer_next);
  ASSERT_EQ(sent[0].sack_count, 1);
  EXPECT_EQ(sent[0].sacks[0], (Range{peer_next - 5, peer_next}));
  EXPECT_TRUE(events.empty());
}

TEST_F(TcpReceive, FinOutOfOrderWaitsForTheGap) {
  start();
  accept();
  deliver(make(flag_ack | flag_fin, peer_next + 4, our_next), "4567");
  EXPECT_TRUE(events.empty());
  EXPECT_EQ(state(), State::established);
  arrive(make(flag_ack, peer_next, our_next), "0123");
  std::string all;
  turn([&] { all = read_all(); });
  EXPECT_EQ(all, "01234567");
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].readable && events[0].peer_finished);
  EXPECT_EQ(sent.back().acknowledgement, peer_next + 9);
}

TEST_F(TcpReceive, EverySecondByteIsBounded) {
  start();
  accept();
  for (Sequence at = 1; at < 4000; at += 2) deliver(make(flag_ack, peer_next + at, our_next), "x");
  EXPECT_LE(stack->counters().receive_chunks_used.value(), 2u);
  EXPECT_GT(stack->counters().drop_reassembly_full.value(), 1900u);
}

TEST_F(TcpReceive, SegmentWithoutFlagsIsDropped) {
  start();
  accept();
  deliver(make(0, peer_next, our_next), "x");
  EXPECT_TRUE(events.empty());
  EXPECT_EQ(stack->counters().drop_no_ack_flag.value(), 1u);
}

TEST_F(TcpReceive, BadChecksumAndBadHeaderAreDropped) {
  start();
  accept();
  say("x");
  device.arriving.back().back() ^= 1;
  turn();
  EXPECT_TRUE(events.empty());
  EXPECT_EQ(stack->counters().drop_bad_checksum.value(), 1u);
  peer_next--;
  say("x");
  device.arriving.back()[34 + 12] = 0x40;
  turn();
  EXPECT_EQ(stack->counters().drop_bad_header.value(), 1u);
}

TEST_F(TcpReceive, OldTimestampIsAnsweredAndDropped) {
  start();
  peer_timestamps = true;
  accept();
  peer_clock += 10;
  say("new");
  turn([&] { read_all(); });
  after(40ms);
  peer_clock -= 5;
  say("old");
  turn();
  EXPECT_TRUE(events.empty());
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].acknowledgement, peer_next - 3);
  EXPECT_EQ(stack->counters().drop_old_timestamp.value(), 1u);
}

TEST_F(TcpReceive, OldTimestampsCountAgainAfter24Days) {
  start();
  peer_timestamps = true;
  accept();
  now += 25 * 24h;
  peer_clock -= 5;
  say("x");
  turn();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].readable);
}

TEST_F(TcpReceive, EchoIsOfTheSegmentAtTheLastAck) {
  start();
  peer_timestamps = true;
  accept();
  Sequence first = peer_next;
  uint32_t clock = ++peer_clock;
  arrive(data(), "aa");  // delayed ACK: the echo is of the first of the two
  peer_next += 2;
  turn();
  peer_clock += 7;
  arrive(data(), "bb");
  peer_next += 2;
  turn();
  after(40ms);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].acknowledgement, first + 4);
  EXPECT_EQ(sent[0].timestamp_echo, clock);
}

// ---- the window we offer
// -----------------------------------------------------------------------------------------------

TEST_F(TcpWindow, ClosesAsBytesStayUnreadAndNeverMovesBack) {
  Config config = small();
  config.receive_window = 8192;
  start(config);
  accept();
  std::string full(1024, 'x');
  Sequence edge = 0;
  for (int i = 0; i < 8; i++) {
    say(full);
    turn();
    after(40ms);
    if (sent.empty()) continue;
    Sequence announced = sent[0].acknowledgement + sent[0].window;
    EXPECT_TRUE(edge == 0 || at_or_after(announced, edge));
    edge = announced;
  }
  EXPECT_EQ(sent[0].window, 0);
  EXPECT_EQ(stack->unread(id), 8192u);
  EXPECT_EQ(info().last_stall, Stall::own_window);

  // Data into the shut window is dropped, its acknowledgement counts, and it is told where we are.
  write("out");
  Sequence before = our_next;
  our_next += 3;
  arrive(data(), "y");
  turn();
  EXPECT_EQ(info().queued, 0u) << "acknowledged " << before;
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].window, 0);
  EXPECT_EQ(sent[0].acknowledgement, peer_next);
}

TEST_F(TcpWindow, ReopensByASegmentNotByAByte) {
  Config config = small();
  config.receive_window = 8192;
  start(config);
  accept();
  for (int i = 0; i < 8; i++) say(std::string(1024, 'x'));
  turn();
  EXPECT_EQ(sent.back().window, 0);
  turn([&] { stack->consume(id, 1000); });
  EXPECT_TRUE(sent.empty());
  turn([&] { stack->consume(id, 460); });
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].window, 1460);
  turn([&] { read_all(); });
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].window, 8192);
}

TEST_F(TcpWindow, ProbesAreAnswered) {
  Config config = small();
  config.receive_window = 2048;
  start(config);
  accept();
  say(std::string(1024, 'x'));
  say(std::string(1024, 'x'));
  turn();
  deliver(make(flag_ack, peer_next - 1, our_next));
  ASSERT_EQ(sent.size(), 1u) << "of one before the next, empty";
  EXPECT_EQ(sent[0].window, 0);
  deliver(make(flag_ack, peer_next, our_next), "p");
  ASSERT_EQ(sent.size(), 1u) << "of one byte";
  EXPECT_EQ(sent[0].acknowledgement, peer_next);
}

TEST_F(TcpWindow, ScaledWindowIsScaledAndTheSynsIsNot) {
  start();
  peer_scale = 5;
  accept();
  EXPECT_EQ(info().send_window, 65535u << 5);
  say("x");
  turn([&] { read_all(); });
  ASSERT_EQ(sent.size(), 1u) << "a SYN cannot tell more than 65535: the rest is told with the first bytes";
  EXPECT_EQ(sent[0].window, (256 * 1024) >> 3);
}

TEST_F(TcpWindow, ShiftAbove14Is14) {
  start();
  peer_scale = 15;
  accept();
  EXPECT_EQ(info().send_window, 65535u << 14);
}

TEST_F(TcpWindow, MemoryShortIsLossNotDisorder) {
  Config config = small();
  config.receive_chunks = 2;
  start(config);
  accept();
  Sequence start_of_data = peer_next;
  for (int i = 0; i < 12; i++) say(std::string(1000, static_cast<char>('a' + i)));
  turn();  // nothing is read: 12000 bytes do not fit two chunks
  size_t kept = stack->unread(id);
  EXPECT_LT(kept, 12000u);
  EXPECT_GT(kept, 0u);
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent.back().acknowledgement, start_of_data + kept) << "what is not kept is not acknowledged";
  std::string all = read_all();
  EXPECT_EQ(all.size(), kept);
  for (size_t i = 0; i < all.size(); i++) ASSERT_EQ(all[i], static_cast<char>('a' + i / 1000));
  EXPECT_GT(stack->counters().drop_receive_memory.value(), 0u);
}

// ---- resets and other attacks
// ------------------------------------------------------------------------------------------

TEST_F(TcpReset, ExactNumberResets) {
  start();
  accept();
  deliver(make(flag_rst, peer_next, 0));
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].closed);
  EXPECT_EQ(events[0].reason, CloseReason::reset_by_peer);
  EXPECT_TRUE(sent.empty());
  EXPECT_FALSE(stack->alive(id));
}

TEST_F(TcpReset, InWindowIsChallengedOutsideIsSilence) {
  start();
  accept();
  deliver(make(flag_rst, peer_next + 1, 0));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].flags, flag_ack);
  EXPECT_EQ(sent[0].acknowledgement, peer_next);
  deliver(make(flag_rst, peer_next - 1, 0));
  EXPECT_TRUE(sent.empty());
  deliver(make(flag_rst, peer_next + 300000, 0));
  EXPECT_TRUE(sent.empty());
  EXPECT_EQ(state(), State::established);
}

TEST_F(TcpReset, SynIsChallenged) {
  start();
  accept();
  deliver(make(flag_syn, peer_next, 0));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].flags, flag_ack);
  EXPECT_EQ(state(), State::established);
}

TEST_F(TcpReset, AckOfTheFutureAndOfTheFarPastAreChallenged) {
  start();
  accept();
  deliver(make(flag_ack, peer_next, our_next + 1), "x");
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_TRUE(events.empty()) << "its data is not taken";
  deliver(make(flag_ack, peer_next, our_next - 70000), "x");
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_TRUE(events.empty());
  EXPECT_EQ(stack->counters().drop_bad_ack.value(), 2u);
}

TEST_F(TcpReset, ChallengesAreLimitedPerConnectionAndInAll) {
  Config config = small();
  config.challenge_acks_per_second = 8;
  start(config);
  accept();
  for (int i = 0; i < 50; i++) deliver(make(flag_rst, peer_next + 1, 0));
  uint64_t first = stack->counters().challenge_acks_sent.value();
  EXPECT_GE(first, 4u);
  EXPECT_LE(first, 8u);
  now += 1s;
  deliver(make(flag_rst, peer_next + 1, 0));
  EXPECT_EQ(sent.size(), 1u);
}

TEST_F(TcpReset, TwoConfusedPeersDoNotTalkForEver) {
  start();
  accept();
  size_t answers = 0;
  for (int i = 0; i < 100; i++) {
    deliver(make(flag_ack, peer_next + 500000, our_next));
    answers += sent.size();
  }
  EXPECT_LE(answers, 10u);
}

TEST_F(TcpReset, RetransmittedDataIsAlwaysAnswered) {
  start();
  accept();
  say("hello");
  turn([&] { read_all(); });
  after(40ms);
  for (int i = 0; i < 50; i++) {
    deliver(make(flag_ack, peer_next - 5, our_next), "hello");
    ASSERT_EQ(sent.size(), 1u) << i;
  }
}

}  // namespace
}  // namespace talaria::tcp
