#include "core/worker/worker.h"

#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

namespace talaria::worker {
namespace {

// Deliveries between two looks at who can still take some: a connection whose send buffer filled has paused by then.
constexpr uint32_t deliveries_per_round = 128;
// Reports that wait for room in the mailbox: above that requests wait with their sessions, which bound them, and
// commands, each of which may want a report of its own, in their mailbox.
constexpr size_t reports_max = 256;
// When a port that took not all is tried again, and a peer's mailbox looked at that was not empty: nothing tells when
// they are.
constexpr base::Duration transmit_retry = std::chrono::microseconds(20);
constexpr base::Duration taken_retry = std::chrono::microseconds(20);
// Events may lead to more events (an answer lets a connection go on, whose next method asks a queue again).
constexpr int event_rounds_max = 64;

// Moves the front of `waiting` into the mailbox, as much as it takes, in one push. Says how many went.
template <class T>
size_t send(std::vector<T>& waiting, base::Mailbox<T>& mailbox, base::Counter& sent, base::Counter& pushes) {
  if (waiting.empty()) return 0;
  const size_t count = mailbox.push(waiting);
  sent.add(count);
  pushes.add(count != 0);
  waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(count));
  return count;
}

// Takes at most so many values out of the mailbox, some at a time, so that its index, which the sender looks at, is
// written once for all of them. Says how many.
template <class T, class Take>
size_t drain(base::Mailbox<T>& mailbox, size_t most, Take take) {
  // Nobody needs 32 variants made first.
  static_assert(std::is_trivially_copyable_v<T>);
  alignas(T) std::byte space[32 * sizeof(T)];
  const std::span<T> some{reinterpret_cast<T*>(space), 32};
  size_t taken = 0;
  while (taken < most) {
    const size_t asked = std::min(some.size(), most - taken);
    const size_t count = mailbox.pop(some.first(asked));
    for (const T& value : some.first(count)) take(value);
    taken += count;
    if (count < asked) break;
  }
  return taken;
}

std::vector<std::unique_ptr<net::Host>> make_hosts(const WorkerConfig& config, std::span<net::Device* const> devices) {
  CHECK(devices.size() == config.hosts.size());
  std::vector<std::unique_ptr<net::Host>> hosts;
  for (size_t port = 0; port < devices.size(); port++)
    hosts.push_back(std::make_unique<net::Host>(config.hosts[port], *devices[port], config.key));
  for (const auto& host : hosts) {
    std::vector<const net::Host*> siblings;
    for (const auto& other : hosts)
      if (other != host) siblings.push_back(other.get());
    host->set_siblings(std::move(siblings));
  }
  return hosts;
}

std::vector<net::Host*> pointers_to(const std::vector<std::unique_ptr<net::Host>>& hosts) {
  std::vector<net::Host*> pointers;
  for (const auto& host : hosts) pointers.push_back(host.get());
  return pointers;
}

}  // namespace

Worker::Worker(const WorkerConfig& config, std::span<net::Device* const> devices, Mesh& mesh)
    : config_(config),
      mesh_(mesh),
      hosts_(make_hosts(config, devices)),
      stack_(config.tcp, pointers_to(hosts_), config.key, config.memory),
      arena_(config.message_memory),
      outbox_(mesh.workers(), config.deliveries_per_turn),
      pool_(arena_, outbox_, config.index, config.marks),
      engine_(config.index, mesh.workers(), pool_, outbox_, mesh.pressure()),
      sessions_(config.session, config.index, stack_, engine_, pool_, config.key, &counters_.message_latency,
                config.clock) {
  CHECK(config.index < mesh.workers());
  CHECK(stack_.listen(config.amqp_port));
  events_.reserve(4 * config.deliveries_per_turn);
  network_changes_told_.assign(mesh.workers(), 0);
  peer_deliveries_.reserve(config.peer_messages_per_turn);
  reports_.reserve(reports_max + config.commands_per_turn + 3);
}

