// Commands as messages: who may give which, what they answer, and how many are taken.

#include "control/message_door.h"

#include <gmock/gmock.h>

#include <set>

#include "control/verbs.h"
#include "tests/unit/control/fake_statistics.h"
#include "tests/unit/control/fake_workers.h"

namespace talaria::control {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class MessageDoorTest : public PlaneTest {
 protected:
  MessageDoorTest() { begin(true); }
  void begin(bool management) {
    door.reset();
    commands.reset();
    options.management = management;
    start(memory);
    commands.emplace(*plane, statistics, "1.2.3");
    door.emplace(*plane, *commands);
    client = open(0);
  }
  void turn(int rounds = 4) {
    for (int i = 0; i < rounds; i++) {
      settle();
      door->poll(now);
    }
    settle();
  }
  static broker::Manage manage(const std::string& command, const std::string& arguments = "") {
    broker::Manage out;
    out.command = command;
    out.arguments = arguments;
    out.reply_to = "answers";
    out.correlation_id = "c-7";
    return out;
  }
  // What comes to `answers`; the session is told that its command is done.
  json ask_by_message(const broker::SessionAddress& from, const broker::Manage& command) {
    workers[0]->announcements.clear();
    const uint64_t token = send(from, command);
    turn();
    const auto answer = answer_to(from, token);
    EXPECT_TRUE(answer && is_done(*answer));
    if (workers[0]->announcements.empty()) return {};
    const auto& told = workers[0]->announcements.back();
    EXPECT_EQ(told.exchange, "");
    EXPECT_EQ(told.key, command.reply_to);
    EXPECT_EQ(told.content_type, "application/json");
    EXPECT_EQ(told.correlation_id, command.correlation_id);
    return json::parse(told.body, nullptr, false);
  }
  json ask_by_message(const std::string& command, const json& arguments = json::object()) {
    return ask_by_message(client, manage(command, arguments.dump()));
  }
  // Whether the account may: its error otherwise.
  std::string error(const broker::SessionAddress& from, const std::string& command,
                    const json& arguments = json::object()) {
    return ask_by_message(from, manage(command, arguments.dump())).value("error", "");
  }
  broker::SessionAddress one_with(const std::string& tag, const std::string& name) {
    EXPECT_TRUE(result_of(plane->add_user(name, "secret")).has_value());
    EXPECT_TRUE(result_of(plane->set_user_tags(name, {tag})).has_value());
    EXPECT_TRUE(result_of(plane->set_permissions({name, "/", ".*", ".*", ".*"})).has_value());
    return open(1, name);
  }

