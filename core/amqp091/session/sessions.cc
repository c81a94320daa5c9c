#include "core/amqp091/session/sessions.h"

#include <algorithm>
#include <utility>

#include "core/amqp091/session/acknowledge.h"
#include "core/amqp091/session/closing.h"
#include "core/amqp091/session/connection.h"
#include "core/amqp091/session/consume.h"
#include "core/amqp091/session/deliver.h"
#include "core/amqp091/session/dispatch.h"
#include "core/amqp091/session/header_value.h"
#include "core/amqp091/session/heartbeat.h"
#include "core/amqp091/session/publish.h"
#include "core/amqp091/session/reply_to.h"
#include "core/amqp091/session/stall.h"
#include "core/amqp091/session/transaction.h"
#include "core/base/check.h"

namespace talaria::amqp091::session {

// ---- shared ---------------------------------------------------------------------------------------------------------

Shared::Shared(const Config& config_, broker::WorkerIndex self_, tcp::Stack& stack_, broker::Engine& engine_,
               broker::MessagePool& pool_, base::HashKey key_, const Latency& latency_)
    : config(config_),
      self(self_),
      stack(stack_),
      engine(engine_),
      pool(pool_),
      key(key_),
      transaction_octets_max(pool_.arena().capacity() / 8),
      message_size_max(std::min<uint64_t>(config_.message_size_max, pool_.body_size_max())),
      latency(latency_),
      connections(std::make_unique<Connection[]>(config_.sessions)),
      infos(std::make_unique<SessionInfo[]>(config_.sessions)),
      by_tcp_slot(stack_.config().connections, 0),
      headers(64) {
  CHECK(config.sessions != 0 && config.channel_max != 0 && config.frame_max >= wire::frame_min_size);
  engine.read_headers_with(&header_value, key);
  vacant.reserve(config.sessions);
  for (WorkList<Connection>* list : {&more_input, &stalled, &full, &closing, &settling}) list->reserve(config.sessions);
  for (WorkList<Channel>* list : {&confirming, &parked, &transacting})
    list->reserve(config.sessions);  // grow with busier channels
  for (size_t slot = config.sessions; slot-- != 0;) {
    connections[slot].shared = this;
    connections[slot].info = &infos[slot];
    vacant.push_back(static_cast<uint32_t>(slot));
  }
}

// What is still under way is the worker's: it stops sessions by draining them. Here references go back, nothing else.
Shared::~Shared() {
  dead_letters.abandon(pool);
  if (delayed) delayed->abandon(pool);
  if (memories) memories->abandon(pool);
  traces.abandon(pool);
  for (broker::Request* request : requests) delete request;
  for (size_t slot = 0; slot < config.sessions; slot++) {
    Connection& connection = connections[slot];
    timers.disarm(connection.timer);
    drop_backlog(connection);
    if (connection.entrusted) connection.entrusted->abandon(pool);
    auto let_go = [&](Channel& channel) {
      abandon_publishing(channel);
      for (const broker::Deliver& delivery : channel.parked) pool.release(delivery.message);
      if (!channel.transaction) return;
      for (const Transaction::Kept& kept : channel.transaction->messages)
        if (kept.message) pool.release(kept.message);
    };
    for (ChannelSlot& channel : connection.channels)
      if (channel.channel) let_go(*channel.channel);
    for (const auto& channel : connection.ending) let_go(*channel);
  }
}

std::string_view to_text(SessionState state) {
  switch (state) {
    case SessionState::vacant: return "vacant";
    case SessionState::greeting: return "greeting";
    case SessionState::authenticating: return "authenticating";
    case SessionState::tuning: return "tuning";
    case SessionState::opening: return "opening";
    case SessionState::open: return "running";
    case SessionState::closing: return "closing";
    case SessionState::refused: return "refused";
  }
  return "?";
}

namespace {

SessionState state_of(Stage stage) {
  switch (stage) {
    case Stage::vacant: return SessionState::vacant;
    case Stage::greeting:
    case Stage::starting: return SessionState::greeting;
    case Stage::authenticating: return SessionState::authenticating;
    case Stage::tuning:
    case Stage::tuned: return SessionState::tuning;
    case Stage::opening: return SessionState::opening;
    case Stage::open: return SessionState::open;
    case Stage::closing: return SessionState::closing;
    case Stage::refused: return SessionState::refused;
  }
  return SessionState::vacant;
}

// Control thread and operators see stages a call late at most.
void show_stage(Connection& connection) {
  connection.info->state.set(static_cast<uint64_t>(state_of(connection.stage)));
}

std::string peer_text(const tcp::Stack& stack, tcp::ConnectionId id, base::Time now) {
  auto info = stack.info(id, now);
  if (!info) return {};
  return tcp::to_text(info->remote);
}

}  // namespace

// ---- construction ---------------------------------------------------------------------------------------------------

Sessions::Sessions(const Config& config, broker::WorkerIndex self, tcp::Stack& stack, broker::Engine& engine,
                   broker::MessagePool& pool, base::HashKey key, base::Histogram* latency, ClockReader clock)
    : shared_(std::make_unique<Shared>(config, self, stack, engine, pool, key, Latency{latency, clock})) {}

Sessions::~Sessions() = default;

Connection* Sessions::find(tcp::ConnectionId id) const {
  if (id.slot >= shared_->by_tcp_slot.size() || shared_->by_tcp_slot[id.slot] == 0) return nullptr;
  Connection& connection = shared_->connections[shared_->by_tcp_slot[id.slot] - 1];
  return connection.tcp == id ? &connection : nullptr;
}

// ---- TCP ------------------------------------------------------------------------------------------------------------

void Sessions::on_accepted(tcp::ConnectionId id, base::Time now) {
  Shared& shared = *shared_;
  shared.now = now;
  if (shared.draining || shared.vacant.empty()) {
    shared.counters.refused_no_session.add();
    shared.stack.abort(id);
    return;
  }
  shared.counters.connections_accepted.add();
  uint32_t slot = shared.vacant.back();
  shared.vacant.pop_back();
  Connection& connection = shared.connections[slot];
  connection.last_generation++;
  if (connection.last_generation == 0) connection.last_generation = 1;
  connection.id = {slot, connection.last_generation};
  connection.tcp = id;
  connection.stage = Stage::greeting;
  connection.frame_max = shared.config.frame_max_before_tune;
  connection.peer = peer_text(shared.stack, id, now);
  connection.timer.owner = slot;
  SessionInfo& info = *connection.info;
  for (base::Counter* counter :
       {&info.channels, &info.consumers, &info.bytes_in, &info.bytes_out, &info.messages_in, &info.messages_out,
        &info.unacknowledged, &info.blocked, &info.send_buffered, &info.smoothed_rtt_ns, &info.congestion_window,
        &info.peer_window, &info.retransmissions, &info.segment_size, &info.out_of_order, &info.reordered,
        &info.zero_window_ns, &info.last_stall, &info.last_stall_at_ns})
    counter->set(0);
  show_stage(connection);
  info.generation.set(connection.id.generation);
  connection.output.open(connection);
  shared.by_tcp_slot[id.slot] = slot + 1;
  set_deadline(connection, now + shared.config.handshake_timeout);
}

void Sessions::on_readable(tcp::ConnectionId id, base::Time now) {
  shared_->now = now;
  Connection* connection = find(id);
  if (connection == nullptr) return;
  read_input(*connection);
  show_stage(*connection);
}

void Sessions::on_writable(tcp::ConnectionId id, base::Time now) {
  shared_->now = now;
  if (Connection* connection = find(id)) resume_output(*connection);
}

void Sessions::on_peer_finished(tcp::ConnectionId id, base::Time now) {
  shared_->now = now;
  Connection* connection = find(id);
  if (connection == nullptr) return;
  connection->peer_finished = true;
  read_input(*connection);
}

void Sessions::on_closed(tcp::ConnectionId id, tcp::CloseReason, base::Time now) {
  shared_->now = now;
  if (Connection* connection = find(id)) on_transport_gone(*connection);
}

void Sessions::on_released(std::span<void* const> owners) {
  for (void* owner : owners) shared_->pool.release(static_cast<broker::Message*>(owner));
}

// ---- the broker -----------------------------------------------------------------------------------------------------

void Sessions::on_event(const broker::Event& event, base::Time now) {
  Shared& shared = *shared_;
  shared.now = now;
  if (const auto* stored = std::get_if<broker::Stored>(&event)) {
    if (is_exchange_memory(stored->publisher)) [[unlikely]]
      return shared.memories->on_stored(shared, stored->sequence, stored->refused);
    Channel* channel = find_channel(shared, stored->publisher);
    if (channel == nullptr || channel->ending) return;
    channel->confirms.stored(stored->sequence, stored->refused);
    shared.confirming.add(*channel, channel->confirming_listed);
    return;
  }
  std::visit(
      [&]<class One>(const One& one) {
        if constexpr (std::is_same_v<One, broker::Deliver>)
          on_deliveries({&one, 1}, now);
        else if constexpr (!std::is_same_v<One, broker::Stored> && !std::is_same_v<One, broker::QueueLeft>)
          session::on_event(shared, one);
      },
      event);
}

void Sessions::on_deliveries(std::span<const broker::Deliver> deliveries, base::Time now) {
  Shared& shared = *shared_;
  shared.now = now;
  shared.latency.begin_run(now);
  // They come in runs to one consumer, and to one channel.
  Channel* channel = nullptr;
  const broker::ChannelAddress* last = nullptr;
  while (!deliveries.empty()) {
    const broker::ConsumerAddress& to = deliveries.front().consumer;
    size_t run = 1;
    while (run < deliveries.size() && deliveries[run].consumer == to) run++;
    if (last == nullptr || to.channel != *last) {
      if (channel != nullptr) pause_if_full(channel->connection);
      Connection* connection = find_connection(shared, to.channel.session);
      channel = connection ? connection->channel(to.channel.channel, to.channel.incarnation) : nullptr;
      if (channel != nullptr) channel->connection.output.measure();
    }
    last = &to.channel;
    deliver(shared, channel, deliveries.first(run));
    deliveries = deliveries.subspan(run);
  }
  if (channel != nullptr) pause_if_full(channel->connection);
}

void Sessions::on_dead(std::vector<broker::DeadMessage>& dead, base::Time now) {
  shared_->now = now;
  shared_->dead_letters.take(dead);
  shared_->dead_letters.work(*shared_);
}

void Sessions::on_entrusted(std::vector<broker::Entrust>& entrusted, base::Time now) {
  if (entrusted.empty()) [[likely]]
    return;
  Shared& shared = *shared_;
  shared.now = now;
  if (!shared.memories) shared.memories = std::make_unique<ExchangeMemories>(shared);
  shared.memories->take(entrusted);
  shared.memories->work(shared);
}

void Sessions::on_bound(std::vector<broker::Bound>& bound, base::Time now) {
  if (bound.empty()) return;
  shared_->now = now;
  // Otherwise there is nothing to remember.
  if (shared_->memories) shared_->memories->take(*shared_, bound);
  bound.clear();
}

// ---- the control plane ----------------------------------------------------------------------------------------------

void Sessions::announce(broker::Announcement announcement, base::Time now) {
  shared_->now = now;
  shared_->announcements.take(*shared_, std::move(announcement));
}

void Sessions::on_answer(broker::Answer&& answer, base::Time now) {
  Shared& shared = *shared_;
  shared.now = now;
  Connection* connection = find_connection(shared, answer.to.session);
  if (connection == nullptr || connection->asked_token == 0 || answer.token != connection->asked_token) {
    shared.counters.answers_stale.add();
    return;
  }
  const auto [number, incarnation] =
      std::pair(connection->asked.front().channel, connection->asked.front().incarnation);
  connection->asked.pop_front();
  connection->asked_token = 0;
  if (incarnation != 0) {
    if (Channel* channel = connection->channel(number, incarnation)) on_channel_answer(*connection, *channel);
  } else {
    // A new secret may come with other rights.
    if (connection->pending.what == Awaited::reauthenticate) forget_permissions(*connection);
    on_control_answer(*connection, std::move(answer));
  }
  send_next(*connection);
  if (connection->stage == Stage::closing) shared.closing.add(*connection, connection->closing_listed);
  show_stage(*connection);
}

void Sessions::on_permissions_changed() { shared_->permissions_epoch++; }

std::vector<broker::Request*> Sessions::take_requests(size_t most) {
  Shared& shared = *shared_;
  std::vector<broker::Request*> taken;
  if (shared.requests.size() <= most) {
    taken.swap(shared.requests);
  } else {
    const auto end = shared.requests.begin() + static_cast<std::ptrdiff_t>(most);
    taken.assign(shared.requests.begin(), end);
    shared.requests.erase(shared.requests.begin(), end);
  }
  for (const broker::Request* request : taken) {
    if (request->token != 0) continue;
    Connection* connection = find_connection(shared, request->from.session);
    if (connection == nullptr) continue;
    connection->notices--;
    if (connection->notices == 0 && std::exchange(connection->notices_wait, false)) go_on(*connection);
  }
  return taken;
}

void Sessions::close_session(broker::SessionId session, broker::CloseCause cause, std::string_view text,
                             base::Time now) {
  shared_->now = now;
  Connection* connection = find_connection(*shared_, session);
  if (connection == nullptr) return;
  const ReplyCode code = cause == broker::CloseCause::limit ? ReplyCode::not_allowed : ReplyCode::connection_forced;
  if (connection->stage >= Stage::tuning) return fail_connection(*connection, code, text, 0);
  connection->cut = true;
  hang_up_if_due(*connection);
}

void Sessions::revoke_consumer(broker::SessionId session, const broker::RevokedConsumer& consumer, base::Time now) {
  shared_->now = now;
  if (Connection* connection = find_connection(*shared_, session)) revoke(*connection, consumer);
}

void Sessions::drain(base::Time now) {
  Shared& shared = *shared_;
  shared.now = now;
  shared.draining = true;
  for (size_t slot = 0; slot < shared.config.sessions; slot++) {
    Connection& connection = shared.connections[slot];
    if (connection.stage == Stage::vacant) continue;
    if (connection.stage == Stage::refused) {
      connection.cut = true;
      hang_up_if_due(connection);
      continue;
    }
    close_session(connection.id, broker::CloseCause::forced, "broker forced connection closure with reason 'shutdown'",
                  now);
  }
}

bool Sessions::drained() const { return shared_->draining && session_count() == 0; }

// ---- the turn -------------------------------------------------------------------------------------------------------

void Sessions::on_turn(base::Time now) {
  Shared& shared = *shared_;
  shared.now = now;
  shared.settling.walk([](Connection& c) -> bool& { return c.settling_listed; },
                       [](Connection& connection) {
                         connection.credit_change.incarnation != 0 ? change_credits(connection)
                                                                   : settle_more(connection);
                       });
  shared.stalled.walk_in_turn(
      shared.config.resumed_per_turn, [](Connection& c) -> bool& { return c.stalled_listed; }, resume_publisher);
  shared.more_input.walk([](Connection& c) -> bool& { return c.more_input_listed; },
                         [](Connection& connection) {
                           read_input(connection);
                           show_stage(connection);
                         });
}

void Sessions::on_time(base::Time now) {
  Shared& shared = *shared_;
  shared.now = now;
  if (shared.delayed) shared.delayed->work(shared);
  if (shared.memories) shared.memories->work(shared);
  if (!shared.announcements.empty()) [[unlikely]]
    shared.announcements.work(shared);
  for (uint32_t fired = 0; fired < shared.config.timers_per_turn; fired++) {
    base::TimerNode* node = shared.timers.pop_expired(now);
    if (node == nullptr) return;
    on_timer(shared.connections[node->owner]);
  }
}

void Sessions::end_turn(base::Time now) {
  Shared& shared = *shared_;
  shared.now = now;
  shared.latency.begin_run(now);
  shared.parked.walk([](Channel& c) -> bool& { return c.parked_listed; }, deliver_parked);
  shared.confirming.walk([](Channel& c) -> bool& { return c.confirming_listed; }, flush_confirms);
  shared.transacting.walk([](Channel& c) -> bool& { return c.transacting_listed; }, work_on_transaction);
  shared.passed.walk([](Consumer& c) -> bool& { return c.passed_listed; }, report_passed);
  shared.closing.walk([](Connection& c) -> bool& { return c.closing_listed; },
                      [](Connection& connection) { take_apart(connection); });
  shared.full.walk([](Connection& c) -> bool& { return c.full_listed; }, on_full);
  if (!shared.traces.empty()) [[unlikely]]
    shared.traces.work(shared);
}

base::Time Sessions::next_deadline() const {
  const Shared& shared = *shared_;
  base::Time next = shared.timers.next_deadline();
  if (shared.delayed) next = std::min(next, shared.delayed->next_deadline(shared.now));
  // Room may come from another worker, of which nothing tells us.
  if ((shared.memories && shared.memories->has_work()) || !shared.stalled.empty() || !shared.full.empty() ||
      !shared.confirming.empty() || !shared.transacting.empty() || !shared.announcements.empty())
    next = std::min(next, shared.now + base::Duration(std::chrono::milliseconds(1)));
  return next;
}

bool Sessions::has_work() const {
  const Shared& shared = *shared_;
  return !shared.more_input.empty() || !shared.settling.empty() || !shared.closing.empty() || !shared.parked.empty() ||
         !shared.passed.empty() || shared.dead_letters.has_work() || !shared.traces.empty();
}

// ---- looking --------------------------------------------------------------------------------------------------------

const SessionCounters& Sessions::counters() const { return shared_->counters; }

std::span<const SessionInfo> Sessions::infos() const { return {shared_->infos.get(), shared_->config.sessions}; }

size_t Sessions::session_count() const { return shared_->config.sessions - shared_->vacant.size(); }

void Sessions::check_invariants() const {
  const Shared& shared = *shared_;
  size_t taken = 0, open = 0, channels = 0, consumers = 0;
  uint64_t octets = 0;
  for (size_t slot = 0; slot < shared.config.sessions; slot++) {
    const Connection& connection = shared.connections[slot];
    if (connection.stage == Stage::vacant) continue;
    taken++;
    CHECK(connection.id.slot == slot && connection.id.generation == connection.last_generation);
    CHECK(!connection.tcp || shared.by_tcp_slot[connection.tcp.slot] == slot + 1);
    CHECK(connection.tcp || connection.stage == Stage::closing);
    open += connection.stage == Stage::open;
    auto count = [&](const Channel& channel) {
      for (const auto& consumer : channel.consumers) consumers += consumer != nullptr;
      const Transaction* transaction = channel.transaction.get();
      const size_t kept = transaction ? transaction->settlements.size() - transaction->next_settlement : 0;
      CHECK(channel.counted <= channel.unacked.size() + kept);
      if (transaction) octets += transaction->octets;
    };
    for (const ChannelSlot& channel : connection.channels) {
      if (!channel.channel) continue;
      channels++;
      CHECK(!channel.channel->ending && !channel.awaits_close_ok);
      count(*channel.channel);
    }
    for (const auto& channel : connection.ending) {
      CHECK(channel->ending);
      count(*channel);
    }
    // Whoever waits, waits for something.
    CHECK((connection.asked_token != 0) == !connection.asked.empty());
    CHECK(!connection.stalled || connection.stalled_listed);
    CHECK(connection.output.flowing() || connection.output.stopped() ||
          (connection.output.full() && connection.full_listed));
    CHECK(!connection.paused || connection.output.full());
    CHECK(connection.output.settled());
  }
  CHECK(taken == session_count());
  CHECK(open == shared.counters.connections_open.value());
  CHECK(channels == shared.counters.channels_open.value());
  CHECK(consumers == shared.counters.consumers.value());
  CHECK(octets == shared.transaction_octets);
}

}  // namespace talaria::amqp091::session
