// Opening: LISTEN, SYN-RECEIVED, SYN-SENT, simultaneous, cookies (RFC 9293 3.10.7.1 to 3.10.7.4, RFC 4987).
#include "tests/unit/tcp/peer.h"

namespace talaria::tcp {
namespace {

class TcpClosed : public StackTest {};
class TcpListen : public StackTest {};
class TcpSynReceived : public StackTest {};
class TcpCookie : public StackTest {};

TEST_F(TcpClosed, SynToAClosedPortIsReset) {
  start();
  Segment segment = syn();
  segment.destination_port = 80;
  deliver(segment);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].flags, flag_rst | flag_ack);
  EXPECT_EQ(sent[0].acknowledgement, peer_start + 1);
  EXPECT_EQ(sent[0].sequence, 0u);
}

TEST_F(TcpClosed, AckIsResetWithItsNumber) {
  start();
  Segment segment = make(flag_ack, 5, 77);
  segment.destination_port = 80;
  deliver(segment);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].flags, flag_rst);
  EXPECT_EQ(sent[0].sequence, 77u);
}

TEST_F(TcpClosed, ResetIsNotAnswered) {
  start();
  Segment segment = make(flag_rst, 5, 77);
  segment.destination_port = 80;
  deliver(segment);
  EXPECT_TRUE(sent.empty());
}

TEST_F(TcpClosed, ResetsAreLimited) {
  Config config = small();
  config.resets_per_second = 3;
  start(config);
  for (int i = 0; i < 5; i++) arrive(make(flag_ack, 5, 77), {}, static_cast<uint16_t>(50000 + i));
  turn();
  EXPECT_EQ(sent.size(), 3u);
  EXPECT_EQ(stack->counters().resets_limited.value(), 2u);
}

TEST_F(TcpListen, AckWithoutSynIsReset) {
  start();
  deliver(make(flag_ack, 5, 77));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].flags, flag_rst);
  EXPECT_EQ(sent[0].sequence, 77u);
}

TEST_F(TcpListen, OptionsOnlyInAnswerToThePeers) {
  start();
  deliver(syn());
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].mss, 1460);
  EXPECT_FALSE(sent[0].has_window_scale || sent[0].has_timestamp || sent[0].sack_permitted);

  peer_sack = peer_timestamps = true;
  peer_scale = 7;
  arrive(syn(), {}, 40001);
  turn();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_TRUE(sent[0].has_window_scale && sent[0].has_timestamp && sent[0].sack_permitted);
  EXPECT_EQ(sent[0].timestamp_echo, peer_clock);
  EXPECT_EQ(sent[0].window, 65535) << "the window of a SYN is not scaled";
}

TEST_F(TcpListen, DataOnTheSynIsNotTaken) {
  start();
  deliver(syn(), "early");
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].acknowledgement, peer_start + 1);
  EXPECT_TRUE(events.empty());
}

TEST_F(TcpListen, EcnSetupSynGetsAPlainAnswer) {
  start();
  Segment segment = syn();
  segment.flags |= flag_ece | flag_cwr;
  deliver(segment);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].flags, flag_syn | flag_ack);
}

TEST_F(TcpListen, NoFreeConnectionMeansNoAnswer) {
  Config config = small();
  config.connections = 1;
  start(config);
  accept();
  arrive(syn(), {}, 40001);
  turn();
  EXPECT_TRUE(sent.empty()) << "neither SYN-ACK nor RST: the peer tries again";
  EXPECT_EQ(stack->counters().syn_dropped_no_connection.value(), 1u);
}

TEST_F(TcpListen, TinyMssIsRaisedAndNoneIs536) {
  start();
  peer_mss = 1;
  accept();
  EXPECT_EQ(info().send_mss, 64);
  peer_mss = 0;
  arrive(syn(), {}, 40001);
  turn();
  Segment last = make(flag_ack, peer_start + 1, sent[0].sequence + 1);
  arrive(last, {}, 40001);
  turn();
  EXPECT_EQ(info().send_mss, 536);
}

TEST_F(TcpSynReceived, RepeatedSynGetsTheSameAnswer) {
  start();
  deliver(syn());
  Sequence first = sent[0].sequence;
  deliver(syn());
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].sequence, first);
  EXPECT_EQ(stack->counters().half_open_entries.value(), 1u);
}

