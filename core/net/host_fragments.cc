// Datagrams that came in pieces, of either family: put together, and then treated as if they had come in one.
#include "core/base/check.h"
#include "core/net/host.h"

namespace talaria::net {
namespace {

// The first piece holds the whole header of what it carries, and no other piece begins within it: what a filter on the
// way looked at is what arrives (RFC 1858 3, RFC 7112 5).
size_t header_bytes_of(uint8_t protocol) { return IpProtocol{protocol} == IpProtocol::tcp ? 20 : 8; }

}  // namespace

// Owns the packet.
void Host::on_fragment(Packet& packet, const EthernetHeader& ethernet, const Fragment& fragment, uint8_t hops,
                       base::Time now) {
  counters_.fragments_received.add();
  if (!fragments_) return drop(packet, counters_.drop_fragment);
  const size_t header = header_bytes_of(fragment.protocol);
  if (fragment.offset == 0 ? fragment.payload.size() < header : fragment.offset < header)
    return drop(packet, counters_.drop_fragment_malformed);

  const IpFamily family = fragment.key.source.family();
  const size_t payload_at = l4_offset(family);
  const size_t bytes_max = mtu() - ip_header_bytes(family);
  FragmentTable::Outcome outcome = fragments_->add(fragment, payload_at, bytes_max, now);
  if (outcome.evicted) counters_.drop_fragment_evicted.add();
  look_again_at(fragments_->next_deadline());
  const EthernetHeader from = ethernet;
  device_.release(packet);
  switch (outcome.result) {
    case FragmentResult::waiting:
    case FragmentResult::duplicate: return;
    case FragmentResult::malformed: return counters_.drop_fragment_malformed.add();
    case FragmentResult::overlap: return counters_.drop_fragment_overlap.add();
    case FragmentResult::too_big: return counters_.drop_fragment_too_big.add();
    case FragmentResult::given_up: return counters_.drop_fragment.add();
    case FragmentResult::no_packet: return counters_.no_packet.add();
    case FragmentResult::complete: break;
  }
  counters_.datagrams_reassembled.add();
  on_reassembled(outcome, fragment.key, from, hops, now);
}

// In one piece, with headers as if it had been sent so.
void Host::on_reassembled(FragmentTable::Outcome& whole, const FragmentKey& key, const EthernetHeader& from,
                          uint8_t hops, base::Time now) {
  Packet& packet = whole.packet;
  const IpFamily family = key.source.family();
  EthernetHeader ethernet = from;
  ethernet.vlan = config_.vlan;
  ethernet.type = family == IpFamily::v4 ? ethertype_ipv4 : ethertype_ipv6;
  const size_t ip_at = emit_ethernet(ethernet, packet.data);
  const size_t l4_at = l4_offset(family);
  CHECK(ip_at + ip_header_bytes(family) == l4_at);
  packet.length = static_cast<uint16_t>(l4_at + whole.bytes);
  if (family == IpFamily::v6) {
    const Ipv6Header ip{.payload_bytes = static_cast<uint16_t>(whole.bytes),
                        .next_header = whole.protocol,
                        .hop_limit = hops,
                        .source = key.source,
                        .destination = key.destination};
    emit_ipv6(ip, packet.data + ip_at);
    if (device_.pass_on(packet)) return;
    const L4 l4{
        .protocol = whole.protocol, .bytes = packet.bytes().subspan(l4_at), .from = from.source, .from_pieces = true};
    return on_ipv6_payload(packet, ip, l4, now);
  }
  const Ipv4Header ip{.total_bytes = static_cast<uint16_t>(ipv4_header_bytes + whole.bytes),
                      .time_to_live = hops,
                      .protocol = whole.protocol,
                      .source = key.source.v4(),
                      .destination = key.destination.v4()};
  emit_ipv4(ip, packet.data + ip_at, true);
  if (device_.pass_on(packet)) return;
  on_ipv4_payload(packet, ip, packet.bytes().subspan(ip_at), now);
}

}  // namespace talaria::net
