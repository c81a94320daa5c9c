#include "core/net/icmp.h"

#include "core/net/ipv4.h"

namespace talaria::net {

std::optional<IcmpMessage> parse_icmp(base::Bytes bytes) {
  if (bytes.size() < icmp_header_bytes) return {};
  if (checksum_fold(checksum_add(0, bytes)) != 0xffff) return {};
  return IcmpMessage{.type = bytes[0], .code = bytes[1], .body = bytes.subspan(4)};
}

std::optional<IcmpError> parse_icmp_error(const IcmpMessage& message) {
  if (message.type != icmp_unreachable || message.body.size() < 4 + ipv4_header_bytes + quoted_tcp_bytes) return {};
  const uint8_t* ip = message.body.data() + 4;
  const size_t header_bytes = static_cast<size_t>(ip[0] & 15) * 4;
  const bool first_fragment = (base::load_be16(ip + 6) & 0x1fff) == 0;
  if (ip[0] >> 4 != 4 || header_bytes < ipv4_header_bytes || !first_fragment ||
      ip[9] != static_cast<uint8_t>(IpProtocol::tcp) || message.body.size() < 4 + header_bytes + quoted_tcp_bytes)
    return {};
  const uint8_t* tcp = ip + header_bytes;
  return IcmpError{.too_big = message.code == icmp_code_fragmentation_needed,
                   .next_hop_mtu = base::load_be16(message.body.data() + 2),
                   .source = Ipv4Address{base::load_be32(ip + 12)},
                   .destination = Ipv4Address{base::load_be32(ip + 16)},
                   .source_port = base::load_be16(tcp),
                   .destination_port = base::load_be16(tcp + 2),
                   .sequence = base::load_be32(tcp + 4)};
}

size_t emit_icmp(const IcmpMessage& message, uint8_t* to) {
  size_t total = 4 + message.body.size();
  to[0] = message.type;
  to[1] = message.code;
  base::store_be16(to + 2, 0);
  if (!message.body.empty()) std::memcpy(to + 4, message.body.data(), message.body.size());
  base::store_be16(to + 2, static_cast<uint16_t>(~checksum_fold(checksum_add(0, {to, total}))));
  return total;
}

}  // namespace talaria::net