TEST_F(TcpSynReceived, SynAckIsRepeatedThenForgotten) {
  start();
  deliver(syn());
  for (base::Duration wait : {1s, 2s, 4s}) {
    after(wait - 1ms);
    EXPECT_TRUE(sent.empty());
    after(1ms);
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].flags, flag_syn | flag_ack);
  }
  after(8s);
  EXPECT_TRUE(sent.empty());
  EXPECT_EQ(stack->counters().half_open_entries.value(), 0u);
  EXPECT_EQ(stack->counters().half_open_expired.value(), 1u);
}

TEST_F(TcpSynReceived, WrongAckIsResetAndTheEntryStays) {
  start();
  deliver(syn());
  Sequence ours = sent[0].sequence;
  deliver(make(flag_ack, peer_start + 1, ours + 2));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].flags, flag_rst);
  EXPECT_EQ(sent[0].sequence, ours + 2);
  deliver(make(flag_ack, peer_start + 1, ours + 1));
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].accepted);
}

TEST_F(TcpSynReceived, OnlyTheExactResetFreesTheEntry) {
  start();
  deliver(syn());
  deliver(make(flag_rst, peer_start + 2, 0));
  EXPECT_EQ(stack->counters().half_open_entries.value(), 1u);
  deliver(make(flag_rst, peer_start + 1, 0));
  EXPECT_EQ(stack->counters().half_open_entries.value(), 0u);
}

TEST_F(TcpSynReceived, DataWithTheAckIsDelivered) {
  start();
  deliver(syn());
  arrive(make(flag_ack | flag_psh, peer_start + 1, sent[0].sequence + 1), "AMQP");
  std::string text;
  turn([&] { text = read_all(); });
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].accepted && events[0].readable);
  EXPECT_EQ(text, "AMQP");
}

TEST_F(TcpSynReceived, FinWithTheAckIsSeen) {
  start();
  deliver(syn());
  deliver(make(flag_ack | flag_fin, peer_start + 1, sent[0].sequence + 1), "bye");
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].accepted && events[0].readable && events[0].peer_finished);
  EXPECT_EQ(state(), State::close_wait);
}

TEST_F(TcpSynReceived, AckWithoutTimestampIsTolerated) {
  start();
  peer_timestamps = true;
  deliver(syn());
  deliver(make(flag_ack, peer_start + 1, sent[0].sequence + 1));
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].accepted);
}

TEST_F(TcpSynReceived, InitialNumbersDifferByTupleAndGrowWithTime) {
  start();
  deliver(syn());
  Sequence first = sent[0].sequence;
  arrive(syn(), {}, 40001);
  turn();
  EXPECT_GT(std::min(sent[0].sequence - first, first - sent[0].sequence), 1000u);
  deliver(make(flag_rst, peer_start + 1, 0));
  now += 1s;
  deliver(syn());
  EXPECT_EQ(sent[0].sequence - first, 250000u) << "RFC 6528: one each 4 microseconds";
}

TEST_F(TcpCookie, FullTableAnswersWithCookiesThatOpen) {
  start();
  for (uint16_t i = 0; i < 4; i++) arrive(syn(), {}, static_cast<uint16_t>(41000 + i));
  turn();
  EXPECT_EQ(sent.size(), 4u);
  peer_timestamps = peer_sack = true;
  peer_scale = 9;
  peer_mss = 1400;
  deliver(syn());
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(stack->counters().cookies_sent.value(), 1u);
  our_next = sent[0].sequence + 1;
  our_clock = sent[0].timestamp;
  peer_next = peer_start + 1;
  arrive(data(flag_ack | flag_psh), "AMQP");
  std::string text;
  turn([&] { text = read_all(); });
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].accepted);
  EXPECT_EQ(text, "AMQP");
  EXPECT_EQ(info().send_mss, 1400);
  EXPECT_EQ(info().send_window, 65535u << 9) << "the options travelled in the timestamp";
}

TEST_F(TcpCookie, WrongOrLateCookieIsReset) {
  start();
  for (uint16_t i = 0; i < 4; i++) arrive(syn(), {}, static_cast<uint16_t>(41000 + i));
  deliver(syn());
  Sequence cookie = sent.back().sequence;
  deliver(make(flag_ack, peer_start + 1, cookie + 2));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].flags, flag_rst);
  deliver(make(flag_ack, peer_start + 2, cookie + 1));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].flags, flag_rst);
  now += 129s;
  deliver(make(flag_ack, peer_start + 1, cookie + 1));
  EXPECT_EQ(stack->counters().connections_opened_passive.value(), 0u);
}

