// How much may be in flight: CUBIC and NewReno as arithmetic (RFC 9438, RFC 5681).
#include "core/tcp/congestion.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace talaria::tcp {
namespace {

using namespace std::chrono_literals;

constexpr uint32_t mss = 1460;

// A connection that always has more to send, on a path of one round-trip time.
struct Path {
  explicit Path(CongestionControl algorithm, base::Duration time = 100ms) : round_trip(time) {
    congestion.choose(algorithm);
  }
  void lose() {
    threshold = congestion.threshold_after_loss(window, mss);
    window = threshold;
  }
  // An ACK for every second segment, evenly over the round trip.
  void turn() {
    const uint32_t acks = std::max(window / (2 * mss), 1u);
    const base::Duration gap = round_trip / acks;
    for (uint32_t i = 0; i < acks; i++) {
      now += gap;
      congestion.grow(window, threshold, std::min(2 * mss, window), mss, now, round_trip);
    }
  }
  double segments() const { return static_cast<double>(window) / mss; }

  Congestion congestion;
  base::Duration round_trip;
  base::Time now{1s};
  uint32_t window = 10 * mss;
  uint32_t threshold = Congestion::window_max;
};

TEST(TcpCongestion, InitialWindow) {
  EXPECT_EQ(Congestion::initial_window(1460), 14600u);
  EXPECT_EQ(Congestion::initial_window(536), 5360u);
  EXPECT_EQ(Congestion::initial_window(8960), 17920u) << "two segments at least (RFC 6928)";
}

TEST(TcpCongestion, SlowStartDoubles) {
  for (auto algorithm : {CongestionControl::newreno, CongestionControl::cubic}) {
    Path path(algorithm);
    for (int i = 0; i < 3; i++) path.turn();
    EXPECT_NEAR(path.segments(), 80, 8);
  }
}

TEST(TcpCongestion, NewRenoHalvesAndAddsASegmentARoundTrip) {
  Path path(CongestionControl::newreno);
  path.window = 100 * mss;
  path.lose();
  EXPECT_EQ(path.window, 50 * mss);
  for (int i = 0; i < 20; i++) path.turn();
  EXPECT_NEAR(path.segments(), 70, 2);
}

TEST(TcpCongestion, CubicIsFlatWhereTheLossWasAndSteepBeyond) {
  Path path(CongestionControl::cubic);
  path.window = 400 * mss;
  path.lose();
  EXPECT_EQ(path.window, 280 * mss);
  const double plateau_after = std::cbrt(120 / 0.4);  // 6.7 s
  const base::Time lost = path.now;
  double worst = 0;
  for (int i = 0; i < 150; i++) {
    path.turn();
    const double t = std::chrono::duration<double>(path.now - lost).count();
    const double wanted = 400 + 0.4 * std::pow(t - plateau_after, 3);
    worst = std::max(worst, std::abs(path.segments() - wanted) / wanted);
  }
  EXPECT_LT(worst, 0.04);
  EXPECT_GT(path.segments(), 600);
}

TEST(TcpCongestion, CubicGrowsAsNewRenoWouldOnShortRoundTrips) {
  Path path(CongestionControl::cubic, 200us);
  path.window = 40 * mss;
  path.lose();
  for (int i = 0; i < 40; i++) path.turn();  // 8 ms: the cubic has not moved
  EXPECT_NEAR(path.segments(), 28 + 12 + (40 - 12 * 17 / 9.0), 3);
}

TEST(TcpCongestion, CubicMakesRoomWhenItLosesBeforeItsLastMaximum) {
  Path path(CongestionControl::cubic);
  path.window = 400 * mss;
  path.lose();
  path.lose();  // at 280
  for (int i = 0; i < 46; i++) path.turn();
  // The plateau is at 238, below where the loss was: flat there, at cbrt((238 - 196) / 0.4) = 4.7 s.
  EXPECT_NEAR(path.segments(), 238, 4);
}

TEST(TcpCongestion, CubicStandsStillWhileTheApplicationHasNothingToSay) {
  Path path(CongestionControl::cubic);
  path.window = 400 * mss;
  path.lose();
  for (int i = 0; i < 10; i++) path.turn();
  const double before = path.segments();
  path.now += 60s;
  path.turn();
  EXPECT_LT(path.segments(), before * 1.1);
}

TEST(TcpCongestion, NeitherZeroNorOverflow) {
  std::mt19937_64 random(1);
  const auto any = [&random](uint64_t n) { return random() % n; };
  for (auto algorithm : {CongestionControl::newreno, CongestionControl::cubic}) {
    for (int run = 0; run < 200; run++) {
      Path path(algorithm);
      const auto size = static_cast<uint32_t>(64 + any(65431));
      path.window = static_cast<uint32_t>(size + any(Congestion::window_max - size));
      for (int i = 0; i < 300; i++) {
        const uint32_t before = path.window;
        switch (any(8)) {
          case 0:
            path.threshold = path.congestion.threshold_after_loss(static_cast<uint32_t>(any(1ull << 32)), size);
            ASSERT_GE(path.threshold, 2 * size);
            ASSERT_LE(path.threshold, Congestion::window_max);
            path.window = any(2) ? path.threshold : size;
            break;
          case 1: path.now += base::Duration(any(1'000'000'000'000'000)); break;
          default:
            path.now += base::Duration(any(3) * any(1'000'000));
            path.congestion.grow(path.window, path.threshold, static_cast<uint32_t>(any(1ull << 31)), size, path.now,
                                 base::Duration(any(2) * any(1ull << (1 + any(45)))));
            ASSERT_GE(path.window, before);
            ASSERT_LE(path.window, Congestion::window_max);
        }
      }
    }
  }
}

TEST(TcpCongestion, ARoundTripOfNothingStillGrows) {
  for (auto algorithm : {CongestionControl::newreno, CongestionControl::cubic}) {
    Path path(algorithm, 0ns);
    path.window = 20 * mss;
    path.lose();
    const uint32_t before = path.window;
    for (int i = 0; i < 20; i++) path.turn();  // the clock stands still
    EXPECT_GT(path.window, before + 5 * mss);
    EXPECT_LT(path.window, before + 30 * mss);
  }
}

}  // namespace
}  // namespace talaria::tcp
