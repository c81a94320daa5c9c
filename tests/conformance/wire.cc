#include "tests/conformance/wire.h"

#include <algorithm>

#include "tests/conformance/error.h"
#include "tests/sim/checksum.h"

namespace talaria::conformance {
namespace {

constexpr size_t ethernet_bytes = 14;
constexpr size_t ip_bytes = 20;
constexpr uint8_t protocol_icmp = 1, protocol_tcp = 6;

void put8(std::vector<uint8_t>& out, unsigned value) { out.push_back(static_cast<uint8_t>(value)); }
void put16(std::vector<uint8_t>& out, unsigned value) {
  put8(out, value >> 8 & 255);
  put8(out, value & 255);
}
void put32(std::vector<uint8_t>& out, uint32_t value) {
  put16(out, value >> 16);
  put16(out, value & 0xffff);
}
template <class Range>
void put(std::vector<uint8_t>& out, const Range& bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}
void store16(std::vector<uint8_t>& out, size_t at, unsigned value) {
  out[at] = static_cast<uint8_t>(value >> 8);
  out[at + 1] = static_cast<uint8_t>(value);
}

uint16_t get16(base::Bytes in, size_t at) { return static_cast<uint16_t>(in[at] << 8 | in[at + 1]); }
uint32_t get32(base::Bytes in, size_t at) { return uint32_t{get16(in, at)} << 16 | get16(in, at + 2); }
Mac get_mac(base::Bytes in, size_t at) {
  Mac mac;
  std::copy_n(in.begin() + static_cast<ptrdiff_t>(at), mac.size(), mac.begin());
  return mac;
}

uint16_t checksum(base::Bytes bytes) {
  sim::Checksum sum;
  sum.add(bytes);
  return sum.complement();
}
uint16_t tcp_checksum(uint32_t source, uint32_t destination, base::Bytes tcp) {
  sim::Checksum sum;
  sum.add_dword(source);
  sum.add_dword(destination);
  sum.add_word(protocol_tcp);
  sum.add_word(static_cast<uint16_t>(tcp.size()));
  sum.add(tcp);
  return sum.complement();
}

void write_options(std::vector<uint8_t>& tcp, const WireSegment& segment) {
  if (segment.mss) {
    put16(tcp, 2 << 8 | 4);
    put16(tcp, *segment.mss);
  }
  if (segment.sack_permitted) put16(tcp, 4 << 8 | 2);
  if (segment.timestamp) {
    if (!segment.sack_permitted) put16(tcp, 1 << 8 | 1);
    put16(tcp, 8 << 8 | 10);
    put32(tcp, segment.timestamp->value);
    put32(tcp, segment.timestamp->echo);
  }
  if (segment.window_scale) {
    put8(tcp, 1);
    put16(tcp, 3 << 8 | 3);
    put8(tcp, *segment.window_scale);
  }
  if (!segment.sacks.empty()) {
    put16(tcp, 1 << 8 | 1);
    put16(tcp, static_cast<unsigned>(5 << 8 | (2 + 8 * segment.sacks.size())));
    for (auto [start, end] : segment.sacks) {
      put32(tcp, start);
      put32(tcp, end);
    }
  }
  put(tcp, segment.other_options);
  while (tcp.size() % 4 != 0) put8(tcp, 0);
  if (tcp.size() > 60) throw Failure("the options take more than 40 bytes");
}

void read_option(uint8_t kind, base::Bytes body, WireSegment& segment) {
  if (kind == 2 && body.size() == 2) {
    segment.mss = get16(body, 0);
  } else if (kind == 3 && body.size() == 1) {
    segment.window_scale = body[0];
  } else if (kind == 4 && body.empty()) {
    segment.sack_permitted = true;
  } else if (kind == 8 && body.size() == 8) {
    segment.timestamp = {get32(body, 0), get32(body, 4)};
  } else if (kind == 5 && body.size() % 8 == 0) {
    for (size_t at = 0; at < body.size(); at += 8) segment.sacks.emplace_back(get32(body, at), get32(body, at + 4));
  } else {
    put8(segment.other_options, kind);
    put8(segment.other_options, static_cast<unsigned>(body.size() + 2));
    put(segment.other_options, body);
  }
}

void read_options(base::Bytes options, WireSegment& segment) {
  while (!options.empty() && options[0] != 0) {
    if (options[0] == 1) {
      options = options.subspan(1);
      continue;
    }
    if (options.size() < 2 || options[1] < 2 || options[1] > options.size())
      throw Failure("the stack sent a malformed option");
    read_option(options[0], options.subspan(2, options[1] - 2u), segment);
    options = options.subspan(options[1]);
  }
}

WireSegment read_tcp(uint32_t source, uint32_t destination, base::Bytes tcp) {
  if (tcp.size() < 20) throw Failure("the stack sent a TCP header of less than 20 bytes");
  if (tcp_checksum(source, destination, tcp) != 0) throw Failure("the stack sent a wrong TCP checksum");
  const size_t header = size_t{4} * (tcp[12] >> 4);
  if (header < 20 || header > tcp.size()) throw Failure("the stack sent a wrong data offset");
  WireSegment segment{.source = source, .destination = destination};
  segment.source_port = get16(tcp, 0);
  segment.destination_port = get16(tcp, 2);
  segment.sequence = get32(tcp, 4);
  segment.acknowledgement = get32(tcp, 8);
  segment.flags = tcp[13];
  segment.window = get16(tcp, 14);
  segment.urgent = get16(tcp, 18);
  read_options(tcp.subspan(20, header - 20), segment);
  put(segment.payload, tcp.subspan(header));
  return segment;
}

}  // namespace

std::vector<uint8_t> write_tcp(const WireSegment& segment, const Oddities& oddities) {
  std::vector<uint8_t> tcp;
  put16(tcp, segment.source_port);
  put16(tcp, segment.destination_port);
  put32(tcp, segment.sequence);
  put32(tcp, segment.acknowledgement);
  put8(tcp, 0);  // data offset, below
  put8(tcp, segment.flags);
  put16(tcp, segment.window);
  put16(tcp, 0);  // checksum, below
  put16(tcp, segment.urgent);
  write_options(tcp, segment);
  tcp[12] = static_cast<uint8_t>(oddities.data_offset.value_or(static_cast<unsigned>(tcp.size() / 4)) << 4);
  put(tcp, segment.payload);
  unsigned sum = tcp_checksum(segment.source, segment.destination, tcp);
  store16(tcp, 16, oddities.bad_l4_checksum ? sum ^ 0x0101 : sum);
  return tcp;
}

std::vector<uint8_t> write_icmp(const WireIcmp& message, bool bad_checksum) {
  std::vector<uint8_t> icmp;
  put8(icmp, message.type);
  put8(icmp, message.code);
  put16(icmp, 0);
  put(icmp, message.body);
  unsigned sum = checksum(icmp);
  store16(icmp, 2, bad_checksum ? sum ^ 0x0101 : sum);
  return icmp;
}

Frame write_ipv4(uint8_t protocol, uint32_t source, uint32_t destination, std::vector<uint8_t> payload, const Mac& from,
                 const Mac& to, const Oddities& oddities) {
  unsigned fragment_word = 0;
  if (oddities.fragment) {
    auto [first, last] = *oddities.fragment;
    if (first % 8 != 0 || first > last) throw Failure("a fragment begins at a multiple of 8 and ends behind that");
    const bool more = oddities.more_fragments && last < payload.size();
    std::vector<uint8_t> part(last - first, 0);
    for (unsigned i = first; i < last && i < payload.size(); i++) part[i - first] = payload[i];
    payload = std::move(part);
    fragment_word = first / 8 | (more ? 0x2000u : 0);
  }
  std::vector<uint8_t> ip;
  put8(ip, 4u << 4 | oddities.header_length.value_or(5));
  put8(ip, 0);
  put16(ip, oddities.total_length.value_or(static_cast<unsigned>(ip_bytes + payload.size())));
  put16(ip, oddities.identification);
  put16(ip, fragment_word);
  put8(ip, 64);
  put8(ip, protocol);
  put16(ip, 0);  // checksum, below
  put32(ip, source);
  put32(ip, destination);
  unsigned sum = checksum(ip);
  store16(ip, 10, oddities.bad_ip_checksum ? sum ^ 0x0101 : sum);

  Frame frame;
  put(frame, to);
  put(frame, from);
  put16(frame, 0x0800);
  put(frame, ip);
  put(frame, payload);
  if (oddities.cut && *oddities.cut < frame.size()) frame.resize(*oddities.cut);
  return frame;
}

Frame write_arp(const WireArp& arp, const Mac& from, const Mac& to) {
  Frame frame;
  put(frame, to);
  put(frame, from);
  put16(frame, 0x0806);
  put16(frame, 1);
  put16(frame, 0x0800);
  put16(frame, 0x0604);
  put16(frame, arp.request ? 1 : 2);
  put(frame, arp.sender_mac);
  put32(frame, arp.sender);
  put(frame, arp.target_mac);
  put32(frame, arp.target);
  return frame;
}

Sent read_frame(base::Bytes frame) {
  Sent sent;
  if (frame.size() < ethernet_bytes + ip_bytes) throw Failure("the stack sent a frame that is too short");
  sent.to = get_mac(frame, 0);
  const unsigned type = get16(frame, 12);
  base::Bytes body = frame.subspan(ethernet_bytes);
  if (type == 0x0806) {
    if (body.size() < 28 || get16(body, 0) != 1 || get16(body, 2) != 0x0800 || get16(body, 4) != 0x0604)
      throw Failure("the stack sent a malformed ARP message");
    sent.arp = WireArp{.request = get16(body, 6) == 1,
                       .sender_mac = get_mac(body, 8),
                       .target_mac = get_mac(body, 18),
                       .sender = get32(body, 14),
                       .target = get32(body, 24)};
    return sent;
  }
  if (type != 0x0800) {
    sent.what = "a frame of ethertype " + std::to_string(type);
    return sent;
  }
  const size_t header = size_t{4} * (body[0] & 15);
  const size_t total = get16(body, 2);
  if (body[0] >> 4 != 4 || header < ip_bytes || total < header || total > body.size())
    throw Failure("the stack sent a malformed IP header");
  if (checksum(body.first(header)) != 0) throw Failure("the stack sent a wrong IP checksum");
  const uint32_t source = get32(body, 12), destination = get32(body, 16);
  base::Bytes payload = body.subspan(header, total - header);
  if (body[9] == protocol_tcp) {
    sent.segment = read_tcp(source, destination, payload);
    sent.segment->dont_fragment = (body[6] & 0x40) != 0;
  } else if (body[9] == protocol_icmp) {
    if (payload.size() < 8 || checksum(payload) != 0) throw Failure("the stack sent a malformed ICMP message");
    sent.icmp =
        WireIcmp{.source = source, .destination = destination, .type = payload[0], .code = payload[1], .body = {}};
    put(sent.icmp->body, payload.subspan(4));
  } else {
    sent.what = "an IP datagram of protocol " + std::to_string(body[9]);
  }
  return sent;
}

}  // namespace talaria::conformance
