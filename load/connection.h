// One AMQP connection of the load, on the active side of our stack: the handshake, one channel, and what goes out on
// it. What comes in on the channel is read by whoever owns the connection (`read`), straight out of the received
// packets.
//
//      connecting --connected--> handshake --open-ok--> channel --open-ok--> open --close--> closing --> closed
//
// Cold methods wait in a queue of bytes while TCP has no room; messages are written by their producer, straight into
// the send buffer.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/amqp091/wire/methods.h"
#include "core/base/bytes.h"
#include "core/base/check.h"
#include "core/tcp/stack.h"
#include "load/frame_reader.h"
#include "load/plan.h"

namespace talaria::load {

inline constexpr uint16_t the_channel = 1;

class Connection {
 public:
  enum class State : uint8_t { connecting, handshake, opening_channel, open, closing, closed };

  Connection(tcp::Stack& stack, tcp::ConnectionId id, const Plan& plan) : stack_(stack), id_(id), plan_(plan) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  tcp::ConnectionId id() const { return id_; }
  State state() const { return state_; }
  bool is_open() const { return state_ == State::open; }
  // The broker does not want us to publish (connection.blocked), and how often it said so.
  bool blocked() const { return blocked_; }
  uint64_t blocked_times() const { return blocked_times_; }
  // Why it ended or cannot go on; empty: it did not.
  const std::string& failure() const { return failure_; }

  // ---- by the driver, from TCP's events
  void on_connected();
  void on_closed(tcp::CloseReason reason);

  // Passes what came in on to the handler (frame_reader.h), but for connection's and channel's own methods.
  template <class Handler>
  void read(Handler& handler) {
    Sieve<Handler> sieve{*this, handler};
    for (base::Bytes in = stack_.input(id_); !in.empty(); in = stack_.input(id_)) {
      if (!reader_.read(in, sieve)) return fail("what the broker sent is no AMQP frame");
      stack_.consume(id_, in.size());
    }
  }

  template <class Method>
  void send(uint16_t channel, const Method& method) {
    std::array<uint8_t, 4096> space;
    base::Writer out(space);
    amqp091::wire::emit_method_frame(out, channel, method);
    CHECK(out.ok());
    write({space.data(), out.size()});
  }
  void write(base::Bytes bytes);
  // What waited for room.
  void flush();
  bool has_unsent() const { return unsent_at_ != unsent_.size(); }

  // connection.close; TCP's end follows when the broker has answered.
  void close();
  void fail(std::string reason);

 private:
  template <class Handler>
  struct Sieve {
    Connection& connection;
    Handler& handler;

    void on_method(uint16_t channel, base::Bytes payload) {
      const uint16_t class_id = base::load_be16(payload.data());
      if (class_id <= 20) [[unlikely]]  // connection, channel
        connection.on_own_method(channel, payload);
      else
        handler.on_method(payload);
    }
    void on_header(uint64_t body_size) { handler.on_header(body_size); }
    void on_body(base::Bytes first) { handler.on_body(first); }
    void on_body_end(uint32_t bytes) { handler.on_body_end(bytes); }
  };

  void on_own_method(uint16_t channel, base::Bytes payload);
  void start();
  void tune(base::Bytes payload);

  tcp::Stack& stack_;
  tcp::ConnectionId id_;
  const Plan& plan_;
  State state_ = State::connecting;
  FrameReader reader_;
  std::vector<uint8_t> unsent_;  // from unsent_at_ on
  size_t unsent_at_ = 0;
  std::string failure_;
  bool blocked_ = false;
  uint64_t blocked_times_ = 0;
};

}  // namespace talaria::load
