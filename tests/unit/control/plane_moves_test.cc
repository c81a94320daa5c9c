// Queues move from worker to worker: whose wish is granted, and what waits for it.
#include "tests/unit/control/fake_workers.h"

namespace talaria::control {
namespace {

class PlaneMoves : public PlaneTest {
 protected:
  PlaneMoves() {
    client = open(0);
    declare("q");
  }
  const Queue& declare(const std::string& name, bool exclusive = false) {
    broker::DeclareQueue request;
    request.name = name;
    request.exclusive = exclusive;
    EXPECT_TRUE(std::holds_alternative<broker::QueueDeclared>(ask(client, request)));
    return queue(name);
  }
  const Queue& queue(const std::string& name = "q") { return *Catalog::queue(*plane->catalog().vhost("/"), name); }
  broker::WorkerIndex next_to(const Queue& one) { return static_cast<broker::WorkerIndex>((one.home + 1) % 3); }
  void wish(const Queue& one, broker::WorkerIndex to) {
    workers[one.home]->tell(worker::MoveWished{one.id, to});
    settle();
  }
  // The test says when a move ends.
  void hold_moves() {
    for (auto& worker : workers) worker->outcome = std::nullopt;
  }
  void end_move(broker::MoveOutcome outcome) {
    for (auto& worker : workers) worker->end_move(worker->move, outcome);
    settle();
  }

  broker::SessionAddress client;
};

TEST_F(PlaneMoves, AWishIsGrantedAndTheHomeChanges) {
  const broker::WorkerIndex to = next_to(queue());
  wish(queue(), to);
  EXPECT_EQ(queue().home, to);
  for (auto& worker : workers) EXPECT_EQ(worker->queue("q")->home, to);
  EXPECT_EQ(plane->counts().moves_made, 1u);
  EXPECT_FALSE(plane->moving());
}

TEST_F(PlaneMoves, NotAgainTooSoon) {
  const broker::WorkerIndex from = queue().home;
  wish(queue(), next_to(queue()));
  wish(queue(), from);
  EXPECT_NE(queue().home, from);
  EXPECT_EQ(plane->counts().moves_refused_too_soon, 1u);
  now += options.move_interval;
  wish(queue(), from);
  EXPECT_EQ(queue().home, from);
  EXPECT_EQ(plane->counts().moves_made, 2u);
}

TEST_F(PlaneMoves, OneAtATime) {
  const Queue& other = declare("other");
  const broker::WorkerIndex from = other.home;
  hold_moves();
  wish(queue(), next_to(queue()));
  EXPECT_TRUE(plane->moving());
  wish(other, next_to(other));
  EXPECT_EQ(plane->counts().moves_refused_busy, 1u);
  // Two of three say that it is over.
  const broker::WorkerIndex home = queue().home;
  workers[0]->end_move(workers[0]->move, broker::MoveOutcome::moved);
  workers[1]->end_move(workers[1]->move, broker::MoveOutcome::moved);
  settle();
  EXPECT_TRUE(plane->moving());
  EXPECT_EQ(queue().home, home);
  workers[2]->end_move(workers[2]->move, broker::MoveOutcome::moved);
  settle();
  EXPECT_FALSE(plane->moving());
  EXPECT_NE(queue().home, home);
  wish(other, next_to(other));
  EXPECT_TRUE(plane->moving());
  end_move(broker::MoveOutcome::moved);
  EXPECT_NE(other.home, from);
}

TEST_F(PlaneMoves, EveryOutcomeIsCounted) {
  hold_moves();
  const broker::WorkerIndex home = queue().home;
  for (auto outcome : {broker::MoveOutcome::too_long, broker::MoveOutcome::no_memory}) {
    now += options.move_interval;
    wish(queue(), next_to(queue()));
    end_move(outcome);
    EXPECT_EQ(queue().home, home) << "it stays";
  }
  EXPECT_EQ(plane->counts().moves_refused_too_long, 1u);
  EXPECT_EQ(plane->counts().moves_refused_no_memory, 1u);
  // An exclusive queue goes with its connection, moving or not.
  const Queue& own = declare("own", true);
  now += options.move_interval;
  wish(own, next_to(own));
  EXPECT_TRUE(plane->moving());
  ask(client, broker::CloseConnection{});
  end_move(broker::MoveOutcome::gone);
  EXPECT_EQ(plane->counts().moves_refused_gone, 1u);
  EXPECT_FALSE(plane->moving());
}

TEST_F(PlaneMoves, WishesThatMakeNoSenseDoNothing) {
  const broker::WorkerIndex home = queue().home;
  workers[next_to(queue())]->tell(worker::MoveWished{queue().id, home});
  workers[home]->tell(worker::MoveWished{{queue().id.slot + 7, 1}, next_to(queue())});
  workers[home]->tell(worker::MoveWished{queue().id, 3});
  settle();
  EXPECT_EQ(queue().home, home);
  EXPECT_EQ(plane->counts().strays, 3u);
  EXPECT_FALSE(plane->move_queue(queue().id, home));
  plane->drain();
  EXPECT_FALSE(plane->move_queue(queue().id, next_to(queue())));
}

TEST_F(PlaneMoves, TheOperatorMayWantNone) {
  options.move_queues = false;
  start(memory);
  client = open(0);
  declare("q2");
  const broker::WorkerIndex home = queue("q2").home;
  wish(queue("q2"), next_to(queue("q2")));
  EXPECT_EQ(queue("q2").home, home);
  EXPECT_EQ(plane->counts().moves_refused_off, 1u);
}

TEST_F(PlaneMoves, WhatAsksTheHomeWaitsForIt) {
  hold_moves();
  const broker::WorkerIndex to = next_to(queue());
  wish(queue(), to);
  const Ticket purge = plane->purge_queue("/", "q");
  broker::DeleteQueue request;
  request.name = "q";
  const uint64_t token = send(client, request);
  settle();
  EXPECT_FALSE(plane->take_result(purge));
  EXPECT_FALSE(answer_to(client, token));
  for (auto& worker : workers) EXPECT_TRUE(worker->checks.empty());
  end_move(broker::MoveOutcome::moved);
  EXPECT_TRUE(plane->take_result(purge));
  ASSERT_TRUE(answer_to(client, token));
  EXPECT_TRUE(std::holds_alternative<broker::QueueDeleted>(*answer_to(client, token)));
  EXPECT_EQ(workers[to]->checks.size(), 1u) << "the new home is asked";
}

TEST_F(PlaneMoves, WhatAsksTheHomeOfAQueueThatGoesMeanwhileIsAnswered) {
  const Queue& own = declare("own", true);
  hold_moves();
  wish(own, next_to(own));
  const Ticket purge = plane->purge_queue("/", "own");
  const Ticket removal = plane->delete_queue("/", "own", false, false);
  ask(client, broker::CloseConnection{});
  EXPECT_FALSE(plane->take_result(purge));
  end_move(broker::MoveOutcome::moved);
  EXPECT_TRUE(plane->take_result(purge));
  EXPECT_TRUE(plane->take_result(removal));
}

}  // namespace
}  // namespace talaria::control
