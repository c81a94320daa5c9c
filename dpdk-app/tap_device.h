// A queue of a tap interface as the core sees it: net::Device over the system calls of <linux/if_tun.h>, without DPDK.
// Owned and called by one worker thread.
//
//   kernel: its TCP --> segments of up to 64 KiB, joined --> read()  --> receive     one packet, checksum not yet
//   computed kernel: its TCP <-- segments of up to 64 KiB, to cut <-- write() <-- transmit    one packet, checksum not
//   yet computed
//
// A tap charges for packets, not for bytes: two system calls and a walk through the kernel's stack each. In front of
// each frame stands a header (virtio_net_hdr) that says what is left to do, so that neither side cuts or sums what the
// other one, in the same memory, would only join again.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/cache_line.h"
#include "core/net/device.h"
#include "dpdk-app/device_counters.h"

namespace talaria::app {

class alignas(base::cache_line) TapDevice final : public net::Device {
 public:
  struct Config {
    int descriptor = -1;  // of the queue, not blocking; stays the caller's
    net::Capabilities capabilities{};
    base::MutableBytes memory{};    // memory_bytes() of it
    uint32_t packets_to_write = 0;  // that allocate() has at hand
  };
  explicit TapDevice(const Config& config);

  // The longest IP packet that may be written for the kernel to cut.
  static constexpr uint16_t segmentation = 65000;
  static size_t memory_bytes(uint16_t mtu, uint32_t packets_to_write);

  const net::Capabilities& capabilities() const override { return capabilities_; }
  size_t receive(std::span<net::Packet> burst) override;
  net::Packet allocate() override { return take(written_); }
  net::Packet allocate_long() override { return take(long_); }
  size_t transmit(std::span<net::Packet> burst) override;
  void release(net::Packet& packet) override;

  const DeviceCounters& counters() const { return counters_; }

 private:
  // Buffers of one size; the last one given back is the next given out, so that few are in use and those in the caches.
  struct Buffers {
    base::MutableBytes memory;
    size_t bytes;
    std::vector<uint8_t*> free{};

    Buffers(base::MutableBytes memory, size_t bytes);
    bool own(const uint8_t* buffer) const { return buffer >= memory.data() && buffer < memory.data() + memory.size(); }
  };
  net::Packet take(Buffers& buffers);

  int descriptor_;
  net::Capabilities capabilities_;
  Buffers received_, long_, written_;
  DeviceCounters counters_;
};

}  // namespace talaria::app
