#include "load/frame_reader.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "core/amqp091/wire/deliver.h"
#include "load/plan.h"
#include "load/routes.h"

namespace talaria::load {
namespace {

namespace wire = amqp091::wire;

// Everything a handler is told, as text.
struct Told {
  std::string text;
  void on_method(uint16_t channel, base::Bytes payload) {
    text += "m" + std::to_string(channel) + ":" + std::to_string(wire::load_method_id(payload)) + "/" +
            std::to_string(payload.size()) + " ";
  }
  void on_header(uint64_t size) { text += "h" + std::to_string(size) + " "; }
  void on_body(base::Bytes first) {
    text += "b" + std::to_string(first.size());
    if (first.size() == stamp_bytes) text += "#" + std::to_string(load_stamp(first.data()).sequence);
    text += " ";
  }
  void on_body_end(uint32_t bytes) { text += "e" + std::to_string(bytes) + " "; }
};

// Publishes of several sizes, as a Publishes encodes them.
std::vector<uint8_t> messages(std::vector<BodySize> sizes, uint64_t count) {
  Plan plan;
  plan.sizes = std::move(sizes);
  const Publishes publishes(plan, routes_of(plan));
  std::vector<uint8_t> all;
  for (uint64_t n = 0; n < count; n++) {
    const uint32_t size = publishes.size_index(n);
    const size_t at = all.size();
    all.resize(at + publishes.bytes(0, size));
    publishes.store(all.data() + at, 0, size, {base::Time{}, 0, n});
  }
  return all;
}

TEST(FrameReader, ReadsWholeFramesWhereTheyLie) {
  FrameReader reader;
  Told told;
  ASSERT_TRUE(reader.read(messages({{100, 1}}, 2), told));
  const std::string method = "m1:" + std::to_string(wire::basic::Publish::id) + "/";
  EXPECT_NE(told.text.find("h100 b16#0 e100 "), std::string::npos) << told.text;
  EXPECT_NE(told.text.find("h100 b16#1 e100 "), std::string::npos) << told.text;
  EXPECT_EQ(told.text.find(method), 0u) << told.text;
}

TEST(FrameReader, EveryCutSaysTheSame) {
  const std::vector<uint8_t> bytes = messages({{16, 1}, {100, 2}, {3000, 1}, {140'000, 1}}, 12);
  Told whole;
  {
    FrameReader reader;
    ASSERT_TRUE(reader.read(bytes, whole));
  }
  EXPECT_NE(whole.text.find("e131064"), std::string::npos) << "a body in two frames";
  std::mt19937_64 random(3);
  for (const size_t cut_max : {1uz, 2uz, 7uz, 8uz, 23uz, 24uz, 100uz, 1460uz, 9000uz}) {
    FrameReader reader;
    Told told;
    for (size_t at = 0; at < bytes.size();) {
      const size_t count = std::min<size_t>(bytes.size() - at, 1 + random() % cut_max);
      ASSERT_TRUE(reader.read({bytes.data() + at, count}, told));
      at += count;
    }
    ASSERT_EQ(told.text, whole.text) << cut_max;
  }
}

TEST(FrameReader, RefusesWhatIsNoFrame) {
  const auto refuses = [](std::vector<uint8_t> bytes) {
    FrameReader reader;
    Told told;
    return !reader.read(bytes, told);
  };
  std::vector<uint8_t> good = messages({{100, 1}}, 1);
  EXPECT_FALSE(refuses(good));
  auto bad_type = good;
  bad_type[0] = 9;
  EXPECT_TRUE(refuses(bad_type));
  auto bad_end = good;
  bad_end.back() = 0;
  EXPECT_TRUE(refuses(bad_end));
  auto too_long = good;
  too_long[3] = 0xff;
  EXPECT_TRUE(refuses(too_long));
  EXPECT_TRUE(refuses({1, 0, 1, 0, 0, 0, 1, 0, wire::frame_end})) << "a method of one octet";

  // A bad end behind a body that came in pieces.
  FrameReader reader;
  Told told;
  const size_t cut = good.size() - 10;
  ASSERT_TRUE(reader.read({bad_end.data(), cut}, told));
  EXPECT_FALSE(reader.read({bad_end.data() + cut, 10}, told));
}

}  // namespace
}  // namespace talaria::load
