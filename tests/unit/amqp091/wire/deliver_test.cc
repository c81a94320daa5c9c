#include "core/amqp091/wire/deliver.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/amqp091/wire/hex.h"

namespace talaria::amqp091::wire {
namespace {

using testing::emitted;
using testing::from_hex;
using testing::packed;
using testing::to_hex;

constexpr uint32_t frame_max = 4096;

// The same frames by way of the general emitters.
std::string expected(uint16_t channel, std::string_view tag, const Delivery& delivery, Bytes body) {
  return emitted([&](Writer& out) {
    emit_method_frame(out, channel,
                      basic::Deliver{.consumer_tag = tag,
                                     .delivery_tag = delivery.delivery_tag,
                                     .redelivered = delivery.redelivered,
                                     .exchange = delivery.exchange,
                                     .routing_key = delivery.routing_key});
    emit_content_header_frame(out, channel, body.size(), delivery.raw_properties);
    while (!body.empty()) {
      Bytes part = body.first(std::min<size_t>(body.size(), frame_max - frame_overhead));
      uint8_t* frame = begin_frame(out, FrameType::body, channel);
      out.bytes(part);
      end_frame(out, frame);
      body = body.subspan(part.size());
    }
  });
}

TEST(WireDeliver, GoldenBytes) {
  DeliverTemplate consumer(1, "ctag");
  auto raw = from_hex("9000 0a746578742f706c61696e 02");
  Delivery delivery{
      .delivery_tag = 7, .redelivered = true, .exchange = "ex", .routing_key = "key", .raw_properties = raw};
  std::vector<uint8_t> space(256);
  size_t size = consumer.emit(space, delivery, base::as_bytes("abc"), frame_max);
  EXPECT_EQ(to_hex(Bytes(space).first(size)),
            packed("01 0001 00000019 003c003c 0463746167 0000000000000007 01 026578 036b6579 ce"
                   "02 0001 0000001a 003c 0000 0000000000000003 9000 0a746578742f706c61696e 02 ce"
                   "03 0001 00000003 616263 ce"));
  EXPECT_EQ(consumer.channel(), 1);
  EXPECT_EQ(consumer.consumer_tag(), "ctag");
}

TEST(WireDeliver, IsWhatTheGeneralEmittersWriteForNamesOfEveryLength) {
  std::vector<uint8_t> body(40, 0xab);
  for (size_t length = 0; length <= shortstr_max; length++) {
    std::string tag(length, 't'), exchange(shortstr_max - length, 'x'), key(length * 7 % 256, 'k');
    for (size_t i = 0; i < tag.size(); i++) tag[i] = static_cast<char>('a' + i % 26);
    for (size_t i = 0; i < key.size(); i++) key[i] = static_cast<char>('A' + i % 26);
    std::vector<uint8_t> raw(2 + length % 70, 0);
    for (size_t i = 0; i < raw.size(); i++) raw[i] = static_cast<uint8_t>(i);
    DeliverTemplate consumer(static_cast<uint16_t>(length + 300), tag);
    Delivery delivery{
        .delivery_tag = length << 40 | 5, .exchange = exchange, .routing_key = key, .raw_properties = raw};
    // Exactly the room it says it needs, in a buffer of its own, so that a sanitizer sees any octet beyond it.
    std::vector<uint8_t> space(consumer.size(delivery, body.size(), frame_max));
    ASSERT_EQ(consumer.emit(space, delivery, body, frame_max), space.size());
    ASSERT_EQ(to_hex(space), expected(consumer.channel(), tag, delivery, body)) << length;
    ASSERT_EQ(consumer.consumer_tag(), tag);
    ASSERT_LE(consumer.front_size(delivery), deliver_size_max + raw.size());
  }
}

TEST(WireDeliver, TheLongestNamesNeedExactlyTheUpperBound) {
  std::string name(shortstr_max, 'n');
  DeliverTemplate consumer(1, name);
  EXPECT_EQ(consumer.front_size({.exchange = name, .routing_key = name}), deliver_size_max);
}

TEST(WireDeliver, BodiesAreSplitAtFrameMax) {
  DeliverTemplate consumer(9, "c");
  auto raw = from_hex("0000");
  Delivery delivery{.delivery_tag = 1, .routing_key = "q", .raw_properties = raw};
  constexpr size_t most = frame_max - frame_overhead;
  for (size_t size : {size_t{0}, size_t{1}, most - 1, most, most + 1, 2 * most, 2 * most + 1, size_t{65536}}) {
    std::vector<uint8_t> body(size);
    for (size_t i = 0; i < size; i++) body[i] = static_cast<uint8_t>(i * 31);
    std::vector<uint8_t> space(consumer.size(delivery, size, frame_max));
    ASSERT_EQ(consumer.emit(space, delivery, body, frame_max), space.size());
    EXPECT_TRUE(to_hex(space) == expected(9, "c", delivery, body)) << size;
    for (Bytes rest = space; !rest.empty();) {
      Frame frame = parse_frame(rest, most);
      ASSERT_EQ(frame.status, FrameStatus::whole);
      rest = rest.subspan(frame.size);
    }
  }
}

TEST(WireDeliver, WhatDoesNotFitIsNotBegun) {
  DeliverTemplate consumer(1, "ctag");
  auto raw = from_hex("0000");
  Delivery delivery{.delivery_tag = 7, .exchange = "ex", .routing_key = "key", .raw_properties = raw};
  Bytes body = base::as_bytes("abc");
  size_t needed = consumer.size(delivery, body.size(), frame_max);
  for (size_t room = 0; room < needed; room++) {
    std::vector<uint8_t> space(room, 0x55);
    EXPECT_EQ(consumer.emit(space, delivery, body, frame_max), 0u);
    EXPECT_EQ(std::count(space.begin(), space.end(), 0x55), static_cast<ptrdiff_t>(room));
  }
}

TEST(WireDeliver, FrontAloneLeavesTheBodyToTheCaller) {
  DeliverTemplate consumer(1, "ctag");
  auto raw = from_hex("0000");
  Delivery delivery{.delivery_tag = 7, .exchange = "ex", .routing_key = "key", .raw_properties = raw};
  std::vector<uint8_t> space(consumer.front_size(delivery));
  EXPECT_EQ(consumer.store_front(space.data(), delivery, 1 << 20), space.data() + space.size());
  Frame method = parse_frame(space, frame_max);
  Frame header = parse_frame(Bytes(space).subspan(method.size), frame_max);
  EXPECT_EQ(parse<basic::Deliver>(method.payload)->delivery_tag, 7u);
  EXPECT_EQ(scan_content_header(header.payload)->body_size, 1u << 20);
}

TEST(WireAck, GoldenBytes) {
  std::vector<uint8_t> space(ack_frame_size);
  ASSERT_EQ(emit_ack(space, 3, 0x0102030405060708, true), ack_frame_size);
  EXPECT_EQ(to_hex(space), packed("01 0003 0000000d 003c0050 0102030405060708 01 ce"));
  ASSERT_EQ(emit_ack(space, 3, 9, false), ack_frame_size);
  EXPECT_EQ(to_hex(space), packed("01 0003 0000000d 003c0050 0000000000000009 00 ce"));
  ASSERT_EQ(emit_nack(space, 3, 9, true), ack_frame_size);
  EXPECT_EQ(to_hex(space), packed("01 0003 0000000d 003c0078 0000000000000009 01 ce"));
}

TEST(WireAck, WhatDoesNotFitIsNotBegun) {
  std::vector<uint8_t> space(ack_frame_size - 1, 0x55);
  EXPECT_EQ(emit_ack(space, 1, 1, false), 0u);
  EXPECT_EQ(emit_nack(space, 1, 1, false), 0u);
  EXPECT_EQ(std::count(space.begin(), space.end(), 0x55), static_cast<ptrdiff_t>(space.size()));
}

}  // namespace
}  // namespace talaria::amqp091::wire
