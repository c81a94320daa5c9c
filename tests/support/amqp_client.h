// A client of the broker on the active side of our own TCP stack: a host with any number of AMQP connections, polled by
// whoever also polls the workers. What a connection receives is either kept, frame by frame, for a test to look at, or
// only counted, for a benchmark.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/amqp091/wire/deliver.h"
#include "core/amqp091/wire/frame.h"
#include "core/amqp091/wire/methods.h"
#include "core/amqp091/wire/properties.h"
#include "core/amqp091/wire/table.h"
#include "core/base/check.h"
#include "core/net/host.h"
#include "core/tcp/stack.h"

namespace talaria::tests {

namespace wire = amqp091::wire;

// A method that came, with its content if it has one.
struct Received {
  uint16_t channel = 0;
  uint32_t method = 0;
  std::vector<uint8_t> payload;
  uint64_t body_size = 0;
  std::vector<uint8_t> properties;  // flags and list
  std::string body;

  // Views into this.
  template <class Method>
  Method as() const {
    auto parsed = wire::parse<Method>(payload);
    CHECK(parsed.has_value());
    return *parsed;
  }
};

class AmqpClient {
 public:
  AmqpClient(tcp::Stack& stack, tcp::ConnectionId id) : stack_(stack), id_(id) {}
  AmqpClient(const AmqpClient&) = delete;
  AmqpClient& operator=(const AmqpClient&) = delete;

  // Set before the handshake ends.
  bool says_blocked_is_known = false;  // the capability connection.blocked
  std::function<void(AmqpClient&)> write_when_open;
  // Deliveries and confirms are counted, not kept.
  bool counts_only = false;
  // While false its window closes.
  bool reads = true;

  uint64_t deliveries = 0;         // whole ones
  uint64_t delivered_octets = 0;   // of bodies
  uint64_t last_delivery_tag = 0;  // on any channel
  uint64_t confirmed = 0;          // the last basic.ack
  uint64_t nacks = 0;
  bool blocked = false;
  uint64_t blocked_times = 0;
  bool closed = false;  // TCP is gone
  std::deque<Received> received;

  bool is_open() const { return open_; }
  tcp::ConnectionId id() const { return id_; }

  // ---- out ----
  // Bytes wait here while TCP has no room.
  void write(base::Bytes bytes) {
    pending_.insert(pending_.end(), bytes.begin(), bytes.end());
    flush();
  }
  template <class Method>
  void send(uint16_t channel, const Method& method) {
    std::array<uint8_t, 2048> space;
    base::Writer out(space);
    wire::emit_method_frame(out, channel, method);
    CHECK(out.ok());
    write({space.data(), out.size()});
  }
  void publish(uint16_t channel, std::string_view exchange, std::string_view key, std::string_view body,
               bool mandatory = false) {
    write(publish_frames(channel, exchange, key, base::as_bytes(body), transient, mandatory));
  }
  // Opens a channel, the answer is awaited by nobody: channel.open-ok is among what was received.
  void open_channel(uint16_t channel) { send(channel, wire::channel::Open{}); }
  void consume(uint16_t channel, std::string_view queue, std::string_view tag, bool no_ack) {
    wire::basic::Consume consume;
    consume.queue = queue;
    consume.consumer_tag = tag;
    consume.no_ack = no_ack;
    send(channel, consume);
  }
  size_t send_room() const { return pending_.empty() ? stack_.send_room(id_) : 0; }
  bool wrote_all() const { return pending_.empty(); }

