// The engine: a message built, published to a queue, dispatched to a consumer, settled and freed. Everything between
// the codec and the codec.
#include <vector>

#include "tests/bench/broker.h"
#include "tests/bench/cycles.h"

namespace talaria::bench {
namespace {

using namespace talaria::broker;

constexpr ChannelAddress channel_address{{1, 1}, 0, 1, 1};

// A turn: a burst is published, then all of it dispatched, then settled, as it would come from two connections.
void queue_turns(benchmark::State& state, bool no_ack, uint64_t sequence) {
  const auto burst = static_cast<size_t>(state.range(0));
  Broker broker;
  Engine& engine = broker.engine;
  const QueueId queue = broker.add_queue("q");
  QueueRecord* const record = engine.find_queue(queue);
  Subscribe wish;
  wish.queue = queue;
  wish.consumer = {channel_address, 1};
  wish.no_ack = no_ack;
  engine.subscribe(wish);
  broker.outbox.events.clear();

  size_t delivered = 0;
  {
    CycleCounter cycles(state, static_cast<double>(burst));
    for (auto _ : state) {
      for (size_t i = 0; i < burst; i++) {
        Message* message = broker.message("q", 100);
        CHECK(engine.room_for({&record, 1}));
        engine.publish({&record, 1}, message, channel_address, sequence);
      }
      delivered += engine.dispatch({}, static_cast<uint32_t>(burst));
      for (const Deliver& delivery : broker.outbox.deliveries) {
        broker.pool.release(delivery.message);
        if (!no_ack) engine.settle({queue, delivery.entry, Outcome::acknowledged});
      }
      broker.outbox.deliveries.clear();
      broker.outbox.events.clear();
    }
  }
  CHECK(delivered == burst * static_cast<size_t>(state.iterations()));
  CHECK(broker.pool.messages() == 0);
}

void QueueNoAck(benchmark::State& state) { queue_turns(state, true, 0); }
void QueueAck(benchmark::State& state) { queue_turns(state, false, 0); }
void QueueAckConfirm(benchmark::State& state) { queue_turns(state, false, 1); }
BENCHMARK(QueueNoAck)->Arg(1)->Arg(32)->Arg(256);
BENCHMARK(QueueAck)->Arg(1)->Arg(32)->Arg(256);
BENCHMARK(QueueAckConfirm)->Arg(32);

// The same with a queue that is `ready` messages long all the time: what lies in it is not in the cache.
void QueueDeep(benchmark::State& state) {
  const auto ready = static_cast<size_t>(state.range(0));
  Broker broker(ready * 512 + (size_t{64} << 20));
  Engine& engine = broker.engine;
  const QueueId queue = broker.add_queue("q");
  QueueRecord* const record = engine.find_queue(queue);
  for (size_t i = 0; i < ready; i++) engine.publish({&record, 1}, broker.message("q", 100), channel_address, 0);
  Subscribe wish;
  wish.queue = queue;
  wish.consumer = {channel_address, 1};
  wish.no_ack = true;
  engine.subscribe(wish);
  broker.outbox.events.clear();

  constexpr size_t burst = 32;
  uint64_t octets = 0;
  CycleCounter cycles(state, burst);
  for (auto _ : state) {
    for (size_t i = 0; i < burst; i++) engine.publish({&record, 1}, broker.message("q", 100), channel_address, 0);
    CHECK(engine.dispatch({}, burst) == burst);
    for (const Deliver& delivery : broker.outbox.deliveries) {
      octets += delivery.message->body_size();
      broker.pool.release(delivery.message);
    }
    broker.outbox.deliveries.clear();
  }
  benchmark::DoNotOptimize(octets);
}
BENCHMARK(QueueDeep)->Arg(1'000'000);

}  // namespace
}  // namespace talaria::bench
