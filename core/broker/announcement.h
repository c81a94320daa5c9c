// A message that the broker itself publishes: something happened, or was logged. Made by the control plane, published
// by a worker to whatever is bound to the exchange, or to whoever awaits an answer to a command: no confirm, no return.
// Where there is no room for it, it waits; where too many wait, it is lost and counted.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/broker/address.h"

namespace talaria::broker {

struct Announcement {
  VhostId vhost;
  std::string exchange;
  std::string routing_key;          // at most 255 octets
  std::vector<uint8_t> properties;  // as the front end's wire has them
  std::string body;
  bool persistent = true;
};

}  // namespace talaria::broker
