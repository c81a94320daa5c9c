// Channels, frame sequence, declarations, consumers, and how all of it ends.
#include "tests/unit/amqp091/session/client.h"

namespace talaria::amqp091::session {
namespace {

using wire::ReplyCode;

struct SessionChannel : testing::Test {
  void SetUp() override {
    client.open();
    client.open_channel(1);
    client.declare(1, "q");
  }
  World world;
  Client client{world};
};

// ---- frame sequence (reference section 5: #2, #4) -------------------------------------------------------------------

TEST_F(SessionChannel, FrameOnAChannelThatIsNotOpen) {
  client.send(7, wire::basic::Get{.queue = "q"});
  client.expect_connection_close(ReplyCode::channel_error, "CHANNEL_ERROR - expected 'channel.open'");
}

TEST_F(SessionChannel, SecondOpen) {
  client.send(1, wire::channel::Open{});
  client.expect_connection_close(ReplyCode::channel_error, "second 'channel.open' seen");
}

TEST_F(SessionChannel, NumberAboveTheNegotiatedMaximum) {
  client.send(2048, wire::channel::Open{});
  client.expect_connection_close(ReplyCode::not_allowed, "channel_max");
}

TEST_F(SessionChannel, OversizeFrame) {
  client.send_frame(3, 1, std::vector<uint8_t>(131073));
  EXPECT_EQ(client.expect<wire::connection::Close>(0).reply_code, 501);
}

TEST_F(SessionChannel, WrongLastOctet) {
  std::vector<uint8_t> payload(4);
  base::store_be32(payload.data(), wire::basic::RecoverOk::id);
  client.send_frame(1, 1, payload, 0xCD);
  auto close = client.expect<wire::connection::Close>(0);
  EXPECT_EQ(close.reply_code, 501);
  // Nothing after it is read, close-ok neither: the connection ends by itself.
  client.send(0, wire::connection::CloseOk{});
  world.wait(2s);
  EXPECT_FALSE(client.stream().finished);
  world.wait(2s);
  EXPECT_TRUE(client.stream().finished);
}

TEST_F(SessionChannel, WrongLastOctetOfABodyThatIsStreamed) {
  client.send(1, wire::basic::Publish{.routing_key = "q"});
  client.send_header(1, 10000);
  client.send_frame(3, 1, std::vector<uint8_t>(10000), 0xCD);
  EXPECT_EQ(client.expect<wire::connection::Close>(0).reply_code, 501);
}

TEST_F(SessionChannel, UnknownFrameType) {
  client.send_frame(4, 1, {});
  EXPECT_EQ(client.expect<wire::connection::Close>(0).reply_code, 501);
}

TEST_F(SessionChannel, HeartbeatOnAChannel) {
  client.send_frame(8, 1, {});
  EXPECT_EQ(client.expect<wire::connection::Close>(0).reply_code, 505);
}

TEST_F(SessionChannel, HeaderWithoutMethod) {
  client.send_header(1, 3);
  client.expect_connection_close(ReplyCode::unexpected_frame, "UNEXPECTED_FRAME - expected method frame");
}

TEST_F(SessionChannel, BodyWithoutMethod) {
  client.send_body(1, "abc");
  client.expect_connection_close(ReplyCode::unexpected_frame, "expected method frame");
}

TEST_F(SessionChannel, MethodInTheMiddleOfContent) {
  client.send(1, wire::basic::Publish{.routing_key = "q"});
  client.send_header(1, 3);
  client.send(1, wire::basic::Get{.queue = "q"});
  client.expect_connection_close(ReplyCode::unexpected_frame, "expected content body");
}

TEST_F(SessionChannel, BodyLongerThanAnnounced) {
  client.send(1, wire::basic::Publish{.routing_key = "q"});
  client.send_header(1, 3);
  client.send_body(1, "abcd");
  client.expect_connection_close(ReplyCode::frame_error, "longer");
}

TEST_F(SessionChannel, ContentOfAnotherClass) {
  client.send(1, wire::basic::Publish{.routing_key = "q"});
  std::vector<uint8_t> payload(14);
  base::store_be16(payload.data(), 50);
  client.send_frame(2, 1, payload);
  client.expect_connection_close(ReplyCode::unexpected_frame, "");
}

TEST_F(SessionChannel, UnknownMethod) {
  client.send_frame(1, 1, std::vector<uint8_t>{0, 99, 0, 1});
  client.expect_connection_close(ReplyCode::command_invalid, "COMMAND_INVALID");
}

TEST_F(SessionChannel, TruncatedMethod) {
  client.send_frame(1, 1, std::vector<uint8_t>{0, 60, 0, 40, 0, 0, 200, 'x'});
  EXPECT_EQ(client.expect<wire::connection::Close>(0).reply_code, 501);
}

TEST_F(SessionChannel, WhatOnlyAServerSays) {
  client.send(1, wire::basic::GetEmpty{});
  client.expect_connection_close(ReplyCode::command_invalid, "basic.get-empty");
}

TEST_F(SessionChannel, FlowAndAccessAndImmediate) {
  client.send(1, wire::access::Request{.realm = "/data"});
  EXPECT_EQ(client.expect<wire::access::RequestOk>(1).ticket, 1);
  client.send(1, wire::channel::Flow{.active = true});
  EXPECT_TRUE(client.expect<wire::channel::FlowOk>(1).active);
  client.send(1, wire::basic::Publish{.routing_key = "q", .immediate = true});
  client.expect_connection_close(ReplyCode::not_implemented, "immediate=true");
}

TEST_F(SessionChannel, FlowOffIsNotImplemented) {
  client.send(1, wire::channel::Flow{.active = false});
  client.expect_connection_close(ReplyCode::not_implemented, "active=false");
}

// ---- errors are local (#5) ------------------------------------------------------------------------------------------

TEST_F(SessionChannel, AfterAnErrorItsFramesAreDroppedUntilCloseOk) {
  client.open_channel(2);
  client.publish(1, "missing", "k", "never seen");
  for (unsigned i = 0; i < 5; i++) client.publish(1, "", "q", "dropped");
  client.send(1, wire::basic::Ack{.delivery_tag = 9});
  client.publish(2, "", "q", "kept");
  auto close = client.expect<wire::channel::Close>(1);
  EXPECT_EQ(close.reply_code, 404);
  EXPECT_EQ(close.reply_text, "NOT_FOUND - no exchange 'missing' in vhost '/'");
  EXPECT_EQ(close.class_id, 60);
  EXPECT_EQ(close.method_id, 40);
  client.publish(1, "", "q", std::string(50000, 'x'));  // dropped as well, streamed
  client.send(1, wire::channel::CloseOk{});
  client.send(1, wire::channel::Open{});  // at once, on the same number
  client.expect<wire::channel::OpenOk>(1);
  client.publish(1, "", "q", "new");
  world.settle();
  EXPECT_EQ(world.control.counters("q").ready.value(), 2u);
  client.send(1, wire::basic::Get{.queue = "q", .no_ack = true});
  client.expect<wire::basic::GetOk>(1);
  EXPECT_EQ(client.expect_content(1).body, "kept");
}

TEST_F(SessionChannel, CrossingCloseIsAnswered) {
  client.send(1, wire::basic::Ack{.delivery_tag = 9});
  client.send(1, wire::channel::Close{.reply_code = 200});
  client.expect<wire::channel::Close>(1);
  client.expect<wire::channel::CloseOk>(1);
  client.send(1, wire::channel::CloseOk{});
  client.open_channel(1);
}

TEST_F(SessionChannel, CrossingConnectionCloseIsAnswered) {
  client.send(1, wire::channel::Open{});
  client.send(0, wire::connection::Close{.reply_code = 200});
  client.expect<wire::connection::Close>(0);
  client.expect<wire::connection::CloseOk>(0);
  client.send(0, wire::connection::CloseOk{});
  world.settle();
  EXPECT_TRUE(client.stream().finished);
}

TEST_F(SessionChannel, PublishToAnInternalExchange) {
  client.publish(1, "inner", "", "x");
  client.expect_channel_close(1, ReplyCode::access_refused, "cannot publish to internal exchange 'inner'");
}

TEST(SessionLimits, MessageAboveTheMaximum) {
  WorldOptions options;
  options.session.message_size_max = 1000;
  World world(options);
  Client client(world);
  client.open();
  client.open_channel(1);
  client.declare(1, "q");
  client.publish(1, "", "q", std::string(1000, 'x'));
  client.publish(1, "", "q", std::string(1001, 'x'));
  client.expect_channel_close(1, ReplyCode::precondition_failed,
                              "message size 1001 is larger than configured max size 1000");
  EXPECT_EQ(world.control.counters("q").ready.value(), 1u);
}

// Properties that are nothing but a user-id.
std::vector<uint8_t> signed_by(std::string_view user) {
  wire::Properties properties;
  properties.user_id = user;
  properties.set(wire::Property::user_id);
  return encoded(properties);
}

TEST_F(SessionChannel, UserIdMustBeOnesOwn) {
  client.publish(1, "", "q", "x", false, signed_by("guest"));
  client.publish(1, "", "q", "x", false, signed_by("boss"));
  client.expect_channel_close(1, ReplyCode::precondition_failed,
                              "user_id property set to 'boss' but authenticated user was 'guest'");
  EXPECT_EQ(world.control.counters("q").ready.value(), 1u);
}

TEST_F(SessionChannel, AnImpersonatorMaySignWithAnyName) {
  const std::vector<uint8_t> raw = signed_by("boss");
  world.control.impersonators = true;
  for (unsigned i = 0; i < 3; i++) client.publish(1, "", "q", "x", false, raw);
  world.settle();
  EXPECT_EQ(world.control.counters("q").ready.value(), 3u);
  EXPECT_EQ(world.control.count_asked<broker::Impersonate>(), 1u);
  client.send(1, wire::basic::Get{.queue = "q", .no_ack = true});
  client.expect<wire::basic::GetOk>(1);
  EXPECT_EQ(client.expect_content(1).properties, base::as_text(raw));
  // No longer than he is one.
  world.control.impersonators = false;
  world.control.apply(broker::PermissionsChanged{});
  world.sessions.on_permissions_changed();
  client.publish(1, "", "q", "x", false, raw);
  client.publish(1, "", "q", "dropped");
  client.expect_channel_close(1, ReplyCode::precondition_failed,
                              "user_id property set to 'boss' but authenticated user was 'guest'");
  EXPECT_EQ(world.control.counters("q").ready.value(), 2u);
}

// What was said before permissions changed is not kept, nor what was said to the old secret.
TEST_F(SessionChannel, AnImpersonatorIsAskedAboutAgain) {
  const std::vector<uint8_t> raw = signed_by("boss");
  world.control.impersonators = true;
  client.publish(1, "", "q", "x");
  client.expect_nothing();
  world.control_silent = true;
  client.publish(1, "", "q", "x", false, raw);
  client.expect_nothing();
  world.sessions.on_permissions_changed();
  world.control_silent = false;
  client.expect_nothing();
  EXPECT_EQ(world.control.count_asked<broker::Impersonate>(), 2u);
  client.send(0, wire::connection::UpdateSecret{.new_secret = base::as_bytes("new secret"), .reason = "r"});
  client.expect<wire::connection::UpdateSecretOk>(0);
  client.publish(1, "", "q", "x", false, raw);
  client.expect_nothing();
  EXPECT_EQ(world.control.count_asked<broker::Impersonate>(), 3u);
  EXPECT_EQ(world.control.counters("q").ready.value(), 3u);
}

// ---- permissions ----------------------------------------------------------------------------------------------------

TEST_F(SessionChannel, PermissionsAreAskedOnceAndAgainWhenTheyChange) {
  world.control.add_exchange("secret.exchange", broker::ExchangeType::fanout);
  for (unsigned i = 0; i < 10; i++) client.publish(1, "", "q", "x");
  client.send(1, wire::basic::Get{.queue = "q", .no_ack = true});
  client.expect<wire::basic::GetOk>(1);
  client.expect_content(1);
  EXPECT_EQ(world.control.count_asked<broker::Authorize>(), 2u);
  client.declare(1, "r");  // topology changes: looked up again, not asked again
  client.publish(1, "", "q", "x");
  world.settle();
  EXPECT_EQ(world.control.count_asked<broker::Authorize>(), 2u);
  world.control.apply(broker::PermissionsChanged{});
  world.sessions.on_permissions_changed();
  client.publish(1, "", "q", "x");
  world.settle();
  EXPECT_EQ(world.control.count_asked<broker::Authorize>(), 3u);
  client.publish(1, "secret.exchange", "", "x");
  client.expect_channel_close(1, ReplyCode::access_refused, "ACCESS_REFUSED - access to 'secret.exchange' refused");
}

TEST_F(SessionChannel, RoutingKeysAreAskedForOnceEachWhereTopicPermissionsDecide) {
  world.control.add_exchange("topics", broker::ExchangeType::topic);
  world.control.add_exchange("no topics", broker::ExchangeType::fanout);
  world.control.bind("topics", "q", "#", {});
  world.control.limited = {"topics", "no topics"};
  const auto asked = [&] {
    world.settle();
    return world.control.count_asked<broker::Authorize>();
  };
  for (const char* key : {"mine.a", "mine.a", "mine.b", "mine.a", "mine.b"}) client.publish(1, "topics", key, "x");
  EXPECT_EQ(asked(), 3u) << "once for the exchange, and for each key";
  EXPECT_EQ(world.control.counters("q").ready.value(), 5u);
  client.publish(1, "no topics", "anything", "x");
  client.publish(1, "no topics", "else", "x");
  EXPECT_EQ(asked(), 4u);
  client.open_channel(2);
  client.publish(2, "topics", "mine.b", "x");
  EXPECT_EQ(asked(), 4u) << "a connection's channels share what it knows";
  client.publish(2, "topics", "yours", "x");
  client.expect_channel_close(2, ReplyCode::access_refused, "ACCESS_REFUSED - access to topic 'yours' refused");
  client.publish(1, "topics", "yours", "x");
  client.expect_channel_close(1, ReplyCode::access_refused, "access to topic 'yours' refused");
  EXPECT_EQ(asked(), 5u);
  EXPECT_EQ(world.control.counters("q").ready.value(), 6u);
}

TEST_F(SessionChannel, KeysThatAreNeverTheSameDoNotPileUp) {
  world.control.add_exchange("topics", broker::ExchangeType::topic);
  world.control.bind("topics", "q", "#", {});
  world.control.limited = {"topics"};
  for (unsigned i = 0; i < 3000; i++) {
    client.publish(1, "topics", "mine." + std::to_string(i), "x");
    if (i % 100 == 99) world.settle();
  }
  EXPECT_EQ(world.control.counters("q").ready.value(), 3000u);
  // Permissions that change are asked for again.
  world.control.limited = {};
  world.control.apply(broker::PermissionsChanged{});
  world.sessions.on_permissions_changed();
  client.publish(1, "topics", "yours", "x");
  world.settle();
  EXPECT_EQ(world.control.counters("q").ready.value(), 3001u);
}

TEST_F(SessionChannel, RefusedQueueIsRefusedForAllThatRead) {
  client.declare(1, "secret");
  client.open_channel(2);
  client.send(2, wire::basic::Get{.queue = "secret"});
  client.expect_channel_close(2, ReplyCode::access_refused, "refused");
  client.open_channel(2);
  client.send(2, wire::basic::Consume{.queue = "secret"});
  client.expect_channel_close(2, ReplyCode::access_refused, "refused");
  client.open_channel(2);
  client.send(2, wire::queue::Purge{.queue = "secret"});
  client.expect_channel_close(2, ReplyCode::access_refused, "refused");
  world.control.remove_queue("secret");
}

// ---- declare --------------------------------------------------------------------------------------------------------

TEST_F(SessionChannel, DeclareOfAnExistingQueueTellsItsCounts) {
  client.publish(1, "", "q", "x");
  client.publish(1, "", "q", "y");
  client.send(1, wire::queue::Declare{.queue = "q", .passive = true});
  auto ok = client.expect<wire::queue::DeclareOk>(1);
  EXPECT_EQ(ok.queue, "q");
  EXPECT_EQ(ok.message_count, 2u);
  EXPECT_EQ(ok.consumer_count, 0u);
  client.send(1, wire::queue::Declare{.queue = "no\r\nne", .passive = true});
  client.expect_channel_close(1, ReplyCode::not_found, "NOT_FOUND - no queue 'none' in vhost '/'");
}

TEST_F(SessionChannel, EmptyNameIsTheQueueDeclaredLast) {
  client.send(1, wire::queue::Declare{});
  std::string name(client.expect<wire::queue::DeclareOk>(1).queue);
  EXPECT_TRUE(name.starts_with("amq.gen-"));
  client.send(1, wire::queue::Bind{.queue = "", .exchange = "amq.direct", .routing_key = ""});
  client.expect<wire::queue::BindOk>(1);
  const auto& bind = std::get<broker::Bind>(world.control.asked.back().body);
  EXPECT_EQ(bind.destination, name);
  EXPECT_EQ(bind.key, name);
  client.publish(1, "amq.direct", name, "x");
  client.send(1, wire::basic::Get{});
  client.expect<wire::basic::GetOk>(1);
  client.expect_content(1);
  client.send(1, wire::queue::Delete{});
  client.expect<wire::queue::DeleteOk>(1);
  client.open_channel(2);
  client.send(2, wire::basic::Get{});
  client.expect_channel_close(2, ReplyCode::not_found, "no previously declared queue");
}

TEST_F(SessionChannel, EveryDeclarationIsAnswered) {
  client.send(1, wire::exchange::Declare{.exchange = "x", .type = "fanout"});
  client.expect<wire::exchange::DeclareOk>(1);
  client.send(1, wire::exchange::Bind{.destination = "x", .source = "amq.topic", .routing_key = "#"});
  client.expect<wire::exchange::BindOk>(1);
  client.send(1, wire::exchange::Unbind{.destination = "x", .source = "amq.topic", .routing_key = "#"});
  client.expect<wire::exchange::UnbindOk>(1);
  client.send(1, wire::queue::Unbind{.queue = "q", .exchange = "amq.topic", .routing_key = "k"});
  client.expect<wire::queue::UnbindOk>(1);
  client.send(1, wire::exchange::Delete{.exchange = "x"});
  client.expect<wire::exchange::DeleteOk>(1);
  client.send(1, wire::queue::Delete{.queue = "missing"});
  EXPECT_EQ(client.expect<wire::queue::DeleteOk>(1).message_count, 0u);
  client.send(1, wire::exchange::Declare{.exchange = "y", .type = "strange"});
  client.expect_channel_close(1, ReplyCode::precondition_failed, "invalid exchange type 'strange'");
}

TEST_F(SessionChannel, NoWaitIsNotAnsweredButErrorsAre) {
  client.send(1, wire::exchange::Declare{.exchange = "x", .type = "fanout", .no_wait = true});
  client.send(1, wire::queue::Declare{.queue = "q", .no_wait = true});
  client.send(1, wire::queue::Bind{.queue = "q", .exchange = "x", .no_wait = true});
  client.send(1, wire::basic::Consume{.queue = "q", .consumer_tag = "c", .no_ack = true, .no_wait = true});
  client.send(1, wire::queue::Purge{.queue = "q", .no_wait = true});
  client.publish(1, "x", "", "hello");
  EXPECT_EQ(client.expect_delivery(1, "c", 1), "hello");
  client.send(1, wire::basic::Cancel{.consumer_tag = "c", .no_wait = true});
  client.send(1, wire::queue::Delete{.queue = "q", .no_wait = true});
  client.expect_nothing();
  client.send(1, wire::queue::Bind{.queue = "q", .exchange = "missing", .no_wait = true});
  client.expect_channel_close(1, ReplyCode::not_found, "no exchange 'missing'");
}

TEST_F(SessionChannel, WhileOneWaitsForTheControlPlaneOthersGoOn) {
  Client other(world);
  other.open();
  other.open_channel(1);
  world.control_silent = true;
  client.send(1, wire::exchange::Declare{.exchange = "x", .type = "fanout"});
  client.publish(1, "", "q", "behind it");
  other.send(1, wire::basic::Qos{.prefetch_count = 1});
  other.expect<wire::basic::QosOk>(1);
  client.expect_nothing();
  EXPECT_EQ(world.control.counters("q").ready.value(), 0u);
  world.control_silent = false;
  client.expect<wire::exchange::DeclareOk>(1);
  world.settle();
  EXPECT_EQ(world.control.counters("q").ready.value(), 1u);
}

TEST_F(SessionChannel, AnswersThatComeTooLateAreForNobody) {
  world.control_silent = true;
  client.send(1, wire::exchange::Declare{.exchange = "x", .type = "fanout"});
  world.settle();
  client.abort_transport();
  world.settle();
  EXPECT_EQ(world.sessions.session_count(), 1u);  // its answer is under way, then CloseConnection
  world.sessions.on_answer({{{0, 99}, 0}, 1, broker::Done{}}, world.now);
  world.sessions.on_answer({{{0, 1}, 0}, 12345, broker::Done{}}, world.now);
  EXPECT_EQ(world.sessions.counters().answers_stale.value(), 2u);
  world.control_silent = false;
  world.settle();
  EXPECT_EQ(world.sessions.session_count(), 0u);
}

TEST_F(SessionChannel, PurgeCountsWhatWasReady) {
  client.consume(1, "q", "c");
  client.publish(1, "", "q", "unacknowledged");
  client.expect_delivery(1, "c", 1);
  client.send(1, wire::basic::Cancel{.consumer_tag = "c"});
  client.expect<wire::basic::CancelOk>(1);
  client.publish(1, "", "q", "x");
  client.publish(1, "", "q", "y");
  client.send(1, wire::queue::Purge{.queue = "q"});
  EXPECT_EQ(client.expect<wire::queue::PurgeOk>(1).message_count, 2u);
  client.send(1, wire::queue::Purge{.queue = "missing"});
  client.expect_channel_close(1, ReplyCode::not_found, "no queue 'missing'");
}

TEST_F(SessionChannel, AnotherConnectionsExclusiveQueueIsLocked) {
  client.declare(1, "temp", true);
  Client other(world);
  other.open();
  auto locked = [&](const auto& method) {
    other.open_channel(1);
    other.send(1, method);
    other.expect_channel_close(1, ReplyCode::resource_locked,
                               "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'temp' in vhost '/'");
    world.settle();
  };
  locked(wire::basic::Consume{.queue = "temp"});
  locked(wire::basic::Get{.queue = "temp"});
  locked(wire::queue::Purge{.queue = "temp"});
  client.consume(1, "temp", "c");
  // It is gone before close-ok.
  client.send(0, wire::connection::Close{.reply_code = 200});
  client.expect<wire::connection::CloseOk>(0);
  EXPECT_FALSE(world.control.has_queue("temp"));
}

// ---- consumers ------------------------------------------------------------------------------------------------------

TEST_F(SessionChannel, ConsumerTagsAreMadeAndUnique) {
  client.send(1, wire::basic::Consume{.queue = "q"});
  std::string first(client.expect<wire::basic::ConsumeOk>(1).consumer_tag);
  client.send(1, wire::basic::Consume{.queue = "q"});
  std::string second(client.expect<wire::basic::ConsumeOk>(1).consumer_tag);
  EXPECT_TRUE(first.starts_with("amq.ctag-"));
  EXPECT_NE(first, second);
  client.send(1, wire::basic::Consume{.queue = "q", .consumer_tag = first});
  client.expect_connection_close(ReplyCode::not_allowed, "attempt to reuse consumer tag '" + first + "'");
}

TEST_F(SessionChannel, ConsumeFailures) {
  client.open_channel(2);
  client.send(2, wire::basic::Consume{.queue = "missing"});
  client.expect_channel_close(2, ReplyCode::not_found, "no queue 'missing' in vhost '/'");
  client.send(1, wire::basic::Consume{.queue = "q", .consumer_tag = "c", .exclusive = true});
  client.expect<wire::basic::ConsumeOk>(1);
  client.open_channel(2);
  client.send(2, wire::basic::Consume{.queue = "q"});
  client.expect_channel_close(2, ReplyCode::access_refused, "queue 'q' in vhost '/' in exclusive use");
  EXPECT_EQ(world.sessions.counters().consumers.value(), 1u);
}

TEST_F(SessionChannel, CancelOfAnUnknownTagIsAnswered) {
  client.send(1, wire::basic::Cancel{.consumer_tag = "nobody"});
  EXPECT_EQ(client.expect<wire::basic::CancelOk>(1).consumer_tag, "nobody");
}

TEST_F(SessionChannel, DeletedQueueCancelsItsConsumers) {
  Client old(world);
  old.open(131072, 0, {});
  old.open_channel(1);
  old.consume(1, "q", "d");
  client.consume(1, "q", "c");
  client.publish(1, "", "q", "x");
  client.publish(1, "", "q", "x");
  client.expect_delivery(1, "c", 1);
  old.expect_delivery(1, "d", 1);
  client.send(1, wire::queue::Delete{.queue = "q"});
  auto cancel = client.expect<wire::basic::Cancel>(1);
  EXPECT_EQ(cancel.consumer_tag, "c");
  EXPECT_TRUE(cancel.no_wait);
  client.expect<wire::queue::DeleteOk>(1);
  old.expect_nothing();
  // Settling what came from it is no error.
  client.send(1, wire::basic::Ack{.delivery_tag = 1});
  client.expect_nothing();
  EXPECT_EQ(world.sessions.counters().consumers.value(), 0u);
}

TEST_F(SessionChannel, LastConsumerTakesAnAutoDeleteQueueAlong) {
  client.declare(1, "temp", false, true);
  client.consume(1, "temp", "c");
  client.consume(1, "temp", "d");
  client.send(1, wire::basic::Cancel{.consumer_tag = "c"});
  client.expect<wire::basic::CancelOk>(1);
  EXPECT_TRUE(world.control.has_queue("temp"));
  client.send(1, wire::basic::Cancel{.consumer_tag = "d"});
  client.expect<wire::basic::CancelOk>(1);
  EXPECT_FALSE(world.control.has_queue("temp"));
}

TEST_F(SessionChannel, ClosingAChannelTakesAutoDeleteQueuesAlongBeforeCloseOk) {
  client.declare(1, "temp", false, true);
  client.open_channel(2);
  client.consume(2, "temp", "c");
  client.send(2, wire::channel::Close{});
  client.expect<wire::channel::CloseOk>(2);
  EXPECT_FALSE(world.control.has_queue("temp"));
  client.open_channel(2);
}

TEST_F(SessionChannel, LostConnectionTakesAutoDeleteQueuesAlong) {
  Client other(world);
  other.open();
  other.open_channel(1);
  other.declare(1, "temp", false, true);
  other.declare(1, "far", false, true);
  other.consume(1, "temp", "c");
  other.consume(1, "far", "d");
  other.abort_transport();
  world.settle();
  EXPECT_FALSE(world.control.has_queue("temp"));
  EXPECT_FALSE(world.control.has_queue("far"));
  EXPECT_EQ(world.sessions.session_count(), 1u);
}

TEST_F(SessionChannel, PriorityIsTakenFromTheArguments) {
  base::FieldTable arguments{{"x-priority", {int16_t{10}}}};
  const std::vector<uint8_t> fields = encoded(arguments);
  client.consume(1, "q", "low", true);
  wire::basic::Consume method{.queue = "q", .consumer_tag = "high", .no_ack = true};
  method.arguments.bytes = fields;
  client.send(1, method);
  client.expect<wire::basic::ConsumeOk>(1);
  for (unsigned i = 0; i < 10; i++) client.publish(1, "", "q", "x");
  for (unsigned i = 0; i < 10; i++) client.expect_delivery(1, "high", i + 1);
}

TEST_F(SessionChannel, CountersTellWhatIsOpenOnIt) {
  std::shared_ptr<const broker::ChannelCounters> counters;
  for (const broker::Request& request : world.control.asked)
    if (const auto* opened = std::get_if<broker::ChannelOpened>(&request.body)) counters = opened->counters;
  ASSERT_TRUE(counters);

  client.send(1, wire::confirm::Select{});
  client.expect<wire::confirm::SelectOk>(1);
  client.publish(1, "", "q", "w");  // after this one the exchange is known
  world.settle();
  client.publish(1, "", "q", "x");
  client.publish(1, "", "nobody", "x");
  // Half a turn: what came in was read, and nothing has answered yet.
  world.client.transmit(world.now);
  world.server.receive(world.now);
  for (const tcp::Event& event : world.server.stack.events())
    if (event.readable) world.sessions.on_readable(event.id, world.now);
  world.server.stack.clear_events();
  EXPECT_EQ(counters->unconfirmed.value(), 2u);
  world.settle();
  EXPECT_EQ(counters->unconfirmed.value(), 0u);

  client.publish(1, "", "q", "y");
  world.settle();
  client.send(1, wire::basic::Get{.queue = "q"});
  client.send(1, wire::basic::Consume{.queue = "q", .consumer_tag = "c"});
  world.settle();
  EXPECT_EQ(counters->unacknowledged.value(), 3u) << "one got, two delivered";
  client.send(1, wire::basic::Ack{.delivery_tag = 2, .multiple = true});
  world.settle();
  EXPECT_EQ(counters->unacknowledged.value(), 1u);
  client.send(1, wire::channel::Close{});
  world.settle();
  EXPECT_EQ(counters->unacknowledged.value(), 0u);
  EXPECT_EQ(counters->unconfirmed.value(), 0u);
}

TEST_F(SessionChannel, NoticesTellTheControlPlaneWhatThereIs) {
  client.send(1, wire::basic::Qos{.prefetch_count = 7});
  client.expect<wire::basic::QosOk>(1);
  client.consume(1, "q", "c");
  client.send(1, wire::basic::Cancel{.consumer_tag = "c"});
  client.expect<wire::basic::CancelOk>(1);
  client.send(1, wire::channel::Close{});
  client.expect<wire::channel::CloseOk>(1);
  EXPECT_EQ(world.control.count_asked<broker::ChannelOpened>(), 1u);
  EXPECT_EQ(world.control.count_asked<broker::ChannelChanged>(), 1u);
  EXPECT_EQ(world.control.count_asked<broker::ConsumerAdded>(), 1u);
  EXPECT_EQ(world.control.count_asked<broker::ConsumerRemoved>(), 1u);
  EXPECT_EQ(world.control.count_asked<broker::ChannelClosed>(), 1u);
}

TEST_F(SessionChannel, HalfClosedClientIsServedThenLetGo) {
  client.publish(1, "", "q", "last words");
  client.close_transport();
  world.settle();
  EXPECT_EQ(world.control.counters("q").ready.value(), 1u);
  EXPECT_EQ(world.sessions.session_count(), 0u);
  EXPECT_TRUE(client.stream().finished);
}

// ---- permissions that change ----------------------------------------------------------------------------------------

struct SessionPermissions : testing::Test {
  static constexpr uint16_t numbers[] = {1, 2, 3, 4};
  void SetUp() override {
    client.open();
    for (const uint16_t number : numbers) client.open_channel(number);
    client.declare(1, "q");
    for (const uint16_t number : std::span(numbers).first(2)) client.publish(number, "amq.direct", "x", "x");
    client.send(3, wire::basic::Get{.queue = "q"});
    client.expect<wire::basic::GetEmpty>(3);
    world.control.forbidden = {"amq.direct", "q"};
  }
  void expect_all_refused() {
    for (const uint16_t number : std::span(numbers).first(2)) {
      client.publish(number, "amq.direct", "x", "x");
      client.expect_channel_close(number, ReplyCode::access_refused, "access to 'amq.direct' refused");
    }
    client.send(3, wire::basic::Get{.queue = "q"});
    client.expect_channel_close(3, ReplyCode::access_refused, "access to 'q' refused");
    client.send(4, wire::basic::Consume{.queue = "q"});
    client.expect_channel_close(4, ReplyCode::access_refused, "access to 'q' refused");
  }
  World world;
  Client client{world};
};

TEST_F(SessionPermissions, AreForgottenWithTheSecret) {
  client.send(0, wire::connection::UpdateSecret{.new_secret = base::as_bytes("new secret"), .reason = "it expired"});
  client.expect<wire::connection::UpdateSecretOk>(0);
  expect_all_refused();
}

// The answer was given before the change and comes after it.
TEST_F(SessionPermissions, AnAnswerUnderWayWhenTheyChangeIsNotRemembered) {
  world.control.forbidden = {};
  client.declare(1, "r");
  world.control_silent = true;
  client.send(3, wire::basic::Get{.queue = "r"});
  world.settle();
  std::vector<broker::Request*> requests = world.sessions.take_requests();
  ASSERT_EQ(requests.size(), 1u);
  broker::Answer allowed = world.control.answer(*requests[0]);
  delete requests[0];
  world.control.forbidden = {"r"};
  world.control.apply(broker::PermissionsChanged{});
  world.sessions.on_permissions_changed();
  world.sessions.on_answer(std::move(allowed), world.now);
  world.control_silent = false;
  client.expect_channel_close(3, ReplyCode::access_refused, "access to 'r' refused");
}

}  // namespace
}  // namespace talaria::amqp091::session
