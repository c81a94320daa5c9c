// TCP (RFC 9293) of one worker: all its connections, both passive and active, on one net::Host or several, one for each
// network port ("interface" here, since TCP has ports of its own). A connection speaks through the interface that has
// its local address, and through no other (the strong host model, RFC 1122 3.3.4.2): an address is of one interface.
//
// Owned and called by one worker thread; knows no clock. A turn of the worker is
//
//   host.receive(now)                             each of them
//   stack.on_segments(host.datagrams(), now)      segments in
//   stack.on_time(now)                            timers, bounded
//   for (event : stack.events()) ...              the application reads (`input`), writes (`reserve`, `send`), closes
//   stack.clear_events()
//   stack.end_input(now)                          received packets go back; what was not consumed is copied
//   stack.output(now)                             one visit per connection with something to say; ACKs ride along
//   host.flush()
//
// No call here calls back. Everything is reserved at construction (Config); what does not fit is refused, bounded and
// counted: receive memory short -> windows close; send memory short -> `reserve` and `send` answer no; half-open table
// full -> SYN cookies; no connection block -> the SYN is dropped, so that the peer tries again.
//
// A stale or dead ConnectionId is no error: calls with it do nothing and answer empty, 0 or false.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <memory_resource>
#include <optional>
#include <span>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/hash.h"
#include "core/base/rate_limit.h"
#include "core/base/ring.h"
#include "core/base/slab.h"
#include "core/base/time.h"
#include "core/base/timer_wheel.h"
#include "core/net/host.h"
#include "core/tcp/config.h"
#include "core/tcp/connection.h"
#include "core/tcp/counters.h"
#include "core/tcp/flight.h"
#include "core/tcp/half_open.h"
#include "core/tcp/reassembly.h"
#include "core/tcp/secrets.h"
#include "core/tcp/segment.h"
#include "core/tcp/send_queue.h"
#include "core/tcp/source_counts.h"
#include "core/tcp/time_wait.h"
#include "core/tcp/tuple.h"
#include "core/tcp/types.h"

namespace talaria::tcp {

// The most `Stack::reserve` gives out at once.
inline constexpr size_t reserve_max = send_chunk_bytes;

class Stack {
 public:
  // `key` is secret and random: sequence numbers, cookies and the connection hash depend on it. Stacks of several
  // workers that share an address share the key, so that each can check a cookie another one made. The big arrays come
  // from `memory` (huge pages, say). The hosts outlive the stack; interface k is hosts[k]; 1 to interfaces_max.
  Stack(const Config& config, std::span<net::Host* const> hosts, base::HashKey key,
        std::pmr::memory_resource* memory = std::pmr::get_default_resource());
  Stack(const Config& config, net::Host& host, base::HashKey key,
        std::pmr::memory_resource* memory = std::pmr::get_default_resource())
      : Stack(config, std::array{&host}, key, memory) {}
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  // ---- opening ------------------------------------------------------------------------------------------------------
  // Connections to `port` are accepted from now on, each with an `accepted` event. False if all listeners are taken.
  bool listen(uint16_t port);
  // No new connection to `port`; existing ones stay.
  void stop_listening(uint16_t port);
  // Sends a SYN at the next output; `connected` or `closed` follows. It leaves by the interface whose routes lead there
  // by the longest prefix, the first of such. Without a local port an ephemeral one (49152..65535) is picked,
  // unpredictably (RFC 6056).
  std::expected<ConnectionId, ConnectError> connect(Endpoint remote, std::optional<uint16_t> local_port,
                                                    base::Time now);

