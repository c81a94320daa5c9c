// What a message's header asks of the broker besides being passed on: a delay (`x-delay`, of an exchange that heeds
// it), more routing keys (the headers `CC` and `BCC`, of which the second is not told to anybody) and answers without a
// queue (`reply_to`, see reply_to.h). Few messages do; of all others it is known at a look.
#pragma once

#include <optional>

#include "core/amqp091/session/connection.h"
#include "core/amqp091/session/consume.h"
#include "core/amqp091/session/reply_to.h"
#include "core/amqp091/wire/properties.h"

namespace talaria::amqp091::session {

// Whether one of the two names stands in the table, with its length before it: as an entry's, or in a value by chance.
bool may_name_copies(wire::Table headers);

// Whether it is worth looking.
inline bool may_ask_for_more(const wire::ContentScan& scan) {
  return scan.reply_to == reply_to_name || (!scan.headers.bytes.empty() && may_name_copies(scan.headers));
}

// The message's further keys go to `channel.publishing.copies`, and its delay to `delay_ms` there, if its exchange
// `delays`. Answers with the properties that the message has then: the scan's own, or others in `shared.whole`.
// nullopt: the channel or the connection has failed.
std::optional<Bytes> take_requests(Channel& channel, const wire::ContentScan& scan, bool delays);
// Where topic permissions decide: whether all of the further keys are allowed.
Allowed authorized_copies(Channel& channel);

}  // namespace talaria::amqp091::session
