// One connection: the transmission control block of RFC 9293 3.3.1, laid out by temperature.
//
// The first cache line is what a segment that arrives looks at, the second what sending and acknowledgements look at;
// an established connection in steady traffic touches these two and little else. The rest is for recovery, for the
// operator, and for opening and closing. Owned by the stack; blocks never move.
//
//   SND.UNA send.unacknowledged   SND.WL1 send.window_sequence          RCV.NXT receive.next
//   SND.NXT send.next             SND.WL2 send.window_acknowledgement   RCV.WND receive.edge - receive.next
//   SND.WND send.window           ISS/IRS initial_send/receive          (largest SND.NXT ever: send.max)
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/cache_line.h"
#include "core/base/rate_limit.h"
#include "core/base/slab.h"
#include "core/base/time.h"
#include "core/base/timer_wheel.h"
#include "core/tcp/congestion.h"
#include "core/tcp/flight.h"
#include "core/tcp/rack.h"
#include "core/tcp/reassembly.h"
#include "core/tcp/rtt.h"
#include "core/tcp/send_queue.h"
#include "core/tcp/sequence.h"
#include "core/tcp/stall.h"
#include "core/tcp/tuple.h"
#include "core/tcp/types.h"

namespace talaria::tcp {

enum class Recovery : uint8_t {
  none,
  fast,     // since duplicate ACKs or RACK told of a loss, until `recover` is acknowledged
  timeout,  // since the retransmission timer fired, likewise: sending starts again at the first unacknowledged byte
};

// What happens when the send timer fires.
enum class SendTimer : uint8_t {
  retransmission,
  persist,     // the peer's window is in the way
  reordering,  // what is overdue by then is lost (RFC 8985 6.2)
  tail_probe,  // the last segment goes again, so that its loss shows (RFC 8985 7)
};

// Proportional rate reduction (RFC 9937): during fast recovery, in bytes.
struct RateReduction {
  uint32_t flight = 0;     // in flight when it began
  uint32_t delivered = 0;  // since then
  uint32_t sent = 0;       // since then
  uint32_t granted = 0;    // what `sent` may become, as of the last ACK
};

// What the last recovery took away, in case it turns out that nothing had been lost.
struct Undo {
  uint32_t window = 0;     // the congestion window before; 0: nothing to undo
  uint32_t threshold = 0;  // and the threshold
  uint32_t again = 0;      // bytes sent again, less those that the peer says it had twice
  uint32_t timestamp = 0;  // of the first segment sent again
  Sequence from = 0;       // the first unacknowledged number then
  bool sent_again = false;
};

struct alignas(base::cache_line) Connection {
  // ---- first line: segments in --------------------------------------------------------------------------------------
  struct Receive {
    base::Time ack_deadline = base::never;  // of a delayed acknowledgement
    base::Time last_segment{};              // when the peer was last heard
    Tuple tuple;
    Sequence next = 0;
    Sequence edge = 0;  // right edge of the window as advertised: never retracts
    Sequence read = 0;  // the first byte that the application has not consumed
    Sequence last_ack_sent = 0;
    uint32_t recent_timestamp = 0;     // TS.Recent
    uint32_t event = base::none;       // this turn's event of this connection
    uint16_t held_first = UINT16_MAX;  // packets of this turn with bytes in order that were not read
    uint16_t held_last = UINT16_MAX;
    uint16_t segment_max = 536;  // the largest payload seen: two such are worth an ACK
    State state = State::closed;
    InterfaceIndex interface = 0;  // through which it speaks
    uint8_t scale = 0;             // of the window we send
    bool timestamps : 1 = false;
    bool sack : 1 = false;
    bool ack_now = false;
    bool finished = false;  // the peer's FIN is in order and counted in `next`
  } receive;

  // ---- second line: segments out ------------------------------------------------------------------------------------
  struct Send {
    base::Time timer = base::never;  // see send_timer
    Sequence unacknowledged = 0;
    Sequence next = 0;
    Sequence max = 0;
    Sequence end = 0;  // behind the last byte queued; a FIN, when sent, takes this number
    uint32_t window = 0;
    Sequence window_sequence = 0;
    Sequence window_acknowledgement = 0;
    uint32_t congestion_window = 0;
    uint32_t threshold = 0;  // slow start threshold
    SendQueue queue;
    uint16_t mss = 536;  // payload and options of a segment
    uint8_t duplicate_acks = 0;
    Recovery recovery = Recovery::none;
    bool finish = false;          // close() was called: FIN behind `end`
    bool retransmit_now = false;  // the first unacknowledged segment, whatever the windows say
    bool in_output = false;       // in the list of connections that have something to send
    uint8_t scale = 0;            // of the window the peer sends

    void end_recovery() {
      recovery = Recovery::none;
      duplicate_acks = 0;
      retransmit_now = false;
    }
  } send;

