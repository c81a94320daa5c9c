#include "core/base/hash.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <string>

namespace talaria::base {
namespace {

// The reference vectors of Aumasson and Bernstein: key 00 01 .. 0f, messages 00 01 .. (n-1).
TEST(SipHash24, MatchesTheReferenceVectors) {
  const HashKey key{0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull};
  const std::array<uint64_t, 16> expected = {
      0x726fdb47dd0e0e31ull, 0x74f839c593dc67fdull, 0x0d6c8009d9a94f5aull, 0x85676696d7fb7e2dull,
      0xcf2794e0277187b7ull, 0x18765564cd99a68dull, 0xcbc9466e58fee3ceull, 0xab0200f58b01d137ull,
      0x93f5f5799a932462ull, 0x9e0082df0ba9e4b0ull, 0x7a5dbbc594ddb9f3ull, 0xf4b32f46226bada7ull,
      0x751e8fbc860ee5fbull, 0x14ea5627c0843d90ull, 0xf723ca908e7af2eeull, 0xa129ca6149be45e5ull,
  };
  std::array<uint8_t, 64> message;
  for (size_t i = 0; i < message.size(); i++) message[i] = static_cast<uint8_t>(i);
  for (size_t size = 0; size < expected.size(); size++)
    EXPECT_EQ(siphash24(key, Bytes(message).first(size)), expected[size]) << size;
}

TEST(SipHash24, DependsOnBothHalvesOfTheKey) {
  const Bytes message = as_bytes("talaria");
  EXPECT_NE(siphash24({1, 2}, message), siphash24({1, 3}, message));
  EXPECT_NE(siphash24({1, 2}, message), siphash24({2, 2}, message));
}

TEST(HashBytes, SpreadsNumberedNamesOverTheLowBits) {
  std::array<int, 256> buckets{};
  std::set<uint64_t> seen;
  for (int i = 0; i < 25600; i++) {
    uint64_t hash = hash_bytes(as_bytes("queue-" + std::to_string(i)));
    seen.insert(hash);
    buckets[hash & 255]++;
  }
  EXPECT_EQ(seen.size(), 25600u);
  for (int count : buckets) {
    EXPECT_GT(count, 50);
    EXPECT_LT(count, 160);
  }
}

TEST(HashBytes, TellsLengthsAndTailsApart) {
  std::set<uint64_t> seen;
  std::string text;
  for (int size = 0; size < 70; size++) {
    seen.insert(hash_bytes(as_bytes(text)));
    text += '\0';
  }
  EXPECT_EQ(seen.size(), 70u);
  EXPECT_EQ(hash_bytes(as_bytes("same")), hash_bytes(as_bytes(std::string("same"))));
}

// Equal values have one, others none of theirs; nobody can tell it without the key.
TEST(Fingerprint, StandsForAValueOfAnyLength) {
  const HashKey key{1, 2};
  std::set<std::string> seen;
  std::string text;
  for (int size = 0; size < 1000; size++) {
    EXPECT_EQ(fingerprint(key, text).size(), 15u);
    EXPECT_EQ(fingerprint(key, text), fingerprint(key, std::string(text)));
    seen.insert(fingerprint(key, text));
    seen.insert(fingerprint({1, 3}, text));
    text += 'x';
  }
  EXPECT_EQ(seen.size(), 2000u);
}

}  // namespace
}  // namespace talaria::base
