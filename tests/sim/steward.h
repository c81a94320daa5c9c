// The one client that behaves: declares the topology before there is traffic, and when the adventures are over consumes
// what is left in every queue, until the model misses nothing and the broker says that the queues are empty.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/sim/lasting_client.h"
#include "tests/sim/model.h"
#include "tests/sim/topology.h"

namespace talaria::sim {

class Steward final : public LastingClient {
 public:
  Steward(World& world, Random random, Model& model, const Topology& topology, Connect connect);

  bool ready() const { return connection_ && connection_->is_open() && setup_.empty() && !awaiting_; }
  void drain();
  // The same for the queues of clients that are all gone by now.
  void drain_private_queues();
  // What exchanges remember they hold: these go.
  void forget_histories();
  // Every queue said that it is empty and has no consumer but this one.
  bool drained() const;
  void close();
  std::string describe() const;

 private:
  struct Setup {
    Command command;
    uint32_t reply = 0;
    std::function<void()> sent, done;
    std::string verb = {}, body = {};  // in the place of a command: one of operators', by message
  };
  // A queue that is being emptied, on a channel of its own.
  struct Drain {
    std::string queue;
    Identity channel = 0, consumer = 0;
    Time began{};  // to consume
    std::string tag_in_use = {};
    unsigned times = 0;
    uint64_t tag = 0;     // of the last delivery
    bool asking = false;  // a passive declare is under way
    Time asked{};         // since when
    bool gone = false;    // the queue does not exist (any more)
    uint32_t messages = 1, consumers = 0;
  };

  void begin() override;
  bool work(Time now) override;
  Time next_work() const override { return ask_at_; }
  void on_reply(uint16_t channel, const Reply& reply, base::Bytes properties, base::Bytes body) override;
  void on_drain_reply(uint16_t channel, Drain& drain, const Reply& reply, base::Bytes properties, base::Bytes body);
  void begin_to_consume(uint16_t channel, Drain& drain);
  void prepare_setup();
  void next_setup();
  void prepare_policies();
  void check_answer(base::Bytes body) const;
  void add_drain(const std::string& queue);

  Model& model_;
  const Topology& topology_;
  std::deque<Setup> setup_;
  bool awaiting_ = false, channel_open_ = false;
  std::map<uint16_t, Drain> drains_;
  Time ask_at_ = base::never;
};

}  // namespace talaria::sim
