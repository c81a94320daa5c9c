// A connection as an application of the simulator sees it, whichever TCP is under it: the stack that is tested, or the
// independent peer.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/bytes.h"
#include "tests/sim/world.h"

namespace talaria::sim {

class ByteStream {
 public:
  enum class State : uint8_t {
    opening,
    open,
    finished,  // the peer has sent all it will; ours may go on
    closed,    // gone: in good order if `failure` is empty
  };

  virtual ~ByteStream() = default;

  virtual State state() const = 0;
  // Why it is gone, if not because both sides had finished and everything was acknowledged.
  virtual std::string_view failure() const = 0;
  // The next contiguous bytes; valid until consume or the end of the turn.
  virtual base::Bytes input() = 0;
  virtual void consume(size_t count) = 0;
  // Takes what fits now, from the front; returns how much.
  virtual size_t send(base::Bytes bytes) = 0;
  // Nothing more will be sent.
  virtual void close() = 0;
  virtual void abort() = 0;
};

// What runs on a stream, inside the turn of whatever carries it.
class Application {
 public:
  virtual ~Application() = default;
  // True if anything was done.
  virtual bool poll(Time now) = 0;
  virtual Time next_deadline() const = 0;
};

}  // namespace talaria::sim
