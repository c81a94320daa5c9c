// Datagrams in pieces: put together whatever the order, within bounds, and never from pieces that overlap.
#include "core/net/fragments.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/unit/net/fake_device.h"

namespace talaria::net {
namespace {

using namespace std::chrono_literals;

constexpr size_t payload_at = 34, bytes_max = 1480;
constexpr IpAddress source = Ipv4Address{0xc6120002}, destination = Ipv4Address{0xc6120001};

class FragmentTest : public testing::Test {
 protected:
  FragmentTest() : whole_(1200) { std::iota(whole_.begin(), whole_.end(), uint8_t{7}); }
  void TearDown() override {
    table.reset();
    EXPECT_EQ(device.outstanding, 0u) << "a packet did not come home";
  }

  // Bytes [from, to) of the datagram; the one that ends it has nothing behind it.
  FragmentResult add(size_t from, size_t to, uint32_t identification = 1, IpAddress of = source) {
    const Fragment piece{.key = {of, destination, identification, 6},
                         .protocol = 6,
                         .offset = static_cast<uint32_t>(from),
                         .more = to != whole_.size(),
                         .payload = {whole_.data() + from, to - from}};
    auto outcome = table->add(piece, payload_at, bytes_max, now);
    evicted += outcome.evicted ? 1 : 0;
    if (outcome.result == FragmentResult::complete) {
      EXPECT_EQ(outcome.bytes, whole_.size());
      EXPECT_EQ(outcome.protocol, 6);
      EXPECT_TRUE(std::equal(whole_.begin(), whole_.end(), outcome.packet.data + payload_at));
      device.release(outcome.packet);
    }
    return outcome.result;
  }

  std::vector<uint8_t> whole_;
  FakeDevice device{MacAddress{2, 0, 0, 0, 0, 1}};
  std::optional<FragmentTable> table{std::in_place, device, 8, 15s};
  base::Time now{};
  int evicted = 0;
};

TEST_F(FragmentTest, AnyOrderMakesTheWhole) {
  std::vector<std::pair<size_t, size_t>> pieces = {{0, 400}, {400, 800}, {800, 1200}};
  do {
    EXPECT_EQ(add(pieces[0].first, pieces[0].second), FragmentResult::waiting);
    EXPECT_EQ(add(pieces[1].first, pieces[1].second), FragmentResult::waiting);
    EXPECT_EQ(add(pieces[2].first, pieces[2].second), FragmentResult::complete);
    EXPECT_EQ(table->packets_held(), 0u);
  } while (std::next_permutation(pieces.begin(), pieces.end()));
}

TEST_F(FragmentTest, ACopyIsNoOverlap) {
  EXPECT_EQ(add(0, 400), FragmentResult::waiting);
  EXPECT_EQ(add(0, 400), FragmentResult::duplicate);
  EXPECT_EQ(add(400, 1200), FragmentResult::complete);
}

TEST_F(FragmentTest, AnOverlapEndsTheDatagramUntilItsTimeIsOver) {
  EXPECT_EQ(add(0, 400), FragmentResult::waiting);
  EXPECT_EQ(add(392, 800), FragmentResult::overlap);
  EXPECT_EQ(table->packets_held(), 0u);
  EXPECT_EQ(add(0, 400), FragmentResult::given_up) << "those not yet received as well (RFC 5722)";
  EXPECT_EQ(add(800, 1200), FragmentResult::given_up);
  EXPECT_EQ(table->next_deadline(), base::Time(15s));
  now = base::Time(15s);
  EXPECT_EQ(table->expire(now), 0u) << "nothing was hoped for any more";
  EXPECT_EQ(add(0, 1200 - 8), FragmentResult::waiting);
}

TEST_F(FragmentTest, LengthsThatCannotBeAreRefused) {
  EXPECT_EQ(add(0, 0), FragmentResult::malformed);
  EXPECT_EQ(add(0, 7), FragmentResult::malformed) << "no multiple of eight";
  const Fragment beyond{.key = {source, destination, 5, 6},
                        .protocol = 6,
                        .offset = 65528,
                        .more = false,
                        .payload = {whole_.data(), 100}};
  EXPECT_EQ(table->add(beyond, payload_at, bytes_max, now).result, FragmentResult::malformed) << "the ping of death";
  EXPECT_EQ(table->packets_held(), 0u);
  // Behind what said that it was the last.
  EXPECT_EQ(add(800, 1200), FragmentResult::waiting);
  const Fragment behind{
      .key = {source, destination, 1, 6}, .protocol = 6, .offset = 1200, .more = true, .payload = {whole_.data(), 8}};
  EXPECT_EQ(table->add(behind, payload_at, bytes_max, now).result, FragmentResult::malformed);
  EXPECT_EQ(add(0, 400), FragmentResult::given_up);
}

TEST_F(FragmentTest, NoDatagramIsLargerThanAFrame) {
  whole_.resize(1488);
  EXPECT_EQ(add(0, 800), FragmentResult::waiting);
  EXPECT_EQ(add(800, 1488), FragmentResult::too_big);
  EXPECT_EQ(table->packets_held(), 0u);
}

TEST_F(FragmentTest, NorInMorePiecesThanThereIsRoomFor) {
  for (size_t i = 0; i < FragmentTable::pieces_max; i++) EXPECT_EQ(add(16 * i, 16 * i + 8), FragmentResult::waiting);
  EXPECT_EQ(add(16 * 20, 16 * 20 + 8), FragmentResult::too_big);
}

TEST_F(FragmentTest, WhatStaysIncompleteIsForgotten) {
  add(0, 400);
  now = base::Time(10s);
  add(400, 800);
  EXPECT_EQ(table->expire(base::Time(15s) - 1ns), 0u);
  EXPECT_EQ(table->expire(base::Time(15s)), 1u) << "the second piece did not give it more time";
  EXPECT_EQ(table->packets_held(), 0u);
  EXPECT_EQ(table->next_deadline(), base::never);
}

TEST_F(FragmentTest, ASourceThatFloodsHasItsShareAlone) {
  const IpAddress other = Ipv4Address{0xc6120003};
  EXPECT_EQ(add(0, 400, 1, other), FragmentResult::waiting);
  for (uint32_t i = 0; i < 100; i++) {
    now += 1ms;
    EXPECT_EQ(add(0, 400, i), FragmentResult::waiting);
  }
  EXPECT_EQ(table->packets_held(), 3u) << "a quarter of eight, and the other's";
  EXPECT_EQ(evicted, 98);
  EXPECT_EQ(add(400, 1200, 1, other), FragmentResult::complete);
}

TEST_F(FragmentTest, ManySourcesPushOutTheOldest) {
  for (uint32_t i = 0; i < 9; i++) {
    now += 1ms;
    EXPECT_EQ(add(0, 400, 1, Ipv4Address{0x0a000000 + i}), FragmentResult::waiting);
  }
  EXPECT_EQ(table->packets_held(), 8u);
  EXPECT_EQ(evicted, 1);
  EXPECT_EQ(add(400, 1200, 1, Ipv4Address{0x0a000000}), FragmentResult::waiting) << "its first piece is gone";
}

TEST_F(FragmentTest, WithoutAPacketThePieceIsDropped) {
  device.packets_max = 0;
  EXPECT_EQ(add(0, 400), FragmentResult::no_packet);
  device.packets_max = 10;
  EXPECT_EQ(add(0, 400), FragmentResult::waiting);
}

}  // namespace
}  // namespace talaria::net
