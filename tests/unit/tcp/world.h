// Two stacks on a link that loses, doubles, delays and reorders frames, in virtual time. One seed is one run.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "core/tcp/stack.h"
#include "tests/unit/net/fake_device.h"

namespace talaria::tcp {

using namespace std::chrono_literals;

struct LinkConfig {
  double loss = 0;
  double duplication = 0;
  double reordering = 0;  // the share of frames that take up to `jitter` longer
  double corruption = 0;
  base::Duration delay = 1ms;
  base::Duration jitter = 5ms;
};

// A worker without an application: a port, a host, a stack.
struct Node {
  Node(const net::IpAddress& address, net::MacAddress mac, const Config& config, uint16_t mtu = 1500,
       std::vector<net::Route> routes = {})
      : device(mac, mtu),
        host({.addresses = {{address, address.is_v4() ? uint8_t{24} : uint8_t{64}}},
              .routes = std::move(routes),
              .announce = false},
             device, {address.low & 0xffffffff, 1}),
        stack(config, host, {address.low & 0xffffffff, 2}) {}

  // The turn up to the application, and behind it.
  void begin_turn(base::Time now) {
    while (host.receive(now) > 0) stack.on_segments(host.datagrams(), now);
    host.on_time(now);
    stack.on_time(now);
  }
  void end_turn(base::Time now) {
    stack.clear_events();
    stack.end_input(now);
    stack.output(now);
    host.flush();
    stack.check_invariants();
  }
  base::Time next_deadline() const { return std::min(host.next_deadline(), stack.next_deadline()); }

  net::FakeDevice device;
  net::Host host;
  Stack stack;
};

class World {
 public:
  World(uint64_t seed, const LinkConfig& link, const Config& client_config = {}, const Config& server_config = {},
        uint16_t mtu = 1500, net::IpFamily family = net::IpFamily::v4)
      : random(seed),
        client(address(family, 1), {2, 0, 0, 0, 0, 1}, client_config, mtu),
        server(address(family, 2), {2, 0, 0, 0, 0, 2}, server_config, mtu),
        link_(link) {}
  static net::IpAddress address(net::IpFamily family, uint32_t number) {
    if (family == net::IpFamily::v4) return net::Ipv4Address{0xc6120000 + number};
    return {0x20010db800000000, number};
  }

  bool chance(double share) { return std::uniform_real_distribution<>(0, 1)(random) < share; }
  uint64_t below(uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(random); }

  // Carries what the nodes sent; frames that are due arrive.
  void carry() {
    put_on_link(client, server);
    put_on_link(server, client);
    while (!in_flight_.empty() && in_flight_.begin()->first <= now) {
      auto& [to, frame] = in_flight_.begin()->second;
      to->device.arriving.push_back(std::move(frame));
      in_flight_.erase(in_flight_.begin());
    }
  }
  // To the next moment at which something happens by itself. False if there is none.
  bool advance() {
    base::Time next = std::min(client.next_deadline(), server.next_deadline());
    if (!in_flight_.empty()) next = std::min(next, in_flight_.begin()->first);
    if (next == base::never) return false;
    now = std::max(now, next);
    return true;
  }

  std::mt19937_64 random;
  base::Time now{1s};
  Node client;
  Node server;
  LinkConfig link_;
  size_t frames = 0;
  // Frames the link loses on purpose, by their number, counted from 0 over both directions.
  std::set<size_t> lose;

 private:
  void put_on_link(Node& from, Node& to) {
    for (net::Frame& frame : from.device.sent) {
      size_t number = frames++;
      if (chance(link_.loss) || lose.contains(number)) continue;
      int copies = chance(link_.duplication) ? 2 : 1;
      for (int i = 0; i < copies; i++) {
        net::Frame copy = frame;
        if (chance(link_.corruption)) copy[below(copy.size())] ^= static_cast<uint8_t>(1 + below(255));
        base::Time arrival = now + link_.delay;
        if (chance(link_.reordering)) arrival += base::Duration(below(static_cast<uint64_t>(link_.jitter.count())));
        in_flight_.emplace(arrival, std::pair{&to, std::move(copy)});
      }
    }
    from.device.sent.clear();
    from.device.offloaded.clear();
  }