Worker::~Worker() {
  for (const ControlReport& report : reports_)
    if (const auto* asked = std::get_if<Asked>(&report))
      delete asked->request;
    else if (const auto* changed = std::get_if<NetworkChanged>(&report))
      delete changed->text;
}

// The walk. Steps 1 to 12 are those of docs/ARCHITECTURE.md.
bool Worker::poll(base::Time now) {
  polled_ = now;
  left_over_ = false;
  engine_.on_time(now);
  bool busy = take_commands(now);
  busy |= take_peer_messages(now);
  busy |= receive(now);    //            1-4  packets -> segments -> bytes in order
  visit_connections(now);  //          5-8  bytes -> frames -> messages -> queues
  busy |= dispatch(now);   //           9-10 queues -> consumers -> send buffers
  busy |= transmit(now);   //           11-12 send buffers -> segments -> packets
  send_peer_messages();
  send_reports();
  (busy ? counters_.turns_busy : counters_.turns_idle).add();
  counters_.message_bytes_used.set(arena_.used_bytes());
  return busy;
}

base::Time Worker::next_deadline() const {
  const bool connections_wait = stack_.has_events() || stack_.has_released();
  if (left_over_ || !outbox_.dead.empty() || !outbox_.deliveries.empty() || sessions_.has_work() ||
      stack_.has_output() || connections_wait || !engine_.idle())
    return base::Time{};
  base::Time next = std::min({stack_.next_deadline(), sessions_.next_deadline(), engine_.next_deadline()});
  if (outbox_.asks_what_is_taken) next = std::min(next, polled_ + taken_retry);
  for (const auto& host : hosts_) {
    next = std::min(next, host->next_deadline());
    if (host->transmit_waiting()) next = std::min(next, polled_ + transmit_retry);
  }
  return next;
}

// ---- mailboxes in
// -----------------------------------------------------------------------------------------------------

bool Worker::take_commands(base::Time now) {
  ControlLane& lane = mesh_.control(config_.index);
  ControlCommand command;
  size_t taken = 0;
  if (reports_.size() >= reports_max) return false;
  while (taken < config_.commands_per_turn && lane.commands.pop(command)) {
    taken++;
    std::visit([&](const auto& one) { on_command(one, now); }, command);
  }
  left_over_ |= taken == config_.commands_per_turn;
  return taken != 0;
}

// Somebody waits for it.
void Worker::look_what_is_taken() {
  outbox_.asks_what_is_taken = false;
  for (WorkerIndex peer = 0; peer < mesh_.workers(); peer++) {
    broker::Outbox::Handed& handed = outbox_.handed[peer];
    if (handed.taken != handed.sent) handed.taken = handed.sent - mesh_.lane(config_.index, peer).operations.untaken();
  }
}

bool Worker::take_peer_messages(base::Time now) {
  bool any = false;
  if (outbox_.asks_what_is_taken) [[unlikely]]
    look_what_is_taken();
  for (WorkerIndex peer = 0; peer < mesh_.workers(); peer++) {
    if (peer == config_.index) continue;
    Lane& lane = mesh_.lane(peer, config_.index);
    if (size_t waiting = lane.releases.waiting()) {
      any = true;
      drain(lane.releases, waiting, [&](broker::Message* message) { pool_.take_back(message); });
    }
    if (size_t waiting = lane.operations.waiting()) {
      any = true;
      left_over_ |= waiting > config_.peer_messages_per_turn;
      counters_.operations_received.add(drain(lane.operations, config_.peer_messages_per_turn,
                                              [&](const broker::Operation& operation) { engine_.perform(operation); }));
    }
    if (lane.events.waiting() != 0) {
      any = true;
      take_events_of(lane, now);
    }
    OnPort<net::LearnedNeighbor> neighbor;
    while (lane.neighbors.pop(neighbor)) hosts_[neighbor.port]->learn(neighbor.what, now);
    OnPort<net::Heard> heard;
    while (lane.heard.pop(heard)) hosts_[heard.port]->on_heard(heard.what, now);
    OnPort<net::NetworkChange> change;
    while (lane.network.pop(change)) {
      hosts_[change.port]->apply(change.what);
      on_network_change(change.what, now);
    }
    net::IcmpError error;
    while (lane.icmp_errors.pop(error)) stack_.on_icmp_error(error, now);
  }
  return any;
}

