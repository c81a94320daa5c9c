// The simulated wire: ports, the link of each to a switch, and the switch.
//
//   port A --- up ---> switch --- down ---> port B       a link direction has a rate, a delay, a queue, and faults
//
// The switch knows every port by its MAC address; broadcasts go to all the others. Frames on the way are the network's
// own copies: neither side's memory is touched after `send` and `on_frame`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/net/device.h"
#include "tests/sim/capture.h"
#include "tests/sim/world.h"

namespace talaria::sim {

// What can go wrong in one direction of a link; probabilities are per frame.
struct Faults {
  double loss = 0;  // each for itself
  // Gilbert's two states: in the bad one frames are lost in bursts.
  double burst_start = 0, burst_end = 1, burst_loss = 1;
  // A burst is counted in frames, and ends in time all the same: whoever sends one a minute is not lost for an hour.
  Duration burst_max = std::chrono::seconds(10);
  double duplicate = 0;
  double reorder = 0;  // held back by up to reorder_delay while others pass
  Duration reorder_delay = 5ms;
  double corrupt = 0;   // one byte behind the Ethernet header of an IPv4 frame (ARP has no checksum to notice it by)
  double truncate = 0;  // cut anywhere behind the Ethernet header
  double pause = 0;     // the line falls silent for up to pause_max; what is sent meanwhile waits
  Duration pause_max = 300ms;
  // Lost when it says so; `number` counts this direction's frames from 0.
  std::function<bool(base::Bytes frame, uint64_t number)> drop_if;
};

struct Link {
  uint64_t bits_per_second = 10'000'000'000;
  Duration delay = 50us;
  Duration jitter{};                // added to each frame; order is kept
  size_t queue_bytes = 512 * 1024;  // beyond that the tail is dropped
  Faults faults;
};

// What hangs on a link's end.
class Port {
 public:
  virtual ~Port() = default;
  virtual void on_frame(base::Bytes frame) = 0;
};

struct NetworkCounters {
  uint64_t sent = 0, delivered = 0, lost = 0, overflowed = 0, duplicated = 0, reordered = 0, corrupted = 0,
           truncated = 0, unknown_mac = 0;
};

class Network {
 public:
  explicit Network(World& world) : world_(world) {}

  using PortIndex = size_t;
  // The port outlives the network's last frame.
  PortIndex attach(Port& port, const net::MacAddress& mac, const Link& up, const Link& down);
  // Sends a copy of the frame; returns when its last bit is on the wire (when a ring's slot is free again).
  Time send(PortIndex from, base::Bytes frame);

  // From now on every link is faultless; what is on the way arrives.
  void stop_faults() { faults_ = false; }
  void start_faults() { faults_ = true; }
  // Of all frames that are sent, counted from 0, this one is lost.
  void lose_frame(uint64_t number) { lost_frame_ = number; }
  bool faults() const { return faults_; }
  // Of all frames from and to this host, counted from 1, as they are sent.
  void watch(const net::MacAddress& mac, std::function<void(uint64_t number)> on_frame);
  // Nothing passes from or to this host any more.
  void cut(const net::MacAddress& mac) { cut_ = mac; }
  void capture_to(Capture* capture) { capture_ = capture; }
  // Sees every frame as it is sent; a Failure that it throws ends the run.
  void observe(std::function<void(base::Bytes frame)> observer) { observer_ = std::move(observer); }
  const NetworkCounters& counters() const { return counters_; }

 private:
  struct Direction {
    Link link;
    Random random;
    uint64_t frames = 0;
    Time line_free{};     // when the last frame's last bit has left
    Time last_arrival{};  // order is kept unless a fault breaks it
    bool burst = false;
    Time burst_began{};
    Time paused_until{};
  };
  struct Attachment {
    Port* port;
    net::MacAddress mac;
    Direction up, down;
  };
  using Frame = std::vector<uint8_t>;

  // Sends through one direction; `deliver` is called 0, 1 or 2 times, later. Returns when the last bit is out.
  Time pass(Direction& direction, Frame frame, std::function<void(Frame)> deliver);
  bool is_of(PortIndex from, base::Bytes frame, const net::MacAddress& mac) const;
  void forward(PortIndex from, const Frame& frame);
  void damage(Direction& direction, Frame& frame);

  World& world_;
  std::vector<std::unique_ptr<Attachment>> ports_;
  bool faults_ = true;
  std::optional<uint64_t> lost_frame_;
  net::MacAddress watched_{};
  std::function<void(uint64_t)> on_watched_;
  uint64_t watched_frames_ = 0;
  std::optional<net::MacAddress> cut_;
  Capture* capture_ = nullptr;
  std::function<void(base::Bytes frame)> observer_;
  NetworkCounters counters_;
};

}  // namespace talaria::sim
