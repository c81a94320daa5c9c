#include "core/broker/engine.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace talaria::broker {

Engine::Engine(WorkerIndex self, WorkerIndex workers, MessagePool& pool, Outbox& outbox, PressureBoard& board,
               EngineLimits limits)
    : self_(self),
      workers_(workers),
      pool_(pool),
      outbox_(outbox),
      board_(board),
      limits_(limits),
      home_{
          self,     pool, pool.arena(), outbox, limits.handover_window, limits.ready_while_served, limits.drops_at_once,
          counters_} {
  CHECK(self < workers && workers <= workers_max && pool.self() == self);
  pool.raise_reserve(reserve_bytes(workers, limits));
  CHECK(limits.deliveries_per_visit != 0 && limits.ready_while_served != 0 && limits.handover_window != 0 &&
        limits.remains_per_dispatch != 0);
}

// Whatever is queued goes back to the pool; what stands in the outbox is the worker's.
Engine::~Engine() {
  replica_.for_each_queue([&](QueueRecord& record) {
    if (!record.local) return;
    record.local->close(remains_);
    delete record.local;
    record.local = nullptr;
  });
  free_remains(UINT32_MAX);
  CHECK(remains_.empty());
}

size_t Engine::reserve_bytes(WorkerIndex workers, const EngineLimits& limits) {
  const size_t peers = workers > 1 ? size_t{workers} - 1u : 0;
  return peers * limits.operations_under_way_max * entry_bytes_max + 4 * base::Arena::block_bytes;
}

// ---- publish --------------------------------------------------------------------------------------------------------

// Whatever worker its home is: its counters tell. Publishers of one worker are stopped and go on together.
static bool is_stopped(QueueRecord& queue) {
  const auto is_at = [&](const std::optional<FlowLimit>& limit, const base::Counter& counter) {
    return limit && counter.value() >= (queue.flow_stopped ? limit->resume + 1 : limit->stop);
  };
  queue.flow_stopped = is_at(queue.settings->flow, queue.counters->ready) ||
                       is_at(queue.settings->flow_bytes, queue.counters->bytes_ready);
  return queue.flow_stopped;
}

Room Engine::room_for(std::span<QueueRecord* const> targets) {
  size_t entries = 0;
  for (QueueRecord* target : targets) {
    if (target->flow_limited && is_stopped(*target)) [[unlikely]]
      return {Shortage::flow, target->home, target->id};
    if (target->home == self_) [[likely]] {
      entries++;
      if (target->local->behind()) [[unlikely]]
        return {Shortage::queue, self_};
      continue;
    }
    if (target->home == nowhere) [[unlikely]]
      return {Shortage::moving, self_};
    if (board_.workers[target->home].pressed.value() != 0) return {Shortage::memory, target->home};
    if (outbox_.operations[target->home].size() >= limits_.operations_backlog_max)
      return {Shortage::operations, target->home};
  }
  if (entries == 0 || pool_.room() > entries * entry_bytes_max) [[likely]]
    return {};
  return {Shortage::memory, self_};
}

Room Engine::room_for_accepted(std::span<QueueRecord* const> targets) const {
  size_t entries = 0;
  for (const QueueRecord* target : targets) {
    if (target->home == self_)
      entries++;
    else if (target->home == nowhere)
      return {Shortage::moving, self_};
    else if (outbox_.operations[target->home].size() >= limits_.operations_backlog_max)
      return {Shortage::operations, target->home};
  }
  if (entries == 0 || pool_.room() > entries * entry_bytes_max) return {};
  return {Shortage::memory, self_};
}

void Engine::publish(std::span<QueueRecord* const> targets, Message* message, const ChannelAddress& publisher,
                     uint64_t sequence) {
  counters_.published.add();
  if (targets.empty()) {
    pool_.release(message);
    return;
  }
  if (targets.size() > 1) message->add_references(static_cast<uint32_t>(targets.size() - 1));
  for (QueueRecord* target : targets) {
    if (target->home == self_) [[likely]] {
      store(*target->local, message, publisher, sequence);
    } else {
      CHECK(target->home != nowhere);  // the caller asked for room
      message->mark_shared();
      outbox_.operations[target->home].push_back(Publish{target->id, message, publisher, sequence});
    }
  }
}

