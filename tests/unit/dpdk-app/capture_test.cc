// Frames through a ring, past a filter, into a pcapng file, which is read back block by block.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "core/net/ethernet.h"
#include "core/net/frame_watcher.h"
#include "core/net/ipv4.h"
#include "dpdk-app/frame_buffers.h"
#include "dpdk-app/frame_ring.h"
#include "dpdk-app/pcapng.h"

namespace talaria::app {
namespace {

using Bytes = std::vector<uint8_t>;

base::Time at(int64_t ns) { return base::Time{base::Duration{ns}}; }

// ---- the ring

TEST(FrameRing, FramesComeOutAsTheyWentIn) {
  FrameRing ring(4096);
  FrameRing::Frame frame;
  EXPECT_FALSE(ring.front(frame));
  const Bytes bytes(61, 7);
  ring.push({.time = at(5), .length = 1500, .inbound = true, .bytes = bytes});
  ring.push({.time = at(6), .length = 0, .inbound = false, .bytes = {}});
  ASSERT_TRUE(ring.front(frame));
  EXPECT_EQ(frame.time, at(5));
  EXPECT_EQ(frame.length, 1500u);
  EXPECT_TRUE(frame.inbound);
  EXPECT_EQ(Bytes(frame.bytes.begin(), frame.bytes.end()), bytes);
  ring.pop();
  ASSERT_TRUE(ring.front(frame));
  EXPECT_FALSE(frame.inbound);
  EXPECT_TRUE(frame.bytes.empty());
  ring.pop();
  EXPECT_FALSE(ring.front(frame));
}

TEST(FrameRing, AFullOneCountsAndKeepsWhatItHas) {
  FrameRing ring(4096);
  const Bytes bytes(1000, 1);
  for (int i = 0; i < 10; i++) ring.push({.time = at(i), .length = 1000, .bytes = bytes});
  EXPECT_EQ(ring.pushed(), 4u) << "1024 bytes each";
  EXPECT_EQ(ring.dropped(), 6u);
  ring.push({.time = at(11), .length = 9000, .bytes = Bytes(9000)});
  EXPECT_EQ(ring.dropped(), 7u) << "longer than the ring";
  for (int i = 0; i < 4; i++) {
    FrameRing::Frame frame;
    ASSERT_TRUE(ring.front(frame));
    EXPECT_EQ(frame.time, at(i));
    ring.pop();
  }
}

TEST(FrameRing, EveryLengthPassesItsEnd) {
  FrameRing ring(4096);
  int64_t number = 0;
  for (int round = 0; round < 40; round++)
    for (size_t length = 0; length < 600; length += 7, number++) {
      const Bytes bytes(length, static_cast<uint8_t>(number));
      ring.push({.time = at(number), .length = static_cast<uint32_t>(length), .bytes = bytes});
      if (number % 3 != 2) continue;
      for (int64_t expected = number - 2; expected <= number; expected++) {
        FrameRing::Frame frame;
        ASSERT_TRUE(ring.front(frame));
        ASSERT_EQ(frame.time, at(expected));
        ASSERT_EQ(frame.bytes.size(), frame.length);
        ASSERT_TRUE(frame.bytes.empty() || (frame.bytes.front() == static_cast<uint8_t>(expected) &&
                                            frame.bytes.back() == static_cast<uint8_t>(expected)));
        ring.pop();
      }
    }
  EXPECT_EQ(ring.dropped(), 0u);
}

TEST(FrameRing, TwoThreadsAgree) {
  FrameRing ring(8192);
  constexpr int64_t frames = 200'000;
  std::thread producer([&] {
    Bytes bytes(300);
    for (int64_t i = 0; i < frames; i++) {
      std::memcpy(bytes.data(), &i, sizeof i);
      ring.push({.time = at(i), .length = 300, .bytes = base::Bytes(bytes).first(8 + static_cast<size_t>(i % 290))});
    }
  });
  int64_t last = -1;
  uint64_t seen = 0;
  const auto drain = [&] {
    for (FrameRing::Frame frame; ring.front(frame); ring.pop(), seen++) {
      int64_t number = 0;
      std::memcpy(&number, frame.bytes.data(), sizeof number);
      EXPECT_EQ(at(number), frame.time);
      EXPECT_GT(number, last);
      EXPECT_EQ(frame.bytes.size(), 8 + static_cast<size_t>(number % 290));
      last = number;
    }
  };
  while (ring.pushed() + ring.dropped() < frames) drain();
  producer.join();
  drain();
  EXPECT_EQ(seen, ring.pushed());
}

// ---- the file

struct Block {
  uint32_t type = 0;
  std::string body;
};
std::vector<Block> blocks_of(const std::string& file) {
  std::vector<Block> blocks;
  for (size_t place = 0; place < file.size();) {
    uint32_t type = 0, length = 0, again = 0;
    if (file.size() - place < 12) ADD_FAILURE() << "a piece of a block";
    std::memcpy(&type, &file[place], 4);
    std::memcpy(&length, &file[place + 4], 4);
    if (length % 4 != 0 || length < 12 || length > file.size() - place) {
      ADD_FAILURE() << "a block's length is " << length;
      return blocks;
    }
    std::memcpy(&again, &file[place + length - 4], 4);
    EXPECT_EQ(length, again);
    blocks.push_back({type, file.substr(place + 8, length - 12)});
    place += length;
  }
  return blocks;
}
uint32_t word(const Block& block, size_t index) {
  uint32_t value = 0;
  std::memcpy(&value, &block.body[4 * index], 4);
  return value;
}

class FrameBuffersTest : public ::testing::Test {
 protected:
  FrameBuffersTest() {
    clock.set_rate(1, 1);
    frame.resize(60);
    net::EthernetHeader ethernet;
    ethernet.type = net::ethertype_ipv4;
    net::emit_ethernet(ethernet, frame.data());
    net::Ipv4Header ip;
    ip.total_bytes = 46;
    ip.protocol = static_cast<uint8_t>(net::IpProtocol::tcp);
    ip.source = {0xc6120001};
    ip.destination = {0xc6120002};
    net::emit_ipv4(ip, frame.data() + 14, true);
  }
  void see(size_t worker, int64_t time, uint16_t tcp_port, net::FrameWay way = net::FrameWay::in, size_t port = 0) {
    base::store_be16(frame.data() + 36, tcp_port);
    net::Packet packet{.data = frame.data(), .length = 60};
    buffers.watchers()[worker]->see(port, way, packet, at(time));
  }

