// Fuzzes the way of a segment through host and stack, in every state a connection can be in.
//
// The input is a script: each step begins with a byte that says what happens (a raw frame, a datagram or a piece
// of one, a segment that fits the
// conversation more or less, time, the application), followed by what that needs. Numbers are relative to where the
// conversation stands, so that the fuzzer gets deep without guessing 32-bit numbers. The first byte says how far the
// conversation has come when the script begins: listening, half-open, established, opening actively; which options its
// SYN has; and whether one address is held to a share.
//
// After each step the stack's invariants hold; at the end every packet is home.
#include <cstdint>
#include <optional>

#include "core/base/check.h"
#include "core/net/arp.h"
#include "core/tcp/stack.h"
#include "tests/unit/net/fake_device.h"

namespace talaria::tcp {
namespace {

using namespace std::chrono_literals;

constexpr net::MacAddress our_mac{2, 0, 0, 0, 0, 1};
constexpr net::MacAddress peer_mac{2, 0, 0, 0, 0, 2};
constexpr net::Ipv4Address our_address{0xc6120001};
constexpr net::IpAddress our_ipv6{0x20010db800000000, 1}, peer_ipv6{0x20010db800000000, 2};
constexpr net::Ipv4Address peer_address{0xc6120002};
constexpr uint16_t our_port = 5672;
constexpr uint16_t peer_port = 40000;
constexpr size_t steps_max = 400;

// Sometimes one address may have less than all.
Config small(bool share) {
  Config config;
  config.connections_per_source = share ? 2 : 0;
  config.handshakes_per_source = share ? 1 : 0;
  config.connections = 3;
  config.half_open = 2;
  config.time_wait = 2;
  config.send_chunks = 8;
  config.shared_slices = 4;
  config.receive_chunks = 3;
  config.held_packets = 8;
  config.receive_window = 16384;
  config.send_high_watermark = 16384;
  config.send_low_watermark = 8192;
  config.keepalive_idle = 10s;
  return config;
}

class Script {
 public:
  explicit Script(base::Bytes input) : input_(input), first_(input_.u8()) {}

  void run() {
    introduce_peer();
    begin(first_);
    for (size_t step = 0; step < steps_max && input_.remaining() > 0; step++) {
      uint8_t what = input_.u8();
      switch (what % 8) {
        case 0: raw(what); break;
        case 1:
        case 2:
        case 3: segment(what / 64); break;
        case 4: now_ += std::chrono::milliseconds(input_.be16()); break;
        case 5: application_ = input_.u8(); break;
        case 6: device_.transmit_room = input_.u8() % 4 == 0 ? 0 : SIZE_MAX; break;
        default: device_.packets_max = input_.u8() % 4 == 0 ? device_.outstanding : 100000; break;
      }
      turn();
    }
  }

 private:
  void begin(uint8_t how) {
    stack_.listen(our_port);
    if (how % 4 == 0) return;
    if (how % 4 == 3) {
      active_ = true;
      if (auto made = stack_.connect({peer_address, our_port}, peer_port, now_)) id_ = *made;
      return turn();
    }
    Segment syn = base_segment(flag_syn);
    syn.mss = 1460;
    syn.sack_permitted = (how & 4) != 0;
    syn.has_timestamp = (how & 8) != 0;
    syn.has_window_scale = (how & 16) != 0;
    syn.window_scale = 4;
    arrive(syn, {});
    peer_next_++;
    turn();
    if (how % 4 == 1) return;
    arrive(base_segment(flag_ack), {});
    turn();
  }

  Segment base_segment(uint8_t flags) {
    Segment segment;
    segment.source_port = active_ ? our_port : peer_port;
    segment.destination_port = active_ ? peer_port : our_port;
    segment.sequence = peer_next_;
    segment.acknowledgement = our_next_;
    segment.flags = flags;
    segment.window = 20000;
    segment.timestamp = clock_++;
    segment.timestamp_echo = our_clock_;
    return segment;
  }

