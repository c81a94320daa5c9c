#include "control/capture.h"

namespace talaria::control {

std::expected<uint64_t, OperatorError> Capture::start(const CaptureSettings& settings) {
  if (buffers_ == nullptr) return std::unexpected(OperatorError{Fault::not_found, "there is no port to capture at"});
  if (phase_ != Phase::idle)
    return std::unexpected(OperatorError{Fault::in_use, "another capture is under way, and there is one at a time"});
  if (auto opened = buffers_->open(settings); !opened)
    return std::unexpected(OperatorError{Fault::bad_argument, opened.error()});
  plane_.watch_frames(buffers_->watchers());
  phase_ = Phase::running;
  read_at_ = plane_.now();
  return ++number_;
}

std::expected<Capture::Part, OperatorError> Capture::read(uint64_t number) {
  if (auto error = refused(number)) return std::unexpected(*std::move(error));
  read_at_ = plane_.now();
  const bool last = phase_ == Phase::ending && plane_.watch_settled();
  Part part;
  part.bytes = buffers_->take(part_bytes, last);
  part.frames = buffers_->frames();
  part.dropped = buffers_->dropped();
  part.done = last && part.bytes.size() < part_bytes;
  if (part.done) {
    buffers_->close();
    phase_ = Phase::idle;
  }
  return part;
}

std::expected<void, OperatorError> Capture::stop(uint64_t number) {
  if (auto error = refused(number)) return std::unexpected(*std::move(error));
  end();
  return {};
}

std::optional<OperatorError> Capture::refused(uint64_t number) const {
  if (phase_ != Phase::idle && number == number_) return std::nullopt;
  return OperatorError{Fault::not_found, "there is no capture " + std::to_string(number) +
                                             ": one that nobody reads for 10 s ends by itself"};
}

void Capture::end() {
  if (phase_ != Phase::running) return;
  plane_.watch_frames(std::vector<net::FrameWatcher*>(plane_.workers(), nullptr));
  phase_ = Phase::ending;
}

// An operator's program that died has let its capture lie.
void Capture::poll(base::Time now) {
  if (phase_ == Phase::idle || now - read_at_ < unread_max) return;
  end();
  if (!plane_.watch_settled()) return;
  buffers_->close();
  phase_ = Phase::idle;
}

}  // namespace talaria::control
