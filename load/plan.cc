#include "load/plan.h"

#include <charconv>

#include "load/stamp.h"

namespace talaria::load {
namespace {

std::optional<uint32_t> parse_number(std::string_view text) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

constexpr uint32_t body_bytes_max = 16u << 20;
constexpr uint32_t weight_max = 1000;
constexpr uint32_t bindings_max = 1'000'000;
constexpr uint32_t connections_max = 60'000;  // one address has as many ports
constexpr uint32_t in_patterns_max = 10'000;  // sum of weights: the pattern of sizes is laid out

}  // namespace

std::string_view to_text(ExchangeKind kind) {
  switch (kind) {
    case ExchangeKind::none: return "default";
    case ExchangeKind::direct: return "direct";
    case ExchangeKind::fanout: return "fanout";
    case ExchangeKind::topic: return "topic";
    case ExchangeKind::headers: return "headers";
  }
  return "";
}

std::string_view to_text(Acks acks) {
  switch (acks) {
    case Acks::none: return "none";
    case Acks::single: return "single";
    case Acks::multiple: return "multiple";
  }
  return "";
}

std::optional<std::vector<BodySize>> parse_body_sizes(std::string_view text) {
  std::vector<BodySize> sizes;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    const std::string_view part = text.substr(at, comma - at);
    at = comma + 1;
    const size_t colon = std::min(part.find(':'), part.size());
    const auto bytes = parse_number(part.substr(0, colon));
    const auto weight = colon == part.size() ? std::optional<uint32_t>(1) : parse_number(part.substr(colon + 1));
    if (!bytes || !weight) return std::nullopt;
    sizes.push_back({*bytes, *weight});
  }
  return sizes;
}

double Plan::mean_body_bytes() const {
  double bytes = 0, weights = 0;
  for (const BodySize& size : sizes) {
    bytes += static_cast<double>(size.bytes) * size.weight;
    weights += size.weight;
  }
  return weights == 0 ? 0 : bytes / weights;
}

std::string Plan::queue_name(uint32_t queue) const { return prefix + "-" + std::to_string(queue); }

std::string Plan::exchange_name() const {
  return exchange == ExchangeKind::none ? std::string() : prefix + "-" + std::string(to_text(exchange));
}

std::optional<std::string> find_contradiction(const Plan& plan) {
  if (plan.producers == 0 || plan.consumers == 0 || plan.queues == 0)
    return "there is at least one producer, one consumer and one queue";
  if (uint64_t{plan.producers} + plan.consumers > connections_max)
    return "one address has ports for " + std::to_string(connections_max) + " connections";
  if (plan.streams() > streams_max)
    return std::to_string(plan.producers) + " producers to " + std::to_string(plan.queues) +
           " queues are more pairs than " + std::to_string(streams_max);
  if (plan.bindings != 0) {
    if (plan.exchange == ExchangeKind::none || plan.exchange == ExchangeKind::fanout)
      return "bindings are of a direct, topic or headers exchange";
    if (plan.bindings < plan.queues) return "every queue needs a binding";
    if (plan.bindings > bindings_max) return "there are at most " + std::to_string(bindings_max) + " bindings";
  }
  uint32_t weights = 0;
  for (const BodySize& size : plan.sizes) {
    if (size.bytes < stamp_bytes)
      return "a body has at least " + std::to_string(stamp_bytes) +
             " bytes: they carry the time it was due and its place";
    if (size.bytes > body_bytes_max) return "a body has at most " + std::to_string(body_bytes_max) + " bytes";
    if (size.weight == 0 || size.weight > weight_max) return "a size's weight is 1 to " + std::to_string(weight_max);
    weights += size.weight;
  }
  if (plan.sizes.empty() || weights > in_patterns_max) return "there are too many sizes, or none";
  if (plan.prefetch != 0 && plan.acks == Acks::none) return "prefetch bounds nothing without acks";
  if (plan.at_rest != 0 && plan.in_flight != 0) return "messages at rest are all in flight";
  if (plan.rate < 0 || plan.rate > 1e9) return "a rate is 0 (flat out) to 1e9 messages a second";
  if (plan.window <= base::Duration::zero()) return "the window is longer than nothing";
  if (plan.prefix.empty() || plan.prefix.size() > 200) return "the prefix of names has 1 to 200 octets";
  return std::nullopt;
}

}  // namespace talaria::load
