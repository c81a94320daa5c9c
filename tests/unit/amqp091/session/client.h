// An AMQP client of the tests: methods and content out, frames in, and the conversations that begin every test.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/amqp091/wire/methods.h"
#include "core/amqp091/wire/properties.h"
#include "core/amqp091/wire/table.h"
#include "tests/unit/amqp091/session/world.h"

namespace talaria::amqp091::session {

// What follows a deliver, a return or a get-ok.
struct Content {
  std::string properties;  // raw: flags and list
  std::string body;
  size_t body_frames = 0;
};

// Flags and list, as they follow the body's size.
inline std::vector<uint8_t> encoded(const wire::Properties& properties) {
  std::vector<uint8_t> raw(200000);
  base::Writer writer(raw);
  wire::emit_properties(writer, properties);
  EXPECT_TRUE(writer.ok());
  raw.resize(writer.size());
  return raw;
}

// The fields of a table, without the length before them: what wire::Table's bytes are.
inline std::vector<uint8_t> encoded(const base::FieldTable& table) {
  std::vector<uint8_t> raw(wire::table_size(table));
  base::Writer writer(raw);
  wire::emit_table(writer, table);
  EXPECT_TRUE(writer.ok());
  raw.erase(raw.begin(), raw.begin() + 4);
  return raw;
}

// Properties that are nothing but headers.
inline std::vector<uint8_t> with_headers(const base::FieldTable& headers) {
  const std::vector<uint8_t> fields = encoded(headers);
  wire::Properties properties;
  properties.headers.bytes = fields;
  properties.set(wire::Property::headers);
  return encoded(properties);
}

class Client {
 public:
  explicit Client(World& world) : world_(world) {
    auto made = world.client.stack.connect({net::Ipv4Address{server_address}, 5672}, std::nullopt, world.now);
    EXPECT_TRUE(made.has_value());
    id_ = *made;
    world.streams[id_.slot] = {};
    world.open_clients.push_back(id_);
    world.settle();
    EXPECT_TRUE(stream().connected);
  }

  World::Stream& stream() { return world_.streams[id_.slot]; }
  tcp::ConnectionId id() const { return id_; }

  // ---- octets ----
  void send_raw(Bytes bytes) {
    EXPECT_TRUE(world_.client.stack.send(id_, bytes));
    sent.insert(sent.end(), bytes.begin(), bytes.end());
  }
  void send_raw(std::string_view text) { send_raw(base::as_bytes(text)); }
  void close_transport() { world_.client.stack.close(id_); }
  void abort_transport() {
    world_.client.stack.abort(id_);
    std::erase(world_.open_clients, id_);
  }

  // ---- frames out ----
  void send_frame(uint8_t type, uint16_t channel, Bytes payload, uint8_t end = wire::frame_end) {
    std::vector<uint8_t> frame(wire::frame_overhead + payload.size());
    frame[0] = type;
    base::store_be16(&frame[1], channel);
    base::store_be32(&frame[3], static_cast<uint32_t>(payload.size()));
    std::copy(payload.begin(), payload.end(), frame.begin() + 7);
    frame.back() = end;
    out(frame);
  }
  template <class Method>
  void send(uint16_t channel, const Method& method) {
    std::vector<uint8_t> space(8192);
    base::Writer writer(space);
    wire::emit_method_frame(writer, channel, method);
    EXPECT_TRUE(writer.ok());
    out({space.data(), writer.size()});
  }
  void send_header(uint16_t channel, uint64_t body_size, Bytes raw = no_properties) {
    std::vector<uint8_t> space(8192 + raw.size());
    base::Writer writer(space);
    wire::emit_content_header_frame(writer, channel, body_size, raw);
    out({space.data(), writer.size()});
  }
  void send_body(uint16_t channel, std::string_view body) { send_frame(3, channel, base::as_bytes(body)); }
  void publish(uint16_t channel, std::string_view exchange, std::string_view key, std::string_view body,
               bool mandatory = false, Bytes raw = no_properties) {
    send(channel, wire::basic::Publish{.exchange = exchange, .routing_key = key, .mandatory = mandatory});
    send_header(channel, body.size(), raw);
    while (!body.empty()) {
      send_body(channel, body.substr(0, frame_max - 8));
      body = body.size() > frame_max - 8 ? body.substr(frame_max - 8) : std::string_view{};
    }
  }

