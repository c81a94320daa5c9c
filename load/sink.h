// A peer that is no broker, to measure the load itself against: it answers as much AMQP as a load asks for, and then
// either swallows what is published, unread, or emits deliveries to every consumer as fast as TCP takes them.
//
// Driven like load::Driver: receive, read the clock, turn. Owned by one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/amqp091/wire/methods.h"
#include "core/base/bytes.h"
#include "core/base/hash.h"
#include "core/net/host.h"
#include "core/tcp/stack.h"
#include "load/frame_reader.h"
#include "load/plan.h"

namespace talaria::load {

class Sink {
 public:
  enum class Mode : uint8_t { swallow, emit };

  struct Config {
    net::HostConfig host;
    tcp::Config tcp;
    uint16_t port = 5672;
    base::HashKey key;
    Mode mode = Mode::swallow;
  };

  // The device outlives the sink.
  Sink(const Config& config, const Plan& plan, net::Device& device);
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  void receive(base::Time now) { received_ = host_.receive(now); }
  bool turn(base::Time now);

 private:
  struct Peer {
    tcp::ConnectionId id;
    FrameReader reader;
    size_t greeting_left = 8;
    bool publishes = false;  // all it sends from now on is swallowed
    // Of a consumer: a delivery, and where in it its tag and its stamp stand.
    std::vector<uint8_t> delivery;
    size_t tag_at = 0;
    size_t stamp_at = 0;
    uint64_t tag = 0;
    uint32_t stream = 0;
  };
  struct Incoming;

  void read(Peer& peer);
  void on_method(Peer& peer, uint16_t channel, base::Bytes payload);
  void subscribe(Peer& peer, const amqp091::wire::basic::Consume& consume);
  void emit(Peer& peer, base::Time now);
  template <class Method>
  void send(Peer& peer, uint16_t channel, const Method& method);

  const Plan plan_;
  const Mode mode_;
  net::Host host_;
  tcp::Stack stack_;
  size_t received_ = 0;
  std::vector<std::unique_ptr<Peer>> peers_;  // by slot
  std::vector<Peer*> emitting_;
  std::vector<uint64_t> sequences_;  // by queue
};

}  // namespace talaria::load
