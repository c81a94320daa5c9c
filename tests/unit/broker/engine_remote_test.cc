// Two engines, passing operations, events and releases by hand: a queue's home and the worker of its clients differ.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "tests/unit/broker/fixture.h"

namespace talaria::broker {
namespace {

class TwoWorkers : public ::testing::Test {
 protected:
  TwoWorkers() {
    apply(topology.add_vhost());
    apply(topology.add_exchange("fan", ExchangeType::fanout));
    apply(topology.add_queue("here", 0));
    apply(topology.add_queue("there", 1));
    here = topology.queues["here"];
    there = topology.queues["there"];
  }
  ~TwoWorkers() override {
    for (int i = 0; i < 3; i++) exchange_all();
    for (TestWorker* worker : {&a, &b}) {
      worker->engine->check_invariants();
      for (const Deliver& delivery : worker->outbox.deliveries) worker->pool.release(delivery.message);
      worker->outbox.deliveries.clear();
      worker->engine.reset();
    }
    a.engine.reset();
    move_releases();
    a.expect_all_home();
    b.expect_all_home();
  }

  void apply(const TopologyChange& change) {
    a.apply(change);
    b.apply(change);
  }
  // What the worker does with its outbox: to the peer's engine, respectively sessions.
  void exchange_all() {
    for (auto [from, to] : {std::pair{&a, &b}, std::pair{&b, &a}}) {
      WorkerIndex index = to == &a ? 0 : 1;
      std::vector<Operation> operations;
      operations.swap(from->outbox.operations[index]);
      for (const Operation& operation : operations) to->engine->perform(operation);
      std::vector<Event> events;
      events.swap(from->outbox.events_to[index]);
      for (const Event& event : events)
        if (const Deliver* delivery = std::get_if<Deliver>(&event))
          to->outbox.deliveries.push_back(*delivery);
        else
          to->outbox.events.push_back(event);
    }
    move_releases();
  }
  void move_releases() {
    for (Message* message : a.outbox.releases[1]) b.pool.take_back(message);
    for (Message* message : b.outbox.releases[0]) a.pool.take_back(message);
    a.outbox.releases[1].clear();
    b.outbox.releases[0].clear();
  }
  void publish(TestWorker& from, QueueId to, std::string_view body, uint64_t sequence = 0) {
    QueueRecord* target = from.engine->find_queue(to);
    ASSERT_TRUE(from.engine->room_for({&target, 1}));
    WorkerIndex index = &from == &a ? 0 : 1;
    from.engine->publish({&target, 1}, from.message(body), channel(1, index), sequence);
  }
  // The session on `worker` reads its deliveries: passed on, references given back.
  std::vector<Deliver> read(TestWorker& worker) {
    std::vector<Deliver> out;
    out.swap(worker.outbox.deliveries);
    for (const Deliver& delivery : out) {
      bodies.push_back(body_of(delivery.message));
      worker.pool.release(delivery.message);
      worker.engine->passed({delivery.queue, delivery.consumer, 1});
    }
    return out;
  }

