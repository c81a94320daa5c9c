// All mailboxes of the process: what each worker tells each other worker, and what the control thread and each worker
// tell one another. Made once, before any thread runs; afterwards each end of each mailbox belongs to one thread.
//
//        worker 0 ---lane(0,1)---> worker 1            a lane carries, in mailboxes of their own,
//        worker 0 <--lane(1,0)---- worker 1              operations  (to queues homed there)
//           ^                         ^                  events      (to sessions living there)
//           | commands / reports      |                  releases    (messages whose memory lives there)
//           v                         v                  neighbors   (who is where on the link)
//                                                        network     (addresses and routes that came or went)
//                                                        heard       (of routers and DHCP servers)
//                                                        icmp_errors (about segments of ours)
//        control thread (owns no message)
//
// Bounds: mailbox capacities below; what does not fit waits at the sender, which then stops reading its clients. A lane
// is 160 B a place and 16384 / workers places, at least 256 (41 KiB), and 4 KiB for the last three; all lanes together
// are 2.5 MiB * (workers - 1) up to 64 workers: 2.5 MiB for 2, 18 MiB for 8, 163 MiB for 64. docs/PERFORMANCE.md has
// the sum of all that grows so.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "core/base/cache_line.h"
#include "core/base/check.h"
#include "core/base/mailbox.h"
#include "core/broker/address.h"
#include "core/broker/engine.h"
#include "core/broker/operations.h"
#include "core/net/host.h"
#include "core/worker/control_messages.h"

namespace talaria::worker {

using broker::WorkerIndex;

// What was heard on one of the network ports; all workers number them alike.
template <class T>
struct OnPort {
  uint8_t port = 0;
  T what{};
};

// One direction between two workers.
struct Lane {
  explicit Lane(size_t capacity)
      : operations(capacity),
        events(capacity),
        releases(4 * capacity),
        neighbors(64),
        network(8),
        heard(2),
        icmp_errors(64) {}

  base::Mailbox<broker::Operation> operations;
  base::Mailbox<broker::Event> events;
  base::Mailbox<broker::Message*> releases;
  base::Mailbox<OnPort<net::LearnedNeighbor>> neighbors;
  base::Mailbox<OnPort<net::NetworkChange>> network;
  base::Mailbox<OnPort<net::Heard>> heard;
  base::Mailbox<net::IcmpError> icmp_errors;
};
static_assert(base::has_lines_of_its_own<Lane>, "its neighbour in memory is another pair's");
// One each: what crosses is one line a message, not parts of two.
static_assert(sizeof(broker::Operation) == base::cache_line && sizeof(broker::Event) == base::cache_line);

// Between the control thread and one worker. What still lies in it at the end is deleted with it.
struct ControlLane {
  ControlLane() = default;
  ~ControlLane();
  ControlLane(const ControlLane&) = delete;
  ControlLane& operator=(const ControlLane&) = delete;

  base::Mailbox<ControlCommand> commands{1024};
  base::Mailbox<ControlReport> reports{1024};
};
static_assert(base::has_lines_of_its_own<ControlLane>);

class Mesh {
 public:
  // `workers`: 1 to broker::workers_max.
  explicit Mesh(WorkerIndex workers) : workers_(workers) {
    CHECK(workers >= 1 && workers <= broker::workers_max);
    const size_t capacity = std::max<size_t>(256, 16384 / workers);
    for (size_t pair = 0; pair < size_t{workers} * workers; pair++)
      lanes_.push_back(pair / workers == pair % workers ? nullptr : std::make_unique<Lane>(capacity));
    for (WorkerIndex worker = 0; worker < workers; worker++) control_.push_back(std::make_unique<ControlLane>());
  }

  WorkerIndex workers() const { return workers_; }
  // From one worker to another one; they differ.
  Lane& lane(WorkerIndex from, WorkerIndex to) { return *lanes_[size_t{from} * workers_ + to]; }
  ControlLane& control(WorkerIndex worker) { return *control_[worker]; }
  // Which workers are short of memory; each writes its own line.
  broker::PressureBoard& pressure() { return pressure_; }

 private:
  WorkerIndex workers_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<std::unique_ptr<ControlLane>> control_;
  broker::PressureBoard pressure_;
};

}  // namespace talaria::worker
