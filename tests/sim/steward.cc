#include "tests/sim/steward.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace talaria::sim {

namespace {

constexpr uint16_t setup_channel = 1;
constexpr Duration ask_interval = 500ms;

}  // namespace

Steward::Steward(World& world, Random random, Model& model, const Topology& topology, Connect connect)
    : LastingClient("steward", world, random, std::move(connect)), model_(model), topology_(topology) {
  prepare_setup();
}

void Steward::prepare_setup() {
  for (const TopologyExchange& exchange : topology_.exchanges) {
    setup_.push_back({topology_.declaration(exchange),
                      method::exchange_declare_ok,
                      [this, exchange] { model_.add_exchange(exchange); },
                      {}});
  }
  for (const std::string& queue : topology_.queues)
    setup_.push_back({topology_.declaration(queue), method::queue_declare_ok,
                      [this, queue] { model_.add_queue_sent(queue); }, [this, queue] { model_.queue_added(queue); }});
  for (const DeadQueue& queue : topology_.dead_queues) {
    setup_.push_back({DeclareQueue{.name = queue.name}, method::queue_declare_ok,
                      [this, queue] { model_.add_queue_sent(queue.name); },
                      [this, queue] { model_.queue_added(queue.name); }});
    if (queue.exchange.empty()) continue;
    DeclareExchange declare;
    declare.name = queue.exchange;
    declare.type = "fanout";
    setup_.push_back({declare, method::exchange_declare_ok, {}, {}});
    setup_.push_back({BindQueue{queue.name, queue.exchange, "", {}, false}, method::queue_bind_ok, {}, {}});
  }
  if (topology_.plant == Plant::secret_queue)
    setup_.push_back({DeclareQueue{.name = "secret"}, method::queue_declare_ok, {}, {}});
  prepare_policies();
  for (const auto& [queue, traits] : topology_.traits) model_.set_traits(queue, traits);
  for (const ModelBinding& binding : topology_.bindings) {
    Command command = BindQueue{binding.destination, binding.source, binding.key, binding.arguments, false};
    uint32_t reply = method::queue_bind_ok;
    if (!binding.to_queue) {
      command = BindExchange{binding.destination, binding.source, binding.key, binding.arguments, false};
      reply = method::exchange_bind_ok;
    }
    auto index = std::make_shared<size_t>();
    setup_.push_back({command, reply, [this, binding, index] { *index = model_.add_binding_sent(binding); },
                      [this, index] { model_.binding_added(*index); }});
  }
}

void Steward::prepare_policies() {
  bool listens = false;
  for (const auto& [queue, traits] : topology_.traits) {
    if (!traits.by_policy || topology_.plant == Plant::no_policies) continue;
    if (!std::exchange(listens, true))
      setup_.push_back(
          {Consume{.queue = reply_queue, .tag = "answers", .no_ack = true}, method::basic_consume_ok, {}, {}});
    setup_.push_back({{},
                      method::basic_deliver,
                      [this, queue] { model_.sets_policy(queue); },
                      {},
                      "set_policy",
                      topology_.policy(queue)});
  }
}

void Steward::begin() {
  model_.connected();
  connection_->send(setup_channel, OpenChannel{});
}

bool Steward::work(Time now) {
  if (now < ask_at_) return false;
  ask_at_ = now + ask_interval;
  for (auto& [number, drain] : drains_) {
    if (drain.asking || drain.gone) continue;
    drain.asking = true;
    drain.asked = now;
    connection_->send(number, DeclareQueue{.name = drain.queue, .passive = true});
  }
  return true;
}

void Steward::next_setup() {
  awaiting_ = !setup_.empty();
  if (!awaiting_) return;
  if (setup_.front().sent) setup_.front().sent();
  const Setup& next = setup_.front();
  if (next.verb.empty()) return connection_->send(setup_channel, next.command);
  give_command(setup_channel, next.verb, next.body);
}

void Steward::check_answer(base::Bytes body) const {
  const auto answer = nlohmann::json::parse(base::as_text(body), nullptr, false);
  if (!answer.is_object() || !answer.value("ok", false))
    fail("steward: '%s' was answered with %s", setup_.front().body.c_str(), std::string(base::as_text(body)).c_str());
}

void Steward::drain() {
  CHECK(ready());
  for (const std::string& queue : topology_.queues) add_drain(queue);
  for (const DeadQueue& queue : topology_.dead_queues) add_drain(queue.name);
}

void Steward::drain_private_queues() {
  for (const std::string& queue : topology_.private_queues)
    if (queue.starts_with("t.")) add_drain(queue);
}

void Steward::forget_histories() {
  for (const TopologyExchange& exchange : topology_.exchanges)
    if (exchange.history != 0)
      setup_.push_back({DeleteExchange{exchange.name},
                        method::exchange_delete_ok,
                        [this, exchange] { model_.remove_exchange_sent(exchange.name); },
                        {}});
  next_setup();
}

