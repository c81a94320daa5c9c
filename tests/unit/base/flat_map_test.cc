#include "core/base/flat_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace talaria::base {
namespace {

struct Pair {
  uint32_t key;
  uint32_t value;
};

auto key_is(uint32_t key) {
  return [key](const Pair& pair) { return pair.key == key; };
}

TEST(FlatMap, FindsWhatWasInserted) {
  FlatMap<Pair> map;
  EXPECT_EQ(map.find(17, key_is(1)), nullptr);
  map.insert(17, {1, 10});
  ASSERT_NE(map.find(17, key_is(1)), nullptr);
  EXPECT_EQ(map.find(17, key_is(1))->value, 10u);
  EXPECT_EQ(map.find(17, key_is(2)), nullptr);
  EXPECT_EQ(map.size(), 1u);
}

TEST(FlatMap, EqualHashesAreToldApartByTheKey) {
  FlatMap<Pair> map;
  for (uint32_t key = 0; key < 20; key++) map.insert(5, {key, key});
  for (uint32_t key = 0; key < 20; key++) EXPECT_EQ(map.find(5, key_is(key))->value, key);
  EXPECT_TRUE(map.erase(5, key_is(7)));
  EXPECT_FALSE(map.erase(5, key_is(7)));
  EXPECT_EQ(map.find(5, key_is(7)), nullptr);
  for (uint32_t key = 8; key < 20; key++) EXPECT_EQ(map.find(5, key_is(key))->value, key);
}

TEST(FlatMap, HashZeroIsAHashLikeAnyOther) {
  FlatMap<Pair> map;
  map.insert(0, {1, 1});
  map.insert(1, {2, 2});
  EXPECT_EQ(map.find(0, key_is(1))->value, 1u);
  EXPECT_EQ(map.find(1, key_is(2))->value, 2u);
  EXPECT_TRUE(map.erase(0, key_is(1)));
  EXPECT_EQ(map.find(0, key_is(1)), nullptr);
  EXPECT_EQ(map.find(1, key_is(2))->value, 2u);
}

TEST(FlatMap, ForEachVisitsEachOnceAndClearForgets) {
  FlatMap<Pair> map;
  for (uint32_t key = 0; key < 100; key++) map.insert(key * 31, {key, 1});
  std::map<uint32_t, int> seen;
  map.for_each([&](const Pair& pair) { seen[pair.key]++; });
  EXPECT_EQ(seen.size(), 100u);
  for (auto [key, times] : seen) EXPECT_EQ(times, 1);
  map.clear();
  EXPECT_EQ(map.size(), 0u);
  EXPECT_EQ(map.find(31, key_is(1)), nullptr);
}

// Hashes from a small range, so that probe runs are long, wrap around and close their gaps.
TEST(FlatMap, AgreesWithAnOrderedMap) {
  for (uint32_t hashes : {3u, 16u, 200u}) {
    std::mt19937 random(hashes);
    FlatMap<Pair> map;
    std::map<uint32_t, uint32_t> model;
    auto hash_of = [&](uint32_t key) { return uint64_t{key * 2654435761u} % hashes + 5; };
    for (int step = 0; step < 20000; step++) {
      auto key = static_cast<uint32_t>(random() % 150);
      if (random() % 2) {
        if (!model.count(key)) {
          map.insert(hash_of(key), {key, static_cast<uint32_t>(step)});
          model[key] = static_cast<uint32_t>(step);
        }
      } else {
        ASSERT_EQ(map.erase(hash_of(key), key_is(key)), model.erase(key) == 1);
      }
      ASSERT_EQ(map.size(), model.size());
      auto probe = static_cast<uint32_t>(random() % 150);
      const Pair* found = map.find(hash_of(probe), key_is(probe));
      ASSERT_EQ(found != nullptr, model.count(probe) == 1);
      if (found) {
        ASSERT_EQ(found->value, model[probe]);
      }
    }
  }
}

}  // namespace
}  // namespace talaria::base
