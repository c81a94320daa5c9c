// Closing: every order, TIME-WAIT, aborts, keepalive and the timers of an orphan (RFC 9293 3.6, RFC 1337, RFC 6191).
#include "tests/unit/tcp/peer.h"

namespace talaria::tcp {
namespace {

class TcpClose : public StackTest {
 protected:
  void close() {
    turn([&] { stack->close(id); });
  }
  void expect_closed(CloseReason reason) {
    ASSERT_EQ(events.size(), 1u);
    EXPECT_TRUE(events[0].closed);
    EXPECT_EQ(events[0].reason, reason);
    EXPECT_FALSE(stack->alive(id));
    EXPECT_EQ(stack->connection_count(), 0u);
  }
};
class TcpTimeWait : public TcpClose {
 protected:
  // We close first: TIME-WAIT is ours.
  void reach() {
    accept();
    close();
    our_next++;
    deliver(data(flag_ack | flag_fin));
    peer_next++;
    expect_closed(CloseReason::finished);
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].acknowledgement, peer_next);
  }
};
class TcpKeepalive : public TcpClose {};

TEST_F(TcpClose, PeerFirst) {
  start();
  accept();
  deliver(data(flag_ack | flag_fin));
  peer_next++;
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].peer_finished);
  EXPECT_EQ(state(), State::close_wait);
  write("last words");
  ASSERT_EQ(sent.size(), 1u);
  our_next += 10;
  close();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_TRUE(sent[0].has(flag_fin));
  EXPECT_EQ(state(), State::last_ack);
  our_next++;
  deliver(data());
  expect_closed(CloseReason::finished);
  EXPECT_EQ(stack->counters().time_wait_entries.value(), 0u) << "TIME-WAIT is the peer's";
}

TEST_F(TcpClose, WeFirstThenFinWait2) {
  start();
  accept();
  close();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_TRUE(sent[0].has(flag_fin));
  EXPECT_EQ(state(), State::fin_wait_1);
  our_next++;
  deliver(data());
  EXPECT_EQ(state(), State::fin_wait_2);
  say("still talking");
  std::string all;
  turn([&] { all = read_all(); });
  EXPECT_EQ(all, "still talking");
  deliver(data(flag_ack | flag_fin));
  expect_closed(CloseReason::finished);
  EXPECT_EQ(stack->counters().time_wait_entries.value(), 1u);
}

TEST_F(TcpClose, BothAtOnce) {
  start();
  accept();
  close();
  deliver(data(flag_ack | flag_fin));  // does not acknowledge our FIN
  peer_next++;
  EXPECT_EQ(state(), State::closing);
  our_next++;
  deliver(data());
  expect_closed(CloseReason::finished);
  EXPECT_EQ(stack->counters().time_wait_entries.value(), 1u);
}

TEST_F(TcpClose, FinStandsBehindTheData) {
  start();
  accept();
  peer_window = 2000;
  deliver(data());
  turn([&] {
    stack->send(id, base::as_bytes(std::string(3000, 'x')));
    stack->close(id);
  });
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_FALSE(sent[0].has(flag_fin));
  our_next += 1460;
  deliver(data());
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_FALSE(sent[0].has(flag_fin));
  EXPECT_EQ(sent[1].bytes.size(), 80u);
  EXPECT_TRUE(sent[1].has(flag_fin)) << "on the last data";
}

TEST_F(TcpClose, LostFinIsSentAgain) {
  start();
  accept();
  close();
  Sequence fin = sent[0].sequence;
  after(200ms);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_TRUE(sent[0].has(flag_fin));
  EXPECT_EQ(sent[0].sequence, fin);
  deliver(data(flag_ack | flag_fin));
  peer_next++;
  after(400ms);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_TRUE(sent[0].has(flag_fin)) << "in CLOSING too";
}

TEST_F(TcpClose, FinWithDataOfTheSameTurnIsRead) {
  start();
  accept();
  close();
  our_next++;
  arrive(data(flag_ack | flag_fin), "end");
  std::string all;
  turn([&] { all = read_all(); });
  ASSERT_EQ(events.size(), 1u);
  EXPECT_TRUE(events[0].readable && events[0].peer_finished && events[0].closed);
  EXPECT_EQ(all, "end");
}

TEST_F(TcpClose, NoWritingBehindIt) {
  start();
  accept();
  close();
  EXPECT_TRUE(stack->reserve(id, 1).empty());
  EXPECT_FALSE(stack->send(id, base::as_bytes("x")));
  EXPECT_EQ(stack->send_room(id), 0u);
}

TEST_F(TcpClose, WithUnreadBytesItIsAReset) {
  start();
  accept();
  say("never read");
  turn();
  turn([&] { stack->close(id); });
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_TRUE(sent[0].has(flag_rst));
  turn();
  expect_closed(CloseReason::aborted);
}

TEST_F(TcpClose, AbortResetsAndTellsOnce) {
  start();
  accept();
  turn([&] {
    stack->send(id, base::as_bytes("gone"));
    stack->abort(id);
    stack->abort(id);
  });
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_TRUE(sent[0].has(flag_rst));
  EXPECT_EQ(sent[0].sequence, our_next);
  turn();
  expect_closed(CloseReason::aborted);
  turn();
  EXPECT_TRUE(events.empty());
}

