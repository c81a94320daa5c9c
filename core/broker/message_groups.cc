#include "core/broker/message_groups.h"

#include <algorithm>

#include "core/base/check.h"

namespace talaria::broker {

MessageGroups::Group& MessageGroups::group_for(const Value& value) {
  if (!value) return none_;
  Group& group = groups_[*value];
  if (group.value.empty()) group.value = *value;
  return group;
}

// What came back is older than what never left.
uint64_t MessageGroups::first_position(const Group& group) const {
  return entry_at(arena_, group.returned.empty() ? group.fresh.head : group.returned.root)->position;
}

// ---- shelves --------------------------------------------------------------------------------------------------------

void MessageGroups::shelve(Group& group) {
  if (group.empty()) return unshelve(group);
  const uint64_t position = first_position(group);
  if (group.shelved && group.position == position) return;
  unshelve(group);
  group.shelved = true;
  group.position = position;
  all_.emplace(position, &group);
  if (group.owner == nobody) {
    free_.emplace(position, &group);
    return;
  }
  owned_[group.owner].shelf.emplace(position, &group);
  wake(group.owner);
}

void MessageGroups::unshelve(Group& group) {
  if (!std::exchange(group.shelved, false)) return;
  Shelf& shelf = group.owner == nobody ? free_ : owned_.at(group.owner).shelf;
  shelf.erase({group.position, &group});
  all_.erase({group.position, &group});
}

void MessageGroups::forget_if_done(Group& group) {
  if (!group.in_none && group.held == 0 && group.empty()) groups_.erase(std::string(group.value));
}

// ---- in and out -----------------------------------------------------------------------------------------------------

void MessageGroups::push(QueueEntry* entry, const Value& value) {
  Group& group = group_for(value);
  if (entry->state == static_cast<uint64_t>(EntryState::fresh))
    group.fresh.push(arena_, entry);
  else
    group.returned.push(arena_, entry);
  shelve(group);
}

void MessageGroups::remove(QueueEntry* entry, const Value& value) {
  Group& group = group_for(value);
  if (entry->state == static_cast<uint64_t>(EntryState::fresh))
    group.fresh.remove(arena_, entry);
  else
    group.returned.remove(arena_, entry);
  shelve(group);
  forget_if_done(group);
}

QueueEntry* MessageGroups::take_first(Group& group) {
  QueueEntry* entry = group.returned.empty() ? group.fresh.pop(arena_) : group.returned.pop(arena_);
  taken_ = &group;
  shelve(group);
  return entry;
}

QueueEntry* MessageGroups::take_for(Owner owner, bool free_too) {
  const auto own = owned_.find(owner);
  const bool has_own = own != owned_.end() && !own->second.shelf.empty();
  const bool has_free = free_too && !free_.empty();
  CHECK(has_own || has_free);
  if (!has_own || (has_free && *free_.begin() < *own->second.shelf.begin())) return take_free();
  return take_first(*own->second.shelf.begin()->second);
}

QueueEntry* MessageGroups::take_free() { return take_first(*free_.begin()->second); }

// Whoever has it: it is to go.
QueueEntry* MessageGroups::take_oldest() {
  CHECK(!all_.empty());
  return take_first(*all_.begin()->second);
}

// ---- owners ---------------------------------------------------------------------------------------------------------

void MessageGroups::hold_taken(Owner owner) {
  Group& group = *std::exchange(taken_, nullptr);
  if (group.in_none) return;
  CHECK(group.owner == nobody || group.owner == owner);
  if (group.held++ != 0) return;
  unshelve(group);
  group.owner = owner;
  owned_[owner].groups++;
  shelve(group);
}

void MessageGroups::let_taken_go() { forget_if_done(*std::exchange(taken_, nullptr)); }

void MessageGroups::settled(const Value& value) {
  if (!value) return;
  Group& group = groups_.at(*value);
  CHECK(group.held != 0);
  if (--group.held != 0) return;
  unshelve(group);
  const auto owned = owned_.find(group.owner);
  if (--owned->second.groups == 0) owned_.erase(owned);
  group.owner = nobody;
  shelve(group);
  forget_if_done(group);
}

MessageGroups::Owner MessageGroups::next_awake() {
  while (!awake_.empty()) {
    const Owner owner = awake_.front();
    awake_.pop_front();
    const auto found = owned_.find(owner);
    if (found == owned_.end()) continue;
    found->second.awake = false;
    if (!found->second.shelf.empty()) return owner;
  }
  return nobody;
}

void MessageGroups::wake(Owner owner) {
  const auto found = owned_.find(owner);
  if (found == owned_.end() || found->second.shelf.empty() || std::exchange(found->second.awake, true)) return;
  awake_.push_back(owner);
}

// ---- invariants -----------------------------------------------------------------------------------------------------

void MessageGroups::check_invariants() const {
  CHECK(taken_ == nullptr);
  std::unordered_map<Owner, uint32_t> groups_of;
  size_t shelved = 0;
  for_each([&](const Group& group) {
    CHECK(group.shelved == !group.empty());
    CHECK((group.owner == nobody) == (group.held == 0));
    CHECK(group.in_none || group.held != 0 || !group.empty());
    if (group.owner != nobody) groups_of[group.owner]++;
    if (!group.shelved) return;
    CHECK(group.position == first_position(group));
    const Shelf& shelf = group.owner == nobody ? free_ : owned_.at(group.owner).shelf;
    CHECK(shelf.contains({group.position, const_cast<Group*>(&group)}));
    CHECK(all_.contains({group.position, const_cast<Group*>(&group)}));
    shelved++;
  });
  CHECK(shelved == all_.size());
  for (const auto& [owner, owned] : owned_) {
    CHECK(owned.groups == groups_of[owner]);
    shelved -= owned.shelf.size();
    const bool listed = std::find(awake_.begin(), awake_.end(), owner) != awake_.end();
    CHECK(!owned.awake || listed);
  }
  CHECK(shelved == free_.size() && owned_.size() == groups_of.size());
}

}  // namespace talaria::broker
