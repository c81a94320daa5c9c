#include "core/amqp091/session/reply_to.h"

#include <array>

#include "core/amqp091/session/closing.h"
#include "core/amqp091/session/consume.h"
#include "core/amqp091/session/deliver.h"
#include "core/amqp091/wire/methods.h"
#include "core/base/hash.h"

namespace talaria::amqp091::session {
namespace {

constexpr size_t names_size = 20;
constexpr size_t address_size = names_size + sizeof(uint64_t);
using Octets = std::array<uint8_t, address_size>;

constexpr std::string_view digits = "0123456789abcdef";

std::string_view suffix_of(std::string_view name) { return name.substr(reply_to_name.size() + 1); }

bool is_there(Shared& shared, const broker::ConsumerAddress& consumer) {
  const Channel* channel = find_open_channel(shared, consumer.channel);
  return channel != nullptr && channel->reply_consumer && channel->reply_consumer->number == consumer.consumer;
}

void answer(Channel& channel, std::string_view name, uint32_t method, bool no_wait, bool there) {
  if (!there) return fail_channel(channel, ReplyCode::not_found, no_such("queue", name, channel.connection), method);
  channel.last_queue = name;
  if (!no_wait)
    channel.connection.output.method(channel.number, wire::queue::DeclareOk{.queue = name, .consumer_count = 1});
}

}  // namespace

bool is_reply_address(std::string_view name) {
  return name.starts_with(reply_to_name) && name.size() > reply_to_name.size() && name[reply_to_name.size()] == '.';
}

std::string reply_address(const Shared& shared, const broker::ConsumerAddress& consumer) {
  Octets octets;
  const broker::ChannelAddress& channel = consumer.channel;
  base::store_be16(octets.data(), channel.worker);
  base::store_be16(octets.data() + 2, channel.channel);
  base::store_be32(octets.data() + 4, channel.session.slot);
  base::store_be32(octets.data() + 8, channel.session.generation);
  base::store_be32(octets.data() + 12, channel.incarnation);
  base::store_be32(octets.data() + 16, consumer.consumer);
  base::store_be64(octets.data() + names_size, base::siphash24(shared.key, base::Bytes(octets).first(names_size)));
  std::string name = std::string(reply_to_name) + ".";
  for (const uint8_t octet : octets) {
    name += digits[octet >> 4];
    name += digits[octet & 15];
  }
  return name;
}

std::optional<broker::ConsumerAddress> find_reply_consumer(Shared& shared, std::string_view address) {
  if (!is_reply_address(address) || suffix_of(address).size() != 2 * address_size) return std::nullopt;
  Octets octets{};
  for (size_t i = 0; i < 2 * address_size; i++) {
    const size_t digit = digits.find(suffix_of(address)[i]);
    if (digit == std::string_view::npos) return std::nullopt;
    octets[i / 2] = static_cast<uint8_t>(size_t{octets[i / 2]} << 4 | digit);
  }
  if (base::load_be64(octets.data() + names_size) != base::siphash24(shared.key, base::Bytes(octets).first(names_size)))
    return std::nullopt;
  broker::ConsumerAddress found;
  found.channel.worker = base::load_be16(octets.data());
  found.channel.channel = base::load_be16(octets.data() + 2);
  found.channel.session = {base::load_be32(octets.data() + 4), base::load_be32(octets.data() + 8)};
  found.channel.incarnation = base::load_be32(octets.data() + 12);
  found.consumer = base::load_be32(octets.data() + 16);
  if (found.channel.worker >= shared.engine.workers()) return std::nullopt;
  if (found.channel.worker == shared.self && !is_there(shared, found)) return std::nullopt;
  return found;
}

// ---- consuming ------------------------------------------------------------------------------------------------------

Step on_consume_replies(Channel& channel, const wire::basic::Consume& method) {
  Shared& shared = *channel.connection.shared;
  if (!may_add_consumer(channel, method)) return Step::taken;
  if (!method.no_ack || channel.reply_consumer) {
    fail_channel(channel, ReplyCode::precondition_failed,
                 method.no_ack ? "reply consumer already set" : "reply consumer cannot acknowledge", method.id);
    return Step::taken;
  }
  Consumer& consumer = channel.add_consumer(method.consumer_tag.empty() ? std::string_view(make_consumer_tag(shared))
                                                                        : method.consumer_tag);
  consumer.queue_name = reply_to_name;
  consumer.no_ack = true;
  consumer.state = Consumer::State::subscribed;
  channel.reply_consumer = {consumer.number, reply_address(shared, consumer.address())};
  if (!method.no_wait)
    channel.connection.output.method(channel.number, wire::basic::ConsumeOk{.consumer_tag = consumer.tag()});
  return Step::taken;
}

// ---- mandatory ones between workers ---------------------------------------------------------------------------------

void on_event(Shared& shared, const broker::MandatoryReply& event) {
  if (!is_there(shared, event.consumer))
    return shared.engine.tell(broker::ReplyTaken{event.publisher, event.message, event.sequence});
  Channel& channel = *find_open_channel(shared, event.consumer.channel);
  const broker::Deliver delivery{event.consumer, {}, {}, event.message, false, false, 0};
  shared.latency.begin_run(shared.now);
  channel.connection.output.measure();
  deliver(shared, &channel, {&delivery, 1});
  pause_if_full(channel.connection);
  shared.engine.tell(broker::ReplyTaken{event.publisher, nullptr, event.sequence});
}

void on_event(Shared& shared, const broker::ReplyTaken& event) {
  Channel* channel = find_open_channel(shared, event.publisher);
  Pending pending;
  if (channel != nullptr) {
    take_pending(channel->connection, Awaited::reply_taken, event.publisher, pending);
    if (event.message != nullptr) {
      shared.counters.messages_unroutable.add();
      write_return(*channel, *event.message, ReplyCode::no_route);
    }
    if (event.sequence != 0) {
      channel->confirms.stored(event.sequence, false);
      shared.confirming.add(*channel, channel->confirming_listed);
    }
  }
  if (event.message != nullptr) shared.pool.release(event.message);
}

// ---- is it there? ---------------------------------------------------------------------------------------------------

void on_declare_reply_address(Channel& channel, std::string_view name, uint32_t method, bool no_wait) {
  Shared& shared = *channel.connection.shared;
  if (name == reply_to_name) return answer(channel, name, method, no_wait, true);
  const auto consumer = find_reply_consumer(shared, name);
  if (!consumer || consumer->channel.worker == shared.self)
    return answer(channel, name, method, no_wait, consumer.has_value());
  channel.connection.pending = awaiting(Awaited::probed, channel, method, no_wait);
  channel.connection.pending.name = name;
  shared.engine.tell({*consumer, channel.address(), broker::Probe::Step::question});
}

void on_event(Shared& shared, const broker::Probe& event) {
  using Said = broker::Probe::Step;
  if (event.step == Said::question)
    return shared.engine.tell(
        {event.consumer, event.asker, is_there(shared, event.consumer) ? Said::there : Said::gone});
  Channel* channel = find_open_channel(shared, event.asker);
  Pending pending;
  if (channel == nullptr || !take_pending(channel->connection, Awaited::probed, event.asker, pending)) return;
  answer(*channel, pending.name, pending.method, pending.no_wait, event.step == Said::there);
}

}  // namespace talaria::amqp091::session
