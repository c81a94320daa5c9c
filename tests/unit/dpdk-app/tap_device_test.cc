// The device over a socket pair that stands in for a tap's queue: whole frames with the kernel's header in front, both
// ways.
#include "dpdk-app/tap_device.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

namespace talaria::app {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr size_t header_bytes = 10;  // virtio_net_hdr
constexpr uint32_t packets_to_write = 4;
constexpr uint16_t mtu = 1500;

class TapDeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends_.data()), 0);
    const int room = 256 << 10;  // a few of the longest frames
    for (const int end : ends_) setsockopt(end, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    memory_.resize(TapDevice::memory_bytes(mtu, packets_to_write));
    net::Capabilities capabilities;
    capabilities.mtu = mtu;
    capabilities.transmit_segmentation = TapDevice::segmentation;
    device_ = std::make_unique<TapDevice>(TapDevice::Config{
        .descriptor = ends_[0], .capabilities = capabilities, .memory = memory_, .packets_to_write = packets_to_write});
  }
  void TearDown() override {
    for (const int end : ends_) close(end);
  }

  void kernel_sends(Bytes header, const Bytes& frame) {
    header.resize(header_bytes);
    header.insert(header.end(), frame.begin(), frame.end());
    ASSERT_EQ(write(ends_[1], header.data(), header.size()), static_cast<ssize_t>(header.size()));
  }
  Bytes kernel_receives() {
    Bytes all(100'000);
    const ssize_t size = read(ends_[1], all.data(), all.size());
    all.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
    return all;
  }
  // A TCP segment over IPv4 with 20 bytes of TCP header and options of 12.
  net::Packet segment(bool is_long, size_t payload) {
    net::Packet packet = is_long ? device_->allocate_long() : device_->allocate();
    EXPECT_TRUE(packet);
    packet.length = static_cast<uint16_t>(14 + 20 + 32 + payload);
    EXPECT_LE(packet.length, packet.capacity);
    std::memset(packet.data, 0, 66);
    std::memset(packet.data + 66, 'x', payload);
    packet.data[14] = 0x45;
    packet.data[34 + 12] = 0x80;
    packet.l2_length = 14;
    packet.l3_length = 20;
    return packet;
  }

  std::array<int, 2> ends_{-1, -1};
  Bytes memory_;
  std::unique_ptr<TapDevice> device_;
  std::array<net::Packet, net::burst_max> burst_;
};

TEST_F(TapDeviceTest, FramesArriveInTheirOrder) {
  for (uint8_t i = 0; i < 40; i++) kernel_sends({}, Bytes(60, i));
  ASSERT_EQ(device_->receive(burst_), net::burst_max);
  for (uint8_t i = 0; i < net::burst_max; i++) {
    EXPECT_EQ(burst_[i].length, 60);
    EXPECT_EQ(burst_[i].data[59], i);
    EXPECT_EQ(burst_[i].l4_checksum, net::ChecksumVerdict::unknown);
    EXPECT_EQ(burst_[i].ip_checksum, net::ChecksumVerdict::unknown);
    device_->release(burst_[i]);
  }
  EXPECT_EQ(device_->receive(burst_), 8u);
  for (size_t i = 0; i < 8; i++) device_->release(burst_[i]);
  EXPECT_EQ(device_->receive(burst_), 0u);
  EXPECT_EQ(device_->counters().packets_in.value(), 40u);
  EXPECT_EQ(device_->counters().bytes_in.value(), 2400u);
}

TEST_F(TapDeviceTest, AChecksumThatIsNotYetComputedIsGood) {
  kernel_sends({1}, Bytes(60));
  kernel_sends({2}, Bytes(60));
  ASSERT_EQ(device_->receive(burst_), 2u);
  EXPECT_EQ(burst_[0].l4_checksum, net::ChecksumVerdict::good);
  EXPECT_EQ(burst_[1].l4_checksum, net::ChecksumVerdict::good);
}