// Events of one peer keep their order; runs of deliveries, which is what most of them are, go up in one piece.
void Worker::take_events_of(Lane& lane, base::Time now) {
  auto pass_deliveries = [&] {
    sessions_.on_deliveries(peer_deliveries_, now);
    peer_deliveries_.clear();
  };
  const size_t taken = drain(lane.events, config_.peer_messages_per_turn, [&](const broker::Event& event) {
    if (const auto* deliver = std::get_if<broker::Deliver>(&event)) {
      peer_deliveries_.push_back(*deliver);
    } else {
      pass_deliveries();
      pass_event(event, now);
    }
  });
  pass_deliveries();
  counters_.events_received.add(taken);
  left_over_ |= taken == config_.peer_messages_per_turn;
}

// ---- the network in
// ---------------------------------------------------------------------------------------------------

bool Worker::receive(base::Time now) {
  size_t frames = 0;
  for (uint8_t port = 0; port < hosts_.size(); port++) {
    net::Host& host = *hosts_[port];
    frames += host.receive(now);
    share_icmp_errors(host);
    stack_.on_segments(host.datagrams(), now, port);
    host.on_time(now);
    if (host.has_changes()) share_network_changes(port, now);
  }
  stack_.on_time(now);
  sessions_.on_time(now);
  return frames != 0;
}

void Worker::visit_connections(base::Time now) {
  sessions_.on_turn(now);
  for (const tcp::Event& event : stack_.events()) {
    if (event.accepted) sessions_.on_accepted(event.id, now);
    if (event.readable) sessions_.on_readable(event.id, now);
    if (event.writable) sessions_.on_writable(event.id, now);
    if (event.peer_finished) sessions_.on_peer_finished(event.id, now);
    if (event.closed) sessions_.on_closed(event.id, event.reason, now);
  }
  stack_.clear_events();
  sessions_.on_released(stack_.take_released());
}

// ---- the broker out
// ---------------------------------------------------------------------------------------------------

bool Worker::dispatch(base::Time now) {
  size_t left = config_.deliveries_per_turn;
  sessions_.on_dead(outbox_.dead, now);
  sessions_.on_entrusted(outbox_.entrusted, now);
  pass_events(now);
  while (left != 0) {
    const auto round = static_cast<uint32_t>(std::min<size_t>(left, deliveries_per_round));
    const uint32_t delivered = engine_.dispatch(now, round);
    pass_events(now);
    sessions_.on_deliveries(outbox_.deliveries, now);
    outbox_.deliveries.clear();
    left -= delivered;
    if (delivered < round) break;
  }
  sessions_.end_turn(now);
  pass_events(now);
  return left != config_.deliveries_per_turn;
}

// What a queue at hand told its sessions. Their reaction may be another event, so this looks again.
void Worker::pass_events(base::Time now) {
  for (int round = 0; !outbox_.events.empty(); round++) {
    if (round == event_rounds_max) {
      left_over_ = true;
      return;
    }
    events_.swap(outbox_.events);
    for (const broker::Event& event : events_) pass_event(event, now);
    events_.clear();
  }
}

void Worker::pass_event(const broker::Event& event, base::Time now) {
  if (const auto* left = std::get_if<broker::QueueLeft>(&event)) [[unlikely]]
    engine_.on_queue_left(*left);
  else
    sessions_.on_event(event, now);
}

// ---- the network out
// --------------------------------------------------------------------------------------------------

bool Worker::transmit(base::Time now) {
  const bool had_output = stack_.has_output();
  stack_.end_input(now);
  stack_.output(now);
  for (const auto& host : hosts_) host->flush();
  return had_output;
}

// ---- mailboxes out
// ----------------------------------------------------------------------------------------------------

