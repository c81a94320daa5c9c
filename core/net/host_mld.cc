// Who listens to what, in IPv6 (RFC 3810): of the workers the one that announces reports.
#include <algorithm>

#include "core/net/ethernet.h"
#include "core/net/host.h"
#include "core/net/icmpv6.h"
#include "core/net/ipv6.h"
#include "core/net/mld.h"

namespace talaria::net {

void Host::on_mld_query(const Ipv6Header& ip, const Icmpv6Message& message, base::Time now) {
  const auto query = parse_mld_query(message.body);
  // From beyond a router it would be somebody who wants to hear us all at once (RFC 3810 5.1.14).
  if (!query || ip.hop_limit != 1 || !ip.source.is_link_local()) return counters_.drop_bad_mld.add();
  counters_.mld_queries_received.add();
  if (!config_.announce) return hear_for_another({.kind = Heard::Kind::membership, .query = *query});
  mld_.on_query(*query, now);
  look_again_at(mld_.next_deadline());
}

void Host::report_groups(base::Time now) {
  const auto report = mld_.on_time(now);
  look_again_at(mld_.next_deadline());
  if (!report || !autoconfiguration_) return;
  std::vector<IpAddress> groups;
  autoconfiguration_->for_each_address([&](const IpAddress& address) {
    const IpAddress group = solicited_node_group(address);
    if (std::find(groups.begin(), groups.end(), group) == groups.end()) groups.push_back(group);
  });
  std::vector<uint8_t> body(4 + groups.size() * mld_record_bytes);
  if (!report->version_1) {
    emit_mld_report_v2(groups, report->changed, body.data());
    return send_mld({.type = mld_report_v2, .code = 0, .body = body}, mld_reports_group);
  }
  body.resize(mld_report_v1_bytes);
  for (const IpAddress& group : groups) {
    emit_mld_report_v1(group, body.data());
    send_mld({.type = mld_report_v1, .code = 0, .body = body}, group);
  }
}

// From nobody as long as no address is known to be ours (RFC 3590).
void Host::send_mld(const Icmpv6Message& message, const IpAddress& destination) {
  Packet packet = allocate();
  if (!packet) return;
  counters_.mld_reports_sent.add();
  const IpAddress own = autoconfiguration_->link_local().address;
  const IpAddress source = routing_.is_ours(own) ? own : IpAddress();
  uint8_t* extension = packet.data + l4_offset(IpFamily::v6);
  std::copy(std::begin(mld_hop_by_hop), std::end(mld_hop_by_hop), extension);
  const size_t bytes = emit_icmpv6(message, source, destination, extension + sizeof mld_hop_by_hop);
  packet.length = static_cast<uint16_t>(l4_offset(IpFamily::v6) + sizeof mld_hop_by_hop + bytes);
  write_ipv6(packet, source, destination, IpProtocol::hop_by_hop, 1);
  write_ethernet(packet, group_mac(destination), ethertype_ipv6);
  enqueue(packet);
}

}  // namespace talaria::net
