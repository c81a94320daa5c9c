// The deliveries of one channel that the client has not settled yet, oldest first (specification 1.8.3, twenty #11).
//
//      ring   | 4 | 5 | - | 9 |             tags go up but need not follow one another: a delivery that needs no
//             front          back           acknowledgement takes a tag and is not kept; `-` was settled out of order
//
// A tag is found at once where nothing is missing between it and the front, else by halving. Settling in any order is
// constant; what is settled in the middle is a hole until it comes to the front, and when holes are the greater part
// the ring is closed up instead of grown. So memory follows the unacknowledged deliveries, within a factor of four.
// Owned by its channel. Grows by doubling, never shrinks before the channel ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/broker/address.h"

namespace talaria::amqp091::session {

struct Unacked {
  uint64_t tag = 0;
  broker::EntryId entry;  // void: settled
  broker::QueueId queue;
  uint32_t consumer = 0;  // as in broker::ConsumerAddress; `got` for basic.get

  static constexpr uint32_t got = UINT32_MAX;
};

class UnackedRing {
 public:
  size_t size() const { return live_; }
  bool empty() const { return live_ == 0; }

  // Something with a tag up to `tag` is still here.
  bool holds_up_to(uint64_t tag) const { return live_ != 0 && at(front_).tag <= tag; }

  // Tags must go up. Member by member, as they come in registers: a whole Unacked would be put together in memory
  // first, and its copy would wait for that.
  void push(uint64_t tag, broker::EntryId entry, broker::QueueId queue, uint32_t consumer) {
    if (back_ - front_ == slots_.size()) [[unlikely]]
      make_room();
    Unacked& slot = at(back_++);
    slot.tag = tag;
    slot.entry = entry;
    slot.queue = queue;
    slot.consumer = consumer;
    live_++;
  }

  // nullptr: never delivered, settled already, or in no need of it.
  const Unacked* find(uint64_t tag) const {
    if (live_ == 0 || tag < at(front_).tag) return nullptr;
    const uint64_t guess = front_ + (tag - at(front_).tag);
    const Unacked* found = guess < back_ && at(guess).tag == tag ? &at(guess) : search(tag);
    return found != nullptr && found->entry ? found : nullptr;
  }

  // The oldest with a tag up to `tag` that is wanted, nullptr if none is. Looks at each.
  template <class Wanted>
  const Unacked* oldest_up_to(uint64_t tag, Wanted&& wanted) const {
    for (uint64_t position = front_; position != back_ && at(position).tag <= tag; position++)
      if (at(position).entry && wanted(at(position))) return &at(position);
    return nullptr;
  }

  // Takes out one delivery that `find` found.
  Unacked take(const Unacked* found) {
    Unacked delivery = *found;
    const_cast<Unacked*>(found)->entry = {};
    live_--;
    drop_holes();
    return delivery;
  }

  // Takes out every delivery with a tag up to `tag`, oldest first, at most `limit` of them, and calls use(delivery) for
  // each. Returns how many.
  template <class Use>
  size_t take_up_to(uint64_t tag, size_t limit, Use&& use) {
    size_t taken = 0;
    while (live_ != 0 && taken < limit) {
      Unacked delivery = at(front_);
      if (delivery.tag > tag) break;
      front_++;
      if (!delivery.entry) continue;
      live_--;
      taken++;
      use(delivery);
    }
    drop_holes();
    return taken;
  }

  // Deliveries that were taken out, unsettled as if they had not been. Cold.
  void put_back(std::vector<Unacked> deliveries);

 private:
  Unacked& at(uint64_t position) { return slots_[position & (slots_.size() - 1)]; }
  const Unacked& at(uint64_t position) const { return slots_[position & (slots_.size() - 1)]; }
  // The front is never a hole.
  void drop_holes() {
    if (live_ == 0) {
      front_ = back_;
      return;
    }
    while (!at(front_).entry) front_++;
  }
  const Unacked* search(uint64_t tag) const;
  void make_room();

  std::vector<Unacked> slots_;  // a power of two of them, or none yet
  uint64_t front_ = 0;
  uint64_t back_ = 0;
  size_t live_ = 0;
};

}  // namespace talaria::amqp091::session