  // ---- the turn -----------------------------------------------------------------------------------------------------
  // Takes the packets out of the datagrams, which that interface's host received. May be called several times a turn.
  void on_segments(std::span<net::Datagram> datagrams, base::Time now, InterfaceIndex interface = 0);
  // What a router says about a segment of ours, or of a colleague's. Those of our own host on_segments looks at itself.
  void on_icmp_error(const net::IcmpError& error, base::Time now);
  // Runs expired timers, at most Config::timers_per_turn.
  void on_time(base::Time now);
  // What happened. The same span until clear_events(); what happens meanwhile (an abort() of the visitor's, say) is
  // kept for the next visit.
  std::span<const Event> events();
  void clear_events();
  bool has_events() const { return !events_.empty(); }
  // Closes the turn's input: what was not consumed moves from received packets to the connection's receive buffer, its
  // window shrinks accordingly, and the packets go back.
  void end_input(base::Time now);
  // Sends what is due, as far as windows, host.transmit_room() and packets allow; what is left is first in line next
  // turn. An interface that is full holds up its own connections only.
  void output(base::Time now);
  // When on_time has something to do next; base::never if nothing is pending. (Work that waits for `output` is not a
  // deadline: see has_output.)
  base::Time next_deadline() const;
  // Something waits for `output` to be called again.
  bool has_output() const;

  // ---- reading ------------------------------------------------------------------------------------------------------
  // The next contiguous bytes in order, often straight in the received packet; empty if there are none. Valid until
  // `consume` of them or end_input. There may be more behind: ask again after `consume`.
  base::Bytes input(ConnectionId id);
  // The first n bytes of `input` are done with; n <= input(id).size().
  void consume(ConnectionId id, size_t n);
  // All bytes that `input` would yield one after the other. Unread bytes make no `readable` events of their own: an
  // application that stopped reading asks `input` again when it wants to go on. The window reopens as it consumes.
  size_t unread(ConnectionId id) const;

  // ---- writing ------------------------------------------------------------------------------------------------------
  // At least n <= reserve_max contiguous bytes at the tail of the send queue, and what else may follow them there, to
  // be filled from the front and then `commit`ted before any other call for this connection. Empty when there is no
  // memory (counted) or the connection does not send any more; nothing is half-written then.
  base::MutableBytes reserve(ConnectionId id, size_t n);
  // The first n reserved bytes are part of the stream; they leave at the next output.
  void commit(ConnectionId id, size_t n);
  // Copies bytes of any number. All or nothing: false as `reserve` is empty.
  bool send(ConnectionId id, base::Bytes bytes);
  // Sends bytes by reference: they stay unchanged until `owner` comes back through take_released(), exactly once for
  // each call that answered true, when all of them are acknowledged or the connection is gone. All or nothing. 1 <=
  // size < 1 GiB.
  bool send_shared(ConnectionId id, base::Bytes bytes, void* owner);
  // The owners whose bytes are no longer needed; valid until the next call of it.
  std::span<void* const> take_released();
  bool has_released() const { return send_memory_.has_released(); }
  // Bytes written and not yet acknowledged.
  size_t queued(ConnectionId id) const;
  // Bytes until this connection's queue is as long as it may be; 0 from there on, and then `writable` follows. That is
  // the high watermark, or less when send memory gets scarce. A writer asks before a message, and may overshoot by it.
  size_t send_room(ConnectionId id);

  // ---- closing ------------------------------------------------------------------------------------------------------
  // FIN behind what is queued; no more writing. Reading goes on until the peer's FIN. With bytes unread here the
  // connection is reset instead (RFC 9293 3.6.1: the peer must not believe they were taken), reason `aborted`. A
  // `closed` event follows.
  void close(ConnectionId id);
  // RST now; queued bytes are gone. A `closed` event with reason `aborted` follows.
  void abort(ConnectionId id);
  // Ends, without a word, every connection of an address that is no longer ours; reason `aborted`. Cold.
  void close_all_from(const net::IpAddress& local, base::Time now);

  // ---- looking ------------------------------------------------------------------------------------------------------
  bool alive(ConnectionId id) const;
  std::optional<ConnectionInfo> info(ConnectionId id, base::Time now) const;
  // Calls visit(id) for every connection, in no particular order. Cold.
  template <class Visitor>
  void for_each_connection(Visitor&& visit) const;
  size_t connection_count() const;
  const StackCounters& counters() const { return counters_; }
  const Config& config() const { return config_; }
  // Packets held for zero-copy reading: 0 after end_input.
  size_t packets_held() const;

  // CHECKs what must hold between calls: sums of chunks, slices and connections; UNA <= NXT <= end of queue; data that
  // is unacknowledged or blocked has an armed timer. Linear in everything: for the simulator and tests.
  void check_invariants() const;

