#include "core/amqp091/wire/reply.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "core/amqp091/wire/utf8.h"

namespace talaria::amqp091::wire {
namespace {

TEST(WireReply, HardCodesCloseTheConnectionAndSoftOnesTheChannel) {
  for (int code : {320, 402, 501, 502, 503, 504, 505, 506, 530, 540, 541})
    EXPECT_TRUE(is_hard(static_cast<ReplyCode>(code))) << code;
  for (int code : {200, 311, 312, 313, 403, 404, 405, 406}) EXPECT_FALSE(is_hard(static_cast<ReplyCode>(code))) << code;
}

TEST(WireReply, EveryCodeHasAName) {
  for (int code : {200, 311, 312, 313, 320, 402, 403, 404, 405, 406, 501, 502, 503, 504, 505, 506, 530, 540, 541})
    EXPECT_NE(name(static_cast<ReplyCode>(code)), "UNKNOWN") << code;
  EXPECT_EQ(name(ReplyCode::precondition_failed), "PRECONDITION_FAILED");
}

TEST(WireReply, TextIsNameAndReason) {
  std::array<char, shortstr_max> space;
  EXPECT_EQ(compose_reply_text(space, {ReplyCode::not_found, 50, 10, "no queue 'jobs' in vhost '/'"}),
            "NOT_FOUND - no queue 'jobs' in vhost '/'");
  EXPECT_EQ(compose_reply_text(space, {ReplyCode::frame_error, 0, 0, ""}), "FRAME_ERROR");
}

TEST(WireReply, IsATextWhateverItTellsOf) {
  std::array<char, shortstr_max> space;
  EXPECT_EQ(compose_reply_text(space, {ReplyCode::not_found, 0, 0, "no <\xff\xfe> in <\xe2\x82\xac>"}),
            "NOT_FOUND - no <\?\?> in <\?\?\?>");
  EXPECT_TRUE(is_utf8(compose_reply_text(space, {ReplyCode::not_found, 0, 0, std::string(400, '\x80')})));
}

TEST(WireReply, TextIsCutAtACharactersBorder) {
  std::array<char, shortstr_max> space;
  for (size_t pad = 0; pad < 4; pad++) {
    std::string text = std::string(pad, '.');
    for (int i = 0; i < 100; i++) text += "€";
    std::string_view composed = compose_reply_text(space, {ReplyCode::not_found, 0, 0, text});
    EXPECT_LE(composed.size(), shortstr_max);
    EXPECT_GT(composed.size(), shortstr_max - 3);
    EXPECT_TRUE(is_utf8(composed));
  }
  EXPECT_EQ(clipped("abc", 3), "abc");
  EXPECT_EQ(clipped("ab€", 4), "ab");
  EXPECT_EQ(clipped("€", 2), "");
}

TEST(WireUtf8, AsciiOfEveryLengthIsValidAndOneHighBitAnywhereIsSeen) {
  for (size_t length = 0; length <= 40; length++) {
    std::string text(length, 'a');
    EXPECT_TRUE(is_ascii(text)) << length;
    EXPECT_TRUE(is_utf8(text)) << length;
    for (size_t at = 0; at < length; at++) {
      text[at] = '\x80';
      EXPECT_FALSE(is_ascii(text)) << length << " at " << at;
      EXPECT_FALSE(is_utf8(text)) << length << " at " << at;
      text[at] = 'a';
    }
  }
}

TEST(WireUtf8, ValidSequences) {
  for (std::string_view text : {"ä", "€", "😀", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
                                "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF", "queue.für.€"})
    EXPECT_TRUE(is_utf8(text)) << text;
}

TEST(WireUtf8, OverlongSurrogateTruncatedAndStrayAreInvalid) {
  for (std::string_view text :
       {"\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80", "\xFF", "\xFE", "\x80", "\xBF", "\xC3", "\xE2\x82", "\xF0\x9F\x98", "\xE2\x28\xA1",
        "\xE2\x82\x28", "\xF0\x9F\x28\x80", "ok\xC3"})
    EXPECT_FALSE(is_utf8(text));
}

}  // namespace
}  // namespace talaria::amqp091::wire
