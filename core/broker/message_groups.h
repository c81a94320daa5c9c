// The ready messages of a queue that keeps groups together (x-group-key; Qpid's shared groups): of the messages whose
// header has one value, those that are unacknowledged are all with one consumer.
//
//            its first message is handed over                    nothing of it is unacknowledged any more
//   free ------------------------------------> owned by a consumer ---------------------------------------> free
//
// A consumer takes the oldest message of all groups that are free or its own. One that leaves keeps what it holds until
// that is settled, and its groups with it. What is got by hand makes the getter the owner, one message at a time.
// Messages without the header are in no group.
//
// Each group has its messages as a queue has them that knows no groups. It stands, by the position of its first one, on
// one shelf: that of the free, or its owner's. Part of QueueExtras; such a queue stays with its home. As many groups as
// there are messages, at most.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "core/base/arena.h"
#include "core/broker/queue_entry.h"

namespace talaria::broker {

class MessageGroups {
 public:
  // Who holds messages: a subscription's slot + 1, or whoever got one.
  using Owner = uint32_t;
  static constexpr Owner nobody = 0;
  static constexpr Owner getter = UINT32_MAX;

  using Value = std::optional<std::string>;  // nullopt: in no group

  struct Group {
    FreshList fresh;
    ReturnedHeap returned;
    Owner owner = nobody;
    uint32_t held = 0;  // unacknowledged
    bool in_none = false;
    bool shelved = false;
    uint64_t position = 0;  // under which it stands on its shelf
    std::string value;

    bool empty() const { return fresh.empty() && returned.empty(); }
  };

  explicit MessageGroups(base::Arena& arena) : arena_(arena) { none_.in_none = true; }

  // It is ready; its state says whether it came back.
  void push(QueueEntry* entry, const Value& value);
  // Leaves from wherever it stands.
  void remove(QueueEntry* entry, const Value& value);

  bool any_free() const { return !free_.empty(); }
  // The oldest message that may go to that consumer; `free_too`: or only of its own groups. There is one. Each of these
  // three is followed by `hold_taken`, or by `let_taken_go` if nobody holds it.
  QueueEntry* take_for(Owner owner, bool free_too);
  QueueEntry* take_free();
  QueueEntry* take_oldest();
  void hold_taken(Owner owner);
  void let_taken_go();
  // What somebody held is settled; if it comes back, it is pushed after that.
  void settled(const Value& value);

  // Owners who may have something to take, each once: somebody for whom there is something is among them if `wake` was
  // called when it could take again. nobody: there are no more.
  Owner next_awake();
  void wake(Owner owner);

  // All ready messages leave, list by list.
  template <class Leave>
  void purge(Leave&& leave);
  template <class Visit>
  void for_each(Visit&& visit) const {
    visit(none_);
    for (const auto& [value, group] : groups_) visit(group);
  }
  const Group& group_of(const Value& value) const { return value ? groups_.at(*value) : none_; }
  void check_invariants() const;

 private:
  using Shelf = std::set<std::pair<uint64_t, Group*>>;
  struct Owned {
    Shelf shelf;
    uint32_t groups = 0;
    bool awake = false;
  };

  Group& group_for(const Value& value);
  uint64_t first_position(const Group& group) const;
  void shelve(Group& group);
  void unshelve(Group& group);
  void give_up(Group& group);
  void forget_if_done(Group& group);
  QueueEntry* take_first(Group& group);

  base::Arena& arena_;
  Group none_;
  std::unordered_map<std::string, Group> groups_;
  Shelf free_;
  Shelf all_;  // the free and the owned: for what must go, whoever has it
  std::unordered_map<Owner, Owned> owned_;
  std::deque<Owner> awake_;
  Group* taken_ = nullptr;
};

template <class Leave>
void MessageGroups::purge(Leave&& leave) {
  const auto empty = [&](Group& group) {
    leave(group.fresh, group.returned);
    unshelve(group);
    group.fresh = {};
    group.returned = {};
  };
  empty(none_);
  for (auto& [value, group] : groups_) empty(group);
  std::erase_if(groups_, [](const auto& one) { return one.second.held == 0; });
}

}  // namespace talaria::broker