TEST_F(TcpCookie, NoneIsCheckedWhenNoneIsOut) {
  start();
  deliver(make(flag_ack, peer_start + 1, 1));
  EXPECT_EQ(stack->counters().cookies_rejected.value(), 0u);
}

class TcpActive : public StackTest {
 protected:
  void connect() {
    auto made = stack->connect({peer_address, 6000}, uint16_t{50000}, now);
    ASSERT_TRUE(made);
    id = *made;
    turn();
    ASSERT_EQ(sent.size(), 1u);
    ASSERT_EQ(sent[0].flags, flag_syn);
    our_start = sent[0].sequence;
    our_next = our_start + 1;
    peer_next = peer_start + 1;
  }
  void from_peer(Segment segment, std::string_view payload = {}) {
    segment.destination_port = 50000;
    arrive(segment, payload, 6000);
    turn();
  }
};

TEST_F(TcpActive, ConnectsAndOffersEverything) {
  start();
  connect();
  EXPECT_TRUE(sent[0].has_timestamp && sent[0].sack_permitted && sent[0].has_window_scale);
  Segment answer = syn();
  answer.flags = flag_syn | flag_ack;
  answer.acknowledgement = our_next;
  from_peer(answer);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].connected);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].flags, flag_ack);
  EXPECT_EQ(sent[0].acknowledgement, peer_start + 1);
  EXPECT_FALSE(sent[0].has_timestamp) << "the peer did not want it";
}

TEST_F(TcpActive, RefusedAtOnce) {
  start();
  connect();
  from_peer(make(flag_rst | flag_ack, 0, our_next));
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].reason, CloseReason::refused);
  EXPECT_FALSE(stack->alive(id));
}

TEST_F(TcpActive, ResetWithoutTheRightAckIsIgnored) {
  start();
  connect();
  from_peer(make(flag_rst, 0, 0));
  from_peer(make(flag_rst | flag_ack, 0, our_next + 5));
  EXPECT_TRUE(events.empty());
  EXPECT_EQ(state(), State::syn_sent);
}

TEST_F(TcpActive, SynSentResetsUnacceptableAck) {
  start();
  connect();
  from_peer(make(flag_ack, 0, our_next + 5));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].flags, flag_rst);
  EXPECT_EQ(sent[0].sequence, our_next + 5);
  EXPECT_EQ(state(), State::syn_sent);
}

TEST_F(TcpActive, SynIsRepeatedThenGivenUp) {
  Config config = small();
  config.syn_retransmits_max = 2;
  start(config);
  connect();
  after(1s);
  EXPECT_EQ(sent.size(), 1u);
  after(2s);
  EXPECT_EQ(sent.size(), 1u);
  after(4s);
  EXPECT_TRUE(sent.empty());
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].reason, CloseReason::timed_out);
}

TEST_F(TcpActive, SimultaneousOpen) {
  start();
  connect();
  from_peer(syn());
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].flags, flag_syn | flag_ack);
  EXPECT_EQ(sent[0].sequence, our_start);
  EXPECT_EQ(state(), State::syn_received);
  Segment answer = syn();
  answer.flags = flag_syn | flag_ack;
  answer.acknowledgement = our_next;
  from_peer(answer);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].connected);
  EXPECT_EQ(state(), State::established);
}

TEST_F(TcpActive, SynReceivedTellsWhereItIs) {
  start();
  connect();
  from_peer(syn());
  from_peer(make(flag_ack, peer_start + 200000, our_next), "beyond the window");
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].flags, flag_ack);
  EXPECT_EQ(sent[0].acknowledgement, peer_start + 1);
  EXPECT_EQ(state(), State::syn_received);
}

TEST_F(TcpActive, PortsAreNotReusedTowardsOnePeer) {
  start();
  connect();
  EXPECT_EQ(stack->connect({peer_address, 6000}, uint16_t{50000}, now).error(), ConnectError::port_in_use);
  auto other = stack->connect({peer_address, 6000}, {}, now);
  ASSERT_TRUE(other);
  EXPECT_GE(stack->info(*other, now)->local.port, 49152);
  EXPECT_EQ(stack->connect({our_address, 6000}, {}, now).error(), ConnectError::bad_address);
}

}  // namespace
}  // namespace talaria::tcp
