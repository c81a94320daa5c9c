#include "core/tcp/secrets.h"

#include <algorithm>
#include <array>

namespace talaria::tcp {
namespace {

// A key of its own for each purpose, so that what one discloses says nothing about another.
base::HashKey derive(base::HashKey key, uint8_t purpose) {
  uint8_t label[2] = {purpose, 0};
  uint64_t k0 = base::siphash24(key, label);
  label[1] = 1;
  return {k0, base::siphash24(key, label)};
}

uint64_t hash_words(base::HashKey key, uint64_t a, uint64_t b, uint64_t c = 0) {
  uint8_t bytes[24];
  base::store_be64(bytes, a);
  base::store_be64(bytes + 8, b);
  base::store_be64(bytes + 16, c);
  return base::siphash24(key, bytes);
}

uint64_t word_of(const Tuple& tuple) {
  return uint64_t{tuple.remote_address} << 32 | uint64_t{tuple.remote_port} << 16 | tuple.local_port;
}

// The sizes that occur: the least anybody must take, PPPoE and tunnels, Ethernet, jumbo frames.
constexpr std::array<uint16_t, 8> cookie_mss = {64, 536, 1220, 1360, 1400, 1440, 1460, 8960};

uint64_t minute_of(base::Time now) { return static_cast<uint64_t>(now.time_since_epoch() / Secrets::cookie_lifetime); }

}  // namespace

Secrets::Secrets(base::HashKey key)
    : table_(derive(key, 1)),
      address_(derive(key, 5)),
      sequence_(derive(key, 2)),
      timestamp_(derive(key, 3)),
      cookie_(derive(key, 4)) {}

Sequence Secrets::initial_sequence(const Tuple& tuple, base::Time now) const {
  auto ticks = static_cast<uint64_t>(now.time_since_epoch() / std::chrono::microseconds(4));
  return static_cast<Sequence>(ticks + hash_words(sequence_, word_of(tuple), tuple.local_address));
}

uint32_t Secrets::timestamp_offset(const Tuple& tuple) const {
  return static_cast<uint32_t>(hash_words(timestamp_, word_of(tuple), tuple.local_address));
}

uint32_t Secrets::port_offset(Endpoint remote) const {
  return static_cast<uint32_t>(
      hash_words(sequence_, remote.address.high, remote.address.low, uint64_t{remote.port} << 1 | 1));
}

uint32_t Secrets::blurred_limit(uint32_t n, base::Time now) const {
  auto second = static_cast<uint64_t>(now.time_since_epoch() / std::chrono::seconds(1));
  return n / 2 + static_cast<uint32_t>(hash_words(timestamp_, second, 0, 2) % (n - n / 2 + 1));
}

uint32_t Secrets::cookie_hash(const Tuple& tuple, Sequence initial_receive, uint64_t minute, uint32_t mss_index) const {
  uint64_t second = uint64_t{initial_receive} << 32 | mss_index;
  return static_cast<uint32_t>(hash_words(cookie_, word_of(tuple), second, minute << 32 | tuple.local_address)) << 4;
}

Sequence Secrets::cookie(const Tuple& tuple, Sequence initial_receive, uint16_t peer_mss, base::Time now) const {
  auto above = std::upper_bound(cookie_mss.begin(), cookie_mss.end(), peer_mss);
  auto index = static_cast<uint32_t>(above == cookie_mss.begin() ? 0 : above - cookie_mss.begin() - 1);
  uint64_t minute = minute_of(now);
  return cookie_hash(tuple, initial_receive, minute, index) | index << 1 | static_cast<uint32_t>(minute & 1);
}

std::optional<uint16_t> Secrets::check_cookie(Sequence cookie, const Tuple& tuple, Sequence initial_receive,
                                              base::Time now) const {
  uint64_t minute = minute_of(now);
  if ((minute & 1) != (cookie & 1)) minute--;
  uint32_t index = cookie >> 1 & 7;
  if (cookie_hash(tuple, initial_receive, minute, index) != (cookie & ~uint32_t{15})) return {};
  return cookie_mss[index];
}

uint32_t Secrets::timestamp_with(uint32_t timestamp, const CookieOptions& options) {
  uint32_t low = (options.has_window_scale ? options.window_scale : 15u) << 1 | (options.sack_permitted ? 1u : 0u);
  uint32_t value = (timestamp & ~uint32_t{31}) | low;
  return value > timestamp ? value - 32 : value;  // never ahead of the clock
}

void Secrets::options_from(uint32_t timestamp, CookieOptions& options) {
  options.sack_permitted = (timestamp & 1) != 0;
  options.window_scale = timestamp >> 1 & 15;
  options.has_window_scale = options.window_scale != 15;
  if (!options.has_window_scale) options.window_scale = 0;
}

}  // namespace talaria::tcp
