#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "core/broker/exchange.h"
#include "core/broker/vhost.h"
#include "tests/unit/broker/fixture.h"

namespace talaria::broker {
namespace {

using Names = std::multiset<std::string>;

// A vhost with exchanges of every type and queues "a" to "f".
class Route : public ::testing::Test {
 protected:
  Route() {
    worker.apply(topology.add_vhost());
    worker.apply(topology.add_exchange("", ExchangeType::direct));
    worker.apply(topology.add_exchange("direct", ExchangeType::direct));
    worker.apply(topology.add_exchange("fanout", ExchangeType::fanout));
    worker.apply(topology.add_exchange("topic", ExchangeType::topic));
    worker.apply(topology.add_exchange("headers", ExchangeType::headers));
    for (const char* name : {"a", "b", "c", "d", "e", "f"}) worker.apply(topology.add_queue(name));
    vhost = worker.engine->find_vhost(topology.vhost);
  }

  void bind(const std::string& source, const std::string& queue, const std::string& key,
            const base::FieldTable& arguments = {}) {
    worker.apply(AddBinding{topology.to_queue(source, queue, key, arguments)});
  }
  void unbind(const std::string& source, const std::string& queue, const std::string& key,
              const base::FieldTable& arguments = {}) {
    worker.apply(RemoveBinding{topology.to_queue(source, queue, key, arguments)});
  }
  void bind_exchange(const std::string& source, const std::string& destination, const std::string& key) {
    worker.apply(AddBinding{topology.to_exchange(source, destination, key)});
  }
  Names routed(const std::string& exchange, std::string_view key, std::span<const base::HeaderView> headers = {}) {
    route(*vhost, *vhost->find_exchange(exchange), key, headers, targets);
    Names names;
    for (const QueueRecord* queue : targets.queues()) names.insert(queue->name);
    return names;
  }

