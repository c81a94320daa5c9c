#include "core/net/icmp.h"

#include "core/net/ipv4.h"

namespace talaria::net {

std::optional<IcmpMessage> parse_icmp(base::Bytes bytes) {
  if (bytes.size() < icmp_header_bytes) return {};
  if (checksum_fold(checksum_add(0, bytes)) != 0xffff) return {};
  return IcmpMessage{.type = bytes[0], .code = bytes[1], .body = bytes.subspan(4)};
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
