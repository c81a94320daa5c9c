// What a stack reserves at start, counted: appliances have a hundred thousand idle connections, and a million that are
// just gone.
#include <gtest/gtest.h>

#include <memory_resource>

#include "core/tcp/stack.h"
#include "tests/unit/net/fake_device.h"

namespace talaria::tcp {
namespace {

class CountingMemory final : public std::pmr::memory_resource {
 public:
  size_t bytes = 0;

 private:
  void* do_allocate(size_t size, size_t alignment) override {
    bytes += size;
    return std::pmr::new_delete_resource()->allocate(size, alignment);
  }
  void do_deallocate(void* memory, size_t size, size_t alignment) override {
    bytes -= size;
    std::pmr::new_delete_resource()->deallocate(memory, size, alignment);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

constexpr size_t mib = size_t{1} << 20;

// What a stack of this configuration takes more than a small one.
size_t reserved(const Config& config) {
  net::FakeDevice device({2, 0, 0, 0, 0, 1});
  net::Host host({.addresses = {{net::Ipv4Address{0xc6120001}, 24}}, .announce = false}, device, {1, 2});
  CountingMemory memory;
  const Stack stack(config, host, {3, 4}, &memory);
  return memory.bytes;
}
Config small() {
  Config config;
  config.connections = 1;
  config.half_open = config.time_wait = 1;
  config.send_chunks = config.receive_chunks = config.shared_slices = 1;
  return config;
}

TEST(TcpMemory, AHundredThousandConnectionsFitIntoHalfAGibibyteWithRoomForData) {
  Config config = small();
  config.connections = 100'000;
  const size_t blocks = reserved(config);
  EXPECT_LE(blocks, 128 * mib) << "what is idle holds no chunk";
  config.send_chunks = config.receive_chunks = 128 * mib / send_chunk_bytes;
  config.shared_slices = config.send_chunks;
  EXPECT_LE(reserved(config), 512 * mib);
}

TEST(TcpMemory, AMillionInTimeWaitFitInto64MiB) {
  Config config = small();
  config.time_wait = 1'000'000;
  EXPECT_LE(reserved(config), 64 * mib);
}

TEST(TcpMemory, AMillionHalfOpenFitInto64MiB) {
  Config config = small();
  config.half_open = 1'000'000;
  EXPECT_LE(reserved(config), 64 * mib);
}

}  // namespace
}  // namespace talaria::tcp
