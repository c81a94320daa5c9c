// Policies: which one counts, how they are merged, and what they make of queues and exchanges that are there.

#include "control/definitions.h"
#include "control/policies.h"
#include "tests/unit/control/fake_workers.h"

namespace talaria::control {
namespace {

base::FieldTable table(std::initializer_list<std::pair<const char*, int64_t>> numbers) {
  base::FieldTable out;
  for (const auto& [name, number] : numbers) out.push_back({name, {number}});
  return out;
}
base::FieldTable table(const char* name, const char* text) { return {{name, {std::string(text)}}}; }

PolicyRow policy(const char* name, const char* pattern, base::FieldTable definition, int64_t priority = 0,
                 const char* apply_to = "all", bool of_operators = false) {
  return {"/", name, of_operators, pattern, apply_to, priority, std::move(definition)};
}
PolicyRow operators(const char* name, const char* pattern, base::FieldTable definition, int64_t priority = 0) {
  return policy(name, pattern, std::move(definition), priority, "queues", true);
}

std::string fault_of(const PolicyRow& row) {
  const auto compiled = compile_policy(row);
  return compiled ? "none" : compiled.error();
}

TEST(Policy, MustSayWhatIsKnownAndCanBeHonoured) {
  EXPECT_EQ(fault_of(policy("p", "", table({{"max-length", 0}}))), "none");
  EXPECT_EQ(fault_of(policy("p", "^a", {})), "no policy provided");
  EXPECT_EQ(fault_of(policy("p", "^a", table({{"ha-mode", 1}, {"max-length", 1}, {"colour", 1}}))),
            "'ha-mode', 'colour' are not recognised policy settings, or not supported");
  EXPECT_EQ(fault_of(operators("p", "^a", table("dead-letter-exchange", "x"))),
            "'dead-letter-exchange' is not recognised operator policy settings, or not supported");
  EXPECT_EQ(fault_of(policy("p", "^a", table({{"max-length", -1}}))), "-1 is not a valid maximum length");
  EXPECT_EQ(fault_of(policy("p", "^a", table({{"expires", 0}}))), "0 is not a valid queue expiry");
  EXPECT_EQ(fault_of(policy("p", "^a", table({{"delivery-limit", 255}}))), "255 is not a valid delivery limit");
  EXPECT_EQ(fault_of(policy("p", "^a", table({{"consumer-timeout", 60000}}))), "none");
  EXPECT_EQ(fault_of(policy("p", "^a", table({{"consumer-timeout", -1}}))), "-1 is not a valid consumer timeout");
  EXPECT_EQ(fault_of(operators("p", "^a", table({{"consumer-timeout", 60000}}))),
            "'consumer-timeout' is not recognised operator policy settings, or not supported");
  EXPECT_EQ(fault_of(policy("p", "^a", table({{"alert-up", 5}, {"alert-down-bytes", 3}}))), "none");
  EXPECT_EQ(fault_of(policy("p", "^a", table({{"alert-up", 0}}))), "0 is not a valid alert threshold");
  EXPECT_EQ(fault_of(policy("p", "^a", table("message-ttl", "5"))), "\"5\" is not a valid message TTL");
  EXPECT_EQ(fault_of(policy("p", "^a", table("overflow", "spill"))), "\"spill\" is not a valid overflow value");
  EXPECT_EQ(fault_of(policy("p", "^a", table({{"dead-letter-exchange", 1}}))),
            "1 is not a valid dead letter exchange name");
  EXPECT_EQ(fault_of(policy("p", "^a", table({{"alternate-exchange", 1}}))),
            "1 is not a valid alternate exchange name");
  EXPECT_EQ(fault_of(policy("p", "^a", table("dead-letter-routing-key", "k"))), "none");
  EXPECT_EQ(fault_of(policy("p", "(", table({{"max-length", 1}}))).substr(0, 24), "pattern '(' is not valid");
  EXPECT_EQ(fault_of(policy("p", "^a", table({{"max-length", 1}}), 0, "bindings")),
            "apply-to 'bindings' unrecognised; should be one of: 'queues', 'classic_queues', 'quorum_queues', "
            "'streams', 'exchanges', or 'all'");
}

TEST(Policy, TheHighestPriorityThatMatchesCounts) {
  Policies policies;
  const auto add = [&](const PolicyRow& row) { policies.emplace(row.name, *compile_policy(row)); };
  add(policy("low", "^a", table({{"max-length", 1}}), -1));
  add(policy("high", "b$", table({{"max-length", 1}}), 5));
  add(policy("also high", "b$", table({{"max-length", 1}}), 5));
  add(policy("exchanges", "", table("alternate-exchange", "x"), 0, "exchanges"));
  add(policy("streams", "", table({{"max-length", 1}}), 9, "streams"));
  add(policy("classic", "^c", table({{"max-length", 1}}), 7, "classic_queues"));
  const auto name_for = [&](PolicySubject subject, const char* name) {
    const auto found = matching_policy(policies, subject, name);
    return found == policies.end() ? std::string("none") : found->first;
  };
  EXPECT_EQ(name_for(PolicySubject::queue, "a"), "low");
  EXPECT_EQ(name_for(PolicySubject::queue, "ab"), "also high");
  EXPECT_EQ(name_for(PolicySubject::queue, "cb"), "classic");
  EXPECT_EQ(name_for(PolicySubject::queue, "d"), "none");
  EXPECT_EQ(name_for(PolicySubject::exchange, "a"), "exchanges");
  EXPECT_EQ(name_for(PolicySubject::exchange, "cb"), "also high");
}

std::string merged(const base::FieldTable& user, const base::FieldTable& of_operators) {
  const Policy one = *compile_policy(policy("u", "", user));
  const Policy other = *compile_policy(operators("o", "", of_operators));
  return canonical(merged_definition(&one, &other));
}

TEST(Policy, OfTwoTheLesserNumberCountsAndElseTheOperators) {
  EXPECT_EQ(merged(table({{"max-length", 10}, {"expires", 5}}), table({{"max-length", 7}, {"message-ttl", 3}})),
            canonical(table({{"max-length", 7}, {"expires", 5}, {"message-ttl", 3}})));
  EXPECT_EQ(merged(table({{"max-length", 7}}), table({{"max-length", 10}})), canonical(table({{"max-length", 7}})));
  EXPECT_EQ(merged(table("overflow", "drop-head"), table("overflow", "reject-publish")),
            canonical(table("overflow", "reject-publish")));
  EXPECT_EQ(merged(table({{"delivery-limit", -1}}), table({{"delivery-limit", 3}})),
            canonical(table({{"delivery-limit", 3}})));
  EXPECT_EQ(merged_definition(nullptr, nullptr).size(), 0u);
}

TEST(Policy, AnArgumentStandsBesideIt) {
  using enum PolicySubject;
  const auto value = [](const base::FieldTable& arguments, const base::FieldTable& definition, const char* name) {
    const base::FieldTable all = with_policies(queue, arguments, definition);
    const base::Field* found = base::find(all, name);
    return found ? base::to_text(*found) : "none";
  };
  EXPECT_EQ(value(table({{"x-max-length", 5}}), table({{"max-length", 9}}), "x-max-length"), "5");
  EXPECT_EQ(value(table({{"x-max-length", 9}}), table({{"max-length", 5}}), "x-max-length"), "5");
  EXPECT_EQ(value({}, table({{"max-length", 5}}), "x-max-length"), "5");
  EXPECT_EQ(value({}, table({{"consumer-timeout", 5}}), "x-consumer-timeout"), "5");
  EXPECT_EQ(value(table({{"x-consumer-timeout", 9}}), table({{"consumer-timeout", 5}}), "x-consumer-timeout"), "5");
  EXPECT_EQ(value(table("x-overflow", "drop-head"), table("overflow", "reject-publish"), "x-overflow"),
            "\"drop-head\"");
  EXPECT_EQ(value({}, table("alternate-exchange", "x"), "alternate-exchange"), "none");
  EXPECT_EQ(with_policies(exchange, {}, table({{"max-length", 5}})).size(), 0u);
}

class PlanePolicies : public PlaneTest {
 protected:
  const broker::QueueSettings* settings_of(const std::string& name) {
    const broker::AddQueue* found = workers[1]->queue(name);
    return found ? found->settings.get() : nullptr;
  }
  void set(const PolicyRow& row) {
    const OperatorResult result = result_of(plane->set_policy(row));
    ASSERT_TRUE(result.has_value()) << result.error().message;
  }
  std::string alternate_of(const std::string& name) {
    for (const auto& [id, exchange] : workers[2]->exchanges)
      if (exchange.name == name) return exchange.alternate;
    return "no such exchange";
  }
};

TEST_F(PlanePolicies, ChangeQueuesThatAreThereAndThoseThatCome) {
  const auto session = open(0);
  EXPECT_TRUE(is_done(ask(session, queue("jobs"))));
  EXPECT_TRUE(is_done(ask(session, queue("other"))));
  set(policy("p", "^jobs", table({{"max-length", 9}, {"message-ttl", 100}})));
  ASSERT_TRUE(settings_of("jobs"));
  EXPECT_EQ(settings_of("jobs")->max_length, 9u);
  EXPECT_EQ(settings_of("jobs")->message_ttl_ms, 100u);
  EXPECT_EQ(settings_of("jobs")->queue, "jobs");
  EXPECT_EQ(settings_of("other"), nullptr);
  set(operators("o", "", table({{"max-length", 3}, {"expires", 1000}})));
  EXPECT_EQ(settings_of("jobs")->max_length, 3u);
  EXPECT_EQ(settings_of("other")->expires_ms, 1000u);
  broker::DeclareQueue declared = queue("jobs-2");
  declared.arguments = table({{"x-max-length", 2}, {"x-message-ttl", 500}});
  EXPECT_TRUE(is_done(ask(session, declared)));
  EXPECT_EQ(settings_of("jobs-2")->max_length, 2u);
  EXPECT_EQ(settings_of("jobs-2")->message_ttl_ms, 100u);
  // A policy is no argument: the same declaration is still equivalent.
  EXPECT_TRUE(is_done(ask(session, declared)));

  const uint64_t before = workers[1]->setting_changes;
  set(policy("another", "^nothing", table({{"max-length", 1}}), 7));
  EXPECT_EQ(workers[1]->setting_changes, before) << "what stays as it was is not said again";

  EXPECT_TRUE(result_of(plane->clear_policy("/", "o", true)).has_value());
  EXPECT_EQ(settings_of("other"), nullptr);
  EXPECT_EQ(settings_of("jobs")->max_length, 9u);
  EXPECT_TRUE(result_of(plane->clear_policy("/", "p", false)).has_value());
  EXPECT_EQ(settings_of("jobs"), nullptr);
  EXPECT_EQ(settings_of("jobs-2")->message_ttl_ms, 500u);
}

TEST_F(PlanePolicies, GiveExchangesAnAlternate) {
  const auto session = open(0);
  EXPECT_TRUE(is_done(ask(session, exchange("x"))));
  set(policy("p", "", table("alternate-exchange", "spare")));
  EXPECT_EQ(alternate_of("x"), "spare");
  EXPECT_EQ(alternate_of("amq.topic"), "spare");
  EXPECT_EQ(alternate_of(""), "") << "never the default exchange";
  broker::DeclareExchange declared = exchange("y");
  declared.arguments = table("alternate-exchange", "mine");
  EXPECT_TRUE(is_done(ask(session, declared)));
  EXPECT_EQ(alternate_of("y"), "mine");
  start(memory);
  EXPECT_EQ(alternate_of("amq.topic"), "spare") << "also after a restart";
  EXPECT_TRUE(result_of(plane->clear_policy("/", "p", false)).has_value());
  EXPECT_EQ(alternate_of("amq.topic"), "");
}

TEST_F(PlanePolicies, AreRefusedAndFoundMissing) {
  const auto fault = [&](Ticket ticket) { return result_of(ticket).error().fault; };
  EXPECT_EQ(fault(plane->set_policy(policy("p", "(", table({{"max-length", 1}})))), Fault::bad_argument);
  PolicyRow elsewhere = policy("p", "", table({{"max-length", 1}}));
  elsewhere.vhost = "nowhere";
  EXPECT_EQ(fault(plane->set_policy(elsewhere)), Fault::no_such_vhost);
  EXPECT_EQ(fault(plane->set_policy(policy("", "", table({{"max-length", 1}})))), Fault::bad_argument);
  EXPECT_EQ(fault(plane->clear_policy("/", "p", false)), Fault::not_found);
  EXPECT_EQ(fault(plane->clear_policy("nowhere", "p", false)), Fault::no_such_vhost);
  memory.fail_next(1);
  EXPECT_EQ(fault(plane->set_policy(policy("p", "", table({{"max-length", 1}})))), Fault::store_failed);
  EXPECT_TRUE(plane->catalog().vhost("/")->user_policies.empty());
}

TEST_F(PlanePolicies, OutliveARestartButNotTheirVhost) {
  EXPECT_TRUE(result_of(plane->add_vhost({"v", "", {}})).has_value());
  PolicyRow row = policy("p", "^a", table({{"max-length", 1}}), 3, "queues");
  row.vhost = "v";
  set(row);
  row.of_operators = true;
  set(row);
  start(memory);
  const Vhost* vhost = plane->catalog().vhost("v");
  ASSERT_EQ(vhost->user_policies.count("p") + vhost->operator_policies.count("p"), 2u);
  EXPECT_EQ(vhost->user_policies.find("p")->second.priority, 3);
  EXPECT_TRUE(result_of(plane->delete_vhost("v")).has_value());
  EXPECT_TRUE(memory.load().policies.empty());
}

TEST_F(PlanePolicies, WaitForAQueueThatMoves) {
  const auto session = open(0);
  EXPECT_TRUE(is_done(ask(session, queue("q"))));
  const Queue& moving = *Catalog::queue(*plane->catalog().vhost("/"), "q");
  for (auto& worker : workers) worker->outcome.reset();
  ASSERT_TRUE(plane->move_queue(moving.id, moving.home == 0 ? 1 : 0));
  settle();
  set(policy("p", "", table({{"max-length", 4}})));
  EXPECT_EQ(settings_of("q"), nullptr);
  for (auto& worker : workers) worker->end_move(worker->move, broker::MoveOutcome::moved);
  settle();
  ASSERT_TRUE(settings_of("q"));
  EXPECT_EQ(settings_of("q")->max_length, 4u);
}

TEST_F(PlanePolicies, GoIntoDefinitionsAndComeBack) {
  set(policy("p", "^a", table({{"max-length", 1}}), 3, "queues"));
  set(operators("o", "", table({{"expires", 10}})));
  const nlohmann::json exported = export_definitions(plane->catalog(), "1");
  EXPECT_EQ(exported["policies"],
            nlohmann::json::parse(R"([{"vhost":"/","name":"p","pattern":"^a","apply-to":"queues","priority":3,
                                       "definition":{"max-length":1}}])"));
  EXPECT_EQ(exported["parameters"],
            nlohmann::json::parse(R"([{"component":"operator_policy","name":"o","vhost":"/","value":
                {"pattern":"","apply-to":"queues","priority":0,"definition":{"expires":10}}}])"));
  EXPECT_TRUE(result_of(plane->clear_policy("/", "p", false)).has_value());
  EXPECT_TRUE(result_of(plane->clear_policy("/", "o", true)).has_value());
  const auto session = open(0);
  EXPECT_TRUE(is_done(ask(session, queue("a"))));
  std::vector<std::string> report;
  EXPECT_TRUE(result_of(plane->import(parse_definitions(exported, report), report)).has_value());
  EXPECT_TRUE(report.empty());
  EXPECT_EQ(export_definitions(plane->catalog(), "1")["policies"], exported["policies"]);
  EXPECT_EQ(export_definitions(plane->catalog(), "1")["parameters"], exported["parameters"]);
  ASSERT_TRUE(settings_of("a"));
  EXPECT_EQ(settings_of("a")->max_length, 1u);
  EXPECT_EQ(settings_of("a")->expires_ms, 10u);
}

TEST_F(PlanePolicies, OfOtherBrokersAreTakenAsFarAsTheyCanBeHonoured) {
  std::vector<std::string> report;
  const auto definitions = nlohmann::json::parse(R"({"policies":[
      {"vhost":"/","name":"ha","pattern":"","definition":{"ha-mode":"all","max-length":5},"priority":1},
      {"vhost":"/","name":"none","pattern":"","apply-to":"all","definition":{"ha-mode":"all"},"priority":0}]})");
  EXPECT_TRUE(result_of(plane->import(parse_definitions(definitions, report), report)).has_value());
  EXPECT_EQ(report,
            (std::vector<std::string>{"policy 'ha' in vhost '/': setting 'ha-mode' is not supported: left out",
                                      "policy 'none' in vhost '/': setting 'ha-mode' is not supported: left out",
                                      "policy 'none' in vhost '/': no policy provided: left out"}));
  EXPECT_EQ(plane->catalog().vhost("/")->user_policies.size(), 1u);
}

}  // namespace
}  // namespace talaria::control
