#include "core/worker/mesh.h"

namespace talaria::worker {

ControlLane::~ControlLane() {
  for (ControlCommand command; commands.pop(command);) {
    if (auto* passed = std::get_if<PassAnswer>(&command)) delete passed->answer;
    if (auto* close = std::get_if<CloseSession>(&command)) delete close->text;
    if (auto* revoke = std::get_if<RevokeConsumer>(&command)) delete revoke->consumer;
    if (auto* announce = std::get_if<Announce>(&command)) delete announce->announcement;
  }
  for (ControlReport report; reports.pop(report);)
    if (auto* asked = std::get_if<Asked>(&report))
      delete asked->request;
    else if (auto* changed = std::get_if<NetworkChanged>(&report))
      delete changed->text;
}

}  // namespace talaria::worker
