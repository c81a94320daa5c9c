// A host on a port that the test holds in its hands.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <utility>
#include <vector>

#include "core/net/host.h"
#include "tests/unit/net/fake_device.h"

namespace talaria::net {

inline constexpr MacAddress our_mac{2, 0, 0, 0, 0, 1};

class HostOnFakeDevice : public testing::Test {
 protected:
  void start_with(const HostConfig& config) { host.emplace(config, device, base::HashKey{1, 2}); }
  void TearDown() override {
    host.reset();
    EXPECT_EQ(device.outstanding, 0u) << "a packet did not come home";
  }

  void receive(Frame frame) {
    device.arriving.push_back(std::move(frame));
    host->receive(now);
    host->flush();
  }
  void at(base::Duration since_start) {
    now = base::Time(since_start);
    host->on_time(now);
    host->flush();
  }
  void link_comes_up(base::Duration since_start) {
    now = base::Time(since_start);
    host->on_link_up(now);
    host->on_time(now);
    host->flush();
  }
  // The frames sent since the last call.
  std::vector<Frame> take() { return std::exchange(device.sent, {}); }

  FakeDevice device{our_mac};
  std::optional<Host> host;
  base::Time now{};
};

}  // namespace talaria::net
