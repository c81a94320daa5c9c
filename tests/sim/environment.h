// What the hosts of a run are like, drawn at random: links, cards, processors, TCP configurations, addresses.
#pragma once

#include "core/tcp/config.h"
#include "tests/sim/network.h"
#include "tests/sim/nic.h"
#include "tests/sim/peer.h"
#include "tests/sim/world.h"

namespace talaria::sim {

inline constexpr uint8_t server_number = 1;
inline constexpr uint8_t client_number = 10;

// 198.18.0.0/16, of RFC 2544's benchmark range.
constexpr uint32_t address_of(uint8_t number) { return 0xc6120000u + number; }
constexpr net::MacAddress mac_of(uint8_t number) { return {0x02, 0, 0, 0, 0, number}; }

// How bad it is out there, for one run; each link then differs.
struct Weather {
  double severity = 0;  // 0: nothing goes wrong; 1: as bad as it gets
  bool slow = false;    // links of a few Mbit/s and tens of milliseconds
};

Weather draw_weather(Random& random);
Link draw_link(Random& random, const Weather& weather);
NicConfig draw_nic(Random& random, uint8_t number);
tcp::Config draw_tcp(Random& random);
// Without name and links.
PeerConfig draw_peer(Random& random, uint8_t number);
Pace draw_pace(Random& random);

}  // namespace talaria::sim
