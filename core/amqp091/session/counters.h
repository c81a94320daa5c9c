// What the sessions of one worker count. Written by the worker, read by anybody.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "core/amqp091/wire/reply.h"
#include "core/base/counters.h"

namespace talaria::amqp091::session {

// Errors we closed a channel or a connection with, by their code.
class ErrorCounters {
 public:
  static constexpr std::array<wire::ReplyCode, 16> codes = {
      wire::ReplyCode::content_too_large,   wire::ReplyCode::connection_forced, wire::ReplyCode::invalid_path,
      wire::ReplyCode::access_refused,      wire::ReplyCode::not_found,         wire::ReplyCode::resource_locked,
      wire::ReplyCode::precondition_failed, wire::ReplyCode::frame_error,       wire::ReplyCode::syntax_error,
      wire::ReplyCode::command_invalid,     wire::ReplyCode::channel_error,     wire::ReplyCode::unexpected_frame,
      wire::ReplyCode::resource_error,      wire::ReplyCode::not_allowed,       wire::ReplyCode::not_implemented,
      wire::ReplyCode::internal_error};

  void add(wire::ReplyCode code) {
    for (size_t i = 0; i < codes.size(); i++)
      if (codes[i] == code) return counters_[i].add();
    counters_.back().add();
  }
  uint64_t value(wire::ReplyCode code) const {
    for (size_t i = 0; i < codes.size(); i++)
      if (codes[i] == code) return counters_[i].value();
    return 0;
  }

 private:
  std::array<base::Counter, codes.size()> counters_;
};

struct SessionCounters {
  base::Counter frames_in, frames_out;
  base::Counter messages_published;      // complete ones, whatever became of them
  base::Counter messages_delivered;      // basic.deliver
  base::Counter messages_got;            // basic.get-ok
  base::Counter messages_returned;       // basic.return
  base::Counter messages_unroutable;     // returned or dropped
  base::Counter messages_confirmed;      // acks to publishers
  base::Counter messages_refused;        // nacks to publishers
  base::Counter messages_acknowledged;   // by consumers
  base::Counter messages_requeued;       // by consumers, and by channels that ended
  base::Counter messages_rejected;       // by consumers, without requeue
  base::Counter deliveries_unsent;       // given back untouched: the channel was full or gone
  base::Counter deliveries_lost_no_ack;  // under way to a channel that is gone, and nobody would have acknowledged them
  base::Counter acknowledgements_late;   // x-consumer-timeout: their channel was closed
  base::Counter transactions_committed;
  base::Counter transactions_rolled_back;  // by the client, or with its channel; those that had kept something
  base::Counter transactions_too_large;    // refused when they grew: their channel was closed
  base::Counter transactions_refused;      // at the commit, by a queue that is full: likewise
  base::Counter delayed_waiting;           // messages with an x-delay whose time is not over, now
  base::Counter delayed_published;         // it was
  base::Counter delayed_refused;           // there were too many
  base::Counter delayed_no_exchange;       // dropped: their exchange has gone since
  base::Counter exchange_duplicates;       // messages that exchanges dropped: they had one like it lately
  base::Counter history_published;         // again, to who was bound to an exchange with a history
  base::Counter replies_dropped;           // direct ones, to a consumer that does not read

  // What the broker itself publishes: events, log lines.
  base::Counter announcements_published;
  base::Counter announcements_lost;  // too many waited for memory, or for room at the queue's home

  // Copies of what clients publish and get, in vhosts that are traced.
  base::Counter traces_published;
  base::Counter traces_lost;  // too many waited, memory was short, or there was no room at the queue's home

  // Messages that died in queues of this worker.
  base::Counter dead_letters_published;   // anew
  base::Counter dead_letters_unroutable;  // dropped: nothing is bound where they go
  base::Counter dead_letters_in_circles;  // copies dropped: they had died in that queue before, and no client had a say
  base::Counter dead_letters_no_exchange;  // dropped: there is no such exchange
  base::Counter dead_letters_too_long;     // dropped: their headers have grown beyond any frame

  base::Counter connections_accepted, connections_opened, connections_closed;
  base::Counter connections_cut;      // open ones that ended without connection.close
  base::Counter connections_blocked;  // connection.blocked sent
  base::Counter channels_opened;
  base::Counter publishers_stalled;  // times reading stopped because there was no room
  base::Counter output_stalled;      // times an output became full: consumers paused, input not read

