#include "tests/sim/nic.h"

#include <algorithm>
#include <array>
#include <optional>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "tests/sim/checksum.h"

namespace talaria::sim {

namespace {

constexpr size_t ethernet_bytes = 14;
constexpr size_t tcp_checksum_at = 16;
constexpr uint8_t protocol_tcp = 6;

// Where things stand in a frame, if it is an untagged IPv4 frame whose lengths hold.
struct Ipv4Frame {
  size_t header_bytes = 0;
  size_t total_bytes = 0;
  uint8_t protocol = 0;
  bool fragment = false;
};
std::optional<Ipv4Frame> look_at(base::Bytes frame) {
  if (frame.size() < ethernet_bytes + 20 || base::load_be16(&frame[12]) != 0x0800) return std::nullopt;
  const uint8_t* ip = &frame[ethernet_bytes];
  Ipv4Frame found;
  found.header_bytes = 4u * (ip[0] & 15);
  found.total_bytes = base::load_be16(ip + 2);
  found.protocol = ip[9];
  found.fragment = (base::load_be16(ip + 6) & 0x3fff) != 0;
  if (ip[0] >> 4 != 4 || found.header_bytes < 20 || found.total_bytes < found.header_bytes ||
      found.total_bytes > frame.size() - ethernet_bytes)
    return std::nullopt;
  return found;
}

bool ip_checksum_right(base::Bytes frame, const Ipv4Frame& at) {
  Checksum sum;
  sum.add(frame.subspan(ethernet_bytes, at.header_bytes));
  return sum.complement() == 0;
}

bool tcp_checksum_right(base::Bytes frame, const Ipv4Frame& at) {
  Checksum sum;
  const size_t bytes = at.total_bytes - at.header_bytes;
  sum.add(frame.subspan(ethernet_bytes + 12, 8));
  sum.add_word(protocol_tcp);
  sum.add_word(static_cast<uint16_t>(bytes));
  sum.add(frame.subspan(ethernet_bytes + at.header_bytes, bytes));
  return sum.complement() == 0;
}

}  // namespace

class Nic::Queue final : public net::Device {
 public:
  Queue(Nic& nic, const NicConfig& config)
      : nic_(nic),
        received_(config.receive_packets, size_t{config.mtu} + 18),
        written_(config.transmit_packets, size_t{config.mtu} + 18),
        long_(config.segmentation == 0 ? 0 : 16, size_t{config.segmentation} + 18) {
    capabilities_.mac = config.mac;
    capabilities_.mtu = config.mtu;
    capabilities_.transmit_ip_checksum = config.checksum_offload;
    capabilities_.transmit_l4_checksum = config.checksum_offload;
    capabilities_.transmit_segmentation = config.segmentation;
  }

  const net::Capabilities& capabilities() const override { return capabilities_; }

  size_t receive(std::span<net::Packet> burst) override {
    size_t count = 0;
    for (; count < std::min(burst.size(), net::burst_max) && !ring_.empty(); count++) {
      burst[count] = ring_.front();
      ring_.pop_front();
    }
    nic_.moved_ += count;
    return count;
  }

  net::Packet allocate() override { return written_.take(); }
  net::Packet allocate_long() override { return long_.take(); }

  size_t transmit(std::span<net::Packet> burst) override {
    size_t room = nic_.config_.transmit_ring - std::min(in_flight_, nic_.config_.transmit_ring);
    if (nic_.random_.chance(nic_.config_.refuse_chance)) {
      room = std::min(room, nic_.random_.below(4));
      nic_.world_.after(10us, [] {});  // so that whoever was refused is polled again
    }
    const size_t count = std::min(burst.size(), room);
    for (net::Packet& packet : burst.first(count)) {
      const Time sent = send(packet);
      in_flight_++;
      nic_.world_.at(sent, [this, packet]() mutable {
        in_flight_--;
        take_home(packet);
      });
      packet = {};
    }
    nic_.moved_ += count;
    return count;
  }

  void release(net::Packet& packet) override { take_home(packet); }

  // The wire's side: false if there is no packet or no room for it.
  bool arrive(base::Bytes frame, net::ChecksumVerdict ip, net::ChecksumVerdict l4) {
    if (ring_.size() >= nic_.config_.receive_ring || frame.size() > size_t{capabilities_.mtu} + 18) return false;
    net::Packet packet = received_.take();
    if (!packet) return false;
    std::copy(frame.begin(), frame.end(), packet.data);
    packet.length = static_cast<uint16_t>(frame.size());
    packet.ip_checksum = ip;
    packet.l4_checksum = l4;
    ring_.push_back(packet);
    return true;
  }

  size_t packets_out() const { return received_.out() + written_.out() + long_.out() - ring_.size() - in_flight_; }

 private:
  void take_home(net::Packet& packet) {
    (received_.owns(packet) ? received_ : written_.owns(packet) ? written_ : long_).give_back(packet);
  }

  Time send(net::Packet& packet) {
    if (packet.segment_bytes != 0) return send_in_pieces(packet);
    CHECK(packet.length >= ethernet_bytes && packet.length <= size_t{capabilities_.mtu} + 18);
    fill_checksums(packet);
    return nic_.network_.send(nic_.port_, packet.bytes());
  }

