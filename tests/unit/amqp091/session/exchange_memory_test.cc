// Exchanges that remember, x-recent-history, x-message-deduplication: whose home is here, and what publishers see of
// others.
#include "core/amqp091/session/exchange_memory.h"

#include "core/amqp091/wire/table.h"
#include "tests/unit/amqp091/session/client.h"

namespace talaria::amqp091::session {
namespace {

using wire::ReplyCode;

std::vector<uint8_t> known_as(base::Field value) { return with_headers({{"id", std::move(value)}}); }

struct SessionMemory : testing::Test {
  void SetUp() override {
    broker::ExchangeSettings history;
    history.history_length = 3;
    add("chat", broker::ExchangeType::fanout, history);
    broker::ExchangeSettings once;
    once.deduplication = broker::Deduplication{"id", 2, 1000};
    add("once", broker::ExchangeType::fanout, once);
    add("once by key", broker::ExchangeType::topic, once);
    client.open();
    client.open_channel(1);
    for (const char* name : {"q", "r", "far"}) client.declare(1, name);
  }
  void add(const char* name, broker::ExchangeType type, const broker::ExchangeSettings& settings) {
    world.control.add_exchange(name, type, false, std::make_shared<const broker::ExchangeSettings>(settings));
  }
  void bind(const char* exchange, const char* queue, const char* key = "") {
    client.send(1, wire::queue::Bind{.queue = queue, .exchange = exchange, .routing_key = key});
    client.expect<wire::queue::BindOk>(1);
  }
  uint64_t ready(const std::string& queue) {
    world.settle();
    return world.control.counters(queue).ready.value();
  }
  std::vector<std::string> all(const char* queue) {
    std::vector<std::string> bodies;
    for (uint64_t left = ready(queue); left != 0; left--) {
      client.send(1, wire::basic::Get{.queue = queue, .no_ack = true});
      client.expect<wire::basic::GetOk>(1);
      bodies.push_back(client.expect_content(1).body);
    }
    return bodies;
  }
  const SessionCounters& counters() { return world.sessions.counters(); }
  using Bodies = std::vector<std::string>;

