#include "load/plan.h"

#include <gtest/gtest.h>

#include <set>

#include "core/amqp091/wire/methods.h"
#include "core/amqp091/wire/properties.h"
#include "load/routes.h"

namespace talaria::load {
namespace {

TEST(Plan, ReadsBodySizes) {
  const auto one = parse_body_sizes("100");
  ASSERT_TRUE(one && one->size() == 1);
  EXPECT_EQ(one->front().bytes, 100u);
  const auto several = parse_body_sizes("16:8,65536:1");
  ASSERT_TRUE(several && several->size() == 2);
  EXPECT_EQ((*several)[0].weight, 8u);
  EXPECT_EQ((*several)[1].bytes, 65536u);
  for (const char* wrong : {"", "x", "16,", ",16", "16:", ":1", "16:a", "-1", "99999999999"})
    EXPECT_FALSE(parse_body_sizes(wrong)) << wrong;
}

TEST(Plan, RefusesWhatCannotBe) {
  EXPECT_FALSE(find_contradiction(Plan{}));
  const auto refused = [](auto change) {
    Plan plan;
    change(plan);
    return find_contradiction(plan).has_value();
  };
  EXPECT_TRUE(refused([](Plan& plan) { plan.producers = 0; }));
  EXPECT_TRUE(refused([](Plan& plan) { plan.consumers = 60'000; })) << "ports of one address";
  EXPECT_TRUE(refused([](Plan& plan) { plan.sizes = {{15, 1}}; })) << "no room for a stamp";
  EXPECT_TRUE(refused([](Plan& plan) { plan.sizes = {}; }));
  EXPECT_TRUE(refused([](Plan& plan) { plan.prefetch = 10; })) << "prefetch without acks";
  EXPECT_TRUE(refused([](Plan& plan) { plan.bindings = 10; })) << "of the default exchange";
  EXPECT_TRUE(refused([](Plan& plan) { plan.rate = -1; }));
  EXPECT_TRUE(refused([](Plan& plan) {
    plan.exchange = ExchangeKind::topic;
    plan.queues = plan.consumers = 8;
    plan.bindings = 4;
  }));
}

// What a producer sends is what the broker's own parser reads.
TEST(Publishes, AreFramesWithTheirStamp) {
  for (const auto kind : {ExchangeKind::none, ExchangeKind::direct, ExchangeKind::topic, ExchangeKind::headers}) {
    Plan plan;
    plan.exchange = kind;
    plan.queues = plan.consumers = 3;
    plan.sizes = {{16, 1}, {1000, 1}};
    const std::vector<Route> routes = routes_of(plan);
    const Publishes publishes(plan, routes);
    ASSERT_EQ(publishes.routes(), 3u);
    for (uint32_t route = 0; route < 3; route++) {
      for (uint32_t size = 0; size < 2; size++) {
        std::vector<uint8_t> bytes(publishes.bytes(route, size));
        const Stamp stamp{base::Time{std::chrono::seconds(3)}, 7, 123'456'789'012};
        publishes.store(bytes.data(), route, size, stamp);

        const auto method = amqp091::wire::parse_frame(bytes, frame_max);
        ASSERT_EQ(method.status, amqp091::wire::FrameStatus::whole);
        const auto publish = amqp091::wire::parse<amqp091::wire::basic::Publish>(method.payload);
        ASSERT_TRUE(publish);
        EXPECT_EQ(publish->exchange, plan.exchange_name());
        EXPECT_EQ(publish->routing_key, routes[route].key);

        const auto rest = base::Bytes(bytes).subspan(method.size);
        const auto header = amqp091::wire::parse_frame(rest, frame_max);
        const auto content = amqp091::wire::scan_content_header(header.payload);
        ASSERT_TRUE(content);
        EXPECT_EQ(content->body_size, publishes.body_bytes(size));
        EXPECT_EQ(content->headers.bytes.empty(), kind != ExchangeKind::headers);

        const auto body = amqp091::wire::parse_frame(rest.subspan(header.size), frame_max);
        ASSERT_EQ(body.payload.size(), publishes.body_bytes(size));
        EXPECT_EQ(load_stamp(body.payload.data()), stamp);
        EXPECT_EQ(method.size + header.size + body.size, bytes.size());
      }
    }
  }
}

TEST(Publishes, SizesComeByTheirWeights) {
  Plan plan;
  plan.sizes = {{100, 9}, {5000, 1}};
  const Publishes publishes(plan, routes_of(plan));
  int large = 0;
  for (uint64_t n = 0; n < 1000; n++) large += publishes.body_bytes(publishes.size_index(n)) == 5000;
  EXPECT_EQ(large, 100);
}

TEST(Routes, ATopicsKeysMatchTheirOwnPatternsOnly) {
  Plan plan;
  plan.exchange = ExchangeKind::topic;
  plan.queues = plan.consumers = 2;
  plan.bindings = 300;
  std::set<std::string> stores;
  for (const Route& route : routes_of(plan)) {
    const size_t dot = route.key.find('.');
    const std::string store = route.key.substr(dot, route.key.rfind('.') - dot + 1);
    EXPECT_NE(route.binding_key.find(store), std::string::npos);
    EXPECT_TRUE(stores.insert(store).second) << "two bindings for one key";
  }
  EXPECT_EQ(stores.size(), 300u);
}

}  // namespace
}  // namespace talaria::load
