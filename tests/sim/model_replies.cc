// Direct replies: whoever consumes them is a queue of his own, which is there as long as he consumes, and whose name is
// the address that his requests come with; see model.h.

#include <algorithm>
#include <string_view>

#include "tests/sim/model.h"

namespace talaria::sim {

namespace {

constexpr std::string_view reply_to = reply_queue;
constexpr size_t digits_count = 56;
// What was confirmed without anybody knowing whether its consumer is there may come too late to him by: turns, stalls.
constexpr Duration reply_late_max = 300ms;

// Properties as they were published, whatever address they came with.
Buffer without_address(base::Bytes properties, std::string& address) {
  Buffer plain(properties.begin(), properties.end());
  const std::string prefix = static_cast<char>(reply_to.size() + 1 + digits_count) + std::string(reply_to) + ".";
  const auto found = std::ranges::search(plain, prefix, {}, {}, [](char octet) { return static_cast<uint8_t>(octet); });
  if (found.empty() || plain.end() - found.begin() < static_cast<ptrdiff_t>(prefix.size() + digits_count)) return plain;
  const auto begin = found.begin() + 1;
  address.assign(begin, begin + static_cast<ptrdiff_t>(prefix.size() - 1 + digits_count));
  *found.begin() = static_cast<uint8_t>(reply_to.size());
  plain.erase(begin + static_cast<ptrdiff_t>(reply_to.size()), begin + static_cast<ptrdiff_t>(address.size()));
  return plain;
}

}  // namespace

void Model::add_replies_sent(const std::string& name, Identity holder) {
  add_queue_sent(name);
  queue(name).replies_to = holder;
}

void Model::replies_dropped() {
  for (auto& [name, queue] : queues_)
    if (queue.replies_to != 0) may_lose(name);
}

Model::Delivery Model::delivered(const std::string& queue_name, Identity holder, bool no_ack, const Reply& reply,
                                 base::Bytes properties, base::Bytes body) {
  std::string address;
  const Buffer plain = without_address(properties, address);
  Delivery delivery = take(queue_name, holder, no_ack, reply, plain, body);
  learn_address(delivery.message, address);
  delivery.address = address;
  return delivery;
}

uint64_t Model::find(base::Bytes properties) const {
  std::string address;
  const auto found = by_properties_.find(without_address(properties, address));
  return found == by_properties_.end() ? 0 : found->second;
}

void Model::learn_address(uint64_t number, const std::string& address) {
  const std::string& name = messages_[number - 1].what.replies_to;
  if (name.empty() != address.empty()) fail("message %lu came with the address '%s'", number, address.c_str());
  if (address.empty()) return;
  if (address.find_first_not_of("0123456789abcdef", reply_to.size() + 1) != std::string::npos)
    fail("message %lu came with the address '%s'", number, address.c_str());
  if (addresses_.emplace(address, name).first->second != name)
    fail("message %lu came with the address of somebody else", number);
  std::string& known = queue(name).address;
  if (!known.empty() && known != address) fail("message %lu came with another address than before", number);
  known = address;
}

// "": it is no reply, or one to nobody.
std::string Model::replies_of(const std::string& exchange, const std::string& key) const {
  const auto found = exchange.empty() ? addresses_.find(key) : addresses_.end();
  return found == addresses_.end() ? "" : found->second;
}

bool Model::is_there(const std::string& name, Certainty certainty, Window window) const {
  const Queue& replies = queue(name);
  if (certainty == Certainty::may) return replies.life.perhaps(window.from, window.to);
  return replies.life.surely(window.from, window.to) && !cut_off_.contains(replies.replies_to) &&
         !in_question(replies.replies_to);
}

// Whether there is somebody who takes it is known when it is confirmed, if it must come back otherwise.
Time Model::taken_by(const Message& message) const {
  const bool is_late = !message.what.mandatory && !replies_of(message.what.exchange, message.what.key).empty();
  return message.accepted + (is_late ? reply_late_max : 0ns);
}

void Model::address_found(const std::string& address, Time asked) const {
  const std::string name = replies_of("", address);
  if (name.empty() || !is_there(name, Certainty::may, {asked, world_.now()}))
    fail("'%s' was found, and is nobody's", address.c_str());
}

void Model::address_not_found(const std::string& address, Time asked) const {
  const std::string name = replies_of("", address);
  if (!name.empty() && is_there(name, Certainty::must, {asked, world_.now()}))
    fail("'%s' was not found, and is somebody's", address.c_str());
}

}  // namespace talaria::sim
