// Exchanges that give each message to one of their bindings.
#include <gtest/gtest.h>

#include <map>

#include "core/broker/exchange.h"
#include "core/broker/vhost.h"
#include "tests/unit/broker/fixture.h"

namespace talaria::broker {
namespace {

class Choice : public ::testing::Test {
 protected:
  Choice() {
    worker.apply(topology.add_vhost());
    add("hash", ExchangeType::consistent_hash);
    add("modulus", ExchangeType::modulus_hash);
    add("random", ExchangeType::random);
    add("local", ExchangeType::local_random);
    for (const char* name : {"a", "b", "c", "d"}) worker.apply(topology.add_queue(name));
    worker.apply(topology.add_queue("far", 1));
    vhost = worker.engine->find_vhost(topology.vhost);
  }
  void add(const std::string& name, ExchangeType type, const ExchangeSettings& settings = {}) {
    auto change = std::get<AddExchange>(topology.add_exchange(name, type));
    change.settings = std::make_shared<const ExchangeSettings>(settings);
    worker.apply(std::move(change));
  }
  void bind(const std::string& source, const std::string& queue, const std::string& key = "") {
    worker.apply(AddBinding{topology.to_queue(source, queue, key)});
  }
  void unbind(const std::string& source, const std::string& queue, const std::string& key = "") {
    worker.apply(RemoveBinding{topology.to_queue(source, queue, key)});
  }
  std::string routed(const std::string& exchange, const std::string& key, const RouteFacts& facts = {}) {
    route(*vhost, *vhost->find_exchange(exchange), key, facts, targets);
    if (targets.empty()) return "";
    EXPECT_EQ(targets.queues().size(), 1u);
    return targets.queues().front()->name;
  }
  // Where 10000 keys go.
  std::map<std::string, std::string> spread(const std::string& exchange) {
    std::map<std::string, std::string> to;
    for (int i = 0; i < 10000; i++) to["key." + std::to_string(i)] = routed(exchange, "key." + std::to_string(i));
    return to;
  }
  static std::map<std::string, int> counted(const std::map<std::string, std::string>& to) {
    std::map<std::string, int> counts;
    for (const auto& [key, queue] : to) counts[queue]++;
    return counts;
  }

