// The other door to the commands: messages to the exchange amq.talaria.management, of which the plane has the sessions'
// side (plane_manage.cc). Who may give which command his account's tags say; by the control socket everybody may give
// all.
//
// The control thread alone calls it. Bounds: a connection has one command under way (its session sees to that);
// `commands_per_second` of all connections together, the others wait; arguments of Manage::arguments_max, an answer of
// `reply_bytes_max`.
#pragma once

#include <string>
#include <vector>

#include "control/commands.h"
#include "control/plane.h"
#include "core/base/time.h"

namespace talaria::control {

class MessageDoor {
 public:
  static constexpr unsigned commands_per_second = 200;
  static constexpr size_t reply_bytes_max = 1 << 20;

  MessageDoor(Plane& plane, Commands& commands) : plane_(plane), commands_(commands) {}

  // Bounded work; true if there was any.
  bool poll(base::Time now);

 private:
  struct UnderWay {
    Plane::Command command;
    Commands::Pending pending;
  };
  // Nothing: it is under way.
  std::optional<std::string> start(const Plane::Command& command, Commands::Pending& pending);
  void answer(const Plane::Command& command, std::string reply);

  Plane& plane_;
  Commands& commands_;
  std::vector<UnderWay> under_way_;
  base::Time filled_{};
  double allowance_ = commands_per_second;
};

}  // namespace talaria::control
