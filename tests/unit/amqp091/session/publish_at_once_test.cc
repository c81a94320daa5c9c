// Publishes whose frames lie there whole are taken all at once: with the same result as when they are read frame by
// frame, wherever they are cut, and what is remembered of the one before is used only while it stands.
#include "tests/unit/amqp091/session/client.h"

namespace talaria::amqp091::session {
namespace {

using wire::ReplyCode;

struct SessionPublishAtOnce : testing::Test {
  void SetUp() override {
    client.open();
    client.open_channel(1);
    client.declare(1, "q");
    client.consume(1, "q", "c", true);
  }

  struct Delivered {
    std::string exchange, routing_key, properties, body;
    bool operator==(const Delivered&) const = default;
  };
  Delivered next_delivery() {
    auto method = client.expect<wire::basic::Deliver>(1);
    Content content = client.expect_content(1);
    return {std::string(method.exchange), std::string(method.routing_key), content.properties, content.body};
  }
  void expect_bodies(std::initializer_list<std::string_view> bodies) {
    for (std::string_view body : bodies) EXPECT_EQ(next_delivery().body, body);
    client.expect_nothing();
  }

  World world;
  Client client{world};
};

std::vector<uint8_t> properties_of(uint8_t delivery_mode, uint8_t priority, std::string_view message_id) {
  wire::Properties properties;
  properties.delivery_mode = delivery_mode;
  properties.priority = priority;
  properties.message_id = message_id;
  for (auto property : {wire::Property::delivery_mode, wire::Property::priority, wire::Property::message_id})
    properties.set(property);
  return encoded(properties);
}

// Octets of publishes, and what has to come of them.
struct Stream {
  std::vector<uint8_t> octets;
  size_t frames = 0;

