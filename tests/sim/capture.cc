#include "tests/sim/capture.h"

#include <array>
#include <cstdint>

namespace talaria::sim {

Capture::Capture(const std::string& path) : file_(std::fopen(path.c_str(), "wb")) {
  if (!file_) return;
  // Magic of nanosecond captures, version 2.4, UTC, no accuracy, snap length, Ethernet: in our own byte order, which
  // the magic tells the reader.
  const std::array<uint32_t, 6> header{0xa1b23c4d, 2 | 4 << 16, 0, 0, 65535, 1};
  std::fwrite(header.data(), sizeof header, 1, file_);
}

Capture::~Capture() {
  if (file_) std::fclose(file_);
}

void Capture::add(base::Time when, base::Bytes frame) {
  if (!file_) return;
  const auto since_start = static_cast<uint64_t>(when.time_since_epoch().count());
  const auto length = static_cast<uint32_t>(frame.size());
  const std::array<uint32_t, 4> record{static_cast<uint32_t>(since_start / 1'000'000'000),
                                       static_cast<uint32_t>(since_start % 1'000'000'000), length, length};
  std::fwrite(record.data(), sizeof record, 1, file_);
  std::fwrite(frame.data(), frame.size(), 1, file_);
  std::fflush(file_);
}

}  // namespace talaria::sim
