#include "dpdk-app/ring_device.h"

#include <rte_errno.h>
#include <rte_prefetch.h>
#include <rte_ring.h>

#include <algorithm>
#include <new>

#include "core/base/check.h"

namespace talaria::app {
namespace {

constexpr size_t frame_overhead = 18;  // Ethernet header and VLAN tag

}  // namespace

// In front of the bytes of a frame.
struct RingDevice::Buffer {
  const RingDevice* home = nullptr;
  uint8_t* data = nullptr;
  uint16_t length = 0;

  uint8_t* bytes() { return reinterpret_cast<uint8_t*>(this) + header_bytes; }
};

size_t RingDevice::buffer_bytes(uint16_t mtu) { return header_bytes + (mtu + frame_overhead + 63) / 64 * 64; }

RingDevice::RingDevice(const Config& config) : config_(config), capacity_(config.capabilities.mtu + frame_overhead) {
  static_assert(sizeof(Buffer) <= header_bytes);
  const size_t size = buffer_bytes(config.capabilities.mtu);
  CHECK(config.memory.size() >= size * config.buffers);
  free_.reserve(config.buffers);
  for (size_t i = config.buffers; i-- != 0;)
    free_.push_back(new (config.memory.data() + i * size) Buffer{.home = this});
}

// ---- in -------------------------------------------------------------------------------------------------------------

size_t RingDevice::receive(std::span<net::Packet> burst) {
  give_back();
  std::array<void*, net::burst_max> buffers;
  const auto wanted = static_cast<unsigned>(std::min(burst.size(), buffers.size()));
  const unsigned count = rte_ring_sc_dequeue_burst(config_.in, buffers.data(), wanted, nullptr);
  for (unsigned i = 0; i < count; i++) {
    auto* buffer = static_cast<Buffer*>(buffers[i]);
    rte_prefetch0(buffer);
    rte_prefetch0(buffer->bytes());
  }
  const auto verdict = config_.trusts_checksums ? net::ChecksumVerdict::good : net::ChecksumVerdict::unknown;
  for (unsigned i = 0; i < count; i++) {
    auto* buffer = static_cast<Buffer*>(buffers[i]);
    burst[i] = {.data = buffer->data,
                .length = buffer->length,
                .capacity = static_cast<uint16_t>(buffer->bytes() + capacity_ - buffer->data),
                .ip_checksum = verdict,
                .l4_checksum = verdict,
                .owner = buffer};
  }
  return count;
}

void RingDevice::release(net::Packet& packet) {
  auto* buffer = static_cast<Buffer*>(packet.owner);
  packet = {};
  if (buffer->home == this) {
    free_.push_back(buffer);
    return;
  }
  if (foreign_count_ == foreign_.size()) give_back();
  foreign_[foreign_count_++] = buffer;
}

// The ring has room for all buffers there are.
void RingDevice::give_back() {
  if (foreign_count_ == 0) return;
  CHECK(rte_ring_sp_enqueue_bulk(config_.returns_out, foreign_.data(), static_cast<unsigned>(foreign_count_),
                                 nullptr) == foreign_count_);
  foreign_count_ = 0;
}

// ---- out ------------------------------------------------------------------------------------------------------------

void RingDevice::take_back() {
  std::array<void*, 64> buffers;
  const unsigned count = rte_ring_sc_dequeue_burst(config_.returns_in, buffers.data(), buffers.size(), nullptr);
  for (unsigned i = 0; i < count; i++) free_.push_back(static_cast<Buffer*>(buffers[i]));
}

net::Packet RingDevice::allocate() {
  if (rte_ring_count(config_.returns_in) != 0) take_back();
  if (free_.empty()) [[unlikely]]
    return {};
  Buffer* buffer = free_.back();
  free_.pop_back();
  net::Packet packet;
  packet.data = buffer->bytes();
  packet.capacity = static_cast<uint16_t>(capacity_);
  packet.owner = buffer;
  return packet;
}

size_t RingDevice::transmit(std::span<net::Packet> burst) {
  size_t taken = 0;
  while (taken < burst.size()) {
    std::array<void*, net::burst_max> buffers;
    const size_t count = std::min(burst.size() - taken, buffers.size());
    for (size_t i = 0; i < count; i++) {
      const net::Packet& packet = burst[taken + i];
      auto* buffer = static_cast<Buffer*>(packet.owner);
      buffer->data = packet.data;
      buffer->length = packet.length;
      buffers[i] = buffer;
    }
    const unsigned sent = rte_ring_sp_enqueue_burst(config_.out, buffers.data(), static_cast<unsigned>(count), nullptr);
    taken += sent;
    if (sent < count) break;
  }
  return taken;
}

size_t RingDevice::buffers_free() {
  while (rte_ring_count(config_.returns_in) != 0) take_back();
  return free_.size();
}

// ---- both ends ------------------------------------------------------------------------------------------------------

size_t RingPair::memory_mib(const RingPairConfig& config) {
  return 4 + 2 * config.buffers * (RingDevice::buffer_bytes(config.mtu) + 2 * sizeof(void*)) / (1024 * 1024);
}

std::expected<std::unique_ptr<RingPair>, Failure> RingPair::make(const std::string& name,
                                                                 const RingPairConfig& config) {
  std::unique_ptr<RingPair> pair(new RingPair(config.huge_pages));
  constexpr unsigned flags = RING_F_SP_ENQ | RING_F_SC_DEQ;
  for (int side = 0; side < 2; side++) {
    const std::string side_name = name + (side == 0 ? "_left" : "_right");
    pair->rings_[side] = rte_ring_create(side_name.c_str(), config.ring_packets, SOCKET_ID_ANY, flags);
    pair->returns_[side] =
        rte_ring_create((side_name + "_back").c_str(), config.buffers, SOCKET_ID_ANY, flags | RING_F_EXACT_SZ);
    if (pair->rings_[side] == nullptr || pair->returns_[side] == nullptr)
      return std::unexpected(
          Failure{exit_memory, std::string("there is no memory for rings: ") + rte_strerror(rte_errno)});
    pair->pages_[side] = std::make_unique<Pages>(pair->memory_, RingDevice::buffer_bytes(config.mtu) * config.buffers);
  }
  for (int side = 0; side < 2; side++) {
    RingDevice::Config device{.trusts_checksums = !config.checksums,
                              .memory = pair->pages_[side]->span(),
                              .buffers = config.buffers,
                              .in = pair->rings_[1 - side],
                              .out = pair->rings_[side],
                              .returns_in = pair->returns_[side],
                              .returns_out = pair->returns_[1 - side]};
    device.capabilities.mac = {2, 0, 0, 0, 0, static_cast<uint8_t>(side + 1)};
    device.capabilities.mtu = config.mtu;
    device.capabilities.transmit_ip_checksum = !config.checksums;
    device.capabilities.transmit_l4_checksum = !config.checksums;
    (side == 0 ? pair->left_ : pair->right_) = std::make_unique<RingDevice>(device);
  }
  return pair;
}

RingPair::~RingPair() {
  for (rte_ring* ring : {rings_[0], rings_[1], returns_[0], returns_[1]}) rte_ring_free(ring);
}

}  // namespace talaria::app
