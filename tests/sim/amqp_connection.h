// A client's AMQP 0-9-1 connection on a byte stream: handshake, frames, contents, and the interleaving of channels.
//
// Frames of one channel leave in the order they were written; which channel's frame goes next is random, as threads of
// a real client would have it. Bodies are split wherever the agreed frame size allows. Whatever the broker sends out of
// place ends the run with a Failure.
#pragma once

#include <deque>
#include <map>
#include <string>

#include "tests/sim/byte_stream.h"
#include "tests/sim/dialect.h"

namespace talaria::sim {

class AmqpListener {
 public:
  virtual ~AmqpListener() = default;
  virtual void on_open() = 0;
  // A method on a channel; `body` and `properties` are empty unless it has content.
  virtual void on_reply(uint16_t channel, const Reply& reply, base::Bytes properties, base::Bytes body) = 0;
  // connection.blocked: what it publishes is not read for now.
  virtual void on_blocked(const std::string&) {}
  // It is gone. `failure` is empty after close and close-ok.
  virtual void on_closed(const std::string& failure) = 0;
};

class AmqpConnection {
 public:
  struct Options {
    std::string user = "guest", password = "guest", vhost = "/";
    uint32_t frame_max = 131072;  // at most; the broker may want less
    uint16_t heartbeat = 0;
  };

  // Stream and listener outlive it.
  AmqpConnection(World& world, Random random, ByteStream& stream, const Dialect& dialect, AmqpListener& listener,
                 const Options& options);

  // Reads, handles and writes what there is. True if anything was done. May call the listener.
  bool poll(Time now);
  Time next_deadline() const;

  bool is_open() const { return phase_ == Phase::open; }
  bool is_over() const { return phase_ == Phase::over; }
  void send(uint16_t channel, const Command& command);
  // Whole frames, as they stand.
  void send_raw(uint16_t channel, Buffer frames) { queue(channel, std::move(frames)); }
  // Returns the properties as they stand on the wire.
  Buffer publish(uint16_t channel, const Publish& publish, const MessageProperties& properties, base::Bytes body);
  // Octets that end the connection, behind everything that was sent so far. Nothing may be sent after them.
  void offend(Buffer octets);
  // The password once more.
  void update_secret();
  // connection.close, behind everything that was sent so far.
  void close() { close_wanted_ = true; }
  // As a process that dies: what was not sent is not sent, the listener hears nothing more.
  void abort();
  // Until then nothing is read from the stream.
  void stop_reading_until(Time when) { deaf_until_ = when; }
  // Bytes written by the application and not taken by the stream yet.
  size_t backlog() const { return backlog_; }
  bool blocked() const { return blocked_; }
  // The stream, to which nobody listens any more: the process has ended, and the kernel says so with a FIN.
  ByteStream& leave();

 private:
  enum class Phase : uint8_t { greeting, start, tune, open_ok, open, closing, offended, over };

  // A content that is still coming in.
  struct Content {
    Reply method;
    bool waiting = false, has_header = false;
    uint64_t size = 0;
    Buffer properties, body;
  };

  bool read();
  bool write();
  void on_frame(const Dialect::FrameView& frame);
  void on_connection_method(const Reply& reply);
  void on_header(uint16_t channel, base::Bytes payload);
  void on_body(uint16_t channel, base::Bytes payload);
  void finish_content(uint16_t channel);
  void queue(uint16_t channel, Buffer frame);
  void end(const std::string& failure);

  World& world_;
  Random random_;
  ByteStream& stream_;
  const Dialect& dialect_;
  AmqpListener& listener_;
  Options options_;
  Phase phase_ = Phase::greeting;
  uint32_t frame_max_ = 131072;
  bool close_wanted_ = false, close_sent_ = false, blocked_ = false;
  bool close_answered_ = false;
  unsigned secrets_unanswered_ = 0;

  Buffer input_;
  std::map<uint16_t, Content> contents_;
  std::map<uint16_t, std::deque<Buffer>> frames_;  // written, not yet interleaved
  Buffer output_;                                  // interleaved, not yet taken
  size_t backlog_ = 0;
  Time deaf_until_{};
  Time heartbeat_at_ = base::never;
};

}  // namespace talaria::sim
