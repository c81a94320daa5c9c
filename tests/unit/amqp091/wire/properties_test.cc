#include "core/amqp091/wire/properties.h"

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

// All fourteen, as another implementation (pika 1.2) writes them.
constexpr std::string_view all_properties =
    "fffc 026374 026365 00000007016849 00000001 02 05 026369 027274 023630 026d69 00000000499602d2 027479 027569 "
    "026169 02636c";

std::vector<uint8_t> header_with(std::string_view raw_hex) {
  return from_hex("003c 0000 0000000000000064 " + std::string(raw_hex));
}

TEST(WireProperties, AllFourteenParse) {
  auto payload = header_with(all_properties);
  auto header = parse_content_header(payload);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->body_size, 100u);
  EXPECT_EQ(to_hex(header->raw), packed(all_properties));
  const Properties& properties = header->properties;
  EXPECT_EQ(properties.flags, 0xfffc);
  EXPECT_EQ(properties.content_type, "ct");
  EXPECT_EQ(properties.content_encoding, "ce");
  EXPECT_EQ(to_hex(properties.headers.bytes), packed("0168 49 00000001"));
  EXPECT_EQ(properties.delivery_mode, 2);
  EXPECT_EQ(properties.priority, 5);
  EXPECT_EQ(properties.correlation_id, "ci");
  EXPECT_EQ(properties.reply_to, "rt");
  EXPECT_EQ(properties.expiration, "60");
  EXPECT_EQ(properties.message_id, "mi");
  EXPECT_EQ(properties.timestamp, 1234567890u);
  EXPECT_EQ(properties.type, "ty");
  EXPECT_EQ(properties.user_id, "ui");
  EXPECT_EQ(properties.app_id, "ai");
  EXPECT_EQ(properties.cluster_id, "cl");
}

TEST(WireProperties, AScanKeepsWhatAQueueAsksAbout) {
  auto payload = header_with(all_properties);
  auto scan = scan_content_header(payload);
  ASSERT_TRUE(scan);
  EXPECT_EQ(scan->body_size, 100u);
  EXPECT_EQ(to_hex(scan->raw), packed(all_properties));
  EXPECT_EQ(scan->flags, 0xfffc);
  EXPECT_TRUE(scan->persistent());
  EXPECT_EQ(scan->priority, 5);
  EXPECT_EQ(scan->expiration, "60");
  EXPECT_EQ(to_hex(scan->headers.bytes), packed("0168 49 00000001"));
}

TEST(WireProperties, NoneAtAllIsTwoOctets) {
  auto payload = header_with("0000");
  auto scan = scan_content_header(payload);
  ASSERT_TRUE(scan);
  EXPECT_EQ(to_hex(scan->raw), "0000");
  EXPECT_FALSE(scan->persistent());
  EXPECT_FALSE(scan->has(Property::headers));
}

TEST(WireProperties, AbsentIsNotEmpty) {
  auto payload = header_with("2100 00000000 00");
  auto scan = scan_content_header(payload);
  ASSERT_TRUE(scan);
  EXPECT_TRUE(scan->has(Property::headers));
  EXPECT_TRUE(scan->has(Property::expiration));
  EXPECT_FALSE(scan->has(Property::content_type));
  EXPECT_EQ(emitted([&](Writer& out) { emit_properties(out, *parse_properties(scan->raw)); }),
            packed("2100 00000000 00"));
}

// Flags and list of a message with exactly these properties, each of a size of its own.
std::vector<uint8_t> raw_of(uint16_t flags) {
  static const std::vector<uint8_t> headers = from_hex("0168 49 00000001");
  Properties properties{.flags = flags,
                        .content_type = "a",
                        .content_encoding = "bb",
                        .headers = Table{headers},
                        .delivery_mode = 2,
                        .priority = 9,
                        .correlation_id = "ccc",
                        .reply_to = "dddd",
                        .expiration = "60000",
                        .message_id = "",
                        .timestamp = 77,
                        .type = "ffffff",
                        .user_id = "ggggggg",
                        .app_id = "hhhhhhhh",
                        .cluster_id = "iiiiiiiii"};
  std::vector<uint8_t> bytes(256);
  Writer out(bytes);
  emit_properties(out, properties);
  bytes.resize(out.size());
  return bytes;
}

