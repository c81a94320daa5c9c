// Declare, bind, delete: what is made, what is refused, and in which words.

#include "tests/unit/control/fake_workers.h"

namespace talaria::control {
namespace {

using enum broker::RefusalReason;
using base::FieldTable;

class PlaneTopology : public PlaneTest {
 protected:
  PlaneTopology() { client = open(0); }

  // Arguments of a queue, one of them.
  Answered declare_with(const std::string& name, base::Field value) {
    auto request = queue("q");
    request.arguments = {{name, std::move(value)}};
    return ask(client, request);
  }
  void add_user(const std::string& name, const PermissionRow& row) {
    ASSERT_TRUE(result_of(plane->add_user(name, "secret")).has_value());
    ASSERT_TRUE(result_of(plane->set_permissions(row)).has_value());
  }

  broker::SessionAddress client;
};

TEST_F(PlaneTopology, EveryVhostBeginsWithThePredeclaredExchanges) {
  std::map<std::string, broker::ExchangeType> found;
  for (auto& [id, exchange] : workers[2]->exchanges) found[exchange.name] = exchange.type;
  std::map<std::string, broker::ExchangeType> wanted(std::begin(predeclared_exchanges),
                                                     std::end(predeclared_exchanges));
  for (const OwnExchange& own : own_exchanges) wanted[own.name] = broker::ExchangeType::topic;
  EXPECT_EQ(found, wanted);
}

TEST_F(PlaneTopology, ADeclaredQueueIsKnownToEveryWorkerBeforeTheAnswer) {
  workers[2]->held = true;
  uint64_t token = send(client, queue("q"));
  settle();
  EXPECT_NE(workers[0]->queue("q"), nullptr);
  EXPECT_FALSE(answer_to(client, token).has_value()) << "worker 2 does not know the queue yet";
  workers[2]->held = false;
  settle();
  auto answer = answer_to(client, token);
  ASSERT_TRUE(answer.has_value());
  auto& declared = std::get<broker::QueueDeclared>(*answer);
  EXPECT_TRUE(declared.created);
  EXPECT_EQ(declared.name, "q");
  for (auto& worker : workers) {
    ASSERT_NE(worker->queue("q"), nullptr);
    EXPECT_EQ(worker->queue("q")->id, declared.queue);
    EXPECT_EQ(worker->queue("q")->home, declared.home);
  }
}

// Somebody else's declare that finds the queue must not be answered before every worker has it, either.
TEST_F(PlaneTopology, ASecondDeclareWaitsForTheFirstOnesChange) {
  broker::SessionAddress other = open(1);
  workers[2]->held = true;
  uint64_t first = send(client, queue("q"));
  uint64_t second = send(other, queue("q"));
  settle();
  EXPECT_FALSE(answer_to(client, first).has_value());
  EXPECT_FALSE(answer_to(other, second).has_value());
  workers[2]->held = false;
  settle();
  EXPECT_TRUE(std::get<broker::QueueDeclared>(*answer_to(client, first)).created);
  EXPECT_FALSE(std::get<broker::QueueDeclared>(*answer_to(other, second)).created);
}

TEST_F(PlaneTopology, HomesAreSpreadByNameAndStayWhereTheyAreDeclared) {
  std::set<broker::WorkerIndex> homes;
  for (int i = 0; i < 40; i++)
    homes.insert(std::get<broker::QueueDeclared>(ask(client, queue("q" + std::to_string(i)))).home);
  EXPECT_EQ(homes.size(), 3u);
  broker::SessionAddress third = open(2);
  auto exclusive = queue("mine");
  exclusive.exclusive = true;
  EXPECT_EQ(std::get<broker::QueueDeclared>(ask(third, exclusive)).home, 2);
  EXPECT_EQ(std::get<broker::QueueDeclared>(ask(third, queue(""))).home, 2);
  // Told the same way to whoever asks again.
  auto again = std::get<broker::QueueDeclared>(ask(third, queue("q0")));
  EXPECT_EQ(again.home, workers[0]->queue("q0")->home);
}

TEST_F(PlaneTopology, ServerNamesAreUniqueAndCanBeDeclaredAgain) {
  std::set<std::string> names;
  for (int i = 0; i < 20; i++) {
    auto declared = std::get<broker::QueueDeclared>(ask(client, queue("")));
    EXPECT_TRUE(declared.name.starts_with("amq.gen-"));
    EXPECT_EQ(declared.name.size(), 8u + 22u);
    EXPECT_TRUE(names.insert(declared.name).second);
  }
  auto again = std::get<broker::QueueDeclared>(ask(client, queue(*names.begin())));
  EXPECT_FALSE(again.created);
}

TEST_F(PlaneTopology, RedeclaringIsFineWhenEquivalentAndRefusedInRabbitmqsWordsWhenNot) {
  auto plain = queue("q");
  plain.durable = true;
  ASSERT_TRUE(is_done(ask(client, plain)));
  EXPECT_FALSE(std::get<broker::QueueDeclared>(ask(client, plain)).created);

  EXPECT_TRUE(is_refused(ask(client, queue("q")), precondition_failed,
                         "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is "
                         "'true'"));
  auto other = plain;
  other.auto_delete = true;
  EXPECT_TRUE(is_refused(ask(client, other), precondition_failed,
                         "inequivalent arg 'auto_delete' for queue 'q' in vhost '/': received 'true' but current is "
                         "'false'"));
  other = plain;
  other.arguments = {{"x-message-ttl", {int32_t{1000}}}};
  EXPECT_TRUE(is_refused(ask(client, other), precondition_failed,
                         "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received the value '1000' of "
                         "type 'signedint' but current is none"));
  // Ignored arguments do not count, and classic is what no type means.
  other = plain;
  other.arguments = {
      {"x-queue-type", {std::string("classic")}}, {"x-queue-mode", {std::string("lazy")}}, {"x-mine", {int8_t{1}}}};
  EXPECT_TRUE(is_done(ask(client, other)));
  other.arguments = {{"x-queue-type", {std::string("quorum")}}};
  EXPECT_TRUE(is_refused(ask(client, other), precondition_failed,
                         "inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received 'quorum' but current is "
                         "'classic'"));
}

TEST_F(PlaneTopology, ExclusivenessIsCheckedBeforeEquivalence) {
  const std::string locked =
      "cannot obtain exclusive access to locked queue 'mine' in vhost '/'. It could be originally declared on another "
      "connection or the exclusive property value does not match that of the original declaration.";
  auto exclusive = queue("mine");
  exclusive.exclusive = true;
  ASSERT_TRUE(is_done(ask(client, exclusive)));
  EXPECT_TRUE(is_done(ask(client, exclusive)));
  EXPECT_EQ(workers[1]->queue("mine")->exclusive_to, client);

  auto inequivalent = queue("mine");
  inequivalent.durable = true;
  EXPECT_TRUE(is_refused(ask(client, inequivalent), resource_locked, locked));

  broker::SessionAddress other = open(1);
  EXPECT_TRUE(is_refused(ask(other, exclusive), resource_locked, locked));
  auto passive = queue("mine");
  passive.passive = true;
  EXPECT_TRUE(is_refused(ask(other, passive), resource_locked, locked));
  EXPECT_TRUE(is_done(ask(client, passive)));
  EXPECT_TRUE(is_refused(ask(other, bind("amq.direct", "mine")), resource_locked, locked));
  EXPECT_TRUE(is_refused(ask(other, broker::DeleteQueue{.name = "mine"}), resource_locked, locked));
  // And a shared one cannot be had exclusively.
  ASSERT_TRUE(is_done(ask(client, queue("shared"))));
  auto shared = queue("shared");
  shared.exclusive = true;
  EXPECT_EQ(std::get<broker::Refusal>(ask(client, shared)).reason, resource_locked);
}

TEST_F(PlaneTopology, ExclusiveQueuesAreGoneBeforeTheConnectionsCloseIsAnswered) {
  auto exclusive = queue("mine");
  exclusive.exclusive = exclusive.durable = true;
  ASSERT_TRUE(is_done(ask(client, exclusive)));
  ASSERT_TRUE(is_done(ask(client, queue("shared"))));
  ASSERT_TRUE(is_done(ask(client, bind("amq.topic", "mine"))));
  size_t saves = memory.saves();
  workers[1]->held = true;
  uint64_t token = send(client, broker::CloseConnection{});
  settle();
  EXPECT_FALSE(answer_to(client, token).has_value());
  workers[1]->held = false;
  settle();
  EXPECT_TRUE(is_done(*answer_to(client, token)));
  for (auto& worker : workers) {
    EXPECT_EQ(worker->queue("mine"), nullptr);
    EXPECT_NE(worker->queue("shared"), nullptr);
    EXPECT_TRUE(worker->bindings.empty());
  }
  EXPECT_EQ(memory.saves(), saves) << "an exclusive queue is never durable";
  EXPECT_TRUE(plane->catalog().connections().empty());
}

TEST_F(PlaneTopology, PassiveDeclareAnswersForWhatIsThere) {
  auto passive = queue("nothing");
  passive.passive = true;
  EXPECT_TRUE(is_refused(ask(client, passive), not_found, "no queue 'nothing' in vhost '/'"));
  auto passive_exchange = exchange("nothing", "");
  passive_exchange.passive = true;
  EXPECT_TRUE(is_refused(ask(client, passive_exchange), not_found, "no exchange 'nothing' in vhost '/'"));
  passive_exchange.name = "amq.topic";
  EXPECT_TRUE(is_done(ask(client, passive_exchange)));
  passive_exchange.name = "";
  EXPECT_TRUE(is_done(ask(client, passive_exchange)));
  // Nothing else is compared: an existing one passes whatever the rest says.
  ASSERT_TRUE(is_done(ask(client, queue("q"))));
  passive.name = "q";
  passive.durable = true;
  EXPECT_FALSE(std::get<broker::QueueDeclared>(ask(client, passive)).created);
}

TEST_F(PlaneTopology, ReservedNamesAndTheDefaultExchangeAreLeftAlone) {
  const std::string not_the_default = "operation not permitted on the default exchange";
  EXPECT_TRUE(is_refused(ask(client, queue("amq.mine")), access_refused,
                         "queue name 'amq.mine' contains reserved prefix 'amq.*'"));
  EXPECT_TRUE(is_refused(ask(client, exchange("amq.mine")), access_refused,
                         "exchange name 'amq.mine' contains reserved prefix 'amq.*'"));
  EXPECT_TRUE(is_refused(ask(client, exchange("")), access_refused, not_the_default));
  EXPECT_TRUE(is_refused(ask(client, broker::DeleteExchange{.name = ""}), access_refused, not_the_default));
  EXPECT_TRUE(is_refused(ask(client, broker::DeleteExchange{.name = "amq.direct"}), access_refused,
                         "deletion of system exchange 'amq.direct' in vhost '/' not allowed"));
  ASSERT_TRUE(is_done(ask(client, queue("q"))));
  EXPECT_TRUE(is_refused(ask(client, bind("", "q")), access_refused, not_the_default));
  auto unbind = bind("", "q");
  unbind.remove = true;
  EXPECT_TRUE(is_refused(ask(client, unbind), access_refused, not_the_default));
  EXPECT_TRUE(is_refused(ask(client, bind_exchange("amq.direct", "")), access_refused, not_the_default));
  // What exists can be declared again as it is.
  auto existing = exchange("amq.topic", "topic");
  existing.durable = true;
  EXPECT_TRUE(is_done(ask(client, existing)));
}

TEST_F(PlaneTopology, LineEndsAreTakenOutOfNames) {
  EXPECT_EQ(std::get<broker::QueueDeclared>(ask(client, queue("q\r\n1"))).name, "q1");
  EXPECT_TRUE(
      is_refused(ask(client, queue("am\nq.x")), access_refused, "queue name 'amq.x' contains reserved prefix 'amq.*'"));
}

TEST_F(PlaneTopology, ExchangesAreComparedFieldByField) {
  auto made = exchange("x", "topic");
  made.durable = true;
  made.arguments = {{"alternate-exchange", {std::string("other")}}};
  ASSERT_TRUE(is_done(ask(client, made)));
  EXPECT_TRUE(is_done(ask(client, made)));
  auto change = [&](auto edit) {
    auto changed = made;
    edit(changed);
    return ask(client, changed);
  };
  const std::string head = "inequivalent arg '";
  EXPECT_TRUE(is_refused(change([](auto& x) { x.type = "fanout"; }), precondition_failed,
                         head + "type' for exchange 'x' in vhost '/': received 'fanout' but current is 'topic'"));
  EXPECT_TRUE(is_refused(change([](auto& x) { x.durable = false; }), precondition_failed,
                         head + "durable' for exchange 'x' in vhost '/': received 'false' but current is 'true'"));
  EXPECT_TRUE(is_refused(change([](auto& x) { x.auto_delete = true; }), precondition_failed,
                         head + "auto_delete' for exchange 'x' in vhost '/': received 'true' but current is 'false'"));
  EXPECT_TRUE(is_refused(change([](auto& x) { x.internal = true; }), precondition_failed,
                         head + "internal' for exchange 'x' in vhost '/': received 'true' but current is 'false'"));
  EXPECT_TRUE(is_refused(change([](auto& x) { x.arguments.clear(); }), precondition_failed,
                         head + "alternate-exchange' for exchange 'x' in vhost '/': received none but current is the "
                                "value 'other' of type 'longstr'"));
  EXPECT_TRUE(is_refused(change([](auto& x) { x.arguments[0].value = {std::string("third")}; }), precondition_failed,
                         head + "alternate-exchange' for exchange 'x' in vhost '/': received 'third' but current is "
                                "'other'"));
  EXPECT_TRUE(is_refused(ask(client, exchange("y", "x-jms-topic")), precondition_failed,
                         "invalid exchange type 'x-jms-topic'"));
  auto wrong = exchange("y");
  wrong.arguments = {{"alternate-exchange", {int32_t{1}}}};
  EXPECT_TRUE(is_refused(ask(client, wrong), precondition_failed,
                         "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'y' in vhost '/'"));
  for (auto& [id, known] : workers[1]->exchanges) {
    if (known.name != "x") continue;
    EXPECT_EQ(known.alternate, "other");
  }
}

TEST_F(PlaneTopology, WhatIsNotHonouredIsRefusedAndNeverIgnored) {
  EXPECT_TRUE(is_refused(declare_with("x-name-prefix", {std::string("1")}), precondition_failed,
                         "argument 'x-name-prefix' for queue 'q' in vhost '/' is not supported"));
  auto wish = exchange("x");
  wish.arguments = {{"x-name-prefix", {std::string("1")}}};
  EXPECT_TRUE(is_refused(ask(client, wish), precondition_failed,
                         "argument 'x-name-prefix' for exchange 'x' in vhost '/' is not supported"));
  EXPECT_EQ(workers[0]->queue("q"), nullptr);
  EXPECT_TRUE(is_done(declare_with("x-message-deduplication", {false})));
}

TEST_F(PlaneTopology, WhatAQueueDoesBeyondRabbitmqReachesTheWorkers) {
  auto wish = queue("q");
  wish.arguments = {{"x-flow-stop", {int32_t{100}}},
                    {"x-flow-stop-bytes", {int32_t{1000}}},
                    {"x-flow-resume-bytes", {int8_t{5}}},
                    {"x-last-value-key", {std::string("stock")}},
                    {"x-message-deduplication", {true}},
                    {"x-cache-size", {int32_t{7}}},
                    {"x-slow-consumer-threshold", {int32_t{20}}},
                    {"x-slow-consumer-policy", {std::string("close")}},
                    {"x-cache-ttl", {int32_t{60000}}}};
  EXPECT_TRUE(is_done(ask(client, wish)));
  const auto& settings = workers[1]->queue("q")->settings;
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->flow, (broker::FlowLimit{100, 70}));
  EXPECT_EQ(settings->flow_bytes, (broker::FlowLimit{1000, 5}));
  EXPECT_EQ(settings->last_value_key, "stock");
  EXPECT_EQ(settings->slow_consumers, (broker::SlowConsumers{20, 5000, true}));
  EXPECT_EQ(settings->deduplication, (broker::Deduplication{"x-deduplication-header", 7, 60000}));
  wish.arguments.pop_back();
  EXPECT_TRUE(is_refused(ask(client, wish), precondition_failed,
                         "inequivalent arg 'x-cache-ttl' for queue 'q' in vhost '/': received none but current is "
                         "the value '60000' of type 'signedint'"));
}

TEST_F(PlaneTopology, WhatMakesNoSenseByItselfIsRefused) {
  EXPECT_TRUE(is_refused(declare_with("x-cache-size", {int32_t{1}}), precondition_failed,
                         "invalid arg 'x-cache-size' for queue 'q' in vhost '/': not without x-message-deduplication"));
  EXPECT_TRUE(is_refused(declare_with("x-flow-resume", {int32_t{1}}), precondition_failed,
                         "invalid arg 'x-flow-resume' for queue 'q' in vhost '/': not without x-flow-stop"));
  EXPECT_TRUE(is_refused(declare_with("x-alert-down-bytes", {int32_t{1}}), precondition_failed,
                         "invalid arg 'x-alert-down-bytes' for queue 'q' in vhost '/': not without x-alert-up-bytes"));
  for (const char* other : {"x-max-priority", "x-last-value-key", "x-single-active-consumer"}) {
    auto wish = queue("q");
    wish.arguments = {{"x-group-key", {std::string("g")}}, {other, {true}}};
    if (other == std::string("x-max-priority")) wish.arguments.back().value = {int32_t{5}};
    if (other == std::string("x-last-value-key")) wish.arguments.back().value = {std::string("k")};
    EXPECT_TRUE(is_refused(ask(client, wish), precondition_failed,
                           std::string("invalid arg 'x-group-key' for queue 'q' in vhost '/': not with ") + other));
  }
  EXPECT_TRUE(is_refused(declare_with("x-slow-consumer-policy", {std::string("kill")}), precondition_failed,
                         "invalid arg 'x-slow-consumer-policy' for queue 'q' in vhost '/': neither notify nor close"));
  EXPECT_TRUE(is_refused(
      declare_with("x-slow-consumer-check-period", {int32_t{1}}), precondition_failed,
      "invalid arg 'x-slow-consumer-check-period' for queue 'q' in vhost '/': not without x-slow-consumer-threshold"));
  EXPECT_TRUE(is_refused(declare_with("x-flow-stop", {int32_t{0}}), precondition_failed,
                         "invalid arg 'x-flow-stop' for queue 'q' in vhost '/': {value_zero,0}"));
  EXPECT_TRUE(is_refused(declare_with("x-last-value-key", {std::string()}), precondition_failed,
                         "invalid arg 'x-last-value-key' for queue 'q' in vhost '/': not the name of a header"));
}

TEST_F(PlaneTopology, ArgumentsOfQueuesReachTheWorkers) {
  auto wish = queue("q");
  wish.arguments = {{"x-message-ttl", {int32_t{60000}}},
                    {"x-expires", {uint8_t{7}}},
                    {"x-max-length", {uint8_t{0}}},
                    {"x-max-length-bytes", {int16_t{100}}},
                    {"x-overflow", {std::string("reject-publish-dlx")}},
                    {"x-dead-letter-exchange", {std::string("dlx")}},
                    {"x-dead-letter-routing-key", {std::string("key")}},
                    {"x-max-priority", {uint8_t{10}}},
                    {"x-single-active-consumer", {true}},
                    {"x-consumer-timeout", {int32_t{1800000}}},
                    {"x-delivery-limit", {int8_t{3}}}};
  ask(client, wish);
  for (const auto& worker : workers) {
    const broker::AddQueue* known = worker->queue("q");
    ASSERT_TRUE(known && known->settings);
    EXPECT_EQ(known->settings->message_ttl_ms, 60000u);
    EXPECT_EQ(known->settings->expires_ms, 7u);
    EXPECT_EQ(known->settings->queue, "q");
    EXPECT_EQ(known->settings->max_length, 0u);
    EXPECT_EQ(known->settings->max_length_bytes, 100u);
    EXPECT_EQ(known->settings->overflow, broker::Overflow::reject_publish_dlx);
    EXPECT_EQ(known->settings->dead_lettering->exchange, "dlx");
    EXPECT_EQ(known->settings->dead_lettering->routing_key, "key");
    EXPECT_EQ(known->settings->delivery_limit, 3u);
    EXPECT_EQ(known->settings->max_priority, 10);
    EXPECT_TRUE(known->settings->single_active_consumer);
    EXPECT_EQ(known->settings->consumer_timeout_ms, 1800000u);
  }
  ask(client, queue("plain"));
  EXPECT_EQ(workers[0]->queue("plain")->settings, nullptr);
}

TEST_F(PlaneTopology, ADeadLetterExchangeTakesPermissionsOfItsOwn) {
  add_user("half", {"half", "/", "^q", "^out$", "^q$"});
  const auto half = open(1, "half");
  const auto with = [&](const std::string& name, base::Field exchange) {
    auto wish = queue(name);
    wish.arguments = {{"x-dead-letter-exchange", std::move(exchange)}};
    return ask(half, wish);
  };
  EXPECT_TRUE(is_refused(with("q", {std::string("elsewhere")}), access_refused,
                         "write access to exchange 'elsewhere' in vhost '/' refused for user 'half'"));
  EXPECT_TRUE(is_refused(with("q2", {std::string("out")}), access_refused,
                         "read access to queue 'q2' in vhost '/' refused for user 'half'"));
  EXPECT_TRUE(is_refused(with("q", {int32_t{1}}), precondition_failed,
                         "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"));
  EXPECT_TRUE(is_done(with("q", {std::string("out")})));
}

TEST_F(PlaneTopology, AQueueThatNobodyUsedIsDeletedUnlessSomebodyDoesNow) {
  auto wish = queue("q");
  wish.arguments = {{"x-expires", {int32_t{1000}}}};
  const auto made = std::get<broker::QueueDeclared>(ask(client, wish));
  const broker::WorkerIndex home = made.home;
  workers[home]->verdict = worker::DeleteVerdict::in_use;
  workers[home]->tell(worker::QueueUnused{made.queue});
  settle();
  EXPECT_TRUE(workers[0]->queue("q"));
  workers[home]->verdict = worker::DeleteVerdict::may_go;
  workers[home]->tell(worker::QueueUnused{made.queue});
  settle();
  EXPECT_FALSE(workers[0]->queue("q"));
  EXPECT_EQ(plane->counts().queues_expired, 1u);
  workers[home]->tell(worker::QueueUnused{made.queue});
  settle();
}

TEST_F(PlaneTopology, ArgumentsOfWrongTypeOrValueAreRefused) {
  const std::string of_q = " for queue 'q' in vhost '/'";
  struct Row {
    const char* name;
    base::Field value;
    std::string text;
  };
  const Row table[] = {
      {"x-message-ttl", {int32_t{-1}}, "invalid arg 'x-message-ttl'" + of_q + ": {value_negative,-1}"},
      {"x-message-ttl",
       {std::string("5")},
       "invalid arg 'x-message-ttl'" + of_q + ": \"expected integer, got longstr\""},
      {"x-message-ttl",
       {int64_t{315'360'000'001}},
       "invalid arg 'x-message-ttl'" + of_q + ": {value_too_large,315360000001}"},
      {"x-expires", {uint8_t{0}}, "invalid arg 'x-expires'" + of_q + ": {value_zero,0}"},
      {"x-delivery-limit", {int8_t{-2}}, "invalid arg 'x-delivery-limit'" + of_q + ": {value_negative,-2}"},
      {"x-delivery-limit", {int16_t{255}}, "invalid arg 'x-delivery-limit'" + of_q + ": {max_value_exceeded,255}"},
      {"x-max-length", {int8_t{-3}}, "invalid arg 'x-max-length'" + of_q + ": {value_negative,-3}"},
      {"x-max-length", {1.5}, "invalid arg 'x-max-length'" + of_q + ": \"expected integer, got double\""},
      {"x-max-priority", {int16_t{256}}, "invalid arg 'x-max-priority'" + of_q + ": {max_value_exceeded,256}"},
      {"x-overflow", {std::string("drop")}, "invalid arg 'x-overflow'" + of_q + ": invalid_overflow"},
      {"x-overflow", {true}, "invalid arg 'x-overflow'" + of_q + ": {unacceptable_type,bool}"},
      {"x-dead-letter-exchange",
       {int32_t{1}},
       "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"},
      {"x-dead-letter-routing-key",
       {std::string("k")},
       "invalid arg 'x-dead-letter-routing-key'" + of_q + ": routing_key_but_no_dlx_defined"},
      {"x-single-active-consumer",
       {std::string("true")},
       "invalid arg 'x-single-active-consumer'" + of_q + ": {unacceptable_type,longstr}"},
      {"x-queue-type",
       {std::string("quorum")},
       "invalid arg 'x-queue-type'" + of_q + ": \"unsupported queue type 'quorum'\""},
      {"x-queue-type", {int8_t{1}}, "invalid arg 'x-queue-type'" + of_q + ": {unacceptable_type,byte}"},
      {"x-max-age", {std::string("1h")}, "invalid arg 'x-max-age'" + of_q + " of queue type classic"},
  };
  for (const Row& row : table)
    EXPECT_TRUE(is_refused(declare_with(row.name, row.value), precondition_failed, row.text)) << row.name;
  EXPECT_EQ(workers[0]->queue("q"), nullptr);
}

TEST_F(PlaneTopology, BindingsAreKnownByEndsKeyAndArguments) {
  ASSERT_TRUE(is_done(ask(client, queue("q"))));
  for (int i = 0; i < 2; i++) EXPECT_TRUE(is_done(ask(client, bind("amq.direct", "q", "a"))));
  EXPECT_EQ(workers[1]->bindings.size(), 1u);
  EXPECT_TRUE(is_done(ask(client, bind("amq.direct", "q", "b"))));
  auto with = bind("amq.direct", "q", "a");
  with.arguments = {{"n", {int8_t{1}}}};
  EXPECT_TRUE(is_done(ask(client, with)));
  EXPECT_EQ(workers[1]->bindings.size(), 3u);
  with.arguments = {{"n", {int64_t{1}}}};
  EXPECT_TRUE(is_done(ask(client, with))) << "the width of an integer is no difference";
  EXPECT_EQ(workers[1]->bindings.size(), 3u);
  with.remove = true;
  EXPECT_TRUE(is_done(ask(client, with)));
  EXPECT_EQ(workers[1]->bindings.size(), 2u);
  EXPECT_TRUE(is_done(ask(client, with))) << "unbinding what is not bound is fine";
}

TEST_F(PlaneTopology, BindNeedsBothEndsUnbindNeither) {
  ASSERT_TRUE(is_done(ask(client, queue("q"))));
  EXPECT_TRUE(is_refused(ask(client, bind("x", "q")), not_found, "no exchange 'x' in vhost '/'"));
  EXPECT_TRUE(is_refused(ask(client, bind("amq.direct", "p")), not_found, "no queue 'p' in vhost '/'"));
  EXPECT_TRUE(is_refused(ask(client, bind_exchange("amq.direct", "y")), not_found, "no exchange 'y' in vhost '/'"));
  for (auto unbind :
       {bind("x", "q"), bind("amq.direct", "p"), bind_exchange("amq.direct", "y"), bind("amq.direct", "q")}) {
    unbind.remove = true;
    EXPECT_TRUE(is_done(ask(client, unbind)));
  }
}

TEST_F(PlaneTopology, AHeadersBindingMustSayHowToMatchOrNothing) {
  ASSERT_TRUE(is_done(ask(client, queue("q"))));
  auto with = [&](base::Field match, const char* source = "amq.headers") {
    auto request = bind(source, "q", "");
    request.arguments = {{"x-match", std::move(match)}};
    return ask(client, request);
  };
  for (const char* way : {"all", "any", "all-with-x", "any-with-x"}) EXPECT_TRUE(is_done(with({std::string(way)})));
  EXPECT_TRUE(is_refused(with({std::string("some")}), precondition_failed,
                         "Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x"));
  EXPECT_TRUE(is_refused(with({int32_t{1}}), precondition_failed,
                         "Invalid x-match field type signedint (value 1); expected longstr"));
  EXPECT_TRUE(is_done(with({int32_t{1}}, "amq.direct"))) << "other exchanges do not look at it";
  EXPECT_TRUE(is_done(ask(client, bind("amq.headers", "q", ""))));
}

TEST_F(PlaneTopology, BindingsGoWithEitherEnd) {
  ASSERT_TRUE(is_done(ask(client, queue("q"))));
  ASSERT_TRUE(is_done(ask(client, exchange("x"))));
  ASSERT_TRUE(is_done(ask(client, exchange("y"))));
  ASSERT_TRUE(is_done(ask(client, bind("x", "q"))));
  ASSERT_TRUE(is_done(ask(client, bind("y", "q"))));
  ASSERT_TRUE(is_done(ask(client, bind_exchange("x", "y"))));
  EXPECT_TRUE(is_done(ask(client, broker::DeleteExchange{.name = "y"})));
  EXPECT_EQ(workers[2]->bindings.size(), 1u);
  EXPECT_EQ(std::get<broker::QueueDeleted>(ask(client, broker::DeleteQueue{.name = "q"})).messages, 7u);
  EXPECT_TRUE(workers[2]->bindings.empty());
  EXPECT_EQ(workers[2]->exchange_names(), std::vector<std::string>{"x"});
  EXPECT_EQ(plane->catalog().binding_count(), 0u);
}

TEST_F(PlaneTopology, AutoDeleteExchangesVanishWithTheirLastBindingDownTheChain) {
  ASSERT_TRUE(is_done(ask(client, queue("q"))));
  for (const char* name : {"a", "b", "c"}) {
    auto made = exchange(name, "fanout");
    made.auto_delete = true;
    ASSERT_TRUE(is_done(ask(client, made)));
  }
  // a -> b -> c -> q, and a second way from b to q.
  ASSERT_TRUE(is_done(ask(client, bind_exchange("a", "b"))));
  ASSERT_TRUE(is_done(ask(client, bind_exchange("b", "c"))));
  ASSERT_TRUE(is_done(ask(client, bind("c", "q"))));
  ASSERT_TRUE(is_done(ask(client, bind("b", "q"))));
  auto unbind = bind("c", "q");
  unbind.remove = true;
  ASSERT_TRUE(is_done(ask(client, unbind)));
  EXPECT_EQ(workers[0]->exchange_names(), (std::vector<std::string>{"a", "b"})) << "b has its other binding left";
  ASSERT_TRUE(is_done(ask(client, broker::DeleteQueue{.name = "q"})));
  EXPECT_TRUE(workers[0]->exchange_names().empty());
  EXPECT_TRUE(workers[0]->bindings.empty());
}

TEST_F(PlaneTopology, AnAutoDeleteExchangeThatWasNeverBoundStays) {
  auto made = exchange("x");
  made.auto_delete = true;
  ASSERT_TRUE(is_done(ask(client, made)));
  ASSERT_TRUE(is_done(ask(client, queue("q"))));
  ASSERT_TRUE(is_done(ask(client, broker::DeleteQueue{.name = "q"})));
  EXPECT_EQ(workers[0]->exchange_names().size(), 1u);
}

TEST_F(PlaneTopology, ALongChainOfAutoDeleteExchangesTakesNoStack) {
  options.limits.exchanges = 30000;
  start(memory, 1);
  workers[0]->replicates = false;
  client = open(0);
  ASSERT_TRUE(is_done(ask(client, queue("q"))));
  const int length = 20000;
  for (int i = 0; i < length; i++) {
    auto made = exchange("x" + std::to_string(i), "fanout");
    made.auto_delete = true;
    send(client, made);
    send(client, i == 0 ? bind("x0", "q") : bind_exchange("x" + std::to_string(i), "x" + std::to_string(i - 1)));
  }
  settle();
  ASSERT_EQ(plane->catalog().binding_count(), static_cast<size_t>(length));
  ASSERT_TRUE(is_done(ask(client, broker::DeleteQueue{.name = "q"})));
  EXPECT_EQ(plane->catalog().exchange_count(), std::size(predeclared_exchanges) + std::size(own_exchanges));
}

TEST_F(PlaneTopology, DeletesAreIdempotentAndKeepTheirConditions) {
  EXPECT_EQ(std::get<broker::QueueDeleted>(ask(client, broker::DeleteQueue{.name = "nothing"})).messages, 0u);
  EXPECT_TRUE(is_done(ask(client, broker::DeleteExchange{.name = "nothing"})));
  ASSERT_TRUE(is_done(ask(client, queue("q"))));
  ASSERT_TRUE(is_done(ask(client, exchange("x"))));
  ASSERT_TRUE(is_done(ask(client, bind("x", "q"))));
  EXPECT_TRUE(is_refused(ask(client, broker::DeleteExchange{.name = "x", .if_unused = true}), precondition_failed,
                         "exchange 'x' in vhost '/' in use"));
  for (auto& worker : workers) worker->verdict = worker::DeleteVerdict::in_use;
  EXPECT_TRUE(is_refused(ask(client, broker::DeleteQueue{.name = "q", .if_unused = true}), precondition_failed,
                         "queue 'q' in vhost '/' in use"));
  for (auto& worker : workers) worker->verdict = worker::DeleteVerdict::not_empty;
  EXPECT_TRUE(is_refused(ask(client, broker::DeleteQueue{.name = "q", .if_empty = true}), precondition_failed,
                         "queue 'q' in vhost '/' not empty"));
  EXPECT_NE(workers[0]->queue("q"), nullptr);
  EXPECT_EQ(std::get<broker::QueueDeleted>(ask(client, broker::DeleteQueue{.name = "q"})).messages, 7u);
}

TEST_F(PlaneTopology, AnUnusedAutoDeleteQueueGoesOnlyIfThatIsStillTrue) {
  auto made = queue("q");
  made.auto_delete = true;
  ASSERT_TRUE(is_done(ask(client, made)));
  ASSERT_TRUE(is_done(ask(client, queue("plain"))));
  auto wish = [](const char* name) { return broker::DeleteQueue{.name = name, .unused_auto_delete = true}; };
  for (auto& worker : workers) worker->verdict = worker::DeleteVerdict::in_use;
  EXPECT_TRUE(is_done(ask(client, wish("q"))));
  EXPECT_NE(workers[0]->queue("q"), nullptr) << "somebody consumes again";
  for (auto& worker : workers) worker->verdict = worker::DeleteVerdict::may_go;
  EXPECT_TRUE(is_done(ask(client, wish("plain"))));
  EXPECT_NE(workers[0]->queue("plain"), nullptr);
  EXPECT_TRUE(is_done(ask(client, wish("q"))));
  EXPECT_EQ(workers[0]->queue("q"), nullptr);
}

// While the home of a queue is asked, later requests of the connection wait for their turn, close included.
TEST_F(PlaneTopology, RequestsOfOneConnectionKeepTheirOrder) {
  auto exclusive = queue("mine");
  exclusive.exclusive = true;
  ASSERT_TRUE(is_done(ask(client, exclusive)));
  workers[0]->verdict = std::nullopt;
  uint64_t deleted = send(client, broker::DeleteQueue{.name = "mine"});
  settle();
  uint64_t declared = send(client, exclusive);
  uint64_t closed = send(client, broker::CloseConnection{});
  settle();
  EXPECT_FALSE(answer_to(client, deleted) || answer_to(client, declared) || answer_to(client, closed));
  ASSERT_EQ(workers[0]->checks.size(), 1u);
  // Others are served meanwhile.
  EXPECT_TRUE(is_done(ask(open(1), queue("other"))));
  workers[0]->tell(worker::DeleteChecked{workers[0]->checks[0].token, worker::DeleteVerdict::may_go, 3});
  settle();
  EXPECT_EQ(std::get<broker::QueueDeleted>(*answer_to(client, deleted)).messages, 3u);
  EXPECT_TRUE(std::get<broker::QueueDeclared>(*answer_to(client, declared)).created);
  EXPECT_TRUE(is_done(*answer_to(client, closed)));
  EXPECT_EQ(workers[0]->queue("mine"), nullptr);
}

TEST_F(PlaneTopology, TwoDeletesOfOneQueueAreBothAnswered) {
  ASSERT_TRUE(is_done(ask(client, queue("q"))));
  broker::SessionAddress other = open(1);
  uint64_t first = send(client, broker::DeleteQueue{.name = "q"});
  uint64_t second = send(other, broker::DeleteQueue{.name = "q"});
  for (auto& worker : workers) worker->verdict = std::nullopt;
  settle();
  FakeWorker* home = nullptr;
  for (auto& worker : workers)
    if (!worker->checks.empty()) home = worker.get();
  ASSERT_NE(home, nullptr);
  ASSERT_EQ(home->checks.size(), 2u);
  for (auto& check : home->checks) home->tell(worker::DeleteChecked{check.token, worker::DeleteVerdict::may_go, 5});
  settle();
  EXPECT_EQ(std::get<broker::QueueDeleted>(*answer_to(client, first)).messages, 5u);
  EXPECT_EQ(std::get<broker::QueueDeleted>(*answer_to(other, second)).messages, 0u);
  home->tell(worker::DeleteChecked{12345, worker::DeleteVerdict::may_go, 5});
  settle();
  EXPECT_EQ(plane->counts().strays, 1u);
}

TEST_F(PlaneTopology, LimitsAreCountedAnswers) {
  const size_t exchanges = std::size(predeclared_exchanges) + std::size(own_exchanges) + 1;
  options.limits = {.vhosts = 1, .exchanges = exchanges, .queues = 1, .bindings = 1, .users = 2};
  start(memory);
  client = open(0);
  ASSERT_TRUE(is_done(ask(client, queue("q"))));
  EXPECT_TRUE(is_refused(ask(client, queue("p")), precondition_failed,
                         "cannot declare queue 'p' in vhost '/': queue limit (1) is reached"));
  ASSERT_TRUE(is_done(ask(client, exchange("x"))));
  EXPECT_TRUE(is_refused(
      ask(client, exchange("y")), precondition_failed,
      "cannot declare exchange 'y' in vhost '/': exchange limit (" + std::to_string(exchanges) + ") is reached"));
  ASSERT_TRUE(is_done(ask(client, bind("x", "q"))));
  EXPECT_TRUE(
      is_refused(ask(client, bind("x", "q", "2")), precondition_failed, "cannot bind: binding limit (1) is reached"));
  EXPECT_EQ(plane->counts().refusals, 3u);
}

TEST_F(PlaneTopology, PermissionsAreAskedBeforeAnythingElseIsTold) {
  add_user("u", {"u", "/", "^c", "^w", "^r"});
  broker::SessionAddress u = open(1, "u");
  const std::string tail = " in vhost '/' refused for user 'u'";
  EXPECT_TRUE(is_refused(ask(u, queue("w1")), access_refused, "configure access to queue 'w1'" + tail));
  EXPECT_TRUE(is_refused(ask(u, exchange("r1")), access_refused, "configure access to exchange 'r1'" + tail));
  auto unnamed = ask(u, queue(""));
  EXPECT_TRUE(std::get<broker::Refusal>(unnamed).text.starts_with("configure access to queue 'amq.gen-"));
  EXPECT_TRUE(
      is_refused(ask(u, broker::DeleteQueue{.name = "w1"}), access_refused, "configure access to queue 'w1'" + tail));
  EXPECT_TRUE(is_refused(ask(u, broker::DeleteExchange{.name = "w1"}), access_refused,
                         "configure access to exchange 'w1'" + tail));
  auto passive = queue("other");
  passive.passive = true;
  EXPECT_TRUE(is_refused(ask(u, passive), access_refused, "access to queue 'other'" + tail));
  passive.name = "r1";
  EXPECT_TRUE(is_refused(ask(u, passive), not_found, "no queue 'r1' in vhost '/'"));

  EXPECT_TRUE(is_done(ask(u, queue("c1"))));
  EXPECT_TRUE(is_refused(ask(u, bind("amq.direct", "c1")), access_refused, "write access to queue 'c1'" + tail));
  ASSERT_TRUE(is_done(ask(client, queue("w2"))));
  EXPECT_TRUE(
      is_refused(ask(u, bind("amq.direct", "w2")), access_refused, "read access to exchange 'amq.direct'" + tail));
  ASSERT_TRUE(is_done(ask(client, exchange("r2"))));
  EXPECT_TRUE(is_done(ask(u, bind("r2", "w2"))));

  // An alternate exchange: read on itself, write on the other.
  auto with_alternate = exchange("c2");
  with_alternate.arguments = {{"alternate-exchange", {std::string("w3")}}};
  EXPECT_TRUE(is_refused(ask(u, with_alternate), access_refused, "read access to exchange 'c2'" + tail));
  ASSERT_TRUE(result_of(plane->set_permissions({"u", "/", "^c", "^w", "^(r|c)"})).has_value());
  EXPECT_TRUE(is_done(ask(u, with_alternate)));
  with_alternate.name = "c3";
  with_alternate.arguments = {{"alternate-exchange", {std::string("x3")}}};
  EXPECT_TRUE(is_refused(ask(u, with_alternate), access_refused, "write access to exchange 'x3'" + tail));
}

TEST_F(PlaneTopology, TopicPermissionsAreForTopicExchangesAlone) {
  EXPECT_TRUE(
      result_of(plane->set_topic_permissions({"guest", "/", "amq.topic", "^{username}\\.", "^r\\."})).has_value());
  EXPECT_TRUE(result_of(plane->set_topic_permissions({"guest", "/", "amq.direct", "^w$", "^r$"})).has_value());
  const auto session = open(0);
  EXPECT_TRUE(is_done(ask(session, queue("q"))));
  EXPECT_TRUE(is_done(ask(session, bind("amq.topic", "q", "r.a"))));
  EXPECT_TRUE(
      is_refused(ask(session, bind("amq.topic", "q", "a")), broker::RefusalReason::access_refused,
                 "read access to topic 'a' in exchange topic 'amq.topic' in vhost '/' refused for user 'guest'"));
  EXPECT_TRUE(is_done(ask(session, bind("amq.direct", "q", "a"))));
  const auto authorize = [&](const char* name, std::optional<std::string> key) {
    return ask(session, broker::Authorize{broker::Access::write, true, name, std::move(key)});
  };
  EXPECT_TRUE(std::holds_alternative<broker::KeysDecide>(authorize("amq.topic", std::nullopt)));
  EXPECT_TRUE(std::holds_alternative<broker::Done>(authorize("amq.fanout", std::nullopt)));
  EXPECT_TRUE(is_done(authorize("amq.topic", "guest.a")));
  EXPECT_TRUE(is_refused(authorize("amq.topic", "guesta"), broker::RefusalReason::access_refused,
                         "write access to topic 'guesta' in exchange topic 'amq.topic' in vhost '/' refused for user "
                         "'guest'"));
  EXPECT_TRUE(result_of(plane->clear_topic_permissions("guest", "/", std::nullopt)).has_value());
  EXPECT_TRUE(std::holds_alternative<broker::Done>(authorize("amq.topic", std::nullopt)));
}

// ---- exchange types beyond the four
// -----------------------------------------------------------------------------------

TEST_F(PlaneTopology, WorkersAreToldWhatAnExchangeHashes) {
  auto request = exchange("x", "x-consistent-hash");
  request.arguments = {{"hash-header", {std::string("customer")}}};
  EXPECT_TRUE(is_done(ask(client, request)));
  EXPECT_EQ(workers[1]->exchange("x")->type, broker::ExchangeType::consistent_hash);
  EXPECT_EQ(workers[1]->exchange("x")->settings->hash_header, "customer");
  EXPECT_TRUE(is_done(ask(client, request)));
  request.arguments = {{"hash-property", {std::string("message_id")}}};
  EXPECT_TRUE(is_refused(ask(client, request), precondition_failed,
                         "inequivalent arg 'hash-header' for exchange 'x' in vhost '/': received none but current is "
                         "the value 'customer' of type 'longstr'"));
  request.name = "y";
  EXPECT_TRUE(is_done(ask(client, request)));
  EXPECT_EQ(workers[1]->exchange("y")->settings->hash_property, broker::HashProperty::message_id);
  request.name = "z";
  request.arguments = {{"hash-property", {std::string("user_id")}}};
  EXPECT_TRUE(is_refused(ask(client, request), precondition_failed, "Unsupported property: user_id"));
  request.arguments = {{"hash-property", {std::string("timestamp")}}, {"hash-header", {std::string("a")}}};
  EXPECT_TRUE(
      is_refused(ask(client, request), precondition_failed, "hash-header and hash-property are mutually exclusive"));
  request.arguments = {{"hash-header", {int32_t{1}}}};
  EXPECT_TRUE(is_refused(ask(client, request), precondition_failed,
                         "invalid type 'signedint' for arg 'hash-header' in exchange 'z' in vhost '/'"));
}

TEST_F(PlaneTopology, AHashExchangesBindingsHaveWeights) {
  ask(client, exchange("x", "x-consistent-hash"));
  ask(client, exchange("random", "x-local-random"));
  ask(client, queue("q"));
  EXPECT_TRUE(is_done(ask(client, bind("x", "q", "10"))));
  EXPECT_TRUE(is_refused(ask(client, bind("x", "q", "ten")), precondition_failed,
                         "The binding key must be an integer: <<\"ten\">>"));
  EXPECT_TRUE(
      is_refused(ask(client, bind("x", "q", "0")), precondition_failed, "The binding key must be greater than 0"));
  EXPECT_TRUE(
      is_refused(ask(client, bind("x", "q", "-1")), precondition_failed, "The binding key must be greater than 0"));
  EXPECT_TRUE(is_refused(ask(client, bind("random", "q", "k")), precondition_failed,
                         "Non empty binding 'k' key not permitted"));
  EXPECT_TRUE(is_done(ask(client, bind("random", "q", ""))));
}

TEST_F(PlaneTopology, AnExchangeThatRemembersHasAHome) {
  auto history = exchange("chat", "x-recent-history");
  EXPECT_TRUE(is_done(ask(client, history)));
  const broker::AddExchange* known = workers[1]->exchange("chat");
  EXPECT_EQ(known->type, broker::ExchangeType::fanout);
  EXPECT_EQ(known->settings->history_length, 20u);
  EXPECT_EQ(known->home, workers[2]->exchange("chat")->home);
  history.arguments = {{"x-recent-history-length", {int16_t{5}}}};
  EXPECT_TRUE(is_refused(ask(client, history), precondition_failed,
                         "inequivalent arg 'x-recent-history-length' for exchange 'chat' in vhost '/': received the "
                         "value '5' of type 'short' but current is none"));
  std::set<broker::WorkerIndex> homes;
  for (int i = 0; i < 30; i++) {
    const std::string name = "chat" + std::to_string(i);
    history.name = name;
    EXPECT_TRUE(is_done(ask(client, history)));
    EXPECT_EQ(workers[0]->exchange(name)->settings->history_length, 5u);
    homes.insert(workers[0]->exchange(name)->home);
  }
  EXPECT_EQ(homes.size(), 3u);

  auto once = exchange("once", "x-message-deduplication");
  once.arguments = {{"x-cache-size", {int32_t{7}}},
                    {"x-cache-ttl", {int32_t{60000}}},
                    {"x-cache-persistence", {std::string("memory")}}};
  EXPECT_TRUE(is_done(ask(client, once)));
  EXPECT_EQ(workers[0]->exchange("once")->type, broker::ExchangeType::fanout);
  EXPECT_EQ(workers[0]->exchange("once")->settings->deduplication,
            (broker::Deduplication{"x-deduplication-header", 7, 60000}));
  auto topic = exchange("topic", "topic");
  topic.arguments = {{"x-message-deduplication", {true}}, {"x-deduplication-header", {std::string("id")}}};
  EXPECT_TRUE(is_done(ask(client, topic)));
  EXPECT_EQ(workers[0]->exchange("topic")->type, broker::ExchangeType::topic);
  EXPECT_EQ(workers[0]->exchange("topic")->settings->deduplication, (broker::Deduplication{"id", 128, {}}));
  topic.name = "plain";
  topic.arguments = {{"x-message-deduplication", {false}}};
  EXPECT_TRUE(is_done(ask(client, topic)));
  EXPECT_FALSE(workers[0]->exchange("plain")->settings);

  EXPECT_TRUE(is_refused(ask(client, bind_exchange("amq.fanout", "once")), precondition_failed,
                         "cannot bind exchange 'once' in vhost '/' to another exchange: it remembers what is "
                         "published to it"));
  EXPECT_TRUE(is_done(ask(client, bind_exchange("once", "amq.fanout"))));
}

TEST_F(PlaneTopology, AnExchangeRemembersWithinReason) {
  const auto refused = [&](const char* type, base::FieldTable arguments, const std::string& text) {
    auto wish = exchange("x", type);
    wish.arguments = std::move(arguments);
    return is_refused(ask(client, wish), precondition_failed, text);
  };
  const base::FieldEntry size{"x-cache-size", {int32_t{7}}};
  EXPECT_TRUE(refused("x-recent-history", {{"x-recent-history-length", {int32_t{0}}}},
                      "Invalid argument 0, 'x-recent-history-length' must be a positive integer"));
  EXPECT_TRUE(refused("x-recent-history", {{"x-recent-history-length", {int32_t{1 << 21}}}},
                      "Invalid argument, 'x-recent-history-length' must not be greater than 1048576"));
  const char* missing = "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0";
  EXPECT_TRUE(refused("x-message-deduplication", {}, missing));
  EXPECT_TRUE(refused("x-message-deduplication", {{"x-cache-size", {int32_t{0}}}}, missing));
  EXPECT_TRUE(refused("x-message-deduplication", {size, {"x-cache-ttl", {int32_t{0}}}},
                      "Invalid argument, 'x-cache-ttl' must be an integer greater than 0"));
  EXPECT_TRUE(refused("x-message-deduplication", {size, {"x-cache-persistence", {std::string("tape")}}},
                      "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'"));
  EXPECT_TRUE(refused("x-message-deduplication", {size, {"x-cache-persistence", {std::string("disk")}}},
                      "Invalid argument, 'x-cache-persistence' 'disk' is not supported"));
  EXPECT_TRUE(refused("fanout", {size},
                      "invalid arg 'x-cache-size' for exchange 'x' in vhost '/': not without x-message-deduplication"));
  EXPECT_TRUE(refused("fanout", {{"x-message-deduplication", {std::string("yes")}}},
                      "invalid arg 'x-message-deduplication' for exchange 'x' in vhost '/': "
                      "{unacceptable_type,longstr}"));
  EXPECT_TRUE(refused("x-delayed-message",
                      {{"x-delayed-type", {std::string("fanout")}}, {"x-message-deduplication", {true}}},
                      "argument 'x-message-deduplication' for exchange 'x' in vhost '/' is not supported"));
  EXPECT_TRUE(refused("x-delayed-message", {{"x-delayed-type", {std::string("x-recent-history")}}},
                      "Invalid argument, 'x-delayed-type' must be an existing exchange type"));
}

TEST_F(PlaneTopology, AnExchangeThatDelaysRoutesAsItsInnerType) {
  auto request = exchange("x", "x-delayed-message");
  const char* must = "Invalid argument, 'x-delayed-type' must be an existing exchange type";
  EXPECT_TRUE(is_refused(ask(client, request), precondition_failed, must));
  for (const char* wrong : {"strange", "x-delayed-message"}) {
    request.arguments = {{"x-delayed-type", {std::string(wrong)}}};
    EXPECT_TRUE(is_refused(ask(client, request), precondition_failed, must));
  }
  request.arguments = {{"x-delayed-type", {std::string("topic")}}};
  EXPECT_TRUE(is_done(ask(client, request)));
  EXPECT_EQ(workers[1]->exchange("x")->type, broker::ExchangeType::topic);
  EXPECT_TRUE(workers[1]->exchange("x")->settings->delays);
  request.arguments = {{"x-delayed-type", {std::string("direct")}}};
  EXPECT_TRUE(is_refused(ask(client, request), precondition_failed,
                         "inequivalent arg 'x-delayed-type' for exchange 'x' in vhost '/': received 'direct' but "
                         "current is 'topic'"));
}

}  // namespace
}  // namespace talaria::control
