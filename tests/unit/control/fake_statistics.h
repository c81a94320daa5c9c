// Figures of two workers that never were.
#pragma once

#include "control/statistics.h"

namespace talaria::control {

class FakeStatistics final : public Statistics {
 public:
  broker::WorkerIndex workers() const override { return 2; }
  WorkerFigures worker(broker::WorkerIndex index) const override {
    WorkerFigures figures;
    figures.core = index + 2u;
    figures.busy_ns = busy;
    figures.asleep_ns = asleep;
    figures.turn_lengths = &turns[index];
    figures.packets_in = packets;
    figures.longest_turn_ns = 2500;
    figures.refusals = {{"tcp drop_bad_checksum", 3}};
    figures.message_latency = &latency[index];
    return figures;
  }
  std::vector<LayerCount> counters(broker::WorkerIndex) const override { return {{"tcp", "drop_bad_checksum", 3}}; }
  std::vector<PortFigures> ports() const override {
    PortFigures port;
    port.name = "net_tap0";
    port.link_up = true;
    port.total = {10, 1000, 20, 2000};
    port.queues = {{10, 1000, 20, 2000}};
    port.drops = {{"no buffer", 1}};
    return {port};
  }
  bool connection(const broker::SessionAddress&, ConnectionFigures& figures) const override {
    figures.bytes_in = 77;
    figures.blocked = true;
    return true;
  }

  uint64_t busy = 0, asleep = 0, packets = 0;
  base::Histogram latency[2];
  base::FineHistogram turns[2];
};

}  // namespace talaria::control