 private:
  // What differs from one network port to the other.
  struct Interface {
    net::Host* host = nullptr;
    uint16_t local_mss = 0;           // what we announce over IPv4
    uint32_t segmentation_bytes = 0;  // payload of the longest packet that the port cuts; 0: it cuts none
    base::Ring<uint32_t> output;      // slots of connections with something to send, each once
  };
  // A packet of this turn with bytes in order that were not read yet.
  struct Held {
    net::Packet packet;
    Sequence sequence = 0;
    uint32_t slot = base::none;  // of the connection
    uint16_t offset = 0;         // of the unread bytes in the packet
    uint16_t length = 0;         // 0: all read, or copied
    uint16_t next = held_none;   // of the same connection
    InterfaceIndex interface = 0;
  };
  static constexpr uint16_t held_none = UINT16_MAX;

  // A segment of the burst at work, between the phases.
  struct Arrival {
    Segment segment;
    Tuple tuple;
    uint64_t hash = 0;
    uint32_t slot = base::none;  // of the connection
    bool valid = false;
    bool of_last = false;  // the same tuple as the last valid one before it
  };
  // What `choose` decided to send next: payload bytes, and whether a FIN stands behind them.
  struct Pick {
    Sequence sequence = 0;
    uint32_t bytes = 0;
    bool fin = false;
  };
  enum class Sent : uint8_t { nothing_left, more, blocked };

  // input.cc: a segment comes in.
  void on_burst(std::span<net::Datagram> burst);
  void dispatch(const Tuple& tuple, uint64_t hash, const Segment& segment, net::Packet& packet);
  void on_segment(Connection& connection, const Segment& segment, net::Packet& packet);
  bool predicted(const Connection& connection, const Segment& segment) const;
  bool acceptable(Connection& connection, const Segment& segment);
  void answer_unacceptable(Connection& connection, const Segment& segment);
  void on_reset(Connection& connection, const Segment& segment);
  void challenge(Connection& connection);
  bool allow_challenge();
  void take_timestamp(Connection& connection, const Segment& segment);

  // receive.cc: its payload, and the application's reading.
  void on_payload(Connection& connection, const Segment& segment, net::Packet& packet);
  void acknowledge_quickly(Connection& connection);
  void note_loss(Connection& connection);
  void note_duplicate(Connection& connection, const Range& range);
  bool take_in_order(Connection& connection, base::Bytes payload, net::Packet& packet);
  void take_out_of_order(Connection& connection, Sequence at, base::Bytes payload);
  void on_finish(Connection& connection);
  bool hold(Connection& connection, base::Bytes payload, net::Packet& packet);
  bool settle_held(Connection& connection);
  void unreceive(Connection& connection, uint16_t from);
  void release_read(Connection& connection);
  uint32_t receive_window_max(const Connection& connection) const;
  uint32_t receive_room(const Connection& connection) const;
  bool window_update_due(const Connection& connection) const;
  uint16_t advertise(Connection& connection);

  // What an acknowledgement says, besides its number, about a flight that is tracked.
  struct Tidings {
    Deliveries deliveries;
    uint32_t sacked_before = 0;       // of the flight
    uint32_t newly_sacked = 0;        // bytes
    bool duplicate_reported = false;  // the peer had something twice (DSACK, RFC 2883)
  };

  // acknowledge.cc: what an acknowledgement says.
  bool on_acknowledgement(Connection& connection, const Segment& segment);
  void update_window(Connection& connection, const Segment& segment);
  void on_new_acknowledgement(Connection& connection, const Segment& segment, Tidings* tidings);
  void sample_round_trip(Connection& connection, const Segment& segment);
  void end_timing(Connection& connection);
  void grow_congestion_window(Connection& connection, uint32_t acknowledged, uint32_t flight);
  void grow_window(Connection& connection, uint32_t acknowledged);
  void on_finish_acknowledged(Connection& connection);

  // new_reno.cc: recovery from loss by duplicate acknowledgements.
  void on_duplicate_acknowledgement(Connection& connection);
  void recover_from(Connection& connection, uint32_t acknowledged);
  void enter_fast_recovery(Connection& connection);