  // From another port it belongs to no conversation that the script follows: a stranger, a SYN that fills the table.
  void segment(uint16_t port_offset) {
    uint8_t what = input_.u8();
    Segment segment = base_segment(input_.u8());
    segment.source_port = static_cast<uint16_t>(segment.source_port + port_offset);
    if ((what & 1) != 0) segment.sequence += static_cast<uint32_t>(static_cast<int16_t>(input_.be16()));
    if ((what & 2) != 0) segment.acknowledgement += static_cast<uint32_t>(static_cast<int16_t>(input_.be16()));
    if ((what & 4) != 0) segment.window = input_.be16();
    if ((what & 8) != 0) {
      segment.has_timestamp = true;
      segment.timestamp += static_cast<uint32_t>(static_cast<int8_t>(input_.u8()));
    }
    if ((what & 16) != 0) {
      segment.sack_count = input_.u8() % 4;
      for (size_t i = 0; i < segment.sack_count; i++) {
        uint32_t start = our_una_ + input_.be16();
        segment.sacks[i] = {start, start + input_.be16()};
      }
    }
    size_t payload = (what & 32) != 0 ? input_.be16() % 1461 : 0;
    base::Bytes options;
    if ((what & 64) != 0) options = input_.bytes(std::min<size_t>(input_.u8() % 40, input_.remaining()));
    std::vector<uint8_t> bytes(payload, 'x');
    arrive(segment, bytes, options);
    if ((what & 128) != 0 && (what & 1) == 0) peer_next_ += segment.sequence_bytes() + static_cast<uint32_t>(payload);
  }

  // `options` replace those of the segment.
  void arrive(const Segment& segment, base::Bytes payload, base::Bytes options = {}) {
    net::Frame frame(34 + tcp_header_bytes_max);
    net::emit_ethernet({.destination = our_mac, .source = peer_mac, .vlan = {}, .type = net::ethertype_ipv4},
                       frame.data());
    size_t header = emit_segment(segment, frame.data() + 34);
    if (!options.empty()) {
      size_t words = (options.size() + 3) / 4;
      std::memset(frame.data() + 34 + 20, 0, 40);
      std::memcpy(frame.data() + 34 + 20, options.data(), options.size());
      frame[34 + 12] = static_cast<uint8_t>((5 + words) << 4);
      header = 20 + 4 * words;
    }
    frame.resize(34 + header);
    frame.insert(frame.end(), payload.begin(), payload.end());
    write_segment_checksum({frame.data() + 34, frame.size() - 34}, peer_address, our_address, false);
    net::emit_ipv4({.total_bytes = static_cast<uint16_t>(frame.size() - 14),
                    .protocol = 6,
                    .source = peer_address,
                    .destination = our_address},
                   frame.data() + 14, true);
    device_.arriving.push_back(std::move(frame));
  }

  void raw(uint8_t what) {
    if (what >= 128) return raw_datagram();
    if (what >= 96) return ipv6_datagram();
    if (what >= 64) return piece();
    raw_frame();
  }

