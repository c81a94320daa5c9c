#include "core/tcp/segment.h"

#include <algorithm>

namespace talaria::tcp {
namespace {

enum Option : uint8_t {
  option_end = 0,
  option_nop = 1,
  option_mss = 2,
  option_window_scale = 3,
  option_sack_permitted = 4,
  option_sack = 5,
  option_timestamp = 8,
};

// NOP NOP timestamp length: how everybody aligns the option that is in every segment (RFC 7323 appendix A).
constexpr uint32_t aligned_timestamp = 0x0101080a;

void parse_option(uint8_t kind, base::Bytes body, Segment& segment) {
  switch (kind) {
    case option_mss:
      if (body.size() == 2) segment.mss = base::load_be16(body.data());
      break;
    case option_window_scale:
      if (body.size() != 1) break;
      segment.has_window_scale = true;
      segment.window_scale = std::min(body[0], window_scale_max);
      break;
    case option_sack_permitted:
      if (body.empty()) segment.sack_permitted = true;
      break;
    case option_timestamp:
      if (body.size() != 8) break;
      segment.has_timestamp = true;
      segment.timestamp = base::load_be32(body.data());
      segment.timestamp_echo = base::load_be32(body.data() + 4);
      break;
    case option_sack:
      if (body.size() % 8 != 0) break;
      segment.sack_count = static_cast<uint8_t>(std::min(body.size() / 8, segment.sacks.size()));
      for (size_t i = 0; i < segment.sack_count; i++)
        segment.sacks[i] = {base::load_be32(body.data() + 8 * i), base::load_be32(body.data() + 8 * i + 4)};
      break;
    default: break;
  }
}

void parse_options(base::Bytes options, Segment& segment) {
  size_t at = 0;
  while (at < options.size()) {
    uint8_t kind = options[at];
    if (kind == option_end) return;
    if (kind == option_nop) {
      at++;
      continue;
    }
    if (at + 1 >= options.size()) return;
    size_t length = options[at + 1];
    if (length < 2 || length > options.size() - at) return;
    parse_option(kind, options.subspan(at + 2, length - 2), segment);
    at += length;
  }
}

}  // namespace

bool parse_segment(base::Bytes l4, Segment& segment) {
  if (l4.size() < tcp_header_bytes) return false;
  const uint8_t* at = l4.data();
  size_t header_bytes = static_cast<size_t>(at[12] >> 4) * 4;
  if (header_bytes < tcp_header_bytes || header_bytes > l4.size()) return false;
  segment.source_port = base::load_be16(at);
  segment.destination_port = base::load_be16(at + 2);
  segment.sequence = base::load_be32(at + 4);
  segment.acknowledgement = base::load_be32(at + 8);
  segment.flags = at[13];
  segment.window = base::load_be16(at + 14);
  segment.has_timestamp = false;
  segment.mss = 0;
  segment.has_window_scale = false;
  segment.sack_permitted = false;
  segment.sack_count = 0;
  segment.payload = l4.subspan(header_bytes);
  if (header_bytes == tcp_header_bytes) return true;
  if (header_bytes == tcp_header_bytes + timestamp_option_bytes && base::load_be32(at + 20) == aligned_timestamp) {
    segment.has_timestamp = true;
    segment.timestamp = base::load_be32(at + 24);
    segment.timestamp_echo = base::load_be32(at + 28);
    return true;
  }
  parse_options(l4.subspan(tcp_header_bytes, header_bytes - tcp_header_bytes), segment);
  return true;
}

size_t emit_segment(const Segment& segment, uint8_t* to) {
  base::store_be16(to, segment.source_port);
  base::store_be16(to + 2, segment.destination_port);
  base::store_be32(to + 4, segment.sequence);
  base::store_be32(to + 8, segment.acknowledgement);
  to[13] = segment.flags;
  base::store_be16(to + 14, segment.window);
  base::store_be32(to + 16, 0);  // checksum and urgent pointer
  uint8_t* at = to + tcp_header_bytes;
  if (segment.mss != 0) {
    at[0] = option_mss;
    at[1] = 4;
    base::store_be16(at + 2, segment.mss);
    at += 4;
  }
  if (segment.has_window_scale) {
    at[0] = option_nop;
    at[1] = option_window_scale;
    at[2] = 3;
    at[3] = segment.window_scale;
    at += 4;
  }
  if (segment.sack_permitted) {
    at[0] = at[1] = option_nop;
    at[2] = option_sack_permitted;
    at[3] = 2;
    at += 4;
  }
  if (segment.has_timestamp) {
    base::store_be32(at, aligned_timestamp);
    base::store_be32(at + 4, segment.timestamp);
    base::store_be32(at + 8, segment.timestamp_echo);
    at += timestamp_option_bytes;
  }
  size_t room = tcp_header_bytes_max - static_cast<size_t>(at - to);
  size_t blocks = room < 12 ? 0 : std::min<size_t>(segment.sack_count, (room - 4) / 8);
  if (blocks > 0) {
    at[0] = at[1] = option_nop;
    at[2] = option_sack;
    at[3] = static_cast<uint8_t>(2 + 8 * blocks);
    at += 4;
    for (size_t i = 0; i < blocks; i++, at += 8) {
      base::store_be32(at, segment.sacks[i].start);
      base::store_be32(at + 4, segment.sacks[i].end);
    }
  }
  auto header_bytes = static_cast<size_t>(at - to);
  to[12] = static_cast<uint8_t>(header_bytes / 4 << 4);
  return header_bytes;
}

bool verify_segment_checksum(base::Bytes l4, const net::IpAddress& source, const net::IpAddress& destination) {
  uint64_t sum = net::pseudo_header_sum(source, destination, net::IpProtocol::tcp, l4.size());
  return net::checksum_fold(net::checksum_add(sum, l4)) == 0xffff;
}

void write_segment_checksum(base::MutableBytes l4, const net::IpAddress& source, const net::IpAddress& destination,
                            bool offload) {
  uint64_t sum = net::pseudo_header_sum(source, destination, net::IpProtocol::tcp, l4.size());
  if (offload) return base::store_be16(l4.data() + 16, net::checksum_fold(sum));
  uint16_t folded = net::checksum_fold(net::checksum_add(sum, l4));
  base::store_be16(l4.data() + 16, static_cast<uint16_t>(~folded));
}

}  // namespace talaria::tcp
