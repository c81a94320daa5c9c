#include "core/worker/mesh.h"

namespace talaria::worker {

ControlLane::~ControlLane() {
  for (ControlCommand command; commands.pop(command);) {
    if (auto* passed = std::get_if<PassAnswer>(&command)) delete passed->answer;
    if (auto* close = std::get_if<CloseSession>(&command)) delete close->text;
  }
  for (ControlReport report; reports.pop(report);)
    if (auto* asked = std::get_if<Asked>(&report)) delete asked->request;
}

}  // namespace talaria::worker