TEST(WireProperties, EverySetOfFlagsRoundTripsAndScansAsItParses) {
  for (uint32_t flags = 0; flags < 0x10000; flags += 4) {
    auto raw = raw_of(static_cast<uint16_t>(flags));
    auto parsed = parse_properties(raw);
    ASSERT_TRUE(parsed) << flags;
    ASSERT_EQ(emitted([&](Writer& out) { emit_properties(out, *parsed); }), to_hex(raw)) << flags;
    auto payload = header_with(to_hex(raw));
    auto scan = scan_content_header(payload);
    ASSERT_TRUE(scan) << flags;
    ASSERT_EQ(scan->flags, flags);
    ASSERT_EQ(scan->delivery_mode, parsed->delivery_mode) << flags;
    ASSERT_EQ(scan->priority, parsed->priority) << flags;
    ASSERT_EQ(scan->expiration, parsed->expiration) << flags;
    ASSERT_EQ(to_hex(scan->headers.bytes), to_hex(parsed->headers.bytes)) << flags;
    ASSERT_EQ(scan->has(Property::expiration), !scan->expiration.empty()) << flags;
  }
}

Error error_of_header(Bytes payload) {
  auto scan = scan_content_header(payload);
  auto header = parse_content_header(payload);
  EXPECT_FALSE(scan);
  EXPECT_FALSE(header);
  if (scan || header) return {};
  EXPECT_EQ(scan.error(), header.error());
  return scan.error();
}

TEST(WireProperties, CutShortAnywhereIsRefused) {
  auto payload = header_with(all_properties);
  for (size_t length = 0; length < payload.size(); length++) {
    std::vector<uint8_t> cut(payload.begin(), payload.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_EQ(error_of_header(cut).code, ReplyCode::frame_error) << length;
  }
}

TEST(WireProperties, MoreThanTheFlagsSayIsRefused) {
  for (std::string_view raw : {"0000 00", "1000 02 00", "9000 0161 02 05"})
    EXPECT_EQ(error_of_header(header_with(raw)),
              (Error{ReplyCode::frame_error, 60, 0, "property list does not match its flags"}));
}

TEST(WireProperties, FlagsNobodyKnowsAreRefused) {
  for (std::string_view raw : {"0001 0000", "0002", "1001 0000 02", "ffff"})
    EXPECT_EQ(error_of_header(header_with(raw)), (Error{ReplyCode::syntax_error, 60, 0, "unknown property flags"}));
}

TEST(WireProperties, AnotherClassIs505AndAWeight501) {
  EXPECT_EQ(error_of_header(from_hex("0032 0000 0000000000000064 0000")).code, ReplyCode::unexpected_frame);
  EXPECT_EQ(error_of_header(from_hex("003c 0001 0000000000000064 0000")).code, ReplyCode::frame_error);
}

TEST(WireProperties, HeaderFramePassesThePropertiesOn) {
  auto raw = from_hex("9000 0a746578742f706c61696e 02");
  EXPECT_EQ(emitted([&](Writer& out) { emit_content_header_frame(out, 1, 100, raw); }),
            packed("02 0001 0000001a 003c 0000 0000000000000064 9000 0a746578742f706c61696e 02 ce"));
}

TEST(WireProperties, SetAndClearTouchOneFlag) {
  Properties properties;
  properties.set(Property::expiration);
  properties.set(Property::cluster_id);
  EXPECT_EQ(properties.flags, 0x0104);
  properties.clear(Property::expiration);
  EXPECT_EQ(properties.flags, 0x0004);
  EXPECT_TRUE(properties.has(Property::cluster_id));
}

}  // namespace
}  // namespace talaria::amqp091::wire
