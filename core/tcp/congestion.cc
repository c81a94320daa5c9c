#include "core/tcp/congestion.h"

#include <algorithm>

namespace talaria::tcp {
namespace {

// RFC 9438 4: C = 0.4 segments per second cubed, beta = 0.7.
constexpr uint64_t beta_tenths = 7;
constexpr uint32_t time_max = 1u << 20;  // milliseconds: of both sides of the plateau

// 0.4 mss (milliseconds / 1000)^3: at most 2^60 / 10^6 * 2^16 * 4 on the way.
uint64_t cubic(uint64_t milliseconds, uint32_t mss) {
  const uint64_t cube = milliseconds * milliseconds * milliseconds / 1'000'000;  // thousandths
  return cube * 4 * mss / 10'000;
}

uint32_t cube_root(uint64_t value) {
  uint64_t root = 0;
  for (uint64_t bit = time_max; bit > 0; bit /= 2)
    if ((root + bit) * (root + bit) * (root + bit) <= value) root += bit;
  return static_cast<uint32_t>(root);
}

}  // namespace

uint32_t Congestion::initial_window(uint32_t mss) { return std::min(10 * mss, std::max(2 * mss, 14600u)); }

uint32_t Congestion::threshold_after_loss(uint32_t in_flight, uint32_t mss) {
  in_flight = std::min(in_flight, window_max);
  credit_ = 0;
  in_epoch_ = false;
  if (algorithm_ == CongestionControl::newreno) return std::max(in_flight / 2, 2 * mss);  // RFC 5681 eq. 4
  // RFC 9438 4.7, fast convergence: whoever loses before the last plateau makes room for newcomers.
  last_max_ = in_flight < last_max_ ? static_cast<uint32_t>(uint64_t{in_flight} * (10 + beta_tenths) / 20) : in_flight;
  return std::max(static_cast<uint32_t>(in_flight * beta_tenths / 10), 2 * mss);
}

void Congestion::avoid(uint32_t& window, uint32_t acknowledged, uint32_t mss, base::Time now,
                       base::Duration round_trip) {
  if (algorithm_ == CongestionControl::cubic) {
    window = std::min(grow_cubic(window, acknowledged, mss, now, round_trip), window_max);
    return;
  }
  credit_ = std::min(credit_ + std::min(acknowledged, window), 2 * window);
  if (credit_ < window) return;
  credit_ -= window;
  window = std::min(window + mss, window_max);
}

// RFC 9438 4.2 to 4.5. At most half as much again in a round trip.
uint32_t Congestion::grow_cubic(uint32_t window, uint32_t acknowledged, uint32_t mss, base::Time now,
                                base::Duration round_trip) {
  if (!in_epoch_) begin_epoch(window, mss, now);
  // While the application had less to send than it might have, the cubic stands still (RFC 9438 5.8).
  const base::Duration gap = now - grown_;
  if (gap > 2 * round_trip) epoch_ += gap;
  grown_ = now;

  acknowledged = std::min(acknowledged, window);
  const uint64_t share = uint64_t{acknowledged} * mss / window;  // of a segment, by bytes of the window
  // As fast as NewReno with beta 0.5 would on average: alpha = 3 (1 - beta) / (1 + beta), and 1 beyond the last loss.
  estimate_ = static_cast<uint32_t>(
      std::min<uint64_t>(estimate_ + (estimate_ < last_max_ ? share * 9 / 17 : share), window_max));

  const int64_t elapsed = (now - epoch_ + std::clamp(round_trip, base::Duration{}, base::Duration(1s))) / 1ms;
  const int64_t from_origin = std::clamp<int64_t>(elapsed - origin_after_, -int64_t{time_max}, int64_t{time_max});
  const uint64_t height = cubic(static_cast<uint64_t>(from_origin < 0 ? -from_origin : from_origin), mss);
  const uint64_t target = from_origin < 0 ? origin_ - std::min<uint64_t>(height, origin_) : origin_ + height;
  if (target < estimate_) return std::max(window, estimate_);
  if (target <= window) return window;
  const uint64_t step = std::min<uint64_t>(target - window, window / 2);
  return window + static_cast<uint32_t>(step * acknowledged / window);
}

void Congestion::begin_epoch(uint32_t window, uint32_t mss, base::Time now) {
  in_epoch_ = true;
  epoch_ = grown_ = now;
  estimate_ = window;
  origin_ = std::max(window, last_max_);
  // K: where the cubic that begins at the window reaches the plateau; (plateau - window) / 0.4 mss, in ms cubed.
  origin_after_ = cube_root(uint64_t{origin_ - window} * 2'500'000'000 / mss);
}

}  // namespace talaria::tcp
