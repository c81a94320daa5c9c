// The control socket from the outside: every verb, garbage, greed and slowness.

#include "control/control_socket.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "control/listings.h"
#include "tests/unit/control/fake_statistics.h"
#include "tests/unit/control/fake_workers.h"

namespace talaria::control {
namespace {

using nlohmann::json;

class ControlSocketTest : public PlaneTest {
 protected:
  ControlSocketTest() {
    std::string name = (std::filesystem::temp_directory_path() / "talaria-socket-XXXXXX").string();
    directory = ::mkdtemp(name.data());
    path = directory / "control.sock";
    commands.emplace(*plane, statistics, "1.2.3");
    socket.emplace(path, *commands);
  }
  ~ControlSocketTest() override {
    for (int descriptor : descriptors) ::close(descriptor);
    socket.reset();
    std::filesystem::remove_all(directory);
  }

  int connect() {
    int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.native().size());
    EXPECT_EQ(::connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ::fcntl(descriptor, F_SETFL, O_NONBLOCK);
    descriptors.push_back(descriptor);
    return descriptor;
  }
  // The control thread's loop, a few rounds of it.
  void turn(int rounds = 5) {
    for (int i = 0; i < rounds; i++) {
      settle();
      socket->poll(now, std::chrono::milliseconds(0));
    }
  }
  static void write(int descriptor, std::string_view text) {
    ASSERT_EQ(::send(descriptor, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  static std::string read(int descriptor, size_t most = 1 << 20) {
    std::string out(most, '\0');
    ssize_t size = ::recv(descriptor, out.data(), out.size(), 0);
    out.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return out;
  }
  static bool is_closed(int descriptor) {
    char byte;
    ssize_t size = ::recv(descriptor, &byte, 1, 0);
    return size == 0 || (size < 0 && errno == ECONNRESET);
  }
  json ask_line(const std::string& line) {
    int descriptor = connect();
    write(descriptor, line + "\n");
    turn();
    return json::parse(read(descriptor), nullptr, false);
  }
  json result_of_verb(const json& request) {
    json reply = ask_line(request.dump());
    EXPECT_TRUE(reply.value("ok", false)) << request << " " << reply;
    return reply.value("result", json());
  }
  std::string error_of_verb(const json& request) {
    json reply = ask_line(request.dump());
    EXPECT_FALSE(reply.value("ok", true)) << request << " " << reply;
    EXPECT_FALSE(reply.value("message", "").empty());
    return reply.value("error", "");
  }

  FakeStatistics statistics;
  std::filesystem::path directory, path;
  std::optional<Commands> commands;
  std::optional<ControlSocket> socket;
  std::vector<int> descriptors;
};

TEST_F(ControlSocketTest, AccountsVhostsAndPermissions) {
  result_of_verb({{"command", "add_user"}, {"user", "u"}, {"password", "p"}});
  EXPECT_EQ(error_of_verb({{"command", "add_user"}, {"user", "u"}, {"password", "p"}}), "already_exists");
  EXPECT_EQ(error_of_verb({{"command", "add_user"}, {"user", "v"}}), "bad_argument");
  EXPECT_EQ(error_of_verb({{"command", "add_user"}, {"user", 5}, {"password", "p"}}), "bad_argument");
  result_of_verb({{"command", "change_password"}, {"user", "u"}, {"password", "q"}});
  result_of_verb({{"command", "set_user_tags"}, {"user", "u"}, {"tags", {"administrator"}}});
  EXPECT_EQ(error_of_verb({{"command", "set_user_tags"}, {"user", "u"}, {"tags", "x"}}), "bad_argument");
  EXPECT_EQ(error_of_verb({{"command", "delete_user"}, {"user", "w"}}), "no_such_user");
  EXPECT_EQ(result_of_verb({{"command", "list_users"}}),
            json::parse(R"([{"user":"guest","tags":["administrator"]},{"user":"u","tags":["administrator"]}])"));
  result_of_verb({{"command", "add_vhost"}, {"vhost", "v"}, {"description", "d"}, {"tags", {"t"}}});
  EXPECT_EQ(result_of_verb({{"command", "list_vhosts"}, {"columns", {"name"}}}),
            json::parse(R"([{"name":"/"},{"name":"v"}])"));
  result_of_verb({{"command", "update_vhost_metadata"}, {"vhost", "v"}, {"description", "e"}});
  EXPECT_EQ(
      result_of_verb({{"command", "list_vhosts"}})[1],
      json::parse(R"({"name":"v","description":"e","tags":["t"],"default_queue_type":"classic","tracing":false})"));
  result_of_verb({{"command", "update_vhost_metadata"}, {"vhost", "v"}, {"tags", json::array()}});
  EXPECT_EQ(result_of_verb({{"command", "list_vhosts"}, {"columns", {"description", "tags"}}})[1],
            json::parse(R"({"description":"e","tags":[]})"));
  EXPECT_EQ(error_of_verb({{"command", "update_vhost_metadata"}, {"vhost", "v"}, {"tags", {"a b"}}}), "bad_argument");
  EXPECT_EQ(error_of_verb({{"command", "update_vhost_metadata"}, {"vhost", "w"}}), "no_such_vhost");
  result_of_verb({{"command", "set_permissions"},
                  {"user", "u"},
                  {"vhost", "v"},
                  {"configure", "c"},
                  {"write", ""},
                  {"read", ".*"}});
  EXPECT_EQ(result_of_verb({{"command", "list_permissions"}, {"vhost", "v"}}),
            json::parse(R"([{"user":"u","configure":"c","write":"","read":".*"}])"));
  EXPECT_EQ(error_of_verb({{"command", "list_permissions"}, {"vhost", "w"}}), "no_such_vhost");
  result_of_verb({{"command", "clear_permissions"}, {"user", "u"}, {"vhost", "v"}});
  EXPECT_EQ(result_of_verb({{"command", "list_permissions"}, {"vhost", "v"}}), json::array());
  result_of_verb({{"command", "delete_vhost"}, {"vhost", "v"}});
  result_of_verb({{"command", "delete_user"}, {"user", "u"}});
  EXPECT_EQ(plane->catalog().users().size(), 1u);
}

TEST_F(ControlSocketTest, TopologyIsListedAndChanged) {
  auto client = open(1);
  auto declared = std::get<broker::QueueDeclared>(ask(client, queue("q")));
  const_cast<broker::QueueCounters*>(workers[0]->queue("q")->counters)->enqueued.add(5);
  ASSERT_TRUE(is_done(ask(client, bind("amq.topic", "q", "a.#"))));
  EXPECT_EQ(result_of_verb({{"command", "list_queues"}, {"columns", {"name", "messages", "enqueued", "worker"}}}),
            json::array({{{"name", "q"}, {"messages", 0}, {"enqueued", 5}, {"worker", declared.home}}}));
  EXPECT_EQ(error_of_verb({{"command", "list_queues"}, {"columns", {"colour"}}}), "bad_argument");
  EXPECT_EQ(result_of_verb({{"command", "list_exchanges"}}).size(),
            std::size(predeclared_exchanges) + std::size(own_exchanges));
  json bindings = result_of_verb({{"command", "list_bindings"}});
  ASSERT_EQ(bindings.size(), 2u);
  EXPECT_EQ(bindings[0]["source_name"], "");
  EXPECT_EQ(bindings[0]["routing_key"], "q");
  EXPECT_EQ(bindings[1]["source_name"], "amq.topic");
  EXPECT_EQ(result_of_verb({{"command", "purge_queue"}, {"queue", "q"}})["count"], 7);
  EXPECT_EQ(result_of_verb({{"command", "delete_queue"}, {"queue", "q"}, {"if_empty", false}})["count"], 7);
  EXPECT_EQ(error_of_verb({{"command", "delete_queue"}, {"queue", "q"}}), "not_found");
  EXPECT_EQ(result_of_verb({{"command", "list_queues"}}), json::array());
}

TEST_F(ControlSocketTest, ConnectionsChannelsAndConsumersAreListedAndClosed) {
  auto client = open(1);
  auto declared = std::get<broker::QueueDeclared>(ask(client, queue("q")));
  auto counters = std::make_shared<broker::ChannelCounters>();
  counters->unacknowledged.set(5);
  counters->unconfirmed.set(6);
  notify(client, broker::ChannelOpened{3, counters});
  broker::ConsumerAdded added;
  added.channel = 3;
  added.queue = declared.queue;
  added.tag = std::string("tag\xff");  // what is no UTF-8 is shown all the same
  notify(client, added);
  json connection = result_of_verb({{"command", "list_connections"}})[0];
  EXPECT_EQ(connection["user"], "guest");
  EXPECT_EQ(connection["peer_host"], "198.18.0.1");
  EXPECT_EQ(connection["peer_port"], "40001");
  EXPECT_EQ(connection["state"], "blocked");
  EXPECT_EQ(connection["recv_oct"], 77);
  EXPECT_EQ(connection["channels"], 1);
  json channels = result_of_verb({{"command", "list_channels"}});
  EXPECT_EQ(channels[0]["pid"], "<1.1.1.3>");
  EXPECT_EQ(channels[0]["messages_unacknowledged"], 5);
  EXPECT_EQ(channels[0]["messages_unconfirmed"], 6);
  json consumers = result_of_verb({{"command", "list_consumers"}});
  ASSERT_EQ(consumers.size(), 1u);
  EXPECT_EQ(consumers[0]["queue_name"], "q");
  EXPECT_EQ(consumers[0]["consumer_tag"], "tag\xef\xbf\xbd");
  // A queue that has gone has no consumers, whatever notices are still on their way.
  ASSERT_TRUE(is_done(ask(client, broker::DeleteQueue{.name = "q"})));
  EXPECT_EQ(result_of_verb({{"command", "list_consumers"}}), json::array());

  EXPECT_EQ(error_of_verb({{"command", "close_connection"}, {"pid", "x"}, {"explanation", "e"}}), "bad_argument");
  EXPECT_EQ(error_of_verb({{"command", "close_connection"}, {"pid", "<0.9.9>"}, {"explanation", "e"}}), "not_found");
  result_of_verb({{"command", "close_connection"}, {"pid", connection["pid"]}, {"explanation", "enough"}});
  EXPECT_EQ(workers[1]->closed.at(0), std::pair(client, std::string("enough")));
}

TEST_F(ControlSocketTest, DefinitionsGoThroughTheSocket) {
  result_of_verb({{"command", "import_definitions"},
                  {"definitions", {{"vhosts", {{{"name", "v"}}}}, {"parameters", {{{"component", "shovel"}}}}}}});
  json exported = result_of_verb({{"command", "export_definitions"}});
  EXPECT_EQ(exported["vhosts"].size(), 2u);
  EXPECT_EQ(exported["product_version"], "1.2.3");
  json report = result_of_verb(
      {{"command", "import_definitions"}, {"definitions", {{"parameters", {{{"component", "shovel"}}}}}}});
  EXPECT_EQ(report["report"][0], "parameters: component 'shovel' is not supported: left out");
  EXPECT_EQ(error_of_verb({{"command", "import_definitions"}, {"definitions", {{"users", 1}}}}), "bad_argument");
  EXPECT_EQ(error_of_verb({{"command", "import_definitions"}}), "bad_argument");
}

TEST_F(ControlSocketTest, PoliciesAreSetListedAndCleared) {
  const json given = {{"name", "p"}, {"pattern", "^a"}, {"definition", {{"max-length", 5}}}, {"priority", 2}};
  for (const std::string kind : {"policy", "operator_policy"}) {
    json request = given;
    request["command"] = "set_" + kind;
    result_of_verb(request);
    const json rows = result_of_verb({{"command", kind == "policy" ? "list_policies" : "list_operator_policies"}});
    json wanted = given;
    wanted["vhost"] = "/";
    wanted["apply-to"] = "all";
    EXPECT_EQ(rows, json::array({wanted}));
    EXPECT_EQ(error_of_verb({{"command", "clear_" + kind}, {"name", "q"}}), "not_found");
  }
  const auto session = open(0);
  ask(session, queue("a"));
  const json row = result_of_verb({{"command", "list_queues"}})[0];
  EXPECT_EQ(row["policy"], "p");
  EXPECT_EQ(row["operator_policy"], "p");
  EXPECT_EQ(row["effective_policy_definition"], (json{{"max-length", 5}}));
  for (const char* wrong : {R"({"name":"p","pattern":"a","definition":5})", R"({"name":"p","pattern":"a"})",
                            R"({"name":"p","pattern":"a","definition":{"max-length":5},"priority":"high"})",
                            R"({"name":"p","pattern":"a","definition":{"colour":5}})"}) {
    json request = json::parse(wrong);
    request["command"] = "set_policy";
    EXPECT_EQ(error_of_verb(request), "bad_argument") << wrong;
  }
  result_of_verb({{"command", "clear_policy"}, {"name", "p"}});
  EXPECT_EQ(result_of_verb({{"command", "list_policies"}}), json::array());
}

TEST_F(ControlSocketTest, StatisticsAreRead) {
  open(0);
  commands->poll(now);
  statistics.busy = 500'000'000;
  statistics.asleep = 1'200'000'000;
  statistics.packets = 3000;
  now += std::chrono::seconds(2);
  commands->poll(now);
  json workers_rows = result_of_verb({{"command", "workers"}});
  ASSERT_EQ(workers_rows.size(), 2u);
  EXPECT_EQ(workers_rows[1]["core"], 3);
  EXPECT_DOUBLE_EQ(workers_rows[1]["busy_percent"].get<double>(), 25.0);
  EXPECT_NEAR(workers_rows[1]["idle_percent"].get<double>(), 15.0, 0.01);
  EXPECT_NEAR(workers_rows[1]["asleep_percent"].get<double>(), 60.0, 0.01);
  EXPECT_NEAR(workers_rows[1]["packets_in_rate"].get<double>(), 1500.0, 10.0);
  EXPECT_DOUBLE_EQ(workers_rows[1]["longest_turn_us"].get<double>(), 2.5);
  EXPECT_EQ(workers_rows[1]["refusals"]["tcp drop_bad_checksum"], 3);

  EXPECT_EQ(result_of_verb({{"command", "counters"}}),
            json::parse(R"([{"worker":0,"layer":"tcp","counter":"drop_bad_checksum","value":3},
                            {"worker":1,"layer":"tcp","counter":"drop_bad_checksum","value":3}])"));

  for (int i = 0; i < 100; i++) statistics.latency[0].record(1000);
  statistics.latency[1].record(1000000);
  json latency = result_of_verb({{"command", "latency"}});
  ASSERT_EQ(latency.size(), 3u);
  EXPECT_EQ(latency[2]["worker"], "all");
  EXPECT_EQ(latency[2]["messages"], 101);
  EXPECT_NEAR(latency[2]["p50_us"].get<double>(), 1.0, 0.05);
  EXPECT_NEAR(latency[2]["max_us"].get<double>(), 1000.0, 0.1);

  for (int i = 0; i < 97; i++) statistics.turns[1].record(200);
  statistics.turns[1].record(20'000);
  statistics.turns[1].record(2'000'000);
  statistics.turns[1].record(4'000'000);
  json turns = result_of_verb({{"command", "turns"}});
  ASSERT_EQ(turns.size(), 2u);
  EXPECT_EQ(turns[0]["turns"], 0);
  EXPECT_EQ(turns[1]["worker"], 1);
  EXPECT_EQ(turns[1]["turns"], 100);
  EXPECT_NEAR(turns[1]["p50_us"].get<double>(), 0.2, 0.002);
  EXPECT_NEAR(turns[1]["max_us"].get<double>(), 4000.0, 0.1);
  EXPECT_EQ(turns[1]["over_10us"], 3);
  EXPECT_EQ(turns[1]["over_100us"], 2);
  EXPECT_EQ(turns[1]["over_1ms"], 2);
  EXPECT_EQ(turns[1]["over_10ms"], 0);

  json ports = result_of_verb({{"command", "ports"}});
  EXPECT_EQ(ports[0]["packets_in"], 10);
  EXPECT_EQ(ports[0]["drops"]["no buffer"], 1);
  EXPECT_EQ(ports[0]["queues"][0]["bytes_out"], 2000);

  json status = result_of_verb({{"command", "status"}});
  EXPECT_EQ(status["product"], "Talaria");
  EXPECT_EQ(status["connections"], 1);
  EXPECT_EQ(status["uptime_seconds"], 2);
  EXPECT_EQ(status["operators_dropped"], 0);
}

TEST_F(ControlSocketTest, AVhostsDefaultQueueTypeIsTheOneThereIs) {
  for (const char* type : {"classic", ""}) {
    const std::string name = std::string("of ") + type;
    result_of_verb({{"command", "add_vhost"}, {"vhost", name}, {"default_queue_type", type}});
    result_of_verb({{"command", "update_vhost_metadata"}, {"vhost", name}, {"default_queue_type", type}});
  }
  for (const char* verb : {"add_vhost", "update_vhost_metadata"})
    for (const char* type : {"quorum", "stream", "Classic"})
      EXPECT_EQ(error_of_verb({{"command", verb}, {"vhost", "w"}, {"default_queue_type", type}}), "bad_argument");
}

TEST_F(ControlSocketTest, EveryListingHasItsColumnsAndRefusesOthers) {
  auto client = open(1);
  const char* verbs[] = {"list_queues",    "list_exchanges", "list_bindings", "list_connections", "list_channels",
                         "list_consumers", "list_users",     "list_vhosts",   "list_permissions", "workers",
                         "counters",       "latency",        "turns"};
  for (const char* verb : verbs)
    EXPECT_EQ(error_of_verb({{"command", verb}, {"columns", {"colour"}}}), "bad_argument") << verb << " without rows";

  auto declared = std::get<broker::QueueDeclared>(ask(client, queue("q")));
  notify(client, broker::ChannelOpened{3});
  broker::ConsumerAdded added;
  added.channel = 3;
  added.queue = declared.queue;
  added.tag = "tag";
  notify(client, added);
  for (const char* verb : verbs) {
    json rows = result_of_verb({{"command", verb}});
    ASSERT_FALSE(rows.empty()) << verb;
    std::vector<std::string> in_rows, declared_columns;
    for (const auto& [name, value] : rows[0].items()) in_rows.push_back(name);
    for (std::string_view column : columns_of(verb)) declared_columns.emplace_back(column);
    EXPECT_THAT(in_rows, ::testing::UnorderedElementsAreArray(declared_columns)) << verb;
    EXPECT_EQ(error_of_verb({{"command", verb}, {"columns", {declared_columns[0], "colour"}}}), "bad_argument");
    json chosen = result_of_verb({{"command", verb}, {"columns", {declared_columns.back()}}});
    EXPECT_EQ(chosen.size(), rows.size()) << verb;
    EXPECT_EQ(chosen[0].size(), 1u) << verb;
  }
  EXPECT_TRUE(columns_of("status").empty());
}

TEST_F(ControlSocketTest, LogLevelAndStop) {
  json before = result_of_verb({{"command", "log_level"}})["level"];
  EXPECT_EQ(result_of_verb({{"command", "log_level"}, {"level", "error"}})["level"], "error");
  EXPECT_EQ(error_of_verb({{"command", "log_level"}, {"level", "loud"}}), "bad_argument");
  EXPECT_EQ(result_of_verb({{"command", "log_level"}})["level"], "error");
  EXPECT_FALSE(commands->stop_requested());
  result_of_verb({{"command", "stop"}});
  EXPECT_TRUE(commands->stop_requested());
  EXPECT_EQ(result_of_verb({{"command", "log_level"}, {"level", before}})["level"], before);
}

TEST_F(ControlSocketTest, GarbageIsAnsweredAndTheClientKept) {
  int client = connect();
  for (const char* garbage :
       {"", "garbage", "{", "[]", "5", "{}", R"({"command":5})", R"({"command":"fly"})", "\x01\xff\xfe",
        R"({"command":"list_queues","vhost":[]})", R"({"command":"list_queues","columns":{}})"}) {
    write(client, std::string(garbage) + "\n");
    turn();
    json reply = json::parse(read(client), nullptr, false);
    ASSERT_TRUE(reply.is_object()) << garbage;
    EXPECT_FALSE(reply["ok"].get<bool>()) << garbage;
  }
  // Deep nesting costs no stack.
  write(client, std::string(200000, '[') + "\n");
  turn(20);
  EXPECT_NE(read(client).find("bad_request"), std::string::npos);
  write(client, "{\"command\":\"status\"}\n");
  turn();
  EXPECT_TRUE(json::parse(read(client))["ok"].get<bool>());
}

TEST_F(ControlSocketTest, LinesMayComeInPiecesAndMany) {
  int client = connect();
  write(client, "{\"comm");
  turn();
  EXPECT_EQ(read(client), "");
  write(client, "and\":\"list_users\"}\n{\"command\":\"add_vhost\",\"vhost\":\"v\"}\n{\"command\":\"list_vhosts\"}\n");
  turn(10);
  std::istringstream lines(read(client));
  std::string line;
  std::vector<json> replies;
  while (std::getline(lines, line)) replies.push_back(json::parse(line));
  ASSERT_EQ(replies.size(), 3u);
  EXPECT_EQ(replies[2]["result"].size(), 2u) << "each line sees what the one before it did";
}

TEST_F(ControlSocketTest, AHalfClosedClientStillGetsItsAnswer) {
  int client = connect();
  write(client, "{\"command\":\"add_vhost\",\"vhost\":\"v\"}\n");
  ::shutdown(client, SHUT_WR);
  turn(10);
  EXPECT_NE(read(client).find("\"ok\":true"), std::string::npos);
  EXPECT_TRUE(is_closed(client));
  EXPECT_EQ(socket->clients(), 0u);
}

TEST_F(ControlSocketTest, ALineThatNeverEndsIsTheClientsEnd) {
  int client = connect();
  std::string chunk(64 * 1024, 'x');
  for (int i = 0; i < 40 && socket->dropped() == 0; i++) {
    ::send(client, chunk.data(), chunk.size(), MSG_NOSIGNAL);
    turn(1);
  }
  EXPECT_EQ(socket->dropped(), 1u);
  turn();
  EXPECT_NE(read(client).find("longer than 1 MiB"), std::string::npos);
  EXPECT_EQ(socket->clients(), 0u);
}

TEST_F(ControlSocketTest, WhoTakesNothingIsDroppedAndHoldsNobodyUp) {
  auto session = open(0);
  for (int i = 0; i < 3000; i++) send(session, queue("a-queue-with-a-long-name-" + std::to_string(i)));
  settle();
  int slow = connect();
  write(slow, "{\"command\":\"list_queues\"}\n");
  turn();
  EXPECT_EQ(socket->clients(), 1u);
  int other = connect();
  write(other, "{\"command\":\"list_users\"}\n");
  turn();
  EXPECT_NE(read(other).find("guest"), std::string::npos);
  now += ControlSocket::stalled_max + std::chrono::seconds(1);
  turn();
  EXPECT_EQ(socket->clients(), 1u) << "the other one is only idle";
  now += ControlSocket::idle_max;
  turn();
  EXPECT_EQ(socket->clients(), 0u);
}

TEST_F(ControlSocketTest, AClientThatLeavesTakesItsTicketAlong) {
  workers[2]->held = true;
  int client = connect();
  write(client, "{\"command\":\"add_vhost\",\"vhost\":\"v\"}\n");
  turn();
  ::close(client);
  descriptors.pop_back();
  turn();
  EXPECT_EQ(socket->clients(), 0u);
  workers[2]->held = false;
  turn();
  EXPECT_NE(plane->catalog().vhost("v"), nullptr);
}

TEST_F(ControlSocketTest, OnlySoManyClientsAreLetIn) {
  for (size_t i = 0; i < ControlSocket::clients_max + 10; i++) {
    connect();
    turn(1);
  }
  EXPECT_EQ(socket->clients(), ControlSocket::clients_max);
  EXPECT_EQ(socket->dropped(), 10u);
  EXPECT_EQ(commands->operators_dropped(), 10u);
  ::close(descriptors.front());
  descriptors.erase(descriptors.begin());
  turn();
  EXPECT_EQ(result_of_verb({{"command", "list_users"}}).size(), 1u);
}

TEST_F(ControlSocketTest, TheFileHasItsRightsAndBelongsToOneBroker) {
  struct stat found {};
  ASSERT_EQ(::stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0660u);
  EXPECT_THROW(ControlSocket(path, *commands), std::runtime_error);
  socket.reset();
  EXPECT_FALSE(std::filesystem::exists(path));
  // A broker that died leaves its socket behind.
  int dead = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.native().size());
  ASSERT_EQ(::bind(dead, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ::close(dead);
  socket.emplace(path, *commands);
  EXPECT_EQ(result_of_verb({{"command", "list_users"}}).size(), 1u);
  socket.reset();
  // What is no socket is not ours to remove.
  std::ofstream(path) << "a file";
  EXPECT_THROW(ControlSocket(path, *commands), std::system_error);
  EXPECT_TRUE(std::filesystem::exists(path));
  EXPECT_THROW(ControlSocket(std::string(300, 'x'), *commands), std::runtime_error);
}

TEST(Listings, ConnectionNamesGoThereAndBack) {
  broker::SessionAddress address{{17, 3}, 2}, back;
  EXPECT_EQ(connection_pid(address), "<2.17.3>");
  ASSERT_TRUE(connection_from_pid("<2.17.3>", back));
  EXPECT_EQ(back, address);
  for (const char* wrong : {"", "<>", "<1>", "<1.2>", "<1.2.3.4>", "1.2.3", "<a.b.c>", "<1.2.3", "<99.1.1>", "<1..3>",
                            "<4294967296.1.1>", "<-1.2.3>"})
    EXPECT_FALSE(connection_from_pid(wrong, back)) << wrong;
}

}  // namespace
}  // namespace talaria::control
