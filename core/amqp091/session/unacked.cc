#include "core/amqp091/session/unacked.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace talaria::amqp091::session {

const Unacked* UnackedRing::search(uint64_t tag) const {
  uint64_t low = front_, high = back_;
  while (low < high) {
    uint64_t middle = low + (high - low) / 2;
    if (at(middle).tag < tag)
      low = middle + 1;
    else
      high = middle;
  }
  return low < back_ && at(low).tag == tag ? &at(low) : nullptr;
}

void UnackedRing::put_back(std::vector<Unacked> deliveries) {
  if (deliveries.empty()) return;
  for (uint64_t position = front_; position != back_; position++)
    if (at(position).entry) deliveries.push_back(at(position));
  std::ranges::sort(deliveries, {}, &Unacked::tag);
  live_ = deliveries.size();
  front_ = 0;
  back_ = live_;
  deliveries.resize(std::max<size_t>(16, std::bit_ceil(live_)));
  slots_ = std::move(deliveries);
}

void UnackedRing::make_room() {
  const bool mostly_holes = live_ * 2 < slots_.size();
  std::vector<Unacked> old(mostly_holes ? slots_.size() : std::max<size_t>(16, slots_.size() * 2));
  old.swap(slots_);
  uint64_t kept = 0;
  for (uint64_t position = front_; position != back_; position++) {
    const Unacked& delivery = old[position & (old.size() - 1)];
    if (delivery.entry) slots_[kept++] = delivery;
  }
  front_ = 0;
  back_ = kept;
}

}  // namespace talaria::amqp091::session
