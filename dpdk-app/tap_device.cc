#include "dpdk-app/tap_device.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/check.h"

namespace talaria::app {
namespace {

// virtio_net_hdr of <linux/virtio_net.h>, which no C++ compiler takes (a member of it is called "class").
struct FrameHeader {
  uint8_t flags = 0;
  uint8_t segmentation = 0;
  uint16_t header_bytes = 0;
  uint16_t segment_bytes = 0;
  uint16_t checksum_start = 0;
  uint16_t checksum_offset = 0;
};
static_assert(sizeof(FrameHeader) == 10);
constexpr uint8_t needs_checksum = 1, checksum_is_valid = 2;     // flags
constexpr uint8_t segmentation_tcp4 = 1, segmentation_tcp6 = 4;  // segmentation

// Before each frame in its buffer: room for the kernel's header, and the frame on a cache line.
constexpr size_t headroom = 64;
static_assert(sizeof(FrameHeader) <= headroom);

constexpr size_t long_buffer_bytes = (size_t{64} << 10) + 1024;
// What a worker holds of received packets: those of a turn (TCP's held packets, a burst), and answers made in them.
constexpr size_t received_bytes = 512 * long_buffer_bytes;
// Written within a turn and then the kernel's: a copy of its own.
constexpr size_t long_bytes = 64 * long_buffer_bytes;

constexpr size_t frame_overhead = 18;  // Ethernet header and VLAN tag
constexpr size_t tcp_checksum_at = 16;
constexpr size_t tcp_data_offset_at = 12;

size_t buffer_bytes(uint16_t mtu) { return (headroom + mtu + frame_overhead + 63) / 64 * 64; }

FrameHeader header_for(const net::Packet& packet) {
  FrameHeader header;
  if (!packet.offload_l4_checksum) return header;
  const size_t tcp = size_t{packet.l2_length} + packet.l3_length;
  header.flags = needs_checksum;
  header.checksum_start = static_cast<uint16_t>(tcp);
  header.checksum_offset = tcp_checksum_at;
  if (packet.segment_bytes == 0) return header;
  const bool ipv6 = packet.data[packet.l2_length] >> 4 == 6;
  header.segmentation = ipv6 ? segmentation_tcp6 : segmentation_tcp4;
  header.segment_bytes = packet.segment_bytes;
  header.header_bytes = static_cast<uint16_t>(tcp + 4u * (packet.data[tcp + tcp_data_offset_at] >> 4));
  return header;
}

}  // namespace

size_t TapDevice::memory_bytes(uint16_t mtu, uint32_t packets_to_write) {
  return received_bytes + long_bytes + packets_to_write * buffer_bytes(mtu);
}

TapDevice::Buffers::Buffers(base::MutableBytes all, size_t each) : memory(all), bytes(each) {
  const size_t count = memory.size() / bytes;
  free.reserve(count);
  for (size_t i = count; i > 0; i--) free.push_back(memory.data() + (i - 1) * bytes);
}

TapDevice::TapDevice(const Config& config)
    : descriptor_(config.descriptor),
      capabilities_(config.capabilities),
      received_(config.memory.first(received_bytes), long_buffer_bytes),
      long_(config.memory.subspan(received_bytes, long_bytes), long_buffer_bytes),
      written_(
          config.memory.subspan(received_bytes + long_bytes, config.packets_to_write * buffer_bytes(capabilities_.mtu)),
          buffer_bytes(capabilities_.mtu)) {}

net::Packet TapDevice::take(Buffers& buffers) {
  if (buffers.free.empty()) {
    counters_.no_transmit_packet.add();
    return {};
  }
  net::Packet packet;
  packet.owner = buffers.free.back();
  packet.data = buffers.free.back() + headroom;
  packet.capacity = static_cast<uint16_t>(std::min<size_t>(buffers.bytes - headroom, UINT16_MAX));
  buffers.free.pop_back();
  return packet;
}

void TapDevice::release(net::Packet& packet) {
  auto* buffer = static_cast<uint8_t*>(packet.owner);
  Buffers& home = received_.own(buffer) ? received_ : written_.own(buffer) ? written_ : long_;
  CHECK(home.own(buffer));
  home.free.push_back(buffer);
  packet = {};
}

size_t TapDevice::receive(std::span<net::Packet> burst) {
  size_t count = 0;
  uint64_t bytes = 0;
  // A frame that is dropped counts, too: what is read in a turn is bounded.
  for (size_t tries = std::min(burst.size(), net::burst_max); tries > 0 && !received_.free.empty(); tries--) {
    uint8_t* buffer = received_.free.back();
    FrameHeader header;
    uint8_t* at = buffer + headroom - sizeof header;
    const size_t room = sizeof header + UINT16_MAX + 1;  // one more than a Packet can hold tells what was cut off
    static_assert(headroom + UINT16_MAX + 1 <= long_buffer_bytes);
    const ssize_t size = read(descriptor_, at, room);
    if (size <= 0) break;  // nothing there, or the interface is gone: its link says so
    if (static_cast<size_t>(size) < sizeof header || static_cast<size_t>(size) == room) {
      counters_.drop_long_frame.add();
      continue;
    }
    received_.free.pop_back();
    std::memcpy(&header, at, sizeof header);
    net::Packet& packet = burst[count++];
    packet = {};
    packet.owner = buffer;
    packet.data = buffer + headroom;
    packet.length = static_cast<uint16_t>(static_cast<size_t>(size) - sizeof header);
    packet.capacity = static_cast<uint16_t>(std::min<size_t>(long_buffer_bytes - headroom, UINT16_MAX));
    // A checksum that is not yet computed belongs to bytes that never left this host.
    if ((header.flags & (needs_checksum | checksum_is_valid)) != 0) packet.l4_checksum = net::ChecksumVerdict::good;
    bytes += packet.length;
  }
  if (count == 0) return 0;
  counters_.packets_in.add(count);
  counters_.bytes_in.add(bytes);
  return count;
}

size_t TapDevice::transmit(std::span<net::Packet> burst) {
  size_t taken = 0, sent = 0;
  uint64_t bytes = 0;
  for (; taken < burst.size(); taken++) {
    net::Packet& packet = burst[taken];
    const FrameHeader header = header_for(packet);
    uint8_t* at = packet.data - sizeof header;
    CHECK(at >= static_cast<uint8_t*>(packet.owner));
    std::memcpy(at, &header, sizeof header);
    const uint16_t length = packet.length;
    const ssize_t written = write(descriptor_, at, sizeof header + length);
    if (written < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == EINTR)) {
      counters_.transmit_full.add();
      break;
    }
    release(packet);
    if (written < 0) {  // the interface is down or gone, as a wire without a link; or the frame is none
      (errno == EINVAL ? counters_.drop_unpreparable : counters_.drop_no_link).add();
      continue;
    }
    sent++;
    bytes += length;
  }
  counters_.packets_out.add(sent);
  counters_.bytes_out.add(bytes);
  return taken;
}

}  // namespace talaria::app
