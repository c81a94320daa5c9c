#include "dpdk-app/doorbell.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "core/base/check.h"

namespace talaria::app {

Doorbell::Doorbell() : descriptor_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { CHECK(descriptor_ >= 0); }
Doorbell::~Doorbell() { close(descriptor_); }

void Doorbell::ring() {
  if (!listens_.exchange(false)) return;
  const uint64_t one = 1;
  CHECK(write(descriptor_, &one, sizeof one) == sizeof one);
}

void Doorbell::take_rings() {
  uint64_t rings = 0;
  // Nothing to read is as good.
  [[maybe_unused]] const ssize_t got = read(descriptor_, &rings, sizeof rings);
}

}  // namespace talaria::app