void Engine::publish_accepted(std::span<const Admitted> targets, Message* message, const ChannelAddress& publisher,
                              uint64_t sequence) {
  counters_.published.add();
  if (targets.size() > 1) message->add_references(static_cast<uint32_t>(targets.size() - 1));
  for (const Admitted& target : targets) {
    if (target.queue->home == self_) {
      store_accepted(*target.queue->local, message, publisher, sequence, target.promised);
      continue;
    }
    CHECK(target.queue->home != nowhere);  // the caller asked for room
    message->mark_shared();
    outbox_.operations[target.queue->home].push_back(Publish{
        target.queue->id, message, publisher, sequence, target.promised ? Admission::promised : Admission::accepted});
  }
}

// ---- past all queues ------------------------------------------------------------------------------------------------

Room Engine::room_for(WorkerIndex worker) const {
  if (outbox_.events_to[worker].size() < limits_.operations_backlog_max) return {};
  return {Shortage::operations, worker};
}

bool Engine::is_behind(QueueId queue) const {
  const QueueRecord* record = find_queue(queue);
  return record && outbox_.operations[record->home].size() >= limits_.operations_backlog_max;
}

void Engine::hand_over(const ConsumerAddress& consumer, Message* message) {
  const WorkerIndex worker = consumer.channel.worker;
  const Deliver delivery{consumer, {}, {}, message, false, false, 0};
  counters_.published.add();
  if (worker == self_) return outbox_.deliveries.push_back(delivery);
  message->mark_shared();
  outbox_.events_to[worker].push_back(delivery);
}

void Engine::tell(const Probe& probe) {
  home_.tell(probe.step == Probe::Step::question ? probe.consumer.channel.worker : probe.asker.worker, probe);
}

void Engine::hand_over(const MandatoryReply& reply) {
  CHECK(reply.consumer.channel.worker != self_);
  counters_.published.add();
  reply.message->mark_shared();
  home_.tell(reply.consumer.channel.worker, reply);
}

void Engine::tell(const ReplyTaken& answer) { home_.tell(answer.publisher.worker, answer); }

// ---- to exchanges that remember ----------------------------------------------------------------------------------

Room Engine::room_at(WorkerIndex home) const {
  if (board_.workers[home].pressed.value() != 0) return {Shortage::memory, home};
  if (outbox_.operations[home].size() >= limits_.operations_backlog_max) return {Shortage::operations, home};
  return {};
}

std::vector<uint64_t> Engine::handed() const {
  std::vector<uint64_t> handed;
  bool all_taken = true;
  for (WorkerIndex peer = 0; peer < workers_; peer++) {
    handed.push_back(outbox_.handed[peer].sent + outbox_.operations[peer].size());
    all_taken &= handed[peer] == outbox_.handed[peer].taken;
  }
  return all_taken ? std::vector<uint64_t>{} : handed;
}

Room Engine::room_behind(std::span<const uint64_t> handed, WorkerIndex home) {
  if (handed.empty()) return {};
  for (WorkerIndex peer = 0; peer < workers_; peer++) {
    if (peer == home || outbox_.handed[peer].taken >= handed[peer]) continue;
    outbox_.asks_what_is_taken = true;
    return {Shortage::operations, peer};
  }
  return {};
}

void Engine::entrust(WorkerIndex home, const Entrust& what) {
  CHECK(home != self_);
  what.message->mark_shared();
  outbox_.operations[home].push_back(RareOperation{what});
}

void Engine::tell(const Entrusted& answer) { home_.tell(answer.publisher.worker, answer); }

// ---- into a queue ---------------------------------------------------------------------------------------------------

void Engine::store(Queue& queue, Message* message, const ChannelAddress& publisher, uint64_t sequence) {
  note_stored(queue.enqueue(message), message, publisher, sequence);
}

void Engine::store_accepted(Queue& queue, Message* message, const ChannelAddress& publisher, uint64_t sequence,
                            bool promised) {
  note_stored(queue.enqueue_accepted(message, promised), message, publisher, sequence);
}

inline void Engine::note_stored(Enqueued how, Message* message, const ChannelAddress& publisher, uint64_t sequence) {
  if (how == Enqueued::stored) [[likely]] {
    counters_.stored.add();
  } else if (how == Enqueued::no_memory) {
    counters_.refused_no_memory.add();
    pool_.release(message);
  }
  if (sequence != 0) home_.tell(publisher.worker, Stored{publisher, sequence, how != Enqueued::stored});
}

