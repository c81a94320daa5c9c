// No counter of any layer can be left out of what operators see.
#include "dpdk-app/counters.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <span>

namespace talaria::app {
namespace {

// All layers' counters, each with a value of its own.
struct Layers {
  DeviceCounters device;
  net::HostCounters host;
  tcp::StackCounters stack;
  amqp091::session::SessionCounters sessions;
  broker::EngineCounters engine;
  broker::PoolCounters pool;
  worker::WorkerCounters worker;

  uint64_t last = 0;

  Layers() {
    number(&device, sizeof device);
    number(&host, sizeof host);
    number(&stack, sizeof stack);
    number(&sessions, sizeof sessions);
    number(&engine, sizeof engine);
    number(&pool, sizeof pool);
    number(&worker, sizeof worker - sizeof worker.message_latency);
  }
  // They are nothing but counters, one behind the other.
  void number(void* counters, size_t bytes) {
    EXPECT_EQ(bytes % sizeof(base::Counter), 0u);
    auto* first = static_cast<base::Counter*>(counters);
    for (base::Counter& counter : std::span(first, bytes / sizeof(base::Counter))) counter.set(++last);
  }
  CounterSources sources() const { return {{{"port0", device, host}}, stack, sessions, engine, pool, worker}; }
};

TEST(Counters, EveryCounterOfEveryLayerIsListedOnce) {
  const Layers layers;
  std::set<uint64_t> values;
  std::set<std::pair<std::string, std::string>> names;
  for (const control::LayerCount& each : list_counters(layers.sources())) {
    EXPECT_TRUE(values.insert(each.value).second) << each.layer << " " << each.name << " is listed twice";
    EXPECT_TRUE(names.emplace(each.layer, each.name).second) << each.layer << " " << each.name << " is a name twice";
  }
  for (uint64_t value = 1; value <= layers.last; value++) EXPECT_TRUE(values.contains(value)) << value;
}

TEST(Counters, ANameStandsForItsOwnCounter) {
  Layers layers;
  layers.stack.closed_keepalive.set(1001);
  layers.sessions.connections_blocked.set(1002);
  layers.sessions.channel_errors.add(amqp091::wire::ReplyCode::not_found);
  layers.engine.late_operations.set(1003);
  layers.pool.refused_begins.set(1004);
  layers.device.carried.set(1005);
  layers.worker.peers_congested.set(1006);
  std::map<std::string, uint64_t> found;
  for (const control::LayerCount& each : list_counters(layers.sources()))
    found[each.layer + " " + each.name] = each.value;
  EXPECT_EQ(found["tcp closed_keepalive"], 1001u);
  EXPECT_EQ(found["amqp connections_blocked"], 1002u);
  EXPECT_EQ(found["amqp channel_error_404"], layers.sessions.channel_errors.value(amqp091::wire::ReplyCode::not_found));
  EXPECT_EQ(found["broker late_operations"], 1003u);
  EXPECT_EQ(found["pool refused_begins"], 1004u);
  EXPECT_EQ(found["device carried"], 1005u);
  EXPECT_EQ(found["worker peers_congested"], 1006u);
}

TEST(Counters, PortsAreToldApart) {
  Layers layers;
  CounterSources sources = layers.sources();
  sources.ports[0].name = "a";
  net::HostCounters other_host;
  const DeviceCounters other_device;
  other_host.drop_bad_arp.set(7);
  sources.ports.push_back({"b", other_device, other_host});
  std::map<std::string, uint64_t> found;
  for (const control::LayerCount& each : list_counters(sources))
    EXPECT_TRUE(found.emplace(each.layer + " " + each.name, each.value).second) << each.layer << " " << each.name;
  EXPECT_EQ(found["ip/b drop_bad_arp"], 7u);
  EXPECT_TRUE(found.contains("ip/a drop_bad_arp") && found.contains("device/a packets_in"));
  EXPECT_FALSE(found.contains("ip drop_bad_arp"));
  EXPECT_FALSE(is_daily_work("ip/b", "drop_bad_arp"));
  EXPECT_TRUE(is_daily_work("ip/b", "frames_received"));
}

TEST(Counters, WhatIsCalledDailyWorkIsThere) {
  const Layers layers;
  const auto all = list_counters(layers.sources());
  for (const control::LayerCount& each : daily_work()) {
    EXPECT_TRUE(is_daily_work(each.layer, each.name));
    EXPECT_TRUE(std::any_of(all.begin(), all.end(),
                            [&](const auto& one) { return one.layer == each.layer && one.name == each.name; }))
        << each.layer << " " << each.name << " is no counter any more";
  }
}

TEST(Counters, WhatNobodyCalledDailyWorkIsTrouble) {
  EXPECT_FALSE(is_daily_work("tcp", "a_counter_of_tomorrow"));
  EXPECT_FALSE(is_daily_work("ip", "drop_bad_arp"));
  EXPECT_FALSE(is_daily_work("tcp", "frames_received")) << "that is another layer's";
  for (const control::LayerCount& each : daily_work())
    for (const char* sign : {"drop_", "refused", "error", "lost", "cut", "rejected", "missed", "stale", "no_", "full"})
      EXPECT_EQ(each.name.find(sign), std::string::npos) << each.layer << " " << each.name;
}

// Run at the project's root, as `make unit` does.
TEST(Counters, OperatorsAreToldOfEveryOne) {
  std::ifstream file("docs/OPERATING.md");
  const std::string document{std::istreambuf_iterator<char>(file), {}};
  ASSERT_FALSE(document.empty());
  const Layers layers;
  for (const control::LayerCount& each : list_counters(layers.sources())) {
    std::string name = each.name;
    if (const size_t code = name.find("_error_"); code != std::string::npos) name.replace(code + 7, 3, "NNN");
    if (!is_daily_work(each.layer, each.name)) name = each.layer + " " + name;
    EXPECT_NE(document.find("`" + name + "`"), std::string::npos) << each.layer << " " << each.name;
  }
}

}  // namespace
}  // namespace talaria::app
