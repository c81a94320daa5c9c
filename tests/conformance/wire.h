// Frames as scripts speak of them, written and read by hand: nothing of core/net or core/tcp is used, so that a
// misreading of the RFCs there is not repeated here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/bytes.h"

namespace talaria::conformance {

using Mac = std::array<uint8_t, 6>;
using Frame = std::vector<uint8_t>;

inline constexpr Mac everybody{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

enum Flags : uint8_t { fin = 1, syn = 2, rst = 4, psh = 8, ack = 16, urg = 32, ece = 64, cwr = 128 };

struct Timestamp {
  uint32_t value = 0;
  uint32_t echo = 0;
};

struct WireSegment {
  uint32_t source = 0, destination = 0;  // addresses
  uint16_t source_port = 0, destination_port = 0;
  uint32_t sequence = 0, acknowledgement = 0;
  uint8_t flags = 0;
  uint16_t window = 0;  // as it stands in the header
  uint16_t urgent = 0;
  std::optional<uint16_t> mss{};
  std::optional<uint8_t> window_scale{};
  bool sack_permitted = false;
  std::optional<Timestamp> timestamp{};
  std::vector<std::pair<uint32_t, uint32_t>> sacks{};
  std::vector<uint8_t> other_options{};  // in: what is none of the above; out: written behind them as they are
  std::vector<uint8_t> payload{};
  bool dont_fragment = false;
};

// What is wrong with, or special about, a frame that is sent.
struct Oddities {
  std::optional<unsigned> data_offset{};                    // instead of the right one, in words
  std::optional<unsigned> header_length{};                  // of IP, in words
  std::optional<unsigned> total_length{};                   // of IP
  std::optional<unsigned> cut{};                            // bytes of the frame that arrive
  std::optional<std::pair<unsigned, unsigned>> fragment{};  // these bytes of the IP payload
  uint16_t identification = 1;
  bool more_fragments = true;  // of a fragment that ends where the payload ends: false
  bool bad_l4_checksum = false;
  bool bad_ip_checksum = false;
};

struct WireArp {
  bool request = false;
  Mac sender_mac{}, target_mac{};
  uint32_t sender = 0, target = 0;
};

struct WireIcmp {
  uint32_t source = 0, destination = 0;
  uint8_t type = 0, code = 0;
  std::vector<uint8_t> body{};  // behind the checksum
};

// One frame that the stack sent; exactly one of the three is there, or `what` is all there is to say.
struct Sent {
  std::optional<WireSegment> segment{};
  std::optional<WireArp> arp{};
  std::optional<WireIcmp> icmp{};
  Mac to{};
  std::string what{};
};

std::vector<uint8_t> write_tcp(const WireSegment& segment, const Oddities& oddities = {});
std::vector<uint8_t> write_icmp(const WireIcmp& message, bool bad_checksum = false);
Frame write_ipv4(uint8_t protocol, uint32_t source, uint32_t destination, std::vector<uint8_t> payload, const Mac& from,
                 const Mac& to, const Oddities& oddities = {});
Frame write_arp(const WireArp& arp, const Mac& from, const Mac& to);

// Lengths and checksums are verified: a stack that sends a broken frame fails here. Throws Failure.
Sent read_frame(base::Bytes frame);

}  // namespace talaria::conformance