  TestTopology topology;
  TestWorker worker;
  Vhost* vhost;
  RouteTargets targets;
};

TEST_F(Route, DefaultExchangeFindsTheQueueByName) {
  EXPECT_EQ(routed("", "a"), (Names{"a"}));
  EXPECT_EQ(routed("", "nobody"), Names{});
  EXPECT_EQ(routed("", ""), Names{});
}

TEST_F(Route, DirectComparesTheWholeKey) {
  bind("direct", "a", "red");
  bind("direct", "b", "red");
  bind("direct", "c", "blue");
  bind("direct", "d", "");
  EXPECT_EQ(routed("direct", "red"), (Names{"a", "b"}));
  EXPECT_EQ(routed("direct", "blue"), (Names{"c"}));
  EXPECT_EQ(routed("direct", ""), (Names{"d"}));
  EXPECT_EQ(routed("direct", "re"), Names{});
  unbind("direct", "a", "red");
  EXPECT_EQ(routed("direct", "red"), (Names{"b"}));
  unbind("direct", "b", "red");
  EXPECT_EQ(routed("direct", "red"), Names{});
}

TEST_F(Route, FanoutIgnoresTheKey) {
  bind("fanout", "a", "x");
  bind("fanout", "b", "");
  EXPECT_EQ(routed("fanout", "anything"), (Names{"a", "b"}));
  unbind("fanout", "a", "x");
  EXPECT_EQ(routed("fanout", "x"), (Names{"b"}));
}

TEST_F(Route, AQueueGetsOneCopyHoweverManyBindingsMatch) {
  bind("fanout", "a", "x");
  bind("fanout", "a", "y");
  bind("topic", "a", "#");
  bind("topic", "a", "*.x");
  bind("topic", "a", "k.x");
  EXPECT_EQ(routed("fanout", ""), (Names{"a"}));
  EXPECT_EQ(routed("topic", "k.x"), (Names{"a"}));
}

TEST_F(Route, ABindingIsKnownByItsArgumentsToo) {
  const base::FieldTable one = {{"n", base::Field{int32_t{1}}}};
  const base::FieldTable same = {{"n", base::Field{int64_t{1}}}};
  const base::FieldTable two = {{"n", base::Field{int32_t{2}}}};
  bind("direct", "a", "k", one);
  bind("direct", "a", "k", same);  // the same binding again: nothing changes
  bind("direct", "a", "k", two);
  EXPECT_EQ(vhost->find_exchange("direct")->bindings(), 2u);
  EXPECT_EQ(routed("direct", "k"), (Names{"a"}));
  unbind("direct", "a", "k");  // never was
  unbind("direct", "a", "k", one);
  EXPECT_EQ(routed("direct", "k"), (Names{"a"}));
  unbind("direct", "a", "k", two);
  EXPECT_EQ(routed("direct", "k"), Names{});
}

TEST_F(Route, ExchangesLeadToExchangesAndCyclesEnd) {
  worker.apply(topology.add_exchange("other", ExchangeType::fanout));
  bind_exchange("topic", "other", "news.#");
  bind_exchange("other", "topic", "");
  bind_exchange("other", "other", "");
  bind("other", "a", "");
  bind("topic", "b", "news.*");
  bind("topic", "a", "#");
  EXPECT_EQ(routed("topic", "news.sport"), (Names{"a", "b"}));
  EXPECT_EQ(routed("other", "news.sport"), (Names{"a", "b"}));
  EXPECT_EQ(routed("topic", "weather"), (Names{"a"}));
}

TEST_F(Route, AlternateExchangeTakesWhatNothingMatches) {
  worker.apply(topology.add_exchange("main", ExchangeType::direct, "spare"));
  bind("main", "a", "k");
  EXPECT_EQ(routed("main", "lost"), Names{}) << "the alternate exchange does not exist yet";
  worker.apply(topology.add_exchange("spare", ExchangeType::fanout, "main"));
  bind("spare", "b", "");
  EXPECT_EQ(routed("main", "k"), (Names{"a"}));
  EXPECT_EQ(routed("main", "lost"), (Names{"b"}));
  unbind("spare", "b", "");
  EXPECT_EQ(routed("main", "lost"), Names{}) << "alternates that name each other end";
  // A binding that matches, even if it leads to an exchange without bindings, is a match.
  bind_exchange("main", "fanout", "lost");
  bind("spare", "b", "");
  EXPECT_EQ(routed("main", "lost"), Names{});
  worker.apply(RemoveBinding{topology.to_exchange("main", "fanout", "lost")});
  EXPECT_EQ(routed("main", "lost"), (Names{"b"}));
}

TEST_F(Route, RemovedThingsAreNotFound) {
  bind("fanout", "a", "");
  unbind("fanout", "a", "");
  worker.apply(topology.remove_queue("a"));
  worker.apply(topology.remove_exchange("fanout"));
  EXPECT_EQ(vhost->find_queue("a"), nullptr);
  EXPECT_EQ(vhost->find_exchange("fanout"), nullptr);
  EXPECT_EQ(worker.engine->find_queue(topology.queues["a"]), nullptr);
  EXPECT_EQ(routed("", "a"), Names{});
  // The slot is used again under a new generation; the old name still finds nothing.
  QueueId old = topology.queues["a"];
  AddQueue again;
  again.vhost = topology.vhost;
  again.id = {old.slot, old.generation + 1};
  again.name = "a";
  again.counters = &topology.counters.emplace_back();
  worker.apply(again);
  EXPECT_EQ(worker.engine->find_queue(old), nullptr);
  EXPECT_EQ(worker.engine->find_queue(again.id), vhost->find_queue("a"));
}

// ---- topic ----------------------------------------------------------------------------------------------------------

TEST_F(Route, TopicWordsAndWildcards) {
  bind("topic", "a", "a.b.c");
  bind("topic", "b", "a.*.c");
  bind("topic", "c", "a.#");
  bind("topic", "d", "#.c");
  bind("topic", "e", "*");
  bind("topic", "f", "#");
  EXPECT_EQ(routed("topic", "a.b.c"), (Names{"a", "b", "c", "d", "f"}));
  EXPECT_EQ(routed("topic", "a.x.c"), (Names{"b", "c", "d", "f"}));
  EXPECT_EQ(routed("topic", "a"), (Names{"c", "e", "f"})) << "# stands for no word at all";
  EXPECT_EQ(routed("topic", "c"), (Names{"d", "e", "f"}));
  EXPECT_EQ(routed("topic", "a.c"), (Names{"c", "d", "f"})) << "* stands for exactly one word";
  EXPECT_EQ(routed("topic", "x.y"), (Names{"f"}));
  EXPECT_EQ(routed("topic", "a..c"), (Names{"b", "c", "d", "f"})) << "an empty word is a word";
  EXPECT_EQ(routed("topic", ""), (Names{"e", "f"})) << "the empty key is one empty word";
  EXPECT_EQ(routed("topic", "."), (Names{"f"}));
}

TEST_F(Route, TopicWildcardsInARoutingKeyAreOrdinaryWords) {
  bind("topic", "a", "x.y");
  bind("topic", "b", "x.*");
  EXPECT_EQ(routed("topic", "x.*"), (Names{"b"}));
  EXPECT_EQ(routed("topic", "x.#"), (Names{"b"}));
  EXPECT_EQ(routed("topic", "#"), Names{});
}

bool matches_naively(std::span<const std::string> pattern, std::span<const std::string> key) {
  if (pattern.empty()) return key.empty();
  if (pattern[0] == "#") {
    for (size_t skip = 0; skip <= key.size(); skip++)
      if (matches_naively(pattern.subspan(1), key.subspan(skip))) return true;
    return false;
  }
  if (key.empty() || (pattern[0] != "*" && pattern[0] != key[0])) return false;
  return matches_naively(pattern.subspan(1), key.subspan(1));
}

std::vector<std::string> random_words(std::mt19937& random, bool pattern) {
  const std::vector<std::string> alphabet = {"x", "y", "", "*", "#", "#"};
  std::vector<std::string> words(1 + random() % 5);
  for (std::string& word : words) word = alphabet[random() % (pattern ? 6 : 3)];
  return words;
}
std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (size_t i = 0; i < words.size(); i++) out += (i ? "." : "") + words[i];
  return out;
}

TEST_F(Route, TopicAgreesWithANaiveMatcher) {
  std::mt19937 random(11);
  std::vector<std::pair<std::string, std::vector<std::string>>> bound;
  for (int step = 0; step < 4000; step++) {
    if (random() % 3 == 0) {
      if (bound.size() < 30 && random() % 2) {
        bound.push_back({std::string(1, static_cast<char>('a' + random() % 6)), random_words(random, true)});
        bind("topic", bound.back().first, joined(bound.back().second));
      } else if (!bound.empty()) {
        size_t which = random() % bound.size();
        auto gone = bound[which];
        bound.erase(bound.begin() + static_cast<std::ptrdiff_t>(which));
        unbind("topic", gone.first, joined(gone.second));
        // It may have been bound twice; then the test's second copy is void too.
        std::erase(bound, gone);
      }
    }
    const std::vector<std::string> key = random_words(random, false);
    std::set<std::string> expected;
    for (const auto& [queue, pattern] : bound)
      if (matches_naively(pattern, key)) expected.insert(queue);
    ASSERT_EQ(routed("topic", joined(key)), Names(expected.begin(), expected.end())) << joined(key);
  }
}

// 64 times `#.a` against 127 words: backtracking would not end in our lifetime.
TEST_F(Route, TopicWithManyHashesEndsSoon) {
  std::string pattern, key;
  for (int i = 0; i < 60; i++) pattern += "#.a.";
  pattern += "z";
  for (int i = 0; i < 127; i++) key += i ? ".a" : "a";
  bind("topic", "a", pattern);
  for (int i = 0; i < 100; i++) ASSERT_EQ(routed("topic", key), Names{});
  EXPECT_EQ(routed("topic", key.substr(0, 2 * 60) + "z"), (Names{"a"}));
}

// ---- headers --------------------------------------------------------------------------------------------------------

base::HeaderView header(std::string_view name, int64_t value) {
  base::HeaderView out;
  out.name = name;
  out.value.kind = base::FieldKind::integer;
  out.value.integer = value;
  return out;
}
base::FieldTable pattern(const char* match, base::FieldTable rest) {
  if (match) rest.push_back({"x-match", base::Field{std::string(match)}});
  return rest;
}
base::FieldEntry entry(const char* name, int32_t value) { return {name, base::Field{value}}; }

TEST_F(Route, HeadersAllAndAny) {
  bind("headers", "a", "", pattern("all", {entry("x", 1), entry("y", 2)}));
  bind("headers", "b", "", pattern("any", {entry("x", 1), entry("y", 2)}));
  bind("headers", "c", "", pattern(nullptr, {entry("x", 1)}));
  bind("headers", "d", "", pattern("all", {}));
  bind("headers", "e", "", pattern("any", {}));
  using Headers = std::vector<base::HeaderView>;
  EXPECT_EQ(routed("headers", "", Headers{header("x", 1), header("y", 2)}), (Names{"a", "b", "c", "d"}));
  EXPECT_EQ(routed("headers", "", Headers{header("y", 2)}), (Names{"b", "d"}));
  EXPECT_EQ(routed("headers", "", Headers{header("x", 3)}), (Names{"d"}));
  EXPECT_EQ(routed("headers", "", {}), (Names{"d"}));
  EXPECT_EQ(routed("headers", "", Headers{header("x", 3), header("x", 1)}), (Names{"b", "c", "d"}))
      << "the last of a name counts";
}

TEST_F(Route, HeadersVoidAsksForPresence) {
  bind("headers", "a", "", pattern("all", {{"x", base::Field{base::Void{}}}}));
  EXPECT_EQ(routed("headers", "", std::vector{header("x", 99)}), (Names{"a"}));
  EXPECT_EQ(routed("headers", "", std::vector{header("y", 99)}), Names{});
}

TEST_F(Route, HeadersBeginningWithXCountOnlyWhenAsked) {
  bind("headers", "a", "", pattern("all", {entry("x-k", 1), entry("y", 2)}));
  bind("headers", "b", "", pattern("all-with-x", {entry("x-k", 1), entry("y", 2)}));
  bind("headers", "c", "", pattern("any", {entry("x-k", 1)}));
  bind("headers", "d", "", pattern("any-with-x", {entry("x-k", 1), entry("y", 2)}));
  EXPECT_EQ(routed("headers", "", std::vector{header("y", 2)}), (Names{"a", "d"}));
  EXPECT_EQ(routed("headers", "", std::vector{header("x-k", 1)}), (Names{"d"}));
  EXPECT_EQ(routed("headers", "", std::vector{header("x-k", 1), header("y", 2)}), (Names{"a", "b", "d"}));
}

TEST_F(Route, ManyHeadersAreFoundAsFewAre) {
  bind("headers", "a", "", pattern("all", {entry("n500", 500), entry("n7", 7)}));
  std::vector<std::string> names;
  for (int i = 0; i < 1000; i++) names.push_back("n" + std::to_string(i));
  std::vector<base::HeaderView> headers;
  for (int i = 0; i < 1000; i++) headers.push_back(header(names[static_cast<size_t>(i)], i));
  EXPECT_EQ(routed("headers", "", headers), (Names{"a"}));
  headers.push_back(header("n7", 8));
  EXPECT_EQ(routed("headers", "", headers), Names{}) << "the last of a name counts";
}

TEST_F(Route, NeedsHeadersWhileAHeadersExchangeIsBound) {
  EXPECT_FALSE(vhost->needs_facts());
  bind("headers", "a", "", pattern("all", {}));
  bind("fanout", "a", "");
  EXPECT_TRUE(vhost->needs_facts());
  unbind("headers", "a", "", pattern("all", {}));
  EXPECT_FALSE(vhost->needs_facts());
}

TEST(HeadersMatch, KnowsItsFourWords) {
  auto says = [](base::Field field) { return headers_match({{"x-match", std::move(field)}}); };
  EXPECT_EQ(headers_match({}), HeadersMatch::all);
  EXPECT_EQ(says({std::string("all")}), HeadersMatch::all);
  EXPECT_EQ(says({std::string("any")}), HeadersMatch::any);
  EXPECT_EQ(says({std::string("all-with-x")}), HeadersMatch::all_with_x);
  EXPECT_EQ(says({std::string("any-with-x")}), HeadersMatch::any_with_x);
  EXPECT_EQ(says({std::string("some")}), std::nullopt);
  EXPECT_EQ(says({int32_t{1}}), std::nullopt);
}

}  // namespace
}  // namespace talaria::broker