void Worker::send_peer_messages() {
  if (mesh_.workers() == 1) return;
  for (WorkerIndex peer = 0; peer < mesh_.workers(); peer++) {
    if (peer == config_.index) continue;
    Lane& lane = mesh_.lane(config_.index, peer);
    base::Counter& pushes = counters_.peer_pushes;
    if (const size_t sent = send(outbox_.operations[peer], lane.operations, counters_.operations_sent, pushes))
      outbox_.handed[peer].sent += sent;
    send(outbox_.events_to[peer], lane.events, counters_.events_sent, pushes);
    send(outbox_.releases[peer], lane.releases, counters_.releases_sent, pushes);
    if (!outbox_.operations[peer].empty() || !outbox_.events_to[peer].empty() || !outbox_.releases[peer].empty()) {
      counters_.peers_congested.add();
      left_over_ = true;
    }
  }
  for (uint8_t port = 0; port < hosts_.size(); port++) {
    share_neighbors(port);
    if (hosts_[port]->has_heard()) pass_heard(port);
  }
  if (!network_changes_.empty()) tell_network_changes();
}

void Worker::tell_network_changes() {
  bool all = true;
  for (WorkerIndex peer = 0; peer < mesh_.workers(); peer++) {
    if (peer == config_.index) continue;
    size_t& told = network_changes_told_[peer];
    told += mesh_.lane(config_.index, peer).network.push(std::span(network_changes_).subspan(told));
    all &= told == network_changes_.size();
  }
  left_over_ |= !all;
  if (!all) return;
  network_changes_.clear();
  network_changes_told_.assign(mesh_.workers(), 0);
}

// An address that came or went, a router. Rare; none may be lost, so what does not fit waits.
void Worker::share_network_changes(uint8_t port, base::Time now) {
  for (const net::NetworkChange& change : hosts_[port]->take_changes()) {
    on_network_change(change, now);
    network_changes_.push_back({port, change});
    reports_.push_back(NetworkChanged{new std::string(net::to_text(change))});
  }
}

void Worker::on_network_change(const net::NetworkChange& change, base::Time now) {
  if (change.kind == net::NetworkChange::Kind::address_removed) stack_.close_all_from(change.address.address, now);
}

// Whoever announces is among them; who does not takes no notice. What does not fit is said again on the link.
void Worker::pass_heard(uint8_t port) {
  for (const net::Heard& heard : hosts_[port]->take_heard())
    for (WorkerIndex peer = 0; peer < mesh_.workers(); peer++)
      if (peer != config_.index) mesh_.lane(config_.index, peer).heard.push(OnPort<net::Heard>{port, heard});
}

// Where an error arrives says nothing about who has the connection. Only a hint, too: the next full segment causes
// another.
void Worker::share_icmp_errors(const net::Host& host) {
  for (const net::IcmpError& error : host.icmp_errors())
    for (WorkerIndex peer = 0; peer < mesh_.workers(); peer++)
      if (peer != config_.index) mesh_.lane(config_.index, peer).icmp_errors.push(error);
}

// Only a hint: what does not fit is learnt again when it is needed.
void Worker::share_neighbors(uint8_t port) {
  for (const net::LearnedNeighbor& neighbor : hosts_[port]->take_learned_neighbors())
    for (WorkerIndex peer = 0; peer < mesh_.workers(); peer++)
      if (peer != config_.index)
        mesh_.lane(config_.index, peer).neighbors.push(OnPort<net::LearnedNeighbor>{port, neighbor});
}

