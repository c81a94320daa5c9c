// The addresses of one host, and where it sends what is for others: the networks at hand, and routes beyond them.
//
// Owned by one Host. The longest prefix wins, a network at hand before a route of the same length; a route of length 0
// is a default gateway. Fixed bounds: addresses_max, routes_max.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/net/ip_address.h"

namespace talaria::net {

inline constexpr size_t addresses_max = 16;
inline constexpr size_t routes_max = 64;

// Of our addresses and routes, as it came about after the start.
struct NetworkChange {
  enum class Kind : uint8_t { address_added, address_removed, route_added, route_removed };
  Kind kind = Kind::address_added;
  IpPrefix address{};
  Route route{};
};

// "address 198.18.0.50/24 is in use".
std::string to_text(const NetworkChange& change);

class Routing {
 public:
  // Each address with the length of its network's prefix; the first of a family is the one used when nothing else
  // decides.
  std::span<const IpPrefix> addresses() const { return addresses_; }
  std::span<const Route> routes() const { return routes_; }

  // False: it is there already, or there is no room.
  bool add_address(const IpPrefix& address);
  bool add_route(const Route& route);
  // False: it was not there.
  bool remove_address(const IpAddress& address);
  bool remove_route(const Route& route);
  void apply(const NetworkChange& change);

  bool is_ours(const IpAddress& address) const {
    for (const IpPrefix& own : addresses_)
      if (own.address == address) return true;
    return false;
  }
  // In the network of one of our addresses.
  bool on_link(const IpAddress& address) const {
    for (const IpPrefix& own : addresses_)
      if (own.contains(address)) return true;
    return false;
  }
  // The first or the last address of such a network (RFC 1122 3.2.1.3); a /31 has no broadcast address (RFC 3021), nor
  // has a /32.
  bool is_subnet_broadcast(Ipv4Address address) const;

  // The neighbour to which a packet for `destination` goes: itself or a gateway; empty if it cannot be reached.
  std::optional<IpAddress> next_hop(const IpAddress& destination) const;
  // How long the prefix of the network or route is that leads there; -1: none does.
  int prefix_towards(const IpAddress& destination) const;
  // Which of our addresses speaks to `destination`: one in the network of the next hop, else that which shares most
  // with it (RFC 6724 rule 8), of the same scope if there is one (rule 2); unspecified if there is none of its family.
  IpAddress source_for(const IpAddress& destination) const;

 private:
  int network_towards(const IpAddress& destination) const;

  std::vector<IpPrefix> addresses_;
  std::vector<Route> routes_;  // the longest prefix first
};

}  // namespace talaria::net
