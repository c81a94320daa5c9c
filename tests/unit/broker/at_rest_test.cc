// What a message costs while it lies in a queue: at most 1.3 times what its publisher sent, and 64 bytes.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/broker/fixture.h"

namespace talaria::broker {
namespace {

constexpr std::string_view key = "orders";
constexpr std::string_view no_properties{"\0", 2};  // as AMQP 0-9-1 encodes none

size_t allowed(size_t sent) { return sent * 13 / 10 + 64; }

class AtRest : public ::testing::TestWithParam<size_t> {};

// Many of them, in blocks taken from the arena: entry, header, slot and block overhead, all there is.
TEST_P(AtRest, TakesLittleMoreThanItsBytes) {
  const size_t size = GetParam();
  const uint64_t count = 100'000;
  TestWorker worker(0, 1, nullptr, allowed(size) * count * 3 / 2 / base::Arena::block_bytes + 16);
  TestTopology topology;
  worker.apply(topology.add_vhost());
  worker.apply(topology.add_queue("q"));
  const QueueId id = topology.queues["q"];
  QueueRecord* queue = worker.engine->find_queue(id);
  std::string body(size, 'b');
  MessageHead head;
  head.routing_key = key;
  head.format = PropertiesFormat::amqp091;
  head.properties = base::as_bytes(no_properties);
  head.body_size = size;
  for (uint64_t number = 0; number < count; number++) {
    ASSERT_TRUE(worker.engine->room_for({&queue, 1}));
    std::memcpy(body.data(), &number, sizeof number);
    auto builder = worker.pool.begin(head);
    ASSERT_TRUE(builder && builder->append(base::as_bytes(body)));
    worker.engine->publish({&queue, 1}, builder->finish(), channel(), number);
  }
  const double each = static_cast<double>(worker.arena.capacity() - worker.arena.free_bytes()) / count;
  RecordProperty("bytes", std::to_string(each));
  EXPECT_LE(each, static_cast<double>(allowed(size))) << "of the body alone";

  worker.engine->subscribe({id, consumer(1), 0, 0, true, false});
  uint64_t next = 0;
  for (int turn = 0; turn < 1'000'000 && next < count; turn++) {
    worker.engine->dispatch({}, 1000);
    for (const Deliver& delivery : worker.outbox.deliveries) {
      uint64_t number = 0;
      std::memcpy(&number, delivery.message->whole_body().data(), sizeof number);
      ASSERT_EQ(number, next++);
      worker.pool.release(delivery.message);
    }
    worker.outbox.deliveries.clear();
  }
  EXPECT_EQ(next, count);
  worker.outbox.events.clear();
  worker.engine.reset();
  worker.expect_all_home();
}

INSTANTIATE_TEST_SUITE_P(Bodies, AtRest, ::testing::Values(16, 64, 100, 200, 1024, 4096),
                         [](const auto& instance) { return std::to_string(instance.param); });

// Between those sizes: by what is allocated.
TEST(MessagePool, OfAnySizeTakesLittleMoreThanItsBytes) {
  TestWorker worker;
  for (size_t size = 0; size < 150'000; size += size < 10'000 ? 1 : 97) {
    const std::string body(size, 'b');
    Message* message = worker.message(body, key);
    ASSERT_NE(message, nullptr);
    ASSERT_LE(worker.arena.used_bytes() + sizeof(QueueEntry), allowed(size + key.size())) << size;
    worker.pool.release(message);
  }
  worker.expect_all_home();
}

}  // namespace
}  // namespace talaria::broker
