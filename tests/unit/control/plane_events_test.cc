// What happens is told to who listens, and to nobody else.

#include "control/listings.h"
#include "core/broker/engine.h"
#include "tests/unit/control/fake_workers.h"

namespace talaria::control {
namespace {

class PlaneEvents : public PlaneTest {
 protected:
  // A client that listens to everything.
  void listen(const char* exchange = event_exchange) {
    listener = open(0);
    ASSERT_TRUE(is_done(ask(listener, queue("events"))));
    ASSERT_TRUE(is_done(ask(listener, bind(exchange, "events", "#"))));
    workers[0]->announcements.clear();
  }
  std::vector<std::string> keys() {
    settle();
    std::vector<std::string> out;
    for (const auto& told : workers[0]->announcements) {
      EXPECT_EQ(told.exchange, event_exchange);
      EXPECT_TRUE(base::find(told.headers, "timestamp_in_ms"));
      EXPECT_EQ(told.body, "");
      out.push_back(told.key);
    }
    return out;
  }
  // A header of the last event with that key.
  std::string header(const std::string& key, const char* name) {
    for (auto told = workers[0]->announcements.rbegin(); told != workers[0]->announcements.rend(); told++) {
      const base::Field* found = told->key == key ? base::find(told->headers, name) : nullptr;
      if (found) return base::to_text(*found);
    }
    return "none";
  }
  broker::SessionAddress listener;
};
using Keys = std::vector<std::string>;

TEST_F(PlaneEvents, AreNotMadeWhenNobodyListens) {
  const auto session = open(1);
  ASSERT_TRUE(is_done(ask(session, queue("q"))));
  plane->log_line("info", "something");
  plane->port_changed(1, "port", true, 0);
  plane->port_changed(2, "port", false, 0);
  settle();
  for (auto& worker : workers) EXPECT_TRUE(worker->announcements.empty());
  for (auto& worker : workers) EXPECT_EQ(worker->links_up, std::vector<uint8_t>{1}) << "they announce themselves again";
  EXPECT_TRUE(is_refused(ask(session, broker::DeleteExchange{.name = event_exchange}),
                         broker::RefusalReason::access_refused,
                         "deletion of system exchange 'amq.talaria.event' in vhost '/' not allowed"));
}

TEST_F(PlaneEvents, AreFoundByRabbitMqsNameOfTheirExchange) {
  listener = open(0);
  ASSERT_TRUE(is_done(ask(listener, queue("events"))));
  auto passive = exchange("amq.rabbitmq.event", "topic");
  passive.passive = true;
  EXPECT_TRUE(is_done(ask(listener, passive)));
  ASSERT_TRUE(is_done(ask(listener, bind("amq.rabbitmq.event", "events", "queue.created"))));
  EXPECT_EQ(plane->catalog().vhost("/")->bindings.size(), 1u);
  workers[0]->announcements.clear();
  ASSERT_TRUE(is_done(ask(listener, queue("q"))));
  EXPECT_EQ(keys(), Keys{"queue.created"});
  broker::Bind unbind = bind("amq.rabbitmq.event", "events", "queue.created");
  unbind.remove = true;
  ASSERT_TRUE(is_done(ask(listener, unbind)));
  EXPECT_TRUE(plane->catalog().vhost("/")->bindings.empty());
  EXPECT_TRUE(is_refused(ask(listener, bind("amq.rabbitmq.other", "events")), broker::RefusalReason::not_found,
                         "no exchange 'amq.rabbitmq.other' in vhost '/'"));
}

TEST_F(PlaneEvents, TracingIsSwitchedForAVhostAndGoesWithIt) {
  ASSERT_TRUE(result_of(plane->add_vhost({"v", "", {}})).has_value());
  const broker::VhostId vhost = plane->catalog().vhost("v")->id;
  EXPECT_FALSE(Catalog::exchange(*plane->catalog().vhost("v"), event_exchange));
  const Exchange* to = Catalog::exchange(*plane->catalog().vhost("v"), trace_exchange);
  ASSERT_TRUE(to && to->internal);
  ASSERT_TRUE(result_of(plane->trace("v", true)).has_value());
  EXPECT_TRUE(plane->catalog().vhost("v")->traced);
  for (auto& worker : workers) EXPECT_EQ(worker->traced[vhost], to->id);
  const size_t before = workers[0]->changes;
  ASSERT_TRUE(result_of(plane->trace("v", true)).has_value());
  EXPECT_EQ(workers[0]->changes, before) << "it is already";
  ASSERT_TRUE(result_of(plane->trace("v", false)).has_value());
  for (auto& worker : workers) EXPECT_EQ(worker->traced[vhost], broker::ExchangeId{});
  EXPECT_FALSE(result_of(plane->trace("nowhere", true)).has_value());
  ASSERT_TRUE(result_of(plane->trace("v", true)).has_value());
  ASSERT_TRUE(result_of(plane->delete_vhost("v")).has_value());
}

TEST_F(PlaneEvents, TellOfTopology) {
  listen();
  const auto session = open(1);
  broker::DeclareQueue declared = queue("q");
  declared.arguments = {{"x-max-length", {int64_t{5}}}};
  ASSERT_TRUE(is_done(ask(session, declared)));
  ASSERT_TRUE(is_done(ask(session, exchange("x", "fanout"))));
  ASSERT_TRUE(is_done(ask(session, bind("x", "q", "k"))));
  ASSERT_TRUE(is_done(ask(session, broker::DeleteQueue{.name = "q"})));
  ASSERT_TRUE(is_done(ask(session, broker::DeleteExchange{.name = "x"})));
  EXPECT_EQ(keys(), (Keys{"connection.created", "queue.created", "exchange.created", "binding.created",
                          "binding.deleted", "queue.deleted", "exchange.deleted"}));
  EXPECT_EQ(header("queue.created", "name"), "\"q\"");
  EXPECT_EQ(header("queue.created", "vhost"), "\"/\"");
  EXPECT_EQ(header("queue.created", "arguments"), "{\"x-max-length\":5}");
  EXPECT_EQ(header("queue.created", "user_who_performed_action"), "\"guest\"");
  EXPECT_EQ(header("queue.deleted", "user_who_performed_action"), "\"guest\"");
  EXPECT_EQ(header("exchange.created", "type"), "\"fanout\"");
  EXPECT_EQ(header("binding.created", "routing_key"), "\"k\"");
  EXPECT_EQ(header("binding.deleted", "destination_name"), "\"q\"");
}

TEST_F(PlaneEvents, TellOfClients) {
  listen();
  ask({{90, 1}, 1}, broker::Authenticate{"PLAIN", "guest", "guest", "198.18.0.1:1"});
  ask({{91, 1}, 1}, broker::Authenticate{"PLAIN", "guest", "wrong", "198.18.0.1:2"});
  const auto session = open(1);
  notify(session, broker::ChannelOpened{7});
  const Queue& events = *Catalog::queue(*plane->catalog().vhost("/"), "events");
  notify(session, broker::ConsumerAdded{7, events.id, "tag", true, false, 3, {}});
  notify(session, broker::ConsumerFoundSlow{7, "tag"});
  notify(session, broker::ConsumerFoundSlow{7, "another"});
  notify(session, broker::ConsumerRemoved{7, "tag"});
  notify(session, broker::ChannelClosed{7});
  ASSERT_TRUE(is_done(ask(session, broker::CloseConnection{})));
  EXPECT_EQ(keys(),
            (Keys{"user.authentication.success", "user.authentication.failure", "connection.created", "channel.created",
                  "consumer.created", "consumer.slow", "consumer.deleted", "channel.closed", "connection.closed"}));
  EXPECT_EQ(header("connection.created", "user"), "\"guest\"");
  EXPECT_EQ(header("connection.created", "pid"), header("connection.closed", "pid"));
  EXPECT_EQ(header("channel.created", "number"), "7");
  EXPECT_EQ(header("consumer.created", "queue"), "\"events\"");
  EXPECT_EQ(header("consumer.created", "ack_required"), "false");
}

TEST_F(PlaneEvents, TellOfConsumersThatGoWithTheirChannel) {
  listen();
  const auto session = open(1);
  notify(session, broker::ChannelOpened{7});
  const Queue& events = *Catalog::queue(*plane->catalog().vhost("/"), "events");
  notify(session, broker::ConsumerAdded{7, events.id, "one", false, false, 0, {}});
  notify(session, broker::ConsumerAdded{7, events.id, "two", false, false, 0, {}});
  notify(session, broker::ChannelClosed{7});
  EXPECT_EQ(keys(), (Keys{"connection.created", "channel.created", "consumer.created", "consumer.created",
                          "consumer.deleted", "consumer.deleted", "channel.closed"}));
  EXPECT_EQ(header("consumer.deleted", "queue"), "\"events\"");
}

TEST_F(PlaneEvents, TellOfChannelsThatGoWithTheirConnection) {
  listen();
  const auto session = open(1);
  notify(session, broker::ChannelOpened{7});
  const Queue& events = *Catalog::queue(*plane->catalog().vhost("/"), "events");
  notify(session, broker::ConsumerAdded{7, events.id, "one", false, false, 0, {}});
  ASSERT_TRUE(is_done(ask(session, broker::CloseConnection{})));
  EXPECT_EQ(keys(), (Keys{"connection.created", "channel.created", "consumer.created", "consumer.deleted",
                          "channel.closed", "connection.closed"}));
}

TEST_F(PlaneEvents, TellOfWhatOperatorsDo) {
  listen();
  const PolicyRow policy{"v", "p", false, "^a", "queues", 2, {{"max-length", {int64_t{1}}}}};
  for (const Ticket ticket :
       {plane->add_vhost({"v", "text", {"a"}}), plane->update_vhost("v", "other text", std::nullopt),
        plane->add_user("u", "p"), plane->set_user_tags("u", {"monitoring"}), plane->change_password("u", "q"),
        plane->set_permissions({"u", "v", "a", "b", "c"}), plane->set_topic_permissions({"u", "v", "x", "b", "c"}),
        plane->set_policy(policy), plane->set_vhost_limits("v", {{"max-queues", 3}}), plane->set_vhost_limits("v", {}),
        plane->set_user_limits("u", {{"max-channels", 3}}), plane->clear_user_limits("u", "all"),
        plane->clear_policy("v", "p", false), plane->clear_topic_permissions("u", "v", std::nullopt),
        plane->clear_permissions("u", "v"), plane->delete_user("u"), plane->delete_vhost("v")})
    EXPECT_TRUE(result_of(ticket).has_value());
  Keys wanted{"vhost.created",
              "vhost.updated",
              "user.created",
              "user.tags.set",
              "user.password.changed",
              "permission.created",
              "topic.permission.created",
              "policy.set",
              "vhost.limits.set",
              "vhost.limits.cleared",
              "user.limits.set",
              "user.limits.cleared",
              "policy.cleared",
              "topic.permission.deleted",
              "permission.deleted",
              "user.deleted"};
  Keys got = keys();
  ASSERT_GE(got.size(), wanted.size());
  EXPECT_EQ(got.back(), "vhost.deleted");
  std::erase_if(got, [](const std::string& key) { return key.starts_with("exchange.") || key == "vhost.deleted"; });
  EXPECT_EQ(got, wanted);
  EXPECT_EQ(header("vhost.created", "description"), "\"text\"");
  EXPECT_EQ(header("vhost.updated", "description"), "\"other text\"");
  EXPECT_EQ(header("vhost.created", "user_who_performed_action"), "\"rmq-cli\"");
  EXPECT_EQ(header("policy.set", "definition"), "{\"max-length\":1}");
  EXPECT_EQ(header("policy.set", "priority"), "2");
  EXPECT_EQ(header("permission.created", "write"), "\"b\"");
  EXPECT_EQ(header("vhost.limits.set", "limits"), "{\"max-queues\":3}");
}

TEST_F(PlaneEvents, TellOfMemoryAndPorts) {
  broker::PressureBoard board;
  options.pressure = &board;
  start(memory);
  listen();
  board.workers[2].pressed.set(1);
  settle();
  plane->port_changed(0, "tap0", false, 0);
  board.workers[2].pressed.set(0);
  EXPECT_EQ(keys(), (Keys{"alarm.set", "port.down", "alarm.cleared"}));
  EXPECT_EQ(header("alarm.set", "worker"), "2");
  EXPECT_EQ(header("alarm.set", "resource"), "\"memory\"");
  EXPECT_EQ(header("port.down", "name"), "\"tap0\"");
}

class PlaneAlerts : public PlaneEvents {
 protected:
  void declare(const char* name, base::FieldTable arguments) {
    broker::DeclareQueue declared = queue(name);
    declared.arguments = std::move(arguments);
    ASSERT_TRUE(is_done(ask(session, declared)));
    settle();
    workers[0]->announcements.clear();
  }
  broker::QueueCounters& counters(const char* name) { return *found(name).counters; }
  Queue& found(const char* name) { return *Catalog::queue(*plane->catalog().vhost("/"), name); }
  std::string raised(const char* name) {
    for (const auto& row : list_queues(*plane->catalog().vhost("/")))
      if (row["name"] == name) return row["alerts"].dump();
    return "none";
  }
  void SetUp() override {
    listen();
    session = open(1);
  }
  broker::SessionAddress session;
};

TEST_F(PlaneAlerts, AreToldWhenAThresholdIsPassedEitherWay) {
  declare("q", {{"x-alert-up", {int32_t{10}}}, {"x-alert-down", {int32_t{3}}}});
  counters("q").ready.set(9);
  EXPECT_EQ(keys(), Keys{});
  EXPECT_EQ(raised("q"), "[]");
  counters("q").ready.set(10);
  counters("q").bytes_ready.set(77);
  EXPECT_EQ(keys(), Keys{"threshold.up"});
  EXPECT_EQ(raised("q"), "[\"messages\"]");
  EXPECT_EQ(header("threshold.up", "name"), "\"q\"");
  EXPECT_EQ(header("threshold.up", "vhost"), "\"/\"");
  EXPECT_EQ(header("threshold.up", "of"), "\"messages\"");
  EXPECT_EQ(header("threshold.up", "threshold"), "10");
  EXPECT_EQ(header("threshold.up", "messages_ready"), "10");
  EXPECT_EQ(header("threshold.up", "message_bytes_ready"), "77");
  for (uint64_t count : {20, 10, 9, 4}) {
    counters("q").ready.set(count);
    EXPECT_EQ(keys(), Keys{"threshold.up"}) << count;
  }
  counters("q").ready.set(3);
  EXPECT_EQ(keys(), (Keys{"threshold.up", "threshold.down"}));
  EXPECT_EQ(header("threshold.down", "threshold"), "3");
  EXPECT_EQ(raised("q"), "[]");
  counters("q").ready.set(9);
  EXPECT_EQ(keys().size(), 2u);
  counters("q").ready.set(11);
  EXPECT_EQ(keys().size(), 3u);
}

TEST_F(PlaneAlerts, OfBytesAreTheirOwnAndEndAtHalf) {
  declare("q", {{"x-alert-up", {int32_t{10}}}, {"x-alert-up-bytes", {int32_t{1000}}}});
  counters("q").bytes_ready.set(1000);
  EXPECT_EQ(keys(), Keys{"threshold.up"});
  EXPECT_EQ(header("threshold.up", "of"), "\"bytes\"");
  counters("q").ready.set(10);
  EXPECT_EQ(keys(), (Keys{"threshold.up", "threshold.up"}));
  EXPECT_EQ(raised("q"), "[\"messages\",\"bytes\"]");
  counters("q").bytes_ready.set(501);
  EXPECT_EQ(keys().size(), 2u);
  counters("q").bytes_ready.set(500);
  EXPECT_EQ(keys().size(), 3u);
  EXPECT_EQ(header("threshold.down", "of"), "\"bytes\"");
  EXPECT_EQ(header("threshold.down", "threshold"), "500");
}

TEST_F(PlaneAlerts, ComeAndGoWithAPolicy) {
  declare("q", {});
  counters("q").ready.set(10);
  PolicyRow row{"/", "p", false, "^q", "queues", 0, {{"alert-up", {int64_t{5}}}, {"alert-down", {int64_t{2}}}}};
  ASSERT_TRUE(result_of(plane->set_policy(row)).has_value());
  EXPECT_EQ(keys(), (Keys{"policy.set", "threshold.up"}));
  row.definition = {{"alert-up", {int64_t{50}}}, {"alert-down", {int64_t{20}}}};
  ASSERT_TRUE(result_of(plane->set_policy(row)).has_value());
  EXPECT_EQ(keys(), (Keys{"policy.set", "threshold.up", "policy.set", "threshold.down"}));
  ASSERT_TRUE(result_of(plane->clear_policy("/", "p", false)).has_value());
  counters("q").ready.set(1000);
  EXPECT_EQ(keys().back(), "policy.cleared");
  EXPECT_EQ(found("q").alerts, nullptr);
  EXPECT_EQ(workers[0]->setting_changes, 0u) << "the workers have nothing to do with it";
  ASSERT_TRUE(result_of(plane->set_policy(row)).has_value());
  EXPECT_EQ(keys().back(), "threshold.up");
}

TEST_F(PlaneAlerts, OfManyQueuesAreLookedAtInTurnAndGoWithThem) {
  for (int i = 0; i < 1000; i++) declare(("q" + std::to_string(i)).c_str(), {{"x-alert-up", {int32_t{1}}}});
  for (int i = 0; i < 1000; i++) counters(("q" + std::to_string(i)).c_str()).ready.set(1);
  for (int i = 0; i < 5; i++) settle();
  EXPECT_EQ(keys().size(), 1000u);
  for (int i = 0; i < 1000; i += 2)
    ASSERT_TRUE(is_done(ask(session, broker::DeleteQueue{.name = "q" + std::to_string(i)})));
  for (int i = 1; i < 1000; i += 2) counters(("q" + std::to_string(i)).c_str()).ready.set(0);
  workers[0]->announcements.clear();
  for (int i = 0; i < 5; i++) settle();
  EXPECT_EQ(keys(), Keys(500, "threshold.down"));
}

TEST_F(PlaneEvents, LeaveOutWhatDoesNotFitAFrame) {
  listen();
  const auto session = open(1);
  broker::DeclareQueue declared = queue(std::string(255, 'q'));
  declared.arguments = {{"long", {std::string(5000, 'x')}}};
  ASSERT_TRUE(is_done(ask(session, declared)));
  ASSERT_EQ(keys().back(), "queue.created");
  EXPECT_EQ(header("queue.created", "arguments"), "none");
  EXPECT_EQ(header("queue.created", "truncated"), "true");
}

TEST_F(PlaneEvents, LogLinesHaveTheirLevelAsKey) {
  listen(log_exchange);
  plane->log_line("warning", std::string(10000, 'w'));
  settle();
  ASSERT_EQ(workers[0]->announcements.size(), 1u);
  const auto& told = workers[0]->announcements[0];
  EXPECT_EQ(told.exchange, log_exchange);
  EXPECT_EQ(told.key, "warning");
  EXPECT_EQ(told.body, std::string(Plane::log_line_max, 'w'));
}

}  // namespace
}  // namespace talaria::control
