// What a script acts on: the real stack and host on a device in the script's hands, in virtual time, with an
// application that reads everything at once unless it is told otherwise.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/tcp/stack.h"
#include "tests/conformance/wire.h"
#include "tests/unit/net/fake_device.h"

namespace talaria::conformance {

inline constexpr uint32_t our_address = 0xc6120001;   // 198.18.0.1
inline constexpr uint32_t peer_address = 0xc6120002;  // 198.18.0.2
inline constexpr uint16_t our_port = 5672;
inline constexpr Mac our_mac{2, 0, 0, 0, 0, 1};

struct Settings {
  Settings();

  tcp::Config tcp;
  net::HostConfig host;
  uint16_t mtu = 1500;
  bool arp_by_hand = false;  // the script answers ARP requests and is shown every ARP message
};

// One connection as its peer and the application see it, from before its first segment until after its last.
struct Conversation {
  std::string name{};
  uint32_t address = peer_address;
  Mac mac{};
  uint16_t peer_port = 40000;
  uint16_t local_port = our_port;

  uint32_t peer_isn = 1000;
  std::optional<uint32_t> our_isn{};  // of the last SYN of ours that was seen
  uint32_t our_next = 0;              // the peer has seen everything before
  uint32_t window = 65535;            // the peer's, in bytes
  std::optional<uint8_t> peer_scale{}, our_scale{};
  bool timestamps = false;  // the peer's SYN had them: so have its later segments
  uint32_t clock = 0;       // the peer's timestamps count milliseconds from this one
  base::Time clock_began{};
  uint32_t our_timestamp = 0;  // the last that was seen
  bool both_scale() const { return peer_scale && our_scale; }

  tcp::ConnectionId id{};
  bool paused = false;  // the application does not read by itself
  uint64_t delivered = 0;
  uint64_t told = 0;  // of the delivered bytes, those that the script has asked about
  uint64_t written = 0;
  std::deque<std::string> seen{};  // events, oldest first
};

// The byte at an offset of a stream: every byte that is delivered or sent is compared with it.
uint8_t stream_byte(const Conversation& conversation, bool from_peer, uint64_t offset);

class Machine {
 public:
  explicit Machine(const Settings& settings);
  // Throws Failure if not every packet came home.
  void end();

  Conversation& add(Conversation conversation);
  Conversation* find(std::string_view name);
  Conversation* find(uint32_t address, uint16_t peer_port, uint16_t local_port);

  // In the next turn.
  void arrive(Frame frame) { device_.arriving.push_back(std::move(frame)); }
  void act(std::function<void()> action) { actions_.push_back(std::move(action)); }
  // One turn, and more while something waits to leave and does.
  void run();
  // Lets time pass, from one deadline of the stack to the next. Ends early when something was sent.
  void advance(base::Time until);

  void read(Conversation& conversation, size_t most);

  base::Time now() const { return now_; }
  struct Leaving {
    base::Time at;
    Sent sent;
  };
  std::deque<Leaving> leaving;  // sent and not expected yet
  tcp::Stack& stack() { return *stack_; }
  net::Host& host() { return *host_; }
  net::FakeDevice& device() { return device_; }

 private:
  void turn();
  void on_event(const tcp::Event& event);
  void collect();
  void introduce(const Conversation& conversation);

  Settings settings_;
  base::Time now_{std::chrono::seconds(100)};
  net::FakeDevice device_;
  std::optional<net::Host> host_{};
  std::optional<tcp::Stack> stack_{};
  std::vector<std::unique_ptr<Conversation>> conversations_;
  std::vector<std::function<void()>> actions_;
};

}  // namespace talaria::conformance
