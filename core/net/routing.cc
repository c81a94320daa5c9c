#include "core/net/routing.h"

#include <algorithm>

namespace talaria::net {

std::string to_text(const NetworkChange& change) {
  const std::string route = to_text(change.route.destination) + " by way of " + to_text(change.route.gateway);
  switch (change.kind) {
    case NetworkChange::Kind::address_added: return "address " + to_text(change.address) + " is in use";
    case NetworkChange::Kind::address_removed: return "address " + to_text(change.address) + " is gone";
    case NetworkChange::Kind::route_added: return "route to " + route;
    case NetworkChange::Kind::route_removed: return "no more route to " + route;
  }
  return {};
}

bool Routing::add_address(const IpPrefix& address) {
  if (is_ours(address.address) || addresses_.size() == addresses_max) return false;
  addresses_.push_back(address);
  return true;
}

bool Routing::remove_address(const IpAddress& address) {
  return std::erase_if(addresses_, [&](const IpPrefix& own) { return own.address == address; }) != 0;
}

bool Routing::add_route(const Route& route) {
  if (routes_.size() == routes_max || std::find(routes_.begin(), routes_.end(), route) != routes_.end()) return false;
  auto shorter = [&](const Route& other) { return other.destination.bits < route.destination.bits; };
  routes_.insert(std::find_if(routes_.begin(), routes_.end(), shorter), route);
  return true;
}

bool Routing::remove_route(const Route& route) { return std::erase(routes_, route) != 0; }

void Routing::apply(const NetworkChange& change) {
  switch (change.kind) {
    case NetworkChange::Kind::address_added: add_address(change.address); break;
    case NetworkChange::Kind::address_removed: remove_address(change.address.address); break;
    case NetworkChange::Kind::route_added: add_route(change.route); break;
    case NetworkChange::Kind::route_removed: remove_route(change.route); break;
  }
}

bool Routing::is_subnet_broadcast(Ipv4Address address) const {
  for (const IpPrefix& own : addresses_) {
    if (!own.address.is_v4() || own.bits > 30) continue;
    const uint32_t network = prefix_mask(own.bits);
    if (((address.value ^ own.address.v4().value) & network) != 0) continue;
    const uint32_t host = address.value & ~network;
    if (host == 0 || host == ~network) return true;
  }
  return false;
}

// How long the prefix of the network is that it is in; -1: in none of ours.
int Routing::network_towards(const IpAddress& destination) const {
  int longest = -1;
  for (const IpPrefix& own : addresses_)
    if (own.contains(destination)) longest = std::max<int>(longest, own.bits);
  return longest;
}

std::optional<IpAddress> Routing::next_hop(const IpAddress& destination) const {
  const int at_hand = network_towards(destination);
  for (const Route& route : routes_) {
    if (route.destination.bits <= at_hand) break;
    if (route.destination.contains(destination)) return route.gateway;
  }
  if (at_hand >= 0) return destination;
  return {};
}

int Routing::prefix_towards(const IpAddress& destination) const {
  int longest = network_towards(destination);
  for (const Route& route : routes_)
    if (route.destination.contains(destination)) longest = std::max<int>(longest, route.destination.bits);
  return longest;
}

IpAddress Routing::source_for(const IpAddress& destination) const {
  const IpAddress hop = next_hop(destination).value_or(destination);
  IpAddress best;
  int best_rank = -1;
  for (const IpPrefix& own : addresses_) {
    if (own.address.is_v4() != destination.is_v4()) continue;
    int rank = common_prefix_bits(own.address, destination);
    if (own.contains(hop)) rank += 256;
    if (own.address.is_link_local() == destination.is_link_local()) rank += 1024;
    if (rank <= best_rank) continue;
    best_rank = rank;
    best = own.address;
  }
  return best;
}

}  // namespace talaria::net
