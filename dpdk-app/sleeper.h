// How a worker sleeps until a packet, a colleague, or a time. Made by the main thread, used by the worker's.
#pragma once

#include <poll.h>

#include <vector>

#include "core/base/time.h"
#include "dpdk-app/doorbell.h"
#include "dpdk-app/packet_signal.h"

namespace talaria::app {

class Sleeper {
 public:
  // The bell outlives the sleeper. A signal for each port; without one its packets do not end a sleep.
  Sleeper(Doorbell& bell, std::vector<PacketSignal> signals);

  // From here on a packet and a ring end the next sleep; what came before must be looked for once more.
  void arm();
  // Returns at once if there was one of them.
  void sleep(base::Duration duration);
  // Awake: nobody needs to ring.
  void disarm();

 private:
  static constexpr base::Duration deaf_sleep = std::chrono::microseconds(100);

  Doorbell& bell_;
  std::vector<PacketSignal> signals_;
  std::vector<pollfd> wakers_;  // the bell, then the signals
};

}  // namespace talaria::app
