#include "core/base/mailbox.h"

#include <gtest/gtest.h>

#include <array>
#include <thread>
#include <vector>

namespace talaria::base {
namespace {

TEST(Mailbox, KeepsOrder) {
  Mailbox<int> mailbox(8);
  const std::array<int, 3> values = {1, 2, 3};
  EXPECT_EQ(mailbox.push(std::span<const int>(values)), 3u);
  EXPECT_TRUE(mailbox.push(4));
  EXPECT_EQ(mailbox.waiting(), 4u);
  std::array<int, 8> out{};
  EXPECT_EQ(mailbox.pop(std::span<int>(out)), 4u);
  EXPECT_EQ(out[0], 1);
  EXPECT_EQ(out[3], 4);
  EXPECT_EQ(mailbox.waiting(), 0u);
}

TEST(Mailbox, TellsTheProducerWhatHasNotBeenTaken) {
  Mailbox<int> mailbox(5);
  int out = 0;
  for (int i = 0; i < 12; i++) {
    EXPECT_EQ(mailbox.untaken(), 0u);
    mailbox.push(i);
    mailbox.push(i);
    EXPECT_EQ(mailbox.untaken(), 2u);
    mailbox.pop(out);
    EXPECT_EQ(mailbox.untaken(), 1u);
    mailbox.pop(out);
  }
  for (int i = 0; i < 5; i++) mailbox.push(i);
  EXPECT_EQ(mailbox.untaken(), 5u);
}

TEST(Mailbox, TakesExactlyItsCapacity) {
  Mailbox<int> mailbox(5);
  std::vector<int> values(9, 1);
  EXPECT_EQ(mailbox.push(std::span<const int>(values)), 5u);
  EXPECT_FALSE(mailbox.push(1));
  int one = 0;
  EXPECT_TRUE(mailbox.pop(one));
  EXPECT_TRUE(mailbox.push(2));
}

TEST(Mailbox, PopsNoMoreThanAsked) {
  Mailbox<int> mailbox(8);
  for (int i = 0; i < 6; i++) mailbox.push(i);
  std::array<int, 4> out{};
  EXPECT_EQ(mailbox.pop(std::span<int>(out)), 4u);
  EXPECT_EQ(mailbox.pop(std::span<int>(out)), 2u);
  EXPECT_EQ(out[1], 5);
  EXPECT_EQ(mailbox.pop(std::span<int>(out)), 0u);
}

// Which lines of the object change when `act` is done.
template <class Act>
std::vector<size_t> lines_written(const Mailbox<int>& mailbox, Act act) {
  const auto* at = reinterpret_cast<const uint8_t*>(&mailbox);
  const std::vector<uint8_t> before(at, at + sizeof mailbox);
  act();
  std::vector<size_t> lines;
  for (size_t i = 0; i < sizeof mailbox; i++)
    if (at[i] != before[i] && (lines.empty() || lines.back() != i / cache_line)) lines.push_back(i / cache_line);
  return lines;
}

TEST(Mailbox, EachEndWritesOnALineOfItsOwn) {
  Mailbox<int> mailbox(8);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(&mailbox) % cache_line, 0u);
  int out = 0;
  EXPECT_EQ(lines_written(mailbox, [&] { mailbox.push(1); }), (std::vector<size_t>{0}));
  EXPECT_EQ(lines_written(mailbox, [&] { mailbox.pop(out); }), (std::vector<size_t>{1}));
  EXPECT_EQ(lines_written(mailbox, [&] { mailbox.push(std::vector<int>{2, 3, 4}); }), (std::vector<size_t>{0}));
}

TEST(LineAllocator, GivesWholeLines) {
  LineAllocator<std::array<char, 24>> allocator;
  for (size_t count = 1; count < 10; count++) {
    auto* at = allocator.allocate(count);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(at) % cache_line, 0u);
    allocator.deallocate(at, count);
  }
}

TEST(Mailbox, CarriesValuesBetweenThreads) {
  constexpr uint64_t last = 100000;
  Mailbox<uint64_t> mailbox(64);
  std::thread producer([&] {
    for (uint64_t value = 1; value <= last;)
      if (mailbox.push(value))
        value++;
      else
        std::this_thread::yield();
  });
  std::array<uint64_t, 16> out{};
  uint64_t expected = 1;
  while (expected <= last) {
    size_t count = mailbox.pop(std::span<uint64_t>(out));
    if (count == 0) std::this_thread::yield();
    for (size_t i = 0; i < count; i++) ASSERT_EQ(out[i], expected++);
  }
  producer.join();
}

}  // namespace
}  // namespace talaria::base
