#include "dpdk-app/datapath.h"

#include <rte_launch.h>
#include <rte_lcore.h>
#include <time.h>

#include <algorithm>

#include "core/base/check.h"
#include "core/base/version.h"
#include "dpdk-app/eal.h"
#include "dpdk-app/realtime.h"

namespace talaria::app {
worker::WorkerConfig worker_config(const Settings& settings, worker::WorkerIndex index) {
  worker::WorkerConfig config;
  config.index = index;
  config.hosts.clear();
  for (const PortSettings& port : settings.ports) {
    net::HostConfig& host = config.hosts.emplace_back();
    host.addresses = port.addresses;
    host.routes = all_routes(port);
    host.address_from_dhcp = host.addresses_from_routers = finds_addresses(port);
    host.vlan = port.vlan;
    host.announce = index == 0;
  }
  config.tcp.held_packets = std::max(config.tcp.held_packets, settings.ports.size() * 2 * net::burst_max);
  config.tcp.connections = settings.max_connections;
  // The tables of what is not yet, or no longer, a connection grow along with those that are.
  config.tcp.half_open = std::max<size_t>(config.tcp.half_open, settings.max_connections);
  config.tcp.connections_per_source = settings.max_connections_per_source;
  config.tcp.handshakes_per_source = settings.max_handshakes_per_source;
  config.tcp.time_wait = std::max<size_t>(config.tcp.time_wait, 4 * size_t{settings.max_connections});
  config.tcp.send_chunks = (size_t{settings.send_memory_mib} << 20) / tcp::send_chunk_bytes;
  config.tcp.shared_slices = 4 * config.tcp.send_chunks;
  config.tcp.receive_chunks = (size_t{settings.receive_memory_mib} << 20) / tcp::receive_chunk_bytes;
  // One probe an eighth of the silence later than the last, but neither hastily nor for long: 15 s at the default.
  config.tcp.keepalive_idle = std::chrono::seconds(settings.tcp_keepalive);
  config.tcp.keepalive_interval =
      std::clamp<base::Duration>(config.tcp.keepalive_idle / 8, std::chrono::seconds(1), std::chrono::seconds(15));
  config.tcp.congestion_control = settings.congestion_control;
  config.session.sessions = settings.max_connections;
  config.session.version = base::version;
  config.amqp_port = settings.amqp_port;
  return config;
}

PacketNeeds packet_needs(const worker::WorkerConfig& config) {
  const net::HostConfig& host = config.hosts.front();  // they are alike in this
  const size_t waiting = host.unresolved_packets_max + host.transmit_queue_max;
  return {.received = static_cast<uint32_t>(config.tcp.held_packets + waiting),
          .to_send = static_cast<uint32_t>(waiting + host.fragmented_max)};
}

size_t worker_overhead_mib(const worker::WorkerConfig& config) {
  constexpr size_t mailboxes_and_tables = 10 << 20;
  constexpr size_t connection_bytes = 4096;  // TCP's block, the session, their lists
  constexpr size_t chunk_bytes = tcp::send_chunk_bytes + (tcp::send_chunk_bytes >> 3);  // with its share of slices
  const size_t bytes = config.tcp.send_chunks * chunk_bytes + config.tcp.receive_chunks * tcp::receive_chunk_bytes +
                       config.tcp.connections * connection_bytes + mailboxes_and_tables;
  return (bytes + (1 << 20) - 1) >> 20;
}

Datapath::Datapath(const Settings& settings, const CorePlan& plan, const std::vector<unsigned>& isolated,
                   const std::vector<bool>& fifo, const Ports& ports, const Secrets& secrets, const TscClock& clock)
    : mesh_(settings.workers) {
  std::vector<std::vector<PortEnd>> ends;  // by port, then by worker
  for (const auto& port : ports) ends.push_back(port->make_ends(settings.workers, secrets.spread));
  for (worker::WorkerIndex index = 0; index < settings.workers; index++) {
    const auto node = static_cast<int>(rte_lcore_to_socket_id(lcore_of(index)));
    const bool realtime = settings.profile == Profile::realtime;
    auto core = std::make_unique<Core>(settings.huge_pages, node, realtime);
    core->touch_memory = realtime;
    core->wants_fifo = fifo[index];
    core->mesh = &mesh_;
    core->config = worker_config(settings, index);
    core->config.key = secrets.worker;
    for (size_t port = 0; port < ports.size(); port++) {
      const PortEnd& end = core->ends.emplace_back(std::move(ends[port][index]));
      if (end.trunk != nullptr) core->loop.trunks.push_back(end.trunk);
      core->config.hosts[port].interface_secret = secrets.interface;
      // Pieces of a datagram come to any queue, and the whole would belong to the worker of another one.
      if (ports[port]->queues() > 1) core->config.hosts[port].fragmented_max = 0;
    }
    core->config.memory = &core->page_memory;
    core->message_bytes = size_t{settings.memory_mib} << 20;
    const bool own_core =
        plan.alone(index) && std::find(isolated.begin(), isolated.end(), plan.workers[index]) != isolated.end();
    core->loop.clock = clock;
    core->config.clock = core->loop.clock.reader();
    core->config.session.wall_clock_ahead =
        std::chrono::system_clock::now().time_since_epoch() - core->loop.clock.now().time_since_epoch();
    const IdleMode mode = idle_mode(settings);
    if (mode == IdleMode::adaptive || (mode == IdleMode::automatic && !own_core)) core->loop.idle = adaptive_rules;
    if (mode == IdleMode::wait) core->bell = std::make_unique<Doorbell>();
    cores_.push_back(std::move(core));
  }
  for (size_t index = 0; index < cores_.size(); index++) {
    auto furnish = [](void* core) {
      static_cast<Core*>(core)->furnish();
      return 0;
    };
    CHECK(rte_eal_remote_launch(furnish, cores_[index].get(), lcore_of(index)) == 0);
  }
  rte_eal_mp_wait_lcore();
}

void Datapath::Core::furnish() {
  messages = std::make_unique<Pages>(page_memory, message_bytes);
  config.message_memory = messages->span();
  std::vector<net::Device*> devices;
  for (const PortEnd& end : ends) devices.push_back(end.device.get());
  worker = std::make_unique<worker::Worker>(config, devices, *mesh);
  loop.worker = worker.get();
  if (touch_memory) touch_stack();
  if (wants_fifo) fifo_error = become_fifo();
}

int Datapath::fifo_error() const {
  for (const auto& core : cores_)
    if (core->fifo_error != 0) return core->fifo_error;
  return 0;
}

// A worker without a port's queue of its own hears of packets from worker 0, by its bell.
void Datapath::make_sleepers(const Ports& ports) {
  for (size_t index = 0; index < cores_.size(); index++) {
    Core& core = *cores_[index];
    if (core.bell == nullptr) continue;
    std::vector<PacketSignal> signals;
    bool hears_all = true;
    for (const auto& port : ports) {
      const bool shared = port->queues() != cores_.size();
      if (shared && index != 0) continue;
      signals.push_back(port->signal(static_cast<uint16_t>(index)));
      if (signals.back().exists()) continue;
      hears_all = false;
      const std::string name = port->name() + " (" + port->driver() + ")";
      if (std::find(ports_unheard_.begin(), ports_unheard_.end(), name) == ports_unheard_.end())
        ports_unheard_.push_back(name);
    }
    core.loop.idle = hears_all ? wait_rules : wait_unheard_rules;
    core.sleeper = std::make_unique<Sleeper>(*core.bell, std::move(signals));
    core.loop.sleeper = core.sleeper.get();
    for (size_t other = 0; other < cores_.size(); other++) {
      if (other == index) continue;
      Colleague& colleague = core.loop.colleagues.emplace_back(Colleague{
          .bell = cores_[other]->bell.get(),
          .lane = &mesh_.lane(static_cast<worker::WorkerIndex>(index), static_cast<worker::WorkerIndex>(other))});
      for (size_t port = 0; port < ports.size(); port++) {
        const SpreadLane* to = index == 0 ? cores_[other]->ends[port].lane.get() : nullptr;
        const SpreadLane* from = other == 0 ? core.ends[port].lane.get() : nullptr;
        if (to != nullptr) colleague.packets.push_back(to->to_branch);
        if (from != nullptr) colleague.packets.push_back(from->to_trunk);
      }
    }
  }
}

void Datapath::start(const Ports& ports) {
  make_sleepers(ports);
  for (size_t index = 0; index < cores_.size(); index++) {
    auto run = [](void* loop) {
      static_cast<CoreLoop*>(loop)->run();
      return 0;
    };
    CHECK(rte_eal_remote_launch(run, &cores_[index]->loop, lcore_of(index)) == 0);
  }
}

bool Datapath::join(base::Duration patience) {
  constexpr base::Duration step = std::chrono::milliseconds(1);
  for (size_t index = 0; index < cores_.size(); index++) {
    while (rte_eal_get_lcore_state(lcore_of(index)) != WAIT) {
      if (patience <= base::Duration::zero()) return false;
      const timespec pause{0, step.count()};
      nanosleep(&pause, nullptr);
      patience -= step;
    }
    rte_eal_wait_lcore(lcore_of(index));
  }
  for (auto& core : cores_) core->sleeper.reset();  // while the ports still run
  return true;
}

// Workers give their packets back to devices, devices theirs to rings and pools.
void Datapath::take_workers_apart() {
  for (auto& core : cores_) core->worker.reset();
}

Datapath::~Datapath() {
  take_workers_apart();
  for (auto& core : cores_)
    for (PortEnd& end : core->ends) end.device.reset();
}

}  // namespace talaria::app
