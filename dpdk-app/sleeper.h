// How a worker sleeps until a packet, a colleague, or a time. Made by the main thread, used by the worker's.
#pragma once

#include "core/base/time.h"
#include "dpdk-app/doorbell.h"
#include "dpdk-app/packet_signal.h"

namespace talaria::app {

class Sleeper {
 public:
  // The bell outlives the sleeper. Without a signal packets do not end a sleep.
  Sleeper(Doorbell& bell, PacketSignal signal) : bell_(bell), signal_(std::move(signal)) {}

  bool hears_packets() const { return signal_.exists(); }

  // From here on a packet and a ring end the next sleep; what came before must be looked for once more.
  void arm();
  // Returns at once if there was one of them.
  void sleep(base::Duration duration);
  // Awake: nobody needs to ring.
  void disarm();

 private:
  static constexpr base::Duration deaf_sleep = std::chrono::microseconds(100);

  Doorbell& bell_;
  PacketSignal signal_;
};

}  // namespace talaria::app