  static constexpr std::array<uint8_t, 3> transient = {0x10, 0x00, 1};  // delivery-mode 1
  static std::vector<uint8_t> publish_frames(uint16_t channel, std::string_view exchange, std::string_view key,
                                             base::Bytes body, base::Bytes properties = transient,
                                             bool mandatory = false) {
    std::vector<uint8_t> space(body.size() + 1024);
    base::Writer out(space);
    wire::emit_method_frame(out, channel,
                            wire::basic::Publish{.exchange = exchange, .routing_key = key, .mandatory = mandatory});
    wire::emit_content_header_frame(out, channel, body.size(), properties);
    if (!body.empty()) {
      uint8_t* frame = wire::begin_frame(out, wire::FrameType::body, channel);
      out.bytes(body);
      wire::end_frame(out, frame);
    }
    CHECK(out.ok());
    space.resize(out.size());
    return space;
  }

  // ---- in ----
  // The first method of that kind that was received, taken out.
  template <class Method>
  std::optional<Received> take() {
    const auto found =
        std::find_if(received.begin(), received.end(), [](const Received& one) { return one.method == Method::id; });
    if (found == received.end()) return std::nullopt;
    Received taken = std::move(*found);
    received.erase(found);
    return taken;
  }

  // ---- by the host ----
  void on_connected() { write(wire::protocol_header); }
  void read() {
    if (!reads) return;
    for (base::Bytes in = stack_.input(id_); !in.empty(); in = stack_.input(id_)) {
      if (gathered_.empty()) {
        const size_t used = take_frames(in);
        gathered_.assign(in.begin() + static_cast<std::ptrdiff_t>(used), in.end());
      } else {
        gathered_.insert(gathered_.end(), in.begin(), in.end());
        const size_t used = take_frames(gathered_);
        gathered_.erase(gathered_.begin(), gathered_.begin() + static_cast<std::ptrdiff_t>(used));
      }
      stack_.consume(id_, in.size());
    }
  }
  void flush() {
    size_t sent = 0;
    while (sent < pending_.size()) {
      const size_t count = std::min<size_t>({pending_.size() - sent, stack_.send_room(id_), 16384});
      if (count == 0 || !stack_.send(id_, base::Bytes(pending_).subspan(sent, count))) break;
      sent += count;
    }
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(sent));
  }

 private:
  size_t take_frames(base::Bytes in) {
    size_t at = 0;
    while (true) {
      const wire::Frame frame = wire::parse_frame(in.subspan(at), 131072);
      if (frame.status == wire::FrameStatus::incomplete) return at;
      CHECK(frame.status == wire::FrameStatus::whole);
      on_frame(frame);
      at += frame.size;
    }
  }

  void on_frame(const wire::Frame& frame) {
    switch (frame.type) {
      case wire::FrameType::method: return on_method(frame.channel, frame.payload);
      case wire::FrameType::header:
        body_missing_ = base::load_be64(frame.payload.data() + 4);
        if (content_) {
          content_->body_size = body_missing_;
          const base::Bytes properties = frame.payload.subspan(wire::content_header_fixed_size);
          content_->properties.assign(properties.begin(), properties.end());
        }
        if (body_missing_ == 0) on_content_end();
        return;
      case wire::FrameType::body:
        CHECK(frame.payload.size() <= body_missing_);
        body_missing_ -= frame.payload.size();
        delivered_octets += frame.payload.size();
        if (content_) content_->body += base::as_text(frame.payload);
        if (body_missing_ == 0) on_content_end();
        return;
      case wire::FrameType::heartbeat: return;
    }
  }

  void on_method(uint16_t channel, base::Bytes payload) {
    const uint32_t method = wire::load_method_id(payload);
    if (method == wire::basic::Deliver::id) {
      deliveries_begun_++;
      last_delivery_tag = base::load_be64(payload.data() + 5 + payload[4]);
      if (counts_only) return;
    } else if (method == wire::basic::Ack::id) {
      confirmed = std::max(confirmed, base::load_be64(payload.data() + 4));
      if (counts_only) return;
    } else if (method == wire::basic::Nack::id) {
      nacks++;
    } else if (channel == 0 && on_connection_method(method)) {
      return;
    }
    Received one{channel, method, {payload.begin(), payload.end()}, 0, {}, {}};
    const bool has_content =
        method == wire::basic::Deliver::id || method == wire::basic::GetOk::id || method == wire::basic::Return::id;
    if (has_content)
      content_ = std::move(one);
    else
      received.push_back(std::move(one));
  }

