// basic.qos, consume, cancel and get, queue.purge: what is asked of a queue (reference section 5: #10, #13, #14). Cold,
// but for get.
#pragma once

#include <optional>

#include "core/amqp091/session/connection.h"
#include "core/broker/operations.h"
#include "core/broker/queue_record.h"

namespace talaria::amqp091::session {

Step on_qos(Channel& channel, const wire::basic::Qos& method);
// Goes on with a change that takes more than a turn.
void change_credits(Connection& connection);
Step on_consume(Channel& channel, const wire::basic::Consume& method);
Step on_cancel(Channel& channel, const wire::basic::Cancel& method);
Step on_get(Channel& channel, const wire::basic::Get& method);
Step on_purge(Channel& channel, const wire::queue::Purge& method);

void on_event(Shared& shared, const broker::Subscribed& event);
void on_event(Shared& shared, const broker::Unsubscribed& event);
void on_event(Shared& shared, const broker::Cancelled& event);
void on_event(Shared& shared, const broker::ConsumerSlow& event);
void on_event(Shared& shared, const broker::Got& event);
void on_event(Shared& shared, const broker::Purged& event);
void on_event(Shared& shared, const broker::Counted& event);

// ---- of all that consume ----

// False: the tag is in use, or there are too many; the connection has failed.
bool may_add_consumer(Channel& channel, const wire::basic::Consume& method);
std::string make_consumer_tag(Shared& shared);
// As a method on the way sees it: nobody may be asked any more when the channel ends.
Channel* find_open_channel(Shared& shared, const broker::ChannelAddress& address);
// What asked is answered, and by whom this channel asked.
bool take_pending(Connection& connection, Awaited what, const broker::ChannelAddress& channel, Pending& out);
// It goes, if it is still there.
void revoke(Connection& connection, const broker::RevokedConsumer& revoked);
// An auto-delete queue that its last consumer left is gone (or not any more unused): cancel-ok.
void on_unused_queue_deleted(Connection& connection);

// ---- names and permissions, for others too --------------------------------------------------------------------------
// Names as RabbitMQ takes them: without carriage returns and line feeds.
std::string stripped(std::string_view name);
// "no queue 'q' in vhost '/'"
std::string no_such(std::string_view kind, std::string_view name, const Connection& connection);
// What an empty queue name stands for; nullopt: the channel failed with 404.
std::optional<std::string> queue_name(Channel& channel, std::string_view name, uint32_t method);
// May the user? Asks the control plane when it is not known: then the frame waits. `no`: the channel failed with 403.
enum class Allowed : uint8_t { yes, no, asked };
Allowed authorized(Channel& channel, broker::Access access, bool exchange, std::string_view name, uint32_t method);
// Whether the routing keys that the user may publish to that exchange with are limited; he may publish to it.
bool keys_decide(const Connection& connection, std::string_view exchange);
Allowed authorized_key(Channel& channel, std::string_view exchange, std::string_view key, uint32_t method);
// Whether the user may put that name on a message. Who may not fails when the answer comes.
Allowed may_sign_as(Channel& channel, std::string_view name, uint32_t method);
void on_authorized(Connection& connection, const broker::Answer& answer);
// Whatever the user may was asked before and is asked again.
void forget_permissions(Connection& connection);

}  // namespace talaria::amqp091::session
