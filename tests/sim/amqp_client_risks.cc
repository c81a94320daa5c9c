// What a client does without knowing whether the broker lets it: sign with another's name, look for who may be gone.
// And direct replies, whose consumers come and go.

#include <algorithm>

#include "tests/sim/amqp_client.h"

namespace talaria::sim {

// What may end the channel is its last work, then its end is nobody's surprise.
void AmqpClient::gamble(Channel& channel, uint16_t code, const std::string& text, std::function<void()> when_lost) {
  stop_consuming(channel);
  let_go(channel);
  drop_transaction(channel);
  channel.phase = Channel::Phase::failing;
  channel.expected_error = code;
  channel.expected_text = text;
  channel.when_lost = std::move(when_lost);
}

void AmqpClient::win(Channel& channel) {
  channel.expected_error = 0;
  channel.when_lost = {};
  close_channel(channel);
}

void AmqpClient::sign_otherwise(Channel& channel) {
  std::vector<std::string> others{"ann", "bob", "guest", "eve"};
  std::erase(others, plan_.options.user);
  const std::string& signer = random_.pick(others);
  const uint64_t message = publish(channel, signer);
  if (message == 0) return;
  const Time signed_at = world_.now();
  gamble(channel, 406,
         "PRECONDITION_FAILED - user_id property set to '" + signer + "' but authenticated user was '" +
             plan_.options.user + "'",
         [this, message, signed_at, number = channel.number] {
           model_.could_not_sign(plan_.options.user, signed_at);
           model_.unheard(message);
           std::erase(channels_.at(number).unaccepted, message);
         });
  request(channel, Qos{}, method::basic_qos_ok, [this, signed_at, number = channel.number](const Reply&, auto, auto) {
    model_.could_sign(plan_.options.user, signed_at);
    win(channels_.at(number));
  });
}

// ---- direct replies -------------------------------------------------------------------------------------------------

bool AmqpClient::awaits_replies(const Channel& channel) const {
  return std::ranges::any_of(channel.consumers, [](const auto& each) {
    return each.second.replies && each.second.confirmed && !each.second.cancelling;
  });
}

// One consumer of them is all that a channel may have.
void AmqpClient::await_replies(Channel& channel) {
  if (std::ranges::any_of(channel.consumers, [](const auto& each) { return each.second.replies; })) return;
  Consumer consumer;
  consumer.identity = model_.new_identity();
  consumer.queue = "replies." + std::to_string(consumer.identity);
  consumer.no_ack = consumer.replies = true;
  consumer.asked = world_.now();
  const std::string tag = "r" + std::to_string(consumer.identity);
  channel.consumers[tag] = consumer;
  model_.add_replies_sent(consumer.queue, consumer.identity);
  begin_to_take(channel, consumer.queue, consumer.identity);
  request(channel, Consume{.queue = reply_queue, .tag = tag, .no_ack = true}, method::basic_consume_ok,
          [this, number = channel.number, name = consumer.queue](const Reply& reply, auto, auto) {
            auto& consumers = channels_.at(number).consumers;
            const auto found = consumers.find(reply.name);
            if (found == consumers.end()) fail("%s: consume-ok for %s", plan_.name.c_str(), reply.name.c_str());
            found->second.confirmed = true;
            model_.queue_added(name);
          });
}

// To declare an address is to ask whether somebody is there.
void AmqpClient::look_for_replier(Channel& channel) {
  if (topology_.addresses.empty()) return;
  const std::string address = random_.pick(topology_.addresses);
  const Time asked = world_.now();
  gamble(channel, 404, "NOT_FOUND - no queue '" + address + "' in vhost '/'",
         [this, address, asked] { model_.address_not_found(address, asked); });
  request(channel, DeclareQueue{.name = address, .passive = random_.chance(0.5)}, method::queue_declare_ok,
          [this, address, asked, number = channel.number](const Reply& reply, auto, auto) {
            if (reply.name != address || reply.consumers != 1)
              fail("%s: declare-ok for '%s'", plan_.name.c_str(), reply.name.c_str());
            model_.address_found(address, asked);
            win(channels_.at(number));
          });
}

}  // namespace talaria::sim
