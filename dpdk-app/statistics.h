// control::Statistics over the workers' single-writer counters and the ports' own statistics. The control thread alone
// calls it; nothing here touches the datapath but by reading.
#pragma once

#include "control/statistics.h"
#include "dpdk-app/datapath.h"
#include "dpdk-app/port.h"
#include "dpdk-app/settings.h"

namespace talaria::app {

class Statistics final : public control::Statistics {
 public:
  // Everything outlives the statistics.
  Statistics(const Settings& settings, const CorePlan& plan, const std::vector<unsigned>& isolated, const Ports& ports,
             const Datapath& datapath)
      : settings_(settings), plan_(plan), isolated_(isolated), ports_(ports), datapath_(datapath) {}

  broker::WorkerIndex workers() const override { return static_cast<broker::WorkerIndex>(datapath_.size()); }
  control::WorkerFigures worker(broker::WorkerIndex index) const override;
  std::vector<control::LayerCount> counters(broker::WorkerIndex index) const override;
  std::vector<control::PortFigures> ports() const override;
  bool connection(const broker::SessionAddress& session, control::ConnectionFigures& figures) const override;

 private:
  control::PortFigures port(size_t index) const;

  const Settings& settings_;
  const CorePlan& plan_;
  const std::vector<unsigned>& isolated_;
  const Ports& ports_;
  const Datapath& datapath_;
};

}  // namespace talaria::app
