#include "control/permissions.h"

#include <gtest/gtest.h>

#include <chrono>

namespace talaria::control {
namespace {

using enum broker::Access;

TEST(Permissions, PatternsAreSearchedForAnywhereUnlessTheyAnchorThemselves) {
  struct Row {
    const char* pattern;
    const char* name;
    bool matches;
  };
  constexpr Row table[] = {
      {".*", "anything", true},
      {".*", "", true},
      {"", "anything", false},
      {"", "a", false},
      {"^$", "a", false},
      {"logs", "my-logs-2", true},
      {"^logs", "my-logs", false},
      {"^logs", "logs.a", true},
      {"logs$", "my-logs", true},
      {"^(amq\\.gen.*|amq\\.default)$", "amq.gen-abc", true},
      {"^(amq\\.gen.*|amq\\.default)$", "other", false},
      {"^a.c$", "abc", true},
      {"^a\\.c$", "abc", false},
      {"^(?!secret).*", "secret-1", false},
      {"^(?!secret).*", "open", true},
  };
  for (const Row& row : table) {
    auto pattern = Pattern::compile(row.pattern);
    ASSERT_TRUE(pattern.has_value()) << row.pattern;
    EXPECT_EQ(pattern->matches(row.name), row.matches) << row.pattern << " on " << row.name;
  }
}

TEST(Permissions, TheThreeAreSeparate) {
  auto permission = Permission::compile("^c", "^w", "^r");
  ASSERT_TRUE(permission.has_value());
  for (auto [access, name] : {std::pair{configure, "c1"}, {write, "w1"}, {read, "r1"}}) {
    for (broker::Access asked : {configure, write, read}) EXPECT_EQ(permission->allows(asked, name), asked == access);
  }
}

TEST(Permissions, TheDefaultExchangeIsCalledAmqDefault) {
  auto named = Permission::compile("", "^amq\\.default$", "");
  EXPECT_TRUE(named->allows(write, ""));
  auto nothing = Permission::compile("", "", "");
  EXPECT_FALSE(nothing->allows(write, ""));
  auto blank = Permission::compile("", "^$", "");
  EXPECT_FALSE(blank->allows(write, ""));
}

TEST(Permissions, RefusesPatternsThatAreNone) {
  for (const char* pattern : {"(", "[a", "*", "a{2,1}", "(?<n"}) {
    auto compiled = Pattern::compile(pattern);
    ASSERT_FALSE(compiled.has_value()) << pattern;
    EXPECT_NE(compiled.error().find("is not valid at"), std::string::npos);
  }
  EXPECT_FALSE(Pattern::compile(std::string(5000, 'a')).has_value());
  EXPECT_FALSE(Permission::compile(".*", "(", ".*").has_value());
}

TEST(Permissions, APatternThatRunsWildIsRefusedAndSoon) {
  auto pattern = Pattern::compile("^(a+)+$");
  ASSERT_TRUE(pattern.has_value());
  EXPECT_TRUE(pattern->matches("aaaa"));
  auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(pattern->matches(std::string(200, 'a') + "b"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

TEST(TopicPermission, NamesStandInPatternsLiterally) {
  const auto writes = [](const char* user, const char* vhost, const char* pattern, const char* key) {
    return TopicPermission::compile(user, vhost, pattern, "")->write.matches(key);
  };
  EXPECT_TRUE(writes("ann", "v", "^{username}\\.{vhost}$", "ann.v"));
  EXPECT_FALSE(writes("ann", "v", "^{username}\\.{vhost}$", "ann.w"));
  EXPECT_TRUE(writes("a.*b", "v", "^{username}$", "a.*b"));
  EXPECT_FALSE(writes("a.*b", "v", "^{username}$", "a.xb"));
  EXPECT_FALSE(writes(".*|x", "v", "^{username}$", "anything"));
  EXPECT_FALSE(writes("\\E.*", "v", "^{username}$", "anything"));
  EXPECT_TRUE(writes("{vhost}", "v", "^{username}$", "{vhost}")) << "a name is no pattern";
  EXPECT_TRUE(writes("ann", "v", "", "")) << "as of other permissions";
  EXPECT_FALSE(writes("ann", "v", "", "a"));
  EXPECT_FALSE(writes("ann", "v", "^{client_id}", "")) << "nobody has one";
  EXPECT_FALSE(writes("ann", "v", ".*|{client_id}", "{client_id}"));
  EXPECT_EQ(TopicPermission::compile("ann", "v", "^{username}", "r")->write.text(), "^{username}");
  EXPECT_FALSE(TopicPermission::compile("ann", "v", "a", "(").has_value());
}

}  // namespace
}  // namespace talaria::control