// ---- operations -----------------------------------------------------------------------------------------------------

template <class Kind>
static Operation as_operation(const Kind& one) {
  if constexpr (std::is_same_v<Kind, Purge> || std::is_same_v<Kind, Reservation>)
    return RareOperation{one};
  else
    return one;
}

template <class Kind>
void Engine::ask(const Kind& operation) {
  const QueueRecord* record = find_queue(operation.queue);
  if (!record || record->home == self_) [[likely]]
    perform(record ? record->local : nullptr, operation);
  else if (record->home == nowhere) [[unlikely]]
    move_.held.push_back(as_operation(operation));
  else
    outbox_.operations[record->home].push_back(as_operation(operation));
}

void Engine::subscribe(const Subscribe& wish) { ask(wish); }
void Engine::unsubscribe(const Unsubscribe& wish) { ask(wish); }
void Engine::credit(const Credit& wish) { ask(wish); }
void Engine::pause(const Pause& wish) { ask(wish); }
void Engine::settle(const Settle& settlement) { ask(settlement); }
void Engine::get(const Get& wish) { ask(wish); }
void Engine::count(const Count& wish) { ask(wish); }
void Engine::purge(const Purge& wish) { ask(wish); }
void Engine::reserve(const Reservation& wish) { ask(wish); }
void Engine::passed(const Passed& report) {
  const QueueRecord* record = find_queue(report.queue);
  if (!record || record->home == self_) return;
  (record->home == nowhere ? move_.held : outbox_.operations[record->home]).push_back(report);
}

void Engine::ask_again(const RareOperation& operation) {
  std::visit(
      [this]<class Kind>(const Kind& rare) {
        if constexpr (!std::is_same_v<Kind, Entrust>) ask(rare);  // that waits for no queue
      },
      operation.what);
}

// What waited for a queue to move, to where that is now; if it is gone, each is answered so.
void Engine::resume_held() {
  const auto again = [this]<class Kind>(const Kind& one) {
    if constexpr (std::is_same_v<Kind, Passed>)
      passed(one);
    else if constexpr (std::is_same_v<Kind, RareOperation>)
      ask_again(one);
    else if constexpr (!std::is_same_v<Kind, Publish> && !std::is_same_v<Kind, MoveStep>)  // they never wait
      ask(one);
  };
  const std::vector<Operation> held = std::exchange(move_.held, {});
  for (const Operation& operation : held) std::visit(again, operation);
}

void Engine::perform(const Operation& operation) {
  const auto one_kind = [this]<class Kind>(const Kind& one) {
    if constexpr (std::is_same_v<Kind, MoveStep>)
      perform(one);
    else if constexpr (std::is_same_v<Kind, RareOperation>)
      perform(one);
    else
      perform(whole(one.queue), one);
  };
  std::visit(one_kind, operation);
}

void Engine::perform(const RareOperation& operation) {
  std::visit(
      [this]<class Kind>(const Kind& rare) {
        if constexpr (std::is_same_v<Kind, Entrust>)
          outbox_.entrusted.push_back(rare);
        else
          perform(whole(rare.queue), rare);
      },
      operation.what);
}

// What a peer asks of a queue that has left, or has not arrived, it asked too late or too early.
Queue* Engine::whole(QueueId id) const {
  Queue* queue = local(id);
  CHECK(!queue || !queue->moving());
  return queue;
}

// A queue homed here, or nullptr when it is gone.
Queue* Engine::local(QueueId id) const {
  const QueueRecord* record = find_queue(id);
  CHECK(!record || record->local);
  return record ? record->local : nullptr;
}

void Engine::perform(Queue* queue, const Publish& operation) {
  if (queue) {
    if (operation.admission == Admission::asked) [[likely]]
      store(*queue, operation.message, operation.publisher, operation.sequence);
    else
      store_accepted(*queue, operation.message, operation.publisher, operation.sequence,
                     operation.admission == Admission::promised);
    if (queue->note_remote_publish(operation.publisher.worker, limits_.move_after)) [[unlikely]]
      consider_move(*queue, operation.publisher.worker);
    return;
  }
  counters_.stored_nowhere.add();
  pool_.release(operation.message);
  if (operation.sequence != 0)
    home_.tell(operation.publisher.worker, Stored{operation.publisher, operation.sequence, false});
}

