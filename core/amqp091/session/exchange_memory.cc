#include "core/amqp091/session/exchange_memory.h"

#include <algorithm>
#include <span>
#include <utility>

#include "core/amqp091/session/closing.h"
#include "core/amqp091/session/connection.h"
#include "core/amqp091/session/consume.h"
#include "core/amqp091/session/deliver.h"
#include "core/amqp091/session/header_value.h"
#include "core/amqp091/session/own_messages.h"
#include "core/amqp091/session/publish.h"
#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/broker/exchange.h"
#include "core/broker/vhost.h"

namespace talaria::amqp091::session {
namespace {

// Queues answer to this session, which is none.
constexpr uint32_t our_slot = UINT32_MAX;

broker::ChannelAddress ourselves(const Shared& shared) {
  broker::ChannelAddress address;
  address.session = {our_slot, 1};
  address.worker = shared.self;
  return address;
}

std::span<broker::QueueRecord* const> route(Shared& shared, broker::Exchange& exchange, const broker::Message& message,
                                            const ExchangeMemories::Keys& keys) {
  return route_held(shared, exchange, message, keys ? std::span(*keys) : std::span<const std::string>());
}

// The fingerprint of what its messages are told apart by.
std::optional<std::string> value_of(const Shared& shared, const broker::Exchange& exchange,
                                    const broker::Message& message) {
  const auto value = header_value(message, exchange.settings()->deduplication->header);
  return value ? std::optional(base::fingerprint(shared.key, *value)) : std::nullopt;
}

bool wants_to_be_forgotten(const broker::Message& message) {
  return header_value(message, "x-recent-history-no-store") == header_text(base::FieldKind::boolean, 1);
}

}  // namespace

bool is_exchange_memory(const broker::ChannelAddress& address) { return address.session.slot == our_slot; }

ExchangeMemories::ExchangeMemories(const Shared& shared)
    // Messages may be of any worker's memory, and all homes may remember messages of one.
    : octets_max_(shared.pool.arena().capacity() / 8 / shared.engine.workers()) {}

// ---- what is remembered ---------------------------------------------------------------------------------------------

ExchangeMemories::Memory& ExchangeMemories::memory_of(const broker::Exchange& exchange) {
  Memory& memory = memories_[exchange.id()];
  if (!memory.seen && exchange.settings()->deduplication)
    memory.seen.emplace(*exchange.settings()->deduplication, seen_total_);
  return memory;
}

bool ExchangeMemories::is_busy(const broker::Exchange& exchange) const {
  const auto found = memories_.find(exchange.id());
  return found != memories_.end() && !found->second.jobs.empty();
}

bool ExchangeMemories::is_duplicate(const Shared& shared, const broker::Exchange& exchange,
                                    const broker::Message& message) const {
  const auto found = memories_.find(exchange.id());
  if (found == memories_.end() || !found->second.seen) return false;
  const auto value = value_of(shared, exchange, message);
  return value && found->second.seen->contains(*value, shared.now);
}

void ExchangeMemories::remember(Shared& shared, const broker::Exchange& exchange, broker::Message* message,
                                const Keys& keys) {
  Memory& memory = memory_of(exchange);
  if (memory.seen)
    if (const auto value = value_of(shared, exchange, *message))
      memory.seen->insert(*value, shared.now, broker::cache_ttl_in(header_value(*message, "x-cache-ttl")));
  if (!exchange.settings()->history_length || wants_to_be_forgotten(*message)) return;
  message->add_references();
  memory.history.push_back({message, keys});
  octets_ += octets_of(memory.history.back());
  while (memory.history.size() > *exchange.settings()->history_length ||
         (octets_ > octets_max_ && !memory.history.empty()))
    forget_oldest(shared, memory);
}

uint64_t ExchangeMemories::octets_of(const Remembered& one) {
  return session::octets_of(*one.message, one.keys ? std::span(*one.keys) : std::span<const std::string>());
}

void ExchangeMemories::forget_oldest(Shared& shared, Memory& memory) {
  octets_ -= octets_of(memory.history.front());
  shared.pool.release(memory.history.front().message);
  memory.history.pop_front();
  memory.first++;
}

// Of exchanges that have gone.
void ExchangeMemories::sweep(Shared& shared) {
  if (swept_epoch_ == shared.engine.topology_epoch()) return;
  swept_epoch_ = shared.engine.topology_epoch();
  for (auto at = memories_.begin(); at != memories_.end();) {
    Memory& memory = at->second;
    const bool gone = !shared.engine.find_exchange(at->first);
    while (gone && !memory.history.empty()) forget_oldest(shared, memory);
    at = gone && memory.jobs.empty() ? memories_.erase(at) : std::next(at);
  }
}

// ---- what is to be done ---------------------------------------------------------------------------------------------

void ExchangeMemories::take(std::vector<broker::Entrust>& entrusted) {
  for (const broker::Entrust& one : entrusted) {
    Keys keys(one.keys);
    memories_[one.exchange].jobs.push_back(Publish{{one.message, std::move(keys)}, one.publisher, one.sequence});
    waiting_++;
  }
  entrusted.clear();
}

void ExchangeMemories::take(Shared& shared, std::vector<broker::Bound>& bound) {
  for (const broker::Bound& one : bound) {
    const auto found = memories_.find(one.source);
    if (found == memories_.end() || found->second.history.empty()) continue;
    Memory& memory = found->second;
    memory.jobs.push_back(Bring{one.queue, one.exchange, memory.first, memory.first + memory.history.size()});
    waiting_++;
  }
  bound.clear();
  work(shared);
}

void ExchangeMemories::work(Shared& shared) {
  sweep(shared);
  size_t left = shared.config.entrusted_per_turn;
  auto at = memories_.upper_bound(worked_on_);
  for (size_t looked_at = 0; looked_at < memories_.size() && left != 0; looked_at++, at++) {
    if (at == memories_.end()) at = memories_.begin();
    auto& [id, memory] = *at;
    for (; !memory.jobs.empty() && left != 0; left--) {
      const Progress progress = do_first(shared, id, memory);
      if (progress == Progress::no_room) break;
      worked_on_ = id;
      if (progress == Progress::message_done) continue;
      memory.jobs.pop_front();
      waiting_--;
    }
  }
}

ExchangeMemories::Progress ExchangeMemories::do_first(Shared& shared, broker::ExchangeId id, Memory& memory) {
  broker::Exchange* exchange = shared.engine.find_exchange(id);
  Job& job = memory.jobs.front();
  if (auto* bringing = std::get_if<Bring>(&job)) return bring(shared, memory, *bringing, exchange);
  return publish(shared, std::get<Publish>(job), exchange);
}

ExchangeMemories::Progress ExchangeMemories::publish(Shared& shared, const Publish& job, broker::Exchange* exchange) {
  broker::Message* message = job.what.message;
  const auto answer = [&](broker::Entrusted::Outcome outcome) {
    shared.engine.tell({job.publisher, job.sequence, outcome});
    shared.pool.release(message);
    return Progress::job_done;
  };
  // As what is on its way to a queue that is deleted.
  if (!exchange) return answer(broker::Entrusted::Outcome::stored);
  if (is_duplicate(shared, *exchange, *message)) {
    shared.counters.exchange_duplicates.add();
    return answer(broker::Entrusted::Outcome::unroutable);
  }
  const auto queues = route(shared, *exchange, *message, job.what.keys);
  if (!queues.empty() && !shared.engine.room_for(queues)) return Progress::no_room;
  remember(shared, *exchange, message, job.what.keys);
  if (queues.empty()) return answer(broker::Entrusted::Outcome::unroutable);
  store(shared, *exchange, queues, message, job.publisher, job.sequence);
  return Progress::job_done;
}

void ExchangeMemories::store(Shared& shared, const broker::Exchange& exchange,
                             std::span<broker::QueueRecord* const> queues, broker::Message* message,
                             const broker::ChannelAddress& publisher, uint64_t sequence) {
  UnderWay& under_way = under_way_[++last_number_];
  under_way.publisher = publisher;
  under_way.sequence = sequence;
  under_way.queues = queues.size();
  under_way.exchange = exchange.id();
  if (exchange.settings()->deduplication) under_way.value = value_of(shared, exchange, *message);
  shared.engine.publish(queues, message, ourselves(shared), last_number_);
}

// The next remembered message to who was bound.
ExchangeMemories::Progress ExchangeMemories::bring(Shared& shared, Memory& memory, Bring& job,
                                                   const broker::Exchange* exchange) {
  job.next = std::max(job.next, memory.first);
  if (exchange == nullptr || job.next >= std::min(job.end, memory.first + memory.history.size()))
    return Progress::job_done;
  const Remembered& one = memory.history[job.next - memory.first];
  std::span<broker::QueueRecord* const> queues;
  broker::QueueRecord* queue = nullptr;
  if (job.queue) {
    queue = shared.engine.find_queue(job.queue);
    if (queue) queues = {&queue, 1};
  } else if (broker::Exchange* next = shared.engine.find_exchange(job.exchange); next && next != exchange) {
    queues = route(shared, *next, *one.message, one.keys);
  }
  if (!queues.empty() && !shared.engine.room_for_accepted(queues)) return Progress::no_room;
  shared.counters.history_published.add(!queues.empty());
  one.message->add_references();
  publish_own(shared, queues, one.message);
  job.next++;
  return Progress::message_done;
}

void ExchangeMemories::on_stored(Shared& shared, uint64_t number, bool refused) {
  const auto found = under_way_.find(number);
  if (found == under_way_.end()) return;
  UnderWay& message = found->second;
  message.refused |= refused;
  if (--message.queues != 0) return;
  using Outcome = broker::Entrusted::Outcome;
  if (message.refused && message.value)
    // Its publisher will send it again.
    if (const auto memory = memories_.find(message.exchange); memory != memories_.end() && memory->second.seen)
      memory->second.seen->forget(*message.value);
  shared.engine.tell({message.publisher, message.sequence, message.refused ? Outcome::refused : Outcome::stored});
  under_way_.erase(found);
}

void ExchangeMemories::abandon(broker::MessagePool& pool) {
  for (auto& [id, memory] : memories_) {
    for (const Remembered& one : memory.history) pool.release(one.message);
    for (const Job& job : memory.jobs)
      if (const auto* publishing = std::get_if<Publish>(&job)) pool.release(publishing->what.message);
  }
  memories_.clear();
}

// ---- what is under way ----------------------------------------------------------------------------------------------

broker::Room EntrustedMessages::room_behind_others(broker::Engine& engine, broker::WorkerIndex home,
                                                   uint64_t published) {
  const uint64_t entrusted = first_ + ones_.size() - 1;
  if (const uint64_t others = published - entrusted; others != others_) {
    others_ = others;
    handed_ = engine.handed();
  }
  const broker::Room room = engine.room_behind(handed_, home);
  if (room) handed_ = {};  // what the home was handed it takes before what follows
  return room;
}

uint64_t EntrustedMessages::add(const broker::Exchange& exchange, One one) {
  CHECK(empty() || exchange_ == exchange.id());
  exchange_ = exchange.id();
  home_ = exchange.home();
  ones_.push_back(one);
  return first_ + ones_.size() - 1;
}

std::optional<EntrustedMessages::One> EntrustedMessages::take(uint64_t number) {
  if (number < first_ || number - first_ >= ones_.size() || ones_[number - first_].answered) return std::nullopt;
  const One taken = ones_[number - first_];
  ones_[number - first_] = {nullptr, 0, true};
  for (; !ones_.empty() && ones_.front().answered; first_++) ones_.pop_front();
  return taken;
}

void EntrustedMessages::abandon(broker::MessagePool& pool) {
  for (const One& one : ones_)
    if (one.message) pool.release(one.message);
  first_ += ones_.size();
  ones_.clear();
}

Stall wait_for_entrusted(const EntrustedMessages& messages) {
  return {Stall::For::entrusted, 0, {broker::Shortage::operations, messages.home()}};
}

// ---- publishing -----------------------------------------------------------------------------------------------------

namespace {

ExchangeMemories::Keys keys_of(const Publishing& publishing) {
  if (publishing.copies.empty()) return nullptr;
  return std::make_shared<const std::vector<std::string>>(publishing.copies);
}

Stall to_wait(broker::Room room) { return {Stall::For::broker, 0, room}; }

// Returns want room, too.
bool may_return(const Channel& channel, Stall& why) {
  if (!channel.publishing.front.mandatory() || !channel.connection.output.full()) return true;
  why = {Stall::For::own_reading, 0, {}};
  return false;
}

EntrustedMessages& entrusted_of(Connection& connection) {
  if (!connection.entrusted) connection.entrusted = std::make_unique<EntrustedMessages>();
  return *connection.entrusted;
}

EntrustedMessages::One begin_confirm(Channel& channel) {
  if (!channel.confirms.selected()) return {};
  channel.counters->unconfirmed.add();
  return {.confirm = channel.confirms.begin(1)};
}

bool pass_here(Channel& channel, broker::Exchange& exchange, broker::Message* message, Stall& why) {
  Shared& shared = *channel.connection.shared;
  if (!shared.memories) shared.memories = std::make_unique<ExchangeMemories>(shared);
  ExchangeMemories& memories = *shared.memories;
  const bool mandatory = channel.publishing.front.mandatory();
  if (!may_return(channel, why)) return false;
  if (memories.is_busy(exchange)) {
    why = to_wait({broker::Shortage::operations, shared.self});
    return false;
  }
  if (memories.is_duplicate(shared, exchange, *message)) {
    shared.counters.exchange_duplicates.add();
    drop_unroutable(channel, message, mandatory);
    return true;
  }
  const ExchangeMemories::Keys keys = keys_of(channel.publishing);
  const auto queues = route(shared, exchange, *message, keys);
  if (!queues.empty())
    if (const broker::Room room = shared.engine.room_for(queues); !room) {
      why = to_wait(room);
      return false;
    }
  memories.remember(shared, exchange, message, keys);
  if (queues.empty()) {
    drop_unroutable(channel, message, mandatory);
    return true;
  }
  trace(channel, *message, queues);
  if (!exchange.settings()->deduplication || !channel.confirms.selected()) {
    store(channel, message, queues);
    return true;
  }
  const uint64_t sequence = entrusted_of(channel.connection).add(exchange, begin_confirm(channel));
  memories.store(shared, exchange, queues, message, channel.address(), sequence);
  return true;
}

bool pass_to_home(Channel& channel, const broker::Exchange& exchange, broker::Message* message, Stall& why) {
  Connection& connection = channel.connection;
  Shared& shared = *connection.shared;
  if (!may_return(channel, why)) return false;
  if (const broker::Room room = shared.engine.room_at(exchange.home()); !room) {
    why = to_wait(room);
    return false;
  }
  // Nothing may come in between: this is asked last.
  if (const broker::Room room =
          entrusted_of(connection)
              .room_behind_others(shared.engine, exchange.home(), connection.info->messages_in.value());
      !room) {
    why = to_wait(room);
    return false;
  }
  trace(channel, *message, {});
  EntrustedMessages::One one = begin_confirm(channel);
  if (channel.publishing.front.mandatory()) {
    message->add_references();
    one.message = message;
  }
  const uint64_t sequence = connection.entrusted->add(exchange, one);
  const std::vector<std::string>& copies = channel.publishing.copies;
  shared.engine.entrust(exchange.home(), {.exchange = exchange.id(),
                                          .message = message,
                                          .publisher = channel.address(),
                                          .sequence = sequence,
                                          .keys = copies.empty() ? nullptr : new std::vector<std::string>(copies)});
  return true;
}

}  // namespace

bool pass_through(Channel& channel, broker::Message* message, Stall& why) {
  Connection& connection = channel.connection;
  Shared& shared = *connection.shared;
  broker::Vhost* vhost = connection.vhost_record();
  broker::Exchange* exchange = vhost ? vhost->find_exchange(message->exchange()) : nullptr;
  constexpr uint32_t method = wire::basic::Publish::id;
  if (exchange == nullptr || channel.transaction) {
    if (exchange == nullptr)
      fail_channel(channel, ReplyCode::not_found, no_such("exchange", message->exchange(), connection), method);
    else
      fail_channel(channel, ReplyCode::precondition_failed,
                   "exchange '" + exchange->name() + "' in vhost '" + connection.vhost_name +
                       "' remembers messages and takes no part in transactions",
                   method);
    shared.pool.release(message);
    return true;
  }
  // Of messages with more keys, which may be long, one is under way.
  if (has_entrusted(connection.entrusted)) {
    const EntrustedMessages& before = *connection.entrusted;
    if (before.exchange() != exchange->id() || before.size() >= shared.config.entrusted_under_way ||
        !channel.publishing.copies.empty()) {
      why = wait_for_entrusted(before);
      return false;
    }
  }
  return exchange->home() == shared.self ? pass_here(channel, *exchange, message, why)
                                         : pass_to_home(channel, *exchange, message, why);
}

void on_event(Shared& shared, const broker::Entrusted& event) {
  Connection* connection = find_connection(shared, event.publisher.session);
  const auto one = connection && connection->entrusted ? connection->entrusted->take(event.sequence) : std::nullopt;
  if (!one) return;
  using Outcome = broker::Entrusted::Outcome;
  if (Channel* channel = find_open_channel(shared, event.publisher)) {
    if (event.outcome == Outcome::unroutable) {
      shared.counters.messages_unroutable.add();
      if (one->message) write_return(*channel, *one->message, ReplyCode::no_route);
    }
    if (one->confirm != 0) {
      channel->confirms.stored(one->confirm, event.outcome == Outcome::refused);
      shared.confirming.add(*channel, channel->confirming_listed);
    }
  }
  if (one->message) shared.pool.release(one->message);
}

}  // namespace talaria::amqp091::session
