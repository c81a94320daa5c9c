// What settings make of a worker, and that the memory it takes is the memory that was asked for.
#include "dpdk-app/datapath.h"

#include <gtest/gtest.h>

#include "tests/support/pipe_device.h"

namespace talaria::app {
namespace {

class CountingMemory final : public std::pmr::memory_resource {
 public:
  size_t bytes() const { return bytes_; }

 private:
  void* do_allocate(size_t bytes, size_t alignment) override {
    bytes_ += bytes;
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* memory, size_t bytes, size_t alignment) override {
    std::pmr::new_delete_resource()->deallocate(memory, bytes, alignment);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  size_t bytes_ = 0;
};

struct Size {
  uint32_t connections, send_mib, receive_mib;
};

Settings settings_of(const Size& size) {
  Settings settings;
  settings.ports[0].addresses = {{net::Ipv4Address{0xc6120002}, 24}};
  settings.max_connections = size.connections;
  settings.send_memory_mib = size.send_mib;
  settings.receive_memory_mib = size.receive_mib;
  return settings;
}

TEST(WorkerConfig, FollowsTheSettings) {
  const worker::WorkerConfig config = worker_config(settings_of({5000, 3, 7}), 0);
  EXPECT_EQ(config.tcp.connections, 5000u);
  EXPECT_EQ(config.session.sessions, 5000u);
  EXPECT_EQ(config.tcp.send_chunks * tcp::send_chunk_bytes, size_t{3} << 20);
  EXPECT_EQ(config.tcp.receive_chunks * tcp::receive_chunk_bytes, size_t{7} << 20);
  EXPECT_GE(config.tcp.half_open, 5000u);
  EXPECT_GE(config.tcp.time_wait, 20000u);
}

TEST(WorkerConfig, OneSourceIsHeldToItsShare) {
  Settings settings = settings_of({5000, 3, 7});
  settings.max_connections_per_source = 50;
  settings.max_handshakes_per_source = 5;
  const worker::WorkerConfig config = worker_config(settings, 0);
  EXPECT_EQ(config.tcp.connections_per_source, 50u);
  EXPECT_EQ(config.tcp.handshakes_per_source, 5u);
}

TEST(WorkerConfig, DefaultsAreTheLayersOwn) {
  const worker::WorkerConfig config = worker_config({}, 0);
  const tcp::Config tcp;
  EXPECT_EQ(config.tcp.connections, tcp.connections);
  EXPECT_EQ(config.tcp.half_open, tcp.half_open);
  EXPECT_EQ(config.tcp.connections_per_source, tcp.connections_per_source);
  EXPECT_EQ(config.tcp.handshakes_per_source, tcp.handshakes_per_source);
  EXPECT_EQ(config.tcp.time_wait, tcp.time_wait);
  EXPECT_EQ(config.tcp.send_chunks, tcp.send_chunks);
  EXPECT_EQ(config.tcp.shared_slices, tcp.shared_slices);
  EXPECT_EQ(config.tcp.receive_chunks, tcp.receive_chunks);
  EXPECT_EQ(config.session.sessions, amqp091::session::Config{}.sessions);
  EXPECT_EQ(worker_overhead_mib(config), 48u) << "as docs/OPERATING.md has it";
}

TEST(WorkerConfig, TakesNoMoreMemoryThanWasAskedFor) {
  for (const Size& size : {Size{1024, 16, 16}, Size{1, 1, 1}, Size{20000, 1, 2}, Size{64, 100, 1}, Size{64, 1, 100}}) {
    std::vector<uint8_t> messages(size_t{8} << 20);
    CountingMemory memory;
    tests::PacketPool packets(64, 2048);
    tests::PacketRing in(64), out(64);
    tests::PipeDevice device(packets, in, out, {2, 0, 0, 0, 0, 1}, 1500, true);
    worker::Mesh mesh(1);
    worker::WorkerConfig config = worker_config(settings_of(size), 0);
    config.message_memory = messages;
    config.memory = &memory;
    const worker::Worker worker(config, device, mesh);
    const size_t sessions = worker.sessions().infos().size();
    EXPECT_EQ(sessions, size.connections);
    // Beside TCP's arrays, which are counted: sessions, and 3 MiB of mailboxes where there are several workers.
    const size_t taken = memory.bytes() + sessions * 1024 + (size_t{3} << 20);
    EXPECT_LE(taken >> 20, worker_overhead_mib(config)) << size.connections << " " << size.send_mib;
    EXPECT_GE(memory.bytes() >> 20, size.send_mib + size.receive_mib);
  }
}

TEST(WorkerConfig, ProbesOfKeepaliveAreAnEighthOfTheSilenceApart) {
  const auto keepalive = [](uint32_t seconds) {
    Settings settings;
    settings.tcp_keepalive = seconds;
    const tcp::Config config = worker_config(settings, 0).tcp;
    return std::pair(config.keepalive_idle, config.keepalive_interval);
  };
  using std::chrono::seconds;
  EXPECT_EQ(keepalive(120), std::pair(base::Duration(seconds(120)), base::Duration(seconds(15))));
  EXPECT_EQ(keepalive(16).second, seconds(2));
  EXPECT_EQ(keepalive(2).second, seconds(1));
  EXPECT_EQ(keepalive(86400).second, seconds(15));
  EXPECT_EQ(keepalive(0).first, seconds(0)) << "none at all";
}

}  // namespace
}  // namespace talaria::app
