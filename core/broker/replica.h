// A worker's full replica of the topology: every vhost, exchange, queue record and binding. One writer, `apply`, which
// is handed the control plane's changes in order; everything else reads. Ids are looked up by slot and generation.
//
// The control plane has checked what it sends: an id that is not free, or a thing removed while bindings touch it, is a
// bug and fails a CHECK.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/broker/exchange.h"
#include "core/broker/queue_record.h"
#include "core/broker/topology.h"
#include "core/broker/vhost.h"

namespace talaria::broker {

class Replica {
 public:
  Replica() = default;
  ~Replica();
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  // nullptr when it is gone (or was never here).
  Vhost* find_vhost(VhostId id) const { return find(vhosts_, id); }
  Exchange* find_exchange(ExchangeId id) const { return find(exchanges_, id); }
  QueueRecord* find_queue(QueueId id) const { return find(queues_, id); }

  // How many vhosts are traced.
  size_t traced_vhosts() const { return traced_vhosts_; }

  // Cold. All but the queue's home, which the engine minds (it sets and clears QueueRecord::local around these).
  void apply(const AddVhost& change);
  void apply(const RemoveVhost& change);
  void apply(const TraceVhost& change);
  void apply(const AddExchange& change);
  void apply(const ChangeExchange& change);
  void apply(const RemoveExchange& change);
  QueueRecord& apply(const AddQueue& change);
  QueueRecord& apply(const ChangeQueue& change);
  void apply(const RemoveQueue& change);
  // Whether it was not there before.
  bool apply(const AddBinding& change);
  void apply(const RemoveBinding& change);

  template <class Visit>
  void for_each_queue(Visit&& visit) const {
    for (const auto& slot : queues_)
      if (slot.thing) visit(*slot.thing);
  }

 private:
  template <class Thing>
  struct Slot {
    uint32_t generation = 0;
    std::unique_ptr<Thing> thing;
  };
  template <class Thing>
  using Slots = std::vector<Slot<Thing>>;

  template <class Thing, class Id>
  static Thing* find(const Slots<Thing>& slots, Id id) {
    return id.slot < slots.size() && slots[id.slot].generation == id.generation ? slots[id.slot].thing.get() : nullptr;
  }
  template <class Thing, class Id>
  static Thing& put(Slots<Thing>& slots, Id id, std::unique_ptr<Thing> thing);
  Destination destination_of(const Binding& binding) const;
  void trace(Vhost& vhost, Exchange* to);

  Slots<Vhost> vhosts_;
  Slots<Exchange> exchanges_;
  Slots<QueueRecord> queues_;
  size_t traced_vhosts_ = 0;
};

}  // namespace talaria::broker
