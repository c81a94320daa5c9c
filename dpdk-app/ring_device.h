// Two hosts of one process on the two ends of a pair of rings: packets go from lcore to lcore without a port, a driver
// or a copy.
//
//      left:  transmit ---- ring ----> receive  :right
//             receive <---- ring ----  transmit
//
// Each end is a net::Device for one lcore. What is sent is allocated from the sender's pool and comes back to it
// through the receiver's cache. With `checks_in_memory` off, checksums are left out on both sides, as with a port that
// computes and checks them: memory between two cores does not corrupt.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>

#include "core/base/counters.h"
#include "core/net/device.h"
#include "dpdk-app/exit_status.h"

struct rte_mempool;
struct rte_ring;

namespace talaria::app {

class RingDevice final : public net::Device {
 public:
  struct Config {
    net::Capabilities capabilities{};
    bool trusts_checksums = true;
    rte_ring* in = nullptr;
    rte_ring* out = nullptr;
    rte_mempool* pool = nullptr;
  };
  explicit RingDevice(const Config& config) : config_(config) {}

  const net::Capabilities& capabilities() const override { return config_.capabilities; }
  size_t receive(std::span<net::Packet> burst) override;
  net::Packet allocate() override;
  size_t transmit(std::span<net::Packet> burst) override;
  void release(net::Packet& packet) override;

 private:
  Config config_;
};

struct RingPairConfig {
  uint16_t mtu = 1500;
  uint32_t ring_packets = 1024;  // of each direction; a power of two
  uint32_t held_packets = 2048;  // that either end may hold besides
  bool checksums = false;        // computed and checked by both ends, as with a port that does not
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
  // Memory that a pair takes of EAL's.
  static size_t memory_mib(const RingPairConfig& config);

 private:
  RingPair() = default;
  rte_ring* rings_[2] = {};
  rte_mempool* pools_[2] = {};
  std::unique_ptr<RingDevice> left_, right_;
};

}  // namespace talaria::app
