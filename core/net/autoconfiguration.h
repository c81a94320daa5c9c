// Which IPv6 addresses a host has: those it was given, and those it makes of what routers advertise (RFC 4862), each
// asked for on the link before it is used.
//
//   tentative --(nobody answers for a second)--> in use --(its lifetime is over)--> gone
//       '--(somebody has it)--> gone; of a made one the next is tried, three times
//
// A made address ends in 64 bits that are a keyed hash of the prefix (RFC 7217): the same whenever the host comes back
// to that network, another in every other one, and of no use to who scans for it.
//
// A state machine without a wire or a clock: it is told what was heard and what time it is, and says in `take_steps`
// what is to be done. Bounds: made_max addresses made, routers_max routers; who advertises more is not believed.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "core/base/hash.h"
#include "core/base/time.h"
#include "core/net/icmpv6.h"
#include "core/net/ip_address.h"

namespace talaria::net {

class Autoconfiguration {
 public:
  static constexpr size_t made_max = 4;
  static constexpr size_t routers_max = 4;

  struct Config {
    bool from_routers = false;  // addresses are made and routers used as they are advertised
    bool detect = true;         // asks for an address before it is used; false: a colleague does
    MacAddress mac{};
    base::HashKey secret;  // the same at every start, or addresses change
  };

  enum class Action : uint8_t {
    solicit,         // is `prefix.address` somebody's?
    ask_routers,     // to advertise themselves
    add_address,     // `prefix` is ours from now on
    remove_address,  // and no longer
    refuse_address,  // it is somebody else's
    add_router,      // `router` leads everywhere
    remove_router,
  };
  struct Step {
    Action action = Action::solicit;
    IpPrefix prefix{};
    IpAddress router{};
  };

  Autoconfiguration(const Config& config, base::Time now);

  // An address from the configuration. The link-local one is `link_local`.
  void assign(const IpPrefix& address, base::Time now);
  IpPrefix link_local() const { return {made_address(link_local_network(), 0), 64}; }

  void on_router_advertisement(const IpAddress& router, const RouterAdvertisement& advertisement, base::Time now);
  // Somebody else has a tentative address, or asks for it.
  void on_duplicate(const IpAddress& address, base::Time now);
  bool is_tentative(const IpAddress& address) const;
  // Calls visit(address) for each address that is ours or may become so.
  template <class Visit>
  void for_each_address(Visit visit) const {
    for (const Address& each : addresses_) visit(each.prefix.address);
  }

  // The link is there again, or at last: what was asked before, nobody may have heard.
  void on_link_up(base::Time now);
  void on_time(base::Time now);
  base::Time next_deadline() const;
  // In order; empty most of the time.
  std::vector<Step> take_steps() { return std::exchange(steps_, {}); }

 private:
  struct Address {
    IpPrefix prefix;
    bool tentative = true;
    bool made = false;
    uint8_t collisions = 0;
    base::Time detected{};  // when it is ours if nobody objects
    base::Time valid_until = base::never;
  };
  struct Router {
    IpAddress address;
    base::Time valid_until{};
  };

  static IpAddress link_local_network() { return {0xfe80ull << 48, 0}; }
  IpAddress made_address(const IpAddress& network, uint8_t collisions) const;
  void begin(Address address, base::Time now);
  void ask_routers_from(base::Time when);
  void take_prefix(const AdvertisedPrefix& advertised, base::Time now);
  void take_router(const IpAddress& router, uint16_t lifetime_seconds, base::Time now);

  Config config_;
  std::vector<Address> addresses_;
  std::vector<Router> routers_;
  std::vector<Step> steps_;
  uint8_t questions_left_ = 0;  // to routers
  base::Time question_due_ = base::never;
};

}  // namespace talaria::net
