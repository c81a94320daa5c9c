// What waits behind a full output, in order (see output.h), and where the memory for that comes from: an output that
// fills and empties again all the time, as a consumer's does that is slower than its queue, allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/broker/message.h"
#include "core/broker/operations.h"

namespace talaria::amqp091::session {

// Octets; those before `sent` are with TCP already.
struct HeldBytes {
  std::vector<uint8_t> bytes;
  size_t sent = 0;
};
// A body whose header frame is written, and how far its own frames are; holds one reference to the message.
struct HeldContent {
  broker::Message* message = nullptr;
  broker::PayloadCursor left;
  uint32_t frame_left = 0;  // octets to come of the body frame that was begun
  uint16_t channel = 0;
  bool end_due = false;  // the octet that ends the frame
};
// A delivery that has its tag but is not encoded yet; holds one reference to the message. (Its consumer may be gone
// when it is.)
struct HeldDelivery {
  broker::Deliver deliver;
  uint64_t tag = 0;
  std::shared_ptr<const std::string> consumer_tag;
};
using BacklogItem = std::variant<HeldBytes, HeldContent, HeldDelivery>;

// Taken from the front, added at the end.
class Backlog {
 public:
  Backlog() { items_.reserve(items_at_start); }
  bool empty() const { return front_ == items_.size(); }
  size_t size() const { return items_.size() - front_; }
  BacklogItem& back() { return items_.back(); }
  void push_back(BacklogItem&& item) { items_.push_back(std::move(item)); }
  BacklogItem pop_front() {
    BacklogItem item = std::move(items_[front_++]);
    if (empty()) clear();
    return item;
  }
  // What is left of this, then all of `later`, which is empty afterwards.
  void append(Backlog& later) {
    while (!later.empty()) push_back(later.pop_front());
  }
  void clear() {
    items_.clear();
    front_ = 0;
  }

 private:
  static constexpr size_t items_at_start = 256;  // a round of deliveries, or a consumer's hand-over window
  std::vector<BacklogItem> items_;
  size_t front_ = 0;  // those before it are taken
};

// Backlogs that nobody uses, their memory kept. One a worker.
class BacklogStore {
 public:
  BacklogStore() {
    spare_.reserve(spare_max);
    while (spare_.size() != spare_at_start) spare_.push_back(std::make_unique<Backlog>());
  }
  std::unique_ptr<Backlog> take() {
    if (spare_.empty()) return std::make_unique<Backlog>();
    std::unique_ptr<Backlog> out = std::move(spare_.back());
    spare_.pop_back();
    return out;
  }
  void give(std::unique_ptr<Backlog> backlog) {
    backlog->clear();
    if (spare_.size() < spare_max) spare_.push_back(std::move(backlog));
  }

 private:
  static constexpr size_t spare_at_start = 16;
  static constexpr size_t spare_max = 64;
  std::vector<std::unique_ptr<Backlog>> spare_;
};

}  // namespace talaria::amqp091::session
