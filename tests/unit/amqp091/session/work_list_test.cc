#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/amqp091/session/shared.h"

namespace talaria::amqp091::session {
namespace {

struct Item {
  char name;
  bool listed = false;
};

// Walks, and says who was visited. All but those in `done` wait again.
std::string walk(WorkList<Item>& list, size_t most, const std::string& done = "") {
  std::string visited;
  list.walk_in_turn(
      most, [](Item& item) -> bool& { return item.listed; },
      [&](Item& item) {
        visited += item.name;
        if (done.find(item.name) == std::string::npos) list.add(item, item.listed);
      });
  return visited;
}

TEST(WorkList, EverybodyIsFirstInTurn) {
  WorkList<Item> list;
  Item items[] = {{'a'}, {'b'}, {'c'}};
  for (Item& item : items) list.add(item, item.listed);
  EXPECT_EQ(walk(list, 10), "abc");
  EXPECT_EQ(walk(list, 10), "bca");
  EXPECT_EQ(walk(list, 10), "cab");
  EXPECT_EQ(walk(list, 10, "a"), "abc");
  EXPECT_FALSE(items[0].listed);
  EXPECT_EQ(walk(list, 10, "bc"), "cb");
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(walk(list, 10), "");
}

TEST(WorkList, WhoeverWasNotVisitedIsNext) {
  WorkList<Item> list;
  Item items[] = {{'a'}, {'b'}, {'c'}, {'d'}, {'e'}};
  for (Item& item : items) list.add(item, item.listed);
  EXPECT_EQ(walk(list, 2), "ab");
  EXPECT_EQ(walk(list, 2), "cd");
  EXPECT_EQ(walk(list, 2), "ea");
  list.drop(items[1], items[1].listed);
  EXPECT_EQ(walk(list, 2), "cd");
  EXPECT_EQ(walk(list, 3), "eac");
}

}  // namespace
}  // namespace talaria::amqp091::session