void Worker::send_reports() {
  const size_t room = reports_max - std::min(reports_max, reports_.size());
  const std::vector<broker::Request*> requests = sessions_.take_requests(room);
  for (broker::Request* request : requests) reports_.push_back(Asked{request});
  left_over_ |= requests.size() == room;
  for (const broker::MoveWish& wish : outbox_.move_wishes)
    if (reports_.size() < reports_max) reports_.push_back(MoveWished{wish.queue, wish.to});
  outbox_.move_wishes.clear();
  for (const broker::QueueId queue : outbox_.unused_queues)
    if (reports_.size() < reports_max) reports_.push_back(QueueUnused{queue});
  outbox_.unused_queues.clear();
  for (const broker::MoveEnd& end : outbox_.move_ends) reports_.push_back(MoveEnded{end.move, end.outcome});
  outbox_.move_ends.clear();
  if (applied_ != applied_reported_) {
    reports_.push_back(Applied{applied_});
    applied_reported_ = applied_;
  }
  if (draining_ && !drained_ && sessions_.drained() && stack_.connection_count() == 0) {
    drained_ = true;
    reports_.push_back(Drained{});
  }
  if (reports_.empty()) return;
  const size_t sent = mesh_.control(config_.index).reports.push(reports_);
  reports_.erase(reports_.begin(), reports_.begin() + static_cast<std::ptrdiff_t>(sent));
  left_over_ |= !reports_.empty();
}

// ---- commands
// ---------------------------------------------------------------------------------------------------------

void Worker::on_command(const Apply& command, base::Time now) {
  CHECK(command.sequence == applied_ + 1);
  engine_.apply(*command.change, now);
  sessions_.on_bound(outbox_.bound, now);
  if (std::holds_alternative<broker::PermissionsChanged>(*command.change)) sessions_.on_permissions_changed();
  applied_ = command.sequence;
  counters_.changes_applied.add();
}

void Worker::on_command(const PassAnswer& command, base::Time now) {
  const std::unique_ptr<broker::Answer> answer(command.answer);
  sessions_.on_answer(std::move(*answer), now);
}

void Worker::on_command(const CheckDelete& command, base::Time) {
  const broker::DeletePlan plan = engine_.prepare_delete(command.queue, command.if_unused, command.if_empty);
  DeleteVerdict verdict = DeleteVerdict::may_go;
  switch (plan.check) {
    case broker::DeleteCheck::may_go: break;
    case broker::DeleteCheck::in_use: verdict = DeleteVerdict::in_use; break;
    case broker::DeleteCheck::not_empty: verdict = DeleteVerdict::not_empty; break;
    case broker::DeleteCheck::no_such_queue: verdict = DeleteVerdict::no_such_queue; break;
  }
  reports_.push_back(DeleteChecked{command.token, verdict, plan.ready});
}

void Worker::on_command(const PurgeQueue& command, base::Time) {
  reports_.push_back(Purged{command.token, engine_.purge_now(command.queue)});
}

void Worker::on_command(const CloseSession& command, base::Time now) {
  const std::unique_ptr<std::string> text(command.text);
  if (command.session.worker == config_.index)
    sessions_.close_session(command.session.session, command.cause, *text, now);
}

void Worker::on_command(const RevokeConsumer& command, base::Time now) {
  const std::unique_ptr<broker::RevokedConsumer> consumer(command.consumer);
  if (command.session.worker == config_.index) sessions_.revoke_consumer(command.session.session, *consumer, now);
}

void Worker::on_command(const Announce& command, base::Time now) {
  sessions_.announce(std::move(*std::unique_ptr<broker::Announcement>(command.announcement)), now);
}

void Worker::on_command(const LinkUp& command, base::Time now) { hosts_[command.port]->on_link_up(now); }

void Worker::on_command(const WatchFrames& command, base::Time) {
  for (size_t port = 0; port < hosts_.size(); port++) hosts_[port]->watch_frames(command.watcher, port);
  reports_.push_back(FramesWatched{});
}

void Worker::on_command(const Drain&, base::Time now) {
  draining_ = true;
  stack_.stop_listening(config_.amqp_port);
  sessions_.drain(now);
}

void Worker::on_command(const Stop&, base::Time) { stopped_ = true; }

// ---- looking
// ----------------------------------------------------------------------------------------------------------

void Worker::check_invariants() const {
  stack_.check_invariants();
  engine_.check_invariants();
  sessions_.check_invariants();
  CHECK(stack_.packets_held() == 0);
}

}  // namespace talaria::worker
