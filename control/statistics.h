// What the control plane may know of the datapath: figures read from single-writer counters, and from the ports' own
// statistics. dpdk-app implements it; the simulator and the tests may bring their own. The control thread alone calls
// it. A call reads memory (or a device register) and returns values: it never sends a worker anything and never waits
// for one. Figures count from the start of the process; rates are made by who asks twice (control/rates.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/histogram.h"
#include "core/base/time.h"
#include "core/broker/address.h"

namespace talaria::control {

// A reason and how often: ("tcp drop_bad_checksum", 3).
using NamedCount = std::pair<std::string, uint64_t>;

// One counter of a worker: ("tcp", "drop_bad_checksum", 3).
struct LayerCount {
  std::string layer;
  std::string name;
  uint64_t value = 0;
};

struct WorkerFigures {
  unsigned core = 0;  // the processor it is pinned to
  bool isolated = false;
  uint64_t turns_busy = 0;  // turns that found work
  uint64_t turns_idle = 0;
  uint64_t busy_ns = 0;    // time of the turns that found work
  uint64_t asleep_ns = 0;  // between turns; the rest of the time it looked in vain
  uint64_t packets_in = 0;
  uint64_t packets_out = 0;
  uint64_t messages_in = 0;   // published
  uint64_t messages_out = 0;  // delivered and got
  uint64_t longest_turn_ns = 0;
  uint64_t connections = 0;
  uint64_t pool_used = 0;            // message memory, bytes
  uint64_t pool_total = 0;           // bytes
  std::vector<NamedCount> refusals;  // what was refused, dropped or went wrong, each with its reason
  // Both live as long as Statistics; none: nothing is recorded.
  const base::Histogram* message_latency = nullptr;   // ns a message spent in the broker
  const base::FineHistogram* turn_lengths = nullptr;  // ns of each turn
};

struct PortQueueFigures {
  uint64_t packets_in = 0, bytes_in = 0;
  uint64_t packets_out = 0, bytes_out = 0;
};
struct PortFigures {
  std::string name;    // "0000:01:00.0", "net_tap0"
  std::string driver;  // "net_ixgbe"
  std::string mac;
  std::string address;  // "198.18.0.1/24"
  bool link_up = false;
  uint32_t speed_mbps = 0;  // 0: unknown
  uint16_t mtu = 0;
  int numa_node = -1;  // -1: none
  PortQueueFigures total;
  std::vector<PortQueueFigures> queues;
  std::vector<NamedCount> drops;
};

// One connection: `session` names it, the figures are the worker's and its TCP's.
struct ConnectionFigures {
  uint64_t bytes_in = 0, bytes_out = 0;
  uint64_t messages_in = 0, messages_out = 0;
  uint64_t send_buffered = 0;      // bytes not yet acknowledged by the peer's TCP
  uint64_t unacknowledged = 0;     // deliveries not yet settled
  bool blocked = false;            // its reading is stopped by back-pressure
  uint64_t smoothed_rtt_ns = 0;    // 0: not measured yet
  uint64_t congestion_window = 0;  // bytes
  uint64_t peer_window = 0;        // bytes
  uint64_t retransmissions = 0;    // segments
  uint16_t segment_size = 0;       // bytes
  uint64_t out_of_order = 0;       // segments that came before others that were sent earlier
  uint64_t reordered = 0;          // of ours, as the peer's acknowledgements tell
  uint64_t zero_window_ns = 0;     // the peer took nothing, in all
  std::string_view last_stall{};   // "none", or what kept it from sending or the peer from doing so
  base::Time last_stall_at{};
};

class Statistics {
 public:
  virtual ~Statistics() = default;

  virtual broker::WorkerIndex workers() const = 0;
  virtual WorkerFigures worker(broker::WorkerIndex index) const = 0;
  // Every counter of every layer, 0 or not; always the same ones in the same order.
  virtual std::vector<LayerCount> counters(broker::WorkerIndex index) const = 0;
  virtual std::vector<PortFigures> ports() const = 0;
  // False: no such connection (any more), or nothing is counted of it.
  virtual bool connection(const broker::SessionAddress& session, ConnectionFigures& figures) const = 0;
};

}  // namespace talaria::control
