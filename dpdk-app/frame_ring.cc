#include "dpdk-app/frame_ring.h"

#include <bit>
#include <cstring>

#include "core/base/check.h"

namespace talaria::app {

FrameRing::FrameRing(size_t bytes) : size_(bytes), memory_(new uint64_t[bytes / sizeof(uint64_t)]) {
  CHECK(std::has_single_bit(bytes) && bytes >= 4096);
  std::memset(memory_.get(), 0, bytes);
}

bool FrameRing::push(const Frame& frame) {
  auto* memory = reinterpret_cast<uint8_t*>(memory_.get());
  const size_t needed = record_bytes(frame.bytes.size());
  uint64_t tail = tail_.load(std::memory_order_relaxed);
  const size_t place = tail & (size_ - 1);
  const size_t to_end = size_ - place;
  const size_t skipped = needed > to_end ? to_end : 0;
  const uint64_t used = tail - head_.load(std::memory_order_acquire);
  if (needed + skipped > size_ - used) {
    dropped_.add();
    return false;
  }
  if (skipped >= sizeof(Record)) {
    const Record filler{.filler = true};
    std::memcpy(memory + place, &filler, sizeof filler);
  }
  tail += skipped;
  uint8_t* at = memory + (tail & (size_ - 1));
  const Record record{.time = frame.time,
                      .length = frame.length,
                      .kept = static_cast<uint32_t>(frame.bytes.size()),
                      .inbound = frame.inbound,
                      .port = frame.port};
  std::memcpy(at, &record, sizeof record);
  std::memcpy(at + sizeof record, frame.bytes.data(), frame.bytes.size());
  tail_.store(tail + needed, std::memory_order_release);
  pushed_.add();
  return true;
}

bool FrameRing::front(Frame& frame) {
  const auto* memory = reinterpret_cast<const uint8_t*>(memory_.get());
  uint64_t head = head_.load(std::memory_order_relaxed);
  const uint64_t tail = tail_.load(std::memory_order_acquire);
  if (head == tail) return false;
  Record record;
  const size_t to_end = size_ - (head & (size_ - 1));
  if (to_end >= sizeof record) std::memcpy(&record, memory + (head & (size_ - 1)), sizeof record);
  if (to_end < sizeof record || record.filler) {
    head += to_end;
    head_.store(head, std::memory_order_release);
    std::memcpy(&record, memory, sizeof record);
  }
  frame = {.time = record.time,
           .length = record.length,
           .inbound = record.inbound,
           .port = record.port,
           .bytes = {memory + (head & (size_ - 1)) + sizeof record, record.kept}};
  return true;
}

void FrameRing::pop() {
  const auto* memory = reinterpret_cast<const uint8_t*>(memory_.get());
  const uint64_t head = head_.load(std::memory_order_relaxed);
  Record record;
  std::memcpy(&record, memory + (head & (size_ - 1)), sizeof record);
  head_.store(head + record_bytes(record.kept), std::memory_order_release);
}

}  // namespace talaria::app
