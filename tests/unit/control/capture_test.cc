// A capture from its start to its last part, with buffers in the test's hands.
#include "control/capture.h"

#include "tests/unit/control/fake_workers.h"

namespace talaria::control {
namespace {

class FakeBuffers final : public FrameBuffers {
 public:
  std::expected<void, std::string> open(const CaptureSettings& asked) override {
    if (asked.filter == "nonsense") return std::unexpected("the filter is none");
    settings = asked;
    is_open = true;
    return {};
  }
  std::vector<net::FrameWatcher*> watchers() override {
    // Nobody calls them here: what counts is who holds which.
    return {reinterpret_cast<net::FrameWatcher*>(&places[0]), reinterpret_cast<net::FrameWatcher*>(&places[1]),
            reinterpret_cast<net::FrameWatcher*>(&places[2])};
  }
  std::string take(size_t bytes_max, bool last) override {
    std::string part = waiting.substr(0, bytes_max);
    waiting.erase(0, part.size());
    if (last && waiting.empty() && part.size() < bytes_max) part += "|";
    return part;
  }
  uint64_t frames() const override { return 5; }
  uint64_t dropped() const override { return 2; }
  void close() override { is_open = false; }

  CaptureSettings settings;
  std::string waiting;
  bool is_open = false;
  uint64_t places[3] = {};
};

class CaptureTest : public PlaneTest {
 protected:
  uint64_t start() {
    auto number = capture.start({.port = "p", .filter = "f", .snap_length = 64});
    EXPECT_TRUE(number);
    settle();
    return *number;
  }
  net::FrameWatcher* watcher_of(size_t worker) const { return workers[worker]->watcher; }

  FakeBuffers buffers;
  Capture capture{*plane, &buffers};
};

TEST_F(CaptureTest, EveryWorkerGetsItsWatcher) {
  start();
  EXPECT_EQ(buffers.settings.port, "p");
  EXPECT_EQ(buffers.settings.filter, "f");
  EXPECT_EQ(buffers.settings.snap_length, 64u);
  for (size_t worker = 0; worker < 3; worker++) EXPECT_EQ(watcher_of(worker), buffers.watchers()[worker]);
}

TEST_F(CaptureTest, PartsAreReadUntilItIsStoppedAndDone) {
  const uint64_t number = start();
  buffers.waiting = "one";
  EXPECT_EQ(capture.read(number)->bytes, "one");
  EXPECT_EQ(capture.read(number)->bytes, "");
  EXPECT_TRUE(capture.stop(number));
  EXPECT_TRUE(capture.stop(number)) << "twice is no fault";
  buffers.waiting = "two";
  auto part = capture.read(number);
  EXPECT_FALSE(part->done) << "no worker has let go of its watcher";
  EXPECT_EQ(part->bytes, "two");
  settle();
  for (size_t worker = 0; worker < 3; worker++) EXPECT_EQ(watcher_of(worker), nullptr);
  buffers.waiting = std::string(Capture::part_bytes, 'x');
  part = capture.read(number);
  EXPECT_FALSE(part->done) << "there may be more";
  part = capture.read(number);
  EXPECT_TRUE(part->done);
  EXPECT_EQ(part->bytes, "|");
  EXPECT_EQ(part->frames, 5u);
  EXPECT_EQ(part->dropped, 2u);
  EXPECT_FALSE(buffers.is_open);
  EXPECT_EQ(capture.read(number).error().fault, Fault::not_found);
}

TEST_F(CaptureTest, OneAtATime) {
  const uint64_t number = start();
  EXPECT_EQ(capture.start({}).error().fault, Fault::in_use);
  EXPECT_TRUE(capture.stop(number));
  EXPECT_EQ(capture.start({}).error().fault, Fault::in_use) << "its buffers are still watched";
  settle();
  EXPECT_TRUE(capture.read(number)->done);
  const uint64_t next = start();
  EXPECT_NE(next, number);
  EXPECT_EQ(capture.stop(number).error().fault, Fault::not_found) << "a stale number";
}

TEST_F(CaptureTest, WhatCannotBeOpenedDoesNotStart) {
  EXPECT_EQ(capture.start({.port = "", .filter = "nonsense", .snap_length = 0}).error().fault, Fault::bad_argument);
  settle();
  EXPECT_EQ(watcher_of(0), nullptr);
  start();
}

TEST_F(CaptureTest, OneThatNobodyReadsEnds) {
  const uint64_t number = start();
  now += Capture::unread_max - std::chrono::seconds(1);
  settle();
  capture.poll(now);
  EXPECT_TRUE(capture.read(number));
  now += Capture::unread_max - std::chrono::seconds(1);
  capture.poll(now);
  EXPECT_TRUE(buffers.is_open) << "reading keeps it alive";
  now += std::chrono::seconds(1);
  workers[1]->held = true;
  capture.poll(now);
  settle();
  capture.poll(now);
  EXPECT_TRUE(buffers.is_open) << "worker 1 may still write there";
  workers[1]->held = false;
  settle();
  capture.poll(now);
  EXPECT_FALSE(buffers.is_open);
  EXPECT_EQ(capture.read(number).error().fault, Fault::not_found);
}

TEST_F(CaptureTest, WithoutBuffersThereIsNone) {
  Capture none(*plane, nullptr);
  EXPECT_EQ(none.start({}).error().fault, Fault::not_found);
}

}  // namespace
}  // namespace talaria::control
