#include "tests/bench/relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <list>
#include <string>
#include <vector>

#include "core/amqp091/wire/frame.h"
#include "core/amqp091/wire/methods.h"
#include "core/base/bytes.h"

namespace talaria::bench {
namespace {

using base::Bytes;
namespace wire = amqp091::wire;

constexpr uint32_t frame_max = 131072;

struct Client {
  int socket = -1;
  bool greeted = false;
  std::vector<uint8_t> in{}, out{};

  template <class Method>
  void say(uint16_t channel, const Method& method) {
    std::array<uint8_t, 512> room;
    base::Writer writer(room);
    wire::emit_method_frame(writer, channel, method);
    out.insert(out.end(), room.data(), room.data() + writer.size());
  }
};

class Relay {
 public:
  explicit Relay(int listener) : listener_(listener) {}

  [[noreturn]] void run() {
    while (true) {
      std::vector<pollfd> waiting{{listener_, POLLIN, 0}};
      for (const Client& client : clients_) waiting.push_back({client.socket, POLLIN, 0});
      poll(waiting.data(), waiting.size(), -1);
      size_t at = 1;
      for (auto client = clients_.begin(); client != clients_.end(); at++) {
        if (waiting[at].revents == 0 || read_from(*client)) {
          client++;
          continue;
        }
        close(client->socket);
        if (consumer_ == &*client) consumer_ = nullptr;
        client = clients_.erase(client);
      }
      if (waiting[0].revents != 0) accept_one();
      for (Client& client : clients_) write_to(client);
    }
  }

 private:
  void accept_one() {
    const int socket = accept(listener_, nullptr, nullptr);
    if (socket < 0) return;
    const int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    clients_.push_back({.socket = socket});
  }

  // False: it is gone, or says what it should not.
  bool read_from(Client& client) {
    const ssize_t got = recv(client.socket, buffer_.data(), buffer_.size(), 0);
    if (got <= 0) return false;
    client.in.insert(client.in.end(), buffer_.begin(), buffer_.begin() + got);
    Bytes left = client.in;
    if (!client.greeted) {
      constexpr size_t protocol_header = 8;
      if (left.size() < protocol_header) return true;
      client.greeted = true;
      left = left.subspan(protocol_header);
      client.say(0, wire::connection::Start{.mechanisms = base::as_bytes("PLAIN"), .locales = base::as_bytes("en_US")});
    }
    while (true) {
      const wire::Frame frame = wire::parse_frame(left, frame_max);
      if (frame.fault != wire::FrameFault::none) return false;
      if (left.size() < frame.size) break;
      if (frame.type == wire::FrameType::method)
        answer(client, frame.channel, frame.payload);
      else if (consumer_ && frame.type != wire::FrameType::heartbeat)
        pass_on(left.first(frame.size));
      left = left.subspan(frame.size);
    }
    client.in.erase(client.in.begin(), client.in.end() - static_cast<ptrdiff_t>(left.size()));
    return true;
  }

  // A content header or a body, as it came but for its channel.
  void pass_on(Bytes frame) {
    const size_t at = consumer_->out.size();
    consumer_->out.insert(consumer_->out.end(), frame.begin(), frame.end());
    base::store_be16(consumer_->out.data() + at + 1, channel_);
  }

  void answer(Client& client, uint16_t channel, Bytes payload) {
    if (payload.size() < 4) return;
    switch (wire::load_method_id(payload)) {
      case wire::basic::Publish::id:
        if (const auto method = wire::parse<wire::basic::Publish>(payload); method && consumer_)
          consumer_->say(channel_, wire::basic::Deliver{.consumer_tag = tag_,
                                                        .delivery_tag = ++deliveries_,
                                                        .exchange = method->exchange,
                                                        .routing_key = method->routing_key});
        break;
      case wire::connection::StartOk::id:
        client.say(0, wire::connection::Tune{.channel_max = 1, .frame_max = frame_max, .heartbeat = 0});
        break;
      case wire::connection::Open::id: client.say(0, wire::connection::OpenOk{}); break;
      case wire::connection::Close::id: client.say(0, wire::connection::CloseOk{}); break;
      case wire::channel::Open::id: client.say(channel, wire::channel::OpenOk{}); break;
      case wire::channel::Close::id: client.say(channel, wire::channel::CloseOk{}); break;
      case wire::queue::Declare::id:
        if (const auto method = wire::parse<wire::queue::Declare>(payload))
          client.say(channel, wire::queue::DeclareOk{.queue = method->queue});
        break;
      case wire::queue::Delete::id: client.say(channel, wire::queue::DeleteOk{}); break;
      case wire::basic::Qos::id: client.say(channel, wire::basic::QosOk{}); break;
      case wire::basic::Consume::id:
        if (const auto method = wire::parse<wire::basic::Consume>(payload)) {
          consumer_ = &client;
          channel_ = channel;
          tag_ = method->consumer_tag.empty() ? "relay" : std::string(method->consumer_tag);
          client.say(channel, wire::basic::ConsumeOk{.consumer_tag = tag_});
        }
        break;
      case wire::basic::Cancel::id: client.say(channel, wire::basic::CancelOk{.consumer_tag = tag_}); break;
      default: break;
    }
  }

  // All of it: who does not read stops everybody, as there is nowhere to put it.
  static void write_to(Client& client) {
    for (Bytes left = client.out; !left.empty();) {
      const ssize_t written = send(client.socket, left.data(), left.size(), MSG_NOSIGNAL);
      if (written <= 0) break;
      left = left.subspan(static_cast<size_t>(written));
    }
    client.out.clear();
  }

  int listener_;
  std::list<Client> clients_;
  Client* consumer_ = nullptr;  // the latest
  uint16_t channel_ = 0;
  std::string tag_;
  uint64_t deliveries_ = 0;
  std::vector<uint8_t> buffer_ = std::vector<uint8_t>(256 * 1024);
};

}  // namespace

void run_relay(uint16_t port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      listen(listener, SOMAXCONN) == 0)
    Relay(listener).run();
  close(listener);
}

}  // namespace talaria::bench
