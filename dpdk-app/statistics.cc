#include "dpdk-app/statistics.h"

#include <algorithm>

#include "core/net/ethernet.h"
#include "dpdk-app/counters.h"

namespace talaria::app {
namespace {

CounterSources sources_of(const Datapath& datapath, const Ports& ports, broker::WorkerIndex index) {
  const worker::Worker& worker = datapath.worker(index);
  std::vector<PortCounterSources> of_ports;
  for (size_t port = 0; port < ports.size(); port++)
    of_ports.push_back({ports[port]->name(), datapath.device_counters(index, port), worker.host(port).counters()});
  return {std::move(of_ports),        worker.stack().counters(), worker.sessions().counters(),
          worker.engine().counters(), worker.pool().counters(),  worker.counters()};
}

}  // namespace

control::WorkerFigures Statistics::worker(broker::WorkerIndex index) const {
  const CounterSources sources = sources_of(datapath_, ports_, index);
  const worker::WorkerCounters& counted = sources.worker;
  const amqp091::session::SessionCounters& sessions = sources.sessions;

  control::WorkerFigures figures;
  figures.core = plan_.workers[index];
  figures.isolated = std::find(isolated_.begin(), isolated_.end(), figures.core) != isolated_.end();
  figures.turns_busy = counted.turns_busy.value();
  figures.turns_idle = counted.turns_idle.value();
  figures.busy_ns = counted.busy_ns.value();
  figures.asleep_ns = counted.asleep_ns.value();
  for (const PortCounterSources& port : sources.ports) {
    figures.packets_in += port.host.frames_received.value();
    figures.packets_out += port.host.frames_sent.value();
  }
  figures.messages_in = sessions.messages_published.value();
  figures.messages_out = sessions.messages_delivered.value() + sessions.messages_got.value();
  figures.longest_turn_ns = counted.longest_turn_ns.value();
  figures.connections = sessions.connections_open.value();
  figures.pool_used = counted.message_bytes_used.value();
  figures.pool_total = uint64_t{settings_.memory_mib} << 20;
  figures.message_latency = &counted.message_latency;
  figures.turn_lengths = &datapath_.turn_lengths(index);

  for (const control::LayerCount& each : counters(index))
    if (each.value != 0 && !is_daily_work(each.layer, each.name))
      figures.refusals.emplace_back(each.layer + " " + each.name, each.value);
  return figures;
}

std::vector<control::LayerCount> Statistics::counters(broker::WorkerIndex index) const {
  return list_counters(sources_of(datapath_, ports_, index));
}

std::vector<control::PortFigures> Statistics::ports() const {
  std::vector<control::PortFigures> all;
  for (size_t index = 0; index < ports_.size(); index++) all.push_back(port(index));
  return all;
}

control::PortFigures Statistics::port(size_t index) const {
  const Port& port = *ports_[index];
  control::PortFigures figures;
  figures.name = port.name();
  figures.driver = port.driver();
  figures.mac = net::to_text(port.capabilities().mac);
  figures.address = addresses_text(settings_.ports[index]);
  const Link link = port.link();
  figures.link_up = link.up;
  figures.speed_mbps = link.speed_mbps;
  figures.mtu = port.capabilities().mtu;
  figures.numa_node = port.numa_node();
  const Port::Statistics counted = port.statistics();
  figures.total = {counted.packets_in, counted.bytes_in, counted.packets_out, counted.bytes_out};
  figures.drops = counted.drops;
  // Worker k has queue k; where one queue is shared it is worker 0's device that counts it.
  for (size_t queue = 0; queue < port.queues(); queue++) {
    const DeviceCounters& device = datapath_.device_counters(queue, index);
    figures.queues.push_back(
        {device.packets_in.value(), device.bytes_in.value(), device.packets_out.value(), device.bytes_out.value()});
    figures.drops.emplace_back("queue " + std::to_string(queue) + ": frame too long", device.drop_long_frame.value());
    figures.drops.emplace_back("queue " + std::to_string(queue) + ": worker does not keep up",
                               device.drop_spread_full.value());
  }
  return figures;
}

bool Statistics::connection(const broker::SessionAddress& session, control::ConnectionFigures& figures) const {
  if (session.worker >= datapath_.size()) return false;
  const auto infos = datapath_.worker(session.worker).sessions().infos();
  if (session.session.slot >= infos.size()) return false;
  const auto& info = infos[session.session.slot];
  const auto is_it = [&] { return info.generation.value() == session.session.generation; };
  if (!is_it()) return false;
  figures = {.bytes_in = info.bytes_in.value(),
             .bytes_out = info.bytes_out.value(),
             .messages_in = info.messages_in.value(),
             .messages_out = info.messages_out.value(),
             .send_buffered = info.send_buffered.value(),
             .unacknowledged = info.unacknowledged.value(),
             .blocked = info.blocked.value() != 0,
             .smoothed_rtt_ns = info.smoothed_rtt_ns.value(),
             .congestion_window = info.congestion_window.value(),
             .peer_window = info.peer_window.value(),
             .retransmissions = info.retransmissions.value(),
             .segment_size = static_cast<uint16_t>(info.segment_size.value()),
             .out_of_order = info.out_of_order.value(),
             .reordered = info.reordered.value(),
             .zero_window_ns = info.zero_window_ns.value(),
             .last_stall = tcp::to_text(static_cast<tcp::Stall>(info.last_stall.value())),
             .last_stall_at = base::Time(base::Duration(static_cast<int64_t>(info.last_stall_at_ns.value())))};
  return is_it();
}

}  // namespace talaria::app