  FakeStatistics statistics;
  std::optional<Commands> commands;
  std::optional<MessageDoor> door;
  broker::SessionAddress client;
};

TEST_F(MessageDoorTest, AnAdministratorGivesThemAll) {
  ASSERT_TRUE(is_done(ask(client, queue("q"))));
  EXPECT_EQ(ask_by_message("list_queues", {{"columns", {"name", "messages"}}}),
            (json{{"ok", true}, {"result", {{{"name", "q"}, {"messages", 0}}}}}));
  EXPECT_EQ(ask_by_message(client, manage("status"))["result"]["queues"], 1) << "without arguments";
  EXPECT_EQ(ask_by_message("status")["result"]["commands_in_messages"], 3);
  EXPECT_EQ(ask_by_message("add_user", {{"user", "u"}, {"password", "p"}}), json::parse(R"({"ok":true,"result":{}})"));
  EXPECT_NE(plane->catalog().user("u"), nullptr);
  EXPECT_EQ(ask_by_message("purge_queue", {{"queue", "q"}})["result"]["count"], 7);
}

TEST_F(MessageDoorTest, EveryOneIsKnownToBothDoors) {
  Commands::Pending pending;
  for (const Verb& verb : all_verbs()) {
    if (verb.name == "stop") continue;
    const auto reply = commands->start(json{{"command", verb.name}}.dump(), pending);
    if (!reply)
      commands->abandon(pending);
    else
      EXPECT_NE(json::parse(*reply).value("error", ""), "unknown_command") << verb.name;
    EXPECT_NE(error(client, std::string(verb.name)), "unknown_command") << verb.name;
  }
  EXPECT_EQ(error(client, "no_such_thing"), "unknown_command");
  EXPECT_FALSE(commands->stop_requested());
  EXPECT_EQ(error(client, "stop"), "");
  EXPECT_TRUE(commands->stop_requested());
}

TEST_F(MessageDoorTest, TagsSayWhoMayGiveWhich) {
  ASSERT_TRUE(result_of(plane->add_vhost({"other", "", {}})).has_value());
  const json policy{{"name", "p"}, {"pattern", "^q"}, {"definition", {{"max-length", 5}}}};
  const std::map<std::string, std::set<std::string>> may = {
      {"nothing", {}},
      {"management", {"list_queues", "list_policies"}},
      {"policymaker", {"list_queues", "list_policies", "set_policy"}},
      {"monitoring", {"list_queues", "list_policies", "list_connections", "counters", "list_queues other"}},
      {"administrator",
       {"list_queues", "list_policies", "list_connections", "counters", "set_policy", "list_queues other",
        "set_policy other", "list_users"}}};
  for (const auto& [tag, verbs] : may) {
    const auto session = one_with(tag, "one-" + tag);
    std::set<std::string> done;
    for (const char* verb : {"list_queues", "list_policies", "list_connections", "counters", "list_users"})
      if (error(session, verb).empty()) done.insert(verb);
    if (error(session, "set_policy", policy).empty()) done.insert("set_policy");
    json elsewhere = policy;
    elsewhere["vhost"] = "other";
    if (error(session, "set_policy", elsewhere).empty()) done.insert("set_policy other");
    if (error(session, "list_queues", {{"vhost", "other"}}).empty()) done.insert("list_queues other");
    EXPECT_EQ(done, verbs) << tag;
    EXPECT_EQ(error(session, "list_queues", {{"vhost", 5}}).empty(), false) << tag;
  }
  const auto nobody = open(1, "one-nothing");
  EXPECT_EQ(ask_by_message(nobody, manage("list_queues")), json::parse(R"({"ok":false,"error":"access_refused",
                 "message":"user 'one-nothing' may not give the command 'list_queues' in vhost '/'"})"));
  // What an account may, it may as long as it has the tag.
  const auto once = open(1, "one-administrator");
  ASSERT_TRUE(result_of(plane->set_user_tags("one-administrator", {})).has_value());
  EXPECT_EQ(error(once, "list_users"), "access_refused");
}

TEST_F(MessageDoorTest, AVhostThatIsNotNamedIsTheConnections) {
  ASSERT_TRUE(result_of(plane->add_vhost({"v", "", {}})).has_value());
  ASSERT_TRUE(result_of(plane->set_permissions({"guest", "v", ".*", ".*", ".*"})).has_value());
  const auto there = open(0, "guest", "v");
  ASSERT_TRUE(is_done(ask(there, queue("in-v"))));
  EXPECT_EQ(ask_by_message(there, manage("list_queues"))["result"][0]["vhost"], "v");
  EXPECT_EQ(ask_by_message(client, manage("list_queues"))["result"].size(), 0u);
  EXPECT_EQ(error(there, "delete_vhost"), "bad_argument") << "which one is never taken for granted";
  EXPECT_NE(plane->catalog().vhost("v"), nullptr);
}

TEST_F(MessageDoorTest, WhatIsNoCommandIsAnsweredSo) {
  EXPECT_EQ(ask_by_message(client, manage("list_queues", "[]"))["error"], "bad_request");
  EXPECT_EQ(ask_by_message(client, manage("list_queues", "{\"vhost\":"))["error"], "bad_request");
  EXPECT_EQ(ask_by_message(client, manage("list_queues", std::string(500000, '[')))["error"], "bad_request");
  const std::string deep = "{\"a\":" + std::string(70, '[') + std::string(70, ']') + "}";
  EXPECT_THAT(ask_by_message(client, manage("list_queues", deep))["message"], HasSubstr("more than 64 deep"));
  EXPECT_EQ(ask_by_message(client, manage("list_queues", R"({"a":"[[[\"[[[","b":[[1]]})"))["ok"], true);
  EXPECT_EQ(ask_by_message("list_queues", {{"columns", {"colour"}}})["error"], "bad_argument");
  EXPECT_EQ(ask_by_message("capture_start")["error"], "access_refused");
  EXPECT_EQ(ask_by_message("delete_user", {{"user", "nobody"}})["error"], "no_such_user");
}

TEST_F(MessageDoorTest, AnAnswerThatIsTooLongIsRefused) {
  for (int i = 0; i < 4000; i++) send(client, queue("a-queue-with-quite-a-long-name-" + std::to_string(i)));
  settle();
  EXPECT_EQ(ask_by_message("list_queues")["error"], "too_large");
  EXPECT_EQ(ask_by_message("list_queues", {{"columns", {"name"}}})["result"].size(), 4000u);
}

TEST_F(MessageDoorTest, TheAnswerGoesWhereTheClientMayPublish) {
  ASSERT_TRUE(result_of(plane->add_user("u", "secret")).has_value());
  ASSERT_TRUE(result_of(plane->set_user_tags("u", {"administrator"})).has_value());
  ASSERT_TRUE(result_of(plane->set_permissions({"u", "/", "", "^amq\\.talaria", ""})).has_value());
  const auto session = open(1, "u");
  EXPECT_TRUE(is_refused(ask(session, manage("status")), broker::RefusalReason::access_refused,
                         "write access to exchange 'amq.default' in vhost '/' refused for user 'u'"));
  broker::Manage direct = manage("status");
  direct.reply_is_direct = true;
  EXPECT_EQ(ask_by_message(session, direct)["ok"], true);
}

TEST_F(MessageDoorTest, AChangeIsAnsweredWhenAllWorkersKnow) {
  workers[2]->held = true;
  const uint64_t token = send(client, manage("add_vhost", R"({"vhost":"v"})"));
  turn();
  EXPECT_TRUE(workers[0]->announcements.empty());
  EXPECT_FALSE(answer_to(client, token).has_value());
  workers[2]->held = false;
  turn();
  ASSERT_EQ(workers[0]->announcements.size(), 1u);
  EXPECT_TRUE(answer_to(client, token).has_value());
}

TEST_F(MessageDoorTest, OnlySoManyASecondTheOthersWait) {
  for (unsigned i = 0; i < MessageDoor::commands_per_second + 50; i++) send(client, manage("status"));
  for (int i = 0; i < 10; i++) {
    plane->poll(now);
    for (auto& worker : workers) worker->turn();
    door->poll(now);
  }
  EXPECT_LE(workers[0]->announcements.size(), MessageDoor::commands_per_second);
  for (int i = 0; i < 1000; i++) turn(1);
  EXPECT_EQ(workers[0]->announcements.size(), MessageDoor::commands_per_second + 50);
}

TEST_F(MessageDoorTest, EventsSayWhoseItWas) {
  ASSERT_TRUE(is_done(ask(client, queue("events"))));
  ASSERT_TRUE(is_done(ask(client, queue("q"))));
  ASSERT_TRUE(is_done(ask(client, bind(event_exchange, "events", "#"))));
  const auto admin = one_with("administrator", "admin");
  workers[0]->announcements.clear();
  send(admin, manage("add_user", R"({"user":"u","password":"p"})"));
  turn();
  send(admin, manage("delete_queue", R"({"queue":"q"})"));
  turn();
  std::map<std::string, std::string> whose;
  for (const auto& told : workers[0]->announcements)
    if (const base::Field* user = base::find(told.headers, "user_who_performed_action"))
      whose[told.key] = base::to_text(*user);
  EXPECT_EQ(whose["user.created"], "\"admin\"");
  EXPECT_EQ(whose["queue.deleted"], "\"admin\"");
}

TEST_F(MessageDoorTest, WithoutADoorTheyAreRefused) {
  begin(false);
  EXPECT_TRUE(is_refused(ask(client, manage("status")), broker::RefusalReason::not_implemented,
                         "commands are not taken as messages here"));
}

TEST_F(MessageDoorTest, NothingIsRoutedFromTheirExchange) {
  const std::string exchange(broker::management_exchange);
  ASSERT_TRUE(is_done(ask(client, queue("q"))));
  EXPECT_TRUE(is_refused(ask(client, bind(exchange, "q", "#")), broker::RefusalReason::access_refused,
                         "nothing can be bound to exchange 'amq.talaria.management'"));
  PolicyRow policy;
  policy.vhost = "/";
  policy.name = "p";
  policy.apply_to = "exchanges";
  policy.definition = {{"alternate-exchange", {std::string("amq.fanout")}}};
  ASSERT_TRUE(result_of(plane->set_policy(policy)).has_value());
  EXPECT_EQ(Catalog::exchange(*plane->catalog().vhost("/"), exchange)->alternate, "");
  EXPECT_EQ(Catalog::exchange(*plane->catalog().vhost("/"), "amq.direct")->alternate, "amq.fanout");
}

}  // namespace
}  // namespace talaria::control