  TestTopology topology;
  TestWorker worker{0, 2};
  Vhost* vhost;
  RouteTargets targets;
};

TEST_F(Choice, WithoutBindingsNobodyGetsIt) {
  for (const char* exchange : {"hash", "modulus", "random", "local"}) EXPECT_EQ(routed(exchange, "k"), "");
}

TEST_F(Choice, ConsistentHashFollowsTheWeights) {
  bind("hash", "a", "1");
  bind("hash", "b", "1");
  bind("hash", "c", "2");
  const auto to = spread("hash");
  const auto counts = counted(to);
  EXPECT_NEAR(counts.at("a"), 2500, 200);
  EXPECT_NEAR(counts.at("b"), 2500, 200);
  EXPECT_NEAR(counts.at("c"), 5000, 200);
  EXPECT_EQ(spread("hash"), to) << "a key always goes the same way";
}

TEST_F(Choice, ConsistentHashMovesOnlyWhatItMust) {
  for (const char* queue : {"a", "b", "c"}) bind("hash", queue, "10");
  const auto before = spread("hash");
  bind("hash", "d", "10");
  int taken = 0;
  for (const auto& [key, queue] : spread("hash")) {
    if (queue == before.at(key)) continue;
    EXPECT_EQ(queue, "d") << "the newcomer takes over, nobody else";
    taken++;
  }
  EXPECT_NEAR(taken, 2500, 200);
  unbind("hash", "d", "10");
  EXPECT_EQ(spread("hash"), before);
  unbind("hash", "b", "10");
  for (const auto& [key, queue] : spread("hash"))
    EXPECT_EQ(queue, before.at(key) == "b" ? queue : before.at(key)) << "what was not the leaver's stays";
}

TEST_F(Choice, TheOrderOfBindingsDoesNotMatter) {
  add("hash again", ExchangeType::consistent_hash);
  add("modulus again", ExchangeType::modulus_hash);
  for (const char* queue : {"a", "b", "c", "d"}) {
    bind("hash", queue, "3");
    bind("modulus", queue);
  }
  for (const char* queue : {"c", "a", "d", "b"}) {
    bind("hash again", queue, "3");
    bind("modulus again", queue);
  }
  EXPECT_EQ(spread("hash"), spread("hash again"));
  EXPECT_EQ(spread("modulus"), spread("modulus again"));
}

TEST_F(Choice, ConsistentHashOfAHeader) {
  ExchangeSettings settings;
  settings.hash_header = "customer";
  add("by header", ExchangeType::consistent_hash, settings);
  EXPECT_FALSE(vhost->needs_facts());
  for (const char* queue : {"a", "b", "c", "d"}) bind("by header", queue, "1");
  EXPECT_TRUE(vhost->needs_facts());
  EXPECT_FALSE(vhost->remembers_routes());
  std::set<std::string> reached;
  for (int i = 0; i < 100; i++) {
    const std::string name = "customer " + std::to_string(i);
    base::FieldView value;
    value.kind = base::FieldKind::text;
    value.bytes = name;
    const base::HeaderView headers[] = {{"other", {}}, {"customer", value}};
    const std::string queue = routed("by header", "x", RouteFacts(headers));
    EXPECT_EQ(routed("by header", "y", RouteFacts(headers)), queue) << "the key does not matter";
    reached.insert(queue);
  }
  EXPECT_EQ(reached.size(), 4u);
  EXPECT_EQ(routed("by header", "x"), routed("by header", "y")) << "those without it go one way";
}

TEST_F(Choice, ConsistentHashOfAProperty) {
  for (HashProperty property : {HashProperty::correlation_id, HashProperty::message_id, HashProperty::timestamp}) {
    const std::string name = "by " + std::to_string(static_cast<int>(property));
    ExchangeSettings settings;
    settings.hash_property = property;
    add(name, ExchangeType::consistent_hash, settings);
    for (const char* queue : {"a", "b", "c", "d"}) bind(name, queue, "1");
    std::set<std::string> reached;
    for (uint64_t i = 0; i < 100; i++) {
      const std::string id = std::to_string(i);
      RouteFacts facts;
      (property == HashProperty::correlation_id ? facts.correlation_id : facts.message_id) = id;
      facts.timestamp = i;
      const std::string queue = routed(name, "x", facts);
      EXPECT_EQ(routed(name, "y", facts), queue);
      reached.insert(queue);
    }
    EXPECT_EQ(reached.size(), 4u);
  }
}

TEST_F(Choice, ModulusHashSpreadsEvenly) {
  for (const char* queue : {"a", "b", "c", "d"}) bind("modulus", queue, "whatever");
  const auto to = spread("modulus");
  for (const auto& [queue, count] : counted(to)) EXPECT_NEAR(count, 2500, 200) << queue;
  EXPECT_EQ(spread("modulus"), to);
  EXPECT_TRUE(vhost->remembers_routes());
}

TEST_F(Choice, RandomIsAnyOfThem) {
  for (const char* queue : {"a", "b", "c", "d"}) bind("random", queue);
  EXPECT_FALSE(vhost->remembers_routes());
  std::map<std::string, int> counts;
  for (int i = 0; i < 10000; i++) counts[routed("random", "same key")]++;
  EXPECT_EQ(counts.size(), 4u);
  for (const auto& [queue, count] : counts) EXPECT_NEAR(count, 2500, 200) << queue;
  for (const char* queue : {"a", "b", "c", "d"}) unbind("random", queue);
  EXPECT_TRUE(vhost->remembers_routes());
}

TEST_F(Choice, LocalRandomPrefersItsOwnWorker) {
  bind("local", "far");
  EXPECT_EQ(routed("local", ""), "far") << "better far away than nowhere";
  bind("local", "a");
  bind("local", "b");
  std::map<std::string, int> counts;
  for (int i = 0; i < 1000; i++) counts[routed("local", "")]++;
  EXPECT_EQ(counts.size(), 2u);
  EXPECT_NEAR(counts["a"], 500, 100);
}

TEST(Weight, IsAPositiveNumber) {
  EXPECT_EQ(weight_of("1"), 1u);
  EXPECT_EQ(weight_of("4294967295"), 4294967295u);
  for (const char* wrong : {"", "0", "-1", "x", "1x", " 1", "1.5", "4294967296"})
    EXPECT_FALSE(weight_of(wrong)) << wrong;
}

}  // namespace
}  // namespace talaria::broker
