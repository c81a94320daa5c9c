// Direct reply-to (reference section 2.2): answers without a queue. A client consumes from the name below, without
// acknowledgements, and publishes requests with it as their `reply_to`; they arrive with an address that only this
// broker can have made. What is published to the default exchange with that address as the key goes to the consumer's
// session, on whatever worker it is, and nowhere else: if it is gone, so is the answer, and if it does not read, it
// keeps `replies_kept_max` of them.
//
//   amq.rabbitmq.reply-to.<56 hexadecimal digits: worker, session, channel, consumer, and a keyed hash of them>
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/amqp091/session/connection.h"

namespace talaria::amqp091::session {

inline constexpr std::string_view reply_to_name = "amq.rabbitmq.reply-to";
inline constexpr size_t replies_kept_max = 65536;  // of a connection that does not read, unless memory is scarce

bool is_reply_address(std::string_view name);
std::string reply_address(const Shared& shared, const broker::ConsumerAddress& consumer);
// nullopt: nobody was given that address, or whoever had it was on this worker and is gone.
std::optional<broker::ConsumerAddress> find_reply_consumer(Shared& shared, std::string_view address);

Step on_consume_replies(Channel& channel, const wire::basic::Consume& method);
// Declaring an address asks whether its consumer is there, wherever.
void on_declare_reply_address(Channel& channel, std::string_view name, uint32_t method, bool no_wait);
void on_event(Shared& shared, const broker::Probe& event);
void on_event(Shared& shared, const broker::MandatoryReply& event);
void on_event(Shared& shared, const broker::ReplyTaken& event);

}  // namespace talaria::amqp091::session
