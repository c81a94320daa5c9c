#include "core/base/bytes.h"

#include <gtest/gtest.h>

#include <array>

namespace talaria::base {
namespace {

TEST(Bytes, LoadsAndStoresAreBigEndian) {
  std::array<uint8_t, 8> bytes{};
  store_be16(bytes.data(), 0x0102);
  EXPECT_EQ(bytes[0], 1);
  EXPECT_EQ(bytes[1], 2);
  EXPECT_EQ(load_be16(bytes.data()), 0x0102);
  store_be32(bytes.data(), 0x01020304);
  EXPECT_EQ(bytes[3], 4);
  EXPECT_EQ(load_be32(bytes.data()), 0x01020304u);
  store_be64(bytes.data(), 0x0102030405060708ull);
  EXPECT_EQ(bytes[0], 1);
  EXPECT_EQ(bytes[7], 8);
  EXPECT_EQ(load_be64(bytes.data()), 0x0102030405060708ull);
}

TEST(Reader, ReadsInOrder) {
  const std::array<uint8_t, 17> bytes = {1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 'a', 'b'};
  Reader reader(bytes);
  EXPECT_EQ(reader.u8(), 1);
  EXPECT_EQ(reader.be16(), 2);
  EXPECT_EQ(reader.be32(), 3u);
  EXPECT_EQ(reader.be64(), 4u);
  EXPECT_EQ(reader.remaining(), 2u);
  EXPECT_EQ(as_text(reader.rest()), "ab");
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.remaining(), 0u);
}

TEST(Reader, AnOverrunFailsForGoodAndYieldsZero) {
  const std::array<uint8_t, 3> bytes = {9, 9, 9};
  Reader reader(bytes);
  EXPECT_EQ(reader.be32(), 0u);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.u8(), 0);
  EXPECT_TRUE(reader.bytes(1).empty());
  EXPECT_EQ(reader.remaining(), 0u);
}

TEST(Reader, ZeroBytesOfNothingIsFine) {
  Reader reader(Bytes{});
  EXPECT_TRUE(reader.bytes(0).empty());
  EXPECT_TRUE(reader.rest().empty());
  EXPECT_TRUE(reader.ok());
}

TEST(Writer, WritesInOrder) {
  std::array<uint8_t, 17> bytes{};
  Writer writer(bytes);
  writer.u8(1);
  writer.be16(2);
  writer.be32(3);
  writer.be64(4);
  writer.bytes(as_bytes("ab"));
  EXPECT_TRUE(writer.ok());
  EXPECT_EQ(writer.size(), 17u);
  EXPECT_EQ(writer.room(), 0u);
  EXPECT_EQ(bytes[0], 1);
  EXPECT_EQ(bytes[14], 4);
  EXPECT_EQ(bytes[16], 'b');
}

TEST(Writer, WhatDoesNotFitIsNotWritten) {
  std::array<uint8_t, 3> bytes{};
  Writer writer(bytes);
  writer.u8(7);
  writer.be32(0xffffffff);
  EXPECT_FALSE(writer.ok());
  writer.u8(8);
  EXPECT_FALSE(writer.ok());
  EXPECT_EQ(writer.size(), 1u);
  EXPECT_EQ(bytes[1], 0);
  EXPECT_EQ(bytes[2], 0);
}

}  // namespace
}  // namespace talaria::base
