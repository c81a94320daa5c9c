// Publisher confirms of one channel (reference section 2.2): publishes are numbered from 1, each waits until every
// queue it went to has said Stored, and once per turn the client is told, with as few frames as it takes.
//
//        low_            done_                 next_
//         v                v                     v
//      ---| 5 | 6 | 7 | 8  | 9 | 10| 11| 12| 13  |
//         settled, to tell |  ^waits   ^settled early: told one by one
//
// Everything below done_ is settled: a run of one verdict is one frame with `multiple`, which may cover what was told
// before. Usually publishes settle in order, and a turn's confirms are a single ack. Owned by its channel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace talaria::amqp091::session {

class Confirms {
 public:
  bool selected() const { return selected_; }
  void select() { selected_ = true; }

  uint64_t outstanding() const { return next_ - low_; }

  // Numbers a publish that goes to `targets` queues. With none (unroutable) it is settled at once.
  uint64_t begin(uint32_t targets) {
    if (outstanding() == slots_.size()) [[unlikely]]
      grow();
    uint64_t sequence = next_++;
    slot(sequence) = {.left = targets & left_mask, .refused = 0, .told = 0};
    if (targets == 0) settle(sequence);
    return sequence;
  }

  // One of its queues has it for good, or refuses it. False if no such publish waits.
  bool stored(uint64_t sequence, bool refused) {
    if (sequence < done_ || sequence >= next_) return false;
    Slot& publish = slot(sequence);
    if (publish.left == 0) return false;
    publish.left--;
    if (refused) publish.refused = 1;
    if (publish.left == 0) settle(sequence);
    return true;
  }

  // There is something to tell.
  bool due() const { return low_ != done_ || !early_.empty(); }

  // Calls write(sequence, count, refused) for each frame that is due: it settles `count` publishes up to `sequence`,
  // and is `multiple` if these are more than one. Stops when `write` answers false (no room: the rest is due still).
  // Returns whether all went out.
  template <class Write>
  bool flush(Write&& write) {
    while (low_ != done_) {
      // A run of one verdict; what was told early goes with any.
      uint64_t end = low_;
      uint64_t fresh = 0, last = 0;
      bool refused = false;
      for (; end != done_; end++) {
        Slot publish = slot(end);
        if (publish.told) continue;
        if (fresh != 0 && (publish.refused != 0) != refused) break;
        refused = publish.refused != 0;
        last = end;
        fresh++;
      }
      if (fresh != 0 && !write(last, fresh, refused)) return false;
      low_ = end;
    }
    size_t written = 0;
    for (; written < early_.size(); written++) {
      uint64_t sequence = early_[written];
      if (sequence < low_ || slot(sequence).told) continue;
      if (!write(sequence, uint64_t{1}, slot(sequence).refused != 0)) break;
      slot(sequence).told = 1;
    }
    early_.erase(early_.begin(), early_.begin() + static_cast<std::ptrdiff_t>(written));
    return early_.empty();
  }

 private:
  static constexpr uint32_t left_mask = (1u << 30) - 1;
  struct Slot {
    uint32_t left : 30;    // queues still to answer
    uint32_t refused : 1;  // one of them said no
    uint32_t told : 1;     // settled early, and the client knows
  };

  Slot& slot(uint64_t sequence) { return slots_[sequence & (slots_.size() - 1)]; }
  void settle(uint64_t sequence) {
    if (sequence != done_) [[unlikely]]
      return settle_early(sequence);
    do done_++;
    while (done_ != next_ && slot(done_).left == 0);
  }
  void settle_early(uint64_t sequence);
  void grow();

  std::vector<Slot> slots_;      // a power of two of them, or none yet
  std::vector<uint64_t> early_;  // settled while an earlier publish still waits
  uint64_t low_ = 1;
  uint64_t done_ = 1;
  uint64_t next_ = 1;
  bool selected_ = false;
};

}  // namespace talaria::amqp091::session
