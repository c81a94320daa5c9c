// What a TCP stack reserves at start, and its windows and timers. Every bound of the stack is a number here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/time.h"

namespace talaria::tcp {

using base::operator""ms;
using base::operator""s;

// A send chunk is also the most contiguous space `Stack::reserve` gives out.
inline constexpr size_t send_chunk_bytes = 4096;
inline constexpr size_t receive_chunk_bytes = 4096;

enum class CongestionControl : uint8_t {
  newreno,  // RFC 5681: half the window at a loss, a segment more each round trip
  cubic,    // RFC 9438: 0.7 of it, then by time and not by round trips
};

struct Config {
  // ---- memory, all of it reserved at start --------------------------------------------------------------------------
  size_t connections = 1024;
  size_t half_open = 1024;        // SYNs that were answered; when full, SYN cookies
  size_t time_wait = 4096;        // when full, the oldest is forgotten
  size_t send_chunks = 4096;      // of send_chunk_bytes: bytes written and not yet acknowledged
  size_t shared_slices = 16384;   // bodies sent by reference and not yet acknowledged
  size_t receive_chunks = 4096;   // of receive_chunk_bytes: bytes arrived and not yet consumed, or out of order
  size_t flight_records = 16384;  // and one a connection, of 24 bytes: when what is in flight was sent
  size_t held_packets = 128;      // received packets kept within one turn for zero-copy reading
  size_t listeners = 16;

  // ---- windows ------------------------------------------------------------------------------------------------------
  uint32_t receive_window = 256 * 1024;        // most bytes buffered for a connection, and advertised
  uint32_t send_high_watermark = 512 * 1024;   // `send_room` counts down to it, or to half of the free send memory
  uint32_t send_low_watermark = 256 * 1024;    // `writable` comes when the queue falls to it
  uint32_t send_queue_max = 64 * 1024 * 1024;  // a writer that overshoots the high watermark stops here
  uint16_t mss_max = 65495;                    // what we announce is the smaller of this and the MTU's

  // ---- timers -------------------------------------------------------------------------------------------------------
  base::Duration rto_initial = 1s;  // RFC 6298 2.1
  base::Duration rto_min = 200ms;   // below RFC 6298's 1 s, as Linux has it
  base::Duration rto_max = 60s;
  base::Duration delayed_ack = 40ms;     // RFC 9293 3.8.6.3 allows 500 ms
  uint32_t quick_acks = 16;              // so many segments are acknowledged at once while the peer's window is small
  uint32_t lossy_segments = 64;          // so many behind the last sign of loss are acknowledged with more care
  uint32_t retransmits_max = 15;         // consecutive timeouts before the peer is given up (R2, RFC 9293 3.8.3)
  uint32_t syn_retransmits_max = 5;      // active open
  uint32_t syn_ack_retransmits_max = 3;  // passive open
  base::Duration keepalive_idle = 120s;  // 0 turns keepalive off
  base::Duration keepalive_interval = 15s;
  uint32_t keepalive_probes = 4;
  base::Duration time_wait_duration = 60s;  // 2 MSL
  base::Duration fin_wait_2_timeout = 60s;  // after close(), without data or the peer's FIN
  base::Duration half_closed_max = 600s;    // after close(), however much still comes
  base::Duration linger_timeout = 120s;     // after close(), without anything being acknowledged

  // ---- limits on answers to strangers -------------------------------------------------------------------------------
  uint32_t challenge_acks_per_second = 100;  // whole stack, randomised (RFC 5961 7, CVE-2016-5696)
  uint32_t resets_per_second = 1000;         // RST to segments for no connection
  // Of one remote address, so that no peer takes what all share; 0: no limit. Behind address translation many peers are
  // one. A SYN beyond the first is dropped; one beyond the second is answered with a cookie, which costs no memory.
  uint32_t connections_per_source = 0;
  uint32_t handshakes_per_source = 256;
  uint32_t timers_per_turn = 256;  // expiries handled by one on_time

  CongestionControl congestion_control = CongestionControl::cubic;
  bool timestamps = true;
  bool selective_acknowledgement = true;
};

}  // namespace talaria::tcp