void Engine::perform(Queue* queue, const Subscribe& operation) {
  const SubscribeResult result = queue ? queue->subscribe(operation) : SubscribeResult::no_such_queue;
  home_.tell(operation.consumer.channel.worker, Subscribed{operation.consumer, operation.queue, result});
}

void Engine::perform(Queue* queue, const Unsubscribe& operation) {
  const bool removed = queue && queue->unsubscribe(operation.consumer);
  if (!removed) counters_.late_operations.add();
  const bool unused = removed && queue->record().auto_delete && queue->consumers() == 0;
  home_.tell(operation.consumer.channel.worker, Unsubscribed{operation.consumer, operation.queue, unused});
}

void Engine::perform(Queue* queue, const Credit& operation) {
  if (!queue || !queue->credit(operation)) counters_.late_operations.add();
}

void Engine::perform(Queue* queue, const Pause& operation) {
  if (!queue || !queue->pause(operation)) counters_.late_operations.add();
}

void Engine::perform(Queue* queue, const Passed& operation) {
  if (!queue || !queue->passed(operation)) counters_.late_operations.add();
}

void Engine::perform(Queue* queue, const Settle& operation) {
  if (queue) [[likely]] {
    queue->settle(operation);
    counters_.settled.add();
  } else {
    counters_.late_operations.add();
  }
}

void Engine::perform(Queue* queue, const Get& operation) {
  Got got{operation.channel, operation.queue, {}, nullptr, 0, false, 0};
  if (queue) {
    queue->get(operation.no_ack, got);
    queue->note_get(operation.channel.worker);
    queue->note_use();
  }
  if (got.message) {
    counters_.got.add();
    if (operation.channel.worker != self_) got.message->mark_shared();
  }
  home_.tell(operation.channel.worker, got);
}

void Engine::perform(Queue* queue, const Count& operation) {
  if (queue) queue->note_use();
  home_.tell(operation.channel.worker,
             Counted{operation.channel, operation.queue, queue ? queue->ready() : 0, queue ? queue->consumers() : 0});
}

void Engine::perform(Queue* queue, const Purge& operation) {
  const uint32_t count = queue ? purge_now(operation.queue) : 0;
  home_.tell(operation.channel.worker, Purged{operation.channel, operation.queue, count});
}

// A queue that is gone has room for everybody: what comes to it is dropped, and confirmed.
void Engine::perform(Queue* queue, const Reservation& operation) {
  if (operation.given_back) {
    if (queue) queue->give_back_reserved(operation.messages, operation.bytes);
    return;
  }
  const bool granted = !queue || queue->reserve(operation.messages, operation.bytes);
  home_.tell(operation.channel.worker,
             Reserved{operation.channel, operation.queue, operation.messages, granted, operation.bytes});
}

// ---- control --------------------------------------------------------------------------------------------------------

DeletePlan Engine::prepare_delete(QueueId id, bool if_unused, bool if_empty) const {
  const Queue* queue = whole(id);
  if (!queue) return {DeleteCheck::no_such_queue, 0};
  DeletePlan plan{DeleteCheck::may_go, queue->ready()};
  if (if_unused && queue->consumers() != 0)
    plan.check = DeleteCheck::in_use;
  else if (if_empty && queue->ready() != 0)
    plan.check = DeleteCheck::not_empty;
  return plan;
}

uint32_t Engine::purge_now(QueueId id) {
  Queue* queue = whole(id);
  if (!queue || queue->ready() == 0) return 0;
  return queue->purge(remains_);
}

void Engine::apply(const TopologyChange& change, base::Time) {
  std::visit([this](const auto& one) { apply_one(one); }, change);
  topology_epoch_++;
}

void Engine::apply_one(const AddQueue& change) {
  CHECK(change.home < workers_);
  QueueRecord& record = replica_.apply(change);
  if (record.home == self_) record.local = new Queue(record, home_);
}

void Engine::apply_one(const ChangeQueue& change) {
  const QueueRecord& record = replica_.apply(change);
  if (record.local) record.local->on_settings_changed();
}

