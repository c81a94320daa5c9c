#include "core/amqp091/session/manage.h"

#include <string>

#include "core/amqp091/session/closing.h"
#include "core/amqp091/session/reply_to.h"
#include "core/amqp091/session/rewriting.h"
#include "core/amqp091/wire/methods.h"
#include "core/broker/requests.h"

namespace talaria::amqp091::session {

bool is_command(const broker::Message& message) { return message.exchange() == broker::management_exchange; }

void on_command(Channel& channel, const broker::Message& message) {
  constexpr uint32_t method = wire::basic::Publish::id;
  if (channel.transaction)
    return fail_channel(channel, ReplyCode::precondition_failed, "a command cannot be part of a transaction", method);
  if (message.body_size() > broker::Manage::arguments_max)
    return fail_channel(channel, ReplyCode::precondition_failed,
                        "a command is longer than " + std::to_string(broker::Manage::arguments_max) + " octets",
                        method);
  const Rewriting properties(message);
  if (properties.properties.reply_to.empty())
    return fail_channel(channel, ReplyCode::precondition_failed, "a command needs the property reply-to", method);
  broker::Manage command;
  command.command = message.routing_key();
  command.reply_to = properties.properties.reply_to;
  command.reply_is_direct = is_reply_address(command.reply_to);
  command.correlation_id = properties.properties.correlation_id;
  command.arguments.reserve(message.body_size());
  for (broker::PayloadCursor cursor = message.body(); !cursor.done();)
    command.arguments += base::as_text(cursor.next());
  ask(channel.connection, awaiting(Awaited::managed, channel, method), std::move(command));
}

}  // namespace talaria::amqp091::session
