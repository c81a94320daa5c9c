// Arguments of exchanges, queues and bindings: are they well-formed, does the broker honour them, and is a second
// declaration equivalent to the first? Pure functions; the texts are RabbitMQ's.
//
// The rule for queues: what RabbitMQ does not know is ignored; what belongs to another queue type or has a wrong type
// or value is refused; what would change the promise made for a message and is not honoured yet (priorities, ...) is
// refused, too, and says so. Nothing is accepted and then ignored, except what asks for an implementation rather than a
// behaviour (x-queue-mode, x-queue-version, x-queue-master-locator).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "control/alerts.h"
#include "core/base/field.h"
#include "core/broker/exchange_settings.h"
#include "core/broker/queue_settings.h"
#include "core/broker/requests.h"
#include "core/broker/topology.h"

namespace talaria::control {

// The type of every queue: of those that name none, and the only one that may be named.
inline constexpr std::string_view queue_type = "classic";

using MaybeRefusal = std::optional<broker::Refusal>;

// `what`: "queue 'q' in vhost '/'".
MaybeRefusal check_queue_arguments(const base::FieldTable& arguments, const std::string& what);
// Comes first, since whether the user may is asked before the rest is looked at.
MaybeRefusal check_dead_letter_exchange(const base::FieldTable& arguments, const std::string& what);
MaybeRefusal check_exchange_arguments(broker::ExchangeType type, const base::FieldTable& arguments,
                                      const std::string& what);
// A headers exchange's binding says how to match, a hash exchange's how much it weighs.
MaybeRefusal check_binding(broker::ExchangeType source, bool to_queue, const std::string& key,
                           const base::FieldTable& arguments);

MaybeRefusal check_same(const char* name, bool received, bool current, const std::string& what);
MaybeRefusal check_same(const char* name, std::string_view received, std::string_view current, const std::string& what);
MaybeRefusal check_queue_arguments_same(const base::FieldTable& received, const base::FieldTable& current,
                                        const std::string& what);
MaybeRefusal check_exchange_arguments_same(broker::ExchangeType type, const base::FieldTable& received,
                                           const base::FieldTable& current, const std::string& what);

// What a queue with these arguments, which have been checked, is to do. nullptr: nothing out of the ordinary.
std::shared_ptr<const broker::QueueSettings> queue_settings_of(const std::string& queue,
                                                               const base::FieldTable& arguments);

// When somebody is to be told how full such a queue is.
QueueAlerts alerts_of(const base::FieldTable& arguments);

// How it routes: an exchange that delays is of the type that its arguments, which have been checked, say.
broker::ExchangeType routing_type_of(broker::ExchangeType type, const base::FieldTable& arguments);
// What an exchange with these arguments, which have been checked, is to do. nullptr: nothing out of the ordinary.
std::shared_ptr<const broker::ExchangeSettings> exchange_settings_of(broker::ExchangeType type,
                                                                     const base::FieldTable& arguments);

// A history, or what came lately.
bool remembers(broker::ExchangeType type, const base::FieldTable& arguments);

// The alternate exchange's name, "" for none.
std::string alternate_of(const base::FieldTable& arguments);

}  // namespace talaria::control
