#include "dpdk-app/load_broker.h"

#include <rte_launch.h>
#include <rte_lcore.h>
#include <sys/random.h>
#include <time.h>

#include <algorithm>

#include "core/base/check.h"
#include "dpdk-app/datapath.h"

namespace talaria::app {
namespace {

using namespace std::chrono_literals;

constexpr base::Duration stop_max = 2s;

void fill_with_random(std::span<uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t filled = getrandom(bytes.data(), bytes.size(), 0);
    if (filled > 0) bytes = bytes.subspan(static_cast<size_t>(filled));
  }
}

void sleep_for(base::Duration duration) {
  const timespec time{0, duration.count()};
  nanosleep(&time, nullptr);
}

}  // namespace

LoadBroker::LoadBroker(const Settings& settings, size_t connections, unsigned lcore, net::Device& device,
                       base::HashKey key, const TscClock& clock)
    : lcore_(lcore),
      clock_(clock),
      page_memory_(settings.huge_pages, static_cast<int>(rte_lcore_to_socket_id(lcore))),
      config_(worker_config(settings, 0)),
      message_bytes_(size_t{settings.memory_mib} << 20),
      device_(device) {
  config_.hosts[0].announce = false;
  config_.key = key;
  config_.memory = &page_memory_;
  const size_t spare = 64;
  config_.make_room_for(connections + spare);
  loop_.clock = clock;
  config_.clock = loop_.clock.reader();

  store_ = std::make_unique<control::MemoryStore>();
  link_ = std::make_unique<control::MeshLink>(mesh_.control(0));
  plane_ = std::make_unique<control::Plane>(
      *store_, std::vector<control::WorkerLink*>{link_.get()},
      control::PlaneOptions{.demo_account = true, .limits = {}, .random = fill_with_random});

  // Made on its lcore, so that its memory lies near.
  const auto furnish = [](void* broker) {
    auto& self = *static_cast<LoadBroker*>(broker);
    self.messages_ = std::make_unique<Pages>(self.page_memory_, self.message_bytes_);
    self.config_.message_memory = self.messages_->span();
    self.worker_ = std::make_unique<worker::Worker>(self.config_, self.device_, self.mesh_);
    self.loop_.worker = self.worker_.get();
    return 0;
  };
  CHECK(rte_eal_remote_launch(furnish, this, lcore_) == 0);
  rte_eal_wait_lcore(lcore_);
}

void LoadBroker::start() {
  const auto run = [](void* loop) {
    static_cast<CoreLoop*>(loop)->run();
    return 0;
  };
  CHECK(rte_eal_remote_launch(run, &loop_, lcore_) == 0);
  running_ = true;
}

bool LoadBroker::poll() { return plane_->poll(clock_.now()); }

bool LoadBroker::stop() {
  if (!running_) return true;
  plane_->stop();
  const base::Time until = clock_.now() + stop_max;
  while (rte_eal_get_lcore_state(lcore_) != WAIT) {
    if (clock_.now() > until) return false;
    plane_->poll(clock_.now());
    sleep_for(50us);
  }
  rte_eal_wait_lcore(lcore_);
  running_ = false;
  return true;
}

// The worker's queues write to the plane's counters: the worker goes first.
LoadBroker::~LoadBroker() {
  CHECK(!running_);
  worker_.reset();
}

}  // namespace talaria::app
