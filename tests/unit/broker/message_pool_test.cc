#include "core/broker/message_pool.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/broker/fixture.h"

namespace talaria::broker {
namespace {

std::string noise(size_t size, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::string out(size, '\0');
  for (char& byte : out) byte = static_cast<char>(random());
  return out;
}

std::string gathered(PayloadCursor cursor, size_t step = SIZE_MAX) {
  std::string out;
  while (!cursor.done()) out += base::as_text(cursor.next(step));
  return out;
}

TEST(MessagePool, MessageKeepsWhatWasPutIn) {
  TestWorker worker;
  MessageHead head;
  head.exchange = "orders";
  head.routing_key = "eu.new";
  head.format = PropertiesFormat::amqp091;
  head.properties = base::as_bytes("properties");
  head.body_size = 10;
  head.persistent = true;
  head.priority = 7;
  head.received = base::Time(base::Duration(42));
  auto builder = worker.pool.begin(head);
  ASSERT_TRUE(builder);
  EXPECT_EQ(builder->missing(), 10u);
  EXPECT_TRUE(builder->append(base::as_bytes("0123")));
  EXPECT_TRUE(builder->append({}));
  EXPECT_TRUE(builder->append(base::as_bytes("456789")));
  EXPECT_EQ(builder->missing(), 0u);
  Message* message = builder->finish();
  EXPECT_EQ(message->exchange(), "orders");
  EXPECT_EQ(message->routing_key(), "eu.new");
  EXPECT_EQ(message->format(), PropertiesFormat::amqp091);
  EXPECT_EQ(base::as_text(message->whole_properties()), "properties");
  EXPECT_EQ(base::as_text(message->whole_body()), "0123456789");
  EXPECT_EQ(gathered(message->body(), 3), "0123456789");
  EXPECT_TRUE(message->persistent());
  EXPECT_EQ(message->priority(), 7);
  EXPECT_EQ(message->received(), base::Time(base::Duration(42)));
  EXPECT_EQ(message->references(), 1u);
  EXPECT_EQ(worker.pool.messages(), 1u);
  worker.pool.release(message);
  worker.expect_all_home();
}

TEST(MessagePool, EmptyMessage) {
  TestWorker worker;
  auto builder = worker.pool.begin({});
  ASSERT_TRUE(builder);
  Message* message = builder->finish();
  EXPECT_EQ(message->body_size(), 0u);
  EXPECT_TRUE(message->body().done());
  EXPECT_TRUE(message->properties().done());
  worker.pool.release(message);
  worker.expect_all_home();
}

// Around every border of the first slot and the parts: bytes come out as they went in, whatever the pieces.
TEST(MessagePool, BodiesOfAllSizesInPiecesOfAllSizes) {
  TestWorker worker;
  const size_t slot = base::Arena::allocation_max;
  for (size_t properties_size : {size_t{0}, size_t{20}, slot - 100, slot, 3 * slot + 5}) {
    const std::string properties = noise(properties_size, 2);
    for (size_t body_size :
         {size_t{0}, size_t{1}, slot - 60, slot - 33, slot - 32, slot - 25, slot - 24, slot, 2 * slot, 5 * slot + 17}) {
      const std::string body = noise(body_size, 3);
      for (size_t piece : {size_t{4096}, slot, 3 * slot}) {
        MessageHead head;
        head.routing_key = "k";
        head.properties = base::as_bytes(properties);
        head.body_size = body.size();
        auto builder = worker.pool.begin(head);
        ASSERT_TRUE(builder);
        for (size_t at = 0; at < body.size(); at += piece)
          ASSERT_TRUE(builder->append(base::as_bytes(std::string_view(body).substr(at, piece))));
        Message* message = builder->finish();
        ASSERT_EQ(gathered(message->properties()), properties);
        ASSERT_EQ(gathered(message->body()), body);
        ASSERT_EQ(gathered(message->body(), 8192 - 8), body);
        if (!message->whole_body().empty()) {
          ASSERT_EQ(base::as_text(message->whole_body()), body);
        }
        worker.pool.release(message);
        worker.expect_all_home();
      }
    }
  }
  EXPECT_EQ(worker.pool.broken_promises(), 0u);
}

TEST(MessagePool, AbandonedBuildersGiveEverythingBack) {
  TestWorker worker;
  const size_t room = worker.pool.room();
  {
    MessageHead head;
    head.body_size = 500000;
    auto builder = worker.pool.begin(head);
    ASSERT_TRUE(builder);
    EXPECT_LT(worker.pool.room(), room - 450000) << "the rest of the body is promised";
    EXPECT_TRUE(builder->append(base::as_bytes(noise(100000))));
    auto other = worker.pool.begin({});
    ASSERT_TRUE(other);
    *other = std::move(*builder);  // abandons the empty one
    EXPECT_EQ(worker.pool.messages(), 1u);
  }
  EXPECT_EQ(worker.pool.room(), room);
  worker.expect_all_home();
}

TEST(MessagePool, RefusesBelowTheReserveAndPromisesCount) {
  TestWorker worker;
  std::vector<MessageBuilder> builders;
  MessageHead head;
  head.body_size = 1000000;
  while (auto builder = worker.pool.begin(head)) builders.push_back(std::move(*builder));
  EXPECT_GE(builders.size(), 3u);
  EXPECT_EQ(worker.pool.refused_begins(), 1u);
  EXPECT_LT(worker.pool.room(), 1200000u);
  // Everything that was promised can be had.
  const std::string body = noise(1000000);
  std::vector<Message*> messages;
  for (MessageBuilder& builder : builders) {
    ASSERT_TRUE(builder.append(base::as_bytes(body)));
    messages.push_back(builder.finish());
  }
  EXPECT_EQ(worker.pool.broken_promises(), 0u);
  EXPECT_GE(worker.arena.free_bytes(), worker.pool.marks().reserve - base::Arena::block_bytes);
  for (Message* message : messages) {
    EXPECT_EQ(gathered(message->body()), body);
    worker.pool.release(message);
  }
  worker.expect_all_home();
}

TEST(MessagePool, GreatestBodyFitsAnEmptyPool) {
  TestWorker worker;
  MessageHead head;
  head.body_size = worker.pool.body_size_max();
  auto builder = worker.pool.begin(head);
  ASSERT_TRUE(builder);
  std::string piece(100000, 'x');
  while (builder->missing() != 0)
    ASSERT_TRUE(builder->append(base::as_bytes(piece).first(std::min(piece.size(), builder->missing()))));
  worker.pool.release(builder->finish());
  worker.expect_all_home();
}

TEST(MessagePool, PressureHasAMemory) {
  TestWorker worker;
  EXPECT_EQ(worker.pool.pressure(), Pressure::ok);
  const std::string body(32000, 'x');
  std::vector<Message*> messages;
  while (worker.pool.pressure() == Pressure::ok) messages.push_back(worker.message(body));
  EXPECT_LT(worker.arena.free_bytes(), worker.pool.marks().high);
  EXPECT_GT(worker.pool.room(), 0u) << "under pressure, but not yet refusing";
  size_t freed = 0;
  while (worker.pool.pressure() == Pressure::high) {
    worker.pool.release(messages.back());
    messages.pop_back();
    freed++;
  }
  EXPECT_GT(freed, 8u);
  EXPECT_GT(worker.arena.free_bytes(), worker.pool.marks().low);
  while (!messages.empty()) {
    worker.pool.release(messages.back());
    messages.pop_back();
  }
  worker.expect_all_home();
}

TEST(MessagePool, LastReferenceElsewhereGoesHome) {
  TestWorker home(0, 2), elsewhere(1, 2);
  Message* message = home.message("body");
  message->add_references(2);
  message->mark_shared();
  elsewhere.pool.release(message);
  home.pool.release(message);
  EXPECT_TRUE(elsewhere.outbox.releases[0].empty());
  EXPECT_EQ(home.pool.messages(), 1u);
  elsewhere.pool.release(message);
  ASSERT_EQ(elsewhere.outbox.releases[0].size(), 1u);
  EXPECT_EQ(elsewhere.outbox.releases[0][0], message);
  home.pool.take_back(message);
  home.expect_all_home();
}

}  // namespace
}  // namespace talaria::broker
