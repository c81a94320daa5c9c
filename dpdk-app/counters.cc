#include "dpdk-app/counters.h"

#include <algorithm>
#include <string>

namespace talaria::app {
namespace {

using control::LayerCount;

struct Layer {
  std::string_view name;
  std::vector<std::string_view> daily_work;
};

// Layers are named as operators see them in `talariactl counters`.
const std::vector<Layer>& layers() {
  static const std::vector<Layer> list = {
      {"device", {"packets_in", "bytes_in", "packets_out", "bytes_out", "carried"}},
      {"ip",
       {"frames_received",
        "bytes_received",
        "frames_sent",
        "bytes_sent",
        "tcp_received",
        "arp_received",
        "icmp_received",
        "udp_received",
        "echo_replies",
        "port_unreachables",
        "arp_requests_sent",
        "arp_replies_sent",
        "ndp_received",
        "dhcp_received",
        "neighbor_solicitations_sent",
        "neighbor_advertisements_sent",
        "mld_queries_received",
        "mld_reports_sent",
        "fragments_received",
        "datagrams_reassembled"}},
      {"tcp",
       {"segments_received", "segments_sent", "bytes_received", "bytes_sent", "predicted", "connections_opened_passive",
        "connections_opened_active", "connections_closed", "closed_finished", "syn_received", "cookies_accepted",
        "time_wait_entered", "time_wait_reused",
        // Loss on the way, and what TCP does about it.
        "retransmitted_segments", "fast_retransmits", "timeouts", "limited_transmits", "tail_probes",
        "tail_losses_repaired", "reordering_timeouts", "recoveries_undone", "black_holes", "icmp_ignored",
        "out_of_order", "duplicate_segments", "duplicate_acks",
        // Ordinary answers.
        "zero_window_probes", "keepalive_probes", "delayed_acks", "pure_acks_sent", "window_updates_sent",
        "challenge_acks_sent", "resets_sent", "resets_received",
        // What there is at the moment.
        "connections_open", "half_open_entries", "time_wait_entries", "send_chunks_used", "shared_slices_used",
        "receive_chunks_used", "flight_records_used"}},
      {"amqp", {"frames_in",          "frames_out",         "messages_published",       "messages_delivered",
                "messages_got",       "messages_returned",  "messages_confirmed",       "messages_acknowledged",
                "messages_requeued",  "deliveries_unsent",  "transactions_committed",   "delayed_waiting",
                "delayed_published",  "history_published",  "transactions_rolled_back", "connections_accepted",
                "connections_opened", "connections_closed", "channels_opened",          "connections_open",
                "channels_open",      "consumers",          "announcements_published",  "traces_published"}},
      {"broker", {"published", "stored", "delivered", "got", "settled", "queues_left", "queues_arrived"}},
      {"pool", {"messages"}},
      {"worker",
       {"turns_busy", "turns_idle", "longest_turn_ns", "busy_ns", "asleep_ns", "operations_sent", "operations_received",
        "events_sent", "events_received", "releases_sent", "peer_pushes", "changes_applied", "message_bytes_used"}},
  };
  return list;
}

}  // namespace

std::vector<LayerCount> list_counters(const CounterSources& sources) {
  std::vector<LayerCount> counts;
  auto of = [&counts](const std::string& layer) {
    return [&counts, layer](const char* name, uint64_t value) { counts.push_back({layer, name, value}); };
  };
  for (const PortCounterSources& port : sources.ports) {
    const std::string which = sources.ports.size() > 1 ? "/" + port.name : "";
    port.device.for_each(of("device" + which));
    port.host.for_each(of("ip" + which));
  }
  sources.stack.for_each(of("tcp"));
  sources.sessions.for_each(of("amqp"));
  for (amqp091::wire::ReplyCode code : amqp091::session::ErrorCounters::codes)
    counts.push_back({"amqp", "channel_error_" + std::to_string(static_cast<unsigned>(code)),
                      sources.sessions.channel_errors.value(code)});
  for (amqp091::wire::ReplyCode code : amqp091::session::ErrorCounters::codes)
    counts.push_back({"amqp", "connection_error_" + std::to_string(static_cast<unsigned>(code)),
                      sources.sessions.connection_errors.value(code)});
  sources.engine.for_each(of("broker"));
  sources.pool.for_each(of("pool"));
  sources.worker.for_each(of("worker"));
  return counts;
}

bool is_daily_work(std::string_view layer, std::string_view name) {
  const std::string_view kind = layer.substr(0, layer.find('/'));
  return std::any_of(layers().begin(), layers().end(), [&](const Layer& each) {
    return each.name == kind &&
           std::find(each.daily_work.begin(), each.daily_work.end(), name) != each.daily_work.end();
  });
}

std::vector<LayerCount> daily_work() {
  std::vector<LayerCount> list;
  for (const Layer& layer : layers())
    for (std::string_view name : layer.daily_work) list.push_back({std::string(layer.name), std::string(name), 0});
  return list;
}

}  // namespace talaria::app
