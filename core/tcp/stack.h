// TCP (RFC 9293) of one worker: all its connections, both passive and active, on one net::Host.
//
// Owned and called by one worker thread; knows no clock. A turn of the worker is
//
//   host.receive(now)
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

#include <cstdint>
#include <expected>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>

#include "core/base/bytes.h"
#include "core/base/hash.h"
#include "core/base/time.h"
#include "core/net/host.h"
#include "core/tcp/config.h"
#include "core/tcp/counters.h"
#include "core/tcp/types.h"

namespace talaria::tcp {

// The most `Stack::reserve` gives out at once.
inline constexpr size_t reserve_max = send_chunk_bytes;

class Stack {
 public:
  // `key` is secret and random: sequence numbers, cookies and the connection hash depend on it. Stacks of several
  // workers that share an address share the key, so that each can check a cookie another one made. The big arrays come
  // from `memory` (huge pages, say). The host outlives the stack.
  Stack(const Config& config, net::Host& host, base::HashKey key,
        std::pmr::memory_resource* memory = std::pmr::get_default_resource());
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  // ---- opening ------------------------------------------------------------------------------------------------------
  // Connections to `port` are accepted from now on, each with an `accepted` event. False if all listeners are taken.
  bool listen(uint16_t port);
  // No new connection to `port`; existing ones stay.
  void stop_listening(uint16_t port);
  // Sends a SYN at the next output; `connected` or `closed` follows. Without a local port an ephemeral one
  // (49152..65535) is picked, unpredictably (RFC 6056).
  std::expected<ConnectionId, ConnectError> connect(Endpoint remote, std::optional<uint16_t> local_port,
                                                    base::Time now);

  // ---- the turn -----------------------------------------------------------------------------------------------------
  // Takes the packets of the datagrams. May be called several times a turn.
  void on_segments(std::span<const net::Datagram> datagrams, base::Time now);
  // Runs expired timers, at most Config::timers_per_turn.
  void on_time(base::Time now);
  // What happened. The same span until clear_events(); what happens meanwhile (an abort() of the visitor's, say) is
  // kept for the next visit.
  std::span<const Event> events();
  void clear_events();
  // Closes the turn's input: what was not consumed moves from received packets to the connection's receive buffer, its
  // window shrinks accordingly, and the packets go back.
  void end_input(base::Time now);
  // Sends what is due, as far as windows, host.transmit_room() and packets allow; what is left is first in line next
  // turn.
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
  // n <= reserve_max contiguous bytes at the tail of the send queue, to be filled and then `commit`ted before any other
  // call for this connection. Empty when there is no memory (counted) or the connection does not send any more; nothing
  // is half-written then.
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
  // Bytes written and not yet acknowledged.
  size_t queued(ConnectionId id) const;
  // Bytes until the high watermark; 0 at or above it. A writer asks before a message, and may then overshoot by it.
  size_t send_room(ConnectionId id) const;

  // ---- closing ------------------------------------------------------------------------------------------------------
  // FIN behind what is queued; no more writing. Reading goes on until the peer's FIN. With bytes unread here the
  // connection is reset instead (RFC 9293 3.6.1: the peer must not believe they were taken), reason `aborted`. A
  // `closed` event follows.
  void close(ConnectionId id);
  // RST now; queued bytes are gone. A `closed` event with reason `aborted` follows.
  void abort(ConnectionId id);

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
  Config config_;
  net::Host& host_;
  StackCounters counters_;
};

}  // namespace talaria::tcp
