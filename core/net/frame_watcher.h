// Somebody who wants to see every frame that passes between a Host and its Device: a capture for an operator.
#pragma once

#include <cstdint>

#include "core/base/time.h"
#include "core/net/packet.h"

namespace talaria::net {

enum class FrameWay : uint8_t {
  in,   // as it came from the port, before any check
  out,  // as it is queued for the port: what is left to the port (checksums, segmentation) is not done yet
};

class FrameWatcher {
 public:
  virtual ~FrameWatcher() = default;
  // Looks at it and keeps nothing of it; bounded, and on the message path: no lock, no allocation, no system call.
  // `port` is the number that Host::watch_frames was told, `now` the turn's.
  virtual void see(size_t port, FrameWay way, const Packet& packet, base::Time now) = 0;
};

}  // namespace talaria::net
