#include "core/net/autoconfiguration.h"

#include <algorithm>

namespace talaria::net {
namespace {

using namespace std::chrono_literals;

// RFC 4862 5.1, RFC 4861 10, RFC 7217 6.
constexpr base::Duration detection_time = 1s;
constexpr base::Duration question_interval = 4s;
constexpr uint8_t questions_max = 3;
constexpr uint8_t collisions_max = 3;
constexpr uint32_t for_ever = 0xffffffff;
// What is left of a lifetime that an advertisement, which anybody can send, would end sooner (RFC 4862 5.5.3 e).
constexpr base::Duration lifetime_floor = std::chrono::hours(2);
constexpr uint8_t prefix_bits = 64;

base::Time end_of(uint32_t seconds, base::Time now) {
  return seconds == for_ever ? base::never : now + std::chrono::seconds(seconds);
}

}  // namespace

Autoconfiguration::Autoconfiguration(const Config& config, base::Time now) : config_(config) {
  ask_routers_from(now + detection_time);  // when the link-local address, from which it asks, can be used
}

void Autoconfiguration::ask_routers_from(base::Time when) {
  if (!config_.from_routers) return;
  questions_left_ = questions_max;
  question_due_ = when;
}

// RFC 7217 5. Sixty-four bits of SipHash under a key of ours.
IpAddress Autoconfiguration::made_address(const IpAddress& network, uint8_t collisions) const {
  uint8_t bytes[8 + 6 + 1];
  base::store_be64(bytes, network.high);
  std::copy(config_.mac.begin(), config_.mac.end(), bytes + 8);
  bytes[14] = collisions;
  uint64_t identifier = base::siphash24(config_.secret, bytes);
  if (identifier == 0) identifier = 1;                            // the routers' anycast address (RFC 4291 2.6.1)
  if (identifier >> 8 == 0xfdffffffffffff) identifier &= 0xffff;  // reserved for anycast (RFC 2526)
  return {network.high, identifier};
}

void Autoconfiguration::assign(const IpPrefix& address, base::Time now) { begin(Address{.prefix = address}, now); }

void Autoconfiguration::begin(Address address, base::Time now) {
  address.tentative = config_.detect;
  address.detected = now + detection_time;
  addresses_.push_back(address);
  steps_.push_back({.action = config_.detect ? Action::solicit : Action::add_address, .prefix = address.prefix});
}

bool Autoconfiguration::is_tentative(const IpAddress& address) const {
  return std::any_of(addresses_.begin(), addresses_.end(),
                     [&](const Address& each) { return each.tentative && each.prefix.address == address; });
}

void Autoconfiguration::on_duplicate(const IpAddress& address, base::Time now) {
  auto found = std::find_if(addresses_.begin(), addresses_.end(),
                            [&](const Address& each) { return each.tentative && each.prefix.address == address; });
  if (found == addresses_.end()) return;
  Address next = *found;
  addresses_.erase(found);
  steps_.push_back({.action = Action::refuse_address, .prefix = next.prefix});
  if (!next.made || next.collisions == collisions_max) return;
  next.collisions++;
  next.prefix.address = made_address(next.prefix.address, next.collisions);
  begin(next, now);
}

void Autoconfiguration::on_router_advertisement(const IpAddress& router, const RouterAdvertisement& advertisement,
                                                base::Time now) {
  if (!config_.from_routers) return;
  questions_left_ = 0;
  question_due_ = base::never;
  take_router(router, advertisement.lifetime_seconds, now);
  for (size_t i = 0; i < advertisement.prefix_count; i++) take_prefix(advertisement.prefixes[i], now);
}

void Autoconfiguration::take_router(const IpAddress& router, uint16_t lifetime_seconds, base::Time now) {
  auto found =
      std::find_if(routers_.begin(), routers_.end(), [&](const Router& each) { return each.address == router; });
  if (lifetime_seconds == 0) {
    if (found == routers_.end()) return;
    routers_.erase(found);
    steps_.push_back({.action = Action::remove_router, .router = router});
  } else if (found != routers_.end()) {
    found->valid_until = end_of(lifetime_seconds, now);
  } else if (routers_.size() < routers_max) {
    routers_.push_back({router, end_of(lifetime_seconds, now)});
    steps_.push_back({.action = Action::add_router, .router = router});
  }
}

// RFC 4862 5.5.3.
void Autoconfiguration::take_prefix(const AdvertisedPrefix& advertised, base::Time now) {
  const IpPrefix& prefix = advertised.prefix;
  if (!advertised.autonomous || prefix.bits != prefix_bits || !prefix.address.is_unicast() ||
      prefix.address.is_link_local() || advertised.preferred_seconds > advertised.valid_seconds)
    return;
  size_t made = 0;
  for (Address& each : addresses_) {
    if (!each.made) continue;
    made++;
    if (!prefix.contains(each.prefix.address)) continue;
    const base::Time end = end_of(advertised.valid_seconds, now);
    if (end > each.valid_until || end > now + lifetime_floor)
      each.valid_until = end;
    else if (each.valid_until > now + lifetime_floor)
      each.valid_until = now + lifetime_floor;
    return;
  }
  if (advertised.valid_seconds == 0 || made == made_max) return;
  begin({.prefix = {made_address(prefix.address, 0), advertised.on_link ? prefix_bits : uint8_t{128}},
         .made = true,
         .valid_until = end_of(advertised.valid_seconds, now)},
        now);
}

void Autoconfiguration::on_link_up(base::Time now) {
  for (Address& each : addresses_) {
    if (!each.tentative) continue;
    each.detected = now + detection_time;
    steps_.push_back({.action = Action::solicit, .prefix = each.prefix});
  }
  ask_routers_from(now + detection_time);
}

void Autoconfiguration::on_time(base::Time now) {
  if (question_due_ <= now) {
    steps_.push_back({.action = Action::ask_routers});
    question_due_ = --questions_left_ == 0 ? base::never : now + question_interval;
  }
  for (Address& each : addresses_) {
    if (!each.tentative || each.detected > now) continue;
    each.tentative = false;
    steps_.push_back({.action = Action::add_address, .prefix = each.prefix});
  }
  std::erase_if(addresses_, [&](const Address& each) {
    if (each.valid_until > now) return false;
    if (!each.tentative) steps_.push_back({.action = Action::remove_address, .prefix = each.prefix});
    return true;
  });
  std::erase_if(routers_, [&](const Router& each) {
    if (each.valid_until > now) return false;
    steps_.push_back({.action = Action::remove_router, .router = each.address});
    return true;
  });
}

base::Time Autoconfiguration::next_deadline() const {
  base::Time next = question_due_;
  for (const Address& each : addresses_)
    next = std::min({next, each.valid_until, each.tentative ? each.detected : base::never});
  for (const Router& each : routers_) next = std::min(next, each.valid_until);
  return next;
}

}  // namespace talaria::net
