#include "core/amqp091/session/confirms.h"

#include <algorithm>

namespace talaria::amqp091::session {

void Confirms::grow() {
  std::vector<Slot> old(std::max<size_t>(64, slots_.size() * 2));
  old.swap(slots_);
  for (uint64_t sequence = low_; sequence != next_; sequence++) slot(sequence) = old[sequence & (old.size() - 1)];
}

void Confirms::settle_early(uint64_t sequence) { early_.push_back(sequence); }

}  // namespace talaria::amqp091::session
