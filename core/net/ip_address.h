// An address of either family, and what is built of it: prefixes, routes.
//
// An IPv4 address is kept as its mapped form ::ffff:a.b.c.d (RFC 4291 2.5.5.2), two words in registers whatever the
// family. The mapped form never stands on a wire: an IPv6 packet that carries one is dropped (RFC 4942 2.2).
//
// Pure values; any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/bytes.h"
#include "core/net/ipv4.h"

namespace talaria::net {

enum class IpFamily : uint8_t { v4, v6 };

struct IpAddress {
  uint64_t high = 0;  // the first eight bytes, in host byte order
  uint64_t low = 0;

  constexpr IpAddress() = default;  // ::, no address at all
  constexpr IpAddress(uint64_t first, uint64_t last) : high(first), low(last) {}
  constexpr IpAddress(Ipv4Address address) : low(mapped | address.value) {}

  auto operator<=>(const IpAddress&) const = default;

  constexpr bool is_v4() const { return high == 0 && (low & ~uint64_t{0xffffffff}) == mapped; }
  constexpr IpFamily family() const { return is_v4() ? IpFamily::v4 : IpFamily::v6; }
  constexpr Ipv4Address v4() const { return {static_cast<uint32_t>(low)}; }  // of an IPv4 address

  constexpr bool is_unspecified() const { return high == 0 && (low == 0 || low == mapped); }
  constexpr bool is_loopback() const { return is_v4() ? v4().is_loopback() : high == 0 && low == 1; }
  constexpr bool is_multicast() const { return is_v4() ? v4().is_multicast() : high >> 56 == 0xff; }
  constexpr bool is_link_local() const { return is_v4() ? low >> 16 == 0xffffa9fe : high >> 54 == 0xfe80 >> 6; }
  // Of one host: what may stand as the address of an interface or as a source.
  constexpr bool is_unicast() const {
    return !is_unspecified() && !is_multicast() && !is_loopback() && !(is_v4() && v4().is_broadcast());
  }

 private:
  static constexpr uint64_t mapped = uint64_t{0xffff} << 32;
};

inline constexpr size_t ipv6_address_bytes = 16;

inline IpAddress load_ipv6_address(const uint8_t* at) { return {base::load_be64(at), base::load_be64(at + 8)}; }
inline void store_ipv6_address(uint8_t* at, const IpAddress& address) {
  base::store_be64(at, address.high);
  base::store_be64(at + 8, address.low);
}

constexpr uint8_t address_bits(IpFamily family) { return family == IpFamily::v4 ? 32 : 128; }

// True if the first `bits` of two addresses of one family are the same; false for addresses of two.
bool same_prefix(const IpAddress& a, const IpAddress& b, uint8_t bits);
// How many leading bits two addresses of one family share; 0 for addresses of two.
uint8_t common_prefix_bits(const IpAddress& a, const IpAddress& b);

// A network, or a host in one: "198.18.0.2/24", "2001:db8::2/64".
struct IpPrefix {
  IpAddress address;
  uint8_t bits = 0;

  bool operator==(const IpPrefix&) const = default;
  bool contains(const IpAddress& other) const { return same_prefix(address, other, bits); }
};

// The network's own address: nothing behind the prefix.
IpAddress first_of(const IpPrefix& prefix);

// What is sent to `destination` goes by way of `gateway`, a neighbour.
struct Route {
  IpPrefix destination;
  IpAddress gateway;

  bool operator==(const Route&) const = default;
};

// To everywhere else in the gateway's family.
constexpr Route default_route(const IpAddress& gateway) {
  return {{gateway.is_v4() ? IpAddress(Ipv4Address{}) : IpAddress(), 0}, gateway};
}

// "198.18.0.1" or "2001:db8::1"; empty if it is neither. No zone, no IPv4 in the last words of an IPv6 address.
std::optional<IpAddress> parse_ip_address(std::string_view text);
std::string to_text(const IpAddress& address);  // RFC 5952
std::string to_text(const IpPrefix& prefix);

// The sum of the pseudo-header of TCP, UDP and ICMPv6 (RFC 9293 3.1, RFC 8200 8.1).
inline uint64_t pseudo_header_sum(const IpAddress& source, const IpAddress& destination, IpProtocol protocol,
                                  size_t l4_bytes) {
  if (source.is_v4()) return pseudo_header_sum(source.v4(), destination.v4(), protocol, l4_bytes);
  uint64_t sum = 0;
  for (uint64_t word : {source.high, source.low, destination.high, destination.low}) {
    word = __builtin_bswap64(word);
    sum += (word & 0xffffffff) + (word >> 32);
  }
  return sum + (static_cast<uint64_t>(protocol) << 8) + __builtin_bswap16(static_cast<uint16_t>(l4_bytes));
}

}  // namespace talaria::net