  template <class Emit>
  void emit(Emit&& emit) {
    std::vector<uint8_t> space(4096);
    base::Writer writer(space);
    emit(writer);
    octets.insert(octets.end(), space.begin(), space.begin() + static_cast<std::ptrdiff_t>(writer.size()));
    frames++;
  }
  void publish(std::string_view exchange, std::string_view key, Bytes raw, std::string_view body,
               size_t body_frame_max = 4096) {
    emit([&](base::Writer& out) {
      wire::emit_method_frame(out, 1, wire::basic::Publish{.exchange = exchange, .routing_key = key});
    });
    emit([&](base::Writer& out) { wire::emit_content_header_frame(out, 1, body.size(), raw); });
    for (; !body.empty(); body = body.substr(std::min(body.size(), body_frame_max))) {
      std::string_view piece = body.substr(0, body_frame_max);
      emit([&](base::Writer& out) {
        uint8_t* frame = wire::begin_frame(out, wire::FrameType::body, 1);
        out.bytes(base::as_bytes(piece));
        wire::end_frame(out, frame);
      });
    }
  }
};

TEST_F(SessionPublishAtOnce, IsTheSameWhereverItIsCut) {
  world.control.bind("amq.direct", "q", "q");
  const std::vector<uint8_t> plain = properties_of(1, 0, "m"), other = properties_of(2, 7, "n"),
                             longer = properties_of(1, 0, std::string(250, 'i'));
  std::vector<Delivered> expected;
  Stream stream;
  auto publish = [&](std::string_view exchange, Bytes raw, std::string_view body, size_t body_frame_max = 4096) {
    stream.publish(exchange, "q", raw, body, body_frame_max);
    expected.push_back({std::string(exchange), "q", std::string(base::as_text(raw)), std::string(body)});
  };
  publish("", plain, "one");
  publish("", plain, "two");
  publish("", plain, std::string(40, '3'));
  publish("", other, "four");
  publish("", other, "five");
  publish("", other, "");
  publish("", other, "in pieces, these are", 7);
  publish("", longer, "eight");
  publish("", longer, "nine");
  publish("amq.direct", longer, "ten");
  publish("amq.direct", plain, "eleven");
  publish("amq.direct", plain, "twelve");
  // A frame that waits for a permission comes, and is counted, again.
  client.publish(1, "", "q", "may he");
  client.publish(1, "amq.direct", "q", "may he");
  expect_bodies({"may he", "may he"});
  uint64_t streams = 0;
  const uint64_t published_before = world.sessions.counters().messages_published.value();
  for (size_t cut = 0; cut < stream.octets.size(); cut += cut < 400 ? 1 : 5) {
    const uint64_t frames_before = world.sessions.counters().frames_in.value();
    client.send_raw(Bytes(stream.octets).first(cut));
    if (cut != 0) world.turn();
    client.send_raw(Bytes(stream.octets).subspan(cut));
    for (const Delivered& message : expected) ASSERT_EQ(next_delivery(), message) << cut;
    ASSERT_EQ(world.sessions.counters().frames_in.value() - frames_before, stream.frames) << cut;
    streams++;
  }
  client.expect_nothing();
  EXPECT_EQ(world.sessions.counters().messages_published.value() - published_before, streams * expected.size());
}

TEST_F(SessionPublishAtOnce, GoesWhereTopologyOfTheMomentLeads) {
  client.publish(1, "amq.topic", "a.b", "nowhere");
  client.publish(1, "amq.topic", "a.b", "nowhere", true);
  client.expect<wire::basic::Return>(1);
  client.expect_content(1);
  world.control.bind("amq.topic", "q", "a.*");
  client.publish(1, "amq.topic", "a.b", "one");
  client.publish(1, "amq.topic", "a.b", "two");
  expect_bodies({"one", "two"});
  client.declare(1, "r");
  world.control.bind("amq.topic", "r", "#");
  client.publish(1, "amq.topic", "a.b", "three");
  client.publish(1, "amq.topic", "a.b", "four");
  expect_bodies({"three", "four"});
  EXPECT_EQ(world.control.counters("r").ready.value(), 2u);
  client.send(1, wire::queue::Delete{.queue = "r"});
  EXPECT_EQ(client.expect<wire::queue::DeleteOk>(1).message_count, 2u);
  client.publish(1, "amq.topic", "a.b", "five");
  client.publish(1, "amq.topic", "a.b", "six");
  expect_bodies({"five", "six"});
}

TEST_F(SessionPublishAtOnce, IsAskedAboutAgainWhenPermissionsChangedUnderWay) {
  world.control.bind("amq.direct", "q", "x");
  client.publish(1, "amq.direct", "x", "one");
  client.publish(1, "amq.direct", "x", "two");
  client.send(1, wire::basic::Publish{.exchange = "amq.direct", .routing_key = "x"});
  expect_bodies({"one", "two"});
  world.control.forbidden = {"amq.direct"};
  client.send(0, wire::connection::UpdateSecret{.new_secret = base::as_bytes("new secret"), .reason = "it expired"});
  client.expect<wire::connection::UpdateSecretOk>(0);
  // What was allowed when it began is taken.
  client.send_header(1, 5);
  client.send_body(1, "three");
  expect_bodies({"three"});
  client.publish(1, "amq.direct", "x", "four");
  client.expect_channel_close(1, ReplyCode::access_refused, "access to 'amq.direct' refused");
}

TEST_F(SessionPublishAtOnce, RemembersByChannel) {
  client.open_channel(2);
  for (unsigned i = 0; i < 3; i++) {
    client.publish(1, "", "q", "first");
    client.publish(2, "", "q", "second");
  }
  client.send(2, wire::channel::Close{});
  client.expect<wire::basic::Deliver>(1);
  EXPECT_EQ(client.expect_content(1).body, "first");
  EXPECT_EQ(next_delivery().body, "second");
  for (unsigned i = 0; i < 2; i++) {
    EXPECT_EQ(next_delivery().body, "first");
    EXPECT_EQ(next_delivery().body, "second");
  }
  client.expect<wire::channel::CloseOk>(2);
  client.publish(2, "", "q", "third");
  client.expect_connection_close(ReplyCode::channel_error, "expected 'channel.open'");
}

TEST_F(SessionPublishAtOnce, BrokenBehindItsHeaderIsRefusedAsEver) {
  client.publish(1, "", "q", "one");
  client.publish(1, "", "q", "two");
  expect_bodies({"one", "two"});
  client.send(1, wire::basic::Publish{.routing_key = "q"});
  client.send_header(1, 5);
  client.send_frame(3, 1, base::as_bytes("three"), 0);
  EXPECT_EQ(client.expect<wire::connection::Close>(0).reply_code, 501);
  EXPECT_EQ(world.sessions.counters().messages_published.value(), 2u);
}

}  // namespace
}  // namespace talaria::amqp091::session
