#include "core/amqp091/wire/frame.h"

#include <gtest/gtest.h>

#include <string_view>

#include "tests/unit/amqp091/wire/hex.h"

namespace talaria::amqp091::wire {
namespace {

using testing::emitted;
using testing::from_hex;
using testing::packed;
using testing::to_hex;
using namespace std::string_view_literals;

constexpr uint32_t frame_max = 4096;

TEST(WireFrame, WholeFrameYieldsTypeChannelPayloadAndSize) {
  auto bytes = from_hex("01 0102 00000004 003c0050 ce ffff");
  Frame frame = parse_frame(bytes, frame_max);
  EXPECT_EQ(frame.status, FrameStatus::whole);
  EXPECT_EQ(frame.type, FrameType::method);
  EXPECT_EQ(frame.channel, 0x0102);
  EXPECT_EQ(frame.size, 12u);
  EXPECT_EQ(to_hex(frame.payload), "003c0050");
}

TEST(WireFrame, EveryTypeIsRecognised) {
  for (FrameType type : {FrameType::method, FrameType::header, FrameType::body, FrameType::heartbeat}) {
    std::vector<uint8_t> bytes(frame_overhead);
    store_frame_header(bytes.data(), type, 0, 0);
    bytes.back() = frame_end;
    Frame frame = parse_frame(bytes, frame_max);
    EXPECT_EQ(frame.status, FrameStatus::whole);
    EXPECT_EQ(frame.type, type);
    EXPECT_TRUE(frame.payload.empty());
  }
}

TEST(WireFrame, IncompleteSaysHowManyOctetsItNeeds) {
  auto bytes = from_hex("03 0001 00000003 616263 ce");
  for (size_t length = 0; length < bytes.size(); length++) {
    Frame frame = parse_frame(Bytes(bytes).first(length), frame_max);
    EXPECT_EQ(frame.status, FrameStatus::incomplete) << length;
    EXPECT_EQ(frame.size, length < frame_header_size ? frame_overhead : bytes.size()) << length;
    EXPECT_TRUE(frame.payload.empty());
  }
  EXPECT_EQ(parse_frame(bytes, frame_max).status, FrameStatus::whole);
}

TEST(WireFrame, BackToBackFramesAreWalkedBySize) {
  auto bytes = from_hex("03 0001 00000001 61 ce 08 0000 00000000 ce 03 0001 00000001 62 ce");
  Bytes rest = bytes;
  std::string seen;
  while (!rest.empty()) {
    Frame frame = parse_frame(rest, frame_max);
    ASSERT_EQ(frame.status, FrameStatus::whole);
    seen += base::as_text(frame.payload);
    rest = rest.subspan(frame.size);
  }
  EXPECT_EQ(seen, "ab");
}

TEST(WireFrame, HeaderIsReadableBeforeItsFrameIsWhole) {
  auto bytes = from_hex("03 0007 00000fff 61");
  FrameHeader header = parse_frame_header(bytes, frame_max);
  EXPECT_EQ(header.status, FrameStatus::whole);
  EXPECT_EQ(header.type, FrameType::body);
  EXPECT_EQ(header.channel, 7);
  EXPECT_EQ(header.payload_size, 0xfffu);
  EXPECT_EQ(parse_frame_header(Bytes(bytes).first(6), frame_max).status, FrameStatus::incomplete);
}

FrameFault fault_of(std::string_view hex) {
  Frame frame = parse_frame(from_hex(hex), frame_max);
  EXPECT_EQ(frame.status == FrameStatus::malformed, frame.fault != FrameFault::none);
  return frame.fault;
}

TEST(WireFrame, UnknownTypeIsRefusedFromItsHeaderAlone) {
  for (std::string_view type : {"00", "04", "05", "06", "07", "09", "16", "ff"})
    EXPECT_EQ(fault_of(std::string(type) + "0000 00000000"), FrameFault::unknown_type) << type;
}

TEST(WireFrame, PayloadAboveFrameMaxIsRefusedFromItsHeaderAlone) {
  EXPECT_EQ(fault_of("01 0001 00001000"), FrameFault::none);  // 4096: the overhead is forgiven
  EXPECT_EQ(fault_of("01 0001 00001001"), FrameFault::oversize);
  EXPECT_EQ(fault_of("03 0001 ffffffff"), FrameFault::oversize);
}

TEST(WireFrame, WrongEndOctetIsRefused) { EXPECT_EQ(fault_of("03 0001 00000001 61 cd"), FrameFault::bad_end); }

TEST(WireFrame, HeartbeatHasNeitherPayloadNorChannel) {
  EXPECT_EQ(fault_of("08 0000 00000000 ce"), FrameFault::none);
  EXPECT_EQ(fault_of("08 0000 00000001 00 ce"), FrameFault::heartbeat_payload);
  EXPECT_EQ(fault_of("08 0001 00000000 ce"), FrameFault::heartbeat_channel);
  EXPECT_EQ(to_hex(heartbeat_frame), packed("08 0000 00000000 ce"));
}

TEST(WireFrame, FaultsAnswer501AndAHeartbeatOnAChannel505) {
  for (FrameFault fault :
       {FrameFault::unknown_type, FrameFault::oversize, FrameFault::bad_end, FrameFault::heartbeat_payload})
    EXPECT_EQ(error_of(fault).code, ReplyCode::frame_error);
  EXPECT_EQ(error_of(FrameFault::heartbeat_channel).code, ReplyCode::unexpected_frame);
}

TEST(WireFrame, EndFrameWritesTheSizeThatBeginFrameLeftOpen) {
  EXPECT_EQ(emitted([](Writer& out) {
              uint8_t* frame = begin_frame(out, FrameType::body, 3);
              out.bytes(base::as_bytes("hello"));
              end_frame(out, frame);
            }),
            packed("03 0003 00000005 68656c6c6f ce"));
}

[[gnu::noinline]] bool fits(size_t room) {
  std::vector<uint8_t> space(room);
  Writer out(space);
  uint8_t* frame = begin_frame(out, FrameType::body, 3);
  out.bytes(base::as_bytes("hello"));
  end_frame(out, frame);
  return out.ok();
}

TEST(WireFrame, AFrameThatDoesNotFitFailsTheWriter) {
  for (size_t room = 0; room < 13; room++) EXPECT_FALSE(fits(room)) << room;
  EXPECT_TRUE(fits(13));
}

TEST(WireGreeting, BothSpellingsOf091AreAccepted) {
  EXPECT_EQ(recognise_greeting(protocol_header), Greeting::amqp091);
  EXPECT_EQ(recognise_greeting(from_hex("414d5150 01010009")), Greeting::amqp091);
  EXPECT_EQ(recognise_greeting(from_hex("414d5150 00000901 01")), Greeting::amqp091);  // more may follow
}

TEST(WireGreeting, OtherVersionsOfAmqpAreToldApart) {
  for (std::string_view version : {"00010000", "03010000", "00000900", "01010008", "00000a00"})
    EXPECT_EQ(recognise_greeting(from_hex("414d5150" + std::string(version))), Greeting::other_amqp) << version;
}

TEST(WireGreeting, AnAmqpPrefixIsIncomplete) {
  for (size_t length = 0; length < protocol_header.size(); length++)
    EXPECT_EQ(recognise_greeting(Bytes(protocol_header).first(length)), Greeting::incomplete);
}

TEST(WireGreeting, HttpAndTlsOnThePlainPortAreRecognised) {
  EXPECT_EQ(recognise_greeting(base::as_bytes("GET / HTTP/1.1\r\n")), Greeting::http);
  EXPECT_EQ(recognise_greeting(base::as_bytes("GE")), Greeting::incomplete);
  EXPECT_EQ(recognise_greeting(from_hex("16 0301 0200 01")), Greeting::tls);
  EXPECT_EQ(recognise_greeting(from_hex("16")), Greeting::incomplete);
}

TEST(WireGreeting, AnythingElseIsUnknownAtItsFirstWrongOctet) {
  for (std::string_view text : {"S"sv, "AMQQ"sv, "GEX"sv, "\x16\x02"sv, "\0"sv, "EHLO localhost"sv})
    EXPECT_EQ(recognise_greeting(base::as_bytes(text)), Greeting::unknown) << text;
}

}  // namespace
}  // namespace talaria::amqp091::wire