  // As hardware does it: each piece has the headers, with its own length, identification, sequence number and
  // checksums; PSH and FIN stand in the last alone.
  Time send_in_pieces(const net::Packet& packet) {
    CHECK(packet.length <= size_t{capabilities_.transmit_segmentation} + 18);
    CHECK(packet.offload_ip_checksum && packet.offload_l4_checksum);
    constexpr uint8_t last_only = 0x01 | 0x08;
    const size_t tcp_at = size_t{packet.l2_length} + packet.l3_length;
    const size_t header = tcp_at + 4u * (packet.data[tcp_at + 12] >> 4);
    CHECK(packet.length > header + packet.segment_bytes);
    const uint32_t sequence = base::load_be32(packet.data + tcp_at + 4);
    const uint16_t identification = base::load_be16(packet.data + packet.l2_length + 4);
    Time sent{};
    uint16_t number = 0;
    for (size_t from = header; from < packet.length; from += packet.segment_bytes, number++) {
      const size_t bytes = std::min<size_t>(packet.segment_bytes, packet.length - from);
      std::vector<uint8_t> frame(packet.data, packet.data + header);
      frame.insert(frame.end(), packet.data + from, packet.data + from + bytes);
      CHECK(frame.size() <= size_t{capabilities_.mtu} + 18);
      uint8_t* ip = frame.data() + packet.l2_length;
      base::store_be16(ip + 2, static_cast<uint16_t>(frame.size() - packet.l2_length));
      base::store_be16(ip + 4, static_cast<uint16_t>(identification + number));
      uint8_t* tcp = frame.data() + tcp_at;
      base::store_be32(tcp + 4, sequence + static_cast<uint32_t>(from - header));
      if (from + bytes < packet.length) tcp[13] = static_cast<uint8_t>(tcp[13] & ~last_only);
      // The port begins with the sum over the pseudo header, and that holds the length.
      const size_t whole = packet.length - tcp_at, piece = frame.size() - tcp_at;
      Checksum pseudo;
      pseudo.add_word(base::load_be16(tcp + tcp_checksum_at));
      pseudo.add_word(static_cast<uint16_t>(~whole));
      pseudo.add_word(static_cast<uint16_t>(piece));
      base::store_be16(tcp + tcp_checksum_at, static_cast<uint16_t>(~pseudo.complement()));
      net::Packet part = packet;
      part.data = frame.data();
      part.length = static_cast<uint16_t>(frame.size());
      fill_checksums(part);
      sent = nic_.network_.send(nic_.port_, part.bytes());
    }
    return sent;
  }

  // As hardware does it, from what the stack wrote about the packet and nothing else.
  void fill_checksums(net::Packet& packet) {
    CHECK(!packet.offload_ip_checksum || capabilities_.transmit_ip_checksum);
    CHECK(!packet.offload_l4_checksum || capabilities_.transmit_l4_checksum);
    uint8_t* ip = packet.data + packet.l2_length;
    if (packet.offload_l4_checksum) {
      uint8_t* l4 = ip + packet.l3_length;
      Checksum sum;
      sum.add({l4, base::load_be16(ip + 2) - size_t{packet.l3_length}});
      base::store_be16(l4 + tcp_checksum_at, sum.complement());
    }
    if (packet.offload_ip_checksum) {
      Checksum sum;
      base::store_be16(ip + 10, 0);
      sum.add({ip, packet.l3_length});
      base::store_be16(ip + 10, sum.complement());
    }
  }

  Nic& nic_;
  net::Capabilities capabilities_;
  PacketPool received_, written_, long_;
  std::deque<net::Packet> ring_;
  size_t in_flight_ = 0;
};

Nic::Nic(World& world, Network& network, const NicConfig& config, const Link& up, const Link& down)
    : world_(world),
      network_(network),
      config_(config),
      port_(network.attach(*this, config.mac, up, down)),
      random_(world.random("nic " + std::to_string(port_))) {
  for (size_t queue = 0; queue < config.queues; queue++) queues_.push_back(std::make_unique<Queue>(*this, config));
}

Nic::~Nic() = default;

net::Device& Nic::device(size_t queue) { return *queues_[queue]; }

void Nic::on_frame(base::Bytes arrived) {
  std::vector<uint8_t> frame(arrived.begin(), arrived.end());
  if (tamper_) tamper_(frame);
  auto ip_verdict = net::ChecksumVerdict::unknown, l4_verdict = net::ChecksumVerdict::unknown;
  if (config_.checksum_offload)
    if (auto at = look_at(frame)) {
      const bool ip_right = ip_checksum_right(frame, *at);
      ip_verdict = ip_right ? net::ChecksumVerdict::good : net::ChecksumVerdict::bad;
      if (ip_right && at->protocol == protocol_tcp && !at->fragment)
        l4_verdict = tcp_checksum_right(frame, *at) ? net::ChecksumVerdict::good : net::ChecksumVerdict::bad;
    }
  if (!queues_[queue_of(frame)]->arrive(frame, ip_verdict, l4_verdict)) lost_++;
}

size_t Nic::queue_of(base::Bytes frame) const {
  auto at = look_at(frame);
  if (queues_.size() == 1 || !at || at->protocol != protocol_tcp || at->fragment ||
      at->total_bytes < at->header_bytes + 4)
    return 0;
  std::array<uint8_t, 12> tuple;
  std::copy_n(&frame[ethernet_bytes + 12], 8, tuple.begin());
  std::copy_n(&frame[ethernet_bytes + at->header_bytes], 4, tuple.begin() + 8);
  return (base::hash_bytes(tuple) >> 7) % queues_.size();
}

size_t Nic::packets_out() const {
  size_t out = 0;
  for (const auto& queue : queues_) out += queue->packets_out();
  return out;
}

}  // namespace talaria::sim
