// What all consumers together received: how many, how late, and whether each stream came whole, once and in order.
//
// A queue with one consumer keeps every stream in order. Of a queue that several share, each consumer sees a part of
// every stream in order, and all of them together see it whole.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/histogram.h"
#include "load/plan.h"
#include "load/producer.h"
#include "load/sequence_check.h"
#include "load/stamp.h"

namespace talaria::load {

class Arrivals {
 public:
  explicit Arrivals(const Plan& plan);

  // A message that came from a queue, at `now`.
  void on(uint32_t queue, const Stamp& stamp, base::Time now, const Window& window) {
    delivered_++;
    const size_t index = index_of(queue, stamp.stream);
    if (index >= checks_.size() || (!to_all_ && queue_of(stamp.stream) != queue)) [[unlikely]] {
      strangers_++;
      return;
    }
    checks_[index].on(stamp.sequence);
    if (window.contains(stamp.due))
      latency_.record(now > stamp.due ? static_cast<uint64_t>((now - stamp.due).count()) : 0);
  }
  void on_stranger() {
    delivered_++;
    strangers_++;
  }

  uint64_t delivered() const { return delivered_; }
  // Messages that nobody of this run published, or that came out of another queue than they were sent to.
  uint64_t strangers() const { return strangers_; }
  const base::FineHistogram& latency() const { return latency_; }

  struct Verdict {
    uint64_t lost = 0;
    uint64_t duplicated = 0;
    uint64_t reordered = 0;
  };
  // `sequences`: how many messages each stream had.
  Verdict judge(const std::vector<uint64_t>& sequences) const;

 private:
  size_t index_of(uint32_t queue, uint32_t stream) const {
    return to_all_ ? size_t{queue} * producers_ + stream : stream;
  }

  uint32_t queue_of(uint32_t stream) const {
    const uint32_t route = stream % routes_;
    return routes_ == queues_ ? route : route % queues_;
  }

  bool to_all_;
  bool shared_;
  uint32_t queues_;
  uint32_t routes_;  // of streams: they lead to queues in turn
  uint32_t producers_;
  uint64_t delivered_ = 0;
  uint64_t strangers_ = 0;
  base::FineHistogram latency_;
  std::vector<SequenceCheck> checks_;
};

}  // namespace talaria::load
