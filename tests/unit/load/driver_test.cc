// Whole runs in virtual time: a driver and a sink on the two ends of a pipe in memory.
#include "load/driver.h"

#include <gtest/gtest.h>

#include <memory>

#include "load/sink.h"
#include "tests/support/pipe_device.h"

namespace talaria::load {
namespace {

using base::operator""us;
using base::operator""ms;
using base::operator""s;

constexpr net::Ipv4Address peer_address{0xc6120002};
constexpr net::Ipv4Address load_address{0xc6120003};

class World {
 public:
  World(const Plan& plan, Sink::Mode mode, bool publishes = true, uint16_t port = 5672) : pipe_(true) {
    Sink::Config sink;
    sink.host.addresses = {{peer_address, 24}};
    sink.host.announce = false;
    sink.tcp = tcp_config_for(plan);
    sink.key = {1, 2};
    sink.mode = mode;
    sink_ = std::make_unique<Sink>(sink, plan, pipe_.left);
    DriverConfig config;
    config.host.addresses = {{load_address, 24}};
    config.host.announce = false;
    config.tcp = tcp_config_for(plan);
    config.key = {3, 4};
    config.broker = {peer_address, port};
    config.against_sink = true;
    config.publishes = publishes;
    driver_ = std::make_unique<Driver>(config, plan, pipe_.right, now_);
  }

  // Until the run is over; each turn takes `step`.
  Result run(base::Duration step = 10us) {
    for (int turn = 0; turn < 3'000'000 && !driver_->over(); turn++) {
      if (!stalled_) {
        sink_->receive(now_);
        sink_->turn(now_);
      }
      driver_->receive(now_);
      driver_->turn(now_);
      now_ += step;
      if (driver_->phase() == Phase::measuring && pause_ != base::Duration::zero()) {
        now_ += pause_;
        pause_ = {};
      }
    }
    EXPECT_TRUE(driver_->over()) << to_text(driver_->phase());
    return driver_->result();
  }
  // The load's loop is not let run for that long, once, in the measured window.
  void pause_once(base::Duration duration) { pause_ = duration; }
  void silence_peer() { stalled_ = true; }

 private:
  tests::Pipe pipe_;
  std::unique_ptr<Sink> sink_;
  std::unique_ptr<Driver> driver_;
  base::Time now_{1s};
  base::Duration pause_{};
  bool stalled_ = false;
};

Plan short_plan() {
  Plan plan;
  plan.warm_up = 10ms;
  plan.window = 50ms;
  return plan;
}

TEST(Driver, PublishesFlatOutToASink) {
  World world(short_plan(), Sink::Mode::swallow);
  const Result result = world.run();
  EXPECT_EQ(result.failure, "");
  EXPECT_NEAR(static_cast<double>(result.window.count()), 50e6, 1e5);
  EXPECT_GT(result.publish_rate(), 1'000'000);
}

TEST(Driver, TakesWhatASinkEmitsInOrder) {
  for (const Acks acks : {Acks::none, Acks::single, Acks::multiple}) {
    Plan plan = short_plan();
    plan.queues = plan.consumers = 3;
    plan.acks = acks;
    World world(plan, Sink::Mode::emit, false);
    const Result result = world.run();
    EXPECT_EQ(result.failure, "");
    EXPECT_GT(result.deliver_rate(), 1'000'000);
    EXPECT_EQ(result.reordered, 0u);
    EXPECT_EQ(result.duplicated, 0u);
    EXPECT_EQ(result.strangers, 0u);
    EXPECT_GT(result.latency.total(), 1000u);
  }
}

TEST(Driver, OneConsumerTakesFromSeveralQueues) {
  Plan plan = short_plan();
  plan.queues = 20;
  plan.consumers = 3;
  World world(plan, Sink::Mode::swallow);
  EXPECT_EQ(world.run().failure, "");
}

TEST(Driver, BodiesOfAnySizeGoOut) {
  Plan plan = short_plan();
  plan.sizes = {{16, 1}, {4000, 1}, {5000, 1}, {300'000, 1}};
  World world(plan, Sink::Mode::swallow);
  const Result result = world.run();
  EXPECT_EQ(result.failure, "");
  EXPECT_GT(result.end.published - result.begin.published, 100u);
}

TEST(Driver, PacesAllProducersTogether) {
  for (const uint32_t producers : {1u, 3u, 100u}) {
    Plan plan = short_plan();
    plan.producers = producers;
    plan.rate = 100'000;
    World world(plan, Sink::Mode::swallow);
    const Result result = world.run();
    EXPECT_EQ(result.failure, "");
    EXPECT_NEAR(static_cast<double>(result.end.published - result.begin.published), 5000, 5) << producers;
    EXPECT_LT(result.send_lag_max, 50us) << producers;
  }
}

// What was missed in a stall is sent after it, and is told to be late: nothing is left out.
TEST(Driver, AStallIsCaughtUpAndTold) {
  Plan plan = short_plan();
  plan.rate = 100'000;
  World world(plan, Sink::Mode::swallow);
  world.pause_once(20ms);
  const Result result = world.run();
  EXPECT_NEAR(static_cast<double>(result.end.published - result.begin.published), 5000, 5);
  EXPECT_GE(result.send_lag_max, 19ms);
  EXPECT_GE(result.turn_lengths.max(), 20'000'000u);
}

TEST(Driver, OpensManyConnections) {
  Plan plan = short_plan();
  plan.producers = 700;
  plan.consumers = plan.queues = 500;
  World world(plan, Sink::Mode::swallow);
  EXPECT_EQ(world.run().failure, "");
}

// A sink keeps nothing: its queues stay empty, and that is noticed.
TEST(Driver, MessagesAtRestMustBeInTheQueues) {
  Plan plan = short_plan();
  plan.at_rest = 5000;
  plan.setup_patience = 200ms;
  World world(plan, Sink::Mode::swallow);
  const Result result = world.run(100us);
  EXPECT_EQ(result.failure, "of 5000 messages 0 are in the queues");
}

TEST(Driver, ARefusedConnectionEndsTheRun) {
  World world(short_plan(), Sink::Mode::swallow, true, 5673);
  const Result result = world.run(100us);
  EXPECT_NE(result.failure.find("refused"), std::string::npos) << result.failure;
  EXPECT_FALSE(result.whole());
}

TEST(Driver, SilenceEndsTheRun) {
  Plan plan = short_plan();
  plan.setup_patience = 500ms;
  World world(plan, Sink::Mode::swallow);
  world.silence_peer();
  EXPECT_NE(world.run(100us).failure.find("does not answer"), std::string::npos);
}

}  // namespace
}  // namespace talaria::load
