// Frames of the port for an operator, as a pcapng file that Wireshark opens: one capture at a time, taken away by
// whoever asked for it.
//
//   start ---> running: every worker's frames go through its watcher into its buffer
//                |  read ... read         a part of the file each; one that nobody reads for unread_max ends by itself
//              stop
//                v
//              ending: until every worker has let go of its watcher; read yields the rest, and `done` with the last of
//              it
//
// The control thread alone calls it. The datapath never waits for it: what finds no room in a buffer is counted.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "control/plane.h"
#include "core/base/time.h"

namespace talaria::control {

struct CaptureSettings {
  std::string port;          // its name; empty: the one there is
  std::string filter;        // in tcpdump's language; empty: every frame
  uint32_t snap_length = 0;  // bytes kept of a frame; 0: all
};

// Where frames lie until they are read. dpdk-app implements it; the control thread alone calls it, and the workers'
// threads its watchers.
class FrameBuffers {
 public:
  virtual ~FrameBuffers() = default;
  // Memory, and a watcher for each worker. The error is a sentence for the operator.
  virtual std::expected<void, std::string> open(const CaptureSettings& settings) = 0;
  virtual std::vector<net::FrameWatcher*> watchers() = 0;
  // The next whole blocks of a pcapng file, `bytes_max` or a little more; empty: nothing came since. `last`: no watcher
  // is used any more, and the file ends with what there is.
  virtual std::string take(size_t bytes_max, bool last) = 0;
  virtual uint64_t frames() const = 0;   // taken
  virtual uint64_t dropped() const = 0;  // frames that found their buffer full
  virtual void close() = 0;
};

class Capture {
 public:
  static constexpr base::Duration unread_max = std::chrono::seconds(10);
  static constexpr size_t part_bytes = 4 << 20;  // of the file, for one reading

  // Without buffers there is nothing to capture into.
  Capture(Plane& plane, FrameBuffers* buffers) : plane_(plane), buffers_(buffers) {}
  Capture(const Capture&) = delete;

  // A number that names the capture.
  std::expected<uint64_t, OperatorError> start(const CaptureSettings& settings);
  struct Part {
    std::string bytes;
    uint64_t frames = 0;
    uint64_t dropped = 0;
    bool done = false;  // the file is whole, and the capture gone
  };
  std::expected<Part, OperatorError> read(uint64_t number);
  std::expected<void, OperatorError> stop(uint64_t number);

  // Now and then.
  void poll(base::Time now);

 private:
  enum class Phase : uint8_t { idle, running, ending };

  std::optional<OperatorError> refused(uint64_t number) const;
  void end();

  Plane& plane_;
  FrameBuffers* buffers_;
  Phase phase_ = Phase::idle;
  uint64_t number_ = 0;
  base::Time read_at_{};
};

}  // namespace talaria::control