  std::multimap<base::Time, std::pair<Node*, net::Frame>> in_flight_;
};

// A stream whose byte at each offset is known, so that a byte lost, doubled or moved is seen.
inline uint8_t stream_byte(uint64_t offset, uint8_t salt) {
  return static_cast<uint8_t>((offset * 31 + (offset >> 8) * 7 + (offset >> 16) * 13) ^ salt);
}

// One side of a conversation: writes `total` bytes in every way there is, reads and checks what comes, then closes.
class Talker {
 public:
  Talker(World& world, Node& node, uint64_t total, uint8_t salt, uint8_t peer_salt)
      : world_(world), stack_(node.stack), total_(total), salt_(salt), peer_salt_(peer_salt) {}

  void on_event(const Event& event) {
    if (event.accepted) id = event.id;
    if (event.id == id && (event.accepted || event.connected)) open = true;
    if (event.id != id) return;
    read(event.closed);  // what is left then is gone with the event
    peer_finished = peer_finished || event.peer_finished;
    if (event.closed) {
      closed = true;
      reason = event.reason;
    }
  }

  void act() {
    for (void* owner : stack_.take_released()) {
      auto* body = static_cast<std::vector<uint8_t>*>(owner);
      ASSERT_EQ(bodies_.erase(body), 1u) << "given back twice, or never given";
      delete body;
    }
    if (!open || closed) return;
    if (!paused || world_.chance(0.2)) {
      read();
      paused = world_.chance(pause_share);
    }
    while (written < total_ && stack_.send_room(id) > 0)
      if (!write()) break;
    if (written == total_ && (!reads_to_end || peer_finished) && stack_.unread(id) == 0) stack_.close(id);
  }

  void read(bool to_the_end = false) {
    if (paused && !to_the_end) return;
    for (;;) {
      base::Bytes bytes = stack_.input(id);
      if (bytes.empty()) return;
      size_t n = world_.chance(0.1) ? 1 + world_.below(bytes.size()) : bytes.size();
      for (size_t i = 0; i < n; i++)
        ASSERT_EQ(bytes[i], stream_byte(received + i, peer_salt_)) << "at offset " << received + i;
      received += n;
      stack_.consume(id, n);
      if (!to_the_end && world_.chance(0.05)) return;
    }
  }

  ConnectionId id;
  bool open = false;
  bool closed = false;
  bool peer_finished = false;
  bool reads_to_end = true;  // closes only after the peer did
  bool paused = false;
  double pause_share = 0;
  CloseReason reason = CloseReason::none;
  uint64_t written = 0;
  uint64_t received = 0;
  size_t bodies_out() const { return bodies_.size(); }

 private:
  bool write() {
    uint64_t left = total_ - written;
    size_t n = std::min<uint64_t>(left, 1 + world_.below(world_.chance(0.3) ? 6000 : 300));
    auto fill = [&](uint8_t* to, size_t count) {
      for (size_t i = 0; i < count; i++) to[i] = stream_byte(written + i, salt_);
    };
    switch (world_.below(3)) {
      case 0: {
        n = std::min(n, reserve_max);
        base::MutableBytes space = stack_.reserve(id, n);
        if (space.empty()) return false;
        size_t used = 1 + world_.below(n);
        fill(space.data(), used);
        stack_.commit(id, used);
        written += used;
        return true;
      }
      case 1: {
        std::vector<uint8_t> bytes(n);
        fill(bytes.data(), n);
        if (!stack_.send(id, bytes)) return false;
        written += n;
        return true;
      }
      default: {
        auto* body = new std::vector<uint8_t>(n);
        fill(body->data(), n);
        if (!stack_.send_shared(id, *body, body)) {
          delete body;
          return false;
        }
        bodies_.insert(body);
        written += n;
        return true;
      }
    }
  }

  World& world_;
  Stack& stack_;
  uint64_t total_;
  uint8_t salt_;
  uint8_t peer_salt_;
  std::set<std::vector<uint8_t>*> bodies_;
};

}  // namespace talaria::tcp