  PressureBoard board;
  TestTopology topology;
  EngineLimits limits{.handover_window = 10};
  TestWorker a{0, 2, &board, 64, limits};
  TestWorker b{1, 2, &board, 64, limits};
  QueueId here, there;
  std::vector<std::string> bodies;
};

TEST_F(TwoWorkers, PublishConsumeAndSettleAcross) {
  a.engine->subscribe({there, consumer(1, 0), 0, 0, false, false});
  exchange_all();
  exchange_all();
  ASSERT_TRUE(a.take_event<Subscribed>());
  publish(a, there, "one", 1);
  publish(b, there, "two", 2);
  exchange_all();
  exchange_all();
  auto stored = a.take_event<Stored>();
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->sequence, 1u);
  EXPECT_TRUE(b.take_event<Stored>());
  b.engine->dispatch({}, 100);
  exchange_all();
  auto deliveries = read(a);
  EXPECT_EQ(bodies, (std::vector<std::string>{"two", "one"})) << "b's own publish was there first";
  EXPECT_EQ(topology.counters_of["there"]->unacknowledged.value(), 2u);
  a.engine->settle({there, deliveries[0].entry, Outcome::acknowledged});
  a.engine->settle({there, deliveries[1].entry, Outcome::requeued});
  exchange_all();
  EXPECT_EQ(topology.counters_of["there"]->unacknowledged.value(), 0u);
  b.engine->dispatch({}, 100);
  exchange_all();
  deliveries = read(a);
  ASSERT_EQ(deliveries.size(), 1u);
  EXPECT_TRUE(deliveries[0].redelivered);
  a.engine->settle({there, deliveries[0].entry, Outcome::acknowledged});
  exchange_all();
  exchange_all();
  EXPECT_EQ(a.pool.messages(), 0u);
  EXPECT_EQ(b.pool.messages(), 0u);
}

TEST_F(TwoWorkers, OneMessageToBothWorkers) {
  apply(AddBinding{topology.to_queue("fan", "here", "")});
  apply(AddBinding{topology.to_queue("fan", "there", "")});
  RouteTargets targets;
  Vhost* vhost = a.engine->find_vhost(topology.vhost);
  route(*vhost, *vhost->find_exchange("fan"), "", {}, targets);
  ASSERT_EQ(targets.queues().size(), 2u);
  a.engine->publish(targets.queues(), a.message("both"), channel(1, 0), 9);
  exchange_all();
  exchange_all();
  EXPECT_TRUE(a.take_event<Stored>());
  EXPECT_TRUE(a.take_event<Stored>());
  a.engine->get({here, channel(1, 0), true});
  auto got = a.take_event<Got>();
  EXPECT_EQ(body_of(got->message), "both");
  EXPECT_TRUE(got->message->shared());
  a.pool.release(got->message);
  EXPECT_EQ(a.pool.messages(), 1u);
  b.engine->get({there, channel(1, 1), true});
  got = b.take_event<Got>();
  EXPECT_EQ(body_of(got->message), "both");
  b.pool.release(got->message);
  EXPECT_EQ(a.pool.messages(), 1u) << "the last reference is on its way home";
  exchange_all();
  EXPECT_EQ(a.pool.messages(), 0u);
}

TEST_F(TwoWorkers, HandoverWindowStopsTheQueueOfASlowConsumer) {
  a.engine->subscribe({there, consumer(1, 0), 0, 0, true, false});
  exchange_all();
  for (int i = 0; i < 25; i++) publish(b, there, "x");
  EXPECT_EQ(b.engine->dispatch({}, 100), 10u);
  exchange_all();
  EXPECT_EQ(b.engine->dispatch({}, 100), 0u);
  EXPECT_EQ(read(a).size(), 10u);
  exchange_all();
  EXPECT_EQ(b.engine->dispatch({}, 100), 10u);
  exchange_all();
  read(a);
  exchange_all();
  EXPECT_EQ(b.engine->dispatch({}, 100), 5u);
  exchange_all();
  EXPECT_EQ(read(a).size(), 5u);
}

// Operations and events take any time on the way, and consumers come, go and change while deliveries are under way:
// what a session reports as passed is never more than its queue handed over, and the window holds all the time.
TEST_F(TwoWorkers, TheWindowHoldsWhateverIsUnderWay) {
  for (unsigned seed = 1; seed <= 20; seed++) {
    std::mt19937 random(seed);
    auto below = [&](unsigned bound) { return static_cast<unsigned>(random() % bound); };
    auto some = [&](auto& from, auto&& use) {
      const size_t count = from.empty() ? 0 : below(static_cast<unsigned>(from.size()) + 1);
      for (size_t i = 0; i < count; i++) use(from[i]);
      from.erase(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(count));
    };
    uint32_t number = seed * 1000;
    bool subscribed = false;
    size_t published = 0;
    bodies.clear();
    for (int step = 0; step < 3000; step++) {
      switch (below(8)) {
        case 0: publish(b, there, std::to_string(published++)); break;
        case 1:
          if (!subscribed) a.engine->subscribe({there, consumer(++number, 0), below(20), 0, false, false});
          subscribed = true;
          break;
        case 2:
          if (below(10) != 0 || !subscribed) break;
          a.engine->unsubscribe({there, consumer(number, 0)});
          subscribed = false;
          break;
        case 3:
          a.engine->credit({there, consumer(number, 0), below(20)});
          a.engine->pause({there, consumer(number, 0), below(4) == 0});
          break;
        case 4: b.engine->dispatch({}, below(20)); break;
        case 5: some(a.outbox.operations[1], [&](const Operation& one) { b.engine->perform(one); }); break;
        case 6:
          some(b.outbox.events_to[0], [&](const Event& event) {
            if (const auto* delivery = std::get_if<Deliver>(&event)) a.outbox.deliveries.push_back(*delivery);
          });
          break;
        default:
          for (const Deliver& delivery : read(a))
            a.engine->settle({there, delivery.entry, below(3) == 0 ? Outcome::requeued : Outcome::acknowledged});
      }
      std::map<uint32_t, size_t> under_way;
      for (const Event& event : b.outbox.events_to[0])
        if (const auto* delivery = std::get_if<Deliver>(&event)) under_way[delivery->consumer.consumer]++;
      for (const Deliver& delivery : a.outbox.deliveries) under_way[delivery.consumer.consumer]++;
      for (const auto& [one, count] : under_way) ASSERT_LE(count, limits.handover_window) << "consumer " << one;
    }
    // In the end everything arrives.
    if (subscribed) a.engine->unsubscribe({there, consumer(number, 0)});
    a.engine->subscribe({there, consumer(++number, 0), 0, 0, false, false});
    for (int i = 0; i < 1000; i++) {
      exchange_all();
      b.engine->dispatch({}, 100);
      for (const Deliver& delivery : read(a)) a.engine->settle({there, delivery.entry, Outcome::acknowledged});
    }
    a.engine->unsubscribe({there, consumer(number, 0)});
    exchange_all();
    b.engine->check_invariants();
    a.outbox.events.clear();
    b.outbox.events.clear();
    EXPECT_EQ(std::set<std::string>(bodies.begin(), bodies.end()).size(), published);
    EXPECT_EQ(topology.counters_of["there"]->ready.value(), 0u);
    EXPECT_EQ(topology.counters_of["there"]->unacknowledged.value(), 0u);
  }
}

TEST_F(TwoWorkers, GetCountPurgeAndCancelAnswerAcross) {
  for (int i = 0; i < 3; i++) publish(b, there, std::to_string(i));
  a.engine->subscribe({there, consumer(1, 0), 1, 0, false, false});
  a.engine->pause({there, consumer(1, 0), true});
  a.engine->get({there, channel(1, 0), false});
  a.engine->count({there, channel(1, 0)});
  a.engine->purge({there, channel(1, 0)});
  a.engine->unsubscribe({there, consumer(1, 0)});
  exchange_all();
  b.engine->dispatch({}, 100);
  exchange_all();
  EXPECT_EQ(a.take_event<Subscribed>()->result, SubscribeResult::subscribed);
  auto got = a.take_event<Got>();
  EXPECT_EQ(body_of(got->message), "0");
  EXPECT_EQ(got->remaining, 2u);
  a.pool.release(got->message);
  EXPECT_EQ(a.take_event<Counted>()->consumers, 1u);
  EXPECT_EQ(a.take_event<Purged>()->count, 2u);
  EXPECT_TRUE(a.take_event<Unsubscribed>());
  a.engine->settle({there, got->entry, Outcome::acknowledged});
}

TEST_F(TwoWorkers, ARemovedQueueCancelsConsumersElsewhere) {
  a.engine->subscribe({there, consumer(1, 0), 0, 0, false, false});
  exchange_all();
  publish(b, there, "x");
  b.engine->dispatch({}, 100);
  b.apply(topology.remove_queue("there"));
  // The other worker has not heard of it: what it sends meanwhile is dropped, and confirmed.
  publish(a, there, "late", 5);
  exchange_all();
  exchange_all();
  a.apply(topology.remove_queue("there"));
  EXPECT_TRUE(a.take_event<Cancelled>());
  EXPECT_FALSE(a.take_event<Stored>()->refused);
  auto deliveries = read(a);
  ASSERT_EQ(deliveries.size(), 1u);
  a.engine->settle({there, deliveries[0].entry, Outcome::acknowledged});
  b.engine->dispatch({}, 100);
  exchange_all();
  EXPECT_EQ(a.pool.messages(), 0u);
  EXPECT_EQ(b.pool.messages(), 0u);
}

TEST_F(TwoWorkers, AWorkerWithoutRoomStopsPublishersElsewhere) {
  QueueRecord* target = a.engine->find_queue(there);
  EXPECT_TRUE(a.engine->room_for({&target, 1}));
  std::vector<Message*> filling;
  while (b.pool.pressure() == Pressure::ok) filling.push_back(b.message(std::string(30000, 'x')));
  b.engine->dispatch({}, 1);
  EXPECT_FALSE(a.engine->room_for({&target, 1}));
  QueueRecord* own = a.engine->find_queue(here);
  EXPECT_TRUE(a.engine->room_for({&own, 1})) << "its own queues are not concerned";
  for (Message* message : filling) b.pool.release(message);
  b.engine->dispatch({}, 1);
  EXPECT_TRUE(a.engine->room_for({&target, 1}));
}

// All that a peer may have under way when this worker runs dry is still stored.
TEST_F(TwoWorkers, TheReserveStoresWhatPeersHaveUnderWay) {
  EXPECT_GE(b.pool.marks().reserve, Engine::reserve_bytes(2, limits));
  std::vector<Message*> filling;
  while (Message* message = b.message(std::string(30000, 'x'))) filling.push_back(message);
  EXPECT_EQ(b.pool.room(), 0u);
  Message* message = a.message("x");
  QueueRecord* target = a.engine->find_queue(there);
  for (uint32_t i = 0; i < limits.operations_under_way_max; i++) {
    message->add_references();
    a.engine->publish({&target, 1}, message, channel(1, 0), 0);
  }
  a.pool.release(message);
  exchange_all();
  EXPECT_EQ(topology.counters_of["there"]->ready.value(), limits.operations_under_way_max);
  EXPECT_EQ(b.engine->counters().refused_no_memory.value(), 0u);
  for (Message* one : filling) b.pool.release(one);
  b.engine->purge_now(there);
  while (!b.engine->idle()) b.engine->dispatch({}, 1);
}

TEST_F(TwoWorkers, ABacklogToAPeerStopsPublishersToo) {
  QueueRecord* target = a.engine->find_queue(there);
  uint32_t published = 0;
  while (a.engine->room_for({&target, 1})) {
    a.engine->publish({&target, 1}, a.message("x"), channel(1, 0), 0);
    ASSERT_LE(++published, limits.operations_backlog_max);
  }
  EXPECT_EQ(published, limits.operations_backlog_max);
  exchange_all();
  EXPECT_TRUE(a.engine->room_for({&target, 1}));
}

// Clients on both workers, queues on both: nothing is lost or doubled, and all memory comes home.
TEST_F(TwoWorkers, RandomTrafficLosesNothing) {
  std::mt19937 random(5);
  struct Held {
    TestWorker* worker;
    Deliver delivery;
  };
  std::vector<Held> held;
  std::set<std::string> seen;
  uint64_t next[2] = {0, 0};
  uint64_t confirmed = 0;
  for (uint32_t number = 1; number <= 3; number++)
    for (TestWorker* worker : {&a, &b})
      for (QueueId queue : {here, there})
        worker->engine->subscribe({queue, consumer(number, worker == &a ? 0 : 1), number * 3, 0, false, false});
  for (int step = 0; step < 20000; step++) {
    bool publishing = step < 15000;
    TestWorker& worker = random() % 2 ? a : b;
    WorkerIndex index = &worker == &a ? 0 : 1;
    switch (random() % 6) {
      case 0:
      case 1:
        if (publishing) {
          std::string body = std::string(1, static_cast<char>('a' + index)) + std::to_string(next[index]++);
          publish(worker, random() % 2 ? here : there, body, next[index]);
        }
        break;
      case 2: worker.engine->dispatch({}, 1 + static_cast<uint32_t>(random() % 20)); break;
      case 3: exchange_all(); break;
      case 4:
        for (const Deliver& delivery : read(worker)) held.push_back({&worker, delivery});
        seen.insert(bodies.begin(), bodies.end());
        bodies.clear();
        break;
      default:
        for (int count = 0; count < 6 && !held.empty(); count++) {
          size_t which = random() % held.size();
          Held one = held[which];
          held[which] = held.back();
          held.pop_back();
          bool requeue = publishing && random() % 4 == 0;
          Outcome outcome = requeue ? Outcome::requeued : Outcome::acknowledged;
          one.worker->engine->settle({one.delivery.queue, one.delivery.entry, outcome});
        }
    }
    for (TestWorker* one : {&a, &b})
      while (one->take_event<Stored>()) confirmed++;
    if (step % 1000 == 0) {
      a.engine->check_invariants();
      b.engine->check_invariants();
    }
  }
  for (int turn = 0; turn < 2000 && a.pool.messages() + b.pool.messages() != 0; turn++) {
    for (TestWorker* worker : {&a, &b}) {
      worker->engine->dispatch({}, 50);
      for (const Deliver& delivery : read(*worker)) held.push_back({worker, delivery});
    }
    seen.insert(bodies.begin(), bodies.end());
    bodies.clear();
    for (const Held& one : held)
      one.worker->engine->settle({one.delivery.queue, one.delivery.entry, Outcome::acknowledged});
    held.clear();
    exchange_all();
    for (TestWorker* one : {&a, &b})
      while (one->take_event<Stored>()) confirmed++;
  }
  EXPECT_EQ(a.pool.messages() + b.pool.messages(), 0u);
  EXPECT_EQ(confirmed, next[0] + next[1]);
  EXPECT_EQ(seen.size(), next[0] + next[1]);
  const QueueCounters* counters[] = {topology.counters_of["here"], topology.counters_of["there"]};
  EXPECT_EQ(counters[0]->acknowledged.value() + counters[1]->acknowledged.value(), next[0] + next[1])
      << "each message was acknowledged exactly once";
}

}  // namespace
}  // namespace talaria::broker