  TscClock clock = TscClock::start();
  FrameBuffers buffers{{"port0"}, 2, clock};
  Bytes frame;
};

TEST_F(FrameBuffersTest, TheFileHasAHeadFramesInTheirOrderAndATail) {
  ASSERT_TRUE(buffers.open({.port = "port0", .filter = "", .snap_length = 0}));
  see(0, 30, 1);
  see(1, 10, 2, net::FrameWay::out);
  see(1, 20, 3);
  const std::string first = buffers.take(1 << 20, false);
  EXPECT_EQ(buffers.take(1 << 20, false), "") << "nothing since";
  see(0, 40, 4);
  const std::vector<Block> blocks = blocks_of(first + buffers.take(1 << 20, true));
  EXPECT_EQ(buffers.take(1 << 20, true), "") << "one tail";
  ASSERT_EQ(blocks.size(), 2u + 4 + 1);
  EXPECT_EQ(blocks[0].type, 0x0a0d0d0au);
  EXPECT_EQ(word(blocks[0], 0), 0x1a2b3c4du);
  EXPECT_EQ(blocks[1].type, 1u);
  EXPECT_EQ(word(blocks[1], 0), 1u) << "Ethernet";
  EXPECT_NE(blocks[1].body.find("port0"), std::string::npos);
  const uint16_t ports[] = {2, 3, 1, 4};
  for (size_t i = 0; i < 4; i++) {
    const Block& block = blocks[2 + i];
    EXPECT_EQ(block.type, 6u);
    EXPECT_EQ(word(block, 3), 60u);
    EXPECT_EQ(word(block, 4), 60u);
    EXPECT_EQ(base::load_be16(reinterpret_cast<const uint8_t*>(&block.body[20 + 36])), ports[i]);
    const uint32_t flags = word(block, (20 + 60) / 4 + 1);
    EXPECT_EQ(flags, i == 0 ? 2u : 1u) << "out and in";
    EXPECT_EQ(word(block, (20 + 60) / 4 + 3), i < 2 ? 1u : 0u) << "the worker";
  }
  EXPECT_EQ(blocks[6].type, 5u);
}

TEST_F(FrameBuffersTest, OnlyWhatTheFilterTakesAndAsMuchAsIsAskedFor) {
  ASSERT_TRUE(buffers.open({.port = "", .filter = "tcp dst port 5672", .snap_length = 33}));
  see(0, 1, 5672);
  see(0, 2, 5671);
  see(0, 3, 5672, net::FrameWay::out);
  EXPECT_EQ(buffers.frames(), 2u);
  const std::vector<Block> blocks = blocks_of(buffers.take(1 << 20, true));
  ASSERT_EQ(blocks.size(), 2u + 2 + 1);
  EXPECT_EQ(word(blocks[1], 1), 33u);
  EXPECT_NE(blocks[1].body.find("tcp dst port 5672"), std::string::npos);
  EXPECT_EQ(word(blocks[2], 3), 33u) << "kept";
  EXPECT_EQ(word(blocks[2], 4), 60u) << "of so many";
}

TEST_F(FrameBuffersTest, WhatTheRingDoesNotTakeIsCounted) {
  ASSERT_TRUE(buffers.open({}));
  const uint64_t frames = FrameBuffers::ring_bytes / 64;
  for (uint64_t i = 0; i < frames; i++) see(0, static_cast<int64_t>(i), 1);
  EXPECT_GT(buffers.dropped(), 0u);
  EXPECT_EQ(buffers.frames() + buffers.dropped(), frames);
  size_t parts = 0, found = 0;
  for (std::string part = buffers.take(100'000, false); !part.empty(); part = buffers.take(100'000, false), parts++) {
    EXPECT_LT(part.size(), 100'000u + 200);
    found += blocks_of(part).size();
  }
  EXPECT_GT(parts, 10u);
  EXPECT_EQ(found, 2 + buffers.frames());
}

// Each port is an interface of the file, or only the one that was asked for.
TEST_F(FrameBuffersTest, SeveralPortsStandApart) {
  FrameBuffers several({"left", "right"}, 1, clock);
  const auto see_at = [&](size_t port) {
    net::Packet packet{.data = frame.data(), .length = 60};
    several.watchers()[0]->see(port, net::FrameWay::in, packet, at(1));
  };
  ASSERT_TRUE(several.open({}));
  for (size_t port : {0, 1, 1}) see_at(port);
  std::vector<Block> blocks = blocks_of(several.take(1 << 20, true));
  ASSERT_EQ(blocks.size(), 3u + 3 + 2);
  EXPECT_NE(blocks[1].body.find("left"), std::string::npos);
  EXPECT_NE(blocks[2].body.find("right"), std::string::npos);
  for (size_t i = 0; i < 3; i++) EXPECT_EQ(word(blocks[3 + i], 0), i == 0 ? 0u : 1u);
  EXPECT_EQ(word(blocks[6], 0), 0u);
  EXPECT_EQ(word(blocks[7], 0), 1u);
  EXPECT_EQ(word(blocks[6], 4), 1u) << "frames of the left";
  EXPECT_EQ(word(blocks[7], 4), 2u) << "and of the right";
  several.close();

  ASSERT_TRUE(several.open({.port = "right", .filter = "", .snap_length = 0}));
  for (size_t port : {0, 1, 0}) see_at(port);
  EXPECT_EQ(several.frames(), 1u);
  blocks = blocks_of(several.take(1 << 20, true));
  ASSERT_EQ(blocks.size(), 2u + 1 + 1);
  EXPECT_NE(blocks[1].body.find("right"), std::string::npos);
  EXPECT_EQ(word(blocks[2], 0), 0u);
  several.close();
  EXPECT_EQ(several.open({.port = "up", .filter = "", .snap_length = 0}).error(),
            "there is no port 'up', the broker's are left, right");
}

TEST_F(FrameBuffersTest, RefusesAnotherPortAndWhatIsNoFilter) {
  EXPECT_EQ(buffers.open({.port = "eth0", .filter = "", .snap_length = 0}).error(),
            "there is no port 'eth0', the broker's is port0");
  EXPECT_TRUE(buffers.open({.port = "", .filter = "tcp prot", .snap_length = 0})
                  .error()
                  .starts_with("the filter 'tcp prot' is none: "));
  EXPECT_TRUE(buffers.watchers().empty());
  ASSERT_TRUE(buffers.open({}));
  buffers.close();
  ASSERT_TRUE(buffers.open({})) << "again";
}

}  // namespace
}  // namespace talaria::app
