#include "tests/sim/lasting_client.h"

#include <algorithm>

namespace talaria::sim {

namespace {

constexpr Duration reconnect_pause = 500ms;

}  // namespace

bool LastingClient::poll(Time now) {
  if (closed_) return false;
  if (!connection_) {
    if (now < connect_at_) return false;
    connect_at_ = now + reconnect_pause;
    ByteStream* stream = connect_();
    if (!stream) return false;
    connection_ =
        std::make_unique<AmqpConnection>(world_, random_, *stream, wire_dialect(), *this, AmqpConnection::Options{});
    return true;
  }
  bool progress = connection_->poll(now);
  progress |= work(now);
  // Answers to what came go out in the same turn.
  if (progress) connection_->poll(now);
  return progress;
}

Time LastingClient::next_deadline() const {
  if (closed_) return base::never;
  if (!connection_) return connect_at_;
  return std::min(next_work(), connection_->next_deadline());
}

void LastingClient::give_command(uint16_t channel, const std::string& verb, const std::string& body) {
  MessageProperties properties;
  properties.reply_to = reply_queue;
  connection_->publish(channel, Publish{"amq.talaria.management", verb}, properties, base::as_bytes(body));
}

void LastingClient::on_open() {
  opened_ = true;
  begin();
}

void LastingClient::on_closed(const std::string& failure) {
  if (failure.empty()) {
    closed_ = true;
    return;
  }
  if (opened_) fail("%s: the connection was lost: %s", name_.c_str(), failure.c_str());
  connect_at_ = world_.now() + reconnect_pause;
  // Not while it is on the stack.
  world_.after(0ns, [this, dead = connection_.get()] {
    if (connection_.get() == dead) connection_.reset();
  });
}

}  // namespace talaria::sim
