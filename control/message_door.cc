#include "control/message_door.h"

#include <algorithm>
#include <chrono>

namespace talaria::control {

bool MessageDoor::poll(base::Time now) {
  bool busy = false;
  std::erase_if(under_way_, [&](UnderWay& each) {
    std::optional<std::string> reply = commands_.finish(each.pending);
    if (!reply) return false;
    answer(each.command, *std::move(reply));
    return busy = true;
  });
  allowance_ = std::min<double>(
      commands_per_second,
      allowance_ + std::chrono::duration<double>(now - std::exchange(filled_, now)).count() * commands_per_second);
  while (allowance_ >= 1) {
    std::optional<Plane::Command> command = plane_.take_command();
    if (!command) break;
    busy = true;
    allowance_ -= 1;
    Commands::Pending pending;
    if (std::optional<std::string> reply = start(*command, pending))
      answer(*command, *std::move(reply));
    else
      under_way_.push_back({*std::move(command), std::move(pending)});
  }
  return busy;
}

std::optional<std::string> MessageDoor::start(const Plane::Command& command, Commands::Pending& pending) {
  const Plane::Acting acting(plane_, command.user);
  return commands_.start_for(command.user, command.vhost, command.request.command, command.request.arguments, pending);
}

void MessageDoor::answer(const Plane::Command& command, std::string reply) {
  if (reply.size() > reply_bytes_max) reply = Commands::too_large("1 MiB");
  plane_.answer_command(command, std::move(reply));
}

}  // namespace talaria::control