  // A good IPv6 header with anything behind it; checksums of TCP and ICMPv6 are made good.
  void ipv6_datagram() {
    constexpr uint8_t protocols[] = {6, 58, 17, 0, 43, 44, 60, 59};
    const uint8_t how = input_.u8();
    const uint8_t protocol = protocols[how % 8];
    const bool to_group = (how & 8) != 0;
    const uint8_t hops = (how & 16) != 0 ? 255 : 64;
    const base::Bytes bytes = input_.bytes(std::min<size_t>(input_.u8(), input_.remaining()));
    net::Ipv6Header ip{.payload_bytes = static_cast<uint16_t>(bytes.size()),
                       .next_header = protocol,
                       .hop_limit = hops,
                       .source = (how & 32) != 0 ? net::IpAddress() : peer_ipv6,
                       .destination = to_group ? net::solicited_node_group(our_ipv6) : our_ipv6};
    if ((how & 64) != 0) ip.destination = net::all_nodes_group;
    net::Frame frame(14 + net::ipv6_header_bytes);
    net::emit_ethernet({.destination = to_group ? net::MacAddress{0x33, 0x33, 0xff, 0, 0, 1} : our_mac,
                        .source = peer_mac,
                        .vlan = {},
                        .type = net::ethertype_ipv6},
                       frame.data());
    net::emit_ipv6(ip, frame.data() + 14);
    frame.insert(frame.end(), bytes.begin(), bytes.end());
    base::MutableBytes l4 = base::MutableBytes(frame).subspan(14 + net::ipv6_header_bytes);
    if (protocol == 6 && l4.size() >= tcp_header_bytes) {
      base::store_be16(l4.data() + 16, 0);
      write_segment_checksum(l4, ip.source, ip.destination, false);
    } else if (protocol == 58 && l4.size() >= 4) {
      base::store_be16(l4.data() + 2, 0);
      const uint64_t sum = net::pseudo_header_sum(ip.source, ip.destination, net::IpProtocol::icmpv6, l4.size());
      base::store_be16(l4.data() + 2, static_cast<uint16_t>(~net::checksum_fold(net::checksum_add(sum, l4))));
    }
    device_.arriving.push_back(std::move(frame));
  }

  // A piece of one of a few IPv4 datagrams.
  void piece() {
    const uint8_t how = input_.u8();
    const base::Bytes bytes = input_.bytes(std::min<size_t>(input_.u8(), input_.remaining()));
    net::Frame frame(34);
    net::emit_ethernet({.destination = our_mac, .source = peer_mac, .vlan = {}, .type = net::ethertype_ipv4},
                       frame.data());
    net::emit_ipv4({.total_bytes = static_cast<uint16_t>(20 + bytes.size()),
                    .identification = static_cast<uint16_t>(how & 3),
                    .protocol = (how & 4) != 0 ? uint8_t{6} : uint8_t{1},
                    .source = peer_address,
                    .destination = our_address},
                   frame.data() + 14, false);
    base::store_be16(frame.data() + 20, static_cast<uint16_t>((how & 8 ? 0x2000 : 0) | how >> 4));
    base::store_be16(frame.data() + 24,
                     static_cast<uint16_t>(~net::checksum_fold(net::checksum_add(0, {frame.data() + 14, 20}))));
    frame.insert(frame.end(), bytes.begin(), bytes.end());
    device_.arriving.push_back(std::move(frame));
  }

  void raw_frame() {
    base::Bytes bytes = input_.bytes(std::min<size_t>(input_.u8(), input_.remaining()));
    device_.verdict = input_.u8() % 2 == 0 ? net::ChecksumVerdict::good : net::ChecksumVerdict::unknown;
    device_.arriving.emplace_back(bytes.begin(), bytes.end());
  }

  // A good IP header with anything behind it, as any protocol.
  void raw_datagram() {
    uint8_t protocol = input_.u8();
    base::Bytes bytes = input_.bytes(std::min<size_t>(input_.u8(), input_.remaining()));
    net::Frame frame(34);
    net::emit_ethernet({.destination = our_mac, .source = peer_mac, .vlan = {}, .type = net::ethertype_ipv4},
                       frame.data());
    frame.insert(frame.end(), bytes.begin(), bytes.end());
    if (protocol % 4 == 1 && bytes.size() >= 4) {  // ICMP with a good checksum
      base::store_be16(frame.data() + 36, 0);
      uint16_t sum = net::checksum_fold(net::checksum_add(0, base::Bytes(frame).subspan(34)));
      base::store_be16(frame.data() + 36, static_cast<uint16_t>(~sum));
    }
    constexpr uint8_t protocols[] = {6, 1, 17, 99};
    net::emit_ipv4({.total_bytes = static_cast<uint16_t>(20 + bytes.size()),
                    .protocol = protocols[protocol % 4],
                    .source = peer_address,
                    .destination = our_address},
                   frame.data() + 14, true);
    device_.arriving.push_back(std::move(frame));
  }

