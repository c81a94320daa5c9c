// Blocks, events, writing and closing: what stands around the walk of segments.
#include "core/tcp/stack.h"

#include <algorithm>
#include <new>

#include "core/base/check.h"

namespace talaria::tcp {
namespace {

// Writers that were refused memory are told when this many chunks are free again.
constexpr size_t chunks_for_writers = 8;

uint8_t scale_for(uint32_t window) {
  uint8_t scale = 0;
  while (scale < window_scale_max && (window >> scale) > 65535) scale++;
  return scale;
}

// What is left for payload of a packet that the port cuts, behind the longest headers.
uint32_t segmentation_payload(const net::Capabilities& port) {
  constexpr uint32_t headers = 40 + tcp_header_bytes_max;
  return port.transmit_segmentation > headers ? port.transmit_segmentation - headers : 0;
}

bool any_speaks_ipv6(std::span<net::Host* const> hosts) {
  return std::any_of(hosts.begin(), hosts.end(), [](const net::Host* host) { return host->speaks_ipv6(); });
}

}  // namespace

Stack::Stack(const Config& config, std::span<net::Host* const> hosts, base::HashKey key,
             std::pmr::memory_resource* memory)
    : config_(config),
      secrets_(key),
      local_scale_(scale_for(config.receive_window)),
      connections_(config.connections, memory),
      index_(connections_, memory),
      half_open_(config.half_open, any_speaks_ipv6(hosts), config.syn_ack_retransmits_max, config.rto_initial, memory),
      handshakes_by_source_(config.handshakes_per_source == 0 ? 0 : std::max<size_t>(config.half_open, 1), memory),
      connections_by_source_(config.connections_per_source == 0 ? 0 : config.connections, memory),
      time_wait_(config.time_wait, config.time_wait_duration, secrets_.table_key(), memory),
      send_memory_(config.send_chunks, config.shared_slices, memory),
      receive_memory_(config.receive_chunks, memory),
      flight_memory_(config.connections + config.flight_records, memory),
      held_(config.held_packets),
      writers_(config.connections, memory),
      challenges_(config.challenge_acks_per_second),
      resets_(config.resets_per_second) {
  CHECK(config.connections > 0 && config.held_packets < held_none);
  CHECK(config.receive_window > 0 && config.receive_window <= (1u << 30));
  CHECK(config.send_low_watermark < config.send_high_watermark && config.send_queue_max < (1u << 30));
  CHECK(config.retransmits_max < UINT8_MAX && config.keepalive_probes < UINT8_MAX);
  CHECK(!hosts.empty() && hosts.size() <= interfaces_max);
  interfaces_.reserve(hosts.size());
  for (net::Host* host : hosts) {
    const auto index = static_cast<InterfaceIndex>(interfaces_.size());
    Interface& interface =
        interfaces_.emplace_back(Interface{.host = host,
                                           .segmentation_bytes = segmentation_payload(host->capabilities()),
                                           .output = base::Ring<uint32_t>(config.connections, memory)});
    interface.local_mss = std::min(config.mss_max, segment_max(index, net::IpFamily::v4));
  }
  listeners_.reserve(config.listeners);
  events_.reserve(config.connections);
  visited_.reserve(config.connections);
}

Stack::~Stack() {
  for (size_t i = 0; i < held_count_; i++) interfaces_[held_[i].interface].host->release(held_[i].packet);
}

// ---- blocks
// ----------------------------------------------------------------------------------------------------------

Connection* Stack::find(ConnectionId id) { return const_cast<Connection*>(std::as_const(*this).find(id)); }

const Connection* Stack::find(ConnectionId id) const {
  if (id.slot >= connections_.size()) return nullptr;
  const Connection& connection = connections_[id.slot];
  return connection.generation == id.generation && connection.in_use ? &connection : nullptr;
}

ConnectionId Stack::id_of(const Connection& connection) const {
  return {connections_.index_of(connection), connection.generation};
}

bool Stack::alive(ConnectionId id) const { return find(id) != nullptr; }

size_t Stack::connection_count() const { return connections_.used(); }

size_t Stack::packets_held() const { return held_count_; }

bool Stack::has_output() const {
  for (const Interface& interface : interfaces_)
    if (!interface.output.empty()) return true;
  return !events_.empty();
}

// A block in order and in the index; nullptr if all are taken.
Connection* Stack::open(const Tuple& tuple, uint64_t hash) {
  uint32_t slot = connections_.take();
  if (slot == base::none) return nullptr;
  Connection& connection = connections_[slot];
  uint32_t generation = connection.generation;
  // Its slot may still stand in the list, or in that of another interface.
  bool in_output = connection.send.in_output;
  uint16_t stale_output = connection.stale_output;
  if (connection.receive.interface != interface_in_hand_) {
    const auto mine = static_cast<uint16_t>(1u << interface_in_hand_);
    if (in_output) stale_output |= static_cast<uint16_t>(1u << connection.receive.interface);
    in_output = (stale_output & mine) != 0;
    stale_output &= static_cast<uint16_t>(~mine);
  }
  bool waits_for_memory = connection.waits_for_memory;
  CHECK(!connection.timer.armed());
  connection.~Connection();
  new (&connection) Connection;
  connection.generation = generation;
  connection.send.in_output = in_output;
  connection.stale_output = stale_output;
  connection.waits_for_memory = waits_for_memory;
  connection.in_use = true;
  connection.timer.owner = slot;
  connection.receive.tuple = tuple;
  connection.receive.interface = interface_in_hand_;
  if (tuple.is_ipv6()) connection.ipv6 = ipv6_in_hand_;
  connection.opened = now_;
  connection.quick_until = config_.quick_acks;
  connection.timestamp_offset = secrets_.timestamp_offset(tuple);
  connection.round_trip.timeout = config_.rto_initial;
  index_.insert(slot, hash);
  if (config_.connections_per_source != 0) connections_by_source_.add(source_hash(tuple, connection.ipv6));
  return &connection;
}

// The connection ends here, and nothing but a cookie of its handshake is remembered.
void Stack::finish(Connection& connection, CloseReason reason) {
  if (opened_by_cookie(connection)) remember_cookie(connection);
  end(connection, reason);
}

// Its block stays until the application has seen the event, and read what had arrived.
void Stack::end(Connection& connection, CloseReason reason) {
  CHECK(connection.receive.state != State::closed);
  wheel_.disarm(connection.timer);
  index_.remove(connections_.index_of(connection), hash(connection.tuple()));
  if (config_.connections_per_source != 0)
    connections_by_source_.remove(source_hash(connection.tuple(), connection.ipv6));
  send_memory_.release_all(connection.send.queue, connection.tail);
  flight_memory_.release(connection.flight);
  connection.flight.tracked = false;
  connection.receive.state = State::closed;
  connection.send.timer = base::never;
  connection.send.end = connection.send.unacknowledged;
  connection.reason = reason;
  Event& event = event_of(connection);
  event.closed = true;
  event.reason = reason;
  counters_.connections_closed.add();
  switch (reason) {
    case CloseReason::finished: counters_.closed_finished.add(); break;
    case CloseReason::reset_by_peer: counters_.closed_reset.add(); break;
    case CloseReason::refused: counters_.closed_refused.add(); break;
    case CloseReason::timed_out: counters_.closed_timed_out.add(); break;
    case CloseReason::keepalive_timeout: counters_.closed_keepalive.add(); break;
    case CloseReason::linger_timeout: counters_.closed_linger.add(); break;
    case CloseReason::aborted: counters_.closed_aborted.add(); break;
    case CloseReason::none: CHECK(false);
  }
}

// What fits a frame behind the headers without options.
uint16_t Stack::segment_max(InterfaceIndex interface, net::IpFamily family) const {
  return static_cast<uint16_t>(interfaces_[interface].host->mtu() - net::ip_header_bytes(family) - tcp_header_bytes);
}

// What we announce (RFC 6691).
uint16_t Stack::local_mss(InterfaceIndex interface, const Tuple& tuple) const {
  return std::min(config_.mss_max, segment_max(interface, tuple.family()));
}

// An address is no longer ours: nobody will answer there, and nobody is told.
void Stack::close_all_from(const net::IpAddress& local, base::Time now) {
  now_ = now;
  for (uint32_t slot = 0; slot < connections_.size(); slot++) {
    Connection& connection = connections_[slot];
    if (connection.in_use && connection.receive.state != State::closed && connection.local_address() == local)
      finish(connection, CloseReason::aborted);
  }
}

// Ends it from our side, and says so if the peer may believe it open.
void Stack::give_up(Connection& connection, CloseReason reason) {
  if (connection.receive.state != State::syn_sent) send_reset(connection);
  finish(connection, reason);
}

void Stack::free(Connection& connection) {
  auto& receive = connection.receive;
  for (uint16_t at = receive.held_first; at != held_none; at = held_[at].next) held_[at].length = 0;
  receive.held_first = receive.held_last = held_none;
  receive_memory_.release_all(connection.reassembly);
  connection.in_use = false;
  if (++connection.generation == 0) connection.generation = 1;
  connections_.give(connections_.index_of(connection));
}

// ---- events
// ----------------------------------------------------------------------------------------------------------

Event& Stack::event_of(Connection& connection) {
  if (connection.receive.event == base::none) {
    connection.receive.event = static_cast<uint32_t>(events_.size());
    events_.push_back({.id = id_of(connection)});
  }
  return events_[connection.receive.event];
}

std::span<const Event> Stack::events() {
  if (!visiting_) {
    std::swap(events_, visited_);
    for (const Event& event : visited_) connections_[event.id.slot].receive.event = base::none;
    visiting_ = true;
  }
  return visited_;
}

void Stack::clear_events() {
  if (!visiting_) return;
  visiting_ = false;
  for (const Event& event : visited_)
    if (event.closed) free(connections_[event.id.slot]);
  visited_.clear();
}

// ---- writing
// ---------------------------------------------------------------------------------------------------------

base::MutableBytes Stack::reserve(ConnectionId id, size_t n) {
  Connection* connection = find(id);
  CHECK(n <= reserve_max);
  if (!connection || !connection->writable() || n == 0) return {};
  if (connection->queued() + n > config_.send_queue_max) {
    refuse_write(*connection);
    return {};
  }
  base::MutableBytes bytes = send_memory_.reserve(connection->tail, n);
  if (bytes.empty()) refuse_write(*connection);
  return bytes.first(std::min<size_t>(bytes.size(), config_.send_queue_max - connection->queued()));
}

void Stack::commit(ConnectionId id, size_t n) {
  Connection* connection = find(id);
  if (!connection || !connection->writable() || n == 0) return;
  send_memory_.commit(connection->send.queue, connection->tail, connection->send.end, n);
  wrote(*connection, n);
}

bool Stack::send(ConnectionId id, base::Bytes bytes) {
  Connection* connection = find(id);
  if (!connection || !connection->writable()) return false;
  if (bytes.empty()) return true;
  if (connection->queued() + bytes.size() > config_.send_queue_max ||
      !send_memory_.append(connection->send.queue, connection->tail, connection->send.end, bytes)) {
    refuse_write(*connection);
    return false;
  }
  wrote(*connection, bytes.size());
  return true;
}

bool Stack::send_shared(ConnectionId id, base::Bytes bytes, void* owner) {
  Connection* connection = find(id);
  CHECK(!bytes.empty());
  if (!connection || !connection->writable()) return false;
  if (connection->queued() + bytes.size() > config_.send_queue_max ||
      !send_memory_.append_shared(connection->send.queue, connection->send.end, bytes, owner)) {
    refuse_write(*connection);
    return false;
  }
  wrote(*connection, bytes.size());
  return true;
}

std::span<void* const> Stack::take_released() { return send_memory_.take_released(); }

void Stack::wrote(Connection& connection, size_t bytes) {
  connection.send.end += static_cast<Sequence>(bytes);
  if (connection.queued() >= send_limit()) connection.above_high = true;
  mark_output(connection);
}

// Who was refused is told (`writable`) when there is memory again, in the order of asking.
void Stack::refuse_write(Connection& connection) {
  counters_.no_send_memory.add();
  if (connection.waits_for_memory) return;
  connection.waits_for_memory = true;
  connection.stalls.note(Stall::memory, now_);
  writers_.push(connections_.index_of(connection));
}

void Stack::tell_waiting_writers() {
  size_t wanted = std::min(chunks_for_writers, config_.send_chunks);
  size_t slices_wanted = std::min(chunks_for_writers, config_.shared_slices);
  for (size_t left = writers_.size(); left > 0; left--) {
    if (send_memory_.chunks_free() < wanted || send_memory_.shared_free() < slices_wanted) return;
    Connection& connection = connections_[writers_.pop()];
    connection.waits_for_memory = false;
    if (!connection.in_use || !connection.writable()) continue;
    if (connection.queued() > config_.send_low_watermark)
      connection.above_high = true;  // its own queue is long: `writable` comes when that is shorter
    else
      event_of(connection).writable = true;
  }
}

size_t Stack::queued(ConnectionId id) const {
  const Connection* connection = find(id);
  return connection ? connection->queued() : 0;
}

size_t Stack::send_room(ConnectionId id) {
  Connection* connection = find(id);
  if (!connection || !connection->writable()) return 0;
  const uint32_t queued = connection->queued(), limit = send_limit();
  if (queued < limit) return limit - queued;
  connection->above_high = true;
  return 0;
}

// A dynamic threshold (Choudhury and Hahne, 1998): nobody's queue may grow beyond half of what is still free. However
// many peers do not read, they leave as much again as each of them holds, so they never take what the others need.
uint32_t Stack::send_limit() const {
  const size_t share = send_memory_.chunks_free() * send_chunk_bytes / 2;
  return static_cast<uint32_t>(std::min<size_t>(std::max(share, send_chunk_bytes), config_.send_high_watermark));
}

// ---- closing
// ---------------------------------------------------------------------------------------------------------

void Stack::close(ConnectionId id) {
  Connection* connection = find(id);
  if (!connection || connection->receive.state == State::closed || connection->wants_close) return;
  if (connection->unread() > 0) return abort(id);
  connection->wants_close = true;
  switch (connection->receive.state) {
    case State::established: connection->receive.state = State::fin_wait_1; break;
    case State::close_wait: connection->receive.state = State::last_ack; break;
    default: return give_up(*connection, CloseReason::aborted);  // the handshake is not over
  }
  connection->send.finish = true;
  connection->close_deadline = now_ + config_.linger_timeout;
  connection->half_closed_until = now_ + config_.half_closed_max;
  mark_output(*connection);
  arm(*connection);
}

void Stack::abort(ConnectionId id) {
  Connection* connection = find(id);
  if (!connection || connection->receive.state == State::closed) return;
  give_up(*connection, CloseReason::aborted);
}

// ---- looking
// ---------------------------------------------------------------------------------------------------------

std::optional<ConnectionInfo> Stack::info(ConnectionId id, base::Time now) const {
  const Connection* connection = find(id);
  if (!connection) return {};
  const auto& receive = connection->receive;
  const auto& send = connection->send;
  return ConnectionInfo{.local = connection->local(),
                        .remote = connection->remote(),
                        .state = receive.state,
                        .send_mss = send.mss,
                        .receive_mss = local_mss(receive.interface, receive.tuple),
                        .rtt = connection->round_trip.smoothed,
                        .rtt_variation = connection->round_trip.variation,
                        .rto = connection->round_trip.backed_off(config_.rto_max),
                        .congestion_window = send.congestion_window,
                        .slow_start_threshold = send.threshold,
                        .in_flight = connection->in_flight(),
                        .queued = connection->queued(),
                        .send_window = send.window,
                        .receive_window = distance(receive.next, receive.edge),
                        .unread = connection->unread(),
                        .bytes_sent = connection->bytes_sent,
                        .bytes_received = connection->bytes_received,
                        .segments_sent = connection->segments_sent,
                        .segments_received = connection->segments_received,
                        .retransmits = connection->retransmits,
                        .timeouts = connection->timeouts_total,
                        .out_of_order = connection->out_of_order,
                        .zero_window_probes = connection->zero_window_probes,
                        .reordered = connection->rack.overtaken,
                        .zero_window = connection->stalls.shut_for(now),
                        .last_stall = connection->stalls.last,
                        .last_stall_at = connection->stalls.last_at,
                        .age = now - connection->opened};
}

uint32_t Stack::timestamp_clock(uint32_t offset) const {
  return static_cast<uint32_t>(now_.time_since_epoch() / std::chrono::milliseconds(1)) + offset;
}

void Stack::update_gauges() {
  counters_.connections_open.set(connections_.used());
  counters_.half_open_entries.set(half_open_.size());
  counters_.time_wait_entries.set(time_wait_.size());
  counters_.send_chunks_used.set(send_memory_.chunks_used());
  counters_.shared_slices_used.set(send_memory_.shared_used());
  counters_.receive_chunks_used.set(receive_memory_.chunks_used());
  counters_.flight_records_used.set(flight_memory_.used());
}

// ---- names
// -----------------------------------------------------------------------------------------------------------

std::string to_text(const Endpoint& endpoint) {
  const std::string address = net::to_text(endpoint.address);
  return (endpoint.address.is_v4() ? address : "[" + address + "]") + ":" + std::to_string(endpoint.port);
}

std::string_view to_text(State state) {
  switch (state) {
    case State::closed: return "closed";
    case State::syn_sent: return "syn_sent";
    case State::syn_received: return "syn_received";
    case State::established: return "established";
    case State::fin_wait_1: return "fin_wait_1";
    case State::fin_wait_2: return "fin_wait_2";
    case State::close_wait: return "close_wait";
    case State::closing: return "closing";
    case State::last_ack: return "last_ack";
  }
  return "unknown";
}

std::string_view to_text(CloseReason reason) {
  switch (reason) {
    case CloseReason::none: return "none";
    case CloseReason::finished: return "finished";
    case CloseReason::reset_by_peer: return "reset_by_peer";
    case CloseReason::refused: return "refused";
    case CloseReason::timed_out: return "timed_out";
    case CloseReason::keepalive_timeout: return "keepalive_timeout";
    case CloseReason::linger_timeout: return "linger_timeout";
    case CloseReason::aborted: return "aborted";
  }
  return "unknown";
}

}  // namespace talaria::tcp
