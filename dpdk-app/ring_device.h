// Two hosts of one process on the two ends of a pair of rings: packets go from lcore to lcore without a port, a driver
// or a copy.
//
//      left                                     right
//      allocate <- own buffers                  receive <- ring <- left's transmit
//      transmit -> ring -> right's receive      release -> returns -> left's own buffers
//      (and the same the other way round)
//
// Each end is a net::Device for one lcore. A buffer belongs to the end that allocated it and comes back to it through a
// ring of its own, latest used first given out again, so that few of them are in use and those stay in the caches. With
// `checksums` off they are left out on both sides, as with a port that computes and checks them: memory between two
// cores does not corrupt.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/net/device.h"
#include "dpdk-app/exit_status.h"
#include "dpdk-app/memory.h"

struct rte_ring;

namespace talaria::app {

class RingDevice final : public net::Device {
 public:
  struct Config {
    net::Capabilities capabilities{};
    bool trusts_checksums = true;
    base::MutableBytes memory{};  // for its buffers
    uint32_t buffers = 0;
    rte_ring* in = nullptr;
    rte_ring* out = nullptr;
    rte_ring* returns_in = nullptr;   // its own buffers, from the other end
    rte_ring* returns_out = nullptr;  // the other end's
  };
  explicit RingDevice(const Config& config);

  // What a buffer takes of memory.
  static size_t buffer_bytes(uint16_t mtu);

  const net::Capabilities& capabilities() const override { return config_.capabilities; }
  size_t receive(std::span<net::Packet> burst) override;
  net::Packet allocate() override;
  size_t transmit(std::span<net::Packet> burst) override;
  void release(net::Packet& packet) override;

  // For tests: own buffers at hand, when both ends are quiet.
  size_t buffers_free();

 private:
  struct Buffer;
  static constexpr size_t header_bytes = 64;

  void give_back();
  void take_back();

  Config config_;
  size_t capacity_;
  std::vector<Buffer*> free_;  // own ones; the last is the next
  std::array<void*, net::burst_max> foreign_;
  size_t foreign_count_ = 0;  // the other end's, on their way back
};

struct RingPairConfig {
  uint16_t mtu = 1500;
  uint32_t ring_packets = 1024;  // of each direction; a power of two
  uint32_t buffers = 4096;       // of each end; a power of two
  bool checksums = false;        // computed and checked by both ends, as with a port that does not
  bool huge_pages = false;
};

class RingPair {
 public:
  // `name` tells pairs of one process apart.
  static std::expected<std::unique_ptr<RingPair>, Failure> make(const std::string& name, const RingPairConfig& config);
  // Both ends have given back what they held.
  ~RingPair();
  RingPair(const RingPair&) = delete;

  RingDevice& left() { return *left_; }
  RingDevice& right() { return *right_; }
  // The memory a pair takes.
  static size_t memory_mib(const RingPairConfig& config);

 private:
  explicit RingPair(bool huge_pages) : memory_(huge_pages, -1) {}
  rte_ring* rings_[2] = {};
  rte_ring* returns_[2] = {};
  PageMemory memory_;
  std::unique_ptr<Pages> pages_[2];
  std::unique_ptr<RingDevice> left_, right_;
};

}  // namespace talaria::app
