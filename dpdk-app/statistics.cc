#include "dpdk-app/statistics.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "core/net/ethernet.h"

namespace talaria::app {
namespace {

using control::NamedCount;

// Counters are named in their layers; those that tell of something refused, dropped or lacking begin or end like this.
bool tells_of_trouble(std::string_view name) {
  constexpr std::array beginnings = {"drop_", "refused_", "no_", "transmit_refused", "bad_", "half_open_full"};
  constexpr std::array anywhere = {"_limited", "_rejected",   "_full",       "_dropped", "_timeout", "timed_out",
                                   "_reset",   "conflicts",   "_unresolved", "_stalled", "_lost",    "_missed",
                                   "_stale",   "_unroutable", "_refused",    "_cut"};
  return std::any_of(beginnings.begin(), beginnings.end(), [&](auto start) { return name.starts_with(start); }) ||
         std::any_of(anywhere.begin(), anywhere.end(),
                     [&](auto part) { return name.find(part) != std::string_view::npos; });
}

// ("tcp", "drop_bad_checksum") -> "tcp bad checksum"
std::string in_words(std::string_view layer, std::string_view name) {
  if (name.starts_with("drop_")) name.remove_prefix(5);
  std::string words = std::string(layer) + " " + std::string(name);
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

class Troubles {
 public:
  auto of(std::string_view layer) {
    return [this, layer](std::string_view name, uint64_t value) {
      if (value != 0 && tells_of_trouble(name)) list_.emplace_back(in_words(layer, name), value);
    };
  }
  void add(std::string words, uint64_t value) {
    if (value != 0) list_.emplace_back(std::move(words), value);
  }
  std::vector<NamedCount> take() { return std::move(list_); }

 private:
  std::vector<NamedCount> list_;
};

}  // namespace

control::WorkerFigures Statistics::worker(broker::WorkerIndex index) const {
  const worker::Worker& worker = datapath_.worker(index);
  const worker::WorkerCounters& counters = worker.counters();
  const net::HostCounters& host = worker.host().counters();
  const auto& sessions = worker.sessions().counters();
  const broker::EngineCounters& engine = worker.engine().counters();
  const DeviceCounters& device = datapath_.device_counters(index);

  control::WorkerFigures figures;
  figures.core = plan_.workers[index];
  figures.isolated = std::find(isolated_.begin(), isolated_.end(), figures.core) != isolated_.end();
  figures.turns_busy = counters.turns_busy.value();
  figures.turns_idle = counters.turns_idle.value();
  figures.packets_in = host.frames_received.value();
  figures.packets_out = host.frames_sent.value();
  figures.messages_in = sessions.messages_published.value();
  figures.messages_out = sessions.messages_delivered.value() + sessions.messages_got.value();
  figures.longest_turn_ns = counters.longest_turn_ns.value();
  figures.connections = sessions.connections_open.value();
  figures.pool_used = counters.message_bytes_used.value();
  figures.pool_total = uint64_t{settings_.memory_mib} << 20;
  figures.message_latency = &counters.message_latency;

  Troubles troubles;
  troubles.add("device long frame", device.drop_long_frame.value());
  troubles.add("device unpreparable packet", device.drop_unpreparable.value());
  troubles.add("device worker does not keep up", device.drop_spread_full.value());
  troubles.add("device no transmit packet", device.no_transmit_packet.value());
  troubles.add("device transmit full", device.transmit_full.value());
  host.for_each(troubles.of("ip"));
  worker.stack().counters().for_each(troubles.of("tcp"));
  sessions.for_each(troubles.of("amqp"));
  for (amqp091::wire::ReplyCode code : amqp091::session::ErrorCounters::codes) {
    const std::string number = std::to_string(static_cast<unsigned>(code));
    troubles.add("amqp channel error " + number, sessions.channel_errors.value(code));
    troubles.add("amqp connection error " + number, sessions.connection_errors.value(code));
  }
  troubles.add("broker refused for memory", engine.refused_no_memory.value());
  troubles.add("broker stored nowhere", engine.stored_nowhere.value());
  troubles.add("mailbox to a peer full", counters.peers_congested.value());
  figures.refusals = troubles.take();
  return figures;
}

std::vector<control::PortFigures> Statistics::ports() const {
  control::PortFigures figures;
  figures.name = port_.name();
  figures.driver = port_.driver();
  figures.mac = net::to_text(port_.capabilities().mac);
  figures.address = net::to_text(settings_.address) + "/" + std::to_string(settings_.prefix_length);
  const Link link = port_.link();
  figures.link_up = link.up;
  figures.speed_mbps = link.speed_mbps;
  figures.mtu = port_.capabilities().mtu;
  figures.numa_node = port_.numa_node();
  const Port::Statistics port = port_.statistics();
  figures.total = {port.packets_in, port.bytes_in, port.packets_out, port.bytes_out};
  figures.drops = port.drops;
  // Worker k has queue k; where one queue is shared it is worker 0's device that counts it.
  for (size_t queue = 0; queue < port_.agreement().queues; queue++) {
    const DeviceCounters& device = datapath_.device_counters(queue);
    figures.queues.push_back(
        {device.packets_in.value(), device.bytes_in.value(), device.packets_out.value(), device.bytes_out.value()});
    figures.drops.emplace_back("queue " + std::to_string(queue) + ": frame too long", device.drop_long_frame.value());
    figures.drops.emplace_back("queue " + std::to_string(queue) + ": worker does not keep up",
                               device.drop_spread_full.value());
  }
  return {std::move(figures)};
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
             .segment_size = static_cast<uint16_t>(info.segment_size.value())};
  return is_it();
}

}  // namespace talaria::app