TEST_F(TcpClose, AStaleIdDoesNothing) {
  start();
  accept();
  ConnectionId stale = id;
  deliver(make(flag_rst, peer_next, 0));
  peer_start += 100000;
  accept();
  EXPECT_EQ(id.slot, stale.slot);
  EXPECT_NE(id, stale);
  stack->abort(stale);
  stack->close(stale);
  stack->consume(stale, 5);
  EXPECT_TRUE(stack->reserve(stale, 5).empty());
  EXPECT_TRUE(stack->input(stale).empty());
  EXPECT_FALSE(stack->info(stale, now));
  EXPECT_EQ(state(), State::established);
}

TEST_F(TcpClose, FinWait2IsNotForEver) {
  start();
  accept();
  close();
  our_next++;
  deliver(data());
  after(59s);
  EXPECT_TRUE(stack->alive(id));
  after(1s);
  expect_closed(CloseReason::linger_timeout);
}

TEST_F(TcpClose, PeerThatTakesNothingIsLeft) {
  start();
  accept();
  peer_window = 0;
  deliver(data());
  turn([&] {
    stack->send(id, base::as_bytes("x"));
    stack->close(id);
  });
  base::Time start = now;
  while (stack->alive(id) && now - start < 10min) {
    after(1s);
    if (stack->alive(id) && !sent.empty()) deliver(data());  // alive, and shut
  }
  EXPECT_EQ(now - start, 120s);
}

TEST_F(TcpTimeWait, FinAgainIsAcknowledgedAndItsTimeBeginsAgain) {
  start();
  reach();
  after(59s);
  deliver(make(flag_ack | flag_fin, peer_next - 1, our_next));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].acknowledgement, peer_next);
  after(59s);
  EXPECT_EQ(stack->counters().time_wait_entries.value(), 1u);
  after(1s);
  EXPECT_EQ(stack->counters().time_wait_entries.value(), 0u);
}

TEST_F(TcpTimeWait, ResetDoesNotEndIt) {
  start();
  reach();
  deliver(make(flag_rst, peer_next, our_next));
  EXPECT_EQ(stack->counters().time_wait_entries.value(), 1u);
}

TEST_F(TcpTimeWait, NewerSynOpensAnOlderOneIsTold) {
  start();
  reach();
  Segment old = syn();
  old.sequence = peer_next - 1000;
  deliver(old);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].flags, flag_ack);
  Segment fresh = syn();
  fresh.sequence = peer_next + 1000;
  deliver(fresh);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].flags, flag_syn | flag_ack);
  EXPECT_EQ(stack->counters().time_wait_reused.value(), 1u);
}

TEST_F(TcpTimeWait, FullTableForgetsTheOldest) {
  Config config = small();
  config.time_wait = 1;
  start(config);
  reach();
  peer_start += 1000000;
  our_next = 0;
  Segment fresh = syn();
  arrive(fresh, {}, 40001);
  turn();
  Sequence ours = sent[0].sequence + 1;
  arrive(make(flag_ack, peer_start + 1, ours), {}, 40001);
  turn();
  turn([&] { stack->close(id); });
  arrive(make(flag_ack | flag_fin, peer_start + 1, ours + 1), {}, 40001);
  turn();
  EXPECT_EQ(stack->counters().time_wait_entries.value(), 1u);
  EXPECT_EQ(stack->counters().time_wait_recycled.value(), 1u);
}

TEST_F(TcpKeepalive, AsksWithAnOldNumberAndGivesUp) {
  Config config = small();
  config.keepalive_idle = 10s;
  config.keepalive_interval = 2s;
  config.keepalive_probes = 3;
  start(config);
  accept();
  for (int i = 0; i < 3; i++) {
    after(i == 0 ? 10s : 2s);
    ASSERT_EQ(sent.size(), 1u) << i;
    EXPECT_EQ(sent[0].sequence, our_next - 1);
    EXPECT_TRUE(sent[0].bytes.empty());
  }
  after(2s);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_TRUE(sent[0].has(flag_rst));
  expect_closed(CloseReason::keepalive_timeout);
}

TEST_F(TcpKeepalive, AnAnswerBeginsTheWaitAgain) {
  Config config = small();
  config.keepalive_idle = 10s;
  start(config);
  accept();
  after(10s);
  EXPECT_EQ(sent.size(), 1u);
  deliver(data());
  after(9s);
  EXPECT_TRUE(sent.empty());
  after(1s);
  EXPECT_EQ(sent.size(), 1u);
  EXPECT_EQ(state(), State::established);
}

TEST_F(TcpKeepalive, ThePeersIsAnswered) {
  start();
  accept();
  for (int i = 0; i < 20; i++) {
    deliver(make(flag_ack, peer_next - 1, our_next));
    ASSERT_EQ(sent.size(), 1u) << i;
    EXPECT_EQ(sent[0].acknowledgement, peer_next);
  }
}

}  // namespace
}  // namespace talaria::tcp
