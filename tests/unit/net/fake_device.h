// A port for tests: frames are put in and taken out by hand. Each packet is its own allocation, so that a sanitizer
// sees who touches one that was given back; `outstanding` tells who kept one.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "core/net/device.h"

namespace talaria::net {

using Frame = std::vector<uint8_t>;

class FakeDevice : public Device {
 public:
  explicit FakeDevice(MacAddress mac, uint16_t mtu = 1500) {
    capabilities_.mac = mac;
    capabilities_.mtu = mtu;
  }

  const Capabilities& capabilities() const override { return capabilities_; }

  size_t receive(std::span<Packet> burst) override {
    size_t count = 0;
    while (count < burst.size() && count < burst_max && !arriving.empty()) {
      Packet packet = make(arriving.front().size());
      packet.length = static_cast<uint16_t>(arriving.front().size());
      std::copy(arriving.front().begin(), arriving.front().end(), packet.data);
      packet.ip_checksum = packet.l4_checksum = verdict;
      arriving.pop_front();
      burst[count++] = packet;
    }
    return count;
  }

  Packet allocate() override {
    if (outstanding >= packets_max) return {};
    return make(capabilities_.mtu + 18u);
  }
  Packet allocate_long() override {
    if (outstanding >= packets_max || long_packets_left == 0) return {};
    long_packets_left--;
    return make(capabilities_.transmit_segmentation + 18u);
  }

  size_t transmit(std::span<Packet> burst) override {
    size_t count = 0;
    for (; count < burst.size() && transmit_room > 0; count++, transmit_room--) {
      sent.emplace_back(burst[count].data, burst[count].data + burst[count].length);
      offloaded.push_back(burst[count].offload_l4_checksum);
      cut_into.push_back(burst[count].segment_bytes);
      release(burst[count]);
    }
    return count;
  }

  bool pass_on(Packet& packet) override {
    if (!takes_wholes) return false;
    wholes.emplace_back(packet.data, packet.data + packet.length);
    release(packet);
    return true;
  }

  void release(Packet& packet) override {
    delete[] static_cast<uint8_t*>(packet.owner);
    outstanding--;
  }

  Capabilities capabilities_;
  std::deque<Frame> arriving;
  std::vector<Frame> sent;
  std::vector<bool> offloaded;
  std::vector<uint16_t> cut_into;  // Packet::segment_bytes of each
  bool takes_wholes = false;       // of datagrams that were put together, as if they were another worker's
  std::vector<Frame> wholes;
  ChecksumVerdict verdict = ChecksumVerdict::unknown;
  size_t outstanding = 0;
  size_t packets_max = 100000;
  size_t long_packets_left = SIZE_MAX;
  size_t transmit_room = SIZE_MAX;

 private:
  Packet make(size_t capacity) {
    outstanding++;
    auto* memory = new uint8_t[capacity > 0 ? capacity : 1]();
    return Packet{.data = memory, .length = 0, .capacity = static_cast<uint16_t>(capacity), .owner = memory};
  }
};

}  // namespace talaria::net