  void introduce_peer() {
    net::Frame frame(14 + net::arp_bytes);
    net::emit_ethernet({.destination = net::broadcast_mac, .source = peer_mac, .vlan = {}, .type = net::ethertype_arp},
                       frame.data());
    net::emit_arp({.operation = net::ArpOperation::request,
                   .sender_mac = peer_mac,
                   .sender_address = peer_address,
                   .target_address = our_address},
                  frame.data() + 14);
    device_.arriving.push_back(std::move(frame));
  }

  void turn() {
    while (host_.receive(now_) > 0) stack_.on_segments(host_.datagrams(), now_);
    device_.verdict = net::ChecksumVerdict::unknown;
    host_.on_time(now_);
    stack_.on_time(now_);
    for (const Event& event : stack_.events())
      if (event.accepted || event.connected) id_ = event.id;
    act();
    stack_.clear_events();
    stack_.end_input(now_);
    stack_.output(now_);
    host_.flush();
    stack_.take_released();
    stack_.check_invariants();
    for (const net::Frame& frame : std::exchange(device_.sent, {})) listen_to(frame);
    device_.offloaded.clear();
  }

  // What the application does in this turn and the following ones: bits.
  void act() {
    if ((application_ & 1) != 0) {
      base::Bytes bytes = stack_.input(id_);
      stack_.consume(id_, (application_ & 2) != 0 ? bytes.size() : bytes.size() / 2);
    }
    if ((application_ & 4) != 0) {
      base::MutableBytes space = stack_.reserve(id_, 700);
      if (!space.empty()) {
        std::memset(space.data(), 'w', 500);
        stack_.commit(id_, 500);
      }
    }
    static const uint8_t body[3000] = {};
    if ((application_ & 8) != 0) stack_.send_shared(id_, body, nullptr);
    if ((application_ & 16) != 0) stack_.send(id_, {body, 2500});
    if ((application_ & 0xe0) == 0x20) stack_.close(id_);
    if ((application_ & 0xe0) == 0x40) stack_.abort(id_);
    if ((application_ & 0xe0) == 0x60) {
      if (auto made = stack_.connect({peer_address, our_port}, {}, now_)) id_ = *made;
    }
    application_ &= 0x1f;
  }

  void listen_to(const net::Frame& frame) {
    const uint16_t type = base::load_be16(frame.data() + 12);
    if (type == net::ethertype_arp) return introduce_peer();
    if (type != net::ethertype_ipv4) return;
    if (frame[14 + 9] != 6) return;
    Segment segment;
    CHECK(parse_segment(base::Bytes(frame).subspan(34), segment));
    CHECK(verify_segment_checksum(base::Bytes(frame).subspan(34), our_address, peer_address));
    if (segment.has(flag_rst) || segment.destination_port != (active_ ? our_port : peer_port)) return;
    Sequence end = segment.sequence + segment.sequence_bytes();
    if (segment.has(flag_syn)) {
      our_next_ = our_una_ = end;
      if (active_) peer_next_ = 1000;
    } else if (after(end, our_next_)) {
      our_next_ = end;
    }
    if (segment.has_timestamp) our_clock_ = segment.timestamp;
  }

  base::Reader input_;
  uint8_t first_;
  base::Time now_{100s};
  net::FakeDevice device_{our_mac};
  net::Host host_{net::HostConfig{.addresses = {{our_address, 24}, {our_ipv6, 64}},
                                  .announce = false,
                                  .unresolved_packets_max = 8,
                                  .transmit_queue_max = 64},
                  device_,
                  {1, 2}};
  Stack stack_{small((first_ & 32) != 0), host_, {3, 4}};
  ConnectionId id_;
  bool active_ = false;
  uint8_t application_ = 3;
  Sequence peer_next_ = 1000;
  Sequence our_next_ = 0;
  Sequence our_una_ = 0;
  uint32_t clock_ = 5000;
  uint32_t our_clock_ = 0;
};

}  // namespace
}  // namespace talaria::tcp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  talaria::tcp::Script({data, size}).run();
  return 0;
}