  // ---- frames in ----
  struct Frame {
    uint8_t type = 0;
    uint16_t channel = 0;
    std::vector<uint8_t> payload;
    uint32_t method() const { return type == 1 ? base::load_be32(payload.data()) : 0; }
  };
  // The next frame; nullopt: none came.
  std::optional<Frame> next() {
    if (!has_frame()) world_.settle();
    if (!has_frame()) return std::nullopt;
    std::vector<uint8_t>& received = stream().received;
    Frame frame;
    frame.type = received[0];
    frame.channel = base::load_be16(&received[1]);
    size_t size = base::load_be32(&received[3]);
    frame.payload.assign(received.begin() + 7, received.begin() + 7 + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(received[7 + size], wire::frame_end);
    received.erase(received.begin(), received.begin() + 8 + static_cast<std::ptrdiff_t>(size));
    frames_read++;
    return frame;
  }
  // The next frame must be this method; its views stay good as long as the client.
  template <class Method>
  Method expect(uint16_t channel) {
    std::optional<Frame> frame = next();
    if (!frame) {
      ADD_FAILURE() << "nothing came instead of " << Method::name;
      return {};
    }
    kept_.push_back(std::move(*frame));
    const Frame& kept = kept_.back();
    EXPECT_EQ(kept.channel, channel) << Method::name;
    if (kept.type != 1 || kept.method() != Method::id) {
      ADD_FAILURE() << "instead of " << Method::name << " came frame type " << int{kept.type} << " "
                    << wire::method_name(kept.method()) << " " << reply_text(kept);
      return {};
    }
    auto method = wire::parse<Method>(kept.payload);
    EXPECT_TRUE(method.has_value()) << Method::name;
    return method ? *method : Method{};
  }
  Content expect_content(uint16_t channel) {
    Content content;
    std::optional<Frame> header = next();
    if (!header || header->type != 2) {
      ADD_FAILURE() << "no content header";
      return content;
    }
    EXPECT_EQ(header->channel, channel);
    auto scan = wire::scan_content_header(header->payload);
    EXPECT_TRUE(scan.has_value());
    if (!scan) return content;
    content.properties = base::as_text(scan->raw);
    while (content.body.size() < scan->body_size) {
      std::optional<Frame> body = next();
      if (!body || body->type != 3) {
        ADD_FAILURE() << "body is missing";
        return content;
      }
      EXPECT_LE(body->payload.size() + 8, frame_max);
      content.body += base::as_text(body->payload);
      content.body_frames++;
    }
    return content;
  }
  void expect_nothing() {
    world_.settle();
    if (!has_frame()) return;
    std::optional<Frame> frame = next();
    ADD_FAILURE() << "unexpected frame type " << int{frame->type} << " " << wire::method_name(frame->method()) << " "
                  << reply_text(*frame);
  }

  // ---- conversations ----
  // Up to tune.
  void start(std::string_view user = "guest", std::string_view password = "guest",
             const base::FieldTable& properties = capabilities()) {
    send_raw(Bytes(wire::protocol_header));
    expect<wire::connection::Start>(0);
    const std::vector<uint8_t> fields = encoded(properties);
    std::string response = std::string("\0", 1) + std::string(user) + std::string("\0", 1) + std::string(password);
    wire::connection::StartOk method;
    method.client_properties.bytes = fields;
    method.mechanism = "PLAIN";
    method.response = base::as_bytes(response);
    method.locale = "en_US";
    send(0, method);
  }
  void open(uint32_t wanted_frame_max = 131072, uint16_t heartbeat = 0,
            const base::FieldTable& properties = capabilities()) {
    start("guest", "guest", properties);
    expect<wire::connection::Tune>(0);
    frame_max = wanted_frame_max;
    send(0, wire::connection::TuneOk{.channel_max = 2047, .frame_max = wanted_frame_max, .heartbeat = heartbeat});
    send(0, wire::connection::Open{.virtual_host = "/"});
    expect<wire::connection::OpenOk>(0);
  }
  void open_channel(uint16_t channel) {
    send(channel, wire::channel::Open{});
    expect<wire::channel::OpenOk>(channel);
  }
  void declare(uint16_t channel, std::string_view queue, bool exclusive = false, bool auto_delete = false) {
    send(channel, wire::queue::Declare{.queue = queue, .exclusive = exclusive, .auto_delete = auto_delete});
    EXPECT_EQ(expect<wire::queue::DeclareOk>(channel).queue, queue);
  }
  void consume(uint16_t channel, std::string_view queue, std::string_view tag, bool no_ack = false) {
    send(channel, wire::basic::Consume{.queue = queue, .consumer_tag = tag, .no_ack = no_ack});
    EXPECT_EQ(expect<wire::basic::ConsumeOk>(channel).consumer_tag, tag);
  }
  // The next delivery's body.
  std::string expect_delivery(uint16_t channel, std::string_view tag, uint64_t delivery_tag, bool redelivered = false) {
    auto method = expect<wire::basic::Deliver>(channel);
    EXPECT_EQ(method.consumer_tag, tag);
    EXPECT_EQ(method.delivery_tag, delivery_tag);
    EXPECT_EQ(method.redelivered, redelivered);
    return expect_content(channel).body;
  }
  void expect_channel_close(uint16_t channel, wire::ReplyCode code, std::string_view text) {
    auto close = expect<wire::channel::Close>(channel);
    EXPECT_EQ(close.reply_code, static_cast<uint16_t>(code));
    EXPECT_NE(close.reply_text.find(text), std::string_view::npos) << close.reply_text;
    send(channel, wire::channel::CloseOk{});
  }
  void expect_connection_close(wire::ReplyCode code, std::string_view text) {
    auto close = expect<wire::connection::Close>(0);
    EXPECT_EQ(close.reply_code, static_cast<uint16_t>(code));
    EXPECT_NE(close.reply_text.find(text), std::string_view::npos) << close.reply_text;
    send(0, wire::connection::CloseOk{});
    world_.settle();
    EXPECT_TRUE(stream().finished);
    EXPECT_FALSE(stream().closed && stream().reason == tcp::CloseReason::reset_by_peer);
  }

  static base::FieldTable capabilities() {
    base::FieldTable names;
    for (const char* name : {"consumer_cancel_notify", "connection.blocked", "authentication_failure_close"})
      names.push_back({name, {true}});
    base::FieldTable properties;
    properties.push_back({"capabilities", {std::move(names)}});
    return properties;
  }

  static constexpr uint8_t no_properties[2] = {0, 0};
  uint32_t frame_max = 131072;
  bool octet_by_octet = false;  // every octet in a packet of its own
  std::vector<uint8_t> sent;    // all there ever was, for a corpus
  size_t frames_read = 0;

 private:
  bool has_frame() {
    const std::vector<uint8_t>& received = stream().received;
    return received.size() >= 8 && received.size() >= base::load_be32(&received[3]) + 8;
  }
  static std::string reply_text(const Frame& frame) {
    if (frame.method() == wire::connection::Close::id)
      if (auto close = wire::parse<wire::connection::Close>(frame.payload)) return std::string(close->reply_text);
    if (frame.method() == wire::channel::Close::id)
      if (auto close = wire::parse<wire::channel::Close>(frame.payload)) return std::string(close->reply_text);
    return {};
  }
  void out(Bytes bytes) {
    if (!octet_by_octet) return send_raw(bytes);
    for (uint8_t octet : bytes) {
      send_raw(Bytes{&octet, 1});
      world_.turn();
    }
  }

  World& world_;
  tcp::ConnectionId id_;
  std::deque<Frame> kept_;
};

}  // namespace talaria::amqp091::session
