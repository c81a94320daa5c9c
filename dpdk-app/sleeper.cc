#include "dpdk-app/sleeper.h"

#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>

namespace talaria::app {
namespace {

timespec to_timespec(base::Duration duration) {
  constexpr int64_t second = 1'000'000'000;
  return {duration.count() / second, duration.count() % second};
}

}  // namespace

Sleeper::Sleeper(Doorbell& bell, std::vector<PacketSignal> signals) : bell_(bell), signals_(std::move(signals)) {
  wakers_.push_back({bell_.descriptor(), POLLIN, 0});
  for (const PacketSignal& signal : signals_) wakers_.push_back({signal.descriptor(), POLLIN, 0});
}

void Sleeper::arm() {
  bell_.listen();
  for (PacketSignal& signal : signals_) signal.arm();
}

void Sleeper::disarm() {
  bell_.stop_listening();
  for (PacketSignal& signal : signals_) signal.disarm();
}

void Sleeper::sleep(base::Duration duration) {
  const timespec time = to_timespec(duration);
  if (ppoll(wakers_.data(), wakers_.size(), &time, nullptr) <= 0) return;
  if (wakers_[0].revents != 0) bell_.take_rings();
  bool any_packet = false;
  bool any_error = false;
  for (size_t i = 0; i < signals_.size(); i++) {
    pollfd& waker = wakers_[i + 1];
    if ((waker.revents & POLLIN) != 0) {
      signals_[i].take();
      any_packet = true;
    } else if (waker.revents != 0) {
      // An error (an interface that went down): it would end every sleep at once. Reading it takes it away from a
      // socket; where it stays, looking now and then has to do.
      int error = 0;
      socklen_t size = sizeof error;
      getsockopt(waker.fd, SOL_SOCKET, SO_ERROR, &error, &size);
      waker.fd = -1;  // the others still wake
      any_error = true;
    }
  }
  if (!any_error) return;
  if (!any_packet && wakers_[0].revents == 0) {
    const timespec moment = to_timespec(std::min(duration, deaf_sleep));
    ppoll(wakers_.data(), wakers_.size(), &moment, nullptr);
  }
  for (size_t i = 0; i < signals_.size(); i++) wakers_[i + 1].fd = signals_[i].descriptor();
}

}  // namespace talaria::app