void Steward::add_drain(const std::string& queue) {
  const auto number = static_cast<uint16_t>(setup_channel + 1 + drains_.size());
  Drain& drain = drains_[number];
  drain.queue = queue;
  drain.channel = model_.new_identity();
  drain.consumer = model_.new_identity();
  connection_->send(number, OpenChannel{});
}

void Steward::close() {
  for (const auto& [number, drain] : drains_)
    if (!drain.tag_in_use.empty()) model_.cancel_sent(drain.tag_in_use);
  connection_->close();
}

bool Steward::drained() const {
  for (const auto& [number, drain] : drains_)
    if (!drain.gone && (drain.messages > 0 || drain.consumers > 1)) return false;
  return !drains_.empty();
}

std::string Steward::describe() const {
  std::string text = "steward: ";
  if (!connection_ || !connection_->is_open()) return text + "not connected";
  text += std::to_string(setup_.size()) + " of the topology to declare";
  for (const auto& [number, drain] : drains_)
    if (!drain.gone && (drain.messages > 0 || drain.consumers > 1))
      text += "; " + drain.queue + " has " + std::to_string(drain.messages) + " messages, " +
              std::to_string(drain.consumers) + " consumers";
  return text;
}

void Steward::on_reply(uint16_t channel, const Reply& reply, base::Bytes properties, base::Bytes body) {
  if (const auto drain = drains_.find(channel); drain != drains_.end())
    return on_drain_reply(channel, drain->second, reply, properties, body);
  if (reply.id == method::channel_open_ok && !channel_open_) {
    channel_open_ = true;
    return next_setup();
  }
  if (!awaiting_ || reply.id != setup_.front().reply)
    fail("steward: method %u.%u answers nothing: %s", reply.id >> 16, reply.id & 65535, reply.text.c_str());
  if (reply.id == method::basic_deliver) check_answer(body);
  if (setup_.front().done) setup_.front().done();
  setup_.pop_front();
  next_setup();
}

void Steward::begin_to_consume(uint16_t channel, Drain& drain) {
  drain.began = world_.now();
  drain.tag_in_use = "steward." + drain.queue + "." + std::to_string(++drain.times);
  model_.began(drain.consumer, drain.queue);
  model_.consume_sent(drain.tag_in_use, drain.queue, drain.consumer, "guest");
  connection_->send(channel, Consume{.queue = drain.queue, .tag = drain.tag_in_use});
}

void Steward::on_drain_reply(uint16_t channel, Drain& drain, const Reply& reply, base::Bytes properties,
                             base::Bytes body) {
  switch (reply.id) {
    case method::channel_open_ok:
      // First of all, what is in it before it is emptied.
      drain.asking = true;
      drain.asked = world_.now();
      connection_->send(channel, DeclareQueue{.name = drain.queue, .passive = true});
      connection_->send(channel, Qos{.count = 50});
      return begin_to_consume(channel, drain);
    case method::basic_qos_ok: return;
    case method::basic_consume_ok:
      model_.consuming(reply.name);
      if (ask_at_ == base::never) ask_at_ = world_.now();
      return;
    case method::basic_deliver: {
      if (reply.tag != ++drain.tag) fail("steward: delivery tag %lu, %lu was next", reply.tag, drain.tag);
      const Model::Delivery delivery = model_.delivered(drain.queue, drain.consumer, false, reply, properties, body);
      world_.trace("steward: message %lu from %s", delivery.message, drain.queue.c_str());
      connection_->send(channel, Ack{reply.tag, false});
      model_.settled(delivery, drain.channel);
      return;
    }
    case method::queue_declare_ok:
      drain.asking = false;
      drain.messages = reply.messages;
      model_.counted(drain.queue, reply.messages, drain.asked);
      drain.consumers = reply.consumers;
      return;
    case method::basic_cancel:
      // The queue was deleted, then the next question will be answered with 404; or this consumer was slow.
      if (model_.may_be_gone(drain.queue)) return model_.cancelled(reply.name);
      model_.cancelled_by_broker(drain.tag_in_use, world_.now() - drain.began);
      model_.cancelled(drain.tag_in_use);
      return begin_to_consume(channel, drain);
    case method::channel_close:
      if (reply.code != 404 || !model_.may_be_gone(drain.queue))
        fail("steward: the channel of %s was closed: %u %s", drain.queue.c_str(), reply.code, reply.text.c_str());
      connection_->send(channel, ChannelCloseOk{});
      drain.gone = true;
      return;
    default: fail("steward: method %u.%u answers nothing", reply.id >> 16, reply.id & 65535);
  }
}

}  // namespace talaria::sim