  // recovery.cc: recovery from loss where the flight is tracked.
  void on_tracked_acknowledgement(Connection& connection, const Segment& segment);
  void take_sacks(Connection& connection, const Segment& segment, Tidings& tidings);
  base::Duration on_delivery(Connection& connection, const Segment& segment, uint32_t acknowledged, uint32_t flight,
                             const Tidings& tidings);
  base::Duration find_losses(Connection& connection);
  void enter_recovery(Connection& connection);
  void leave_recovery(Connection& connection);
  void reduce_proportionally(Connection& connection, uint32_t delivered, bool safe);
  void remember_window(Connection& connection);
  void look_for_the_original(Connection& connection, const Segment& segment);
  void on_duplicate_report(Connection& connection, Range block);
  void undo_recovery(Connection& connection);
  void on_tracked_timeout(Connection& connection);
  void on_reordering_timeout(Connection& connection);
  void on_tail_probe_due(Connection& connection);
  void on_tail_probe_answer(Connection& connection, const Segment& segment, bool advanced, const Tidings& tidings);
  void schedule_send_timer(Connection& connection, base::Duration overdue_in);
  void track_again(Connection& connection);
  void note_sent(Connection& connection, const Pick& pick, Sequence end, bool again);

  // output.cc: a segment goes out.
  void output_through(InterfaceIndex interface);
  Sent output_connection(Connection& connection);
  bool choose(Connection& connection, Pick& pick) const;
  bool choose_first_unacknowledged(const Connection& connection, Pick& pick) const;
  bool choose_tracked(Connection& connection, Pick& pick) const;
  bool choose_tail_probe(Connection& connection, Pick& pick) const;
  bool choose_again(const Connection& connection, uint32_t congestion_room, Pick& pick) const;
  bool choose_new(Connection& connection, uint32_t congestion_room, Pick& pick) const;
  uint32_t piece_of(const Connection& connection, uint32_t bytes, uint32_t available) const;
  uint32_t payload_max(const Connection& connection) const;
  bool send_pick(Connection& connection, const Pick& pick);
  bool send_acknowledgements(Connection& connection);
  bool send_syn(Connection& connection);
  bool send_segment(Connection& connection, uint8_t flags, Sequence sequence, uint32_t payload);
  void mark_output(Connection& connection);

  Interface& interface_of(const Connection& connection) { return interfaces_[connection.receive.interface]; }
  const Interface& interface_of(const Connection& connection) const {
    return interfaces_[connection.receive.interface];
  }
  net::Host& host_of(const Connection& connection) { return *interface_of(connection).host; }
  // What is sent next without a connection block goes through this interface, between these addresses.
  void take_in_hand(const Connection& connection) {
    interface_in_hand_ = connection.receive.interface;
    if (connection.tuple().is_ipv6()) ipv6_in_hand_ = connection.ipv6;
  }

  // path_mtu.cc: how large a segment the path takes.
  void on_packet_too_big(Connection& connection, uint32_t mtu);
  void suspect_black_hole(Connection& connection);
  void cut_mss(Connection& connection, uint32_t mss);
  void restore_mss(Connection& connection);

  // answer.cc: segments without a connection block behind them.
  bool send_bare(const Tuple& tuple, Segment& segment);
  void reset_stranger(const Tuple& tuple, const Segment& segment);
  void send_reset(const Connection& connection);
  void on_time_wait(TimeWait& entry, uint64_t hash, const Segment& segment);
  void acknowledge_time_wait(const TimeWait& entry);
  void on_spent_cookie(TimeWait& entry, uint64_t hash, const Segment& segment);

  // timers.cc
  void on_timer(Connection& connection);
  void on_send_timer(Connection& connection);
  void on_retransmission_timeout(Connection& connection);
  void on_persist_timeout(Connection& connection);
  void on_keepalive_due(Connection& connection);
  void on_half_open_expired(HalfOpen& entry);
  void arm_send_timer(Connection& connection, base::Duration overdue_in = {});
  void arm_persist_timer(Connection& connection);
  base::Time deadline_of(const Connection& connection) const;
  void arm(Connection& connection);
  void arm_by(Connection& connection, base::Time deadline);

