// control::FrameBuffers: each worker's frames, chosen by libpcap's filter, in a ring of their own; the control thread
// makes a pcapng file of them. A frame that is not chosen costs the filter's run, one that is a copy; without a
// capture, nothing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control/capture.h"
#include "dpdk-app/tsc_clock.h"

namespace talaria::app {

class FrameBuffers final : public control::FrameBuffers {
 public:
  static constexpr size_t ring_bytes = 4 << 20;  // of each worker

  // `ports`: their names; a frame's port is its place among them.
  FrameBuffers(std::vector<std::string> ports, size_t workers, const TscClock& clock);
  ~FrameBuffers() override;

  std::expected<void, std::string> open(const control::CaptureSettings& settings) override;
  std::vector<net::FrameWatcher*> watchers() override;
  std::string take(size_t bytes_max, bool last) override;
  uint64_t frames() const override;
  uint64_t dropped() const override;
  void close() override;

 private:
  class Watcher;
  struct Filter;

  void append_tails();

  std::vector<std::string> ports_;
  std::vector<size_t> chosen_;  // of the ports: the file's interfaces
  size_t workers_;
  const TscClock& clock_;
  std::unique_ptr<Filter> filter_;
  std::vector<std::unique_ptr<Watcher>> watchers_;
  std::string file_;  // of the file, not yet taken
  bool tail_written_ = false;
  uint64_t epoch_ns_ = 0;  // of the broker's clock, since 1970
};

}  // namespace talaria::app
