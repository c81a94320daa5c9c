#include "core/net/ipv6.h"

namespace talaria::net {
namespace {

enum NextHeader : uint8_t {
  hop_by_hop = 0,
  routing = 43,
  fragment_header = 44,
  no_next_header = 59,
  destination_options = 60,
};

// RFC 8200 4.2: the two highest bits of an option that is not known say what becomes of the packet; only 00 skips it.
bool options_allow(base::Bytes options) {
  for (size_t at = 0; at < options.size();) {
    if (options[at] == 0) {  // Pad1
      at++;
      continue;
    }
    if (at + 2 > options.size() || at + 2 + options[at + 1] > options.size()) return false;
    if (options[at] >> 6 != 0) return false;
    at += 2u + options[at + 1];
  }
  return true;
}

}  // namespace

std::expected<Ipv6Header, Ipv6Error> parse_ipv6(base::Bytes bytes) {
  if (bytes.size() < ipv6_header_bytes) return std::unexpected(Ipv6Error::too_short);
  const uint8_t* at = bytes.data();
  if (at[0] >> 4 != 6) return std::unexpected(Ipv6Error::bad_version);
  Ipv6Header header;
  header.payload_bytes = base::load_be16(at + 4);
  if (header.payload_bytes > bytes.size() - ipv6_header_bytes) return std::unexpected(Ipv6Error::bad_length);
  header.next_header = at[6];
  header.hop_limit = at[7];
  header.source = load_ipv6_address(at + 8);
  header.destination = load_ipv6_address(at + 24);
  return header;
}

void emit_ipv6(const Ipv6Header& header, uint8_t* to) {
  base::store_be32(to, 0x60000000);
  base::store_be16(to + 4, header.payload_bytes);
  to[6] = header.next_header;
  to[7] = header.hop_limit;
  store_ipv6_address(to + 8, header.source);
  store_ipv6_address(to + 24, header.destination);
}

std::expected<Ipv6Payload, Ipv6Error> skip_extensions(const Ipv6Header& header, base::Bytes datagram) {
  Ipv6Payload payload{.protocol = header.next_header, .bytes = datagram.subspan(ipv6_header_bytes)};
  for (size_t count = 0;; count++) {
    const bool is_extension = payload.protocol == hop_by_hop || payload.protocol == routing ||
                              payload.protocol == fragment_header || payload.protocol == destination_options;
    if (payload.protocol == no_next_header) return std::unexpected(Ipv6Error::nothing_behind_it);
    if (!is_extension) return payload;
    const base::Bytes bytes = payload.bytes;
    if (count == ipv6_extensions_max || bytes.size() < 8 || (payload.protocol == hop_by_hop && count != 0))
      return std::unexpected(Ipv6Error::bad_extension);
    if (payload.protocol == fragment_header) {
      const uint16_t field = base::load_be16(bytes.data() + 2);
      const Ipv6Fragment fragment{.next_header = bytes[0],
                                  .offset = field & 0xfff8u,
                                  .more = (field & 1) != 0,
                                  .identification = base::load_be32(bytes.data() + 4)};
      payload.protocol = bytes[0];
      payload.bytes = bytes.subspan(8);
      if (fragment.is_atomic()) continue;
      payload.fragment = fragment;
      return payload;
    }
    const size_t length = 8 + size_t{bytes[1]} * 8;
    if (length > bytes.size()) return std::unexpected(Ipv6Error::bad_extension);
    // A source route that is not at its end asks us to forward; a host does not (RFC 8200 4.4).
    if (payload.protocol == routing ? bytes[3] != 0 : !options_allow(bytes.subspan(2, length - 2)))
      return std::unexpected(Ipv6Error::refused_extension);
    payload.protocol = bytes[0];
    payload.bytes = bytes.subspan(length);
  }
}

}  // namespace talaria::net
