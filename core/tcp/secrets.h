// Numbers that a stranger must not guess, all from one secret key: initial sequence numbers (RFC 6528), timestamp
// offsets (RFC 7323 7.1), SYN cookies (RFC 4987 3.6). Pure functions of key, tuple and time: every worker that holds
// the key can check what another one made.
//
// A cookie is the initial sequence number of a SYN-ACK that nothing was stored for:
//
//   31                            4 3   1 0
//  +-------------------------------+-----+-+
//  |  28 bits of a keyed hash      | mss |t|      t: the parity of the minute it was made in
//  +-------------------------------+-----+-+
//
// and with timestamps the low 5 bits of the SYN-ACK's timestamp carry the other options: window scale (15: none), SACK.
#pragma once

#include <cstdint>
#include <optional>

#include "core/base/hash.h"
#include "core/base/time.h"
#include "core/tcp/sequence.h"
#include "core/tcp/tuple.h"

namespace talaria::tcp {

// What a SYN told, as far as a cookie can carry it.
struct CookieOptions {
  uint16_t peer_mss = 536;
  bool sack_permitted = false;
  bool has_window_scale = false;
  uint8_t window_scale = 0;
};

class Secrets {
 public:
  // How long a cookie may take to come back, at least.
  static constexpr base::Duration cookie_lifetime = std::chrono::seconds(64);

  explicit Secrets(base::HashKey key);

  base::HashKey table_key() const { return table_; }
  base::HashKey address_key() const { return address_; }

  // Grows by one each 4 microseconds for one tuple, and tells nothing about another tuple's.
  Sequence initial_sequence(const Tuple& tuple, base::Time now) const;
  // Added to the millisecond clock to make the timestamps of one tuple.
  uint32_t timestamp_offset(const Tuple& tuple) const;
  // Where the search for an ephemeral port towards a peer begins (RFC 6056 3.3.3).
  uint32_t port_offset(Endpoint remote) const;
  // A number in [n/2, n] that changes every second: a limit that cannot be measured (CVE-2016-5696).
  uint32_t blurred_limit(uint32_t n, base::Time now) const;

  Sequence cookie(const Tuple& tuple, Sequence initial_receive, uint16_t peer_mss, base::Time now) const;
  // The MSS, if the cookie is one that was made for this tuple within the last one or two lifetimes.
  std::optional<uint16_t> check_cookie(Sequence cookie, const Tuple& tuple, Sequence initial_receive,
                                       base::Time now) const;
  // A timestamp at or a little before `timestamp` that carries the options, and back.
  static uint32_t timestamp_with(uint32_t timestamp, const CookieOptions& options);
  static void options_from(uint32_t timestamp, CookieOptions& options);

 private:
  uint32_t cookie_hash(const Tuple& tuple, Sequence initial_receive, uint64_t minute, uint32_t mss_index) const;

  base::HashKey table_;
  base::HashKey address_;
  base::HashKey sequence_;
  base::HashKey timestamp_;
  base::HashKey cookie_;
};

}  // namespace talaria::tcp
