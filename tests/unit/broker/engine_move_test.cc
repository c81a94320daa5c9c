// Queues move from home to home.
#include "tests/unit/broker/engine_move.h"

#include <map>
#include <random>

namespace talaria::broker {
namespace {

TEST_F(EngineMove, WithEverythingItHolds) {
  for (int i = 0; i < 12; i++) publish(static_cast<WorkerIndex>(i % 3), std::to_string(i));
  pass_all();
  subscribe(1, 1, 3);
  subscribe(2, 2, 2);
  pass_all();
  deliver(0);
  EXPECT_EQ(read(1).size() + read(2).size(), 5u);
  engine(0).get({q, channel(1, 0), false});
  const auto got = node(0).take_event<Got>();
  ASSERT_TRUE(got && got->message);
  // Two come back, and the subscriptions take nothing new.
  engine(1).pause({q, consumer(1, 1), true});
  engine(2).pause({q, consumer(2, 2), true});
  pass_all();
  const std::string first = body_of(held[0].second.message), second = body_of(held[4].second.message);
  settle(first, Outcome::requeued);
  settle(second, Outcome::requeued);
  pass_all();
  EXPECT_EQ(counters().ready.value(), 8u);
  EXPECT_EQ(counters().unacknowledged.value(), 4u);

  apply(move(0, 1));
  EXPECT_FALSE(has_room(0) || has_room(1) || has_room(2));
  pass_all();
  EXPECT_EQ(outcome(), MoveOutcome::moved);
  EXPECT_TRUE(is_home(1));
  EXPECT_FALSE(is_home(0));
  EXPECT_TRUE(has_room(0) && has_room(1) && has_room(2));
  EXPECT_EQ(node(0).engine->counters().queues_left.value(), 1u);
  EXPECT_EQ(node(1).engine->counters().queues_arrived.value(), 1u);
  for (auto& one : nodes) one->engine->check_invariants();
  EXPECT_EQ(counters().ready.value(), 8u);
  EXPECT_EQ(counters().unacknowledged.value(), 4u);
  EXPECT_EQ(counters().consumers.value(), 2u);
  EXPECT_EQ(counters().enqueued.value(), 12u);

  // What clients hold is known by the names they have.
  for (auto [at, delivery] : std::exchange(held, {})) {
    engine(at).settle({delivery.queue, delivery.entry, Outcome::acknowledged});
    node(at).pool.release(delivery.message);
  }
  engine(0).settle({q, got->entry, Outcome::requeued});
  node(0).pool.release(got->message);
  pass_all();
  EXPECT_EQ(counters().unacknowledged.value(), 0u);
  EXPECT_EQ(counters().ready.value(), 9u);
  EXPECT_EQ(counters().acknowledged.value(), 3u);

  // The rest comes in its order: what had been delivered first, and marked so.
  engine(2).unsubscribe({q, consumer(2, 2)});
  engine(1).pause({q, consumer(1, 1), false});
  engine(1).credit({q, consumer(1, 1), 0});
  pass_all();
  deliver(1);
  const auto deliveries = node(1).outbox.deliveries;
  ASSERT_EQ(deliveries.size(), 9u);
  int before = -1;
  for (size_t i = 0; i < deliveries.size(); i++) {
    const int number = std::stoi(body_of(deliveries[i].message));
    EXPECT_LT(number % 3 == 0 ? 0 : before, 12);
    EXPECT_EQ(deliveries[i].redelivered, i < 3) << number;
    EXPECT_FALSE(deliveries[i].remote) << "the consumer is where the queue is";
    before = number;
  }
  read(1);
}

TEST_F(EngineMove, WhatIsUnderWayTakesEffectBeforeWhatComesAfter) {
  publish(2, "1");
  publish(2, "2");
  const TopologyChange change = move(0, 1);
  node(0).apply(change);
  node(1).apply(change);
  pass_operations(1, 0);
  // Worker 2 has heard of nothing.
  publish(2, "3");
  node(2).apply(change);
  EXPECT_FALSE(has_room(2));
  EXPECT_TRUE(node(0).outbox.events_to[1].empty()) << "the queue waits for what worker 2 has sent";
  pass_operations(2, 0);
  EXPECT_EQ(counters().enqueued.value(), 3u);
  pass_all();
  EXPECT_EQ(outcome(), MoveOutcome::moved);
  publish(2, "4");
  publish(1, "5");
  pass_all();
  subscribe(2, 1);
  pass_all();
  deliver(1);
  EXPECT_EQ(read(2), (Bodies{"1", "2", "3", "5", "4"}));
}

TEST_F(EngineMove, WhatSessionsAskMeanwhileTakesEffectAfterwardsInOrder) {
  for (int i = 0; i < 6; i++) publish(0, std::to_string(i));
  subscribe(2, 1, 2);
  pass_all();
  deliver(0);
  EXPECT_EQ(read(2), (Bodies{"0", "1"}));
  apply(move(0, 1));
  // On the worker it leaves, the one it goes to, and a third.
  engine(0).get({q, channel(1, 0), true});
  settle("1", Outcome::requeued);
  settle("0", Outcome::acknowledged);
  engine(2).credit({q, consumer(1, 2), 3});
  engine(1).count({q, channel(1, 1)});
  engine(2).unsubscribe({q, consumer(1, 2)});
  EXPECT_TRUE(node(0).outbox.events.empty());
  pass_all();
  EXPECT_EQ(outcome(), MoveOutcome::moved);
  const auto got = node(0).take_event<Got>();
  ASSERT_TRUE(got && got->message);
  node(0).pool.release(got->message);
  EXPECT_EQ(node(1).take_event<Counted>()->consumers, 1u);
  EXPECT_TRUE(node(2).take_event<Unsubscribed>());
  EXPECT_EQ(counters().unacknowledged.value(), 0u);
  EXPECT_EQ(counters().acknowledged.value(), 1u);
  // Requeued was "1"; the get came before or after that.
  EXPECT_EQ(counters().ready.value(), 4u);
  engine(1).purge({q, channel(1, 1)});
  EXPECT_EQ(node(1).take_event<Purged>()->count, 4u);
}

TEST_F(EngineMove, TheNewHomeWaitsForWhatTheOldOneHasSaid) {
  subscribe(2, 1, 1);
  pass_all();
  publish(0, "1", 7);
  publish(0, "2");
  publish(2, "3", 8);
  pass_operations(2, 0);
  node(0).engine->dispatch({}, 100);
  // "1" lies in the mailbox to worker 2, and worker 2 takes nothing for a while.
  apply(move(0, 1));
  for (int i = 0; i < 20; i++) {
    for (WorkerIndex from = 0; from < workers; from++)
      for (WorkerIndex to = 0; to < workers; to++)
        if (from != to) pass_operations(from, to);
    pass_events(0, 1);
    pass_own(0);
    node(0).engine->dispatch({}, 100);
    node(1).engine->dispatch({}, 100);
  }
  EXPECT_FALSE(is_home(0));
  EXPECT_FALSE(is_home(1)) << "the old home's events are still under way";
  EXPECT_TRUE(node(1).outbox.events_to[2].empty());
  pass_events(0, 2);
  EXPECT_EQ(read(2), (Bodies{"1"}));
  EXPECT_EQ(node(2).take_event<Stored>()->sequence, 8u);
  pass_all();
  EXPECT_TRUE(is_home(1));
  settle("1", Outcome::acknowledged);
  pass_all();
  deliver(1);
  EXPECT_EQ(read(2), (Bodies{"2"}));
}

// Deliveries under way to a third worker's session count wherever the queue is; to and from a session at home they do
// not.
TEST_F(EngineMove, TheHandoverWindowHoldsOnTheWay) {
  for (const auto& [session, limit] : std::map<WorkerIndex, size_t>{{0, 20}, {1, 20}, {2, 10}}) {
    SCOPED_TRACE(session);
    subscribe(session, 1);
    pass_all();
    for (int i = 0; i < 40; i++) publish(0, std::to_string(i));
    engine(0).dispatch({}, session == 0 ? 10 : 100);
    EXPECT_EQ(counters().unacknowledged.value(), 10u);
    apply(move(0, 1));
    pass_all();
    EXPECT_EQ(outcome(), MoveOutcome::moved);
    engine(1).dispatch({}, session == 1 ? 10 : 100);
    EXPECT_EQ(counters().unacknowledged.value(), limit);
    pass_all();
    read(session);
    pass_all();
    engine(1).dispatch({}, session == 1 ? 10 : 100);
    EXPECT_EQ(counters().unacknowledged.value(), limit + 10);
    pass_all();
    read(session);
    engine(session).unsubscribe({q, consumer(1, session)});
    for (auto& [at, delivery] : std::exchange(held, {})) {
      engine(at).settle({delivery.queue, delivery.entry, Outcome::acknowledged});
      node(at).pool.release(delivery.message);
    }
    pass_all();
    EXPECT_EQ(counters().unacknowledged.value(), 0u);
    engine(1).purge_now(q);
    apply(move(1, 0));
    pass_all();
    EXPECT_EQ(outcome(), MoveOutcome::moved);
    EXPECT_TRUE(is_home(0));
  }
}

TEST_F(EngineMove, SubscriptionsKeepTheirKind) {
  subscribe(2, 1, 0, false, -5);
  subscribe(1, 2, 0, false, 5);
  pass_all();
  apply(move(0, 1));
  pass_all();
  EXPECT_EQ(outcome(), MoveOutcome::moved);
  publish(1, "x");
  deliver(1);
  EXPECT_EQ(read(1), (Bodies{"x"})) << "the higher priority first";
  engine(1).unsubscribe({q, consumer(2, 1)});
  engine(2).unsubscribe({q, consumer(1, 2)});
  pass_all();
  settle("x", Outcome::acknowledged);

  subscribe(2, 3, 0, true);
  pass_all();
  apply(move(1, 2));
  pass_all();
  EXPECT_EQ(outcome(), MoveOutcome::moved);
  node(0).outbox.events.clear();
  subscribe(0, 4);
  pass_all();
  EXPECT_EQ(node(0).take_event<Subscribed>()->result, SubscribeResult::exclusive_conflict);
}

// An entry may go on and on, and its session calls it as it was first told.
TEST_F(EngineMove, NamesHoldFromHomeToHome) {
  subscribe(2, 1);
  pass_all();
  for (int i = 0; i < 8; i++) publish(0, std::to_string(i));
  deliver(0);
  EXPECT_EQ(read(2).size(), 8u);
  WorkerIndex home = 0;
  for (int hop = 0; hop < 6; hop++) {
    const auto next = static_cast<WorkerIndex>((home + 1 + hop % 2) % workers);
    apply(move(home, next));
    pass_all();
    ASSERT_EQ(outcome(), MoveOutcome::moved);
    home = next;
    settle(std::to_string(hop), hop % 2 ? Outcome::requeued : Outcome::acknowledged);
    pass_all();
    deliver(home);
    EXPECT_EQ(read(2).size(), hop % 2 ? 1u : 0u) << "what came back is delivered anew, under a new name";
    for (auto& one : nodes) one->engine->check_invariants();
  }
  for (const char* body : {"1", "3", "5", "6", "7"}) settle(body, Outcome::acknowledged);
  pass_all();
  EXPECT_EQ(counters().unacknowledged.value(), 0u);
  EXPECT_EQ(counters().acknowledged.value(), 8u);
}

// A session that is gone has left messages unacknowledged with nobody to hold them but their names.
TEST_F(EngineMove, WhatASubscriptionThatIsGoneStillHoldsMovesToo) {
  subscribe(2, 1);
  pass_all();
  publish(0, "x");
  publish(0, "y");
  deliver(0);
  read(2);
  engine(2).unsubscribe({q, consumer(1, 2)});
  pass_all();
  apply(move(0, 1));
  pass_all();
  EXPECT_EQ(outcome(), MoveOutcome::moved);
  settle("x", Outcome::requeued);
  settle("y", Outcome::acknowledged);
  pass_all();
  EXPECT_EQ(counters().ready.value(), 1u);
  EXPECT_EQ(counters().unacknowledged.value(), 0u);
}

// ---- not moved ------------------------------------------------------------------------------------------------------

class EngineMoveOfAShortQueue : public EngineMove {
 protected:
  EngineMoveOfAShortQueue() : EngineMove({.move_entries_max = 10, .move_subscriptions_max = 2}) {}
};

TEST_F(EngineMoveOfAShortQueue, AQueueThatIsTooLongStays) {
  subscribe(2, 1, 2);
  pass_all();
  for (int i = 0; i < 12; i++) publish(0, std::to_string(i));
  deliver(0);
  EXPECT_EQ(read(2), (Bodies{"0", "1"}));
  apply(move(0, 1));
  settle("0", Outcome::acknowledged);
  pass_all();
  EXPECT_EQ(outcome(), MoveOutcome::too_long);
  EXPECT_TRUE(is_home(0));
  EXPECT_EQ(engine(0).counters().moves_too_long.value(), 1u);
  EXPECT_TRUE(has_room(0) && has_room(1) && has_room(2));
  deliver(0);
  EXPECT_EQ(read(2), (Bodies{"2"})) << "what was held back reached it";
  // Shorter it goes.
  settle("1", Outcome::acknowledged);
  settle("2", Outcome::acknowledged);
  pass_all();
  apply(move(0, 1));
  pass_all();
  EXPECT_EQ(outcome(), MoveOutcome::moved);
  const size_t promised = node(1).pool.room();
  apply(move(1, 2));
  pass_all();
  EXPECT_EQ(outcome(), MoveOutcome::moved);
  EXPECT_GE(node(1).pool.room(), promised);
}

TEST_F(EngineMoveOfAShortQueue, AQueueWithTooManySubscriptionsStays) {
  for (uint32_t number = 1; number <= 3; number++) subscribe(2, number);
  pass_all();
  apply(move(0, 1));
  pass_all();
  EXPECT_EQ(outcome(), MoveOutcome::too_long);
  EXPECT_TRUE(is_home(0));
}

TEST_F(EngineMove, AWorkerWithoutMemoryToSpareGetsNoQueue) {
  publish(0, "x");
  std::vector<Message*> filling;
  while (node(1).pool.pressure() == Pressure::ok) filling.push_back(node(1).message(std::string(30000, 'x')));
  apply(move(0, 1));
  pass_all();
  EXPECT_EQ(outcome(), MoveOutcome::no_memory);
  EXPECT_TRUE(is_home(0));
  EXPECT_EQ(engine(0).counters().moves_no_memory.value(), 1u);
  for (Message* message : filling) node(1).pool.release(message);
  const size_t room = node(1).pool.room();
  apply(move(0, 1));
  EXPECT_LT(node(1).pool.room(), room) << "it keeps memory for what is to come";
  pass_all();
  EXPECT_EQ(outcome(), MoveOutcome::moved);
  engine(1).purge_now(q);
  pass_all();
  EXPECT_EQ(node(1).pool.room(), room);
}

// The most that a move carries arrives while everybody else takes what they may of the new home's memory: its own
// publishers all down to the reserve, and peers what was under way to it, which the reserve is for.
class EngineMoveOfALongQueue : public EngineMove {
 protected:
  EngineMoveOfALongQueue() : EngineMove(EngineLimits{}) {}
};

TEST_F(EngineMoveOfALongQueue, FindsTheMemoryItWasPromised) {
  while (counters().ready.value() < limits.move_entries_max) publish(0, "");
  apply(move(0, 1));
  auto target = [&](WorkerIndex at) { return engine(at).find_queue(topology.queues["other"]); };
  auto publish_to_other = [&](WorkerIndex at, Message* message) {
    QueueRecord* queue = target(at);
    engine(at).publish({&queue, 1}, message, channel(1, at), 0);
  };
  for (WorkerIndex peer : {WorkerIndex{0}, WorkerIndex{2}})
    while (node(peer).outbox.operations[1].size() < limits.operations_under_way_max)
      publish_to_other(peer, node(peer).message(""));
  const auto fill = [&] {
    for (QueueRecord* queue = target(1); engine(1).room_for({&queue, 1});) {
      Message* message = node(1).message(std::string(100, 'x'));
      if (!message) break;
      publish_to_other(1, message);
    }
  };
  fill();
  for (int round = 0; round < 200; round++) {
    pass_all(1);
    fill();
  }
  EXPECT_EQ(outcome(), MoveOutcome::moved);
  EXPECT_EQ(engine(1).counters().refused_no_memory.value(), 0u);
  EXPECT_EQ(counters().ready.value(), limits.move_entries_max);
  engine(1).purge_now(q);
  engine(1).purge_now(topology.queues["other"]);
  while (!engine(1).idle()) engine(1).dispatch({}, 10);
}

// ---- removed meanwhile ----------------------------------------------------------------------------------------------

// Each worker is told of the removal at any point of the move: its consumers are cancelled once each, what sessions ask
// is answered, and the move comes to its end everywhere.
TEST_F(EngineMove, RemovedAtAnyPoint) {
  apply(topology.remove_queue("q"));
  std::mt19937 random(3);
  auto below = [&](size_t bound) { return random() % bound; };
  for (int round = 0; round < 400; round++) {
    SCOPED_TRACE(round);
    const auto from = static_cast<WorkerIndex>(below(workers));
    const auto to = static_cast<WorkerIndex>((from + 1 + below(2)) % workers);
    apply(topology.add_queue("q", from));
    // The number in the control plane's table is another each time.
    q = topology.queues["q"];
    for (WorkerIndex at = 0; at < workers; at++) subscribe(at, 100 + static_cast<uint32_t>(round), 2);
    for (size_t i = below(30); i > 0; i--) publish(static_cast<WorkerIndex>(below(workers)), std::to_string(i));
    pass_all();
    deliver(from);
    for (WorkerIndex at = 0; at < workers; at++) read(at);
    for (auto& one : nodes) one->outbox.events.clear();
    pass_all();

    const TopologyChange moving = move(from, to), removal = topology.remove_queue("q");
    std::array<int, workers> told{};
    size_t answers_due = 0;
    for (int step = 0; step < 200; step++) {
      const auto at = static_cast<WorkerIndex>(below(workers)), other = static_cast<WorkerIndex>(below(workers));
      switch (below(6)) {
        case 0:
          if (told[at] == 0) node(at).apply(moving), told[at] = 1;
          break;
        case 1:
          if (told[at] == 1 && below(8) == 0) node(at).apply(removal), told[at] = 2;
          break;
        case 2:
          if (at != other) pass_operations(at, other, 1 + below(4));
          break;
        case 3:
          if (at != other) pass_events(at, other, 1 + below(4));
          break;
        case 4:
          pass_own(at);
          engine(at).dispatch({}, 2);
          break;
        default:
          if (below(4) != 0) break;
          engine(at).count({q, channel(1, at)});
          answers_due++;
          if (!held.empty()) settle(body_of(held[below(held.size())].second.message), Outcome::acknowledged);
      }
      for (auto& one : nodes) one->engine->check_invariants();
    }
    for (WorkerIndex at = 0; at < workers; at++) {
      if (told[at] == 0) node(at).apply(moving);
      if (told[at] <= 1) node(at).apply(removal);
    }
    pass_all();
    ASSERT_TRUE(outcome().has_value()) << "the move is not over";
    size_t answers = 0;
    for (WorkerIndex at = 0; at < workers; at++) {
      read(at);
      const auto cancelled = node(at).take_event<Cancelled>();
      ASSERT_TRUE(cancelled) << "consumer on worker " << at;
      EXPECT_FALSE(node(at).take_event<Cancelled>());
      while (node(at).take_event<Counted>()) answers++;
      EXPECT_TRUE(engine(at).idle());
    }
    EXPECT_EQ(answers, answers_due);
    for (auto& [at, delivery] : std::exchange(held, {})) {
      engine(at).settle({delivery.queue, delivery.entry, Outcome::acknowledged});
      node(at).pool.release(delivery.message);
    }
    pass_all();
    for (auto& one : nodes) ASSERT_EQ(one->pool.messages(), 0u);
  }
}

// ---- whose wish it is -----------------------------------------------------------------------------------------------

TEST_F(EngineMove, AQueueWishesToBeWhereItsTrafficIs) {
  subscribe(2, 1, 1);
  pass_all();
  auto publish_many = [&](WorkerIndex at, int count) {
    for (int i = 0; i < count; i++) publish(at, "x");
    pass_operations(at, 0);
  };
  auto wishes = [&] { return std::exchange(node(0).outbox.move_wishes, {}); };
  publish_many(2, 99);
  EXPECT_TRUE(wishes().empty());
  publish_many(2, 1);
  auto said = wishes();
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0].queue, q);
  EXPECT_EQ(said[0].to, 2);
  publish_many(2, 199);
  EXPECT_TRUE(wishes().empty()) << "if nothing comes of it, it asks again after twice as many";
  publish_many(2, 1);
  EXPECT_EQ(wishes().size(), 1u);

