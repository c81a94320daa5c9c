// What one host counts. Every frame that is not taken has its reason here. Written by the worker, read by anybody.
#pragma once

#include "core/base/counters.h"

namespace talaria::net {

struct HostCounters {
  base::Counter frames_received, bytes_received, frames_sent, bytes_sent;
  base::Counter tcp_received, arp_received, icmp_received, udp_received, ndp_received, dhcp_received,
      mld_queries_received;
  base::Counter fragments_received, datagrams_reassembled;

  base::Counter drop_short_frame, drop_other_mac, drop_other_vlan, drop_unknown_ethertype;
  base::Counter drop_bad_arp, drop_bad_ndp, drop_bad_mld, drop_bad_ip_header, drop_bad_ip_checksum;
  base::Counter drop_ip_extension;  // an IPv6 extension header that is malformed, one too many, or asks to be refused
  base::Counter drop_other_address, drop_bad_source;
  base::Counter drop_fragment;            // not put together here, or of a datagram that was given up
  base::Counter drop_fragment_malformed;  // of a length that cannot be, or too short to hold the header behind IP's
  base::Counter drop_fragment_overlap, drop_fragment_too_big, drop_fragment_evicted, drop_fragment_timeout;
  base::Counter drop_unknown_protocol, drop_bad_icmp, drop_icmp_other;

  base::Counter icmp_errors;  // about TCP segments of ours
  base::Counter echo_replies, port_unreachables, port_unreachables_limited;
  base::Counter arp_requests_sent, arp_replies_sent, neighbor_solicitations_sent, neighbor_advertisements_sent;
  base::Counter mld_reports_sent;
  base::Counter address_conflicts;
  base::Counter neighbors_moved;  // a known address was heard of from another MAC address
  base::Counter neighbor_table_full, neighbor_unresolved;
  base::Counter drop_unresolved_overflow;  // waited for an address, pushed out by a later packet
  base::Counter drop_unresolved_timeout;   // nobody answered
  base::Counter drop_no_route;             // outside our networks, and no route leads there
  base::Counter drop_transmit_queue_full;  // sent although transmit_room() was 0: only answers of this layer and resets
  base::Counter transmit_refused;          // times the port took less than it was offered (not a drop)
  base::Counter no_packet;                 // the device had no packet to write into (not a drop)

  // Calls `visit(name, value)` for each, in the order above.
  template <class Visitor>
  void for_each(Visitor&& visit) const;
};

template <class Visitor>
void HostCounters::for_each(Visitor&& visit) const {
  static_assert(sizeof(HostCounters) == 53 * sizeof(base::Counter), "a counter is missing below");
  visit("frames_received", frames_received.value());
  visit("bytes_received", bytes_received.value());
  visit("frames_sent", frames_sent.value());
  visit("bytes_sent", bytes_sent.value());
  visit("tcp_received", tcp_received.value());
  visit("arp_received", arp_received.value());
  visit("icmp_received", icmp_received.value());
  visit("udp_received", udp_received.value());
  visit("ndp_received", ndp_received.value());
  visit("dhcp_received", dhcp_received.value());
  visit("mld_queries_received", mld_queries_received.value());
  visit("fragments_received", fragments_received.value());
  visit("datagrams_reassembled", datagrams_reassembled.value());
  visit("drop_short_frame", drop_short_frame.value());
  visit("drop_other_mac", drop_other_mac.value());
  visit("drop_other_vlan", drop_other_vlan.value());
  visit("drop_unknown_ethertype", drop_unknown_ethertype.value());
  visit("drop_bad_arp", drop_bad_arp.value());
  visit("drop_bad_ndp", drop_bad_ndp.value());
  visit("drop_bad_mld", drop_bad_mld.value());
  visit("drop_bad_ip_header", drop_bad_ip_header.value());
  visit("drop_bad_ip_checksum", drop_bad_ip_checksum.value());
  visit("drop_ip_extension", drop_ip_extension.value());
  visit("drop_other_address", drop_other_address.value());
  visit("drop_bad_source", drop_bad_source.value());
  visit("drop_fragment", drop_fragment.value());
  visit("drop_fragment_malformed", drop_fragment_malformed.value());
  visit("drop_fragment_overlap", drop_fragment_overlap.value());
  visit("drop_fragment_too_big", drop_fragment_too_big.value());
  visit("drop_fragment_evicted", drop_fragment_evicted.value());
  visit("drop_fragment_timeout", drop_fragment_timeout.value());
  visit("drop_unknown_protocol", drop_unknown_protocol.value());
  visit("drop_bad_icmp", drop_bad_icmp.value());
  visit("drop_icmp_other", drop_icmp_other.value());
  visit("icmp_errors", icmp_errors.value());
  visit("echo_replies", echo_replies.value());
  visit("port_unreachables", port_unreachables.value());
  visit("port_unreachables_limited", port_unreachables_limited.value());
  visit("arp_requests_sent", arp_requests_sent.value());
  visit("arp_replies_sent", arp_replies_sent.value());
  visit("neighbor_solicitations_sent", neighbor_solicitations_sent.value());
  visit("neighbor_advertisements_sent", neighbor_advertisements_sent.value());
  visit("mld_reports_sent", mld_reports_sent.value());
  visit("address_conflicts", address_conflicts.value());
  visit("neighbors_moved", neighbors_moved.value());
  visit("neighbor_table_full", neighbor_table_full.value());
  visit("neighbor_unresolved", neighbor_unresolved.value());
  visit("drop_unresolved_overflow", drop_unresolved_overflow.value());
  visit("drop_unresolved_timeout", drop_unresolved_timeout.value());
  visit("drop_no_route", drop_no_route.value());
  visit("drop_transmit_queue_full", drop_transmit_queue_full.value());
  visit("transmit_refused", transmit_refused.value());
  visit("no_packet", no_packet.value());
}

}  // namespace talaria::net
