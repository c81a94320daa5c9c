#include "tests/sim/amqp_client.h"

#include <algorithm>

namespace talaria::sim {

namespace {

constexpr Duration reconnect_pause_max = 500ms;
constexpr size_t settlements_per_turn = 64;
// On which an offence opens a channel, if it does.
constexpr uint16_t offence_channel = 77;

}  // namespace

AmqpClient::AmqpClient(World& world, Random random, Model& model, Topology& topology, ClientPlan plan, Connect connect,
                       Time start)
    : world_(world),
      random_(random),
      model_(model),
      topology_(topology),
      plan_(std::move(plan)),
      connect_(std::move(connect)),
      next_action_(start),
      actions_left_(plan_.actions) {}

bool AmqpClient::poll(Time now) {
  for (ByteStream* stream : left_)
    if (const size_t unread = stream->input().size(); unread != 0) stream->consume(unread);
  std::erase_if(left_, [](const ByteStream* stream) { return stream->state() == ByteStream::State::closed; });
  if (finished_) return false;
  bool progress = connection_ && connection_->poll(now);
  if (!connection_) {
    if (finishing_) {
      finished_ = true;
      return true;
    }
    if (now < next_action_) return progress;
    connect(now);
    return true;
  }
  if (!connection_->is_open()) return progress;
  if (finishing_) return wind_up() || progress;
  if (now < next_action_) return progress;
  next_action_ = now + random_.between(1us, plan_.interval_max);
  if (actions_left_ == 0) {
    next_action_ = base::never;
    return progress;
  }
  act(now);
  // What was written goes out in this turn.
  if (connection_) connection_->poll(now);
  return true;
}

Time AmqpClient::next_deadline() const {
  if (finished_) return base::never;
  const Time connection = connection_ ? connection_->next_deadline() : base::never;
  const bool waits_for_time = !connection_ || (connection_->is_open() && !finishing_);
  return waits_for_time ? std::min(connection, next_action_) : connection;
}

void AmqpClient::connect(Time now) {
  ByteStream* stream = connect_();
  if (!stream) {
    next_action_ = now + reconnect_pause_max;
    return;
  }
  opened_ = closing_ = false;
  connection_ = std::make_unique<AmqpConnection>(world_, random_, *stream, *plan_.dialect, *this, plan_.options);
}

// Step by step towards the end; true if a step was made.
bool AmqpClient::wind_up() {
  if (closing_) return false;
  bool everything_quiet = true, progress = false;
  for (auto& [number, channel] : channels_) {
    if (channel.phase != Channel::Phase::open || channel.recovering) {
      everything_quiet = false;
      continue;
    }
    keep_no_longer(channel);
    for (size_t i = 0; i < settlements_per_turn && !channel.held.empty(); i++) {
      settle_up_to(channel, channel.held.begin()->first, false, std::nullopt);
      progress = true;
    }
    if (!channel.pending && !channel.consumers.empty()) {
      cancel(channel, channel.consumers.begin()->first);
      progress = true;
    }
    if (!channel.pending && channel.held.empty() && !channel.kept.empty()) {
      commit(channel);
      progress = true;
    }
    everything_quiet &= channel.held.empty() && channel.kept.empty() && channel.consumers.empty() &&
                        channel.unconfirmed.empty() && !channel.pending;
  }
  if (everything_quiet) {
    close_connection();
    progress = true;
  }
  if (progress) connection_->poll(world_.now());
  return progress;
}

std::string AmqpClient::describe() const {
  std::string text = plan_.name + ": ";
  if (finished_) return text + "finished";
  if (!connection_) return text + "not connected";
  if (!connection_->is_open()) return text + (closing_ ? "closing" : "opening");
  text += std::to_string(connection_->backlog()) + " bytes to write";
  for (const auto& [number, channel] : channels_)
    text += "; channel " + std::to_string(number) + ": phase " + std::to_string(static_cast<int>(channel.phase)) +
            ", " + std::to_string(channel.unconfirmed.size()) + " unconfirmed, " + std::to_string(channel.held.size()) +
            " held, " + std::to_string(channel.consumers.size()) + " consumers" + (channel.pending ? ", awaits " : "") +
            (channel.pending
                 ? std::to_string(channel.pending->reply >> 16) + "." + std::to_string(channel.pending->reply & 65535)
                 : "");
  return text;
}

// ---- what comes -----------------------------------------------------------------------------------------------------

void AmqpClient::on_open() {
  opened_ = true;
  model_.connected();
  world_.trace("%s is connected", plan_.name.c_str());
}

void AmqpClient::on_reply(uint16_t number, const Reply& reply, base::Bytes properties, base::Bytes body) {
  const auto found = channels_.find(number);
  if (offence_ && number == offence_channel) return;
  if (found == channels_.end())
    fail("%s: method %08x on channel %u, which is closed", plan_.name.c_str(), reply.id, number);
  Channel& channel = found->second;
  switch (reply.id) {
    case method::basic_deliver: return on_delivery(channel, reply, properties, body);
    case method::basic_return: return model_.returned(channel.identity, reply, properties, body);
    case method::basic_ack:
    case method::basic_nack: return on_confirm(channel, reply);
    case method::basic_cancel: return on_cancelled(channel, reply);
    case method::channel_close: return on_channel_error(channel, reply);
    case method::channel_close_ok:
      if (channel.phase != Channel::Phase::closing) break;
      if (!channel.ended) end_channel(channel, true);
      channels_.erase(found);
      return;
    default: break;
  }
  if (!channel.pending || (reply.id != channel.pending->reply && reply.id != channel.pending->other_reply))
    fail("%s: method %u.%u on channel %u answers nothing", plan_.name.c_str(), reply.id >> 16, reply.id & 65535,
         number);
  const Pending pending = std::move(*channel.pending);
  channel.pending.reset();
  if (pending.reads) model_.was_let(channel.identity);
  if (pending.then) pending.then(reply, properties, body);
}

void AmqpClient::on_delivery(Channel& channel, const Reply& reply, base::Bytes properties, base::Bytes body) {
  const auto found = channel.consumers.find(reply.name);
  if (found == channel.consumers.end())
    fail("%s: a delivery for consumer %s, which does not exist", plan_.name.c_str(), reply.name.c_str());
  const Consumer& consumer = found->second;
  if (!consumer.confirmed) fail("%s: a delivery for %s before consume-ok", plan_.name.c_str(), reply.name.c_str());
  if (reply.tag != ++channel.delivered)
    fail("%s: delivery tag %lu on channel %u, %lu was next", plan_.name.c_str(), reply.tag, channel.number,
         channel.delivered);
  const bool ending = channel.recovering || channel.phase == Channel::Phase::closing ||
                      channel.phase == Channel::Phase::failing || closing_;
  if (ending && !consumer.no_ack) {
    if (channel.recovering && channel.phase == Channel::Phase::open) channel.held[reply.tag] = {};
    return glimpse(channel, consumer.queue, properties, body);
  }
  const Held held = model_.delivered(consumer.queue, consumer.identity, consumer.no_ack, reply, properties, body);
  world_.trace("%s: message %lu from %s, tag %lu%s", plan_.name.c_str(), held.message, consumer.queue.c_str(),
               reply.tag, reply.redelivered ? ", redelivered" : "");
  if (!held.address.empty()) topology_.learn_address(held.address);
  if (consumer.no_ack) return;
  channel.held[reply.tag] = held;
  if (!consumer.lazy) return;
  channel.kept_long.insert(reply.tag);
  if (++found->second.kept == topology_.traits.at(consumer.queue).pace->wanted())
    found->second.kept_enough = world_.now();
}

void AmqpClient::on_got(Channel& channel, const Reply& reply, base::Bytes properties, base::Bytes body) {
  const std::string queue = std::exchange(channel.getting, "");
  if (reply.id == method::basic_get_empty) return;
  if (reply.tag != ++channel.delivered)
    fail("%s: get-ok with tag %lu on channel %u, %lu was next", plan_.name.c_str(), reply.tag, channel.number,
         channel.delivered);
  if (!channel.getting_no_ack && (channel.phase != Channel::Phase::open || closing_))
    return glimpse(channel, queue, properties, body);
  const Held held = model_.delivered(queue, channel.identity, channel.getting_no_ack, reply, properties, body);
  world_.trace("%s: got message %lu from %s, tag %lu", plan_.name.c_str(), held.message, queue.c_str(), reply.tag);
  if (!held.address.empty()) topology_.learn_address(held.address);
  if (!channel.getting_no_ack) channel.held[reply.tag] = held;
}

void AmqpClient::glimpse(Channel& channel, const std::string& queue, base::Bytes properties, base::Bytes body) {
  channel.glimpsed.insert(queue);
  model_.glimpsed(queue, properties, body);
}

void AmqpClient::on_confirm(Channel& channel, const Reply& reply) {
  if (!channel.confirms || reply.tag > channel.published)
    fail("%s: confirm of %lu on channel %u, which published %lu", plan_.name.c_str(), reply.tag, channel.number,
         channel.published);
  auto first = reply.multiple ? channel.unconfirmed.begin() : channel.unconfirmed.find(reply.tag);
  const auto last = channel.unconfirmed.upper_bound(reply.tag);
  if (first == channel.unconfirmed.end() || first == last)
    fail("%s: publish %lu on channel %u is confirmed twice", plan_.name.c_str(), reply.tag, channel.number);
  for (; first != last; first = channel.unconfirmed.erase(first)) {
    if (reply.id == method::basic_nack) {
      model_.refused(first->second);
      std::erase(channel.unaccepted, first->second);
      world_.trace("%s: message %lu is refused", plan_.name.c_str(), first->second);
      continue;
    }
    model_.accepted(first->second, true);
    world_.trace("%s: message %lu is confirmed", plan_.name.c_str(), first->second);
  }
}

void AmqpClient::on_channel_error(Channel& channel, const Reply& reply) {
  if (reply.code == 406 && reply.text.find("delivery acknowledgement on channel") != std::string::npos)
    return on_timeout(channel, reply);
  if (reply.code == 403 && channel.pending && channel.pending->reads) return on_refused(channel, reply);
  const std::string& expected = channel.expected_text;
  if (channel.expected_error != reply.code || (!expected.empty() && expected != reply.text))
    fail("%s: channel %u was closed: %u '%s', and not %u '%s'", plan_.name.c_str(), channel.number, reply.code,
         reply.text.c_str(), channel.expected_error, expected.c_str());
  world_.trace("%s: channel %u was closed as expected: %s", plan_.name.c_str(), channel.number, reply.text.c_str());
  if (channel.committing) on_commit_refused(channel, reply);
  if (channel.when_lost) channel.when_lost();
  connection_->send(channel.number, ChannelCloseOk{});
  // Whatever went before the error was done.
  end_channel(channel, true);
  channels_.erase(channel.number);
}

// It kept a delivery for longer than its queue allows. What it has asked for since may have been done or not.
void AmqpClient::on_timeout(Channel& channel, const Reply& reply) {
  world_.trace("%s: channel %u was too slow: %s", plan_.name.c_str(), channel.number, reply.text.c_str());
  std::set<std::string> queues = channel.glimpsed;
  queues.insert(channel.getting);
  queues.insert(channel.queues.begin(), channel.queues.end());
  model_.timed_out(queues, channel.number, world_.now() - channel.opened, reply.text);
  connection_->send(channel.number, ChannelCloseOk{});
  end_channel(channel, false);
  channel.ended = true;
  // A close of the client's own that has crossed it is answered all the same.
  if (channel.phase != Channel::Phase::closing) channels_.erase(channel.number);
}

// Its user may not read the queue. Of what it has published since nothing is heard; what it has settled since is
// open.
void AmqpClient::on_refused(Channel& channel, const Reply& reply) {
  world_.trace("%s: channel %u may not read: %s", plan_.name.c_str(), channel.number, reply.text.c_str());
  model_.was_refused(channel.identity, reply.text);
  connection_->send(channel.number, ChannelCloseOk{});
  for (const uint64_t message : channel.unaccepted)
    if (message <= channel.pending->behind)
      model_.accepted(message, false);
    else
      model_.unheard(message);
  end_channel(channel, false);
  channel.ended = true;
  if (channel.phase != Channel::Phase::closing) channels_.erase(channel.number);
}

void AmqpClient::on_cancelled(Channel& channel, const Reply& reply) {
  const auto found = channel.consumers.find(reply.name);
  if (found == channel.consumers.end()) fail("%s: cancel of an unknown consumer", plan_.name.c_str());
  if (found->second.replies) fail("%s: a consumer of replies is cancelled", plan_.name.c_str());
  const std::string queue = found->second.queue;
  const auto mine = std::ranges::find(private_queues_, queue, &PrivateQueue::name);
  if (mine == private_queues_.end() || !mine->deleting)
    model_.cancelled_by_broker(reply.name, world_.now() - found->second.asked);
  world_.trace("%s: consumer %s of %s is cancelled", plan_.name.c_str(), reply.name.c_str(), queue.c_str());
  // What waited for a channel-wide prefetch goes back to its queue.
  if (!found->second.no_ack) model_.may_return_unseen(queue);
  found->second.lazy = false;
  found->second.cancelled = true;
  model_.cancelled(reply.name);
  // A cancel that is under way is answered all the same.
  if (!found->second.cancelling) channel.consumers.erase(found);
}

void AmqpClient::on_cancel_ok(Channel& channel, const Reply& reply) {
  const auto found = channel.consumers.find(reply.name);
  if (found == channel.consumers.end()) fail("%s: cancel-ok for %s", plan_.name.c_str(), reply.name.c_str());
  const Consumer& consumer = found->second;
  if (consumer.lazy && consumer.kept_enough < consumer.kept_until)
    model_.held_in_peace(consumer.queue, consumer.kept_until - consumer.kept_enough);
  if (consumer.replies) {
    model_.queue_removed(consumer.queue);
  } else {
    if (!consumer.cancelled) model_.cancelled_unrevoked(reply.name);
    model_.cancelled(reply.name);
  }
  channel.consumers.erase(found);
}

// ---- ends -----------------------------------------------------------------------------------------------------------

// All that the channel holds, and all that is on the way to it, goes back: from the moment this was asked for, for all
// that the client knows.
void AmqpClient::let_go(Channel& channel) {
  for (const auto& [tag, held] : channel.held)
    if (held.message != 0) model_.requeued(held);
  channel.held.clear();
  keep_no_longer(channel);
  for (const auto& [tag, consumer] : channel.consumers)
    if (!consumer.no_ack) model_.may_return_unseen(consumer.queue);
  if (!channel.getting.empty() && !channel.getting_no_ack) model_.may_return_unseen(channel.getting);
}

void AmqpClient::stop_consuming(Channel& channel) {
  for (const auto& [tag, consumer] : channel.consumers) leave(tag, consumer);
}

void AmqpClient::leave(const std::string& tag, const Consumer& consumer) {
  if (consumer.replies)
    model_.remove_queue_sent(consumer.queue);
  else
    model_.cancel_sent(tag);
}

// What it has not committed is as if it had not been.
void AmqpClient::drop_transaction(Channel& channel) {
  for (const Channel::Settlement& settlement : channel.kept.settlements) model_.requeued(settlement.held);
  channel.kept = {};
}

void AmqpClient::end_channel(Channel& channel, bool in_good_order) {
  stop_consuming(channel);
  let_go(channel);
  drop_transaction(channel);
  for (const auto& [tag, consumer] : channel.consumers) {
    if (consumer.no_ack) model_.may_lose(consumer.queue);
    if (consumer.replies && in_good_order && !offence_) model_.queue_removed(consumer.queue);
  }
  if (!channel.getting.empty() && channel.getting_no_ack) model_.may_lose(channel.getting);
  model_.channel_ended(channel.identity, in_good_order);
  if (!in_good_order) return;
  for (uint64_t message : channel.unaccepted) {
    if (offence_) model_.answers_end(message);
    model_.accepted(message, false);
  }
}

void AmqpClient::end_connection(bool in_good_order) {
  for (auto& [number, channel] : channels_)
    if (!channel.ended) end_channel(channel, in_good_order);
  channels_.clear();
  for (const PrivateQueue& queue : private_queues_) {
    if (!queue.exclusive) continue;
    model_.remove_queue_sent(queue.name);
    // The broker's close does not wait for them.
    if (in_good_order && !offence_) model_.queue_removed(queue.name);
    // Until they are gone nobody else may touch them, the next connection neither.
    std::erase_if(my_bindings_, [&](size_t binding) { return binding_specs_.at(binding).destination == queue.name; });
  }
  std::erase_if(private_queues_, [](const PrivateQueue& queue) { return queue.exclusive; });
  offence_.reset();
  next_action_ = world_.now() + random_.between(1us, reconnect_pause_max);
}

void AmqpClient::on_closed(const std::string& failure) {
  world_.trace("%s: connection is closed: %s", plan_.name.c_str(), failure.c_str());
  const bool lost = plan_.options.heartbeat != 0 && !failure.empty() && !failure.starts_with("connection.close");
  if (offence_ && !lost) {
    const std::string expected = "connection.close " + std::to_string(offence_->code) + " " + offence_->text;
    if (failure != expected)
      fail("%s: the connection was closed: '%s', and not '%s'", plan_.name.c_str(), failure.c_str(), expected.c_str());
  }
  // Until it is open a connection may fail: everything it said may have been lost for longer than the broker waits.
  if (!offence_ && !failure.empty() && opened_ && plan_.options.heartbeat == 0)
    fail("%s: the connection was lost: %s", plan_.name.c_str(), failure.c_str());
  end_connection(failure.empty() || (offence_ && !lost));
  // Not while it is on the stack.
  world_.after(0ns, [this, dead = connection_.get()] {
    if (connection_.get() == dead) connection_.reset();
  });
}

void AmqpClient::die(Death how) {
  world_.trace("%s dies", plan_.name.c_str());
  switch (how) {
    case Death::reset: connection_->abort(); break;
    case Death::finish: left_.push_back(&connection_->leave()); break;
    case Death::silence: break;
  }
  end_connection(false);
  connection_.reset();
}

void AmqpClient::end(Death how) {
  if (connection_) die(how);
  finished_ = true;
}

std::string AmqpClient::stopped_by() const {
  return !finished_ && connection_ && connection_->blocked() ? blocked_by_ : "";
}

void AmqpClient::close_connection() {
  world_.trace("%s closes its connection", plan_.name.c_str());
  let_go_of_all();
  connection_->close();
}

void AmqpClient::let_go_of_all() {
  closing_ = true;
  for (auto& [number, channel] : channels_) {
    stop_consuming(channel);
    let_go(channel);
    drop_transaction(channel);
  }
  for (const PrivateQueue& queue : private_queues_)
    if (queue.exclusive) model_.remove_queue_sent(queue.name);
}

void AmqpClient::offend() {
  offence_ = draw_grave_offence(random_, offence_channel, plan_.new_secrets > 0);
  world_.trace("%s provokes %u %s", plan_.name.c_str(), offence_->code, offence_->text.c_str());
  let_go_of_all();
  connection_->offend(offence_->frames);
}

}  // namespace talaria::sim
