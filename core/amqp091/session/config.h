// What an AMQP 0-9-1 session is held to: negotiated limits, budgets before authentication, timers, and how much of it
// one turn may do. Every bound of the layer is a number here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/base/time.h"

namespace talaria::amqp091::session {

using base::operator""ms;
using base::operator""s;

struct Config {
  // ---- who we say we are (connection.start, server-properties) ------------------------------------------------------
  std::string product = "Talaria";  // never "RabbitMQ": kombu decides semantics by that name
  std::string version = "0.1.0";
  std::string platform = "C++ / DPDK";
  std::string cluster_name = "talaria";

  // ---- time ---------------------------------------------------------------------------------------------------------
  base::Duration wall_clock_ahead{};  // the time of day, since 1970, is the turn's and this

  // ---- negotiated (connection.tune) ---------------------------------------------------------------------------------
  uint16_t channel_max = 2047;
  uint32_t frame_max = 131072;  // octets of a frame, its eight of overhead included
  uint16_t heartbeat = 60;      // seconds; 0 leaves it to the client

  // ---- before the connection is open --------------------------------------------------------------------------------
  uint32_t frame_max_before_tune = 8192;
  size_t bytes_before_open = 64 * 1024;    // all a stranger may send
  base::Duration handshake_timeout = 10s;  // from accept to open
  base::Duration silent_close_delay = 3s;  // a stranger who got it wrong waits that long for his TCP close

  // ---- closing ------------------------------------------------------------------------------------------------------
  base::Duration close_timeout = 10s;  // we sent connection.close: the peer's close-ok is awaited that long

  // ---- back-pressure ------------------------------------------------------------------------------------------------
  base::Duration blocked_after = 10ms;     // a publisher that is not read that long is told connection.blocked
  base::Duration finished_patience = 30s;  // a peer that has closed its half, and whose rest cannot be read

  // ---- bounds -------------------------------------------------------------------------------------------------------
  size_t sessions = 1024;                    // connections, those being taken apart included; reserved at start
  uint64_t message_size_max = 128u << 20;    // octets of a body
  uint32_t consumers_per_channel = 65535;    // at most 65535
  uint32_t confirms_outstanding = 1u << 17;  // per channel; a publisher that is further ahead is not read
  uint32_t notices_waiting = 64;             // per connection, for the control plane; one with more is not read
  uint32_t delayed_messages = 1u << 20;      // of all exchanges that delay, on this worker
  uint32_t entrusted_under_way = 64;         // per connection, with the home of an exchange that remembers
  uint32_t announcements_waiting = 16384;    // events, log lines and answers to commands: see announce.h
  size_t announcement_octets_waiting = 8u << 20;
  uint32_t transaction_messages = 16384;     // per transaction
  uint32_t transaction_copies = 65536;       // of its messages, in queues
  uint32_t transaction_settlements = 65536;  // likewise
  uint32_t permissions_remembered = 256;     // per connection
  uint32_t keys_remembered = 1024;           // per connection, where topic permissions decide

  // ---- one turn -----------------------------------------------------------------------------------------------------
  size_t input_bytes_per_turn = 256 * 1024;  // of one connection
  size_t frames_per_turn = 4096;             // of one connection
  size_t resumed_per_turn = 64;              // publishers that wait for room, tried again
  uint32_t delayed_per_turn = 256;
  uint32_t entrusted_per_turn = 256;  // to exchanges that remember, see exchange_memory.h
  uint32_t dead_letters_per_turn = 64;
  size_t dead_letter_bytes_per_turn = 256 * 1024;  // of their bodies
  uint32_t announcements_per_turn = 256;           // that waited
  uint32_t traces_per_turn = 4096;
  size_t trace_bytes_per_turn = 1 << 20;     // of their bodies
  size_t transaction_steps_per_turn = 1024;  // of one channel: copies, settlements
  size_t credits_per_turn = 1024;            // of one connection: consumers whose prefetch changes
  size_t settle_per_turn = 4096;             // deliveries a closing channel gives back
  uint32_t timers_per_turn = 256;

  // Bodies from this size on are sent by reference to the message, smaller ones are copied into the send buffer.
  uint32_t share_body_from = 4096;
};

}  // namespace talaria::amqp091::session
