#include "core/net/ipv4.h"

#include <charconv>

namespace talaria::net {

std::optional<Ipv4Address> parse_ipv4_address(std::string_view text) {
  uint32_t value = 0;
  const char* at = text.data();
  const char* end = at + text.size();
  for (int part = 0; part < 4; part++) {
    if (part > 0 && (at == end || *at++ != '.')) return {};
    uint32_t number = 0;
    auto [next, error] = std::from_chars(at, end, number);
    bool leading_zero = next - at > 1 && *at == '0';  // "010" is eight to some and ten to others
    if (error != std::errc{} || number > 255 || leading_zero) return {};
    value = value << 8 | number;
    at = next;
  }
  if (at != end) return {};
  return Ipv4Address{value};
}

std::string to_text(Ipv4Address address) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) {
    if (!out.empty()) out += '.';
    out += std::to_string(address.value >> shift & 0xff);
  }
  return out;
}

std::expected<Ipv4Header, Ipv4Error> parse_ipv4(base::Bytes bytes) {
  if (bytes.size() < ipv4_header_bytes) return std::unexpected(Ipv4Error::too_short);
  const uint8_t* at = bytes.data();
  if (at[0] >> 4 != 4) return std::unexpected(Ipv4Error::bad_version);
  Ipv4Header header;
  header.header_bytes = static_cast<uint8_t>((at[0] & 0xf) * 4);
  if (header.header_bytes < ipv4_header_bytes || header.header_bytes > bytes.size())
    return std::unexpected(Ipv4Error::bad_header_length);
  header.total_bytes = base::load_be16(at + 2);
  if (header.total_bytes < header.header_bytes || header.total_bytes > bytes.size())
    return std::unexpected(Ipv4Error::bad_total_length);
  header.identification = base::load_be16(at + 4);
  uint16_t fragment = base::load_be16(at + 6);
  header.more_fragments = (fragment & 0x2000) != 0;
  header.fragment_offset = fragment & 0x1fff;
  header.time_to_live = at[8];
  header.protocol = at[9];
  header.source.value = base::load_be32(at + 12);
  header.destination.value = base::load_be32(at + 16);
  return header;
}

bool verify_ipv4_checksum(base::Bytes header) { return checksum_fold(checksum_add(0, header)) == 0xffff; }

void emit_ipv4(const Ipv4Header& header, uint8_t* to, bool checksum) {
  to[0] = 0x45;
  to[1] = 0;
  base::store_be16(to + 2, header.total_bytes);
  base::store_be16(to + 4, header.identification);
  base::store_be16(to + 6, header.dont_fragment ? 0x4000 : 0);
  to[8] = header.time_to_live;
  to[9] = header.protocol;
  base::store_be16(to + 10, 0);
  base::store_be32(to + 12, header.source.value);
  base::store_be32(to + 16, header.destination.value);
  if (!checksum) return;
  auto sum = checksum_fold(checksum_add(0, {to, ipv4_header_bytes}));
  base::store_be16(to + 10, static_cast<uint16_t>(~sum));
}

// The sum is kept in the machine's own byte order: a ones' complement sum of swapped words is the swapped sum (RFC 1071
// 2 (B)), so one swap at the end does for all. Adding 32-bit halves into 64 bits leaves room for 2^32 carries.
uint64_t checksum_add(uint64_t sum, base::Bytes bytes) {
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  uint64_t low = 0, high = 0;
  for (; left >= 32; at += 32, left -= 32) {
    uint64_t words[4];
    std::memcpy(words, at, sizeof words);
    low += (words[0] & 0xffffffff) + (words[1] & 0xffffffff) + (words[2] & 0xffffffff) + (words[3] & 0xffffffff);
    high += (words[0] >> 32) + (words[1] >> 32) + (words[2] >> 32) + (words[3] >> 32);
  }
  sum += low + high;
  for (; left >= 4; at += 4, left -= 4) {
    uint32_t word;
    std::memcpy(&word, at, sizeof word);
    sum += word;
  }
  if (left > 0) {
    uint32_t word = 0;  // the last odd byte is the first of a 16-bit word whose second is 0
    std::memcpy(&word, at, left);
    sum += word;
  }
  return sum;
}

uint16_t checksum_fold(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  auto folded = static_cast<uint32_t>(sum);
  folded = (folded & 0xffff) + (folded >> 16);
  folded = (folded & 0xffff) + (folded >> 16);
  return __builtin_bswap16(static_cast<uint16_t>(folded));
}

uint64_t pseudo_header_sum(Ipv4Address source, Ipv4Address destination, IpProtocol protocol, size_t l4_bytes) {
  uint64_t sum = __builtin_bswap32(source.value);
  sum += __builtin_bswap32(destination.value);
  sum += static_cast<uint64_t>(protocol) << 8;
  sum += __builtin_bswap16(static_cast<uint16_t>(l4_bytes));
  return sum;
}

}  // namespace talaria::net
