// A client of the harness' own with one connection for the whole run: it tries until the broker lets it in, and must
// not lose the connection after that.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "tests/sim/amqp_connection.h"

namespace talaria::sim {

class LastingClient : public Application, public AmqpListener {
 public:
  using Connect = std::function<ByteStream*()>;

  bool poll(Time now) final;
  Time next_deadline() const final;
  bool closed() const { return closed_; }

 protected:
  LastingClient(std::string name, World& world, Random random, Connect connect)
      : world_(world), random_(random), name_(std::move(name)), connect_(std::move(connect)) {}

  // The connection is open, for the first time and for good.
  virtual void begin() = 0;
  // What it does by itself while it is connected. True if anything was done.
  virtual bool work(Time now) = 0;
  // When it will want to.
  virtual Time next_work() const = 0;

  // One of operators', as a message; the answer comes to reply_queue.
  void give_command(uint16_t channel, const std::string& verb, const std::string& body);

  World& world_;
  Random random_;
  std::unique_ptr<AmqpConnection> connection_;

 private:
  void on_open() final;
  void on_closed(const std::string& failure) final;

  std::string name_;
  Connect connect_;
  bool opened_ = false, closed_ = false;
  Time connect_at_{};
};

}  // namespace talaria::sim
