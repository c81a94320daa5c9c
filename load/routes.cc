#include "load/routes.h"

#include <array>

#include "core/amqp091/wire/deliver.h"
#include "core/amqp091/wire/methods.h"
#include "core/amqp091/wire/properties.h"
#include "core/amqp091/wire/table.h"
#include "core/base/check.h"

namespace talaria::load {
namespace {

namespace wire = amqp091::wire;

constexpr uint16_t channel = 1;

std::vector<uint8_t> encoded_properties(const Route& route) {
  wire::Properties properties;
  std::vector<uint8_t> table;
  if (!route.headers.empty()) {
    table.resize(wire::table_size(route.headers));
    base::Writer out(table);
    wire::emit_table(out, route.headers);
    properties.headers.bytes = base::Bytes(table).subspan(4);
    properties.set(wire::Property::headers);
  }
  properties.delivery_mode = 1;
  properties.set(wire::Property::delivery_mode);
  std::vector<uint8_t> raw(64 + table.size());
  base::Writer out(raw);
  wire::emit_properties(out, properties);
  CHECK(out.ok());
  raw.resize(out.size());
  return raw;
}

// Sizes by weight, spread evenly: each time the one that is furthest behind its share.
std::vector<uint32_t> lay_out(const std::vector<BodySize>& sizes) {
  uint32_t weights = 0;
  for (const BodySize& size : sizes) weights += size.weight;
  std::vector<int64_t> credit(sizes.size(), 0);
  std::vector<uint32_t> pattern;
  for (uint32_t n = 0; n < weights; n++) {
    uint32_t best = 0;
    for (uint32_t i = 0; i < sizes.size(); i++) {
      credit[i] += sizes[i].weight;
      if (credit[i] > credit[best]) best = i;
    }
    credit[best] -= weights;
    pattern.push_back(best);
  }
  return pattern;
}

}  // namespace

std::vector<Route> routes_of(const Plan& plan) {
  std::vector<Route> routes;
  if (plan.to_all()) {
    routes.push_back({});
    return routes;
  }
  for (uint32_t n = 0; n < plan.binding_count(); n++) {
    Route route;
    route.queue = n % plan.queues;
    const std::string number = std::to_string(n);
    switch (plan.exchange) {
      case ExchangeKind::none: route.key = plan.queue_name(route.queue); break;
      case ExchangeKind::direct: route.key = route.binding_key = "key-" + number; break;
      case ExchangeKind::topic:
        // Kinds of patterns in turn: all words given, one left open, the rest left open.
        route.key = "region-" + std::to_string(n % 100) + ".store-" + number + ".order";
        route.binding_key = n % 3 == 0   ? route.key
                            : n % 3 == 1 ? "*.store-" + number + ".order"
                                         : "region-" + std::to_string(n % 100) + ".store-" + number + ".#";
        break;
      case ExchangeKind::headers:
        route.headers.push_back({"region", {std::string("north")}});
        route.headers.push_back({"store", {static_cast<int32_t>(n)}});
        break;
      case ExchangeKind::fanout: break;
    }
    routes.push_back(std::move(route));
  }
  return routes;
}

Publishes::Publishes(const Plan& plan, const std::vector<Route>& routes) : pattern_(lay_out(plan.sizes)) {
  const std::string exchange = plan.exchange_name();
  size_t front_max = 0, body_max = 0;
  for (const Route& route : routes) {
    const std::vector<uint8_t> raw = encoded_properties(route);
    std::vector<uint8_t> space(1024 + raw.size());
    base::Writer out(space);
    wire::emit_method_frame(out, channel, wire::basic::Publish{.exchange = exchange, .routing_key = route.key});
    const size_t header_at = out.size();
    wire::emit_content_header_frame(out, channel, 0, raw);
    CHECK(out.ok());
    fronts_.push_back({.offset = static_cast<uint32_t>(octets_.size()),
                       .queue = route.queue,
                       .size = static_cast<uint16_t>(out.size()),
                       .body_size_at = static_cast<uint16_t>(header_at + wire::frame_header_size + 4)});
    octets_.insert(octets_.end(), space.begin(), space.begin() + static_cast<std::ptrdiff_t>(out.size()));
    front_max = std::max(front_max, out.size());
  }
  for (const BodySize& size : plan.sizes) {
    const std::vector<uint8_t> octets(size.bytes, 'x');
    Body body{size.bytes, std::vector<uint8_t>(wire::body_frames_size(size.bytes, frame_max))};
    wire::store_body_frames(body.frames.data(), channel, octets, frame_max);
    body_max = std::max(body_max, body.frames.size());
    bodies_.push_back(std::move(body));
  }
  bytes_max_ = front_max + body_max;
}

}  // namespace talaria::load
