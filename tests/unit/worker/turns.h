// A world of a test that goes on in turns of virtual time, until something is so.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "core/base/time.h"
#include "tests/support/amqp_client.h"

namespace talaria::worker {

class Turns {
 public:
  virtual ~Turns() = default;

  // One of everybody; `now` goes on.
  virtual void turn() = 0;

  void run(base::Duration time) {
    for (const base::Time until = now + time; now < until;) turn();
  }
  // False if it did not come true within `most`.
  bool run_until(const std::function<bool()>& done, base::Duration most = std::chrono::seconds(5)) {
    for (const base::Time until = now + most; now < until; turn())
      if (done()) return true;
    return done();
  }
  // Answers the wait for one method of a client.
  template <class Method>
  tests::Received await(tests::AmqpClient& client) {
    std::optional<tests::Received> found;
    run_until([&] { return (found = client.take<Method>()).has_value(); });
    EXPECT_TRUE(found.has_value()) << Method::name << " did not come";
    return found.value_or(tests::Received{});
  }

  base::Time now{std::chrono::seconds(1)};
};

}  // namespace talaria::worker
