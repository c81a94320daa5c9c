#include "core/net/ethernet.h"

#include <algorithm>

namespace talaria::net {

std::string to_text(const MacAddress& mac) {
  constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (uint8_t byte : mac) {
    if (!out.empty()) out += ':';
    out += digits[byte >> 4];
    out += digits[byte & 0xf];
  }
  return out;
}

std::optional<EthernetHeader> parse_ethernet(base::Bytes frame) {
  if (frame.size() < ethernet_header_bytes) return {};
  EthernetHeader header;
  std::copy_n(frame.data(), 6, header.destination.begin());
  std::copy_n(frame.data() + 6, 6, header.source.begin());
  header.type = base::load_be16(frame.data() + 12);
  if (header.type == ethertype_vlan) {
    if (frame.size() < ethernet_header_bytes + vlan_tag_bytes) return {};
    uint16_t id = base::load_be16(frame.data() + 14) & 0xfff;
    if (id != 0) header.vlan = id;
    header.type = base::load_be16(frame.data() + 16);
    header.bytes = ethernet_header_bytes + vlan_tag_bytes;
  }
  return header;
}

size_t emit_ethernet(const EthernetHeader& header, uint8_t* to) {
  std::copy_n(header.destination.begin(), 6, to);
  std::copy_n(header.source.begin(), 6, to + 6);
  size_t at = 12;
  if (header.vlan) {
    base::store_be16(to + 12, ethertype_vlan);
    base::store_be16(to + 14, *header.vlan & 0xfff);
    at = 16;
  }
  base::store_be16(to + at, header.type);
  return at + 2;
}

}  // namespace talaria::net
