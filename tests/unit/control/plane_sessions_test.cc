// Logging in, entering, being noticed, and the life of ids, mailboxes and the store behind it.

#include <filesystem>

#include "control/sqlite_store.h"
#include "tests/unit/control/fake_workers.h"

namespace talaria::control {
namespace {

using enum broker::RefusalReason;

class PlaneSessions : public PlaneTest {
 protected:
  Answered login(const std::string& user, const std::string& password, const std::string& mechanism = "PLAIN") {
    return ask(nobody, broker::Authenticate{mechanism, user, password, "198.18.0.9:1"});
  }
  Answered enter(const std::string& user, const std::string& vhost) {
    broker::OpenConnection request;
    request.user = user;
    request.vhost = vhost;
    return ask({{++last_session, 1}, 0}, request);
  }
  const broker::SessionAddress nobody{{999, 1}, 1};
};

TEST_F(PlaneSessions, NoAccountExistsUntilOneIsMade) {
  options.demo_account = false;
  start(memory);
  EXPECT_TRUE(plane->catalog().users().empty());
  EXPECT_TRUE(
      is_refused(login("guest", "guest"), access_refused,
                 "Login was refused using authentication mechanism PLAIN. For details see the broker logfile."));
  ASSERT_TRUE(result_of(plane->add_user("u", "secret")).has_value());
  EXPECT_TRUE(is_done(login("u", "secret")));
  EXPECT_FALSE(is_done(login("u", "Secret")));
  EXPECT_FALSE(is_done(login("u", "")));
  EXPECT_FALSE(is_done(login("", "")));
  EXPECT_EQ(plane->counts().logins_refused, 4u);
  EXPECT_TRUE(is_refused(login("u", "wrong", "AMQPLAIN"), access_refused,
                         "Login was refused using authentication mechanism AMQPLAIN. For details see the broker "
                         "logfile."));
}

TEST_F(PlaneSessions, TheDemoAccountIsNeverStored) {
  EXPECT_TRUE(is_done(login("guest", "guest")));
  open(0);
  options.demo_account = false;
  start(memory);
  EXPECT_FALSE(is_done(login("guest", "guest")));
  // Unless an operator made it his own.
  options.demo_account = true;
  start(memory);
  ASSERT_TRUE(result_of(plane->change_password("guest", "other")).has_value());
  options.demo_account = false;
  start(memory);
  EXPECT_TRUE(is_done(login("guest", "other")));
  EXPECT_FALSE(is_done(login("guest", "guest")));
  open(0);  // its permissions were stored with it
}

TEST_F(PlaneSessions, EnteringAVhostNeedsTheVhostAndAPermission) {
  EXPECT_TRUE(is_refused(enter("guest", "v"), not_allowed, "vhost v not found"));
  ASSERT_TRUE(result_of(plane->add_vhost({"v", "", {}})).has_value());
  EXPECT_TRUE(is_refused(enter("guest", "v"), not_allowed, "access to vhost 'v' refused for user 'guest'"));
  ASSERT_TRUE(result_of(plane->set_permissions({"guest", "v", "", "", ""})).has_value());
  auto opened = enter("guest", "v");
  ASSERT_TRUE(std::holds_alternative<broker::ConnectionOpened>(opened));
  EXPECT_EQ(workers[1]->vhosts.at(std::get<broker::ConnectionOpened>(opened).vhost), "v");
  EXPECT_TRUE(is_refused(enter("nobody", "v"), not_allowed, "access to vhost 'v' refused for user 'nobody'"));
}

TEST_F(PlaneSessions, AuthorizeAnswersForTheUserAndItsVhost) {
  ASSERT_TRUE(result_of(plane->add_user("u", "secret")).has_value());
  ASSERT_TRUE(result_of(plane->set_permissions({"u", "/", "", "^(amq\\.default|x)$", "^q"})).has_value());
  auto u = open(2, "u");
  using enum broker::Access;
  EXPECT_TRUE(is_done(ask(u, broker::Authorize{write, true, ""})));
  EXPECT_TRUE(is_done(ask(u, broker::Authorize{write, true, "x"})));
  EXPECT_TRUE(is_done(ask(u, broker::Authorize{read, false, "q1"})));
  EXPECT_TRUE(is_refused(ask(u, broker::Authorize{write, true, "y"}), access_refused,
                         "write access to exchange 'y' in vhost '/' refused for user 'u'"));
  EXPECT_TRUE(is_refused(ask(u, broker::Authorize{read, false, "p"}), access_refused,
                         "read access to queue 'p' in vhost '/' refused for user 'u'"));
  uint64_t before = workers[0]->permission_changes;
  ASSERT_TRUE(result_of(plane->clear_permissions("u", "/")).has_value());
  EXPECT_EQ(workers[0]->permission_changes, before + 1) << "what sessions have learnt is void";
  EXPECT_FALSE(is_done(ask(u, broker::Authorize{read, false, "q1"})));
}

TEST_F(PlaneSessions, ImpersonatorsMaySignWithAnyName) {
  ASSERT_TRUE(result_of(plane->add_user("u", "secret")).has_value());
  ASSERT_TRUE(result_of(plane->set_permissions({"u", "/", ".*", ".*", ".*"})).has_value());
  auto u = open(1, "u");
  const std::string refused = "user_id property set to 'boss' but authenticated user was 'u'";
  EXPECT_TRUE(is_refused(ask(u, broker::Impersonate{"boss"}), precondition_failed, refused));
  const uint64_t before = workers[1]->permission_changes;
  ASSERT_TRUE(result_of(plane->set_user_tags("u", {"monitoring", "impersonator"})).has_value());
  EXPECT_TRUE(is_done(ask(u, broker::Impersonate{"boss"})));
  ASSERT_TRUE(result_of(plane->set_user_tags("u", {"administrator"})).has_value());
  EXPECT_TRUE(is_refused(ask(u, broker::Impersonate{"boss"}), precondition_failed, refused));
  EXPECT_EQ(workers[1]->permission_changes, before + 2) << "what sessions have learnt is void";
}

TEST_F(PlaneSessions, ReauthenticateKeepsTheConnectionOrSaysWhyNot) {
  ASSERT_TRUE(result_of(plane->add_user("u", "one")).has_value());
  ASSERT_TRUE(result_of(plane->set_permissions({"u", "/", ".*", ".*", ".*"})).has_value());
  auto u = open(0, "u");
  ASSERT_TRUE(result_of(plane->change_password("u", "two")).has_value());
  const std::string refused = "New secret was refused by one of the backends";
  EXPECT_TRUE(is_refused(ask(u, broker::Reauthenticate{"u", "one"}), not_allowed, refused));
  EXPECT_TRUE(is_done(ask(u, broker::Reauthenticate{"u", "two"})));
  EXPECT_TRUE(is_refused(ask(u, broker::Reauthenticate{"guest", "guest"}), not_allowed, refused));
  ASSERT_TRUE(result_of(plane->clear_permissions("u", "/")).has_value());
  EXPECT_TRUE(
      is_refused(ask(u, broker::Reauthenticate{"u", "two"}), not_allowed, "access to vhost '/' refused for user 'u'"));
}

TEST_F(PlaneSessions, RequestsOfWhoNeverEnteredAreRefusedAndNoticesDropped) {
  EXPECT_TRUE(is_refused(ask(nobody, queue("q")), not_allowed, "the connection is not open"));
  EXPECT_TRUE(is_done(ask(nobody, broker::CloseConnection{})));
  size_t answers = workers[1]->answers.size();
  notify(nobody, broker::ChannelOpened{1});
  EXPECT_EQ(workers[1]->answers.size(), answers);
  EXPECT_EQ(plane->counts().strays, 3u);
}

TEST_F(PlaneSessions, NoticesMakeChannelsAndConsumers) {
  auto client = open(1);
  auto declared = std::get<broker::QueueDeclared>(ask(client, queue("q")));
  notify(client, broker::ChannelOpened{1});
  notify(client, broker::ChannelChanged{1, 10, 20, true});
  broker::ConsumerAdded added;
  added.channel = 1;
  added.queue = declared.queue;
  added.tag = "ctag";
  added.prefetch = 10;
  notify(client, added);
  Connection& connection = *plane->catalog().connection(client);
  const Channel& channel = connection.channels.at(1);
  EXPECT_EQ(channel.prefetch, 10u);
  EXPECT_EQ(channel.global_prefetch, 20u);
  EXPECT_TRUE(channel.confirms);
  EXPECT_EQ(channel.consumers.at("ctag").queue, declared.queue);
  notify(client, broker::ConsumerRemoved{1, "ctag"});
  EXPECT_TRUE(channel.consumers.empty());
  notify(client, broker::ChannelClosed{1});
  EXPECT_TRUE(connection.channels.empty());
  // Of what is not there.
  notify(client, broker::ChannelClosed{1});
  notify(client, broker::ChannelChanged{9, 1, 1, false});
  notify(client, broker::ConsumerRemoved{9, "x"});
  added.channel = 9;
  notify(client, added);
  EXPECT_EQ(plane->counts().strays, 4u);
}

TEST_F(PlaneSessions, ConsumersEndWhenTheirUserMayNotReadTheirQueuesAnyMore) {
  ASSERT_TRUE(result_of(plane->add_user("u", "secret")).has_value());
  ASSERT_TRUE(result_of(plane->add_user("other", "secret")).has_value());
  for (const char* user : {"u", "other"})
    ASSERT_TRUE(result_of(plane->set_permissions({user, "/", ".*", ".*", ".*"})).has_value());
  auto u = open(1, "u"), other = open(2, "other");
  for (const auto& who : {u, other}) notify(who, broker::ChannelOpened{1});
  auto consume = [&](const broker::SessionAddress& who, const std::string& name, const std::string& tag) {
    const auto declared = std::get<broker::QueueDeclared>(ask(who, queue(name)));
    notify(who, broker::ConsumerAdded{.channel = 1, .queue = declared.queue, .tag = tag, .arguments = {}});
    return declared.queue;
  };
  const auto orders = consume(u, "orders", "a");
  const auto bills = consume(u, "bills", "b");
  consume(other, "orders", "a");
  ASSERT_TRUE(result_of(plane->set_permissions({"u", "/", ".*", ".*", "bills|orders"})).has_value());
  EXPECT_TRUE(workers[1]->revoked.empty());
  const uint64_t told = workers[1]->permission_changes;
  ASSERT_TRUE(result_of(plane->set_permissions({"u", "/", ".*", ".*", "bills"})).has_value());
  ASSERT_EQ(workers[1]->revoked.size(), 1u);
  EXPECT_EQ(workers[1]->permission_changes, told + 1);
  EXPECT_EQ(workers[1]->revoked[0].first, u);
  const broker::RevokedConsumer& revoked = workers[1]->revoked[0].second;
  EXPECT_EQ(revoked.channel, 1u);
  EXPECT_EQ(revoked.queue, orders);
  EXPECT_EQ(revoked.tag, "a");
  EXPECT_EQ(revoked.text, "read access to queue 'orders' in vhost '/' refused for user 'u'");
  notify(u, broker::ConsumerRemoved{1, "a"});

  // Its session had asked before.
  notify(u, broker::ConsumerAdded{.channel = 1, .queue = orders, .tag = "late", .arguments = {}});
  ASSERT_EQ(workers[1]->revoked.size(), 2u);
  EXPECT_EQ(workers[1]->revoked[1].second.tag, "late");
  notify(u, broker::ConsumerRemoved{1, "late"});

  // By definitions, too.
  StoreContents definitions;
  definitions.permissions.push_back({"u", "/", ".*", ".*", "nothing"});
  std::vector<std::string> report;
  ASSERT_TRUE(result_of(plane->import(definitions, report)).has_value());
  ASSERT_EQ(workers[1]->revoked.size(), 3u);
  EXPECT_EQ(workers[1]->revoked[2].second.queue, bills);
  EXPECT_TRUE(workers[2]->revoked.empty());
  ASSERT_TRUE(result_of(plane->clear_permissions("other", "/")).has_value());
  EXPECT_EQ(workers[2]->revoked.size(), 1u);
}

TEST_F(PlaneSessions, ASlotIsReusedOnlyWhenEveryWorkerForgotIt) {
  auto client = open(0);
  auto first = std::get<broker::QueueDeclared>(ask(client, queue("a"))).queue;
  workers[2]->held = true;
  send(client, broker::DeleteQueue{.name = "a"});
  // Its home may be the one that is held.
  workers[2]->held = false;
  settle();
  workers[2]->held = true;
  auto busy = send(client, queue("b"));
  settle();
  workers[2]->held = false;
  settle();
  auto second = std::get<broker::QueueDeclared>(*answer_to(client, busy)).queue;
  EXPECT_EQ(second.slot, first.slot);
  EXPECT_NE(second.generation, first.generation);

  // Removed and not yet applied by worker 2: the next queue gets another slot.
  auto exclusive = queue("c");
  exclusive.exclusive = true;
  auto other = open(1);
  auto third = std::get<broker::QueueDeclared>(ask(other, exclusive)).queue;
  workers[2]->held = true;
  send(other, broker::CloseConnection{});
  settle();
  auto token = send(client, queue("d"));
  settle();
  workers[2]->held = false;
  settle();
  auto fourth = std::get<broker::QueueDeclared>(*answer_to(client, token)).queue;
  EXPECT_NE(fourth.slot, third.slot);
  EXPECT_EQ(std::get<broker::QueueDeclared>(ask(client, queue("e"))).queue.slot, third.slot);
}

TEST_F(PlaneSessions, CommandsWaitForRoomInOrder) {
  auto client = open(0);
  workers[1]->room = 0;
  uint64_t token = send(client, queue("q"));
  for (int i = 0; i < 5; i++) send(client, queue("p" + std::to_string(i)));
  settle();
  EXPECT_FALSE(plane->flushed());
  EXPECT_FALSE(plane->settled());
  EXPECT_FALSE(answer_to(client, token).has_value());
  for (int i = 0; i < 20 && !plane->flushed(); i++) {
    workers[1]->room = 1;
    settle();
  }
  workers[1]->room = -1;
  settle();
  EXPECT_TRUE(plane->flushed());
  EXPECT_TRUE(plane->settled());
  EXPECT_TRUE(answer_to(client, token).has_value());
  EXPECT_EQ(workers[1]->queues.size(), 6u);
}

TEST_F(PlaneSessions, AnUnsentAnswerLeaksNothing) {
  auto client = open(1);
  workers[1]->room = 3;  // not enough for the change and the answers
  for (int i = 0; i < 5; i++) send(client, queue("q" + std::to_string(i)));
  settle();
  plane->close_connection(client, "bye");
  plane.reset();  // a leak checker sees what is left
}

TEST_F(PlaneSessions, DrainAsksEveryWorkerOnceAndWaitsForAll) {
  workers[1]->held = true;
  plane->drain();
  plane->drain();
  settle();
  EXPECT_FALSE(plane->drained());
  workers[1]->held = false;
  settle();
  EXPECT_TRUE(plane->drained());
  plane->stop();
  settle();
  for (auto& worker : workers) EXPECT_TRUE(worker->drains && worker->stopped);
}

TEST_F(PlaneSessions, AFailedStoreRefusesAndChangesNothing) {
  auto client = open(0);
  auto durable = queue("q");
  durable.durable = true;
  memory.fail_next(1);
  EXPECT_TRUE(is_refused(ask(client, durable), internal_error, "the change could not be stored"));
  EXPECT_EQ(workers[0]->queue("q"), nullptr);
  EXPECT_EQ(plane->catalog().queue_count(), 0u);
  EXPECT_TRUE(is_done(ask(client, durable)));
  memory.fail_next(1);
  EXPECT_TRUE(
      is_refused(ask(client, broker::DeleteQueue{.name = "q"}), internal_error, "the change could not be stored"));
  EXPECT_NE(workers[0]->queue("q"), nullptr);
  memory.fail_next(1);
  auto failed = result_of(plane->add_user("u", "p"));
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().fault, Fault::store_failed);
  EXPECT_EQ(plane->catalog().user("u"), nullptr);
  EXPECT_EQ(plane->counts().store_failures, 3u);
  // A connection that closes takes its queues with it whatever the store says.
  auto auto_delete = exchange("x");
  auto_delete.durable = auto_delete.auto_delete = true;
  ASSERT_TRUE(is_done(ask(client, auto_delete)));
  auto exclusive = queue("mine");
  exclusive.exclusive = true;
  ASSERT_TRUE(is_done(ask(client, exclusive)));
  ASSERT_TRUE(is_done(ask(client, bind("x", "mine"))));
  memory.fail_next(1);
  EXPECT_TRUE(is_done(ask(client, broker::CloseConnection{})));
  EXPECT_EQ(workers[0]->queue("mine"), nullptr);
  EXPECT_TRUE(workers[0]->exchange_names().empty());
}

// The restart: a durable declare is on disk before it is answered, and all of it is back.
TEST_F(PlaneSessions, DurableTopologyAndAccountsAreBackAfterARestart) {
  std::string name = (std::filesystem::temp_directory_path() / "talaria-plane-XXXXXX").string();
  std::filesystem::path directory = ::mkdtemp(name.data());
  options.demo_account = false;
  auto durable_queue = [](const std::string& queue_name) {
    auto request = queue(queue_name);
    request.durable = true;
    return request;
  };
  auto durable_exchange = [](const std::string& exchange_name) {
    auto request = exchange(exchange_name, "topic");
    request.durable = true;
    return request;
  };
  std::map<std::string, broker::WorkerIndex> homes;
  {
    SqliteStore store(directory / "talaria.db");
    start(store);
    ASSERT_TRUE(result_of(plane->add_user("u", "secret")).has_value());
    ASSERT_TRUE(result_of(plane->set_user_tags("u", {"monitoring"})).has_value());
    ASSERT_TRUE(result_of(plane->add_vhost({"v", "for tests", {}})).has_value());
    ASSERT_TRUE(result_of(plane->set_permissions({"u", "v", ".*", ".*", ".*"})).has_value());
    auto client = open(0, "u", "v");
    for (const char* q : {"q1", "q2", "q3"}) {
      ASSERT_TRUE(is_done(ask(client, durable_queue(q))));
      homes[q] = workers[0]->queue(q)->home;
    }
    auto alternate = durable_exchange("x");
    alternate.arguments = {{"alternate-exchange", {std::string("y")}}};
    ASSERT_TRUE(is_done(ask(client, alternate)));
    ASSERT_TRUE(is_done(ask(client, durable_exchange("y"))));
    ASSERT_TRUE(is_done(ask(client, bind("x", "q1", "a.#"))));
    ASSERT_TRUE(is_done(ask(client, bind("amq.fanout", "q2", ""))));
    ASSERT_TRUE(is_done(ask(client, bind_exchange("x", "y"))));
    // None of this survives.
    ASSERT_TRUE(is_done(ask(client, queue("transient"))));
    ASSERT_TRUE(is_done(ask(client, exchange("transient"))));
    ASSERT_TRUE(is_done(ask(client, bind("x", "transient"))));
    ASSERT_TRUE(is_done(ask(client, bind("transient", "q1"))));
    auto mine = durable_queue("mine");
    mine.exclusive = true;
    ASSERT_TRUE(is_done(ask(client, mine)));
    ASSERT_TRUE(is_done(ask(client, broker::DeleteQueue{.name = "q3"})));
    plane.reset();  // no goodbye
  }
  {
    SqliteStore store(directory / "talaria.db");
    start(store);
    EXPECT_TRUE(is_done(login("u", "secret")));
    EXPECT_EQ(plane->catalog().user("u")->tags, std::vector<std::string>{"monitoring"});
    EXPECT_EQ(plane->catalog().vhost("v")->description, "for tests");
    for (auto& worker : workers) {
      EXPECT_EQ(worker->queues.size(), 2u);
      EXPECT_EQ(worker->exchange_names(), (std::vector<std::string>{"x", "y"}));
      EXPECT_EQ(worker->bindings.size(), 3u);
      for (const char* q : {"q1", "q2"}) {
        ASSERT_NE(worker->queue(q), nullptr);
        EXPECT_EQ(worker->queue(q)->home, homes[q]);
        EXPECT_TRUE(worker->queue(q)->durable);
      }
    }
    auto client = open(2, "u", "v");
    EXPECT_FALSE(std::get<broker::QueueDeclared>(ask(client, durable_queue("q1"))).created);
    auto alternate = durable_exchange("x");
    alternate.arguments = {{"alternate-exchange", {std::string("y")}}};
    EXPECT_TRUE(is_done(ask(client, alternate)));
    auto unbind = bind("x", "q1", "a.#");
    unbind.remove = true;
    EXPECT_TRUE(is_done(ask(client, unbind)));
    ASSERT_TRUE(result_of(plane->delete_vhost("v")).has_value());
    plane.reset();
  }
  {
    SqliteStore store(directory / "talaria.db");
    start(store);
    EXPECT_EQ(plane->catalog().vhosts().size(), 1u);
    EXPECT_TRUE(plane->catalog().user("u")->permissions.empty());
    StoreContents left = store.load();
    EXPECT_TRUE(left.queues.empty() && left.exchanges.empty() && left.bindings.empty() && left.permissions.empty());
    plane.reset();
  }
  std::filesystem::remove_all(directory);
}

TEST_F(PlaneSessions, AStoreThatContradictsItselfIsRefused) {
  auto refused = [&](const Edit& edit) {
    MemoryStore store;
    store.save(std::vector<Edit>{Put<VhostRow>{{"/", "", {}}}, edit});
    FakeWorker worker;
    EXPECT_THROW(Plane(store, {&worker}, options), std::runtime_error);
  };
  refused(Put<QueueRow>{{"nowhere", "q", false, {}}});
  refused(Put<QueueRow>{{"/", "q", false, {{"x-queue-type", {std::string("stream")}}}}});
  refused(Put<ExchangeRow>{{"/", "x", "strange", false, false, {}}});
  refused(Put<ExchangeRow>{{"/", "amq.direct", "direct", false, false, {}}});
  refused(Put<BindingRow>{{"/", "amq.direct", "q", true, "", {}}});
  refused(Put<PermissionRow>{{"nobody", "/", "", "", ""}});
}

}  // namespace
}  // namespace talaria::control
