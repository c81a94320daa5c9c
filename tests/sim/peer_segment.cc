#include "tests/sim/peer_segment.h"

#include <algorithm>

#include "tests/sim/checksum.h"

namespace talaria::sim {

namespace {

constexpr size_t ethernet = 14;
constexpr size_t ip_header = 20;

void put8(std::vector<uint8_t>& out, unsigned value) { out.push_back(static_cast<uint8_t>(value)); }
void put16(std::vector<uint8_t>& out, unsigned value) {
  put8(out, value >> 8 & 255);
  put8(out, value & 255);
}
void put32(std::vector<uint8_t>& out, uint32_t value) {
  put16(out, value >> 16);
  put16(out, value & 0xffff);
}
void put_mac(std::vector<uint8_t>& out, const net::MacAddress& mac) { out.insert(out.end(), mac.begin(), mac.end()); }

uint16_t get16(base::Bytes in, size_t at) { return static_cast<uint16_t>(in[at] << 8 | in[at + 1]); }
uint32_t get32(base::Bytes in, size_t at) { return uint32_t{get16(in, at)} << 16 | get16(in, at + 2); }

uint16_t tcp_checksum(uint32_t source, uint32_t destination, base::Bytes tcp) {
  Checksum sum;
  sum.add_dword(source);
  sum.add_dword(destination);
  sum.add_word(6);
  sum.add_word(static_cast<uint16_t>(tcp.size()));
  sum.add(tcp);
  return sum.complement();
}

void write_options(std::vector<uint8_t>& tcp, const PeerSegment& segment) {
  if (segment.mss) {
    put16(tcp, 2 << 8 | 4);
    put16(tcp, *segment.mss);
  }
  if (segment.window_scale) {
    put8(tcp, 1);
    put16(tcp, 3 << 8 | 3);
    put8(tcp, *segment.window_scale);
  }
  if (segment.sack_permitted) {
    put16(tcp, 4 << 8 | 2);
    put16(tcp, 1 << 8 | 1);
  }
  if (segment.timestamp) {
    put16(tcp, 1 << 8 | 1);
    put16(tcp, 8 << 8 | 10);
    put32(tcp, *segment.timestamp);
    put32(tcp, segment.timestamp_echo.value_or(0));
  }
}

bool read_options(base::Bytes options, PeerSegment& segment) {
  while (!options.empty() && options[0] != 0) {
    if (options[0] == 1) {
      options = options.subspan(1);
      continue;
    }
    if (options.size() < 2 || options[1] < 2 || options[1] > options.size()) return false;
    const size_t size = options[1];
    if (options[0] == 2 && size == 4) segment.mss = get16(options, 2);
    if (options[0] == 3 && size == 3) segment.window_scale = options[2];
    if (options[0] == 4 && size == 2) segment.sack_permitted = true;
    if (options[0] == 8 && size == 10) {
      segment.timestamp = get32(options, 2);
      segment.timestamp_echo = get32(options, 6);
    }
    options = options.subspan(size);
  }
  return true;
}

}  // namespace

std::optional<PeerSegment> read_segment(base::Bytes frame) {
  if (frame.size() < ethernet + ip_header + 20 || get16(frame, 12) != 0x0800) return std::nullopt;
  base::Bytes ip = frame.subspan(ethernet);
  const size_t header = size_t{4} * (ip[0] & 15);
  const size_t total = get16(ip, 2);
  if (ip[0] >> 4 != 4 || header < ip_header || total < header + 20 || total > ip.size() || ip[9] != 6)
    return std::nullopt;
  if (get16(ip, 6) & 0x3fff) return std::nullopt;  // a fragment
  Checksum ip_sum;
  ip_sum.add(ip.first(header));
  if (ip_sum.complement() != 0) return std::nullopt;

  PeerSegment segment;
  segment.source = get32(ip, 12);
  segment.destination = get32(ip, 16);
  base::Bytes tcp = ip.subspan(header, total - header);
  if (tcp_checksum(segment.source, segment.destination, tcp) != 0) return std::nullopt;
  const size_t data = size_t{4} * (tcp[12] >> 4);
  if (data < 20 || data > tcp.size()) return std::nullopt;
  segment.source_port = get16(tcp, 0);
  segment.destination_port = get16(tcp, 2);
  segment.sequence = get32(tcp, 4);
  segment.acknowledgement = get32(tcp, 8);
  segment.fin = tcp[13] & 1;
  segment.syn = tcp[13] & 2;
  segment.rst = tcp[13] & 4;
  segment.psh = tcp[13] & 8;
  segment.ack = tcp[13] & 16;
  segment.window = get16(tcp, 14);
  if (!read_options(tcp.subspan(20, data - 20), segment)) return std::nullopt;
  segment.payload.assign(tcp.begin() + static_cast<ptrdiff_t>(data), tcp.end());
  return segment;
}

std::vector<uint8_t> write_segment(const PeerSegment& segment, const net::MacAddress& from, const net::MacAddress& to) {
  std::vector<uint8_t> tcp;
  put16(tcp, segment.source_port);
  put16(tcp, segment.destination_port);
  put32(tcp, segment.sequence);
  put32(tcp, segment.acknowledgement);
  put8(tcp, 0);  // data offset, below
  put8(tcp, unsigned{segment.fin} | unsigned{segment.syn} << 1 | unsigned{segment.rst} << 2 |
                unsigned{segment.psh} << 3 | unsigned{segment.ack} << 4);
  put16(tcp, segment.window);
  put32(tcp, 0);  // checksum, below; urgent pointer
  write_options(tcp, segment);
  tcp[12] = static_cast<uint8_t>(tcp.size() / 4 << 4);
  tcp.insert(tcp.end(), segment.payload.begin(), segment.payload.end());
  const uint16_t sum = tcp_checksum(segment.source, segment.destination, tcp);
  tcp[16] = static_cast<uint8_t>(sum >> 8);
  tcp[17] = static_cast<uint8_t>(sum);

  std::vector<uint8_t> ip;
  put16(ip, 0x4500);
  put16(ip, static_cast<unsigned>(ip_header + tcp.size()));
  put32(ip, 0);            // identification, fragment
  put16(ip, 64 << 8 | 6);  // time to live, TCP
  put16(ip, 0);            // checksum
  put32(ip, segment.source);
  put32(ip, segment.destination);
  Checksum ip_sum;
  ip_sum.add(ip);
  ip[10] = static_cast<uint8_t>(ip_sum.complement() >> 8);
  ip[11] = static_cast<uint8_t>(ip_sum.complement());

  std::vector<uint8_t> frame;
  put_mac(frame, to);
  put_mac(frame, from);
  put16(frame, 0x0800);
  frame.insert(frame.end(), ip.begin(), ip.end());
  frame.insert(frame.end(), tcp.begin(), tcp.end());
  return frame;
}

std::optional<PeerArp> read_arp(base::Bytes frame) {
  if (frame.size() < ethernet + 28 || get16(frame, 12) != 0x0806) return std::nullopt;
  base::Bytes arp = frame.subspan(ethernet);
  if (get16(arp, 0) != 1 || get16(arp, 2) != 0x0800 || get16(arp, 4) != 0x0604) return std::nullopt;
  PeerArp found;
  found.request = get16(arp, 6) == 1;
  std::copy_n(arp.begin() + 8, 6, found.sender_mac.begin());
  found.sender = get32(arp, 14);
  found.target = get32(arp, 24);
  return found;
}

std::vector<uint8_t> write_arp(bool request, const net::MacAddress& sender_mac, uint32_t sender,
                               const net::MacAddress& target_mac, uint32_t target) {
  constexpr net::MacAddress everybody{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  std::vector<uint8_t> frame;
  put_mac(frame, request ? everybody : target_mac);
  put_mac(frame, sender_mac);
  put16(frame, 0x0806);
  put16(frame, 1);
  put16(frame, 0x0800);
  put16(frame, 0x0604);
  put16(frame, request ? 1 : 2);
  put_mac(frame, sender_mac);
  put32(frame, sender);
  put_mac(frame, request ? net::MacAddress{} : target_mac);
  put32(frame, target);
  return frame;
}

}  // namespace talaria::sim
