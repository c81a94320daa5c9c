// Publishers and consumers that do nothing else: one connection publishes frames that were encoded beforehand, others
// consume and count. For benchmarks and for tests of what a steady load may not do.
#pragma once

#include <string>
#include <vector>

#include "tests/support/amqp_client.h"
#include "tests/support/scripted_control.h"

namespace talaria::tests {

struct LoadOptions {
  size_t body_bytes = 100;
  bool acknowledges = false;  // consumers with a prefetch of 4000 settle once a turn, `multiple`; else no_ack
  bool confirms = false;      // the publisher waits when 1000 are unconfirmed
  size_t consumers = 1;       // with more than one, each has its queue, and a fanout exchange feeds them
  size_t per_turn = 0;        // messages published; 0: as many as TCP takes
  size_t in_flight = 0;       // published and not yet delivered, at most; 0: no bound, queues grow as they will
};

class Load {
 public:
  Load(ClientHost& host, ScriptedControl& control, tcp::Endpoint broker, const LoadOptions& options, base::Time now)
      : options_(options), host_(host), publisher_(host.connect(broker, now)) {
    for (size_t i = 0; i < options.consumers; i++) {
      const std::string queue = "orders-" + std::to_string(i);
      control.add_queue(queue, 0);
      if (options.consumers > 1) control.bind("amq.fanout", queue, "");
      AmqpClient& consumer = *consumers_.emplace_back(&host.connect(broker, now));
      consumer.counts_only = true;
      consumer.write_when_open = [queue, acknowledges = options.acknowledges](AmqpClient& client) {
        client.open_channel(1);
        if (acknowledges) client.send(1, wire::basic::Qos{.prefetch_count = prefetch});
        client.consume(1, queue, "amq.ctag-0123456789abcdefghijkl", !acknowledges);
      };
    }
    publisher_.counts_only = true;
    publisher_.write_when_open = [confirms = options.confirms](AmqpClient& client) {
      client.open_channel(1);
      if (confirms) client.send(1, wire::confirm::Select{});
    };
    const std::vector<uint8_t> body(options.body_bytes, 'x');
    const auto one = options.consumers > 1 ? AmqpClient::publish_frames(1, "amq.fanout", "orders-0", body)
                                           : AmqpClient::publish_frames(1, "", "orders-0", body);
    publish_bytes_ = one.size();
    for (size_t i = 0; i < publishes_at_once; i++) publishes_.insert(publishes_.end(), one.begin(), one.end());
    acknowledged_.resize(options.consumers, 0);
  }

  // Everybody has what it asked for: connections, channels, subscriptions.
  bool ready() const {
    const auto has = [](const AmqpClient& client, uint32_t method) {
      return std::any_of(client.received.begin(), client.received.end(),
                         [&](const Received& one) { return one.method == method; });
    };
    for (const AmqpClient* consumer : consumers_)
      if (!has(*consumer, wire::basic::ConsumeOk::id)) return false;
    return has(publisher_, options_.confirms ? wire::confirm::SelectOk::id : wire::channel::OpenOk::id);
  }

  // The clients' turn. `publishing`: else they only take what comes.
  void turn(base::Time now, bool publishing = true) {
    host_.receive(now);
    if (options_.acknowledges) acknowledge();
    if (publishing) publish();
    host_.transmit(now);
  }

  uint64_t published() const { return published_; }
  uint64_t delivered() const {
    uint64_t sum = 0;
    for (const AmqpClient* consumer : consumers_) sum += consumer->deliveries;
    return sum;
  }
  uint64_t confirmed() const { return publisher_.confirmed; }
  bool complete() const {
    return delivered() == published_ * options_.consumers && (!options_.confirms || confirmed() == published_);
  }
  size_t publish_bytes() const { return publish_bytes_; }

 private:
  static constexpr size_t publishes_at_once = 64;
  static constexpr uint16_t prefetch = 4000;
  static constexpr uint64_t confirm_window = 1000;

  void acknowledge() {
    for (size_t i = 0; i < consumers_.size(); i++) {
      AmqpClient& consumer = *consumers_[i];
      if (consumer.last_delivery_tag == acknowledged_[i]) continue;
      acknowledged_[i] = consumer.last_delivery_tag;
      consumer.send(1, wire::basic::Ack{.delivery_tag = acknowledged_[i], .multiple = true});
    }
  }
  void publish() {
    size_t left = options_.per_turn != 0 ? options_.per_turn : SIZE_MAX;
    if (options_.in_flight != 0)
      left = std::min<size_t>(left, delivered() / options_.consumers + options_.in_flight - published_);
    if (options_.confirms) left = std::min<size_t>(left, publisher_.confirmed + confirm_window - published_);
    while (left != 0) {
      const size_t room = publisher_.send_room() / publish_bytes_;
      const size_t count = std::min({left, room, publishes_at_once});
      if (count == 0) return;
      publisher_.write(base::Bytes(publishes_).first(count * publish_bytes_));
      published_ += count;
      left -= count;
    }
  }

  LoadOptions options_;
  ClientHost& host_;
  AmqpClient& publisher_;
  std::vector<AmqpClient*> consumers_;
  std::vector<uint64_t> acknowledged_;  // by consumer
  std::vector<uint8_t> publishes_;
  size_t publish_bytes_ = 0;
  uint64_t published_ = 0;
};

}  // namespace talaria::tests
