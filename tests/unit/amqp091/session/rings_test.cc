#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

#include "core/amqp091/session/confirms.h"
#include "core/amqp091/session/unacked.h"

namespace talaria::amqp091::session {
namespace {

void push(UnackedRing& ring, uint64_t tag) { ring.push(tag, {static_cast<uint32_t>(tag), 1}, {1, 1}, 0); }

TEST(SessionUnacked, FindsByTagAndForgetsWhatWasTaken) {
  UnackedRing ring;
  for (uint64_t tag = 1; tag <= 100; tag++) push(ring, tag);
  EXPECT_EQ(ring.find(0), nullptr);
  EXPECT_EQ(ring.find(101), nullptr);
  ASSERT_NE(ring.find(57), nullptr);
  EXPECT_EQ(ring.take(ring.find(57)).entry.slot, 57u);
  EXPECT_EQ(ring.find(57), nullptr);
  EXPECT_EQ(ring.size(), 99u);
}

TEST(SessionUnacked, GapsInTheTagsAreNoHindrance) {
  UnackedRing ring;
  for (uint64_t tag = 10; tag < 1000; tag += 7) push(ring, tag);
  for (uint64_t tag = 1; tag < 1000; tag++) EXPECT_EQ(ring.find(tag) != nullptr, tag >= 10 && (tag - 10) % 7 == 0);
}

TEST(SessionUnacked, MultipleIsBoundedAndInOrder) {
  UnackedRing ring;
  for (uint64_t tag = 1; tag <= 10; tag++) push(ring, tag);
  std::vector<uint64_t> taken;
  auto use = [&](const Unacked& delivery) { taken.push_back(delivery.tag); };
  EXPECT_EQ(ring.take_up_to(8, 5, use), 5u);
  EXPECT_TRUE(ring.holds_up_to(8));
  EXPECT_EQ(ring.take_up_to(8, 5, use), 3u);
  EXPECT_FALSE(ring.holds_up_to(8));
  EXPECT_EQ(taken, (std::vector<uint64_t>{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(ring.size(), 2u);
}

TEST(SessionUnacked, AgreesWithAMapInAnyOrder) {
  std::mt19937 random(7);
  UnackedRing ring;
  std::map<uint64_t, uint32_t> model;
  uint64_t next = 1;
  for (unsigned step = 0; step < 200000; step++) {
    switch (random() % 5) {
      case 0:
      case 1:
        next += 1 + (random() % 8 == 0 ? random() % 5 : 0);
        push(ring, next);
        model[next] = static_cast<uint32_t>(next);
        break;
      case 2:
      case 3: {
        uint64_t tag = next - random() % 3000 % next;
        const Unacked* found = ring.find(tag);
        ASSERT_EQ(found != nullptr, model.contains(tag));
        if (found != nullptr) {
          ASSERT_EQ(ring.take(found).entry.slot, model[tag]);
          model.erase(tag);
        }
        break;
      }
      default: {
        if (random() % 50 != 0) break;
        uint64_t tag = next - random() % 2000 % next;
        ring.take_up_to(tag, SIZE_MAX, [&](const Unacked& delivery) {
          ASSERT_EQ(delivery.tag, model.begin()->first);
          model.erase(model.begin());
        });
        ASSERT_TRUE(model.empty() || model.begin()->first > tag);
      }
    }
    ASSERT_EQ(ring.size(), model.size());
  }
}

// Frames as "a5" (ack 5), "A5" (ack up to 5), "n5", "N5".
struct Told {
  std::string text;
  size_t room = SIZE_MAX;
  bool operator()(uint64_t sequence, uint64_t count, bool refused) {
    if (room == 0) return false;
    room--;
    text += (refused ? (count > 1 ? "N" : "n") : (count > 1 ? "A" : "a")) + std::to_string(sequence) + " ";
    return true;
  }
};
std::string flush(Confirms& confirms, size_t room = SIZE_MAX) {
  Told told{"", room};
  confirms.flush(told);
  return told.text;
}

TEST(SessionConfirms, ARunIsOneFrame) {
  Confirms confirms;
  for (unsigned i = 1; i <= 100; i++) EXPECT_EQ(confirms.begin(1), i);
  EXPECT_FALSE(confirms.due());
  for (unsigned i = 1; i <= 100; i++) EXPECT_TRUE(confirms.stored(i, false));
  EXPECT_TRUE(confirms.due());
  EXPECT_EQ(flush(confirms), "A100 ");
  EXPECT_EQ(confirms.outstanding(), 0u);
  EXPECT_FALSE(confirms.due());
}

TEST(SessionConfirms, EveryTargetMustAnswer) {
  Confirms confirms;
  confirms.begin(3);
  confirms.begin(0);
  confirms.stored(1, false);
  confirms.stored(1, false);
  EXPECT_EQ(flush(confirms), "a2 ");
  confirms.stored(1, false);
  EXPECT_EQ(flush(confirms), "a1 ");
}

TEST(SessionConfirms, ARefusalOfAnyTargetIsANack) {
  Confirms confirms;
  for (unsigned i = 0; i < 5; i++) confirms.begin(2);
  for (unsigned i = 1; i <= 5; i++) {
    confirms.stored(i, i == 3);
    confirms.stored(i, false);
  }
  EXPECT_EQ(flush(confirms), "A2 n3 A5 ");
}

TEST(SessionConfirms, WhatSettlesEarlyIsToldAloneAndOnce) {
  Confirms confirms;
  for (unsigned i = 0; i < 5; i++) confirms.begin(1);
  confirms.stored(3, false);
  confirms.stored(5, true);
  EXPECT_EQ(flush(confirms), "a3 n5 ");
  EXPECT_EQ(flush(confirms), "");
  confirms.stored(1, false);
  confirms.stored(2, false);
  EXPECT_EQ(flush(confirms), "A2 ");
  confirms.stored(4, false);
  EXPECT_EQ(flush(confirms), "a4 ");
  EXPECT_EQ(confirms.outstanding(), 0u);
}

TEST(SessionConfirms, WithoutRoomNothingIsLost) {
  Confirms confirms;
  for (unsigned i = 0; i < 4; i++) confirms.begin(1);
  confirms.stored(1, false);
  confirms.stored(2, true);
  confirms.stored(4, false);
  EXPECT_EQ(flush(confirms, 0), "");
  EXPECT_EQ(flush(confirms, 1), "a1 ");
  EXPECT_EQ(flush(confirms, 1), "n2 ");
  EXPECT_TRUE(confirms.due());
  EXPECT_EQ(flush(confirms), "a4 ");
}

TEST(SessionConfirms, AnswersToNobodyAreIgnored) {
  Confirms confirms;
  confirms.begin(1);
  EXPECT_FALSE(confirms.stored(2, false));
  EXPECT_FALSE(confirms.stored(0, false));
  EXPECT_TRUE(confirms.stored(1, false));
  EXPECT_FALSE(confirms.stored(1, false));
}

// Every sequence is told exactly once, `multiple` meaning everything not told before.
TEST(SessionConfirms, TellsEachOnceWhateverTheOrder) {
  std::mt19937 random(3);
  Confirms confirms;
  std::map<uint64_t, bool> waiting;  // sequence -> refused
  std::map<uint64_t, bool> untold;
  uint64_t told = 0, published = 0;
  for (unsigned step = 0; step < 100000; step++) {
    if (random() % 2 == 0 && waiting.size() < 200) {
      uint64_t sequence = confirms.begin(1);
      waiting[sequence] = untold[sequence] = random() % 10 == 0;
      published++;
    } else if (!waiting.empty()) {
      auto chosen =
          random() % 3 == 0 ? std::next(waiting.begin(), static_cast<int>(random() % waiting.size())) : waiting.begin();
      ASSERT_TRUE(confirms.stored(chosen->first, chosen->second));
      waiting.erase(chosen);
    }
    if (random() % 8 != 0) continue;
    confirms.flush([&](uint64_t sequence, uint64_t count, bool refused) {
      if (random() % 16 == 0) return false;
      if (count == 1) {
        EXPECT_TRUE(untold.contains(sequence));
        EXPECT_EQ(untold[sequence], refused);
        EXPECT_FALSE(waiting.contains(sequence));
        untold.erase(sequence);
        told++;
        return true;
      }
      while (!untold.empty() && untold.begin()->first <= sequence) {
        EXPECT_EQ(untold.begin()->second, refused) << untold.begin()->first;
        EXPECT_FALSE(waiting.contains(untold.begin()->first));
        untold.erase(untold.begin());
        told++;
        count--;
      }
      EXPECT_EQ(count, 0u);
      return true;
    });
  }
  EXPECT_EQ(told + untold.size(), published);
}

}  // namespace
}  // namespace talaria::amqp091::session