TEST_F(TapDeviceTest, TheLongestFrameFitsAndALongerOneIsDropped) {
  kernel_sends({}, Bytes(65'536));
  kernel_sends({}, Bytes(65'535, 7));
  ASSERT_EQ(device_->receive(burst_), 1u);
  EXPECT_EQ(burst_[0].length, 65'535);
  EXPECT_EQ(burst_[0].data[65'534], 7);
  EXPECT_EQ(device_->counters().drop_long_frame.value(), 1u);
}

TEST_F(TapDeviceTest, WhatIsShorterThanTheHeaderIsDropped) {
  ASSERT_EQ(write(ends_[1], "short", 5), 5);
  EXPECT_EQ(device_->receive(burst_), 0u);
  EXPECT_EQ(device_->counters().drop_long_frame.value(), 1u);
}

TEST_F(TapDeviceTest, HeldPacketsStopReceivingAndLoseNothing) {
  std::vector<net::Packet> held;
  for (;;) {
    kernel_sends({}, Bytes(60, static_cast<uint8_t>(held.size())));
    if (device_->receive(burst_) == 0) break;
    held.push_back(burst_[0]);
    ASSERT_LT(held.size(), 10'000u);
  }
  EXPECT_GE(held.size(), 128u) << "as many as TCP holds";
  device_->release(held.back());
  ASSERT_EQ(device_->receive(burst_), 1u);
  EXPECT_EQ(burst_[0].data[0], static_cast<uint8_t>(held.size()));
}

TEST_F(TapDeviceTest, WithoutOffloadsTheHeaderSaysNothing) {
  burst_[0] = segment(false, 10);
  ASSERT_EQ(device_->transmit({burst_.data(), 1}), 1u);
  const Bytes received = kernel_receives();
  ASSERT_EQ(received.size(), header_bytes + 76);
  EXPECT_EQ(Bytes(received.begin(), received.begin() + header_bytes), Bytes(header_bytes));
  EXPECT_EQ(received.back(), 'x');
  EXPECT_EQ(device_->counters().packets_out.value(), 1u);
  EXPECT_EQ(device_->counters().bytes_out.value(), 76u);
}

TEST_F(TapDeviceTest, TheKernelIsToldWhereTheChecksumStands) {
  burst_[0] = segment(false, 10);
  burst_[0].offload_l4_checksum = true;
  device_->transmit({burst_.data(), 1});
  EXPECT_EQ(kernel_receives()[0], 1) << "needs a checksum";
  burst_[0] = segment(false, 10);
  burst_[0].offload_l4_checksum = true;
  device_->transmit({burst_.data(), 1});
  const Bytes header = kernel_receives();
  EXPECT_EQ(Bytes(header.begin() + 1, header.begin() + header_bytes), (Bytes{0, 0, 0, 0, 0, 34, 0, 16, 0}));
}

TEST_F(TapDeviceTest, TheKernelIsToldHowToCut) {
  burst_[0] = segment(true, 60'000);
  burst_[0].offload_l4_checksum = true;
  burst_[0].segment_bytes = 1448;
  device_->transmit({burst_.data(), 1});
  const Bytes received = kernel_receives();
  ASSERT_EQ(received.size(), header_bytes + 66 + 60'000);
  // needs a checksum; TCP over IPv4; 66 bytes of headers; segments of 1448 bytes; checksum at 34 + 16
  EXPECT_EQ(Bytes(received.begin(), received.begin() + header_bytes), (Bytes{1, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0}));

  burst_[0] = segment(true, 3000);
  burst_[0].offload_l4_checksum = true;
  burst_[0].segment_bytes = 1000;
  burst_[0].data[14] = 0x60;
  device_->transmit({burst_.data(), 1});
  EXPECT_EQ(kernel_receives()[1], 4) << "TCP over IPv6";
}

TEST_F(TapDeviceTest, AKernelThatIsFullTakesAPartAndLosesNothing) {
  size_t sent = 0;
  for (;; sent++) {
    burst_[0] = segment(true, 50'000);
    burst_[0].data[65] = static_cast<uint8_t>(sent);
    if (device_->transmit({burst_.data(), 1}) == 0) break;
    ASSERT_LT(sent, 1000u);
  }
  EXPECT_GT(sent, 0u);
  EXPECT_EQ(device_->counters().transmit_full.value(), 1u);
  EXPECT_EQ(kernel_receives()[header_bytes + 65], 0);
  ASSERT_EQ(device_->transmit({burst_.data(), 1}), 1u) << "it is still the caller's, and goes now";
  uint8_t last = 0;
  for (Bytes frame = kernel_receives(); !frame.empty(); frame = kernel_receives()) last = frame[header_bytes + 65];
  EXPECT_EQ(last, static_cast<uint8_t>(sent));
}

TEST_F(TapDeviceTest, ALinkThatIsGoneTakesEverythingAndCountsIt) {
  close(ends_[1]);
  ends_[1] = dup(ends_[0]);
  for (size_t i = 0; i < 3; i++) burst_[i] = segment(false, 10);
  signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(device_->transmit({burst_.data(), 3}), 3u);
  EXPECT_EQ(device_->counters().drop_no_link.value(), 3u);
  EXPECT_EQ(device_->counters().packets_out.value(), 0u);
  EXPECT_EQ(device_->receive(burst_), 0u);
}

TEST_F(TapDeviceTest, EmptyPoolsAreCountedAndRecover) {
  std::vector<net::Packet> taken;
  for (net::Packet packet; (packet = device_->allocate());) taken.push_back(packet);
  EXPECT_EQ(taken.size(), packets_to_write);
  EXPECT_TRUE(device_->allocate_long()) << "a pool of its own";
  EXPECT_EQ(device_->counters().no_transmit_packet.value(), 1u);
  EXPECT_GE(taken[0].capacity, mtu + 18);
  device_->release(taken[2]);
  EXPECT_TRUE(device_->allocate());
}

}  // namespace
}  // namespace talaria::app
