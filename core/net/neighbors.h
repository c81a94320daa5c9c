// The neighbour (ARP) table of one host.
#pragma once

#include "core/net/device.h"
#include "core/net/ipv4.h"

namespace talaria::net {

struct LearnedNeighbor {
  Ipv4Address address;
  MacAddress mac{};
};

}  // namespace talaria::net
