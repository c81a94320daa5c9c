// Three engines whose mailboxes take as long as a test likes, and a queue that moves among them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/broker/fixture.h"

namespace talaria::broker {

class EngineMove : public ::testing::Test {
 protected:
  static constexpr WorkerIndex workers = 3;

  explicit EngineMove(EngineLimits with = {.handover_window = 10, .move_after = 100, .move_entries_per_turn = 8})
      : limits(with) {
    for (WorkerIndex index = 0; index < workers; index++)
      nodes.push_back(std::make_unique<TestWorker>(index, workers, &board, size_t{64}, limits));
    apply(topology.add_vhost());
    apply(topology.add_queue("q", 0));
    apply(topology.add_queue("other", 1));
    q = topology.queues["q"];
  }
  ~EngineMove() override {
    pass_all();
    for (auto& node : nodes) node->engine->check_invariants();
    for (auto& [where, delivery] : held) node(where).pool.release(delivery.message);
    for (auto& node : nodes) {
      for (const Deliver& delivery : node->outbox.deliveries) node->pool.release(delivery.message);
      node->outbox.deliveries.clear();
      while (auto got = node->take_event<Got>())
        if (got->message) node->pool.release(got->message);
      EXPECT_TRUE(node->outbox.operations[0].empty());
    }
    for (auto& node : nodes) node->engine.reset();
    pass_all();
    for (auto& node : nodes) node->expect_all_home();
  }

  TestWorker& node(WorkerIndex index) { return *nodes[index]; }
  Engine& engine(WorkerIndex index) { return *nodes[index]->engine; }
  QueueCounters& counters() { return *topology.counters_of["q"]; }
  bool is_home(WorkerIndex index) {
    const QueueRecord* record = engine(index).find_queue(q);
    return record && record->home == index && record->local;
  }

  void apply(const TopologyChange& change) {
    for (auto& one : nodes) one->apply(change);
  }
  TopologyChange move(WorkerIndex from, WorkerIndex to) { return MoveQueue{q, from, to, ++moves}; }

  // ---- mailboxes: what stands in an outbox is as good as in one ----

  // The first so many operations from one worker to another.
  void pass_operations(WorkerIndex from, WorkerIndex to, size_t most = SIZE_MAX) {
    auto& all = node(from).outbox.operations[to];
    const size_t count = std::min(most, all.size());
    const std::vector<Operation> some(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count));
    all.erase(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count));
    for (const Operation& operation : some) engine(to).perform(operation);
  }
  void pass_events(WorkerIndex from, WorkerIndex to, size_t most = SIZE_MAX) {
    auto& all = node(from).outbox.events_to[to];
    const size_t count = std::min(most, all.size());
    const std::vector<Event> some(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count));
    all.erase(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count));
    for (const Event& event : some) {
      if (const auto* delivery = std::get_if<Deliver>(&event))
        node(to).outbox.deliveries.push_back(*delivery);
      else if (const auto* left = std::get_if<QueueLeft>(&event))
        engine(to).on_queue_left(*left);
      else
        node(to).outbox.events.push_back(event);
    }
  }
  // What an engine says to its own worker.
  void pass_own(WorkerIndex index) {
    std::vector<Event> kept;
    for (const Event& event : std::exchange(node(index).outbox.events, {}))
      if (const auto* left = std::get_if<QueueLeft>(&event))
        engine(index).on_queue_left(*left);
      else
        kept.push_back(event);
    auto& events = node(index).outbox.events;
    events.insert(events.begin(), kept.begin(), kept.end());
  }
  void pass_releases() {
    for (WorkerIndex from = 0; from < workers; from++)
      for (WorkerIndex to = 0; to < workers; to++)
        for (Message* message : std::exchange(node(from).outbox.releases[to], {})) node(to).pool.take_back(message);
  }
  void pass_all(int rounds = 40) {
    for (int round = 0; round < rounds; round++) {
      for (WorkerIndex from = 0; from < workers; from++) {
        if (node(from).engine) engine(from).dispatch({}, 0);
        for (WorkerIndex to = 0; to < workers; to++) {
          if (!node(from).engine || from == to) continue;
          pass_operations(from, to);
          pass_events(from, to);
        }
        if (node(from).engine) pass_own(from);
      }
      pass_releases();
    }
  }
  // How the move went, which every worker must say.
  std::optional<MoveOutcome> outcome() {
    std::optional<MoveOutcome> found;
    for (auto& one : nodes) {
      if (one->outbox.move_ends.size() != 1) return std::nullopt;
      const MoveEnd end = one->outbox.move_ends.front();
      EXPECT_EQ(end.move, moves);
      if (found) {
        EXPECT_EQ(*found, end.outcome);
      }
      found = end.outcome;
    }
    for (auto& one : nodes) one->outbox.move_ends.clear();
    return found;
  }

  // ---- sessions ----

  bool has_room(WorkerIndex at) {
    QueueRecord* target = engine(at).find_queue(q);
    return bool{engine(at).room_for({&target, 1})};
  }
  void publish(WorkerIndex at, std::string_view body, uint64_t sequence = 0) {
    QueueRecord* target = engine(at).find_queue(q);
    ASSERT_TRUE(has_room(at));
    engine(at).publish({&target, 1}, node(at).message(body), channel(1, at), sequence);
  }
  void subscribe(WorkerIndex at, uint32_t number, uint32_t credit = 0, bool exclusive = false, int32_t priority = 0) {
    engine(at).subscribe({q, consumer(number, at), credit, priority, false, exclusive});
  }
  // Takes what lies there for sessions of that worker; they hold it until it is settled.
  std::vector<std::string> read(WorkerIndex at) {
    std::vector<std::string> bodies;
    for (const Deliver& delivery : std::exchange(node(at).outbox.deliveries, {})) {
      bodies.push_back(body_of(delivery.message));
      if (delivery.remote) engine(at).passed({delivery.queue, delivery.consumer, 1});
      held.emplace_back(at, delivery);
    }
    return bodies;
  }
  void settle(const std::string& body, Outcome what) {
    for (size_t i = 0; i < held.size(); i++) {
      if (body_of(held[i].second.message) != body) continue;
      auto [at, delivery] = held[i];
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(i));
      node(at).pool.release(delivery.message);
      return engine(at).settle({delivery.queue, delivery.entry, what});
    }
    FAIL() << body << " is not held";
  }
  void deliver(WorkerIndex home, uint32_t most = 1000) {
    engine(home).dispatch({}, most);
    for (WorkerIndex to = 0; to < workers; to++)
      if (to != home) pass_events(home, to);
  }
  using Bodies = std::vector<std::string>;

  PressureBoard board;
  TestTopology topology;
  EngineLimits limits;
  std::vector<std::unique_ptr<TestWorker>> nodes;
  QueueId q;
  uint32_t moves = 0;
  std::vector<std::pair<WorkerIndex, Deliver>> held;
};

}  // namespace talaria::broker
