// Every counter of one worker and what it stands on, by layer and name. The layers list their own counters (for_each,
// which does not build when one is missing there); this lists the layers. Only reading: any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/statistics.h"
#include "core/amqp091/session/counters.h"
#include "core/broker/engine.h"
#include "core/broker/message_pool.h"
#include "core/net/host.h"
#include "core/tcp/counters.h"
#include "core/worker/counters.h"
#include "dpdk-app/dpdk_device.h"

namespace talaria::app {

// Of one port.
struct PortCounterSources {
  std::string name;
  const DeviceCounters& device;
  const net::HostCounters& host;
};

struct CounterSources {
  std::vector<PortCounterSources> ports;
  const tcp::StackCounters& stack;
  const amqp091::session::SessionCounters& sessions;
  const broker::EngineCounters& engine;
  const broker::PoolCounters& pool;
  const worker::WorkerCounters& worker;
};

// In the order of the walk. With several ports the layers "device" and "ip" stand once for each, as "ip/talaria0". The
// histogram of latencies is no counter: it has a verb of its own.
std::vector<control::LayerCount> list_counters(const CounterSources& sources);

// True for what counts a broker's daily work. Whatever is not named here tells of something refused, dropped, lacking
// or given up, so that a new counter is shown as such until somebody says that it is not.
bool is_daily_work(std::string_view layer, std::string_view name);

// For the test, which knows whether each is still there.
std::vector<control::LayerCount> daily_work();

}  // namespace talaria::app