  publish_many(2, 390);
  publish(0, "from here");
  publish_many(2, 390);
  publish_many(1, 1);
  publish_many(2, 390);
  engine(0).get({q, channel(1, 0), true});
  publish_many(2, 390);
  EXPECT_TRUE(wishes().empty()) << "others used it in between";

  subscribe(1, 2, 1);
  pass_all();
  publish_many(2, 3000);
  EXPECT_TRUE(wishes().empty()) << "a consumer is elsewhere";
  engine(1).unsubscribe({q, consumer(2, 1)});
  engine(2).unsubscribe({q, consumer(1, 2)});
  pass_all();
  publish_many(2, 3000);
  EXPECT_TRUE(wishes().empty()) << "nobody consumes";
  subscribe(2, 3, 1);
  pass_all();
  publish_many(2, 3000);
  EXPECT_FALSE(wishes().empty());
  engine(0).purge_now(q);
  while (!engine(0).idle()) engine(0).dispatch({}, 10);
}

TEST_F(EngineMoveOfAShortQueue, ALongQueueDoesNotEvenAsk) {
  subscribe(2, 1, 1);
  pass_all();
  for (int i = 0; i < 5000; i++) {
    publish(2, "x");
    pass_operations(2, 0);
  }
  EXPECT_TRUE(node(0).outbox.move_wishes.empty());
  EXPECT_EQ(engine(0).counters().moves_too_long.value(), 1u);
  engine(0).purge_now(q);
  while (!engine(0).idle()) engine(0).dispatch({}, 10);
}

}  // namespace
}  // namespace talaria::broker