  // listener.cc: passive opening.
  bool is_listening(uint16_t port) const;
  void on_listen(const Tuple& tuple, uint64_t hash, const Segment& segment, net::Packet& packet);
  void on_syn(const Tuple& tuple, uint64_t hash, const Segment& segment);
  void on_half_open(HalfOpen& entry, uint64_t hash, const Segment& segment, net::Packet& packet);
  void forget(HalfOpen& entry, uint64_t hash);
  bool source_has_room(const Tuple& tuple);
  void send_syn_ack(const HalfOpen& entry);
  void challenge_half_open(const HalfOpen& entry);
  void send_cookie(const Tuple& tuple, const Segment& syn);
  bool accept_cookie(const Tuple& tuple, uint64_t hash, const Segment& segment, net::Packet& packet);
  Connection* accept(const HalfOpen& handshake, uint64_t hash, const Segment& segment);

  // active_open.cc
  void on_syn_sent(Connection& connection, const Segment& segment);
  bool on_syn_received(Connection& connection, const Segment& segment);
  net::IpAddress choose_interface(const net::IpAddress& remote);
  bool tuple_in_use(const Tuple& tuple);
  void become_established(Connection& connection);

  // stack.cc: blocks, events, ends.
  Connection* find(ConnectionId id);
  const Connection* find(ConnectionId id) const;
  ConnectionId id_of(const Connection& connection) const;
  Connection* open(const Tuple& tuple, uint64_t hash);
  void set_options(Connection& connection, uint16_t peer_mss, const Segment& syn);
  void finish(Connection& connection, CloseReason reason);
  void end(Connection& connection, CloseReason reason);
  void give_up(Connection& connection, CloseReason reason);
  void enter_time_wait(Connection& connection);
  bool opened_by_cookie(const Connection& connection) const;
  void remember_cookie(const Connection& connection);
  TimeWait* add_time_wait(const Connection& connection);
  void free(Connection& connection);
  Event& event_of(Connection& connection);
  void wrote(Connection& connection, size_t bytes);
  void refuse_write(Connection& connection);
  void tell_waiting_writers();
  uint32_t send_limit() const;
  uint32_t timestamp_clock(uint32_t offset) const;
  uint64_t source_hash(const Tuple& tuple, const AddressPair& ipv6) const;
  uint16_t segment_max(InterfaceIndex interface, net::IpFamily family) const;
  uint16_t local_mss(InterfaceIndex interface, const Tuple& tuple) const;
  uint64_t hash(const Tuple& tuple) const { return hash_of(tuple, secrets_.table_key()); }
  void update_gauges();

  // invariants.cc
  void check_numbers(const Connection& connection, size_t queued_bytes) const;
  void check_liveness(const Connection& connection) const;

  Config config_;
  std::vector<Interface> interfaces_;
  StackCounters counters_;
  Secrets secrets_;
  AddressPair ipv6_in_hand_;              // of the IPv6 segment, handshake or connection that is being dealt with
  InterfaceIndex interface_in_hand_ = 0;  // of any such
  uint8_t local_scale_;                   // of the window we send
  base::Time now_{};                      // of the last call that was told

  base::Slab<Connection> connections_;
  TupleIndex<Connection> index_;
  HalfOpenTable half_open_;
  SourceCounts handshakes_by_source_;
  SourceCounts connections_by_source_;
  TimeWaitTable time_wait_;
  SendMemory send_memory_;
  ReceiveMemory receive_memory_;
  FlightMemory flight_memory_;
  base::TimerWheel wheel_;

  std::vector<uint16_t> listeners_;
  std::array<Arrival, net::burst_max> arrivals_;
  std::vector<Held> held_;
  size_t held_count_ = 0;
  base::Ring<uint32_t> writers_;  // connections that were refused send memory
  std::vector<Event> events_;     // being collected
  std::vector<Event> visited_;    // handed out by events()
  bool visiting_ = false;
  base::Time cookies_until_{};  // cookies may come back until then
  base::RateLimit challenges_;
  base::RateLimit resets_;
  uint32_t next_port_ = 0;
};

template <class Visitor>
void Stack::for_each_connection(Visitor&& visit) const {
  for (uint32_t slot = 0; slot < connections_.size(); slot++)
    if (connections_[slot].receive.state != State::closed) visit(id_of(connections_[slot]));
}

}  // namespace talaria::tcp
