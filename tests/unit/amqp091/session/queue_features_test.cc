// What queues and messages ask for beyond being passed on, as a client sees it.
#include "core/amqp091/wire/table.h"
#include "tests/unit/amqp091/session/client.h"

namespace talaria::amqp091::session {
namespace {

using wire::ReplyCode;

struct SessionQueueFeatures : testing::Test {
  void SetUp() override {
    client.open();
    client.open_channel(1);
  }
  static std::vector<uint8_t> expiring(std::string_view milliseconds) {
    wire::Properties properties;
    properties.expiration = milliseconds;
    properties.set(wire::Property::expiration);
    return encoded(properties);
  }
  uint64_t ready(const std::string& queue) { return world.control.counters(queue).ready.value(); }

  static WorldOptions options() {
    WorldOptions options;
    options.session.wall_clock_ahead = 1'700'000'000s;
    return options;
  }
  World world{options()};
  Client client{world};
};

using SessionExpiry = SessionQueueFeatures;

TEST_F(SessionExpiry, OfEachMessageByItsProperty) {
  client.declare(1, "q");
  for (int round = 0; round < 2; round++) {  // the second time its frames are known
    client.publish(1, "", "q", "stays");
    client.publish(1, "", "q", "goes", false, expiring("20"));
    client.publish(1, "", "q", "goes", false, expiring("20"));
    client.publish(1, "", "q", "goes", false, expiring("0"));
    world.settle();
    EXPECT_EQ(ready("q"), 3u);
    world.wait(25ms);
    EXPECT_EQ(ready("q"), 1u);
    client.send(1, wire::basic::Get{.queue = "q", .no_ack = true});
    client.expect<wire::basic::GetOk>(1);
    EXPECT_EQ(client.expect_content(1).body, "stays");
  }
}

TEST_F(SessionExpiry, IsConfirmedWhatWasStoredFirst) {
  client.declare(1, "q");
  client.send(1, wire::confirm::Select{});
  client.expect<wire::confirm::SelectOk>(1);
  client.publish(1, "", "q", "x", false, expiring("0"));
  EXPECT_EQ(client.expect<wire::basic::Ack>(1).delivery_tag, 1u);
}

TEST_F(SessionExpiry, ThatIsNoNumberClosesTheChannel) {
  uint16_t channel = 1;
  const std::pair<std::string_view, std::string_view> table[] = {
      {"", "no_integer"},
      {"soon", "no_integer"},
      {"-", "no_integer"},
      {"10s", "{leftover_string,\"s\"}"},
      {"1.5", "{leftover_string,\".5\"}"},
      {"-1", "{value_negative,-1}"},
      {"315360000001", "{value_too_large,315360000001}"},
      {"99999999999999999999999999", "{value_too_large,99999999999999999999999999}"},
  };
  for (const auto& [text, why] : table) {
    if (channel != 1) client.open_channel(channel);
    client.publish(channel, "", "q", "x", false, expiring(text));
    client.expect_channel_close(
        channel, ReplyCode::precondition_failed,
        "PRECONDITION_FAILED - invalid expiration '" + std::string(text) + "': " + std::string(why));
    channel++;
  }
  client.open_channel(channel);
  client.declare(channel, "q");
  for (std::string_view fine : {"+5", "0005", "-0", "315360000000"})
    client.publish(channel, "", "q", "x", false, expiring(fine));
  world.settle();
  EXPECT_EQ(world.sessions.infos()[0].messages_in.value(), 4u);
}

TEST_F(SessionExpiry, OfAllMessagesOfAQueueThatSaysSoHereAndElsewhere) {
  uint64_t tag = 0;
  for (const std::string name : {"q", "far"}) {
    world.control.settings[name].message_ttl_ms = 20;
    client.declare(1, name);
    client.publish(1, "", name, "x");
    client.publish(1, "", name, "y", false, expiring("5"));
    world.settle();
    EXPECT_EQ(ready(name), 2u);
    world.wait(6ms);
    EXPECT_EQ(ready(name), 1u);
    world.wait(20ms);
    EXPECT_EQ(ready(name), 0u);
    client.publish(1, "", name, "z");
    client.consume(1, name, name, true);
    EXPECT_EQ(client.expect_delivery(1, name, ++tag), "z");
  }
}

// ---- limits ---------------------------------------------------------------------------------------------------------

using SessionLengthLimit = SessionQueueFeatures;

TEST_F(SessionLengthLimit, AFullQueueThatRejectsIsANack) {
  for (const std::string name : {"q", "far"}) {
    const uint16_t channel = name == "q" ? 1 : 2;
    if (channel == 2) client.open_channel(channel);
    world.control.settings[name] = {.max_length = 1, .overflow = broker::Overflow::reject_publish};
    client.declare(channel, name);
    client.send(channel, wire::confirm::Select{});
    client.expect<wire::confirm::SelectOk>(channel);
    client.publish(channel, "", name, "a");
    EXPECT_EQ(client.expect<wire::basic::Ack>(channel).delivery_tag, 1u);
    client.publish(channel, "", name, "b");
    EXPECT_EQ(client.expect<wire::basic::Nack>(channel).delivery_tag, 2u);
    EXPECT_EQ(ready(name), 1u);
  }
}

// ---- dead letters ---------------------------------------------------------------------------------------------------

struct SessionDeadLetters : SessionQueueFeatures {
  void SetUp() override {
    SessionQueueFeatures::SetUp();
    world.control.add_exchange("dlx", broker::ExchangeType::fanout);
  }
  void declare(const std::string& name, broker::QueueSettings settings) {
    settings.queue = name;
    world.control.settings[name] = settings;
    client.declare(1, name);
  }
  // The message in a queue, and the table of its headers.
  struct Letter {
    wire::basic::GetOk method;
    Content content;
    wire::Properties properties;
    base::FieldTable headers;
    const base::FieldTable& death(size_t which = 0) const {
      return std::get<base::FieldTable>(
          std::get<base::FieldArray>(base::find(headers, "x-death")->value).at(which).value);
    }
    size_t deaths() const { return std::get<base::FieldArray>(base::find(headers, "x-death")->value).size(); }
    std::string header(std::string_view name) const { return text(headers, name); }
    static std::string text(const base::FieldTable& table, std::string_view name) {
      const base::Field* field = base::find(table, name);
      return field ? field->text() ? *field->text() : base::to_text(*field) : "(none)";
    }
  };
  Letter get(std::string_view queue, bool no_ack = true) {
    client.send(1, wire::basic::Get{.queue = queue, .no_ack = no_ack});
    Letter letter;
    const auto method = client.expect<wire::basic::GetOk>(1);
    letter.method = method;
    exchange = method.exchange;
    key = method.routing_key;
    letter.content = client.expect_content(1);
    letter.properties = *wire::parse_properties(base::as_bytes(letter.content.properties));
    letter.headers = *wire::decode_table(letter.properties.headers);
    return letter;
  }
  static std::vector<uint8_t> with_headers(const base::FieldTable& headers, std::string_view expiration = {}) {
    const std::vector<uint8_t> fields = encoded(headers);
    wire::Properties properties;
    properties.content_type = "text/plain";
    properties.headers.bytes = fields;
    properties.priority = 3;
    properties.expiration = expiration;
    for (auto property : {wire::Property::content_type, wire::Property::headers, wire::Property::priority})
      properties.set(property);
    if (!expiration.empty()) properties.set(wire::Property::expiration);
    return encoded(properties);
  }
  std::string exchange, key;
};

TEST_F(SessionDeadLetters, TellHowTheyDied) {
  declare("q", {.dead_lettering = broker::DeadLettering{"dlx"}});
  client.declare(1, "r");
  world.control.bind("dlx", "r", "");
  client.publish(1, "", "q", "body", false, with_headers({{"mine", {int32_t{7}}}}, "20"));
  world.wait(30ms);
  const Letter letter = get("r");
  EXPECT_EQ(letter.content.body, "body");
  EXPECT_EQ(exchange, "dlx");
  EXPECT_EQ(key, "q");
  EXPECT_FALSE(letter.properties.has(wire::Property::expiration));
  EXPECT_EQ(letter.properties.content_type, "text/plain");
  EXPECT_EQ(letter.properties.priority, 3);
  EXPECT_EQ(letter.header("mine"), "7");
  EXPECT_EQ(letter.header("x-first-death-queue"), "q");
  EXPECT_EQ(letter.header("x-first-death-reason"), "expired");
  EXPECT_EQ(letter.header("x-first-death-exchange"), "");
  EXPECT_EQ(letter.header("x-last-death-queue"), "q");
  EXPECT_EQ(letter.header("x-last-death-reason"), "expired");
  EXPECT_EQ(letter.header("x-last-death-exchange"), "");
  ASSERT_EQ(letter.deaths(), 1u);
  const base::FieldTable& death = letter.death();
  EXPECT_EQ(std::get<int64_t>(base::find(death, "count")->value), 1);
  EXPECT_EQ(Letter::text(death, "reason"), "expired");
  EXPECT_EQ(Letter::text(death, "queue"), "q");
  EXPECT_EQ(Letter::text(death, "exchange"), "");
  EXPECT_EQ(base::to_text(*base::find(death, "routing-keys")), "[\"q\"]");
  EXPECT_EQ(Letter::text(death, "original-expiration"), "20");
  EXPECT_NEAR(static_cast<double>(std::get<base::Timestamp>(base::find(death, "time")->value).seconds), 1.7e9, 10);
}

TEST_F(SessionDeadLetters, ArePublishedWithTheQueuesKey) {
  declare("q", {.dead_lettering = broker::DeadLettering{"", "far"}});
  client.declare(1, "far");
  client.publish(1, "", "q", "body", false,
                 with_headers({{"CC", {base::FieldArray{{std::string("x")}, {int32_t{1}}}}}}));
  get("q", false);
  client.send(1, wire::basic::Reject{.delivery_tag = 1});
  world.settle();
  const Letter letter = get("far");
  EXPECT_EQ(key, "far");
  EXPECT_EQ(letter.header("CC"), "(none)");
  EXPECT_EQ(Letter::text(letter.death(), "reason"), "rejected");
  EXPECT_EQ(base::to_text(*base::find(letter.death(), "routing-keys")), "[\"q\",\"x\"]");
  EXPECT_EQ(base::find(letter.death(), "original-expiration"), nullptr);
}

TEST_F(SessionDeadLetters, OfOneQueueAndReasonAreCountedTogetherNewestFirst) {
  // Rejected in r, it goes to q, expires there, goes to r again.
  declare("r", {.dead_lettering = broker::DeadLettering{"", "q"}});
  declare("q", {.message_ttl_ms = 5, .dead_lettering = broker::DeadLettering{"", "r"}});
  client.publish(1, "", "r", "body");
  for (int round = 0; round < 3; round++) {
    const Letter letter = get("r", false);
    if (round > 0) {
      ASSERT_EQ(letter.deaths(), 2u);
      EXPECT_EQ(Letter::text(letter.death(0), "queue"), "q");
      EXPECT_EQ(Letter::text(letter.death(1), "queue"), "r");
      EXPECT_EQ(Letter::text(letter.death(1), "count"), std::to_string(round));
      EXPECT_EQ(letter.header("x-first-death-queue"), "r");
      EXPECT_EQ(letter.header("x-last-death-queue"), "q");
    }
    client.send(1, wire::basic::Nack{.delivery_tag = static_cast<uint64_t>(round) + 1});
    world.wait(10ms);
  }
  EXPECT_EQ(world.sessions.counters().dead_letters_in_circles.value(), 0u) << "somebody rejected it";
}

TEST_F(SessionDeadLetters, DoNotGoInCirclesThatNobodyHasAPartIn) {
  declare("q", {.message_ttl_ms = 5, .dead_lettering = broker::DeadLettering{"", "r"}});
  declare("r", {.message_ttl_ms = 5, .dead_lettering = broker::DeadLettering{"", "q"}});
  client.publish(1, "", "q", "body");
  world.wait(30ms);
  EXPECT_EQ(ready("q") + ready("r"), 0u);
  EXPECT_EQ(world.sessions.counters().dead_letters_published.value(), 1u);
  EXPECT_EQ(world.sessions.counters().dead_letters_in_circles.value(), 1u);
}

TEST_F(SessionDeadLetters, TakeNoPublishersWordForEarlierDeaths) {
  declare("q", {.message_ttl_ms = 5, .dead_lettering = broker::DeadLettering{"", "r"}});
  client.declare(1, "r");
  const base::FieldTable told{
      {"count", {int64_t{9}}}, {"queue", {std::string("q")}}, {"reason", {std::string("expired")}}};
  client.publish(1, "", "q", "body", false,
                 with_headers({{"x-death", {base::FieldArray{{told}}}}, {"x-first-death-queue", {std::string("z")}}}));
  world.wait(10ms);
  const Letter letter = get("r");
  ASSERT_EQ(letter.deaths(), 1u);
  EXPECT_EQ(Letter::text(letter.death(), "count"), "1");
  EXPECT_EQ(letter.header("x-first-death-queue"), "q");
}

TEST_F(SessionDeadLetters, WithNowhereToGoAreDropped) {
  declare("q", {.max_length = 0, .dead_lettering = broker::DeadLettering{"nowhere"}});
  declare("r", {.max_length = 0, .dead_lettering = broker::DeadLettering{"dlx"}});
  client.publish(1, "", "q", "body");
  client.publish(1, "", "r", "body");
  world.settle();
  EXPECT_EQ(world.sessions.counters().dead_letters_no_exchange.value(), 1u);
  EXPECT_EQ(world.sessions.counters().dead_letters_unroutable.value(), 1u);
  EXPECT_EQ(world.here.pool.messages(), 0u);
}

TEST_F(SessionDeadLetters, WithHeadersThatDoNotParseGoOnWithout) {
  declare("q", {.max_length = 0, .dead_lettering = broker::DeadLettering{"", "r"}});
  client.declare(1, "r");
  std::vector<uint8_t> raw = with_headers({{"name", {int32_t{1}}}});
  raw[2 + 1 + 10 + 4 + 1 + 4] = '?';  // the letter of its type
  client.publish(1, "", "q", "body", false, raw);
  world.settle();
  const Letter letter = get("r");
  EXPECT_EQ(letter.header("name"), "(none)");
  EXPECT_EQ(letter.deaths(), 1u);
}

TEST_F(SessionDeadLetters, TakeSeveralTurnsWhenTheyAreLarge) {
  declare("q", {.max_length = 0, .dead_lettering = broker::DeadLettering{"", "r"}});
  client.declare(1, "r");
  std::string large(700'000, 'x');
  for (size_t i = 0; i < large.size(); i++) large[i] = static_cast<char>(i % 251);
  client.publish(1, "", "q", large);
  for (int i = 0; i < 100; i++) client.publish(1, "", "q", "small");
  world.wait(50ms);
  EXPECT_EQ(ready("r"), 101u);
  EXPECT_TRUE(get("r").content.body == large);
}

TEST_F(SessionDeadLetters, CarryTheNumberOfTheirReturns) {
  declare("q", {.dead_lettering = broker::DeadLettering{"", "r"}, .delivery_limit = 1});
  client.declare(1, "r");
  client.publish(1, "", "q", "body", false, with_headers({{"mine", {int32_t{7}}}}));
  EXPECT_EQ(get("q", false).header("x-delivery-count"), "(none)");
  client.send(1, wire::basic::Nack{.delivery_tag = 1, .requeue = true});
  client.consume(1, "q", "c");
  const auto method = client.expect<wire::basic::Deliver>(1);
  EXPECT_TRUE(method.redelivered);
  const Content content = client.expect_content(1);
  const auto properties = wire::parse_properties(base::as_bytes(content.properties));
  const auto headers = wire::decode_table(properties->headers);
  EXPECT_EQ(Letter::text(*headers, "x-delivery-count"), "1");
  EXPECT_EQ(Letter::text(*headers, "mine"), "7");
  EXPECT_EQ(content.body, "body");
  client.send(1, wire::basic::Nack{.delivery_tag = 2, .requeue = true});
  world.settle();
  const Letter letter = get("r");
  EXPECT_EQ(Letter::text(letter.death(), "reason"), "delivery_limit");
  EXPECT_EQ(letter.header("x-delivery-count"), "(none)");
}

// ---- CC and BCC -----------------------------------------------------------------------------------------------------

using SessionCopies = SessionDeadLetters;

base::Field texts(std::initializer_list<const char*> values) {
  base::FieldArray array;
  for (const char* value : values) array.push_back({std::string(value)});
  return {array};
}

TEST_F(SessionCopies, GoToAllKeysOnceAndBccIsNotTold) {
  for (const char* name : {"q", "r", "far", "temp"}) client.declare(1, name);
  for (int round = 0; round < 2; round++) {
    client.publish(
        1, "", "q", "body", false,
        with_headers({{"CC", texts({"r", "q", "nowhere"})}, {"BCC", texts({"far"})}, {"mine", {int32_t{7}}}}));
    for (const char* name : {"q", "r", "far"}) {
      const Letter letter = get(name);
      EXPECT_EQ(letter.content.body, "body");
      EXPECT_EQ(key, "q");
      EXPECT_EQ(letter.header("mine"), "7");
      EXPECT_NE(base::find(letter.headers, "CC"), nullptr);
      EXPECT_EQ(base::find(letter.headers, "BCC"), nullptr);
      EXPECT_EQ(letter.properties.content_type, "text/plain");
    }
    client.publish(1, "", "temp", "alone");
    EXPECT_EQ(get("temp").content.body, "alone");
  }
  for (const char* name : {"q", "r", "far", "temp"}) EXPECT_EQ(ready(name), 0u) << name;
}

TEST_F(SessionCopies, CountAsRouted) {
  client.declare(1, "r");
  client.send(1, wire::confirm::Select{});
  client.expect<wire::confirm::SelectOk>(1);
  client.publish(1, "", "nowhere", "body", true, with_headers({{"CC", texts({"r"})}}));
  EXPECT_EQ(client.expect<wire::basic::Ack>(1).delivery_tag, 1u) << "nothing is returned";
  EXPECT_EQ(ready("r"), 1u);
}

TEST_F(SessionCopies, ThroughAnExchangeAndOverFrames) {
  client.declare(1, "q");
  client.declare(1, "r");
  world.control.bind("amq.direct", "q", "a");
  world.control.bind("amq.direct", "r", "b");
  const std::string large(300'000, 'x');
  client.publish(1, "amq.direct", "z", large, false, with_headers({{"BCC", texts({"a", "b", "a"})}}));
  EXPECT_TRUE(get("q").content.body == large);
  EXPECT_TRUE(get("r").content.body == large);
}

TEST_F(SessionCopies, ThatAreNoArrayCloseTheChannel) {
  client.publish(1, "", "q", "body", false, with_headers({{"CC", {std::string("r")}}}));
  client.expect_channel_close(1, ReplyCode::precondition_failed,
                              "invalid message: {unacceptable_type_in_header,\"CC\",longstr}");
  client.open_channel(2);
  client.publish(2, "", "q", "body", false, with_headers({{"BCC", {int32_t{1}}}}));
  client.expect_channel_close(2, ReplyCode::precondition_failed,
                              "invalid message: {unacceptable_type_in_header,\"BCC\",signedint}");
  client.open_channel(3);
  base::FieldArray many(1025, base::Field{std::string("k")});
  client.publish(3, "", "q", "body", false, with_headers({{"CC", {many}}}));
  client.expect_channel_close(3, ReplyCode::precondition_failed, "more than 1024 routing keys");
}

TEST_F(SessionCopies, WhereTopicPermissionsDecideEachKeyIsAskedFor) {
  world.control.limited.insert("amq.topic");
  client.declare(1, "q");
  world.control.bind("amq.topic", "q", "mine.#");
  for (int round = 0; round < 2; round++) {
    client.publish(1, "amq.topic", "mine.a", "body", false,
                   with_headers({{"CC", texts({"mine.b", "mine.c"})}, {"BCC", texts({"mine.d"})}}));
    EXPECT_EQ(get("q").content.body, "body");
  }
  client.publish(1, "amq.topic", "mine.a", "body", false, with_headers({{"BCC", texts({"mine.b", "other"})}}));
  client.expect_channel_close(1, ReplyCode::access_refused, "access to topic 'other' refused");
  client.open_channel(2);
  base::FieldArray many(513, base::Field{std::string("mine.k")});
  client.publish(2, "amq.topic", "mine.a", "body", false, with_headers({{"CC", {many}}}));
  client.expect_channel_close(2, ReplyCode::precondition_failed, "more than 512 routing keys");
}

TEST_F(SessionCopies, OfTheDeadGoAlongUnlessThereIsANewKey) {
  declare("q", {.max_length = 0, .dead_lettering = broker::DeadLettering{"amq.direct"}});
  client.declare(1, "r");
  world.control.bind("amq.direct", "r", "copy");
  client.publish(1, "", "q", "body", false, with_headers({{"CC", texts({"copy"})}}));
  world.settle();
  EXPECT_EQ(Letter::text(get("r").death(), "reason"), "maxlen");
}

// ---- what the broker publishes itself -------------------------------------------------------------------------------

TEST(SessionAnnounce, ReachesWhatIsBoundAndNobodyElse) {
  World world;
  Client client(world);
  client.open();
  client.open_channel(1);
  client.declare(1, "q");
  world.control.add_exchange("events", broker::ExchangeType::topic);
  world.control.bind("events", "q", "a.#", {});
  broker::Announcement told{broker::VhostId{0, 1}, "events", "a.b", {0, 0}, "body"};
  world.sessions.announce(told, world.now);
  told.routing_key = "b";
  world.sessions.announce(told, world.now);
  told.exchange = "nowhere";
  world.sessions.announce(told, world.now);
  world.settle();
  EXPECT_EQ(world.control.counters("q").ready.value(), 1u);
  EXPECT_EQ(world.sessions.counters().announcements_published.value(), 1u);
  EXPECT_EQ(world.sessions.counters().announcements_lost.value(), 0u);
  client.send(1, wire::basic::Get{.queue = "q", .no_ack = true});
  EXPECT_EQ(client.expect<wire::basic::GetOk>(1).routing_key, "a.b");
  EXPECT_EQ(client.expect_content(1).body, "body");
}

struct SessionAnnounceShort : testing::Test {
  void SetUp() override {
    client.open();
    client.open_channel(1);
    world.control.add_queue("far");
    world.there_is_held = true;
    for (int i = 0; i < 4096; i++) client.publish(1, "", "far", "x");
    world.run(20ms);
    told.routing_key = "far";
  }
  void TearDown() override {
    world.there_is_held = false;
    world.settle();
  }
  uint64_t published() const { return world.sessions.counters().announcements_published.value(); }
  uint64_t lost() const { return world.sessions.counters().announcements_lost.value(); }

  World world{[] {
    WorldOptions options;
    options.session.announcements_waiting = 3;
    options.session.announcement_octets_waiting = 10'000;
    return options;
  }()};
  Client client{world};
  broker::Announcement told{broker::VhostId{0, 1}, "", "", {0, 0}, "body"};
};

TEST_F(SessionAnnounceShort, SomeWaitForAWorkerThatIsBehind) {
  for (int i = 0; i < 5; i++) world.sessions.announce(told, world.now);
  EXPECT_EQ(published(), 0u);
  EXPECT_EQ(lost(), 2u);
  world.there_is_held = false;
  world.settle();
  EXPECT_EQ(published(), 3u);
  EXPECT_EQ(world.control.counters("far").ready.value(), 4099u);
  world.sessions.announce(told, world.now);
  EXPECT_EQ(published(), 4u);
}

TEST_F(SessionAnnounceShort, OfLongOnesFewerWait) {
  told.body.assign(6000, 'x');
  for (int i = 0; i < 2; i++) world.sessions.announce(told, world.now);
  EXPECT_EQ(lost(), 1u);
}

TEST_F(SessionAnnounceShort, WhatWaitsForAQueueThatGoesIsForNobody) {
  world.sessions.announce(told, world.now);
  world.there_is_held = false;
  world.control.remove_queue("far");
  world.settle();
  EXPECT_EQ(published() + lost(), 0u);
  world.sessions.check_invariants();
}

}  // namespace
}  // namespace talaria::amqp091::session