  // Connections that never opened, and why.
  base::Counter refused_no_session;         // all session slots are taken
  base::Counter refused_greeting;           // not our protocol header: answered with it
  base::Counter refused_http, refused_tls;  // recognised on the plain port
  base::Counter refused_frame;              // malformed or oversize before it was open
  base::Counter refused_out_of_place;       // a method or frame that does not belong there
  base::Counter refused_budget;             // more octets than a stranger may send
  base::Counter refused_mechanism;          // SASL mechanism we do not speak, or a response it does not have
  base::Counter refused_credentials;
  base::Counter refused_tune;
  base::Counter refused_vhost;
  base::Counter refused_slow;  // handshake timeout
  base::Counter refused_gone;  // the client left

  base::Counter heartbeats_missed;   // connections given up
  base::Counter finished_abandoned;  // likewise: see Config::finished_patience
  base::Counter answers_stale;       // from the control plane, for somebody who is gone
  base::Counter events_stale;        // from a queue, likewise

  base::Counter connections_open, channels_open, consumers;  // go up and down

  ErrorCounters channel_errors, connection_errors;

  // Calls `visit(name, value)` for each single counter, in the order above.
  template <class Visitor>
  void for_each(Visitor&& visit) const;
};

template <class Visitor>
void SessionCounters::for_each(Visitor&& visit) const {
  static_assert(sizeof(SessionCounters) == 63 * sizeof(base::Counter) + 2 * sizeof(ErrorCounters),
                "a counter is missing below");
  visit("frames_in", frames_in.value());
  visit("frames_out", frames_out.value());
  visit("messages_published", messages_published.value());
  visit("messages_delivered", messages_delivered.value());
  visit("messages_got", messages_got.value());
  visit("messages_returned", messages_returned.value());
  visit("messages_unroutable", messages_unroutable.value());
  visit("messages_confirmed", messages_confirmed.value());
  visit("messages_refused", messages_refused.value());
  visit("messages_acknowledged", messages_acknowledged.value());
  visit("messages_requeued", messages_requeued.value());
  visit("messages_rejected", messages_rejected.value());
  visit("deliveries_unsent", deliveries_unsent.value());
  visit("deliveries_lost_no_ack", deliveries_lost_no_ack.value());
  visit("acknowledgements_late", acknowledgements_late.value());
  visit("transactions_committed", transactions_committed.value());
  visit("transactions_rolled_back", transactions_rolled_back.value());
  visit("transactions_too_large", transactions_too_large.value());
  visit("transactions_refused", transactions_refused.value());
  visit("delayed_waiting", delayed_waiting.value());
  visit("delayed_published", delayed_published.value());
  visit("delayed_refused", delayed_refused.value());
  visit("delayed_no_exchange", delayed_no_exchange.value());
  visit("exchange_duplicates", exchange_duplicates.value());
  visit("history_published", history_published.value());
  visit("replies_dropped", replies_dropped.value());
  visit("announcements_published", announcements_published.value());
  visit("announcements_lost", announcements_lost.value());
  visit("traces_published", traces_published.value());
  visit("traces_lost", traces_lost.value());
  visit("dead_letters_published", dead_letters_published.value());
  visit("dead_letters_unroutable", dead_letters_unroutable.value());
  visit("dead_letters_in_circles", dead_letters_in_circles.value());
  visit("dead_letters_no_exchange", dead_letters_no_exchange.value());
  visit("dead_letters_too_long", dead_letters_too_long.value());
  visit("connections_accepted", connections_accepted.value());
  visit("connections_opened", connections_opened.value());
  visit("connections_closed", connections_closed.value());
  visit("connections_cut", connections_cut.value());
  visit("connections_blocked", connections_blocked.value());
  visit("channels_opened", channels_opened.value());
  visit("publishers_stalled", publishers_stalled.value());
  visit("output_stalled", output_stalled.value());
  visit("refused_no_session", refused_no_session.value());
  visit("refused_greeting", refused_greeting.value());
  visit("refused_http", refused_http.value());
  visit("refused_tls", refused_tls.value());
  visit("refused_frame", refused_frame.value());
  visit("refused_out_of_place", refused_out_of_place.value());
  visit("refused_budget", refused_budget.value());
  visit("refused_mechanism", refused_mechanism.value());
  visit("refused_credentials", refused_credentials.value());
  visit("refused_tune", refused_tune.value());
  visit("refused_vhost", refused_vhost.value());
  visit("refused_slow", refused_slow.value());
  visit("refused_gone", refused_gone.value());
  visit("heartbeats_missed", heartbeats_missed.value());
  visit("finished_abandoned", finished_abandoned.value());
  visit("answers_stale", answers_stale.value());
  visit("events_stale", events_stale.value());
  visit("connections_open", connections_open.value());
  visit("channels_open", channels_open.value());
  visit("consumers", consumers.value());
}

}  // namespace talaria::amqp091::session
