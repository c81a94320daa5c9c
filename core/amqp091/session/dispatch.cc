#include "core/amqp091/session/dispatch.h"

#include <utility>

#include "core/amqp091/session/acknowledge.h"
#include "core/amqp091/session/closing.h"
#include "core/amqp091/session/consume.h"
#include "core/amqp091/session/declare.h"
#include "core/amqp091/session/handshake.h"
#include "core/amqp091/session/publish.h"
#include "core/amqp091/session/transaction.h"
#include "core/amqp091/wire/methods.h"

namespace talaria::amqp091::session {
namespace {

// ---- channel 0 ------------------------------------------------------------------------------------------------------

void on_update_secret(Connection& connection, const wire::connection::UpdateSecret& method) {
  Pending pending;
  pending.what = Awaited::reauthenticate;
  pending.method = method.id;
  ask(connection, std::move(pending),
      broker::Reauthenticate{connection.user, std::string(base::as_text(method.new_secret))});
}

void on_connection_method(Connection& connection, Bytes payload) {
  const uint32_t id = wire::load_method_id(payload);
  if (connection.stage == Stage::closing) {
    if (id == wire::connection::CloseOk::id) return on_connection_close_ok(connection);
    if (id == wire::connection::Close::id) return on_connection_close(connection);
    return;
  }
  if (id == wire::connection::Close::id) {
    auto method = wire::parse<wire::connection::Close>(payload);
    if (!method) return fail(connection, method.error());
    return on_connection_close(connection);
  }
  if (connection.before_open()) return on_handshake_method(connection, payload);

  if (auto checked = wire::check_method(payload); !checked) return fail(connection, checked.error());
  if (id == wire::connection::UpdateSecret::id)
    return on_update_secret(connection, *wire::parse<wire::connection::UpdateSecret>(payload));
  std::string text = "unexpected method ";
  text += wire::method_name(id);
  text += " in connection state running";
  // Connection methods have their time, which is over; others have their channel.
  fail_connection(connection, wire::class_of(id) == 10 ? ReplyCode::command_invalid : ReplyCode::channel_error, text,
                  id);
}

// ---- a channel's methods --------------------------------------------------------------------------------------------

void open_channel(Connection& connection, uint16_t number, Bytes payload) {
  auto method = wire::parse<wire::channel::Open>(payload);
  if (!method) return fail(connection, method.error());
  if (number > connection.channel_max)
    return fail_connection(connection, ReplyCode::not_allowed,
                           "number of channels opened (" + std::to_string(number) +
                               ") has reached the negotiated channel_max (" + std::to_string(connection.channel_max) +
                               ")",
                           method->id);
  Shared& shared = *connection.shared;
  if (number >= connection.channels.size()) connection.channels.resize(number + size_t{1});
  connection.channels[number].channel = std::make_unique<Channel>(connection, number, ++shared.last_incarnation);
  shared.counters.channels_opened.add();
  shared.counters.channels_open.add();
  connection.info->channels.add();
  connection.output.method(number, wire::channel::OpenOk{});
  notify(connection, broker::ChannelOpened{number, connection.channels[number].channel->counters});
}

void on_flow(Channel& channel, const wire::channel::Flow& method) {
  if (!method.active) return fail_connection(channel.connection, ReplyCode::not_implemented, "active=false", method.id);
  channel.connection.output.method(channel.number, wire::channel::FlowOk{.active = true});
}

void on_confirm_select(Channel& channel, const wire::confirm::Select& method) {
  if (channel.transaction)
    return fail_channel(channel, ReplyCode::precondition_failed, "cannot switch from tx to confirm mode", method.id);
  if (!channel.confirms.selected()) {
    channel.confirms.select();
    notify_changed(channel);
  }
  if (!method.no_wait) channel.connection.output.method(channel.number, wire::confirm::SelectOk{});
}

// Everything that is not on a message's way.
Step on_rare_method(Channel& channel, Bytes payload) {
  Connection& connection = channel.connection;
  const uint32_t id = wire::load_method_id(payload);
  Step step = Step::taken;
  auto visitor = [&]<class Method>(const Method& method) {
    using namespace wire;
    if constexpr (std::is_same_v<Method, wire::channel::Open>) {
      fail_connection(connection, ReplyCode::channel_error, "second 'channel.open' seen", id);
    } else if constexpr (std::is_same_v<Method, wire::channel::Close>) {
      on_channel_close(channel);
    } else if constexpr (std::is_same_v<Method, wire::channel::CloseOk>) {
      // Nobody asked: RabbitMQ ignores it as well.
    } else if constexpr (std::is_same_v<Method, wire::channel::Flow>) {
      on_flow(channel, method);
    } else if constexpr (std::is_same_v<Method, wire::access::Request>) {
      connection.output.method(channel.number, wire::access::RequestOk{.ticket = 1});
    } else if constexpr (std::is_same_v<Method, wire::exchange::Declare> ||
                         std::is_same_v<Method, wire::queue::Declare>) {
      on_declare(channel, method);
    } else if constexpr (std::is_same_v<Method, wire::exchange::Delete> ||
                         std::is_same_v<Method, wire::queue::Delete>) {
      on_delete(channel, method);
    } else if constexpr (std::is_same_v<Method, wire::exchange::Bind> || std::is_same_v<Method, wire::queue::Bind>) {
      on_bind(channel, method);
    } else if constexpr (std::is_same_v<Method, wire::exchange::Unbind> ||
                         std::is_same_v<Method, wire::queue::Unbind>) {
      on_unbind(channel, method);
    } else if constexpr (std::is_same_v<Method, wire::queue::Purge>) {
      step = on_purge(channel, method);
    } else if constexpr (std::is_same_v<Method, wire::basic::Qos>) {
      step = on_qos(channel, method);
    } else if constexpr (std::is_same_v<Method, wire::basic::Consume>) {
      step = on_consume(channel, method);
    } else if constexpr (std::is_same_v<Method, wire::basic::Cancel>) {
      step = on_cancel(channel, method);
    } else if constexpr (std::is_same_v<Method, wire::basic::CancelOk>) {
      // The answer to our basic.cancel: nobody waits for it.
    } else if constexpr (std::is_same_v<Method, wire::basic::Recover>) {
      on_recover(channel, method.requeue, true, id);
    } else if constexpr (std::is_same_v<Method, wire::basic::RecoverAsync>) {
      on_recover(channel, method.requeue, false, id);
    } else if constexpr (std::is_same_v<Method, wire::confirm::Select>) {
      on_confirm_select(channel, method);
    } else if constexpr (std::is_same_v<Method, wire::tx::Select>) {
      step = on_select(channel, method);
    } else if constexpr (std::is_same_v<Method, wire::tx::Commit>) {
      step = on_commit(channel, method);
    } else if constexpr (std::is_same_v<Method, wire::tx::Rollback>) {
      step = on_rollback(channel, method);
    } else {
      // What only a server says, or what belongs to channel 0.
      fail_connection(connection, ReplyCode::command_invalid,
                      std::string("unexpected method ") + std::string(Method::name), id);
    }
  };
  auto visited = wire::visit_method(payload, visitor);
  if (!visited) fail(connection, visited.error());
  return step;
}

// On a number that names no open channel.
void on_method_without_channel(Connection& connection, uint16_t number, Bytes payload) {
  const uint32_t id = wire::load_method_id(payload);
  if (number < connection.channels.size()) {
    ChannelSlot& slot = connection.channels[number];
    if (slot.awaits_close_ok) {
      // We closed it. Both may have said close at once: each answers the other (reference section 5: #5).
      if (id == wire::channel::CloseOk::id) slot.awaits_close_ok = false;
      if (id == wire::channel::Close::id) connection.output.method(number, wire::channel::CloseOk{});
      return;
    }
    if (slot.ending) return;  // the client closed it and should be quiet
  }
  if (id == wire::channel::Open::id) return open_channel(connection, number, payload);
  if (id == wire::channel::CloseOk::id) return;
  fail_connection(connection, ReplyCode::channel_error, "expected 'channel.open'", id);
}

Step on_method(Connection& connection, uint16_t number, Bytes payload) {
  Channel* found = connection.channel(number);
  if (found == nullptr) [[unlikely]] {
    on_method_without_channel(connection, number, payload);
    return Step::taken;
  }
  Channel& channel = *found;
  const uint32_t id = wire::load_method_id(payload);
  if (channel.publishing.stage != Publishing::Stage::idle) [[unlikely]] {
    fail_connection(connection, ReplyCode::unexpected_frame,
                    channel.publishing.stage == Publishing::Stage::header
                        ? "expected content header for class 60, got a method frame instead"
                        : "expected content body, got a method frame instead",
                    id);
    return Step::taken;
  }
  switch (id) {
    case wire::basic::Publish::id: return on_publish(channel, payload);
    case wire::basic::Ack::id: return on_ack(channel, payload);
    case wire::basic::Nack::id: return on_nack(channel, payload);
    case wire::basic::Reject::id: return on_reject(channel, payload);
    case wire::basic::Get::id:
      if (auto method = wire::parse<wire::basic::Get>(payload)) return on_get(channel, *method);
      [[fallthrough]];
    default: return on_rare_method(channel, payload);
  }
}

// ---- content --------------------------------------------------------------------------------------------------------

// The frames of a channel that we or the client closed are nobody's business.
bool is_dropped(const Connection& connection, uint16_t number) {
  if (connection.stage == Stage::closing) return true;
  if (number >= connection.channels.size()) return false;
  const ChannelSlot& slot = connection.channels[number];
  return slot.awaits_close_ok || slot.ending;
}

// A content frame without a method that announces it.
void on_stray_content(Connection& connection, const Channel* channel, std::string_view what) {
  if (channel == nullptr) return fail_connection(connection, ReplyCode::channel_error, "expected 'channel.open'", 0);
  std::string text = "expected ";
  switch (channel->publishing.stage) {
    case Publishing::Stage::header: text += "content header for class 60"; break;
    case Publishing::Stage::body: text += "content body"; break;
    case Publishing::Stage::idle:
    case Publishing::Stage::waiting: text += "method frame"; break;
  }
  text += ", got ";
  text += what;
  text += " frame instead";
  fail_connection(connection, ReplyCode::unexpected_frame, text, 0);
}

// The channel that takes a body frame of that size; nullptr: nobody does, and why has been said.
Channel* body_channel(Connection& connection, uint16_t number, size_t size) {
  Channel* channel = connection.channel(number);
  if (channel == nullptr || channel->publishing.stage != Publishing::Stage::body) {
    if (!is_dropped(connection, number)) on_stray_content(connection, channel, "content body");
    return nullptr;
  }
  if (size > channel->publishing.builder->missing()) {
    fail_connection(connection, ReplyCode::frame_error, "content body is longer than its header announced",
                    wire::basic::Publish::id);
    return nullptr;
  }
  return channel;
}

}  // namespace

Step on_frame(Connection& connection, const wire::Frame& frame) {
  if (connection.stage != Stage::open) [[unlikely]] {
    // Before it is open there are only methods on channel 0; while it closes all others are dropped.
    if (frame.type == wire::FrameType::method && frame.channel == 0)
      on_connection_method(connection, frame.payload);
    else if (connection.before_open() && frame.type != wire::FrameType::heartbeat)
      fall_silent(connection, connection.shared->counters.refused_out_of_place);
    return Step::taken;
  }
  switch (frame.type) {
    case wire::FrameType::method:
      if (frame.channel != 0) [[likely]]
        return on_method(connection, frame.channel, frame.payload);
      on_connection_method(connection, frame.payload);
      return Step::taken;
    case wire::FrameType::header: {
      Channel* channel = connection.channel(frame.channel);
      if (channel != nullptr && channel->publishing.stage == Publishing::Stage::header) [[likely]]
        return on_content_header(*channel, frame.payload);
      if (!is_dropped(connection, frame.channel)) on_stray_content(connection, channel, "content header");
      return Step::taken;
    }
    case wire::FrameType::body:
      if (Channel* channel = body_channel(connection, frame.channel, frame.payload.size()))
        return on_body(*channel, frame.payload);
      return Step::taken;
    case wire::FrameType::heartbeat: return Step::taken;
  }
  return Step::taken;
}

void begin_body_frame(Connection& connection, uint16_t number, uint32_t size) {
  connection.shared->counters.frames_in.add();
  Input& input = connection.input;
  input.body_left = size;
  input.body_end_due = size == 0;
  input.body_channel = number;
  input.body_incarnation = 0;
  if (connection.before_open()) return fall_silent(connection, connection.shared->counters.refused_out_of_place);
  if (connection.stage != Stage::open) return;
  if (Channel* channel = body_channel(connection, number, size)) input.body_incarnation = channel->incarnation;
}

void notify_changed(Channel& channel) {
  notify(channel.connection, broker::ChannelChanged{channel.number, channel.prefetch, channel.prefetch_limit,
                                                    channel.confirms.selected(), channel.transaction != nullptr});
}

// ---- answers --------------------------------------------------------------------------------------------------------

void on_control_answer(Connection& connection, broker::Answer&& answer) {
  Pending pending = std::exchange(connection.pending, {});
  go_on(connection);
  switch (pending.what) {
    case Awaited::authenticate: return on_authenticated(connection, answer);
    case Awaited::open_connection: return on_opened(connection, answer);
    case Awaited::close_connection:
      connection.opened = false;
      connection.shared->closing.add(connection, connection.closing_listed);
      return;
    default: break;
  }
  if (connection.stage != Stage::open) return;  // it has failed, or was closed, in the meantime
  if (pending.what == Awaited::reauthenticate) {
    if (const auto* refusal = std::get_if<broker::Refusal>(&answer.body))
      return fail_connection(connection, ReplyCode::not_allowed, refusal->text, pending.method);
    connection.output.method(0, wire::connection::UpdateSecretOk{});
    return;
  }
  if (pending.what == Awaited::authorize || pending.what == Awaited::authorize_key) {
    connection.pending = std::move(pending);
    on_authorized(connection, answer);
    connection.pending = {};
    return;
  }
  if (pending.what == Awaited::unused_queue_deleted) {
    connection.pending = std::move(pending);
    return on_unused_queue_deleted(connection);
  }
  Channel* channel = connection.channel(pending.channel);
  if (channel != nullptr && channel->incarnation != pending.incarnation) channel = nullptr;
  if (const auto* refusal = std::get_if<broker::Refusal>(&answer.body))
    return refuse(connection, channel, *refusal, pending.method);
  if (channel == nullptr) return;
  if (pending.what == Awaited::impersonate) {
    connection.impersonates = true;
    return;
  }
  if (pending.what == Awaited::managed) return confirm_at_once(*channel);
  if (const auto* declared = std::get_if<broker::QueueDeclared>(&answer.body))
    return on_queue_declared(*channel, pending, *declared);
  if (const auto* deleted = std::get_if<broker::QueueDeleted>(&answer.body))
    return on_queue_deleted(*channel, pending, *deleted);
  on_done(*channel, pending);
}

}  // namespace talaria::amqp091::session