  void on_content_end() {
    if (deliveries != deliveries_begun_) deliveries++;
    if (content_) received.push_back(*std::exchange(content_, std::nullopt));
  }

  bool on_connection_method(uint32_t method) {
    using namespace wire::connection;
    switch (method) {
      case Start::id: {
        base::FieldTable capabilities;
        capabilities.push_back({"connection.blocked", {says_blocked_is_known}});
        base::FieldTable properties;
        properties.push_back({"capabilities", {std::move(capabilities)}});
        std::vector<uint8_t> encoded(wire::table_size(properties));
        base::Writer out(encoded);
        wire::emit_table(out, properties);
        StartOk start_ok;
        start_ok.client_properties.bytes = base::Bytes(encoded).subspan(4);
        start_ok.mechanism = "PLAIN";
        start_ok.response = base::as_bytes(std::string_view("\0guest\0guest", 12));
        start_ok.locale = "en_US";
        send(0, start_ok);
        return true;
      }
      case Tune::id:
        send(0, TuneOk{.channel_max = 100, .frame_max = 131072, .heartbeat = 0});
        send(0, Open{.virtual_host = "/"});
        return true;
      case OpenOk::id:
        open_ = true;
        if (write_when_open) write_when_open(*this);
        return true;
      case Blocked::id:
        blocked = true;
        blocked_times++;
        return true;
      case Unblocked::id: blocked = false; return true;
      default: return false;
    }
  }

  tcp::Stack& stack_;
  tcp::ConnectionId id_;
  bool open_ = false;
  std::vector<uint8_t> pending_;   // out, not yet taken by TCP
  std::vector<uint8_t> gathered_;  // in, the front of a frame
  std::optional<Received> content_;
  uint64_t body_missing_ = 0;
  uint64_t deliveries_begun_ = 0;
};

class ClientHost {
 public:
  ClientHost(net::Device& device, net::Ipv4Address address, const tcp::Config& config = {})
      : host_({.addresses = {{address, 24}}, .announce = false}, device, {address.value, 1}),
        stack_(config, host_, {address.value, 2}) {}

  AmqpClient& connect(tcp::Endpoint to, base::Time now) {
    const auto id = stack_.connect(to, std::nullopt, now);
    CHECK(id.has_value());
    return *clients_.emplace_back(std::make_unique<AmqpClient>(stack_, *id));
  }
  void abort(AmqpClient& client) { stack_.abort(client.id()); }

  // The turn up to what the application does with what came, and behind it.
  bool receive(base::Time now) {
    bool any = false;
    while (host_.receive(now) != 0) {
      any = true;
      stack_.on_segments(host_.datagrams(), now);
      take_events();
    }
    host_.on_time(now);
    stack_.on_time(now);
    take_events();
    return any;
  }
  void transmit(base::Time now) {
    for (auto& client : clients_) client->flush();
    stack_.end_input(now);
    stack_.output(now);
    host_.flush();
  }

  const tcp::Stack& stack() const { return stack_; }

 private:
  void take_events() {
    for (const tcp::Event& event : stack_.events()) {
      const auto found =
          std::find_if(clients_.begin(), clients_.end(), [&](const auto& client) { return client->id() == event.id; });
      CHECK(found != clients_.end());
      AmqpClient& client = **found;
      if (event.connected) client.on_connected();
      if (event.readable) client.read();
      if (event.peer_finished) stack_.close(event.id);
      if (event.closed) client.closed = true;
    }
    stack_.clear_events();
    // Unread bytes make no event of their own.
    for (auto& client : clients_) client->read();
  }

  net::Host host_;
  tcp::Stack stack_;
  std::vector<std::unique_ptr<AmqpClient>> clients_;
};

}  // namespace talaria::tests
