// What is in flight: the records against one entry a byte, at random; and what happens when there are too few of them.
#include "core/tcp/flight.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace talaria::tcp {
namespace {

using namespace std::chrono_literals;

enum class Fate { flying, sacked, lost };
struct Byte {
  base::Time sent;
  Fate fate = Fate::flying;
  bool again = false;
};

// The slow, obvious way.
struct Model {
  Sequence start;
  std::vector<Byte> bytes;

  uint32_t count(Fate fate) const {
    return static_cast<uint32_t>(
        std::count_if(bytes.begin(), bytes.end(), [fate](const Byte& byte) { return byte.fate == fate; }));
  }
  Sequence end() const { return start + static_cast<Sequence>(bytes.size()); }
};

class FlightModel : public testing::TestWithParam<int> {};

TEST_P(FlightModel, RecordsSayWhatEveryByteSays) {
  std::mt19937 random(static_cast<unsigned>(GetParam()));
  const auto below = [&random](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  FlightMemory memory(200, std::pmr::get_default_resource());
  Flight flight{.tracked = true};
  Model model{.start = 0xffffff00u, .bytes = {}};  // wraps soon
  Rack rack{.highest = model.start};
  base::Time now{1s};
  for (int step = 0; step < 3000; step++) {
    now += base::Duration(below(3) * 1'000'000);
    const auto size = static_cast<uint32_t>(model.bytes.size());
    switch (below(6)) {
      case 0:
      case 1: {  // new bytes
        const uint32_t n = 1 + below(40);
        if (flight.count > 150) break;
        memory.sent(flight, model.end() + n, now, 0ns);
        model.bytes.resize(size + n, {.sent = now});
        break;
      }
      case 2: {  // a SACK block
        if (size == 0 || flight.count > 150) break;
        const uint32_t from = below(size), to = from + 1 + below(size - from);
        uint32_t expected = 0;
        for (uint32_t i = from; i < to; i++) expected += model.bytes[i].fate != Fate::sacked;
        Deliveries deliveries(rack, now);
        EXPECT_EQ(memory.sack(flight, model.start, {model.start + from, model.start + to}, deliveries), expected);
        for (uint32_t i = from; i < to; i++) model.bytes[i].fate = Fate::sacked;
        break;
      }
      case 3: {  // an acknowledgement
        if (size == 0 || below(3) != 0) break;
        const uint32_t n = 1 + below(std::min(size, 60u));
        Deliveries deliveries(rack, now);
        memory.acknowledge(flight, model.start, model.start + n, deliveries);
        model.bytes.erase(model.bytes.begin(), model.bytes.begin() + n);
        model.start += n;
        break;
      }
      case 4: {  // what is overdue is lost
        const base::Duration window{below(5) * 1'000'000};
        const base::Duration wait = memory.lose_overdue(flight, model.start, rack, window, now);
        if (!rack.any) break;
        for (uint32_t i = 0; i < size; i++) {
          Byte& byte = model.bytes[i];
          if (byte.fate == Fate::flying && byte.sent < rack.sent && (!byte.again || byte.sent < now) &&
              byte.sent + rack.round_trip + window <= now)
            byte.fate = Fate::lost;
          // A byte of the same time as the one that arrived: by its number, and that of its record's last.
          const bool waits = byte.fate == Fate::flying && byte.sent < rack.sent && byte.sent < now;
          EXPECT_TRUE(!waits || wait > 0ns);
        }
        if (flight.lost != model.count(Fate::lost)) {  // of the same time
          while (flight.lost > model.count(Fate::lost)) {
            auto next = std::find_if(model.bytes.begin(), model.bytes.end(), [&rack](const Byte& byte) {
              return byte.fate == Fate::flying && byte.sent == rack.sent;
            });
            ASSERT_NE(next, model.bytes.end());
            next->fate = Fate::lost;
          }
        }
        break;
      }
      default: {  // the first lost bytes go again
        if (flight.lost == 0 || flight.count > 150) break;
        const Range lost = memory.first_lost(flight, model.start);
        auto first = std::find_if(model.bytes.begin(), model.bytes.end(),
                                  [](const Byte& byte) { return byte.fate == Fate::lost; });
        ASSERT_EQ(lost.start, model.start + static_cast<Sequence>(first - model.bytes.begin()));
        const Range piece{lost.start, lost.start + 1 + below(lost.size())};
        memory.sent_again(flight, model.start, piece, model.end(), now, 0ns);
        for (Sequence at = piece.start; at != piece.end; at++, ++first) {
          ASSERT_EQ(first->fate, Fate::lost);
          *first = {.sent = now, .fate = Fate::flying, .again = true};
        }
      }
    }
    ASSERT_TRUE(flight.tracked);
    ASSERT_EQ(memory.check(flight, model.start, model.end()), memory.used());
    ASSERT_EQ(flight.sacked, model.count(Fate::sacked)) << "step " << step;
    ASSERT_EQ(flight.lost, model.count(Fate::lost)) << "step " << step;
  }
  memory.release(flight);
  EXPECT_EQ(memory.used(), 0u);
}
INSTANTIATE_TEST_SUITE_P(Seeds, FlightModel, testing::Range(1, 21));

class TcpFlight : public testing::Test {
 protected:
  static constexpr Sequence start = 5000;
  FlightMemory memory{4, std::pmr::get_default_resource()};
  Flight flight{.tracked = true};
  Rack rack{.highest = start};
  base::Time now{1s};
  uint32_t sack(Sequence from, Sequence to) {
    Deliveries deliveries(rack, now);
    return memory.sack(flight, start, {start + from, start + to}, deliveries);
  }
};

TEST_F(TcpFlight, ABurstIsOneRecord) {
  for (Sequence end = start + 100; end <= start + 6400; end += 100) memory.sent(flight, end, now, 10us);
  now += 10us;
  memory.sent(flight, start + 6500, now, 10us);
  EXPECT_EQ(flight.count, 1u);
  now += 1us;
  memory.sent(flight, start + 6600, now, 10us);
  EXPECT_EQ(flight.count, 2u);
}

TEST_F(TcpFlight, WithoutARecordNewBytesJoinTheLastOnes) {
  for (Sequence i = 1; i <= 6; i++) memory.sent(flight, start + 100 * i, now += 1ms, 0ns);
  EXPECT_TRUE(flight.tracked);
  EXPECT_EQ(memory.check(flight, start, start + 600), 4u);
}

TEST_F(TcpFlight, WithoutARecordASackIsNotRemembered) {
  for (Sequence i = 1; i <= 4; i++) memory.sent(flight, start + 100 * i, now += 1ms, 0ns);
  EXPECT_EQ(sack(110, 120), 0u);
  EXPECT_EQ(sack(100, 200), 100u) << "needs none";
  EXPECT_EQ(sack(100, 250), 50u) << "a border moves";
  EXPECT_EQ(memory.check(flight, start, start + 400), 4u);
}

TEST_F(TcpFlight, WithoutARecordTrackIsLostAndFoundAgain) {
  for (Sequence i = 1; i <= 4; i++) memory.sent(flight, start + 100 * i, now += 1ms, 0ns);
  memory.lose_all(flight, start);
  memory.sent_again(flight, start, {start, start + 50}, start + 400, now, 0ns);
  EXPECT_FALSE(flight.tracked);
  EXPECT_EQ(memory.used(), 0u);
  EXPECT_EQ(flight.tracked_again_at, start + 400);
  EXPECT_EQ(flight.lost, 0u);
  memory.track(flight, start + 400, start + 500, now);
  EXPECT_TRUE(flight.tracked);
  EXPECT_EQ(memory.check(flight, start + 400, start + 500), 1u);
}

TEST_F(TcpFlight, SackedRangesThatTouchAreOne) {
  memory.sent(flight, start + 1000, now, 0ns);
  EXPECT_EQ(sack(100, 200), 100u);
  EXPECT_EQ(sack(150, 400), 200u);
  EXPECT_EQ(memory.check(flight, start, start + 1000), 3u);
  EXPECT_EQ(sack(0, 1000), 700u);
  EXPECT_EQ(memory.check(flight, start, start + 1000), 1u);
}

// ---- RACK's arithmetic ----------------------------------------------------------------------------------------------

TEST(TcpRackWindow, IsNothingWithoutReorderingWhenDuplicatesAreMany) {
  Rack rack{.round_trip_min = 100ms};
  EXPECT_EQ(rack.window(200ms, false, false), 25ms);
  EXPECT_EQ(rack.window(200ms, false, true), 0ns);
  EXPECT_EQ(rack.window(200ms, true, false), 0ns);
  rack.overtaken = 1;
  EXPECT_EQ(rack.window(200ms, true, true), 25ms);
}

TEST(TcpRackWindow, GrowsAStepARoundTripWithDuplicatesAndIsForgotten) {
  Rack rack{.round_trip_min = 100ms, .overtaken = 1};
  rack.on_duplicate(1000, 2000);
  rack.on_duplicate(1500, 2000);
  EXPECT_EQ(rack.window(1s, false, false), 50ms);
  rack.on_duplicate(2000, 3000);
  EXPECT_EQ(rack.window(1s, false, false), 75ms);
  EXPECT_EQ(rack.window(60ms, false, false), 45ms);
  for (Sequence at = 3000; at < 20000; at += 1000) rack.on_duplicate(at, at + 1000);
  EXPECT_EQ(rack.window(60ms, false, false), 60ms) << "no more than a round trip";
  for (int i = 0; i < Rack::keep_recoveries; i++) rack.on_recovery_over();
  EXPECT_EQ(rack.window(1s, false, false), 25ms);
}

TEST(TcpRackWindow, HoldsForEveryRoundTrip) {
  Rack rack;  // none measured
  EXPECT_GE(rack.window(0ns, false, false), 0ns);
  EXPECT_LE(rack.window(1s, false, false), 1s);
  rack.round_trip_min = 0ns;
  EXPECT_EQ(rack.window(0ns, false, false), Rack::window_min);
}

TEST(TcpRackDeliveries, OriginalsBehindTheHighestAreReordering) {
  Rack rack{.highest = 1000};
  base::Time now{1s};
  {
    Deliveries deliveries(rack, now);  // one ACK: in whatever order its parts are looked at
    deliveries.add(now - 10ms, 3000, false);
    deliveries.add(now - 10ms, 2000, false);
  }
  EXPECT_EQ(rack.overtaken, 0u);
  {
    Deliveries deliveries(rack, now);
    deliveries.add(now - 10ms, 2500, true);
  }
  EXPECT_EQ(rack.overtaken, 0u) << "a retransmission filled the gap";
  {
    Deliveries deliveries(rack, now);
    deliveries.add(now - 10ms, 2500, false);
  }
  EXPECT_EQ(rack.overtaken, 1u);
}

TEST(TcpRackDeliveries, AnOldEchoIsNotTheRetransmissions) {
  Rack rack;
  base::Time now{1s};
  Deliveries first(rack, now);
  first.add(now - 20ms, 1000, false);
  ASSERT_EQ(rack.round_trip, 20ms);
  Deliveries second(rack, now);
  second.echoes(970);
  second.add(now - 25ms, 2000, true);  // sent again at 975
  EXPECT_EQ(rack.end, 1000u);
  Deliveries third(rack, now);
  third.add(now - 5ms, 2000, true);  // too soon for an answer
  EXPECT_EQ(rack.end, 1000u);
}

}  // namespace
}  // namespace talaria::tcp
