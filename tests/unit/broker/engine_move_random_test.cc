// A queue that moves, and everything else, at random.
#include <array>
#include <map>
#include <random>
#include <set>

#include "tests/unit/broker/engine_move.h"

namespace talaria::broker {
namespace {

// Mailboxes take any time, everybody is told when it happens, publishers and consumers sit anywhere: each message is
// acknowledged once, nothing is lost, a publisher's messages come in their order, and no consumer has more under way
// than the window allows.
TEST_F(EngineMove, NothingIsLostDoubledOrReordered) {
  size_t moved = 0, published_at_all = 0;
  for (unsigned seed = 1; seed <= 30; seed++) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    auto below = [&](size_t bound) { return random() % bound; };
    auto a_worker = [&] { return static_cast<WorkerIndex>(below(workers)); };
    std::array<uint64_t, workers> published{}, confirmed{};
    std::map<char, int> last;  // by publisher: the newest message that was delivered for the first time
    std::set<std::string> acknowledged;
    const uint64_t acknowledged_before = counters().acknowledged.value();
    WorkerIndex home = 0, told_of = 0;
    for (WorkerIndex at = 0; at < workers; at++)
      if (is_home(at)) home = at;
    std::optional<TopologyChange> change;
    std::array<bool, workers> told{};
    uint32_t number = seed * 1000;
    const WorkerIndex consumer_at = a_worker();
    bool subscribed = false;

    auto take_deliveries = [&](WorkerIndex at) {
      for (const Deliver& delivery : std::exchange(node(at).outbox.deliveries, {})) {
        const std::string body = body_of(delivery.message);
        if (!delivery.redelivered) {
          auto [found, is_new] = last.emplace(body[0], -1);
          const int serial = std::stoi(body.substr(1));
          EXPECT_GT(serial, found->second) << body << " came after a later one";
          found->second = serial;
        }
        if (delivery.remote) engine(at).passed({delivery.queue, delivery.consumer, 1});
        held.emplace_back(at, delivery);
      }
    };
    auto step = [&](bool publishing) {
      const WorkerIndex at = a_worker();
      switch (below(10)) {
        case 0:
        case 1:
          if (!publishing || !has_room(at)) break;
          publish(at, std::string(1, static_cast<char>('a' + at)) + std::to_string(published[at]), published[at] + 1);
          published[at]++;
          break;
        case 2:
          for (WorkerIndex from = 0; from < workers; from++)
            if (from != at) pass_operations(from, at, below(6));
          break;
        case 3:
          for (WorkerIndex from = 0; from < workers; from++)
            if (from != at) pass_events(from, at, below(6));
          break;
        case 4:
          pass_own(at);
          if (engine(at).dispatch({}, 1 + static_cast<uint32_t>(below(8))) != 0) break;
          break;
        case 5: take_deliveries(at); break;
        case 6:
          for (size_t count = below(5); count > 0 && !held.empty(); count--) {
            const size_t which = below(held.size());
            const auto [where, delivery] = held[which];
            held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
            const bool requeue = publishing && below(4) == 0;
            if (!requeue) {
              EXPECT_TRUE(acknowledged.insert(body_of(delivery.message)).second);
            }
            engine(where).settle({delivery.queue, delivery.entry, requeue ? Outcome::requeued : Outcome::acknowledged});
            node(where).pool.release(delivery.message);
          }
          break;
        case 7:
          if (!subscribed) subscribe(consumer_at, ++number, static_cast<uint32_t>(below(30)));
          subscribed = true;
          if (below(20) == 0) engine(consumer_at).pause({q, consumer(number, consumer_at), below(2) == 0});
          if (below(20) == 0) engine(consumer_at).credit({q, consumer(number, consumer_at), 20});
          if (publishing && below(30) == 0) {
            engine(consumer_at).unsubscribe({q, consumer(number, consumer_at)});
            subscribed = false;
          }
          break;
        case 8:
          if (!change && publishing) {
            const auto to = a_worker();
            if (to == home || below(8) != 0) break;
            told = {};
            told_of = to;
            change = move(home, to);
          } else if (change && !told[at]) {
            node(at).apply(*change);
            told[at] = true;
          }
          break;
        default: pass_releases();
      }
      if (change) {
        if (const auto how = outcome()) {
          EXPECT_EQ(*how, MoveOutcome::moved);
          home = told_of;
          moved++;
          change.reset();
        }
      }
      for (WorkerIndex one = 0; one < workers; one++)
        while (auto stored = node(one).take_event<Stored>()) confirmed[one]++;
      std::map<uint32_t, size_t> under_way;
      for (WorkerIndex one = 0; one < workers; one++) {
        for (const Event& event : node(one).outbox.events_to[consumer_at])
          if (const auto* delivery = std::get_if<Deliver>(&event)) under_way[delivery->consumer.consumer]++;
      }
      for (const auto& [one, count] : under_way) ASSERT_LE(count, limits.handover_window) << "consumer " << one;
    };
    for (int i = 0; i < 10000 && !HasFatalFailure(); i++) {
      step(true);
      if (i % 100 == 0)
        for (auto& one : nodes) one->engine->check_invariants();
    }
    if (subscribed) engine(consumer_at).unsubscribe({q, consumer(number, consumer_at)});
    subscribed = true;
    subscribe(consumer_at, ++number);
    for (int i = 0; i < 60000 && !HasFatalFailure(); i++) {
      step(false);
      if (counters().ready.value() == 0 && held.empty() &&
          acknowledged.size() == published[0] + published[1] + published[2])
        break;
    }
    engine(consumer_at).unsubscribe({q, consumer(number, consumer_at)});
    pass_all();
    if (change) {
      for (WorkerIndex at = 0; at < workers; at++)
        if (!told[at]) node(at).apply(*change);
      pass_all();
      EXPECT_EQ(outcome(), MoveOutcome::moved);
    }
    for (WorkerIndex one = 0; one < workers; one++)
      while (auto stored = node(one).take_event<Stored>()) confirmed[one]++;
    const uint64_t all = published[0] + published[1] + published[2];
    EXPECT_GT(all, 30u);
    published_at_all += all;
    EXPECT_EQ(acknowledged.size(), all) << "lost";
    EXPECT_EQ(confirmed, published);
    EXPECT_EQ(counters().acknowledged.value() - acknowledged_before, all);
    EXPECT_EQ(counters().ready.value(), 0u);
    EXPECT_EQ(counters().unacknowledged.value(), 0u);
    for (auto& one : nodes) one->outbox.events.clear();
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(moved, 100u);
  EXPECT_GT(published_at_all, 2000u);
}

}  // namespace
}  // namespace talaria::broker
