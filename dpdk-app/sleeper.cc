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

void Sleeper::arm() {
  bell_.listen();
  signal_.arm();
}

void Sleeper::disarm() {
  bell_.stop_listening();
  signal_.disarm();
}

void Sleeper::sleep(base::Duration duration) {
  pollfd wakers[] = {{bell_.descriptor(), POLLIN, 0}, {signal_.descriptor(), POLLIN, 0}};
  const timespec time = to_timespec(duration);
  if (ppoll(wakers, std::size(wakers), &time, nullptr) <= 0) return;
  if (wakers[0].revents != 0) bell_.take_rings();
  if ((wakers[1].revents & POLLIN) != 0) {
    signal_.take();
  } else if (wakers[1].revents != 0) {
    // An error (an interface that went down): it would end every sleep at once. Reading it takes it away from a socket;
    // where it stays, looking now and then has to do.
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(wakers[1].fd, SOL_SOCKET, SO_ERROR, &error, &size);
    const timespec moment = to_timespec(std::min(duration, deaf_sleep));
    ppoll(wakers, 1, &moment, nullptr);
  }
}

}  // namespace talaria::app