  // ---- warm: once a round trip, a turn, a loss
  // -----------------------------------------------------------------------
  base::TimerNode timer;
  uint32_t generation = 1;
  uint32_t next_in_bucket = base::none;
  SendTail tail;
  RoundTrip round_trip;
  Flight flight;               // tracked when the peer has SACK
  base::Time retransmit_at{};  // the send timer may fire before, for another reason
  SendTimer send_timer = SendTimer::retransmission;
  bool tail_probe_due = false;
  bool mss_cut = false;    // the path takes less than was agreed, until mss_restore_at
  Sequence timed_end = 0;  // of the segment whose round trip is being measured
  base::Time timed_at{};
  base::Time last_sent{};
  size_t last_place = 0;    // of what was sent then, in the queue towards the port
  uint32_t window_max = 0;  // the largest window the peer ever offered
  Sequence recover = 0;     // send.max when the last recovery began
  uint32_t timestamp_offset = 0;
  uint32_t retransmit_timestamp = 0;  // of the last segment that was sent again
  Range duplicate{};                  // reported by the next ACK (DSACK, RFC 2883); empty if none
  uint8_t duplicate_acks_due = 0;
  bool timing = false;
  bool window_limited = false;  // the congestion window stopped the last output: it may grow
  bool force = false;           // the persist timer fired: send what fits, however small
  bool probe_due = false;       // the persist or keepalive timer fired: an empty segment with an old number
  bool above_high = false;      // the send queue reached the high watermark
  bool waits_for_memory = false;
  bool pending_finish = false;  // the peer's FIN is known, at `finish_sequence`, but not in order yet
  uint16_t stale_output = 0;    // a bit for each other interface in whose output the block stands since an earlier one
  Sequence finish_sequence = 0;
  AddressPair ipv6;  // of an IPv6 connection

  // ---- cold
  // ----------------------------------------------------------------------------------------------------------
  Congestion congestion;
  Rack rack;
  RateReduction reduction;
  Undo undo;
  base::Time mss_restore_at{};
  uint16_t mss_agreed = 0;
  Sequence tail_probe_end = 0;    // send.max after the probe
  bool tail_probe_out = false;    // and nothing is known of it yet
  bool tail_probe_again = false;  // it was a retransmission
  Sequence initial_send = 0;
  Sequence initial_receive = 0;
  base::Time opened{};
  base::Time close_deadline = base::never;
  base::Time half_closed_until = base::never;  // data that still comes moves close_deadline no further
  base::Time keepalive_due = base::never;
  uint8_t timeouts = 0;          // in a row, without an answer
  uint8_t keepalive_probes = 0;  // in a row, without an answer
  uint8_t probes = 0;            // zero-window probes in a row without an answer
  bool in_use = false;           // the block is somebody's, closed or not
  bool active = false;           // opened by us
  bool wants_close = false;      // close() was called
  CloseReason reason = CloseReason::none;
  base::RateLimit challenges{10};

  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  uint64_t segments_sent = 0;
  uint64_t segments_received = 0;
  uint64_t quick_until = 0;  // segments_received: until then each is acknowledged at once
  uint64_t lossy_until = 0;  // likewise, and what acknowledges many goes twice
  uint64_t retransmits = 0;
  uint64_t timeouts_total = 0;
  uint64_t out_of_order = 0;
  uint64_t zero_window_probes = 0;
  Stalls stalls;

  Reassembly reassembly;

  const Tuple& tuple() const { return receive.tuple; }
  net::IpAddress local_address() const {
    return receive.tuple.is_ipv6() ? ipv6.local : net::Ipv4Address{receive.tuple.local_address};
  }
  net::IpAddress remote_address() const {
    return receive.tuple.is_ipv6() ? ipv6.remote : net::Ipv4Address{receive.tuple.remote_address};
  }
  Endpoint local() const { return {local_address(), receive.tuple.local_port}; }
  Endpoint remote() const { return {remote_address(), receive.tuple.remote_port}; }

  // Bytes in order that the application has not consumed.
  uint32_t unread() const { return receive.next - receive.read - (receive.finished ? 1 : 0); }
  // Sequence numbers in flight, SYN and FIN included.
  uint32_t in_flight() const { return send.max - send.unacknowledged; }
  // Of a tracked flight, bytes believed to be in the network (RFC 6675 SetPipe).
  uint32_t pipe() const { return in_flight() - flight.sacked - flight.lost; }
  bool persisting() const { return send.timer != base::never && send_timer == SendTimer::persist; }
  // The window opened, or something is sent into it all the same.
  void stop_persisting(base::Time now) {
    if (!persisting()) return;
    send.timer = base::never;
    stalls.on_open(now);
  }
  bool fin_sent() const { return send.max == send.end + 1; }
  bool fin_acknowledged() const { return send.unacknowledged == send.end + 1; }
  bool synchronized() const { return receive.state > State::syn_received; }
  // Bytes written and not acknowledged.
  uint32_t queued() const { return distance(later(send.unacknowledged, initial_send + 1), send.end); }
  // The peer's data is still taken.
  bool receives() const {
    return receive.state == State::established || receive.state == State::fin_wait_1 ||
           receive.state == State::fin_wait_2;
  }
  // The application may still write.
  bool writable() const {
    return !wants_close && (receive.state == State::established || receive.state == State::close_wait ||
                            receive.state == State::syn_sent || receive.state == State::syn_received);
  }
};

static_assert(sizeof(Connection::Receive) == 64 && offsetof(Connection, receive) == 0,
              "what a segment looks at is one cache line");
static_assert(sizeof(Connection::Send) == 64 && offsetof(Connection, send) == 64, "what sending looks at is the next");
static_assert(sizeof(Connection) <= 1024, "100,000 of them are to fit beside their data");

}  // namespace talaria::tcp
