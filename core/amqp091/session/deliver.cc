#include "core/amqp091/session/deliver.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/amqp091/session/connection.h"
#include "core/amqp091/session/reply_to.h"
#include "core/amqp091/session/rewriting.h"
#include "core/amqp091/wire/deliver.h"
#include "core/amqp091/wire/methods.h"

namespace talaria::amqp091::session {
namespace {

// Pieces of a shared body below this are copied after all: a slice costs more than they do.
constexpr size_t slice_min = 512;

// ---- any content, cold or large -------------------------------------------------------------------------------------

// `raw`: the properties, where they are not the message's own.
void write_header_frame(Connection& connection, uint16_t channel, const broker::Message& message, Bytes raw) {
  const size_t raw_size = raw.empty() ? message.properties_size() : raw.size();
  uint8_t fixed[wire::frame_header_size + wire::content_header_fixed_size];
  uint8_t* at = wire::store_frame_header(fixed, wire::FrameType::header, channel,
                                         static_cast<uint32_t>(wire::content_header_fixed_size + raw_size));
  base::store_be32(at, uint32_t{wire::basic_class_id} << 16);
  base::store_be64(at + 4, message.body_size());
  connection.output.write(fixed);
  if (raw.empty())
    for (broker::PayloadCursor cursor = message.properties(); !cursor.done();) connection.output.write(cursor.next());
  else
    connection.output.write(raw);
  connection.output.write({&wire::frame_end, 1});
}

// Of the next contiguous octets of a body as many as TCP takes: large pieces by reference, others, and those for which
// TCP has no reference left, as a copy of what there is room for. (Peers that do not read may hold all references, but
// never all memory.) 0: it takes none.
size_t write_piece(Connection& connection, broker::Message& message, Bytes piece) {
  Output& output = connection.output;
  if (message.body_size() >= connection.shared->config.share_body_from && piece.size() >= slice_min) {
    message.add_references();
    if (output.offer_shared(piece, message)) return piece.size();
    connection.shared->pool.release(&message);
  }
  piece = piece.first(std::min(piece.size(), output.room()));
  return output.offer(piece) ? piece.size() : 0;
}

// Body frames of at most the negotiated size, as far as TCP has room. True when all of them are written.
bool write_body_frames(Connection& connection, HeldContent& content) {
  Output& output = connection.output;
  while (!content.left.done() || content.end_due) {
    if (content.end_due) {
      if (!output.offer({&wire::frame_end, 1})) return false;
      content.end_due = false;
      continue;
    }
    if (output.room() == 0) return false;
    if (content.frame_left == 0) {
      const size_t size = std::min(content.left.remaining(), connection.octets_per_body_frame());
      uint8_t header[wire::frame_header_size];
      wire::store_frame_header(header, wire::FrameType::body, content.channel, static_cast<uint32_t>(size));
      if (!output.offer(header)) return false;
      content.frame_left = static_cast<uint32_t>(size);
    }
    broker::PayloadCursor after = content.left;
    const size_t written = write_piece(connection, *content.message, after.next(content.frame_left));
    if (written == 0) return false;
    content.left.next(written);
    content.frame_left -= static_cast<uint32_t>(written);
    content.end_due = content.frame_left == 0;
  }
  return true;
}

// Writes on, and keeps what TCP does not take. The reference that `content` holds goes with it.
void carry_on(Connection& connection, HeldContent content) {
  if (connection.output.stopped()) return connection.shared->pool.release(content.message);
  if (!write_body_frames(connection, content)) return connection.output.hold(content);
  connection.shared->pool.release(content.message);
  connection.output.measure();
}

size_t count_frames(const Connection& connection, const broker::Message& message) {
  const size_t most = connection.octets_per_body_frame();
  if (message.body_size() <= most) [[likely]]  // spares the division
    return message.body_size() == 0 ? 2 : 3;
  return 2 + (message.body_size() + most - 1) / most;
}

// With a header that says how often it came back, unless that makes the frame too long.
std::vector<uint8_t> properties_with_returns(const Connection& connection, const broker::Message& message,
                                             uint8_t returns) {
  Rewriting rewriting(message);
  rewriting.set_header("x-delivery-count", {int64_t{returns}});
  return rewriting.encoded(wire::properties_max(connection.frame_max));
}

// What follows a delivery's method, once that is written.
void write_content(Connection& connection, uint16_t channel, broker::Message& message, uint8_t returns = 0) {
  std::vector<uint8_t> changed;
  if (returns != 0) changed = properties_with_returns(connection, message, returns);
  write_header_frame(connection, channel, message, changed);
  if (message.body_size() == 0) return;
  message.add_references();
  carry_on(connection, HeldContent{&message, message.body(), 0, channel});
}

void write_delivery(Connection& connection, uint16_t channel, std::string_view consumer_tag, broker::Message& message,
                    uint64_t tag, const broker::Deliver& delivery) {
  wire::basic::Deliver method;
  method.consumer_tag = consumer_tag;
  method.delivery_tag = tag;
  method.redelivered = delivery.redelivered;
  method.exchange = message.exchange();
  method.routing_key = message.routing_key();
  connection.output.method_of_content(channel, method);
  write_content(connection, channel, message, delivery.returns);
  connection.shared->latency.record(message.received());
}

// ---- the hot way ----------------------------------------------------------------------------------------------------

// Encodes the whole delivery in place. False: it is too large for that, or there is no send memory.
bool encode(Connection& connection, const Consumer& consumer, const broker::Message& message, uint64_t tag,
            bool redelivered) {
  if (message.body_size() >= connection.shared->config.share_body_from) return false;
  Bytes body = message.whole_body();
  wire::Delivery delivery;
  delivery.delivery_tag = tag;
  delivery.redelivered = redelivered;
  delivery.exchange = message.exchange();
  delivery.routing_key = message.routing_key();
  delivery.raw_properties = message.whole_properties();
  if (body.size() != message.body_size() || delivery.raw_properties.empty()) [[unlikely]]
    return false;
  size_t size = consumer.frames.size(delivery, body.size(), connection.frame_max);
  if (size > tcp::reserve_max) [[unlikely]]
    return false;
  MutableBytes out = connection.output.reserve(size);
  if (out.empty()) [[unlikely]]
    return false;
  uint8_t* at = consumer.frames.store_front(out.data(), delivery, body.size());
  wire::store_body_frames(at, consumer.frames.channel(), body, connection.frame_max);
  connection.output.commit(size);
  return true;
}

// Its queue, when it is on another worker, will be told.
void note_passed(Consumer& consumer, const broker::Deliver& delivery) {
  if (!delivery.remote) [[likely]]
    return;
  consumer.passed++;
  consumer.channel.connection.shared->passed.add(consumer, consumer.passed_listed);
}

void write_or_hold(Connection& connection, Consumer& consumer, const broker::Deliver& delivery, uint64_t tag) {
  Shared& shared = *connection.shared;
  broker::Message& message = *delivery.message;
  if (delivery.returns == 0 && encode(connection, consumer, message, tag, delivery.redelivered)) [[likely]] {
    shared.latency.record(message.received());
    shared.pool.release(&message);
    return;
  }
  if (!connection.output.full()) {
    write_delivery(connection, consumer.channel.number, consumer.tag(), message, tag, delivery);
    shared.pool.release(&message);
  } else {
    connection.output.hold(HeldDelivery{delivery, tag, consumer.kept_tag()});
  }
}

// Takes its tag and goes out; unless nobody will acknowledge it, it is unsettled from here on. Returns its frames.
size_t hand_on(Consumer& consumer, const broker::Deliver& delivery) {
  Channel& channel = consumer.channel;
  Connection& connection = channel.connection;
  const uint64_t tag = ++channel.last_tag;
  if (delivery.entry) {
    channel.counted++;
    channel.unacked.push(tag, delivery.entry, delivery.queue, consumer.number);
    connection.info->unacknowledged.add();
    channel.counters->unacknowledged.add();
  }
  const size_t frames = count_frames(connection, *delivery.message);
  write_or_hold(connection, consumer, delivery, tag);
  return frames;
}

void trace(const Consumer& consumer, const broker::Deliver& delivery) {
  consumer.channel.connection.shared->traces.delivered(consumer.channel, consumer.queue_name, *delivery.message,
                                                       delivery.redelivered);
}

void count_handed_on(Connection& connection, uint64_t messages, uint64_t frames) {
  connection.shared->counters.messages_delivered.add(messages);
  connection.shared->counters.frames_out.add(frames);
  connection.info->messages_out.add(messages);
}

}  // namespace

// There is no queue where direct replies could wait for who does not read.
static bool too_many_replies(const Connection& connection) {
  const Output& output = connection.output;
  if (output.flowing()) return false;
  const broker::MessagePool& pool = connection.shared->pool;
  const broker::MessagePool::Marks& marks = pool.marks();
  // They alone must not make publishers wait.
  return output.held() >= replies_kept_max || pool.room() + 2 * marks.reserve < marks.high + marks.low;
}

void deliver(Shared& shared, Channel* channel, std::span<const broker::Deliver> run) {
  const uint32_t number = run.front().consumer.consumer;
  Consumer* consumer = channel != nullptr && !channel->ending ? channel->consumer(number) : nullptr;
  if (consumer == nullptr || channel->connection.output.stopped()) [[unlikely]] {
    shared.counters.events_stale.add(run.size());
    for (const broker::Deliver& delivery : run) give_back(shared, delivery);
    return;
  }
  if (!consumer->queue && too_many_replies(channel->connection)) [[unlikely]] {
    shared.counters.replies_dropped.add(run.size());
    for (const broker::Deliver& delivery : run) shared.pool.release(delivery.message);
    return;
  }
  // Of direct replies only the publishing is told.
  const bool traced = shared.engine.tracing() && consumer->queue;
  uint64_t messages = 0, frames = 0;
  for (const broker::Deliver& delivery : run) {
    note_passed(*consumer, delivery);
    const bool full = channel->prefetch_limit != 0 && channel->counted >= channel->prefetch_limit;
    if (delivery.entry && (full || !channel->parked.empty())) [[unlikely]] {
      channel->parked.push_back(delivery);
      continue;
    }
    if (traced) [[unlikely]]
      trace(*consumer, delivery);
    frames += hand_on(*consumer, delivery);
    messages++;
  }
  count_handed_on(channel->connection, messages, frames);
}

void deliver_parked(Channel& channel) {
  channel.connection.output.measure();
  if (channel.connection.output.full()) return;  // see resume_output
  while (!channel.parked.empty() && (channel.prefetch_limit == 0 || channel.counted < channel.prefetch_limit)) {
    const broker::Deliver delivery = channel.parked.front();
    channel.parked.pop_front();
    Consumer* consumer = channel.consumer(delivery.consumer.consumer);
    if (consumer == nullptr) {
      give_back(*channel.connection.shared, delivery);
      continue;
    }
    if (channel.connection.shared->engine.tracing()) [[unlikely]]
      trace(*consumer, delivery);
    count_handed_on(channel.connection, 1, hand_on(*consumer, delivery));
  }
  pause_if_full(channel.connection);
}

void give_back(Shared& shared, const broker::Deliver& delivery) {
  if (delivery.entry) {
    shared.engine.settle({delivery.queue, delivery.entry, broker::Outcome::requeued});
    shared.counters.deliveries_unsent.add();
  } else {
    shared.counters.deliveries_lost_no_ack.add();
  }
  shared.pool.release(delivery.message);
}

void update_pause(Consumer& consumer) {
  Connection& connection = consumer.channel.connection;
  const bool paused = connection.paused;
  if (paused == consumer.paused || consumer.state == Consumer::State::cancelling || !consumer.queue) return;
  consumer.paused = paused;
  connection.shared->engine.pause({.queue = consumer.queue, .consumer = consumer.address(), .paused = paused});
}

static void update_all_pauses(Connection& connection) {
  for (const ChannelSlot& slot : connection.channels)
    if (slot.channel)
      for (const auto& consumer : slot.channel->consumers)
        if (consumer) update_pause(*consumer);
}

void pause_if_full(Connection& connection) {
  Output& output = connection.output;
  output.settle();
  if (connection.paused || output.stopped()) return;
  if (output.near_full()) output.measure();
  if (!output.full()) return;
  connection.paused = true;
  connection.shared->counters.output_stalled.add();
  update_all_pauses(connection);
}

void on_full(Connection& connection) {
  pause_if_full(connection);
  if (!connection.output.flowing()) resume_output(connection);
}

void resume_output(Connection& connection) {
  Output& output = connection.output;
  if (!connection.tcp || !output.full()) return;
  flush_backlog(connection);
  if (!output.flowing() || output.room() == 0) return;
  output.reopen();
  connection.answer_waits = false;
  go_on(connection);
  if (std::exchange(connection.paused, false)) update_all_pauses(connection);
  Shared& shared = *connection.shared;
  for (const ChannelSlot& slot : connection.channels) {
    if (!slot.channel) continue;
    Channel& channel = *slot.channel;
    if (channel.confirms.due()) shared.confirming.add(channel, channel.confirming_listed);
    if (!channel.parked.empty()) shared.parked.add(channel, channel.parked_listed);
  }
}

void flush_backlog(Connection& connection) {
  Shared& shared = *connection.shared;
  Output& output = connection.output;
  if (output.flowing()) return;
  shared.latency.begin_run(shared.now);
  std::unique_ptr<Backlog> waiting = output.take_backlog();
  // From here on it flows, until TCP takes no more.
  auto write_on = [&]<class Held>(Held& held) {
    if constexpr (std::is_same_v<Held, HeldBytes>) {
      output.write_held(std::move(held));
    } else if constexpr (std::is_same_v<Held, HeldContent>) {
      carry_on(connection, held);
    } else {
      const broker::ChannelAddress& address = held.deliver.consumer.channel;
      Channel* channel = connection.channel(address.channel);
      // On a channel that ended meanwhile nothing is said; the message has gone back to its queue.
      if (channel != nullptr && channel->incarnation == address.incarnation)
        write_delivery(connection, address.channel, *held.consumer_tag, *held.deliver.message, held.tag, held.deliver);
      shared.pool.release(held.deliver.message);
    }
  };
  while (!waiting->empty() && output.flowing() && output.room() != 0) {
    BacklogItem item = waiting->pop_front();
    std::visit(write_on, item);
  }
  output.put_back(std::move(waiting));
  // Whoever waits to hang up until everything is said.
  if (output.flowing() && connection.hang_up) go_on(connection);
}

void report_passed(Consumer& consumer) {
  if (consumer.passed == 0) return;
  consumer.channel.connection.shared->engine.passed(
      {.queue = consumer.queue, .consumer = consumer.address(), .count = std::exchange(consumer.passed, 0)});
}

void write_return(Channel& channel, broker::Message& message, ReplyCode code) {
  Connection& connection = channel.connection;
  wire::basic::Return method;
  method.reply_code = static_cast<uint16_t>(code);
  method.reply_text = wire::name(code);
  method.exchange = message.exchange();
  method.routing_key = message.routing_key();
  connection.output.method_of_content(channel.number, method);
  write_content(connection, channel.number, message);
  connection.shared->counters.messages_returned.add();
  connection.shared->counters.frames_out.add(count_frames(connection, message));
}

void write_get_ok(Channel& channel, const broker::Got& got, uint64_t tag) {
  broker::Message& message = *got.message;
  Connection& connection = channel.connection;
  wire::basic::GetOk method;
  method.delivery_tag = tag;
  method.redelivered = got.redelivered;
  method.exchange = message.exchange();
  method.routing_key = message.routing_key();
  method.message_count = got.remaining;
  connection.output.method_of_content(channel.number, method);
  write_content(connection, channel.number, message, got.returns);
  connection.shared->counters.messages_got.add();
  connection.shared->counters.frames_out.add(count_frames(connection, message));
  connection.info->messages_out.add();
}

}  // namespace talaria::amqp091::session
