// A host with the real stack and applications on it: net::Host and tcp::Stack on a simulated card, driven in the order
// that core/tcp/stack.h prescribes. The active side of every scenario, and the passive one where TCP alone is tested.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/net/host.h"
#include "core/tcp/stack.h"
#include "tests/sim/byte_stream.h"
#include "tests/sim/nic.h"

namespace talaria::sim {

struct StackNodeConfig {
  std::string name;
  NicConfig nic;
  Link up, down;
  net::HostConfig host;
  tcp::Config tcp;
};

class StackNode;

class StackStream final : public ByteStream {
 public:
  StackStream(StackNode& node, tcp::ConnectionId id, bool connected);

  State state() const override;
  std::string_view failure() const override { return failure_; }
  base::Bytes input() override;
  void consume(size_t count) override;
  size_t send(base::Bytes bytes) override;
  void close() override;
  void abort() override;

 private:
  friend class StackNode;
  void on_event(const tcp::Event& event);

  StackNode& node_;
  tcp::ConnectionId id_;
  bool connected_;
  bool peer_finished_ = false;
  bool closed_ = false;
  std::string failure_;
  // What was unread when the connection ended in good order.
  std::vector<uint8_t> rest_;
  size_t rest_read_ = 0;
};

class StackNode final : public Actor {
 public:
  StackNode(World& world, Network& network, const StackNodeConfig& config);
  ~StackNode() override;

  // Every connection to the port gets the application that `accept` makes for it.
  using Accept = std::function<std::unique_ptr<Application>(ByteStream& stream)>;
  void listen(uint16_t port, Accept accept);
  // nullptr if the stack refuses (see tcp::ConnectError). The stream lives as long as the node.
  ByteStream* connect(tcp::Endpoint remote);
  // Runs inside this node's turns.
  void add(std::unique_ptr<Application> application) { applications_.push_back(std::move(application)); }

  std::string_view name() const override { return config_.name; }
  bool poll(Time now) override;
  Time next_deadline() const override;
  void check() const override;
  // Nothing is held any more: no packet, chunk, slice or connection. Throws Failure otherwise.
  void check_all_home() const;

  const tcp::Stack& stack() const { return stack_; }
  const net::Host& host() const { return host_; }
  Nic& nic() { return nic_; }

 private:
  friend class StackStream;

  void handle_events();
  void free_released();

  World& world_;
  StackNodeConfig config_;
  Random random_;
  Nic nic_;
  net::Host host_;
  tcp::Stack stack_;
  std::unordered_map<uint64_t, std::unique_ptr<StackStream>> streams_;  // by ConnectionId
  std::vector<std::unique_ptr<StackStream>> ended_;                     // applications may still look at them
  std::unordered_map<uint16_t, Accept> accepts_;                        // by port
  std::vector<std::unique_ptr<Application>> applications_;
  std::unordered_map<void*, std::unique_ptr<std::vector<uint8_t>>> shared_;  // lent to the stack
  Time now_{};
};

}  // namespace talaria::sim