void Engine::apply_one(const RemoveQueue& change) {
  QueueRecord* record = find_queue(change.id);
  CHECK(record);
  if (record->local) {
    record->local->close(remains_);
    delete record->local;
    record->local = nullptr;
  }
  replica_.apply(change);
  if (move_.under_way && move_.queue == change.id) removed_while_moving();
}

void Engine::apply_one(const AddBinding& change) {
  if (!replica_.apply(change)) return;
  const Exchange& source = *find_exchange(change.binding.source);
  if (source.remembers() && source.home() == self_)
    outbox_.bound.push_back({source.id(), change.binding.queue, change.binding.exchange});
}

// ---- the turn -------------------------------------------------------------------------------------------------------

void Engine::on_time(base::Time now) {
  home_.now = now;
  for (uint32_t done = 0; done < limits_.expiries_per_turn; done++) {
    base::TimerNode* timer = home_.timers.pop_expired(now);
    if (!timer) [[likely]]
      return;
    home_.on_timer(*timer);
  }
}

uint32_t Engine::dispatch(base::Time, uint32_t budget) {
  if (!remains_.empty()) [[unlikely]]
    free_remains(limits_.remains_per_dispatch);
  if (move_.leaving) [[unlikely]]
    hand_over_some();
  uint32_t done = 0;
  while (done < budget && !home_.active.empty())
    done += home_.active.pop().deliver(std::min(limits_.deliveries_per_visit, budget - done));
  counters_.delivered.add(done);
  report_pressure();
  return done;
}

void Engine::report_pressure() {
  const uint64_t pressed = pool_.pressure() == Pressure::high ? 1 : 0;
  base::Counter& shown = board_.workers[self_].pressed;
  if (shown.value() != pressed) shown.set(pressed);  // peers read this line: it is written only when it changes
}

void Engine::free_remains(uint32_t most) {
  base::Arena& arena = pool_.arena();
  for (uint32_t freed = 0; freed < most && !remains_.empty(); freed++) {
    Remains& remains = remains_.front();
    QueueEntry* entry = nullptr;
    if (!remains.fresh.empty()) {
      entry = remains.fresh.pop(arena);
    } else if (!remains.returned.empty()) {
      entry = remains.returned.take_any(arena);
    } else if (!remains.unacked.empty()) {
      entry = entry_at(arena, remains.unacked.head);
      remains.unacked.remove(arena, entry);
      if (entry->holder_or_rank) home_.release_holder(entry->holder_or_rank);
    } else {
      remains_.pop_front();
      continue;
    }
    if (entry->timed) home_.timers.disarm(timer_of(entry));
    pool_.release(entry->message);
    arena.release(entry);
    counters_.dropped_with_queue.add();
    if (remains.empty()) remains_.pop_front();
  }
}

// ---- invariants -----------------------------------------------------------------------------------------------------

void Engine::check_invariants() const {
  const SubscriptionTable& subscriptions = home_.subscriptions;
  std::vector<uint32_t> held(subscriptions.slots(), 0);
  size_t active = 0, marked = 0;
  replica_.for_each_queue([&](const QueueRecord& record) {
    if (record.home == nowhere)
      CHECK(move_.under_way && move_.queue == record.id);
    else
      CHECK((record.home == self_) == (record.local != nullptr));
    if (!record.local) return;
    record.local->check_invariants(held);
    marked += record.local->active();
  });
  for (const Queue* queue = home_.active.first; queue; queue = queue->next_active()) active++;
  CHECK(active == marked);
  const base::Arena& arena = pool_.arena();
  for (const Remains& remains : remains_)
    for (uint32_t at = remains.unacked.head; at; at = entry_at(arena, at)->b)
      if (uint32_t holder = entry_at(arena, at)->holder_or_rank) held[holder - 1]++;
  size_t holding = 0;
  for (uint32_t slot = 0; slot < held.size(); slot++) {
    const Subscription& subscription = subscriptions.at(slot);
    if (!subscription.queue) {
      CHECK(held[slot] == 0);
      continue;
    }
    holding++;
    CHECK(subscription.slot == slot && subscription.unacknowledged == held[slot]);
    CHECK(!subscription.is(Subscription::gone) || held[slot] != 0);
  }
  CHECK(holding == subscriptions.size());
  arena.check_invariants();
}

}  // namespace talaria::broker
