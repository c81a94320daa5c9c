// What a client does, one action at a time; see also amqp_client_risks.cc.

#include <algorithm>

#include "tests/sim/amqp_client.h"

namespace talaria::sim {

namespace {

constexpr size_t backlog_max = 256 * 1024;
// Of a channel's open transaction, so that all of them together stay below what a worker keeps: beyond that it closes
// channels, and what was under way to them comes late.
constexpr size_t kept_bytes_max = 128 * 1024;
constexpr size_t private_queues_max = 6;

Buffer draw_body(Random& random, size_t size) {
  Buffer body(size);
  const auto seed = static_cast<uint8_t>(random.u64());
  for (size_t i = 0; i < size; i++) body[i] = static_cast<uint8_t>((i * 167 + i / 251) ^ seed);
  return body;
}

}  // namespace

void AmqpClient::act(Time now) {
  if (random_.chance(plan_.death)) return die(random_.chance(0.5) ? Death::reset : Death::finish);
  if (random_.chance(plan_.offence)) return offend();
  if (random_.chance(plan_.death)) return close_connection();
  if (random_.chance(plan_.stop_reading)) return connection_->stop_reading_until(now + random_.between(1ms, 2s));
  if (random_.chance(plan_.new_secrets)) return connection_->update_secret();
  if (channels_.empty() || (channels_.size() < plan_.channels_max && random_.chance(0.1))) return open_channel();
  auto chosen = channels_.begin();
  std::advance(chosen, static_cast<ptrdiff_t>(random_.below(channels_.size())));
  if (closing_ || chosen->second.phase != Channel::Phase::open) return;
  actions_left_--;
  act_on(chosen->second);
}

void AmqpClient::act_on(Channel& channel) {
  const uint64_t dice = random_.below(100);
  if (dice < plan_.publish) {
    for (uint64_t i = 1 + random_.skewed(plan_.burst_max - 1); i > 0; i--)
      if (channel.kept.bytes < kept_bytes_max) publish(channel);
    return;
  }
  if (!channel.held.empty() && !channel.recovering && random_.chance(0.7)) return settle(channel);
  if (channel.pending) return;  // one question at a time
  if (random_.chance(plan_.signed_otherwise)) return sign_otherwise(channel);
  if (random_.chance(plan_.requests) && !awaits_replies(channel)) return await_replies(channel);
  if (random_.chance(plan_.replies / 8)) return look_for_replier(channel);
  if (channel.transactional && random_.chance(0.4)) return random_.chance(0.75) ? commit(channel) : roll_back(channel);
  switch (random_.below(plan_.consume + 20)) {
    case 0: return get(channel);
    case 1: return get(channel);
    case 2:
      return request(channel, Qos{static_cast<uint16_t>(random_.below(20)), random_.chance(0.3)}, method::basic_qos_ok);
    case 3:
      if (!channel.consumers.empty()) cancel(channel, channel.consumers.begin()->first);
      return;
    case 4: return recover(channel);
    case 5: return look(channel);
    case 6: return provoke(channel);
    case 7: return close_channel(channel);
    case 8: return random_.chance(0.1) ? purge(channel) : look(channel);
    default: break;
  }
  if (plan_.changes_topology && random_.chance(0.3)) {
    switch (random_.below(4)) {
      case 0: return bind(channel);
      case 1: return unbind(channel);
      case 2: return declare_private_queue(channel);
      default: return delete_private_queue(channel);
    }
  }
  if (channel.consumers.size() < 3) consume(channel);
}

void AmqpClient::request(Channel& channel, const Command& command, uint32_t reply,
                         std::function<void(const Reply&, base::Bytes, base::Bytes)> then) {
  CHECK(!channel.pending);
  world_.trace("%s: channel %u: asks, and awaits %u.%u", plan_.name.c_str(), channel.number, reply >> 16,
               reply & 65535);
  channel.pending = Pending{.reply = reply, .behind = model_.messages(), .then = std::move(then)};
  connection_->send(channel.number, command);
}

void AmqpClient::request_to_read(Channel& channel, const std::string& queue, const Command& command, uint32_t reply,
                                 std::function<void(const Reply&, base::Bytes, base::Bytes)> then) {
  request(channel, command, reply, std::move(then));
  channel.pending->reads = true;
  model_.asks_to_read(channel.identity, channel.holders, plan_.options.user, queue);
}

void AmqpClient::open_channel() {
  uint16_t number = 1;
  while (channels_.contains(number)) number++;
  Channel& channel = channels_[number];
  channel.number = number;
  channel.identity = model_.new_identity();
  channel.opened = world_.now();
  const uint64_t mode = random_.below(10);
  request(channel, OpenChannel{}, method::channel_open_ok, [this, number, mode](const Reply&, auto, auto) {
    Channel& opened = channels_.at(number);
    opened.phase = Channel::Phase::open;
    if (mode < 2) {
      opened.transactional = true;
      return request(opened, SelectTransactions{}, method::tx_select_ok);
    }
    if (mode < 5) return;
    opened.confirms = true;
    request(opened, SelectConfirms{}, method::confirm_select_ok);
  });
}

std::string AmqpClient::draw_queue() {
  std::vector<std::string> candidates = topology_.queues;
  for (const PrivateQueue& queue : private_queues_)
    if (queue.declared && !queue.deleting) candidates.push_back(queue.name);
  return random_.pick(candidates);
}

// ---- publishing -----------------------------------------------------------------------------------------------------

// What consumers get: the delay, if it is one, with its sign turned, and nothing of BCC.
Buffer AmqpClient::arriving(MessageProperties properties, bool delayed) const {
  if (delayed) properties.delay = -*properties.delay;
  if (properties.blind_copies && !properties.headers) properties.headers.emplace();
  properties.blind_copies.reset();
  Buffer frame;
  return plan_.dialect->write_header(frame, 1, 0, properties);
}

uint64_t AmqpClient::publish(Channel& channel, const std::string& signer) {
  if (connection_->backlog() > backlog_max) return 0;
  Model::Published message;
  message.channel = channel.identity;
  std::optional<int32_t> delay;
  bool deduplicates = false;
  const bool replies = !topology_.addresses.empty() && random_.chance(plan_.replies);
  if (replies) {
    message.key = random_.pick(topology_.addresses);
    // One that nobody was given.
    if (random_.chance(0.1)) message.key.back() = message.key.back() == '0' ? '1' : '0';
  } else if (random_.chance(0.25)) {
    const uint64_t kind = random_.below(10);
    message.key = kind == 0                                       ? "nowhere"
                  : kind < 3 && !topology_.private_queues.empty() ? random_.pick(topology_.private_queues)
                                                                  : random_.pick(topology_.queues);
  } else {
    const TopologyExchange& exchange = random_.pick(topology_.exchanges);
    if (exchange.remembers() && channel.transactional) return 0;  // it takes no part
    deduplicates = exchange.deduplicates;
    message.exchange = exchange.name;
    message.key = exchange.hashes() ? "k" + std::to_string(random_.below(topology_.hashed_keys)) : draw_key(random_);
    // Elsewhere it is a header like any other.
    if (random_.chance(exchange.delays ? 0.7 : 0.02)) delay = static_cast<int32_t>(random_.between(1, 1500));
    if (delay && exchange.delays) message.delay = std::chrono::milliseconds(*delay);
  }
  message.mandatory = random_.chance(0.3);
  MessageProperties properties;
  properties.message_id = plan_.name + "/" + std::to_string(++message_count_);
  if (random_.chance(0.6)) {
    message.headers = draw_headers(random_);
    if (deduplicates)
      message.headers.emplace_back("x-deduplication-header", "v" + std::to_string(random_.below(exchange_values)));
    else if (topology_.deduplicates && random_.chance(0.5))
      message.headers.emplace_back("x-deduplication-header", "v" + std::to_string(random_.below(deduplication_values)));
    properties.headers = message.headers;
  }
  properties.delay = delay;
  if (!signer.empty())
    properties.user_id = signer;
  else if (random_.chance(plan_.signed_own))
    properties.user_id = plan_.options.user;
  if (awaits_replies(channel) && random_.chance(plan_.requests)) {
    for (const auto& [tag, consumer] : channel.consumers)
      if (consumer.replies) message.replies_to = consumer.queue;
    properties.reply_to = reply_queue;
  }
  if (!replies && random_.chance(topology_.copies)) {
    message.copies = draw_more_keys(random_, topology_);
    if (random_.chance(0.5)) message.blind_copies = draw_more_keys(random_, topology_);
    if (topology_.plant != Plant::no_copies) {
      if (!message.copies.empty() || random_.chance(0.1)) properties.copies = message.copies;
      if (!message.blind_copies.empty() || random_.chance(0.1)) properties.blind_copies = message.blind_copies;
    }
  }
  if (random_.chance(0.5)) properties.content_type = random_.chance(0.5) ? "text/plain" : "";
  if (random_.chance(0.5)) properties.delivery_mode = static_cast<uint8_t>(random_.between(1, 2));
  if (random_.chance(0.05)) {
    const uint64_t milliseconds = random_.below(1000);
    message.expiration = std::chrono::milliseconds(milliseconds);
    properties.expiration = std::to_string(milliseconds);
  }
  if (random_.chance(0.3)) {
    message.priority = static_cast<uint8_t>(random_.below(12));
    properties.priority = message.priority;
  }
  message.id = *properties.message_id;
  message.body = draw_body(random_, random_.chance(0.1) ? 0 : random_.skewed(plan_.body_max));
  const Publish method{message.exchange, message.key, message.mandatory};
  const bool delayed = message.delay.has_value();
  if (delayed || properties.blind_copies) message.arriving = arriving(properties, delayed);
  if (message.delay && topology_.plant == Plant::hasty_delay) properties.delay = *delay / 2;
  message.properties = connection_->publish(channel.number, method, properties, message.body);
  if (message.delay && topology_.plant == Plant::hasty_delay) message.arriving = arriving(properties, delayed);
  message.kept = channel.transactional;
  const size_t bytes = message.body.size();
  const std::string where = "'" + message.exchange + "' '" + message.key + "'";
  const uint64_t number = model_.published(std::move(message));
  world_.trace("%s: channel %u: publishes %zu bytes to %s as %s, message %lu", plan_.name.c_str(), channel.number,
               bytes, where.c_str(), properties.message_id->c_str(), number);
  if (channel.transactional) {
    channel.kept.bytes += bytes;
    channel.kept.messages.push_back(number);
    return number;
  }
  channel.unaccepted.push_back(number);
  if (channel.confirms) channel.unconfirmed[++channel.published] = number;
  return number;
}

// ---- settling -------------------------------------------------------------------------------------------------------

// Nobody is lazy any more, from now on.
void AmqpClient::keep_no_longer(Channel& channel) {
  for (auto& [tag, consumer] : channel.consumers) consumer.kept_until = std::min(consumer.kept_until, world_.now());
  channel.kept_long.clear();
}

void AmqpClient::settle(Channel& channel) {
  if (!channel.kept_long.empty()) {
    std::vector<uint64_t> others;
    for (const auto& [tag, held] : channel.held)
      if (!channel.kept_long.contains(tag)) others.push_back(tag);
    if (!others.empty()) settle_up_to(channel, random_.pick(others), false, std::nullopt);
    return;
  }
  auto chosen = channel.held.begin();
  if (random_.chance(0.4)) std::advance(chosen, static_cast<ptrdiff_t>(random_.below(channel.held.size())));
  const uint64_t tag = chosen->first;
  const uint64_t dice = random_.below(100);
  if (dice < 60) return settle_up_to(channel, tag, false, std::nullopt);
  // Tag 0 is also what is on the way: to be used only when nothing is.
  const bool quiet = channel.consumers.empty() && !channel.pending;
  if (dice < 75) return settle_up_to(channel, quiet && random_.chance(0.3) ? 0 : tag, true, std::nullopt);
  const bool requeue = random_.chance(0.7);
  if (dice < 90) {
    world_.trace("%s: channel %u: %s of tag %lu", plan_.name.c_str(), channel.number, requeue ? "requeue" : "reject",
                 tag);
    connection_->send(channel.number, Reject{tag, requeue});
    const Held held = channel.held.extract(tag).mapped();
    return settle_one(channel, tag, held, requeue);
  }
  settle_up_to(channel, tag, random_.chance(0.5), requeue);
}

// Acknowledges, or, with `requeue` set, gives back (true) or drops (false). Tag 0 with `multiple` is all of them.
void AmqpClient::settle_up_to(Channel& channel, uint64_t tag, bool multiple, std::optional<bool> requeue) {
  world_.trace("%s: channel %u: %s of tag %lu%s", plan_.name.c_str(), channel.number,
               !requeue   ? "ack"
               : *requeue ? "nack with requeue"
                          : "nack",
               tag, multiple ? " and all before" : "");
  if (requeue)
    connection_->send(channel.number, Nack{tag, multiple, *requeue});
  else
    connection_->send(channel.number, Ack{tag, multiple});
  auto first = multiple ? channel.held.begin() : channel.held.find(tag);
  const auto last = tag == 0 ? channel.held.end() : channel.held.upper_bound(tag);
  for (; first != last; first = channel.held.erase(first)) settle_one(channel, first->first, first->second, requeue);
}

void AmqpClient::settle_one(Channel& channel, uint64_t tag, const Held& held, std::optional<bool> requeue) {
  if (channel.transactional)
    channel.kept.settlements.push_back({tag, held, requeue});
  else if (requeue.value_or(false))
    model_.requeued(held);
  else if (requeue)
    model_.rejected(held, channel.identity);
  else
    model_.settled(held, channel.identity);
}

// ---- transactions ---------------------------------------------------------------------------------------------------

void AmqpClient::commit(Channel& channel) {
  world_.trace("%s: channel %u: commit of %zu messages, %zu settlements", plan_.name.c_str(), channel.number,
               channel.kept.messages.size(), channel.kept.settlements.size());
  channel.under_way = std::exchange(channel.kept, {});
  channel.committing = true;
  bool may_be_refused = false;
  for (const uint64_t number : channel.under_way.messages) may_be_refused |= model_.may_be_refused(number);
  for (const Channel::Settlement& one : channel.under_way.settlements)
    if (one.requeue.value_or(false))
      model_.requeued(one.held);
    else
      model_.perhaps_settled(one.held, channel.identity, one.requeue.has_value());
  model_.commit_sent(channel.under_way.messages);
  if (may_be_refused) {
    // It may end the channel. It is the channel's last work, then its end is nobody's surprise.
    stop_consuming(channel);
    let_go(channel);
    channel.phase = Channel::Phase::failing;
    channel.expected_error = 406;
  }
  request(channel, Commit{}, method::tx_commit_ok,
          [this, number = channel.number](const Reply&, auto, auto) { on_committed(channels_.at(number)); });
}

void AmqpClient::on_committed(Channel& channel) {
  channel.committing = false;
  for (const Channel::Settlement& one : channel.under_way.settlements)
    if (!one.requeue.value_or(false)) model_.surely_settled(one.held, channel.identity);
  for (const uint64_t number : channel.under_way.messages) model_.accepted(number, true);
  channel.under_way = {};
  if (channel.phase != Channel::Phase::failing) return;
  channel.expected_error = 0;
  close_channel(channel);
}

void AmqpClient::on_commit_refused(Channel& channel, const Reply& reply) {
  if (reply.text.find("transaction refused") == std::string::npos)
    fail("%s: a commit was answered with %s", plan_.name.c_str(), reply.text.c_str());
  model_.commit_refused(channel.under_way.messages);
  for (const Channel::Settlement& one : channel.under_way.settlements)
    if (!one.requeue.value_or(false)) model_.not_settled(one.held, channel.identity);
  channel.under_way = {};
}

void AmqpClient::roll_back(Channel& channel) {
  world_.trace("%s: channel %u: rollback", plan_.name.c_str(), channel.number);
  for (const Channel::Settlement& settlement : channel.kept.settlements) channel.held[settlement.tag] = settlement.held;
  channel.kept = {};
  request(channel, Rollback{}, method::tx_rollback_ok);
}

void AmqpClient::recover(Channel& channel) {
  let_go(channel);
  channel.recovering = true;
  request(channel, Recover{}, method::basic_recover_ok, [this, number = channel.number](const Reply&, auto, auto) {
    Channel& recovered = channels_.at(number);
    recovered.recovering = false;
    recovered.held.clear();
  });
}

// ---- consuming ------------------------------------------------------------------------------------------------------

// One queue's timeout ends the channel, and takes back what it holds of all queues.
void AmqpClient::begin_to_take(Channel& channel, const std::string& queue, Identity holder) {
  model_.began(holder, queue);
  channel.holders.insert(holder);
  const auto traits = topology_.traits.find(queue);
  channel.has_timeout |= traits != topology_.traits.end() && traits->second.consumer_timeout.has_value();
  if (!channel.has_timeout && plan_.options.heartbeat == 0) return;
  for (const Identity one : channel.holders) model_.may_be_cut_off(one);
}

void AmqpClient::consume(Channel& channel) {
  Consumer consumer;
  consumer.queue = draw_queue();
  consumer.identity = model_.new_identity();
  consumer.no_ack = random_.chance(plan_.no_ack);
  consumer.asked = world_.now();
  const auto traits = topology_.traits.find(consumer.queue);
  if (traits != topology_.traits.end() && traits->second.pace) consumer.lazy = !consumer.no_ack && random_.chance(0.5);
  const std::string tag = "c" + std::to_string(consumer.identity);
  channel.consumers[tag] = consumer;
  channel.queues.insert(consumer.queue);
  begin_to_take(channel, consumer.queue, consumer.identity);
  model_.consume_sent(tag, consumer.queue, consumer.identity, plan_.options.user);
  request_to_read(channel, consumer.queue, Consume{.queue = consumer.queue, .tag = tag, .no_ack = consumer.no_ack},
                  method::basic_consume_ok, [this, number = channel.number](const Reply& reply, auto, auto) {
                    auto& consumers = channels_.at(number).consumers;
                    const auto found = consumers.find(reply.name);
                    if (found == consumers.end()) fail("%s: consume-ok for %s", plan_.name.c_str(), reply.name.c_str());
                    found->second.confirmed = true;
                    model_.consuming(reply.name);
                  });
}

void AmqpClient::cancel(Channel& channel, const std::string& tag) {
  channel.consumers.at(tag).cancelling = true;
  leave(tag, channel.consumers.at(tag));
  channel.consumers.at(tag).kept_until = std::min(channel.consumers.at(tag).kept_until, world_.now());
  // What waited for a channel-wide prefetch goes back to its queue.
  if (!channel.consumers.at(tag).no_ack) model_.may_return_unseen(channel.consumers.at(tag).queue);
  request(
      channel, Cancel{tag}, method::basic_cancel_ok,
      [this, number = channel.number](const Reply& reply, auto, auto) { on_cancel_ok(channels_.at(number), reply); });
}

void AmqpClient::get(Channel& channel) {
  channel.getting = draw_queue();
  channel.queues.insert(channel.getting);
  channel.getting_no_ack = random_.chance(plan_.no_ack);
  begin_to_take(channel, channel.getting, channel.identity);
  request_to_read(channel, channel.getting, Get{channel.getting, channel.getting_no_ack}, method::basic_get_ok,
                  [this, number = channel.number](const Reply& reply, base::Bytes properties, base::Bytes body) {
                    on_got(channels_.at(number), reply, properties, body);
                  });
  channel.pending->other_reply = method::basic_get_empty;
}

// ---- topology -------------------------------------------------------------------------------------------------------

void AmqpClient::bind(Channel& channel) {
  const ModelBinding binding = draw_binding(random_, random_.pick(topology_.exchanges), draw_queue());
  if (!topology_.claim(binding)) return;
  const size_t index = model_.add_binding_sent(binding);
  binding_specs_[index] = binding;
  request(channel, BindQueue{binding.destination, binding.source, binding.key, binding.arguments, false},
          method::queue_bind_ok, [this, index](const Reply&, auto, auto) {
            model_.binding_added(index);
            my_bindings_.push_back(index);
          });
}

void AmqpClient::unbind(Channel& channel) {
  if (my_bindings_.empty()) return;
  const size_t index = my_bindings_.back();
  my_bindings_.pop_back();
  const ModelBinding binding = binding_specs_.at(index);
  model_.remove_binding_sent(index);
  request(channel, BindQueue{binding.destination, binding.source, binding.key, binding.arguments, true},
          method::queue_unbind_ok, [this, index, binding](const Reply&, auto, auto) {
            model_.binding_removed(index);
            topology_.give_up(binding);
          });
}

void AmqpClient::declare_private_queue(Channel& channel) {
  if (private_queues_.size() >= private_queues_max) return;
  PrivateQueue queue;
  queue.exclusive = random_.chance(0.5);
  queue.name = (queue.exclusive ? "x." : "t.") + std::to_string(model_.new_identity());
  private_queues_.push_back(queue);
  topology_.private_queues.push_back(queue.name);
  model_.add_queue_sent(queue.name);
  request(channel, DeclareQueue{.name = queue.name, .exclusive = queue.exclusive}, method::queue_declare_ok,
          [this, name = queue.name](const Reply& reply, auto, auto) {
            if (reply.name != name) fail("%s: declare-ok for '%s'", plan_.name.c_str(), reply.name.c_str());
            model_.queue_added(name);
            for (PrivateQueue& mine : private_queues_)
              if (mine.name == name) mine.declared = true;
          });
}

void AmqpClient::delete_private_queue(Channel& channel) {
  for (PrivateQueue& queue : private_queues_) {
    if (queue.exclusive || !queue.declared || queue.deleting) continue;
    // Nobody else knows the queue well enough to be using it; this client's own channels are asked.
    bool busy = false;
    for (const auto& [number, other] : channels_) {
      busy |= other.pending.has_value();
      for (const auto& [tag, consumer] : other.consumers) busy |= consumer.queue == queue.name && consumer.cancelling;
    }
    if (busy) return;
    queue.deleting = true;
    model_.remove_queue_sent(queue.name);
    for (const auto& [number, other] : channels_)
      for (const auto& [tag, consumer] : other.consumers)
        if (consumer.queue == queue.name) model_.cancel_sent(tag);
    request(channel, DeleteQueue{queue.name}, method::queue_delete_ok,
            [this, name = queue.name](const Reply&, auto, auto) { model_.queue_removed(name); });
    return;
  }
}

void AmqpClient::purge(Channel& channel) {
  const std::string queue = draw_queue();
  model_.purge_sent(queue);
  request_to_read(channel, queue, PurgeQueue{queue}, method::queue_purge_ok,
                  [this, queue](const Reply&, auto, auto) { model_.purged(queue); });
}

// A passive declare, or the same declare once more: both must find what is there.
void AmqpClient::look(Channel& channel) {
  const std::string queue = random_.pick(topology_.queues);
  DeclareQueue declare = topology_.declaration(queue);
  declare.passive = random_.chance(0.5);
  request(channel, declare, method::queue_declare_ok,
          [this, queue, asked = world_.now()](const Reply& reply, auto, auto) {
            if (reply.name != queue) fail("%s: declare-ok for '%s'", plan_.name.c_str(), reply.name.c_str());
            model_.counted(queue, reply.messages, asked);
          });
}

// ---- errors and ends ------------------------------------------------------------------------------------------------

void AmqpClient::provoke(Channel& channel) {
  stop_consuming(channel);
  let_go(channel);
  drop_transaction(channel);
  channel.phase = Channel::Phase::failing;
  const OffendedChannel offended{channel.number,   channel.delivered,  channel.transactional,
                                 channel.confirms, plan_.options.user, awaits_replies(channel)};
  const Offence offence = draw_offence(random_, offended, topology_);
  world_.trace("%s: channel %u provokes %u %s", plan_.name.c_str(), channel.number, offence.code, offence.text.c_str());
  channel.expected_error = offence.code;
  channel.expected_text = offence.text;
  connection_->send_raw(channel.number, offence.frames);
}

void AmqpClient::close_channel(Channel& channel) {
  stop_consuming(channel);
  let_go(channel);
  drop_transaction(channel);
  channel.phase = Channel::Phase::closing;
  connection_->send(channel.number, CloseChannel{});
}

}  // namespace talaria::sim
