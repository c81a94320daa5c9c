#include "tests/unit/amqp091/session/client.h"

namespace talaria::amqp091::session {
namespace {

using wire::ReplyCode;

TEST(SessionHandshake, OpensAndClosesInOrder) {
  World world;
  Client client(world);
  client.send_raw(Bytes(wire::protocol_header));
  auto start = client.expect<wire::connection::Start>(0);
  EXPECT_EQ(base::as_text(start.mechanisms), "PLAIN AMQPLAIN");
  auto properties = wire::decode_table(start.server_properties);
  ASSERT_TRUE(properties.has_value());
  EXPECT_EQ(*base::find(*properties, "product")->text(), "Talaria");
  const auto& capabilities = std::get<base::FieldTable>(base::find(*properties, "capabilities")->value);
  for (const char* name :
       {"publisher_confirms", "basic.nack", "consumer_cancel_notify", "connection.blocked", "direct_reply_to"})
    EXPECT_TRUE(*base::find(capabilities, name)->boolean()) << name;

  wire::connection::StartOk start_ok;
  start_ok.mechanism = "PLAIN";
  start_ok.response = base::as_bytes(std::string_view("\0guest\0guest", 12));
  client.send(0, start_ok);
  auto tune = client.expect<wire::connection::Tune>(0);
  EXPECT_EQ(tune.channel_max, 2047);
  EXPECT_EQ(tune.frame_max, 131072u);
  EXPECT_EQ(tune.heartbeat, 60);
  // Pipelined, as clients do it.
  client.send(0, wire::connection::TuneOk{.channel_max = 10, .frame_max = 8192, .heartbeat = 0});
  client.send(0, wire::connection::Open{.virtual_host = "/"});
  client.expect<wire::connection::OpenOk>(0);
  EXPECT_EQ(world.sessions.infos()[0].state.value(), static_cast<uint64_t>(SessionState::open));

  client.send(0, wire::connection::Close{.reply_code = 200, .reply_text = "bye"});
  client.expect<wire::connection::CloseOk>(0);
  world.settle();
  EXPECT_TRUE(client.stream().finished);
  EXPECT_EQ(world.sessions.session_count(), 0u);
  EXPECT_EQ(world.control.count_asked<broker::OpenConnection>(), 1u);
  EXPECT_EQ(world.control.count_asked<broker::CloseConnection>(), 1u);
}

TEST(SessionHandshake, OctetByOctetIsTheSame) {
  World world;
  Client client(world);
  client.octet_by_octet = true;
  client.open();
  client.open_channel(1);
  client.declare(1, "q");
  client.consume(1, "q", "c");
  client.publish(1, "", "q", "hello");
  EXPECT_EQ(client.expect_delivery(1, "c", 1), "hello");
  client.send(1, wire::basic::Ack{.delivery_tag = 1});
  world.settle();
  EXPECT_EQ(world.control.counters("q").acknowledged.value(), 1u);
}

TEST(SessionHandshake, AmqplainWorks) {
  World world;
  Client client(world);
  client.send_raw(Bytes(wire::protocol_header));
  client.expect<wire::connection::Start>(0);
  base::FieldTable table{{"LOGIN", {std::string("guest")}}, {"PASSWORD", {std::string("guest")}}};
  const std::vector<uint8_t> fields = encoded(table);
  wire::connection::StartOk start_ok;
  start_ok.mechanism = "AMQPLAIN";
  start_ok.response = fields;
  client.send(0, start_ok);
  client.expect<wire::connection::Tune>(0);
}

TEST(SessionHandshake, WrongProtocolHeaderIsAnsweredWithOurs) {
  World world;
  for (std::string_view header : {std::string_view("AMQP\0\1\0\0", 8), std::string_view("AMQP\3\1\0\0", 8),
                                  std::string_view("hello, world", 12)}) {
    Client client(world);
    client.send_raw(header);
    world.settle();
    EXPECT_EQ(client.stream().received,
              std::vector<uint8_t>(wire::protocol_header.begin(), wire::protocol_header.end()));
    EXPECT_TRUE(client.stream().finished);
  }
  EXPECT_EQ(world.sessions.counters().refused_greeting.value(), 3u);
}

TEST(SessionHandshake, OldSpellingOfTheHeaderIsAccepted) {
  World world;
  Client client(world);
  client.send_raw(std::string_view("AMQP\1\1\0\11", 8));
  client.expect<wire::connection::Start>(0);
}

TEST(SessionHandshake, BrowsersAndTlsAreRecognised) {
  World world;
  Client browser(world), tls(world);
  browser.send_raw("GET / HTTP/1.1\r\n\r\n");
  tls.send_raw(std::string_view("\x16\x03\x01\x02\x00\x01", 6));
  world.settle();
  EXPECT_TRUE(browser.stream().received.empty());
  EXPECT_TRUE(browser.stream().finished);
  EXPECT_TRUE(tls.stream().finished);
  EXPECT_EQ(world.sessions.counters().refused_http.value(), 1u);
  EXPECT_EQ(world.sessions.counters().refused_tls.value(), 1u);
}

TEST(SessionHandshake, WrongPasswordIsSaidToWhoCanHearIt) {
  World world;
  Client client(world);
  client.start("guest", "wrong");
  client.expect_connection_close(ReplyCode::access_refused,
                                 "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN");
  EXPECT_EQ(world.sessions.session_count(), 0u);
}

TEST(SessionHandshake, WrongPasswordIsSilenceForOthers) {
  World world;
  Client client(world);
  client.start("guest", "wrong", {});
  world.wait(1s);
  EXPECT_TRUE(client.stream().received.empty());
  EXPECT_FALSE(client.stream().finished);
  world.wait(2500ms);
  EXPECT_TRUE(client.stream().finished);
  EXPECT_EQ(world.sessions.counters().refused_credentials.value(), 1u);
}

TEST(SessionHandshake, UnknownMechanismIsSilence) {
  World world;
  Client client(world);
  client.send_raw(Bytes(wire::protocol_header));
  client.expect<wire::connection::Start>(0);
  client.send(
      0, wire::connection::StartOk{.client_properties = {}, .mechanism = "EXTERNAL", .response = {}, .locale = ""});
  world.wait(3100ms);
  EXPECT_TRUE(client.stream().finished);
  EXPECT_EQ(world.sessions.counters().refused_mechanism.value(), 1u);
}

TEST(SessionHandshake, UnknownVhostClosesTheConnection) {
  World world;
  Client client(world);
  client.start();
  client.expect<wire::connection::Tune>(0);
  client.send(0, wire::connection::TuneOk{.channel_max = 2047, .frame_max = 131072, .heartbeat = 0});
  client.send(0, wire::connection::Open{.virtual_host = "nowhere"});
  client.expect_connection_close(ReplyCode::not_allowed, "NOT_ALLOWED - vhost nowhere not found");
  EXPECT_EQ(world.control.count_asked<broker::CloseConnection>(), 0u);
}

TEST(SessionHandshake, TuneAboveOurLimitsOrWithoutLimitIsRefused) {
  struct Case {
    uint16_t channel_max;
    uint32_t frame_max;
  };
  for (Case wrong : {Case{2048, 131072}, Case{0, 131072}, Case{2047, 131073}, Case{2047, 0}, Case{2047, 4095}}) {
    World world;
    Client client(world);
    client.start();
    client.expect<wire::connection::Tune>(0);
    client.send(0, wire::connection::TuneOk{wrong.channel_max, wrong.frame_max, 0});
    client.expect_connection_close(ReplyCode::not_allowed, "negotiated");
    EXPECT_EQ(world.sessions.counters().refused_tune.value(), 1u);
  }
}

TEST(SessionHandshake, OversizeFrameBeforeTuneIsSilence) {
  World world;
  Client client(world);
  client.send_raw(Bytes(wire::protocol_header));
  client.expect<wire::connection::Start>(0);
  client.send_frame(1, 0, std::vector<uint8_t>(9000));
  world.wait(3100ms);
  EXPECT_TRUE(client.stream().received.empty());
  EXPECT_TRUE(client.stream().finished);
  EXPECT_EQ(world.sessions.counters().refused_frame.value(), 1u);
}

TEST(SessionHandshake, WhatIsOutOfPlaceIsSilence) {
  World world;
  Client client(world);
  client.send_raw(Bytes(wire::protocol_header));
  client.expect<wire::connection::Start>(0);
  client.send(1, wire::channel::Open{});
  world.wait(3100ms);
  EXPECT_TRUE(client.stream().finished);
  EXPECT_EQ(world.sessions.counters().refused_out_of_place.value(), 1u);
}

TEST(SessionHandshake, StrangersHaveABudgetOfOctets) {
  World world;
  Client client(world);
  client.send_raw(Bytes(wire::protocol_header));
  client.expect<wire::connection::Start>(0);
  for (unsigned i = 0; i < 9000; i++) client.send_frame(8, 0, {});
  world.wait(3100ms);
  EXPECT_TRUE(client.stream().finished);
  EXPECT_EQ(world.sessions.counters().refused_budget.value(), 1u);
}

TEST(SessionHandshake, SlowHandshakeIsEnded) {
  World world;
  Client client(world);
  client.send_raw("AMQ");
  world.wait(9s);
  EXPECT_FALSE(client.stream().finished);
  world.wait(1500ms);
  EXPECT_TRUE(client.stream().finished || client.stream().closed);
  EXPECT_EQ(world.sessions.counters().refused_slow.value(), 1u);
  EXPECT_EQ(world.sessions.session_count(), 0u);
}

TEST(SessionHandshake, AllSlotsTakenRefusesTheNext) {
  WorldOptions options;
  options.session.sessions = 1;
  World world(options);
  Client first(world);
  first.open();
  Client second(world);
  world.settle();
  EXPECT_TRUE(second.stream().closed);
  EXPECT_EQ(world.sessions.counters().refused_no_session.value(), 1u);
  first.open_channel(1);
}

TEST(SessionHandshake, UpdateSecretAsksAgain) {
  World world;
  Client client(world);
  client.open();
  client.send(0, wire::connection::UpdateSecret{.new_secret = base::as_bytes("new secret"), .reason = "it expired"});
  client.expect<wire::connection::UpdateSecretOk>(0);
  client.send(0, wire::connection::UpdateSecret{.new_secret = base::as_bytes("old secret"), .reason = "it expired"});
  client.expect_connection_close(ReplyCode::not_allowed, "New secret was refused");
}

TEST(SessionHeartbeat, OursComeAndTheirsAreMissed) {
  World world;
  Client client(world);
  client.open(131072, 2);
  world.wait(2s);
  auto heartbeat = client.next();
  ASSERT_TRUE(heartbeat.has_value());
  EXPECT_EQ(heartbeat->type, 8);
  EXPECT_TRUE(client.stream().connected && !client.stream().closed);
  world.wait(3500ms);
  EXPECT_TRUE(client.stream().closed);
  EXPECT_EQ(world.sessions.counters().heartbeats_missed.value(), 1u);
}

TEST(SessionHeartbeat, TheirsKeepTheConnection) {
  World world;
  Client client(world);
  client.open(131072, 1);
  for (unsigned i = 0; i < 10; i++) {
    client.send_raw(Bytes(wire::heartbeat_frame));
    world.wait(500ms);
  }
  EXPECT_FALSE(client.stream().closed);
  EXPECT_EQ(world.sessions.counters().heartbeats_missed.value(), 0u);
}

TEST(SessionDrain, ClosesEverybodyAndRefusesTheRest) {
  World world;
  Client open(world), half(world);
  open.open();
  half.send_raw("AMQ");
  world.settle();
  world.sessions.drain(world.now);
  open.expect_connection_close(ReplyCode::connection_forced, "CONNECTION_FORCED - broker forced connection closure");
  EXPECT_TRUE(half.stream().closed);
  EXPECT_TRUE(world.sessions.drained());
  Client late(world);
  world.settle();
  EXPECT_TRUE(late.stream().closed);
}

TEST(SessionDrain, AnOperatorClosesOne) {
  World world;
  Client client(world), other(world);
  client.open();
  other.open();
  world.sessions.close_session({0, 1}, broker::CloseCause::forced, "because I say so", world.now);
  client.expect_connection_close(ReplyCode::connection_forced, "CONNECTION_FORCED - because I say so");
  other.open_channel(1);
}

}  // namespace
}  // namespace talaria::amqp091::session