  World world;
  Client client{world};
};

// ---- history --------------------------------------------------------------------------------------------------------

TEST_F(SessionMemory, WhoeverIsBoundGetsTheLastMessages) {
  for (const char* body : {"1", "2", "3", "4"}) client.publish(1, "chat", "any", body);
  bind("chat", "q");
  EXPECT_EQ(all("q"), (Bodies{"2", "3", "4"}));
  client.publish(1, "chat", "", "5");
  EXPECT_EQ(all("q"), Bodies{"5"});
  bind("chat", "q");
  EXPECT_EQ(all("q"), Bodies{}) << "it is bound already";
  bind("chat", "q", "another key");
  EXPECT_EQ(all("q"), (Bodies{"3", "4", "5"})) << "another binding";
  bind("chat", "far");
  EXPECT_EQ(all("far"), (Bodies{"3", "4", "5"}));
  EXPECT_EQ(counters().history_published.value(), 9u);
  client.publish(1, "chat", "", "6");
  EXPECT_EQ(all("q"), Bodies{"6"});
  EXPECT_EQ(all("far"), Bodies{"6"});
}

TEST_F(SessionMemory, ManyBindingsAreServedInTurnsOfTheirOwn) {
  broker::ExchangeSettings long_history;
  long_history.history_length = 1000;
  add("long", broker::ExchangeType::fanout, long_history);
  for (int i = 0; i < 1000; i++) client.publish(1, "long", "", "x");
  world.settle();
  for (int i = 0; i < 20; i++)
    client.send(1, wire::queue::Bind{.queue = "q", .exchange = "long", .routing_key = "key" + std::to_string(i)});
  for (int i = 0; i < 20; i++) client.expect<wire::queue::BindOk>(1);
  EXPECT_EQ(ready("q"), 20'000u);
  // And what follows comes behind.
  client.publish(1, "long", "", "behind");
  EXPECT_EQ(ready("q"), 20'001u);
}

TEST_F(SessionMemory, MalformedHeadersAreRefusedWhereTheyMayBeAskedFor) {
  std::vector<uint8_t> malformed = with_headers({{"k", base::Field{int32_t{1}}}});
  malformed[malformed.size() - 5] = '?';  // no kind of value
  client.publish(1, "chat", "", "nobody asked", false, malformed);
  bind("chat", "q");
  EXPECT_EQ(ready("q"), 1u);
  client.send(1, wire::queue::Bind{.queue = "r", .exchange = "amq.headers"});
  client.expect<wire::queue::BindOk>(1);
  // What is remembered is routed as if it had none.
  client.send(1, wire::exchange::Bind{.destination = "amq.headers", .source = "chat"});
  client.expect<wire::exchange::BindOk>(1);
  world.settle();
  client.publish(1, "chat", "", "who asks", false, malformed);
  EXPECT_EQ(client.expect<wire::connection::Close>(0).reply_code, static_cast<uint16_t>(ReplyCode::syntax_error));
}

TEST_F(SessionMemory, WhatAsksNotToBeIsNotRemembered) {
  bind("chat", "q");
  client.publish(1, "chat", "", "secret", false, with_headers({{"x-recent-history-no-store", {true}}}));
  client.publish(1, "chat", "", "told", false, with_headers({{"x-recent-history-no-store", {false}}}));
  client.publish(1, "chat", "", "odd", false, with_headers({{"x-recent-history-no-store", {int32_t{1}}}}));
  EXPECT_EQ(all("q"), (Bodies{"secret", "told", "odd"}));
  bind("chat", "r");
  EXPECT_EQ(all("r"), (Bodies{"told", "odd"}));
}

TEST_F(SessionMemory, IsForgottenWithItsExchange) {
  for (const char* body : {"1", "2"}) client.publish(1, "chat", "", body);
  world.settle();
  EXPECT_EQ(world.here.pool.messages(), 2u);
  client.send(1, wire::exchange::Delete{.exchange = "chat"});
  client.expect<wire::exchange::DeleteOk>(1);
  world.settle();
  EXPECT_EQ(world.here.pool.messages(), 0u);
}

TEST_F(SessionMemory, TakesAnEighthOfTheMessageMemoryOfAWorkerAtMost) {
  broker::ExchangeSettings settings;
  settings.history_length = 1000;
  add("long", broker::ExchangeType::fanout, settings);
  const std::string large(100'000, 'x');
  for (int i = 0; i < 60; i++) client.publish(1, "long", "", large);
  world.settle();
  const size_t most = world.here.arena.capacity() / 8 / 2;
  EXPECT_LE(world.here.pool.messages() * large.size(), most);
  EXPECT_GE((world.here.pool.messages() + 1) * large.size(), most * 9 / 10);
}

TEST_F(SessionMemory, UnroutableOnesAreRememberedReturnedAndConfirmed) {
  client.send(1, wire::confirm::Select{});
  client.expect<wire::confirm::SelectOk>(1);
  client.publish(1, "chat", "k", "1", true);
  EXPECT_EQ(client.expect<wire::basic::Return>(1).reply_code, 312);
  EXPECT_EQ(client.expect_content(1).body, "1");
  EXPECT_EQ(client.expect<wire::basic::Ack>(1).delivery_tag, 1u);
  bind("chat", "q");
  EXPECT_EQ(all("q"), Bodies{"1"});
  client.publish(1, "chat", "k", "2", true);
  EXPECT_EQ(client.expect<wire::basic::Ack>(1).delivery_tag, 2u);
}

TEST_F(SessionMemory, OthersInTheVhostKeepTheirShortWay) {
  client.publish(1, "", "q", "1");
  client.publish(1, "chat", "", "2");
  client.publish(1, "", "q", "3");
  EXPECT_EQ(all("q"), (Bodies{"1", "3"}));
}

// ---- duplicates -----------------------------------------------------------------------------------------------------

TEST_F(SessionMemory, DuplicatesAreDroppedWhereverTheyWouldGo) {
  bind("once", "q");
  bind("once", "far");
  for (const char* id : {"a", "a", "b", "a"}) client.publish(1, "once", "", id, false, known_as({std::string(id)}));
  for (const char* body : {"none", "none"}) client.publish(1, "once", "", body);
  EXPECT_EQ(all("q"), (Bodies{"a", "b", "none", "none"}));
  EXPECT_EQ(ready("far"), 4u);
  EXPECT_EQ(counters().exchange_duplicates.value(), 2u);
  client.publish(1, "once", "", "c", false, known_as({std::string("c")}));
  client.publish(1, "once", "", "a again", false, known_as({std::string("a")}));
  EXPECT_EQ(all("q"), (Bodies{"c", "a again"})) << "two are remembered";
}

TEST_F(SessionMemory, DuplicatesAreForgottenInTime) {
  bind("once", "q");
  client.publish(1, "once", "", "1", false, known_as({int32_t{1}}));
  client.publish(1, "once", "", "2", false, with_headers({{"id", {int32_t{2}}}, {"x-cache-ttl", {int32_t{3000}}}}));
  world.wait(900ms);
  client.publish(1, "once", "", "1 too early", false, known_as({int64_t{1}}));
  world.wait(200ms);
  client.publish(1, "once", "", "1 again", false, known_as({int32_t{1}}));
  client.publish(1, "once", "", "2 too early", false, known_as({int32_t{2}}));
  world.wait(2s);
  client.publish(1, "once", "", "2 again", false, known_as({int32_t{2}}));
  EXPECT_EQ(all("q"), (Bodies{"1", "2", "1 again", "2 again"}));
}

TEST_F(SessionMemory, DuplicatesAreConfirmedAndReturnedIfTheyAreMandatory) {
  bind("once by key", "q", "a.#");
  client.send(1, wire::confirm::Select{});
  client.expect<wire::confirm::SelectOk>(1);
  client.publish(1, "once by key", "a.b", "1", true, known_as({int32_t{1}}));
  EXPECT_EQ(client.expect<wire::basic::Ack>(1).delivery_tag, 1u);
  client.publish(1, "once by key", "a.b", "1", false, known_as({int32_t{1}}));
  EXPECT_EQ(client.expect<wire::basic::Ack>(1).delivery_tag, 2u);
  client.publish(1, "once by key", "a.b", "1", true, known_as({int32_t{1}}));
  client.expect<wire::basic::Return>(1);
  client.expect_content(1);
  EXPECT_EQ(client.expect<wire::basic::Ack>(1).delivery_tag, 3u);
  EXPECT_EQ(ready("q"), 1u);
}

TEST_F(SessionMemory, AMessageWithSeveralKeysIsOneMessage) {
  bind("once by key", "q", "a");
  bind("once by key", "r", "b");
  base::FieldArray copies;
  copies.push_back({std::string("b")});
  client.publish(1, "once by key", "a", "1", false, with_headers({{"id", {int32_t{1}}}, {"CC", {copies}}}));
  EXPECT_EQ(ready("q"), 1u);
  EXPECT_EQ(ready("r"), 1u);
}

TEST_F(SessionMemory, WhatHasNoRoomIsNotSeen) {
  broker::QueueSettings settings;
  settings.queue = "narrow";
  settings.flow = broker::FlowLimit{1, 0};
  world.control.settings["narrow"] = settings;
  client.declare(1, "narrow");
  bind("once", "narrow");
  client.publish(1, "once", "", "1", false, known_as({int32_t{1}}));
  client.publish(1, "once", "", "2", false, known_as({int32_t{2}}));
  EXPECT_EQ(ready("narrow"), 1u);
  world.wait(20ms);
  EXPECT_EQ(client.expect<wire::connection::Blocked>(0).reason.empty(), false);
  Client other(world);
  other.open();
  other.open_channel(1);
  other.send(1, wire::basic::Get{.queue = "narrow", .no_ack = true});
  other.expect<wire::basic::GetOk>(1);
  other.expect_content(1);
  world.settle();
  EXPECT_EQ(ready("narrow"), 1u) << "the second one came in";
  EXPECT_EQ(counters().exchange_duplicates.value(), 0u);
}

// Keys of BCC are no part of the message; what both workers may keep of 8 MiB of message memory is 512 KiB.
TEST_F(SessionMemory, WhatAQueueRefusedIsNotSeen) {
  broker::QueueSettings settings;
  settings.queue = "small";
  settings.max_length = 1;
  settings.overflow = broker::Overflow::reject_publish;
  world.control.settings["small"] = settings;
  client.declare(1, "small");
  bind("once", "small");
  client.send(1, wire::confirm::Select{});
  client.expect<wire::confirm::SelectOk>(1);
  client.publish(1, "once", "", "first", false, known_as({int32_t{1}}));
  client.expect<wire::basic::Ack>(1);
  client.publish(1, "once", "", "second", false, known_as({int32_t{2}}));
  client.expect<wire::basic::Nack>(1);
  EXPECT_EQ(all("small"), (Bodies{"first"}));
  client.publish(1, "once", "", "second", false, known_as({int32_t{2}}));
  client.expect<wire::basic::Ack>(1);
  client.publish(1, "once", "", "second", false, known_as({int32_t{2}}));
  client.expect<wire::basic::Ack>(1);
  EXPECT_EQ(all("small"), (Bodies{"second"}));
  EXPECT_EQ(counters().exchange_duplicates.value(), 1u);
}

TEST_F(SessionMemory, HistoriesCountFurtherKeys) {
  broker::ExchangeSettings history;
  history.history_length = 20;
  add("long chat", broker::ExchangeType::fanout, history);
  base::FieldArray keys;
  for (int i = 0; i < 400; i++) keys.push_back({std::string(200, 'k')});
  const auto properties = with_headers({{"BCC", {std::move(keys)}}});
  for (int i = 0; i < 20; i++) client.publish(1, "long chat", "", std::to_string(i), false, properties);
  bind("long chat", "q");
  EXPECT_EQ(all("q"), (Bodies{"15", "16", "17", "18", "19"}));
}

// ---- elsewhere ------------------------------------------------------------------------------------------------------

struct SessionMemoryElsewhere : SessionMemory {
  void SetUp() override {
    SessionMemory::SetUp();
    broker::ExchangeSettings history;
    history.history_length = 3;
    for (const char* name : {"far chat", "far news"}) add(name, broker::ExchangeType::fanout, history);
    client.send(1, wire::confirm::Select{});
    client.expect<wire::confirm::SelectOk>(1);
  }
  // What has come there and is not answered.
  std::vector<broker::Entrust> come() {
    world.settle();
    return std::exchange(world.there.outbox.entrusted, {});
  }
  void answer(const broker::Entrust& message, broker::Entrusted::Outcome outcome = broker::Entrusted::Outcome::stored) {
    world.there.engine.tell({message.publisher, message.sequence, outcome});
    world.there.pool.release(message.message);
    world.settle();
  }
};

TEST_F(SessionMemoryElsewhere, ManyAreUnderWayAndAllElseWaits) {
  for (int i = 0; i < 70; i++) client.publish(1, "far chat", "", "x");
  client.publish(1, "", "q", "behind them");
  client.send(1, wire::basic::Qos{.prefetch_count = 1});
  std::vector<broker::Entrust> first = come();
  ASSERT_EQ(first.size(), 64u);
  world.run(15ms);
  EXPECT_EQ(client.expect<wire::connection::Blocked>(0).reason, "worker 1 is behind");
  while (!first.empty()) {
    answer(first.back());
    first.pop_back();
  }
  EXPECT_EQ(ready("q"), 0u);
  for (const broker::Entrust& message : come()) answer(message);
  EXPECT_EQ(ready("q"), 1u);
  uint64_t last = 0;
  bool unblocked = false, answered = false;
  while (const auto frame = client.next()) {
    if (frame->method() == wire::basic::Ack::id)
      last = std::max(last, wire::parse<wire::basic::Ack>(frame->payload)->delivery_tag);
    unblocked |= frame->method() == wire::connection::Unblocked::id;
    answered |= frame->method() == wire::basic::QosOk::id;
  }
  EXPECT_EQ(last, 71u);
  EXPECT_TRUE(unblocked && answered);
}

TEST_F(SessionMemoryElsewhere, OfTwoExchangesTheSecondWaitsForTheFirst) {
  client.publish(1, "far chat", "", "1");
  client.publish(1, "far news", "", "2");
  client.publish(1, "chat", "", "3");
  std::vector<broker::Entrust> one = come();
  ASSERT_EQ(one.size(), 1u);
  answer(one[0]);
  std::vector<broker::Entrust> two = come();
  ASSERT_EQ(two.size(), 1u);
  EXPECT_EQ(two[0].message->exchange(), "far news");
  client.send(1, wire::queue::Bind{.queue = "q", .exchange = "chat"});
  answer(two[0]);
  uint64_t acknowledged = 0;
  while (const auto frame = client.next())
    if (frame->method() == wire::basic::Ack::id)
      acknowledged = wire::parse<wire::basic::Ack>(frame->payload)->delivery_tag;
  EXPECT_EQ(acknowledged, 3u);
  EXPECT_EQ(all("q"), Bodies{"3"}) << "published before it was bound";
}

TEST_F(SessionMemoryElsewhere, WhatIsUnroutableComesBackInWhateverOrder) {
  for (const char* body : {"1", "2", "3"}) client.publish(1, "far chat", "", body, true);
  client.publish(1, "far chat", "", "4");
  const std::vector<broker::Entrust> come_there = come();
  ASSERT_EQ(come_there.size(), 4u);
  using Outcome = broker::Entrusted::Outcome;
  answer(come_there[3], Outcome::unroutable);
  EXPECT_EQ(client.expect<wire::basic::Ack>(1).delivery_tag, 4u);
  answer(come_there[1], Outcome::unroutable);
  EXPECT_EQ(client.expect<wire::basic::Return>(1).reply_code, 312u);
  EXPECT_EQ(client.expect_content(1).body, "2");
  EXPECT_EQ(client.expect<wire::basic::Ack>(1).delivery_tag, 2u);
  answer(come_there[0]);
  EXPECT_EQ(client.expect<wire::basic::Ack>(1).delivery_tag, 1u);
  answer(come_there[2], Outcome::refused);
  EXPECT_EQ(client.expect<wire::basic::Nack>(1).delivery_tag, 3u);
  client.expect_nothing();
}

TEST_F(SessionMemoryElsewhere, WhoeverHasGoneIsNotWaitedFor) {
  client.open_channel(2);
  client.publish(1, "far chat", "", "1", true);
  client.publish(2, "far chat", "", "2", true);
  std::vector<broker::Entrust> messages = come();
  ASSERT_EQ(messages.size(), 2u);
  client.publish(2, "no such exchange", "", "x");
  client.expect_channel_close(2, ReplyCode::not_found, "no exchange 'no such exchange' in vhost '/'");
  answer(messages[1], broker::Entrusted::Outcome::unroutable);
  client.expect_nothing();
  client.abort_transport();
  world.settle();
  answer(messages[0], broker::Entrusted::Outcome::unroutable);
  EXPECT_EQ(world.here.pool.messages(), 0u);
}

TEST_F(SessionMemory, TakesNoPartInTransactions) {
  client.send(1, wire::tx::Select{});
  client.expect<wire::tx::SelectOk>(1);
  client.publish(1, "chat", "", "1");
  client.expect_channel_close(1, ReplyCode::precondition_failed,
                              "exchange 'chat' in vhost '/' remembers messages and takes no part in transactions");
}

}  // namespace
}  // namespace talaria::amqp091::session
